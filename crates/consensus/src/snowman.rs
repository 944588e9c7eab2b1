//! Consensus on a linear chain of blocks, and the polls that feed it.
//!
//! [`Topological`] keeps the tree of processing blocks above the last accepted one and turns votes
//! into decisions. [`poll`] collects the answers of each poll into votes.
//!
//! Upstream: `snow/consensus/snowman`.

mod dump;
mod health;
pub mod poll;
mod processing;
mod stats;
pub mod topological;
mod votes;

pub use dump::{BlockDump, Dump};
pub use health::{Health, Unhealthy};
pub use stats::{LATENCY_BOUNDS, Latencies, Observations, Stats};
pub use topological::{AddError, Block, Decision, Topological};

use sastrugi_types::Id;

/// What polls know of the block tree. Upstream: `snow/consensus/snowman/poll.BlockTraversal`.
pub trait ParentView {
    /// The parent of a block, if the block is known. It is not known of the last accepted block
    /// that consensus began with.
    #[doc(alias = "GetParent")]
    fn parent_of(&self, block: &Id) -> Option<Id>;

    /// A number that differs when an answer of [`parent_of`](Self::parent_of) may differ from an
    /// earlier one.
    fn version(&self) -> u64;
}
