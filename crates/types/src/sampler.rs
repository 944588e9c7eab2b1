//! Sampling, equal to upstream's draw by draw: proposer lists are computed with it on every node.
//!
//! All randomness comes in through a [`Source`]. Upstream: `utils/sampler/*.go` and gonum's
//! `mathext/prng`.

mod source;
mod tree;
mod uniform;
mod weighted;

pub use source::{Mt19937, Mt19937_64, Source, first_of_mt19937_64, uniform_inclusive};
pub use tree::WeightTree;
pub use uniform::Uniform;
pub use weighted::{WeightedHeap, WeightedWithoutReplacement};

use thiserror::Error;

/// Why a sampler cannot do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SampleError {
    /// Fewer elements are left than were wanted.
    #[error("not enough elements to sample from")]
    NotEnough,
    /// The weights add up to more than 2⁶⁴ − 1.
    #[error("the sum of the weights overflows")]
    WeightOverflow,
}
