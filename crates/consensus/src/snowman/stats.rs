//! Counters of [`Topological`](super::Topological).

use sastrugi_types::WallTime;

/// Upper bounds of the buckets of [`Latencies`], in nanoseconds: 1 to 4 seconds.
pub const LATENCY_BOUNDS: [i64; 4] = [1_000_000_000, 2_000_000_000, 3_000_000_000, 4_000_000_000];

/// How often something was observed, and the sum of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observations {
    /// Number of observations.
    pub count: u64,
    /// Sum of their values; saturates.
    pub sum: i64,
}

impl Observations {
    pub(super) fn observe(&mut self, value: i64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }
}

/// A histogram of the time from issue to acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Observations at most as long as the bound of [`LATENCY_BOUNDS`] at the same place, and
    /// longer than the one before. Longer ones are in no bucket.
    pub buckets: [u64; LATENCY_BOUNDS.len()],
    /// All observations, in nanoseconds.
    pub all: Observations,
}

impl Latencies {
    fn observe(&mut self, nanos: i64) {
        self.all.observe(nanos);
        if let Some(bucket) = LATENCY_BOUNDS.iter().position(|bound| nanos <= *bound) {
            self.buckets[bucket] += 1;
        }
    }
}

/// What consensus has done so far. Times are in nanoseconds.
///
/// Upstream: `snow/consensus/snowman/metrics.go`; the metric names are given with each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `max_verified_height`: the highest block ever added, or the last accepted one at the start.
    pub max_verified_height: u64,
    /// `last_accepted_height`
    pub last_accepted_height: u64,
    /// `last_accepted_timestamp`: what the last accepted block says, in seconds in the metric.
    pub last_accepted_timestamp: WallTime,
    /// `blks_accepted_container_size_sum`: bytes of all accepted blocks.
    pub accepted_bytes: u64,
    /// `blks_rejected_container_size_sum`: bytes of all rejected blocks.
    pub rejected_bytes: u64,
    /// `blks_polls_accepted`: polls from issue to acceptance.
    pub polls_accepted: Observations,
    /// `blks_polls_rejected`: polls from issue to rejection.
    pub polls_rejected: Observations,
    /// `blks_accepted`: time from issue to acceptance.
    pub accepted: Observations,
    /// `blks_rejected`: time from issue to rejection.
    pub rejected: Observations,
    /// `blks_build_accept_latency`: sum of the times from a block's timestamp to its acceptance.
    pub build_accept_latency: i64,
    /// `consensus_latencies`: time from issue to acceptance.
    pub latencies: Latencies,
    /// `polls_successful`
    pub polls_successful: u64,
    /// `polls_failed`
    pub polls_failed: u64,
}

/// A decided block, as the counters see it.
pub(super) struct Decided {
    pub(super) size_bytes: u64,
    pub(super) polls: u64,
    pub(super) nanos_since_issue: i64,
}

impl Stats {
    pub(super) fn accept(&mut self, block: &Decided, nanos_since_timestamp: i64) {
        self.accepted_bytes = self.accepted_bytes.saturating_add(block.size_bytes);
        self.polls_accepted.observe(block.polls.cast_signed());
        self.accepted.observe(block.nanos_since_issue);
        self.latencies.observe(block.nanos_since_issue);
        self.build_accept_latency = self.build_accept_latency.saturating_add(nanos_since_timestamp);
    }

    pub(super) fn reject(&mut self, block: &Decided) {
        self.rejected_bytes = self.rejected_bytes.saturating_add(block.size_bytes);
        self.polls_rejected.observe(block.polls.cast_signed());
        self.rejected.observe(block.nanos_since_issue);
    }
}
