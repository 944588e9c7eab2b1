use std::{collections::BTreeMap, convert::Infallible};

use proptest::prelude::*;

use super::*;
use crate::snowball::{Consensus, Tree};

const NOW: WallTime = WallTime(1_000_000_000);
const GENESIS: Id = Id([0xee; 32]);

/// A block of [`Reference`].
struct Entry {
    parent: Id,
    height: u64,
    children: Vec<Id>,
    tree: Option<Tree>,
    should_falter: bool,
}

/// The specification, written down without a thought of speed: every flag is set on every block it
/// is meant for, and every vote is counted from scratch.
struct Reference {
    factory: Factory,
    parameters: Parameters,
    last_accepted: Id,
    blocks: BTreeMap<Id, Entry>,
}

impl Reference {
    fn new(factory: Factory, parameters: Parameters) -> Self {
        let entry = Entry {
            parent: Id::EMPTY,
            height: 0,
            children: Vec::new(),
            tree: None,
            should_falter: false,
        };
        let blocks = BTreeMap::from([(GENESIS, entry)]);
        Self { factory, parameters, last_accepted: GENESIS, blocks }
    }

    fn add(&mut self, block: &Block) {
        let parent = self.blocks.get_mut(&block.parent).unwrap();
        parent.children.push(block.id);
        match &mut parent.tree {
            Some(tree) => tree.add(block.id),
            None => parent.tree = Some(Tree::new(self.factory, &self.parameters, block.id)),
        }
        let entry = Entry {
            parent: block.parent,
            height: block.height,
            children: Vec::new(),
            tree: None,
            should_falter: false,
        };
        self.blocks.insert(block.id, entry);
    }

    /// Votes for a block and its descendants.
    fn votes_below(&self, votes: &Bag<Id>, block: Id) -> usize {
        let children = self.blocks[&block].children.iter();
        votes.count(&block) + children.map(|child| self.votes_below(votes, *child)).sum::<usize>()
    }

    /// The blocks to poll, from the last accepted one on, with the votes for their children.
    fn levels(&self, votes: &Bag<Id>) -> Vec<(Id, Bag<Id>)> {
        let mut levels = Vec::new();
        let mut next = Some(self.last_accepted);
        while let Some(block) = next {
            let mut ballots = Bag::new();
            for child in &self.blocks[&block].children {
                ballots.add_count(*child, self.votes_below(votes, *child));
            }
            if ballots.len() < self.parameters.alpha_preference {
                break;
            }
            next = ballots.mode().map(|(child, _)| *child);
            levels.push((block, ballots));
        }
        levels
    }

    /// Returns accepted and rejected blocks in order.
    fn record_poll(&mut self, votes: &Bag<Id>) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let mut levels = Vec::new();
        if votes.len() >= self.parameters.alpha_preference {
            levels = self.levels(votes);
        }
        if levels.is_empty() {
            self.blocks.get_mut(&self.last_accepted).unwrap().should_falter = true;
        }
        for (index, (block, ballots)) in levels.iter().enumerate() {
            let next = levels.get(index + 1).map(|(next, _)| *next);
            let Some(entry) = self.blocks.get_mut(block) else { break };
            let falters = std::mem::take(&mut entry.should_falter);
            let tree = entry.tree.as_mut().unwrap();
            if falters {
                tree.record_unsuccessful_poll();
            }
            tree.record_poll(ballots);
            let (finalized, preference) = (tree.finalized(), tree.preference());
            let children = entry.children.clone();
            if finalized && *block == self.last_accepted {
                self.accept(preference, &mut decisions);
            }
            for child in children {
                if (falters || Some(child) != next)
                    && let Some(child) = self.blocks.get_mut(&child)
                {
                    child.should_falter = true;
                }
            }
        }
        decisions
    }

    fn accept(&mut self, block: Id, decisions: &mut Vec<Decision>) {
        decisions.extend([Decision::Accepting(block), Decision::Accept(block)]);
        let parent = self.blocks.remove(&self.last_accepted).unwrap();
        self.last_accepted = block;
        let mut doomed: Vec<_> =
            parent.children.into_iter().filter(|child| *child != block).collect();
        while !doomed.is_empty() {
            doomed.sort_unstable();
            decisions.extend(doomed.iter().map(|id| Decision::Reject(*id)));
            doomed =
                doomed.iter().flat_map(|id| self.blocks.remove(id).unwrap().children).collect();
        }
    }

    /// The preferred branch above the last accepted block.
    fn preferred(&self) -> Vec<(Id, u64)> {
        let mut preferred = Vec::new();
        let mut block = self.last_accepted;
        while let Some(tree) = &self.blocks[&block].tree {
            block = tree.preference();
            preferred.push((block, self.blocks[&block].height));
        }
        preferred
    }

    fn dump(&self) -> Dump {
        let blocks = self.blocks.iter().map(|(id, entry)| BlockDump {
            id: *id,
            height: entry.height,
            should_falter: entry.should_falter,
            drawing: entry.tree.as_ref().map(ToString::to_string).unwrap_or_default(),
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort_unstable_by_key(|block| (block.height, block.id));
        Dump { blocks, preferred: self.preferred() }
    }
}

/// Both implementations side by side.
struct Twins {
    reference: Reference,
    consensus: Topological,
    /// All blocks ever added.
    blocks: Vec<Block>,
}

impl Twins {
    fn new(factory: Factory, parameters: Parameters) -> Self {
        let consensus = Topological::new(factory, parameters, GENESIS, 0, NOW, 5).unwrap();
        let genesis =
            Block { id: GENESIS, parent: Id::EMPTY, height: 0, timestamp: NOW, size_bytes: 0 };
        Self { reference: Reference::new(factory, parameters), consensus, blocks: vec![genesis] }
    }

    fn add(&mut self, parent: usize, bits: u8) {
        let parent = self.blocks[parent % self.blocks.len()];
        if !self.reference.blocks.contains_key(&parent.id) {
            return;
        }
        let mut id = Id::EMPTY;
        id.0[0] = bits;
        id.0[31] = self.blocks.len() as u8;
        let block = Block { id, parent: parent.id, height: parent.height + 1, ..parent };
        self.consensus.add(&block, NOW).unwrap();
        self.reference.add(&block);
        self.blocks.push(block);
    }

    fn poll(&mut self, votes: &[usize]) {
        let votes: Bag<_> =
            votes.iter().map(|block| self.blocks[block % self.blocks.len()].id).collect();
        let mut decisions = Vec::new();
        let result = self.consensus.record_poll::<Infallible>(&votes, NOW, &mut |decision| {
            decisions.push(decision);
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert_eq!(decisions, self.reference.record_poll(&votes));
    }

    fn compare(&self) {
        let (consensus, reference) = (&self.consensus, &self.reference);
        assert_eq!(consensus.dump(), reference.dump());
        assert_eq!(consensus.num_processing(), reference.blocks.len() - 1);
        let (last_accepted, height) = consensus.last_accepted();
        assert_eq!(last_accepted, reference.last_accepted);
        let preferred = reference.preferred();
        let preference = preferred.last().map_or(last_accepted, |(id, _)| *id);
        assert_eq!(consensus.preference(), preference);
        for block in &self.blocks {
            let entry = reference.blocks.get(&block.id);
            let is_last = block.id == last_accepted;
            assert_eq!(consensus.processing(&block.id), entry.is_some() && !is_last);
            let is_preferred = is_last || preferred.iter().any(|(id, _)| *id == block.id);
            assert_eq!(consensus.is_preferred(&block.id), is_preferred);
            let parent = entry.map(|entry| entry.parent).filter(|parent| *parent != Id::EMPTY);
            assert_eq!(consensus.parent_of(&block.id), parent);
        }
        assert_eq!(consensus.preference_at_height(height), Some(last_accepted));
        for (id, height) in preferred {
            assert_eq!(consensus.preference_at_height(height), Some(id));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add { parent: usize, bits: u8 },
    Poll(Vec<usize>),
}

const K: usize = 5;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Polls for few different blocks succeed often enough.
    let vote = prop_oneof![3 => 0..12_usize, 1 => 0..200_usize];
    let poll = (prop::collection::vec(vote, 1..=3), prop::collection::vec(0..3_usize, 0..=K))
        .prop_map(|(blocks, picks)| {
            Step::Poll(picks.iter().map(|pick| blocks[pick % blocks.len()]).collect())
        });
    let step = prop_oneof![
        2 => (0..200_usize, 0..8_u8).prop_map(|(parent, bits)| Step::Add { parent, bits }),
        3 => poll,
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn it_does_what_the_reference_does(
        steps in steps(),
        (alpha_preference, alpha_confidence) in prop::sample::select(vec![(3, 3), (3, 4), (4, 5)]),
        beta in 1..4_usize,
        snowball: bool,
    ) {
        let factory = if snowball { Factory::Snowball } else { Factory::Snowflake };
        let parameters = Parameters {
            k: K,
            alpha_preference,
            alpha_confidence,
            beta,
            concurrent_repolls: 1,
            ..Parameters::DEFAULT
        };
        let mut twins = Twins::new(factory, parameters);
        for step in steps {
            match step {
                Step::Add { parent, bits } => twins.add(parent, bits),
                Step::Poll(votes) => twins.poll(&votes),
            }
            twins.compare();
        }
    }
}

fn block(number: u8, parent: Id, height: u64) -> Block {
    let mut id = Id::EMPTY;
    id.0[0] = number;
    Block { id, parent, height, timestamp: NOW, size_bytes: 1 }
}

#[test]
fn bad_parameters_are_refused() {
    let parameters = Parameters { k: 0, ..Parameters::DEFAULT };
    assert!(Topological::new(Factory::Snowflake, parameters, GENESIS, 0, NOW, 0).is_err());
}

#[test]
fn a_block_needs_a_parent_and_comes_once() {
    let mut consensus =
        Topological::new(Factory::Snowflake, Parameters::DEFAULT, GENESIS, 0, NOW, 0).unwrap();
    let first = block(1, GENESIS, 1);
    assert_eq!(consensus.add(&block(3, Id([9; 32]), 1), NOW), Err(AddError::UnknownParent));
    assert_eq!(consensus.add(&first, NOW), Ok(()));
    assert_eq!(consensus.add(&first, NOW), Err(AddError::Duplicate));
    let again = Block { id: GENESIS, parent: first.id, ..first };
    assert_eq!(consensus.add(&again, NOW), Err(AddError::Duplicate));
    assert_eq!(consensus.num_processing(), 1);
}

#[test]
fn default_parameters_need_exactly_beta_polls() {
    let mut consensus =
        Topological::new(Factory::Snowflake, Parameters::DEFAULT, GENESIS, 0, NOW, 0).unwrap();
    let (one, two) = (block(1, GENESIS, 1), block(2, GENESIS, 1));
    consensus.add(&one, NOW).unwrap();
    consensus.add(&two, NOW).unwrap();
    let mut votes = Bag::new();
    votes.add_count(one.id, Parameters::DEFAULT.alpha_confidence);
    for _ in 0..Parameters::DEFAULT.beta {
        assert_eq!(consensus.num_processing(), 2);
        let Ok(()) = consensus.record_poll::<Infallible>(&votes, NOW, &mut |_| Ok(()));
    }
    assert_eq!(consensus.num_processing(), 0);
    assert_eq!(consensus.preference(), one.id);
}

#[test]
fn the_histogram_counts_by_bound() {
    let mut consensus = Topological::new(
        Factory::Snowflake,
        Parameters {
            k: 1,
            alpha_preference: 1,
            alpha_confidence: 1,
            beta: 1,
            concurrent_repolls: 1,
            ..Parameters::DEFAULT
        },
        GENESIS,
        0,
        NOW,
        0,
    )
    .unwrap();
    let mut parent = GENESIS;
    for (number, seconds) in [(1, 0), (2, 1), (3, 2), (4, 5)] {
        let block = block(number, parent, number.into());
        consensus.add(&block, NOW).unwrap();
        let votes: Bag<_> = [block.id].into_iter().collect();
        let now = NOW + Duration::from_secs(seconds);
        let Ok(()) = consensus.record_poll::<Infallible>(&votes, now, &mut |_| Ok(()));
        parent = block.id;
    }
    let latencies = consensus.stats().latencies;
    assert_eq!(latencies.buckets, [2, 1, 0, 0]);
    assert_eq!((latencies.all.count, latencies.all.sum), (4, 8_000_000_000));
}
