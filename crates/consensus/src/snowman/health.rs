//! Whether consensus makes progress.

use std::time::Duration;

use sastrugi_types::Id;

/// How consensus is doing. Upstream: `Topological.HealthCheck`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Number of processing blocks.
    pub processing_blocks: usize,
    /// How long the block issued first is processing; zero if there is none.
    pub longest_processing_block: Duration,
    /// Recent average of the time from a block's timestamp to its acceptance, in nanoseconds. Zero
    /// until blocks were accepted for five minutes; negative when timestamps lie in the future.
    pub average_acceptance_nanos: i64,
    /// The last accepted block.
    pub last_accepted: Id,
    /// Its height.
    pub last_accepted_height: u64,
    /// What is wrong; empty if all is well.
    pub problems: Vec<Unhealthy>,
}

/// A reason to worry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unhealthy {
    /// More blocks are processing than the parameters allow.
    #[error("too many processing blocks: {processing} > {max}")]
    TooManyProcessing {
        /// Number of processing blocks.
        processing: usize,
        /// The limit.
        max: usize,
    },
    /// A block is processing for longer than the parameters allow.
    #[error("block processing too long: {longest:?} > {max:?}")]
    ProcessingTooLong {
        /// For how long.
        longest: Duration,
        /// The limit.
        max: Duration,
    },
    /// Blocks are accepted too late after their timestamp.
    #[error("acceptance time too high: {average:?} > {max:?}")]
    AcceptanceTimeTooHigh {
        /// The recent average.
        average: Duration,
        /// The limit.
        max: Duration,
    },
}
