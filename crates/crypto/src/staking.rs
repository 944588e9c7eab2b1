//! The key a node stakes with: its certificate, its node ID, and signatures under it.
//!
//! A node shows its certificate in TLS, in peer lists and in block headers. No authority stands
//! behind it: the node ID is a hash of the certificate, and whoever signs with the key in it is that
//! node. Upstream: `staking/`.

mod certificate;
mod identity;
mod pem;
mod private_key;
mod public_key;
mod signer;
mod template;
pub mod tls_leaf;
mod verify;

pub use certificate::{CERTIFICATE_BYTES_MAX, Certificate, CertificateError, InvalidSignature};
pub use identity::{Identity, IdentityError};
pub use private_key::PrivateKeyError;
pub use public_key::{P256_POINT_BYTES, PublicKey, RSA_EXPONENT};
pub use signer::{Signer, SigningError};
