//! Who validates, with what weight, and how to draw them.
//!
//! [`Validators`] holds the current set of every subnet, and is shared by all chains: the P-Chain
//! (or a static description) writes it, engines sample from it. Those that must follow every change
//! register as [`SetListener`] of one subnet or [`ManagerListener`] of all.
//!
//! A change of a weight and a draw both cost O(log n) in the number of validators. Upstream sorts
//! all validators before the first draw after a change.
//!
//! Sets at past heights of the P-Chain are [`sastrugi_vm::validators::ValidatorState`].
//! Upstream: `snow/validators`.

mod listener;
mod manager;
mod sampler;
mod set;
mod weights;

pub use listener::{ManagerListener, SetListener};
pub use manager::Validators;
pub use sampler::SubnetSampler;
pub use set::{Set, Validator, ValidatorsError};
