//! A decision among IDs by instances over their bits.

use std::fmt;

use sastrugi_types::{Bag, Id};

use super::{
    Consensus, Factory, Parameters,
    forest::{Forest, Root, Vote},
    parameters::saturate,
};

/// Decides among any number of IDs, bit by bit.
///
/// Votes for different choices help each other as far as their bits agree, so that a split vote
/// still decides the common prefix. See the module's source for the structure, and note:
///
/// * A vote for one choice may make another one preferred: it can exclude a third.
/// * Votes for a choice that contradicts decided bits do not count; adding such a choice changes
///   nothing.
/// * A poll is successful when its root is: some bits below may have failed.
/// * Choices voted for need not have been added. Their bits count.
///
/// Upstream: `snow/consensus/snowball/tree.go`.
#[derive(Clone, Debug)]
pub struct Tree {
    forest: Forest,
    root: Root,
    /// The IDs of the choices. During a poll those of the votes follow.
    ids: Vec<Id>,
    votes: Vec<Vote>,
}

impl Tree {
    /// A tree with one choice. The parameters must have been verified.
    pub fn new(factory: Factory, parameters: &Parameters, choice: Id) -> Self {
        let mut forest = Forest::new(factory, parameters);
        let root = forest.plant(0);
        Self { forest, root, ids: vec![choice], votes: Vec::new() }
    }
}

impl Consensus for Tree {
    fn add(&mut self, choice: Id) {
        let number = self.ids.len() as u32;
        self.ids.push(choice);
        if !self.forest.add(&mut self.root, &self.ids, number) {
            self.ids.pop();
        }
    }

    fn preference(&self) -> Id {
        self.ids[self.forest.preference(self.root) as usize]
    }

    fn record_poll(&mut self, votes: &Bag<Id>) -> bool {
        let choices = self.ids.len();
        self.votes.clear();
        for (number, (id, count)) in (choices as u32..).zip(votes.iter()) {
            self.ids.push(*id);
            self.votes.push(Vote { choice: number, count: saturate(count) });
        }
        let successful = self.forest.record_poll(&mut self.root, &self.ids, &mut self.votes);
        self.ids.truncate(choices);
        successful
    }

    fn record_unsuccessful_poll(&mut self) {
        self.root.record_unsuccessful_poll();
    }

    fn finalized(&self) -> bool {
        self.forest.finalized(self.root)
    }
}

impl fmt::Display for Tree {
    /// Draws the tree, one node per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.forest.draw(self.root, f)
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
