//! The tree of processing blocks.
//!
//! # Specification
//!
//! The root is the last accepted block, all others are processing. A block with children has a
//! snowball tree that chooses among them. The *preferred branch* follows these choices from the
//! root; the *preference* is its last block.
//!
//! Upon `add(block)`: the block becomes a choice of its parent's snowball tree. If the parent is
//! the preference, the block is from now on.
//!
//! Upon `record_poll(votes)`:
//!
//! 1. With fewer than α preference votes, or without a majority for any processing block, the poll
//!    failed: the root falters.
//! 2. Otherwise each vote counts for the block and all its ancestors, and each block whose children
//!    have a majority together is polled with their votes, from the root downwards. A block that
//!    should falter first loses the confidence in its children.
//! 3. When the root's snowball tree is final, its preferred child is accepted: it becomes the root.
//!    Its siblings and all their descendants are rejected.
//! 4. The children of a polled block that are not polled themselves will falter, all of them if the
//!    block itself faltered. So one failed poll resets confidence in a whole subtree, when it is
//!    next looked at.
//! 5. The preferred branch is followed anew if it changed.
//!
//! Votes for unknown and decided blocks move nothing, but count in 1.
//!
//! Decisions leave through a closure, in the order in which they are made: a block after its
//! ancestors, a rejected block after the accepted one it conflicts with, in generations that are
//! sorted by ID. An error of the closure ends the poll at once. The state is then undefined: the
//! chain must stop.
//!
//! # Invariants
//!
//! * The preferred branch begins with a child of the root, and each block on it is the preference of
//!   its parent's snowball tree.
//! * A snowball tree may have rejected a child by its bits that is still processing. Votes for that
//!   child are dropped, those for its descendants still move the trees below it.
//! * The parent of each processing block is in the tree.
//! * A processing block leaves it only by being accepted or rejected.
//!
//! # Deviations
//!
//! Upstream walks maps with block IDs as keys. Here each ID becomes a dense number when its block
//! is added, and a poll looks at no ID but those voted for. A flag on each child that should falter
//! would cost a walk over all children in each poll; instead each block knows when it was last
//! polled, and a child should falter if it was not polled when its parent was.
//!
//! Upstream: `snow/consensus/snowman/{topological,snowman_block}.go`.

use std::{collections::VecDeque, time::Duration};

use sastrugi_types::{
    Bag, Id, IdBuildHasher, IdMap, Instant, WallTime,
    average::{Averager, MaturedAverager},
};

use super::{
    BlockDump, Dump, Health, ParentView, Stats, Unhealthy,
    processing::{Record, Records},
    stats::Decided,
    votes::{Ancestry, Votes},
};
use crate::{
    slab::Slab,
    snowball::{
        Factory, Parameters, ParametersError,
        forest::{Forest, Root, Vote},
        saturate,
    },
};

/// Half-life of the average acceptance time.
const ACCEPTANCE_HALF_LIFE: Duration = Duration::from_mins(5);
/// Average acceptance time above which consensus is unhealthy.
const MAX_ACCEPTANCE_TIME: Duration = Duration::from_secs(15);

/// A block as consensus sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its ID.
    pub id: Id,
    /// The ID of its parent.
    pub parent: Id,
    /// One more than its parent's.
    pub height: u64,
    /// What the block says of the time it was built at.
    pub timestamp: WallTime,
    /// Length of its bytes. Only counted.
    pub size_bytes: u64,
}

/// A step of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The block will be accepted next. Indexers hear of it now, before the VM.
    Accepting(Id),
    /// The block is accepted.
    Accept(Id),
    /// The block is rejected.
    Reject(Id),
}

/// Why a block cannot be added. Whoever adds it has lost track of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The block is processing already.
    #[error("duplicate block add")]
    Duplicate,
    /// The parent is not in consensus: it is unknown, rejected, or below the last accepted block.
    #[error("unknown parent block")]
    UnknownParent,
}

/// The place of a block in the tree.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    /// Chooses among the children; none until there is one.
    tree: Option<Root>,
    /// The number of the poll that last reached the tree. For a new block, that of its parent: it
    /// has missed nothing.
    polled: u64,
    /// Number of ancestors since the start.
    depth: u64,
    first_child: Option<u32>,
    next_sibling: Option<u32>,
    preferred: bool,
}

/// Consensus on a chain of blocks.
///
/// See the [module documentation](self) for what it does. Upstream:
/// `snow/consensus/snowman/topological.go`.
#[derive(Clone, Debug)]
pub struct Topological {
    /// The last block of the preferred branch, or the last accepted one.
    preference: Id,
    parameters: Parameters,
    majority: u32,
    forest: Forest,
    nodes: Slab<Node>,
    /// IDs by block number.
    ids: Vec<Id>,
    records: Records,
    /// Block numbers by ID.
    numbers: IdMap<u32>,
    root: u32,
    /// The parent of the last accepted block, unless it is the one that consensus began with.
    root_parent: Option<Id>,
    /// Whether the root should falter.
    root_falters: bool,
    /// The processing blocks of the preferred branch, lowest first.
    preferred: VecDeque<u32>,
    poll: u64,
    version: u64,
    votes: Votes,
    /// Blocks being rejected: a generation, and the next one.
    doomed: [Vec<u32>; 2],
    acceptance_time: MaturedAverager,
    stats: Stats,
}

impl Topological {
    /// Consensus above `last_accepted`, with nothing processing. `hash_seed` makes the places of
    /// IDs in tables unpredictable to peers.
    ///
    /// # Errors
    /// What is wrong with the parameters.
    pub fn new(
        factory: Factory,
        parameters: Parameters,
        last_accepted: Id,
        height: u64,
        timestamp: WallTime,
        hash_seed: u64,
    ) -> Result<Self, ParametersError> {
        parameters.verify()?;
        let mut nodes = Slab::new();
        let root = nodes.insert(Node {
            parent: 0,
            tree: None,
            polled: 0,
            depth: 0,
            first_child: None,
            next_sibling: None,
            preferred: false,
        });
        let mut records = Records::default();
        let block =
            Block { id: last_accepted, parent: Id::EMPTY, height, timestamp, size_bytes: 0 };
        records.insert_decided(root, Record::new(&block, timestamp, 0));
        let mut numbers = IdMap::with_hasher(IdBuildHasher::new(hash_seed));
        numbers.insert(last_accepted, root);
        let averager = Averager::uninitialized(ACCEPTANCE_HALF_LIFE);
        Ok(Self {
            preference: last_accepted,
            majority: saturate(parameters.alpha_preference),
            forest: Forest::new(factory, &parameters),
            parameters,
            nodes,
            ids: vec![last_accepted],
            records,
            numbers,
            root,
            root_parent: None,
            root_falters: false,
            preferred: VecDeque::new(),
            poll: 0,
            version: 0,
            votes: Votes::default(),
            doomed: [Vec::new(), Vec::new()],
            acceptance_time: MaturedAverager::new(averager, ACCEPTANCE_HALF_LIFE),
            stats: Stats {
                max_verified_height: height,
                last_accepted_height: height,
                last_accepted_timestamp: timestamp,
                ..Stats::default()
            },
        })
    }

    /// The parameters it works with.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Number of processing blocks.
    pub const fn num_processing(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Whether a block is processing.
    pub fn processing(&self, block: &Id) -> bool {
        self.numbers.get(block).is_some_and(|number| *number != self.root)
    }

    /// Whether a block is the last accepted one or on the preferred branch.
    pub fn is_preferred(&self, block: &Id) -> bool {
        self.numbers
            .get(block)
            .is_some_and(|number| *number == self.root || self.nodes[*number].preferred)
    }

    /// The last accepted block and its height.
    pub fn last_accepted(&self) -> (Id, u64) {
        (self.id(self.root), self.records.get(self.root).height)
    }

    /// The last block of the preferred branch, or the last accepted one if nothing is processing.
    pub const fn preference(&self) -> Id {
        self.preference
    }

    /// The preferred block at a height. None above the preference and below the last accepted
    /// block.
    pub fn preference_at_height(&self, height: u64) -> Option<Id> {
        let (last_accepted, last_height) = self.last_accepted();
        if height == last_height {
            return Some(last_accepted);
        }
        let place = self.preferred.binary_search_by_key(&height, |n| self.records.get(*n).height);
        place.ok().map(|place| self.id(self.preferred[place]))
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Adds a verified block, issued at `now`.
    ///
    /// # Errors
    /// When it is processing already or its parent is not in consensus. The chain must then stop.
    pub fn add(&mut self, block: &Block, now: WallTime) -> Result<(), AddError> {
        let known = self.numbers.get(&block.id).copied();
        if known.is_some_and(|number| number != self.root) {
            return Err(AddError::Duplicate);
        }
        self.stats.max_verified_height = self.stats.max_verified_height.max(block.height);
        let parent = *self.numbers.get(&block.parent).ok_or(AddError::UnknownParent)?;
        if known.is_some() {
            return Err(AddError::Duplicate);
        }
        let number = self.insert(block, parent, now);
        if block.parent == self.preference {
            self.prefer(number);
        }
        self.version += 1;
        Ok(())
    }

    /// Takes the votes of a finished poll and hands out the decisions that follow from it.
    ///
    /// # Errors
    /// The first error of `decide`. Nothing may be asked of consensus afterwards.
    pub fn record_poll<E>(
        &mut self,
        votes: &Bag<Id>,
        now: WallTime,
        decide: &mut dyn FnMut(Decision) -> Result<(), E>,
    ) -> Result<(), E> {
        self.poll += 1;
        self.collect(votes);
        if self.votes.next_level().is_none() {
            self.root_falters = true;
            if self.num_processing() > 0 {
                self.stats.polls_failed += 1;
            }
            return Ok(());
        }
        let preferred = self.poll_levels(now, decide)?;
        if !self.nodes[preferred].preferred {
            self.follow(preferred);
        }
        Ok(())
    }

    /// How consensus is doing at `now`.
    pub fn health(&self, now: WallTime) -> Health {
        let processing = self.num_processing();
        let oldest = self.records.oldest();
        let nanos = oldest.map_or(0, |record| now.nanos_since(record.issued_at));
        let longest = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        let average_acceptance_nanos = self.acceptance_time.read() as i64;
        let average = Duration::from_nanos(u64::try_from(average_acceptance_nanos).unwrap_or(0));

        let mut problems = Vec::new();
        let max = self.parameters.max_outstanding_items;
        if processing > max {
            problems.push(Unhealthy::TooManyProcessing { processing, max });
        }
        let max = self.parameters.max_item_processing_time;
        if longest > max {
            problems.push(Unhealthy::ProcessingTooLong { longest, max });
        }
        if average > MAX_ACCEPTANCE_TIME {
            let max = MAX_ACCEPTANCE_TIME;
            problems.push(Unhealthy::AcceptanceTimeTooHigh { average, max });
        }
        let (last_accepted, last_accepted_height) = self.last_accepted();
        Health {
            processing_blocks: processing,
            longest_processing_block: longest,
            average_acceptance_nanos,
            last_accepted,
            last_accepted_height,
            problems,
        }
    }

    /// The whole state, for people and tests.
    pub fn dump(&self) -> Dump {
        let mut blocks = Vec::new();
        let mut stack = vec![self.root];
        while let Some(number) = stack.pop() {
            let node = &self.nodes[number];
            let mut drawing = String::new();
            if let Some(tree) = node.tree {
                // Writing to a string cannot fail.
                let _ = self.forest.draw(tree, &mut drawing);
            }
            blocks.push(BlockDump {
                id: self.id(number),
                height: self.records.get(number).height,
                should_falter: if number == self.root {
                    self.root_falters
                } else {
                    node.polled != self.nodes[node.parent].polled
                },
                drawing,
            });
            stack.extend(self.children(number));
        }
        blocks.sort_unstable_by_key(|block| (block.height, block.id));
        let preferred = self.preferred.iter().map(|n| (self.id(*n), self.records.get(*n).height));
        Dump { blocks, preferred: preferred.collect() }
    }

    fn id(&self, number: u32) -> Id {
        self.ids[number as usize]
    }

    fn children(&self, number: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(self.nodes[number].first_child, |n| self.nodes[*n].next_sibling)
    }

    /// Gives a block a number and a place below `parent`.
    fn insert(&mut self, block: &Block, parent: u32, now: WallTime) -> u32 {
        let Node { polled, depth, first_child, .. } = self.nodes[parent];
        let number = self.nodes.insert(Node {
            parent,
            tree: None,
            polled,
            depth: depth + 1,
            first_child: None,
            next_sibling: first_child,
            preferred: false,
        });
        match self.ids.get_mut(number as usize) {
            Some(id) => *id = block.id,
            None => self.ids.push(block.id),
        }
        self.numbers.insert(block.id, number);
        self.records.insert(number, Record::new(block, now, self.poll));

        let parent = &mut self.nodes[parent];
        parent.first_child = Some(number);
        match &mut parent.tree {
            Some(tree) => {
                self.forest.add(tree, &self.ids, number);
            }
            None => parent.tree = Some(self.forest.plant(number)),
        }
        number
    }

    /// Extends the preferred branch.
    fn prefer(&mut self, number: u32) {
        self.nodes[number].preferred = true;
        self.preferred.push_back(number);
        self.preference = self.id(number);
    }

    /// Finds the blocks that a poll reaches.
    fn collect(&mut self, votes: &Bag<Id>) {
        self.votes.clear();
        if votes.len() < self.parameters.alpha_preference {
            return;
        }
        for (id, count) in votes.iter() {
            if let Some(number) = self.numbers.get(id)
                && *number != self.root
            {
                let vote = Vote { choice: *number, count: saturate(count) };
                self.votes.cast(self.nodes[*number].depth, vote);
            }
        }
        self.votes.carry(&self.nodes, self.root, self.majority);
    }

    /// Polls the blocks that a poll reaches, from the root downwards. Returns the preferred child
    /// of the last of them on the preferred branch.
    fn poll_levels<E>(
        &mut self,
        now: WallTime,
        decide: &mut dyn FnMut(Decision) -> Result<(), E>,
    ) -> Result<u32, E> {
        let mut preferred = self.root;
        let mut on_preferred_branch = true;
        let mut successful = false;
        let mut falters = std::mem::take(&mut self.root_falters);
        while let Some(level) = self.votes.pop_level() {
            let next = self.votes.next_level().map(|next| next.block);
            let node = &mut self.nodes[level.block];
            let last_polled = std::mem::replace(&mut node.polled, self.poll);
            let Some(tree) = &mut node.tree else {
                debug_assert!(false, "votes for the children of a block without any");
                break;
            };
            if falters {
                tree.record_unsuccessful_poll();
            }
            successful |= self.forest.record_poll(tree, &self.ids, self.votes.ballots(level));
            let tree = *tree;
            let choice = self.forest.preference(tree);
            if on_preferred_branch {
                preferred = choice;
                on_preferred_branch = next == Some(choice);
            }
            if level.block == self.root && self.forest.finalized(tree) {
                self.accept(choice, now, decide)?;
                if next != Some(choice) {
                    // The accepted block is not polled, and what is polled below was rejected.
                    self.root_falters = true;
                    break;
                }
            }
            falters = falters || next.is_some_and(|next| self.nodes[next].polled != last_polled);
        }
        if successful {
            self.stats.polls_successful += 1;
        } else {
            self.stats.polls_failed += 1;
        }
        Ok(preferred)
    }

    /// Accepts a child of the root and rejects what conflicts with it.
    fn accept<E>(
        &mut self,
        child: u32,
        now: WallTime,
        decide: &mut dyn FnMut(Decision) -> Result<(), E>,
    ) -> Result<(), E> {
        decide(Decision::Accepting(self.id(child)))?;
        decide(Decision::Accept(self.id(child)))?;
        let parent = std::mem::replace(&mut self.root, child);
        self.root_parent = Some(self.id(parent));
        self.version += 1;
        if std::mem::take(&mut self.nodes[child].preferred) {
            self.preferred.pop_front();
        }
        self.count_accepted(child, now);
        self.reject_siblings(parent, child, now, decide)?;
        self.remove(parent);
        Ok(())
    }

    /// Rejects all children of `parent` but one, and their descendants.
    fn reject_siblings<E>(
        &mut self,
        parent: u32,
        accepted: u32,
        now: WallTime,
        decide: &mut dyn FnMut(Decision) -> Result<(), E>,
    ) -> Result<(), E> {
        let [mut generation, mut next] = std::mem::take(&mut self.doomed);
        generation.clear();
        generation.extend(self.children(parent).filter(|child| *child != accepted));
        while !generation.is_empty() {
            generation.sort_unstable_by_key(|number| self.ids[*number as usize]);
            for number in &generation {
                decide(Decision::Reject(self.id(*number)))?;
                self.records.decide(*number);
                self.stats.reject(&self.decided(*number, now));
            }
            next.clear();
            for number in &generation {
                next.extend(self.children(*number));
                self.remove(*number);
            }
            std::mem::swap(&mut generation, &mut next);
        }
        self.doomed = [generation, next];
        Ok(())
    }

    /// Forgets a block. Its number may be given to another one.
    fn remove(&mut self, number: u32) {
        if let Some(tree) = self.nodes[number].tree {
            self.forest.fell(tree);
        }
        self.numbers.remove(&self.ids[number as usize]);
        self.nodes.remove(number);
    }

    fn count_accepted(&mut self, number: u32, now: WallTime) {
        self.records.decide(number);
        let Record { height, timestamp, .. } = *self.records.get(number);
        let nanos_since_timestamp = now.nanos_since(timestamp);
        // Only differences count, so calendar time will do.
        let instant = Instant(u64::try_from(now.0).unwrap_or(0));
        self.acceptance_time.observe(nanos_since_timestamp as f64, instant);
        self.stats.last_accepted_height = height;
        self.stats.last_accepted_timestamp = timestamp;
        self.stats.accept(&self.decided(number, now), nanos_since_timestamp);
    }

    fn decided(&self, number: u32, now: WallTime) -> Decided {
        let record = self.records.get(number);
        Decided {
            size_bytes: record.size_bytes,
            polls: self.poll - record.issued_poll,
            nanos_since_issue: now.nanos_since(record.issued_at),
        }
    }

    /// Makes the branch through `number` the preferred one.
    fn follow(&mut self, number: u32) {
        for old in self.preferred.drain(..) {
            self.nodes[old].preferred = false;
        }
        self.preference = self.id(number);
        let mut ancestor = number;
        while ancestor != self.root {
            self.nodes[ancestor].preferred = true;
            self.preferred.push_front(ancestor);
            ancestor = self.nodes[ancestor].parent;
        }
        let mut descendant = number;
        while let Some(tree) = self.nodes[descendant].tree {
            descendant = self.forest.preference(tree);
            self.prefer(descendant);
        }
    }
}

impl ParentView for Topological {
    fn parent_of(&self, block: &Id) -> Option<Id> {
        let number = *self.numbers.get(block)?;
        if number == self.root {
            self.root_parent
        } else {
            Some(self.id(self.nodes[number].parent))
        }
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Ancestry for Slab<Node> {
    #[inline]
    fn parent(&self, block: u32) -> u32 {
        self[block].parent
    }
}

#[cfg(test)]
#[path = "topological_tests.rs"]
mod tests;
