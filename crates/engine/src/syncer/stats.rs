//! Counters of the gear.

/// What the gear has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Attempts begun.
    pub attempts: u64,
    /// Attempts begun because too few beacons answered the one before.
    pub restarts: u64,
    /// Summaries of seeders that parse.
    pub summaries: u64,
    /// Summaries of seeders that do not parse.
    pub malformed: u64,
    /// Summaries of seeders there was no room for.
    pub oversized: u64,
    /// Summaries the VM was told to accept.
    pub accepted: u64,
}
