//! The heights whose blocks were fetched and not yet executed, kept in a database of their own.
//! Upstream: `snow/engine/snowman/bootstrap/interval`.
//!
//! # Layout
//! ```text
//! 0x00 ‖ be64(highest height of a run) → be64(its lowest height)
//! 0x01 ‖ be64(height)                  → block bytes
//! ```
//! A run is a range of consecutive heights that were fetched. Runs are maximal: between two of them
//! is at least one height that is missing. Blocks are fetched downwards, so the highest height is
//! the key: extending a run is one put.
//!
//! # Use
//! A [`Tree`] holds the runs in memory. Each change of it also goes into [`Edits`], which the
//! caller writes as one batch; so what is stored is at any time a set of blocks and the runs
//! they form.
//!
//! * Upon a fetched block: [`add_block`], which says whether the parent is wanted.
//! * At the start: [`Tree::load`], then [`missing`] names the blocks below the runs.
//! * To execute: [`blocks`] in order of height, [`remove_block`] each.
//! * Before state sync: [`clear`].
//!
//! # Deviations from upstream
//! * Repeated edits of one run within a batch are written once. What is stored after the batch is
//!   the same.
//! * Entries that upstream could not have written are an [`IntervalError`]; upstream's behaviour
//!   with overlapping runs is undefined.
//! * [`clear`] writes bounded batches, where upstream writes one; each leaves blocks and runs in
//!   step.

mod store;
mod tree;

pub use store::{Blocks, Edits, add_block, blocks, clear, missing, remove_block};
pub use tree::{Added, Interval, Sink, Tree};

use sastrugi_vm::db::DbError;

use crate::common::Fatal;

/// Why the stored heights and blocks cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// The database failed.
    #[error("{0}")]
    Database(#[from] DbError),
    /// A key is not a mark and a height.
    #[error("fetched blocks are damaged: the key {0:02x?} is not a height")]
    Key(Vec<u8>),
    /// The value of a run is not a height.
    #[error("fetched blocks are damaged: the run up to height {upper} has no lowest height")]
    Value {
        /// The highest height of the run.
        upper: u64,
    },
    /// A run ends before it begins.
    #[error("fetched blocks are damaged: the run {lower} to {upper} is empty")]
    Empty {
        /// The stored lowest height.
        lower: u64,
        /// The stored highest height.
        upper: u64,
    },
    /// Between two runs no height is missing.
    #[error("fetched blocks are damaged: the run {lower} to {upper} reaches into the one below")]
    Overlap {
        /// The lowest height of the upper run.
        lower: u64,
        /// The highest height of the upper run.
        upper: u64,
    },
    /// The lowest block of a run is not stored.
    #[error("fetched blocks are damaged: the block at height {0} is gone")]
    NoBlock(u64),
}

impl From<IntervalError> for Fatal {
    fn from(error: IntervalError) -> Self {
        match error {
            IntervalError::Database(error) => error.into(),
            damage => Self::Broken(damage.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
