use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sastrugi_types::bits::{ID_BITS, equal_subset};

use super::*;

const NOW: Instant = Instant(7);

/// A block tree; the version is counted by hand.
#[derive(Clone, Default)]
struct Blocks {
    parents: BTreeMap<Id, Id>,
    version: u64,
}

impl ParentView for Blocks {
    fn parent_of(&self, block: &Id) -> Option<Id> {
        self.parents.get(block).copied()
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn id(number: u8) -> Id {
    let mut id = Id::EMPTY;
    id.0[0] = number;
    id
}

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

/// The number of votes of each instance, by definition: of each block with its descendants, and of
/// each prefix at whose end children of one block part.
fn counts(votes: &Bag<Id>, blocks: &Blocks) -> Vec<usize> {
    let mut totals: BTreeMap<Id, usize> = BTreeMap::new();
    for (block, count) in votes.iter() {
        let mut next = Some(*block);
        while let Some(block) = next {
            *totals.entry(block).or_default() += count;
            next = blocks.parent_of(&block);
        }
    }
    let mut counts: Vec<_> = totals.values().copied().collect();
    for parent in totals.keys() {
        let children: Vec<_> =
            totals.iter().filter(|(id, _)| blocks.parent_of(id) == Some(*parent)).collect();
        let mut groups = BTreeSet::new();
        for length in 1..ID_BITS {
            for (first, _) in &children {
                let share = |stop: usize, id: &Id| equal_subset(0, stop, first, id);
                let group: Vec<_> = children.iter().filter(|(id, _)| share(length, id)).collect();
                if group.iter().any(|(id, _)| !share(length + 1, id)) {
                    groups.insert((length, group));
                }
            }
        }
        counts.extend(
            groups.iter().map(|(_, group)| group.iter().map(|(_, total)| **total).sum::<usize>()),
        );
    }
    counts
}

/// Whether a poll is finished, by definition.
fn finished(votes: &Bag<Id>, remaining: usize, alphas: (usize, usize), blocks: &Blocks) -> bool {
    let settled = |count: &usize| {
        let cannot_succeed = count + remaining < alphas.0;
        let cannot_gain = *count >= alphas.0 && count + remaining < alphas.1;
        cannot_succeed || cannot_gain || *count >= alphas.1
    };
    let counts = counts(votes, blocks);
    remaining == 0
        || votes.len() + remaining < alphas.0
        || (!counts.is_empty() && counts.iter().all(settled))
}

#[derive(Clone, Debug)]
enum Step {
    Vote(u8, u8),
    Drop(u8),
    /// The block becomes known, or is decided.
    Toggle(u8),
}

const BLOCKS: u8 = 12;
const VOTERS: u8 = 8;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..VOTERS, 0..BLOCKS).prop_map(|(voter, block)| Step::Vote(voter, block)),
        1 => (0..VOTERS).prop_map(Step::Drop),
        1 => (0..BLOCKS).prop_map(Step::Toggle),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_poll_ends_when_the_definition_says_so(
        parents in prop::collection::vec(0..BLOCKS, BLOCKS as usize),
        weights in prop::collection::vec(1..4_usize, VOTERS as usize),
        steps in steps(),
    ) {
        // Parents have lower numbers, so there are no circles.
        let all: BTreeMap<_, _> =
            (1..BLOCKS).map(|number| (id(number), id(parents[number as usize] % number))).collect();
        let mut blocks = Blocks { parents: all.clone(), version: 0 };
        let total: usize = weights.iter().sum();
        let alphas = (total / 2 + 1, total * 3 / 4 + 1);
        let mut remaining: BTreeMap<u8, usize> = (0..VOTERS).zip(weights).collect();
        let mut voters = Bag::new();
        for (voter, weight) in &remaining {
            voters.add_count(node(*voter), *weight);
        }
        let mut set = Set::new(alphas.0, alphas.1, 1);
        prop_assert!(set.add(RequestId(1), voters, NOW));
        let mut votes = Bag::new();
        for step in steps {
            let results = match step {
                Step::Vote(voter, block) => {
                    votes.add_count(id(block), remaining.remove(&voter).unwrap_or(0));
                    set.vote(RequestId(1), &node(voter), id(block), &blocks, NOW)
                }
                Step::Drop(voter) => {
                    remaining.remove(&voter);
                    set.drop_vote(RequestId(1), &node(voter), &blocks, NOW)
                }
                Step::Toggle(block) => {
                    blocks.version += 1;
                    if blocks.parents.remove(&id(block)).is_none()
                        && let Some(parent) = all.get(&id(block))
                    {
                        blocks.parents.insert(id(block), *parent);
                    }
                    continue;
                }
            };
            let ended = finished(&votes, remaining.values().sum(), alphas, &blocks);
            prop_assert_eq!(!results.is_empty(), ended);
            if ended {
                prop_assert_eq!(results, vec![votes]);
                break;
            }
        }
    }
}

/// Two voters, both must agree.
fn pair() -> Bag<NodeId> {
    [node(0), node(1)].into_iter().collect()
}

#[test]
fn results_wait_for_older_polls() {
    let blocks = Blocks::default();
    let mut set = Set::new(2, 2, 0);
    assert!(set.add(RequestId(5), pair(), NOW));
    assert!(set.add(RequestId(u32::MAX), pair(), NOW));
    assert!(set.add(RequestId(0), pair(), NOW));
    assert!(!set.add(RequestId(0), pair(), NOW), "it exists");
    let mut answer = |request, voter, later| {
        set.vote(RequestId(request), &node(voter), id(1), &blocks, Instant(NOW.0 + later))
    };
    assert_eq!(answer(u32::MAX, 0, 1).len(), 0);
    assert_eq!(answer(u32::MAX, 1, 1).len(), 0, "finished, but not the oldest");
    assert_eq!(answer(u32::MAX, 1, 1).len(), 0, "answered already");
    assert_eq!(answer(9, 1, 1).len(), 0, "unknown");
    assert_eq!(answer(5, 0, 2).len(), 0);
    assert_eq!(answer(5, 7, 2).len(), 0, "not asked");
    assert_eq!(answer(5, 1, 2).len(), 2);
    assert_eq!((set.len(), set.stats().released.count, set.stats().released.sum), (1, 2, 4));
    assert_eq!((set.stats().exhausted.count, set.stats().exhausted.sum), (2, 3));
}

#[test]
fn a_vote_for_a_descendant_counts_for_its_ancestors() {
    let blocks = Blocks { parents: BTreeMap::from([(id(2), id(1))]), version: 0 };
    let mut set = Set::new(2, 2, 0);
    set.add(RequestId(1), (0..3).map(node).collect(), NOW);
    assert!(set.vote(RequestId(1), &node(0), id(1), &blocks, NOW).is_empty());
    let results = set.vote(RequestId(1), &node(1), id(2), &blocks, NOW);
    assert!(results.is_empty(), "block 2 itself may still get a majority");
    let results = set.drop_vote(RequestId(1), &node(2), &blocks, NOW);
    assert_eq!(results, [[id(1), id(2)].into_iter().collect()]);
}
