//! Whom a poll still has to ask. Upstream: `requests.go`.

use std::collections::BTreeSet;

use sastrugi_types::NodeId;

/// The nodes of a poll: those to be asked, and those who were asked and did not answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    pending: BTreeSet<NodeId>,
    outstanding: BTreeSet<NodeId>,
    outstanding_max: usize,
    answered: usize,
}

impl Requests {
    /// All of `nodes` are to be asked, at most `outstanding_max` of them at the same time.
    pub(super) const fn new(nodes: BTreeSet<NodeId>, outstanding_max: usize) -> Self {
        Self { pending: nodes, outstanding: BTreeSet::new(), outstanding_max, answered: 0 }
    }

    /// Names the nodes to ask now, and takes them for asked.
    pub(super) fn next_nodes(&mut self) -> BTreeSet<NodeId> {
        let mut nodes = BTreeSet::new();
        while self.outstanding.len() < self.outstanding_max
            && let Some(node) = self.pending.pop_first()
        {
            self.outstanding.insert(node);
            nodes.insert(node);
        }
        nodes
    }

    /// Whether the node was asked and answers for the first time.
    pub(super) fn take_answer(&mut self, node: &NodeId) -> bool {
        let was_outstanding = self.outstanding.remove(node);
        self.answered += usize::from(was_outstanding);
        was_outstanding
    }

    /// Whether nobody is left to be asked or to answer.
    pub(super) fn are_finished(&self) -> bool {
        self.pending.is_empty() && self.outstanding.is_empty()
    }

    /// How many nodes answered or failed.
    pub const fn answered(&self) -> usize {
        self.answered
    }

    /// How many nodes the poll asks in all.
    pub fn total(&self) -> usize {
        self.pending.len() + self.outstanding.len() + self.answered
    }
}
