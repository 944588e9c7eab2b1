//! Counters of the gear.

/// How a block came to be issued; the label of the metric `blks_issued`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssueSource {
    /// It was named in an answer to a query of ours.
    PullGossip,
    /// It came with, or was named in, a query of a peer.
    PushGossip,
    /// This node's VM built it.
    Built,
    /// It came in a `Put` that answered nothing outstanding.
    Unknown,
}

impl IssueSource {
    /// All sources, in the order of [`Stats::issued`].
    pub const ALL: [Self; 4] = [Self::PullGossip, Self::PushGossip, Self::Built, Self::Unknown];

    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PullGossip => "pull_gossip",
            Self::PushGossip => "push_gossip",
            Self::Built => "built",
            Self::Unknown => "unknown",
        }
    }
}

/// How often something was observed, and the sum of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of observations.
    pub count: u64,
    /// Sum of their values; saturates.
    pub sum: u64,
}

impl Tally {
    pub(super) fn observe(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }
}

/// What the gear has done so far. The upstream metric is named with each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// `bootstrap_finished`: whether the gear is in charge.
    pub started: bool,
    /// `blks_built`
    pub built: u64,
    /// `blk_builds_failed`
    pub builds_failed: u64,
    /// `blks_built_time_skew`: sum of the times from a built block's timestamp to its building, in
    /// nanoseconds.
    pub built_time_skew_nanos: i64,
    /// `num_useless_put_bytes`: bytes of blocks in `Put`s that were known already.
    pub useless_put_bytes: u64,
    /// `num_useless_push_query_bytes`: the same in push queries.
    pub useless_push_query_bytes: u64,
    /// `num_missing_accepted_blocks`: accepted blocks that were asked about and the VM lacks.
    pub missing_accepted_blocks: u64,
    /// `num_processing_ancestor_fetches_failed`: votes without a known processing ancestor.
    pub ancestor_fetches_failed: u64,
    /// `num_processing_ancestor_fetches_dropped`: votes for what is decided.
    pub ancestor_fetches_dropped: u64,
    /// `num_processing_ancestor_fetches_succeeded`: votes that went to an ancestor.
    pub ancestor_fetches_succeeded: u64,
    /// `num_processing_ancestor_fetches_unneeded`: votes for a processing block.
    pub ancestor_fetches_unneeded: u64,
    /// `blks_issued`, by source in the order of [`IssueSource::ALL`].
    pub issued: [u64; IssueSource::ALL.len()],
    /// `selected_vote_index`: which of an answer's blocks was voted for.
    pub selected_vote_index: Tally,
    /// `issuer_stake`: the weight of the nodes blocks came from.
    pub issuer_stake: Tally,
}
