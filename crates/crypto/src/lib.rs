//! Who a node is: staking certificates, their signatures, and BLS keys.
//!
//! * [`staking`]: the certificate a node shows in TLS, the node ID derived from it, the key behind
//!   it, and signatures made with that key.
//! * [`bls`]: the second key of a validator, for signatures that can be aggregated.
//!
//! Nothing here reads a clock, a file or the randomness of the operating system: new keys are made
//! from bytes that the caller brings. Own signatures are deterministic, so that a replay is
//! identical byte by byte.

pub mod bls;
mod der;
pub mod staking;

pub use staking::{Certificate, Identity, Signer};
