//! Snowman++: a wrapper around a chain's VM that gives its blocks proposers.
//!
//! Without it every validator may build a block at any time, and under load they all do. The
//! wrapper puts the VM's *inner* block into an *outer* one that says when it was made, by whom, and
//! under which validators; which validator may propose when is computed from the parent, so that
//! every node agrees. Upstream: `vms/proposervm`.
//!
//! * [`block`]: the outer blocks, byte for byte, with their IDs and signatures; [`header`] is what is
//!   signed, [`summary`] a state summary with its outer block.
//! * [`windower`]: who may propose in which slot; [`epoch`]: how long blocks refer to the same height
//!   of the P-Chain.
//! * [`verify`]: the rules for a block after its parent.
//! * [`state`]: what the wrapper keeps on disk.

pub mod block;
mod codec;
pub mod epoch;
pub mod header;
#[cfg(test)]
mod model;
mod schedule;
pub mod state;
pub mod stats;
pub mod summary;
mod tree;
pub mod verify;
pub mod vm;
pub mod windower;

pub use block::{OuterBlock, PostForkBlock, PostForkOption};
pub use epoch::Epoch;
pub use stats::Stats;
pub use vm::{Config, ProposerVm};
pub use windower::Windower;
