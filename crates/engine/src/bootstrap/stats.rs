//! Counters of the gear.

/// What the gear has done so far. The upstream metric is named where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `bs_fetched`: blocks that were fetched and stored.
    pub fetched: u64,
    /// `bs_accepted`: blocks that were executed and accepted.
    pub accepted: u64,
    /// Rounds begun.
    pub rounds: u64,
    /// Requests for ancestors.
    pub requests: u64,
    /// Those that ended without an answer.
    pub requests_failed: u64,
    /// Answers that were of no use: empty, not to be parsed, or of another block.
    pub answers_refused: u64,
    /// Bytes of the blocks in answers of use.
    pub received_bytes: u64,
}
