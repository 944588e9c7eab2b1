//! Carries votes for blocks up to the blocks that choose among them.
//!
//! A vote for a block is a vote for each of its ancestors. The votes are carried upwards level by
//! level, beginning with the deepest, so that each block is visited once. A block whose children
//! got a majority together becomes a [`Level`]: its snowball tree is to be polled.
//!
//! A majority is more than half of a poll, so the levels form one chain that begins at the last
//! accepted block.

use crate::snowball::forest::Vote;

/// A block that chooses among its children with the votes they got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// The block.
    pub(super) block: u32,
    /// Where the votes for its children begin in [`Votes::ballots`].
    start: u32,
    /// Where they end.
    end: u32,
}

/// What is needed of a block to carry votes.
pub(super) trait Ancestry {
    /// The parent of a processing block.
    fn parent(&self, block: u32) -> u32;
}

/// The votes of one poll. Its memory is used again for the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    /// Blocks voted for, with their depths. After sorting the deepest is last.
    cast: Vec<(u64, Vote)>,
    /// Blocks at one depth with all votes for them and their descendants.
    carried: Vec<Vote>,
    /// The same one level above.
    above: Vec<Vote>,
    /// The levels, the deepest first.
    levels: Vec<Level>,
    ballots: Vec<Vote>,
}

impl Votes {
    /// Begins a poll.
    pub(super) fn clear(&mut self) {
        self.cast.clear();
        self.carried.clear();
        self.levels.clear();
        self.ballots.clear();
    }

    /// Adds votes for a processing block, once per block.
    pub(super) fn cast(&mut self, depth: u64, vote: Vote) {
        self.cast.push((depth, vote));
    }

    /// Takes the level nearest to the last accepted block.
    #[inline]
    pub(super) fn pop_level(&mut self) -> Option<Level> {
        self.levels.pop()
    }

    /// The level that [`pop_level`](Self::pop_level) will return.
    #[inline]
    pub(super) fn next_level(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// The votes for the children of a level's block.
    #[inline]
    pub(super) fn ballots(&mut self, level: Level) -> &mut [Vote] {
        &mut self.ballots[level.start as usize..level.end as usize]
    }

    /// Carries the votes up to `root` and finds the levels with at least `majority` votes.
    pub(super) fn carry(&mut self, tree: &impl Ancestry, root: u32, majority: u32) {
        self.cast.sort_unstable_by_key(|(depth, _)| *depth);
        while let Some((depth, _)) = self.cast.last() {
            let mut depth = *depth;
            loop {
                self.join(depth);
                let reached = if let [vote] = self.carried[..] {
                    self.carry_alone(vote, depth, tree, root, majority)
                } else {
                    self.carry_together(tree, majority);
                    depth - 1
                };
                depth = reached;
                self.carried.retain(|vote| vote.choice != root);
                if self.carried.is_empty() {
                    break;
                }
            }
        }
    }

    /// Adds the votes cast at `depth` to those carried there.
    fn join(&mut self, depth: u64) {
        while let Some((_, vote)) = self.cast.pop_if(|(cast, _)| *cast == depth) {
            match self.carried.iter_mut().find(|carried| carried.choice == vote.choice) {
                Some(carried) => carried.count = carried.count.saturating_add(vote.count),
                None => self.carried.push(vote),
            }
        }
    }

    /// Carries the votes of a single block until others join them or the root is reached. Returns
    /// the depth.
    fn carry_alone(
        &mut self,
        mut vote: Vote,
        mut depth: u64,
        tree: &impl Ancestry,
        root: u32,
        majority: u32,
    ) -> u64 {
        let joined_at = self.cast.last().map_or(0, |(depth, _)| *depth);
        loop {
            let parent = tree.parent(vote.choice);
            depth -= 1;
            if vote.count >= majority {
                let start = self.ballots.len() as u32;
                self.ballots.push(vote);
                self.levels.push(Level { block: parent, start, end: start + 1 });
            }
            vote.choice = parent;
            if parent == root || depth <= joined_at {
                break;
            }
        }
        self.carried.clear();
        self.carried.push(vote);
        depth
    }

    /// Carries the votes of several blocks at one depth to their parents.
    fn carry_together(&mut self, tree: &impl Ancestry, majority: u32) {
        self.carried.sort_unstable_by_key(|vote| tree.parent(vote.choice));
        self.above.clear();
        for siblings in self.carried.chunk_by(|a, b| tree.parent(a.choice) == tree.parent(b.choice))
        {
            let block = tree.parent(siblings[0].choice);
            let count = siblings.iter().fold(0, |sum: u32, vote| sum.saturating_add(vote.count));
            if count >= majority {
                let start = self.ballots.len() as u32;
                self.ballots.extend_from_slice(siblings);
                let end = self.ballots.len() as u32;
                self.levels.push(Level { block, start, end });
            }
            self.above.push(Vote { choice: block, count });
        }
        std::mem::swap(&mut self.carried, &mut self.above);
    }
}
