//! The first poll. Upstream: `minority.go`.

use std::collections::BTreeSet;

use sastrugi_types::{Id, NodeId};

use super::Requests;

/// Collects the blocks that a few nodes accepted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minority {
    requests: Requests,
    received: BTreeSet<Id>,
}

impl Minority {
    /// A poll of these nodes, at most `outstanding_max` at the same time.
    #[doc(alias = "NewMinority")]
    pub const fn new(nodes: BTreeSet<NodeId>, outstanding_max: usize) -> Self {
        Self { requests: Requests::new(nodes, outstanding_max), received: BTreeSet::new() }
    }

    /// Names the nodes to ask now.
    #[doc(alias = "GetPeers")]
    pub fn next_nodes(&mut self) -> BTreeSet<NodeId> {
        self.requests.next_nodes()
    }

    /// The node names the block it accepted last, or fails. False if it was not asked.
    #[doc(alias = "RecordOpinion")]
    pub fn record(&mut self, node: &NodeId, block: Option<Id>) -> bool {
        let is_expected = self.requests.take_answer(node);
        if is_expected {
            self.received.extend(block);
        }
        is_expected
    }

    /// All blocks that were named, possibly none; `None` while nodes are left.
    #[doc(alias = "Result")]
    pub fn result(&self) -> Option<&BTreeSet<Id>> {
        self.requests.are_finished().then_some(&self.received)
    }

    /// How far the poll is.
    pub const fn requests(&self) -> &Requests {
        &self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId([1; 20]), NodeId([2; 20]), NodeId([3; 20])];
    const BLOCK: Id = Id([7; 32]);

    fn minority(count: usize, outstanding_max: usize) -> Minority {
        Minority::new(NODES[..count].iter().copied().collect(), outstanding_max)
    }

    #[test]
    fn asks_up_to_the_cap_and_then_one_for_each_answer() {
        let mut minority = minority(3, 2);
        assert_eq!(minority.next_nodes(), NODES[..2].iter().copied().collect());
        assert_eq!(minority.next_nodes(), BTreeSet::new());
        assert!(minority.record(&NODES[1], None));
        assert_eq!(minority.next_nodes(), BTreeSet::from([NODES[2]]));
        assert_eq!(minority.next_nodes(), BTreeSet::new());
        assert_eq!((minority.requests().answered(), minority.requests().total()), (1, 3));
    }

    #[test]
    fn the_result_is_what_anybody_named_once_all_answered() {
        let mut minority = minority(3, 50);
        minority.next_nodes();
        assert!(minority.record(&NODES[0], Some(BLOCK)));
        assert!(minority.record(&NODES[1], Some(Id([8; 32]))));
        assert_eq!(minority.result(), None);
        assert!(minority.record(&NODES[2], None));
        assert_eq!(minority.result(), Some(&BTreeSet::from([BLOCK, Id([8; 32])])));
    }

    #[test]
    fn failures_alone_give_an_empty_result() {
        let mut minority = minority(1, 50);
        assert_eq!(minority.result(), None, "nobody was asked yet");
        minority.next_nodes();
        assert!(minority.record(&NODES[0], None));
        assert_eq!(minority.result(), Some(&BTreeSet::new()));
    }

    #[test]
    fn whoever_was_not_asked_or_answers_twice_is_not_heard() {
        let mut minority = minority(2, 1);
        assert_eq!(minority.next_nodes(), BTreeSet::from([NODES[0]]));
        let before = minority.clone();
        assert!(!minority.record(&NODES[1], Some(BLOCK)), "its turn has not come");
        assert!(!minority.record(&NODES[2], Some(BLOCK)), "no member");
        assert_eq!(minority, before);
        assert!(minority.record(&NODES[0], Some(BLOCK)));
        assert!(!minority.record(&NODES[0], Some(Id([8; 32]))), "twice");
        minority.next_nodes();
        assert!(minority.record(&NODES[1], None));
        assert_eq!(minority.result(), Some(&BTreeSet::from([BLOCK])));
    }
}
