//! What one attempt knows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::StateSummary;

use super::{OUTSTANDING_MAX, SUMMARIES_BYTES_MAX};
use crate::common::NodeSet;

/// Nodes that are asked the same, a few at a time.
#[derive(Clone, Debug, Default)]
pub struct Broadcast {
    waiting: NodeSet,
    pending: NodeSet,
    failed: NodeSet,
    total: usize,
}

impl Broadcast {
    pub(super) fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let waiting: NodeSet = nodes.into_iter().collect();
        Self { total: waiting.len(), waiting, ..Self::default() }
    }

    /// Nodes that were asked and have not answered.
    pub const fn pending(&self) -> &NodeSet {
        &self.pending
    }

    /// Nodes that will not answer.
    pub const fn failed(&self) -> &NodeSet {
        &self.failed
    }

    /// All nodes that are to be asked.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// How many nodes have answered or failed.
    pub fn heard(&self) -> usize {
        self.total - self.waiting.len() - self.pending.len()
    }

    /// The nodes whose turn has come; they are pending from now on.
    pub(super) fn ask(&mut self) -> NodeSet {
        let mut turn = NodeSet::new();
        while self.pending.len() < OUTSTANDING_MAX
            && let Some(node) = self.waiting.pop_first()
        {
            self.pending.insert(node);
            turn.insert(node);
        }
        turn
    }

    /// A node answered; whether it was asked.
    pub(super) fn answer(&mut self, node: NodeId) -> bool {
        self.pending.remove(&node)
    }

    /// A node will not answer.
    pub(super) fn fail(&mut self, node: NodeId) {
        self.failed.insert(node);
    }
}

/// A summary that was seen, and the weight behind it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) summary: StateSummary,
    pub(super) weight: u64,
}

/// Who is asked in one attempt, and what they said.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// How many units of each seeder were drawn.
    pub(super) units: BTreeMap<NodeId, u64>,
    pub(super) seeders: Broadcast,
    pub(super) voters: Broadcast,
    pub(super) candidates: BTreeMap<Id, Candidate>,
    /// The heights of the summaries in the order they were seen, each once.
    pub(super) heights: Vec<u64>,
    /// What an interrupted sync was working on.
    pub(super) ongoing: Option<Id>,
    summaries_bytes: usize,
}

impl Attempt {
    /// An attempt that draws these seeders, each as often as it is named, and asks all voters.
    pub(super) fn new(drawn: &[NodeId], voters: Vec<NodeId>) -> Self {
        let mut units = BTreeMap::new();
        for node in drawn {
            *units.entry(*node).or_insert(0) += 1;
        }
        Self {
            seeders: Broadcast::new(units.keys().copied()),
            voters: Broadcast::new(voters),
            units,
            ..Self::default()
        }
    }

    /// The nodes asked for their most recent summary.
    pub const fn seeders(&self) -> &Broadcast {
        &self.seeders
    }

    /// The nodes asked for their votes.
    pub const fn voters(&self) -> &Broadcast {
        &self.voters
    }

    /// The summaries seen and not dropped, with the weight behind each.
    pub fn weights(&self) -> impl Iterator<Item = (Id, u64)> + '_ {
        self.candidates.iter().map(|(id, candidate)| (*id, candidate.weight))
    }

    /// Whether summaries of so many more bytes may be kept.
    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.summaries_bytes.saturating_add(bytes) <= SUMMARIES_BYTES_MAX
    }

    /// Notes a summary. Seeing it again changes nothing.
    pub(super) fn see(&mut self, summary: StateSummary) {
        if self.candidates.contains_key(&summary.id) {
            return;
        }
        if !self.heights.contains(&summary.height) {
            self.heights.push(summary.height);
        }
        self.summaries_bytes = self.summaries_bytes.saturating_add(summary.bytes.len());
        self.candidates.insert(summary.id, Candidate { summary, weight: 0 });
    }

    /// Adds a voter's weight to the summaries it names.
    pub(super) fn vote(&mut self, named: &BTreeSet<Id>, weight: u64) {
        for (id, candidate) in &mut self.candidates {
            if named.contains(id) {
                candidate.weight = candidate.weight.saturating_add(weight);
            }
        }
    }

    /// The summary to accept: the one of the interrupted sync, else the highest. Of the highest
    /// ones the one with the most weight, then the one with the smallest ID.
    pub(super) fn preferred(&self) -> Option<&StateSummary> {
        let ongoing = self.ongoing.and_then(|id| self.candidates.get(&id));
        let rank = |candidate: &&Candidate| {
            let Candidate { summary, weight } = candidate;
            (summary.height, *weight, std::cmp::Reverse(summary.id))
        };
        let preferred = ongoing.or_else(|| self.candidates.values().max_by_key(rank));
        preferred.map(|candidate| &candidate.summary)
    }

    /// The units that were drawn and, of these, the ones whose owners failed.
    pub(super) fn drawn_and_failed(&self) -> (u64, u64) {
        let failed = self.seeders.failed.iter().filter_map(|node| self.units.get(node)).sum();
        (self.units.values().sum(), failed)
    }

    /// Lets go of the summaries' bytes; what was voted stays to look at.
    pub(super) fn release(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.summary.bytes = Bytes::new();
        }
        self.summaries_bytes = 0;
    }
}
