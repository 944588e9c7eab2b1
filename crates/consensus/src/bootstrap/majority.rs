//! The second poll. Upstream: `majority.go`.

use std::collections::{BTreeMap, BTreeSet};

use sastrugi_types::{Id, NodeId};

use super::{Requests, WeightOverflow};

/// Filters blocks down to those that nodes with more than half of the weight have accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Majority {
    requests: Requests,
    weights: BTreeMap<NodeId, u64>,
    weight_min: u64,
    /// The blocks asked about, and how much weight has accepted each.
    received: BTreeMap<Id, u64>,
}

impl Majority {
    /// A poll of all these nodes about `blocks`, at most `outstanding_max` at the same time.
    ///
    /// # Errors
    /// The sum of the weights overflows.
    #[doc(alias = "NewMajority")]
    pub fn new(
        weights: BTreeMap<NodeId, u64>,
        blocks: &BTreeSet<Id>,
        outstanding_max: usize,
    ) -> Result<Self, WeightOverflow> {
        let sum = |sum: u64, weight: &u64| sum.checked_add(*weight).ok_or(WeightOverflow);
        let total = weights.values().try_fold(0, sum)?;
        Ok(Self {
            requests: Requests::new(weights.keys().copied().collect(), outstanding_max),
            weights,
            weight_min: total / 2 + 1,
            received: blocks.iter().map(|block| (*block, 0)).collect(),
        })
    }

    /// Names the nodes to ask now.
    #[doc(alias = "GetPeers")]
    pub fn next_nodes(&mut self) -> BTreeSet<NodeId> {
        self.requests.next_nodes()
    }

    /// The blocks the nodes are asked about.
    pub fn blocks(&self) -> impl Iterator<Item = Id> + '_ {
        self.received.keys().copied()
    }

    /// The node says which blocks it has accepted; none if it fails. False if it was not asked.
    #[doc(alias = "RecordOpinion")]
    pub fn record(&mut self, node: &NodeId, accepted: &BTreeSet<Id>) -> bool {
        let is_expected = self.requests.take_answer(node);
        if is_expected {
            let weight = self.weights.get(node).copied().unwrap_or_default();
            for block in accepted {
                if let Some(sum) = self.received.get_mut(block) {
                    // Each node is heard once, so the sum stays below the total.
                    *sum = sum.saturating_add(weight);
                }
            }
        }
        is_expected
    }

    /// The accepted blocks, possibly none; `None` while nodes are left.
    #[doc(alias = "Result")]
    pub fn result(&self) -> Option<BTreeSet<Id>> {
        let accepted = || self.received.iter().filter(|(_, weight)| **weight >= self.weight_min);
        self.requests.are_finished().then(|| accepted().map(|(block, _)| *block).collect())
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
    const BLOCKS: [Id; 2] = [Id([7; 32]), Id([8; 32])];

    fn majority(weights: &[u64], outstanding_max: usize) -> Result<Majority, WeightOverflow> {
        let weights = NODES.into_iter().zip(weights.iter().copied()).collect();
        Majority::new(weights, &BLOCKS.into(), outstanding_max)
    }

    /// The result when each node answers with these blocks.
    fn result(weights: &[u64], answers: &[&[Id]]) -> BTreeSet<Id> {
        let mut majority = majority(weights, 50).unwrap();
        majority.next_nodes();
        for (node, answer) in NODES.iter().zip(answers) {
            assert_eq!(majority.result(), None);
            assert!(majority.record(node, &answer.iter().copied().collect()));
        }
        majority.result().unwrap()
    }

    #[test]
    fn asks_up_to_the_cap_and_then_one_for_each_answer() {
        let mut majority = majority(&[1, 1, 1], 1).unwrap();
        for node in NODES {
            assert_eq!(majority.next_nodes(), BTreeSet::from([node]));
            assert_eq!(majority.next_nodes(), BTreeSet::new());
            assert_eq!(majority.result(), None);
            assert!(majority.record(&node, &BTreeSet::new()));
        }
        assert_eq!(majority.result(), Some(BTreeSet::new()));
        assert_eq!((majority.requests().answered(), majority.requests().total()), (3, 3));
        assert!(majority.blocks().eq(BLOCKS));
    }

    #[test]
    fn more_than_half_of_the_weight_is_a_majority_and_half_is_not() {
        let [one, two] = BLOCKS;
        assert_eq!(result(&[1, 1], &[&[one, two], &[two]]), [two].into());
        assert_eq!(result(&[1, 1, 1], &[&[one], &[one, two], &[]]), [one].into());
        assert_eq!(result(&[2, 1, 3], &[&[one], &[one], &[two]]), [].into());
        assert_eq!(result(&[2, 1, 4], &[&[one], &[one], &[two]]), [two].into());
    }

    #[test]
    fn silence_counts_against_a_block() {
        assert_eq!(result(&[1, 2, 3], &[&[BLOCKS[0]], &[BLOCKS[0]], &[]]), [].into());
    }

    #[test]
    fn blocks_nobody_was_asked_about_are_not_accepted() {
        let foreign = Id([9; 32]);
        let answers: [&[Id]; 2] = [&[foreign, BLOCKS[0]], &[foreign, BLOCKS[0]]];
        assert_eq!(result(&[1, 1], &answers), [BLOCKS[0]].into());
    }

    #[test]
    fn whoever_was_not_asked_or_answers_twice_is_not_heard() {
        let mut majority = majority(&[1, 1], 1).unwrap();
        majority.next_nodes();
        let before = majority.clone();
        for stranger in [NODES[1], NODES[2]] {
            assert!(!majority.record(&stranger, &BLOCKS.into()));
        }
        assert_eq!(majority, before);
        assert!(majority.record(&NODES[0], &BTreeSet::new()));
        assert!(!majority.record(&NODES[0], &BLOCKS.into()));
    }

    #[test]
    fn without_nodes_the_poll_is_over_at_once() {
        assert_eq!(majority(&[], 50).unwrap().result(), Some(BTreeSet::new()));
    }

    #[test]
    fn the_total_weight_must_fit() {
        assert_eq!(majority(&[1, u64::MAX], 50), Err(WeightOverflow));
        assert_eq!(result(&[u64::MAX], &[&[BLOCKS[0]]]), [BLOCKS[0]].into());
        assert_eq!(result(&[u64::MAX - 1, 1], &[&[], &[BLOCKS[0]]]), [].into());
    }
}
