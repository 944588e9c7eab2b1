//! The two polls of a bootstrapping round, which find blocks that the network has accepted.
//!
//! 1. [`sample`] draws a few beacons, and [`Minority`] collects what each of them accepted last.
//!    One correct beacon among them is enough to make progress; safety does not depend on them.
//! 2. [`Majority`] asks all beacons which of these blocks they have accepted. A block counts once
//!    beacons with more than half of all weight say so, and those who are silent say no.
//!
//! A poll names the nodes to ask, a bounded number at a time, hears one opinion of each, and has a
//! result when nobody is left. An answer of a node that was not asked, or a second one, is nothing.
//!
//! Deviations from upstream: the majority hears nothing about blocks it did not ask about; weights
//! that overflow are refused when the poll begins, not when the last answer comes. Upstream's
//! third poll, which does nothing, is the absence of a poll here.
//! Upstream: `snow/consensus/snowman/bootstrapper`.

mod majority;
mod minority;
mod requests;
mod sample;

pub use majority::Majority;
pub use minority::Minority;
pub use requests::Requests;
pub use sample::sample;

/// The weights of the beacons add up to more than 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the beacons' total weight overflows")]
pub struct WeightOverflow;
