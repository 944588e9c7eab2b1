//! Snowball trees in a common arena.
//!
//! A tree is a binary trie over the 256 bits of its choices, in which a run of bits that all
//! choices below share is one node:
//!
//! * A *unary node* covers the bits `decided..common`. One unary instance stands for all of them.
//!   Below it hangs the node for bit `common`, if choices differ there.
//! * A *binary node* covers one bit on which choices differ. Below it hangs a node for each side,
//!   or none when it is the last bit.
//!
//! Each node is polled with the votes for the choices below it. A node whose instance finalizes
//! has decided its bits: the node below takes its place, and the other side is gone. So the bits
//! before the root's first one are decided, and the tree is finalized when its root is.
//!
//! A node cannot finalize before the one above it: that one gets all its votes, and began with no
//! less confidence.
//!
//! An unsuccessful poll resets confidence in the whole subtree. It is noted where it happens and
//! handed down when the subtree is polled next.
//!
//! Choices are dense numbers, given by the owner together with the table of their IDs.
//!
//! Upstream: `snow/consensus/snowball/tree.go`.

use std::fmt;

use sastrugi_types::{
    Id,
    bits::{ID_BITS, bit, equal_subset, first_difference},
};

use super::{Binary, Factory, Parameters, Thresholds, Unary};
use crate::slab::Slab;

/// Votes for one choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vote {
    /// The number of the choice.
    pub(crate) choice: u32,
    /// How many votes.
    pub(crate) count: u32,
}

/// A tree of a [`Forest`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    node: Node,
    should_reset: bool,
}

impl Root {
    /// Takes a poll without a majority.
    #[inline]
    pub(crate) const fn record_unsuccessful_poll(&mut self) {
        self.should_reset = true;
    }
}

/// A node by its kind and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Unary(u32),
    Binary(u32),
}

#[derive(Clone, Copy, Debug)]
struct UnaryNode {
    instance: Unary,
    /// A choice that is valid for the whole subtree, and preferred in it.
    preference: u32,
    decided: u16,
    common: u16,
    child: Option<Node>,
    should_reset: bool,
}

#[derive(Clone, Copy, Debug)]
struct BinaryNode {
    instance: Binary,
    preferences: [u32; 2],
    children: [Option<Node>; 2],
    bit: u16,
    should_reset: [bool; 2],
}

/// The nodes of any number of trees.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    thresholds: Thresholds,
    factory: Factory,
    unaries: Slab<UnaryNode>,
    binaries: Slab<BinaryNode>,
}

impl Forest {
    pub(crate) fn new(factory: Factory, parameters: &Parameters) -> Self {
        let thresholds = parameters.thresholds();
        Self { thresholds, factory, unaries: Slab::new(), binaries: Slab::new() }
    }

    /// A tree with one choice.
    pub(crate) fn plant(&mut self, choice: u32) -> Root {
        Root { node: self.leaf(choice, 0), should_reset: false }
    }

    /// Frees all nodes of a tree.
    pub(crate) fn fell(&mut self, root: Root) {
        self.release(Some(root.node));
    }

    /// The choice a tree prefers.
    #[inline]
    pub(crate) fn preference(&self, root: Root) -> u32 {
        self.preference_of(root.node)
    }

    /// Whether a tree's preference is final.
    #[inline]
    pub(crate) fn finalized(&self, root: Root) -> bool {
        match root.node {
            Node::Unary(at) => self.unaries[at].instance.finalized(),
            Node::Binary(at) => self.binaries[at].instance.finalized(),
        }
    }

    /// Adds a choice, unless bits decided already contradict it. Returns whether the tree has taken
    /// it in; else its number may be used for another one.
    pub(crate) fn add(&mut self, root: &mut Root, ids: &[Id], choice: u32) -> bool {
        let forks = self.binaries.len();
        if self.agrees(*root, ids, choice) {
            root.node = self.add_below(root.node, ids, choice);
        }
        self.binaries.len() > forks
    }

    /// Takes the votes of a poll. Those that contradict decided bits do not count. Returns whether
    /// the poll was successful.
    #[inline]
    pub(crate) fn record_poll(&mut self, root: &mut Root, ids: &[Id], votes: &mut [Vote]) -> bool {
        let votes = if self.decided_prefix(root.node) == 0 {
            votes
        } else {
            partition(votes, |vote| !self.agrees(*root, ids, vote.choice)).1
        };
        let (node, successful) = self.poll(root.node, ids, votes, root.should_reset);
        *root = Root { node, should_reset: false };
        successful
    }

    /// Draws a tree, one line per node.
    pub(crate) fn draw(&self, root: Root, f: &mut impl fmt::Write) -> fmt::Result {
        self.draw_below(root.node, 0, f)
    }

    /// Whether a choice agrees with the bits decided in the tree.
    fn agrees(&self, root: Root, ids: &[Id], choice: u32) -> bool {
        let preference = self.preference(root);
        equal_subset(
            0,
            self.decided_prefix(root.node).into(),
            &ids[preference as usize],
            &ids[choice as usize],
        )
    }

    /// The number of bits before those of `node`.
    fn decided_prefix(&self, node: Node) -> u16 {
        match node {
            Node::Unary(at) => self.unaries[at].decided,
            Node::Binary(at) => self.binaries[at].bit,
        }
    }

    #[inline]
    fn preference_of(&self, node: Node) -> u32 {
        match node {
            Node::Unary(at) => self.unaries[at].preference,
            Node::Binary(at) => {
                let node = &self.binaries[at];
                node.preferences[usize::from(node.instance.preference())]
            }
        }
    }

    /// A node for a choice that differs from all others in the bit before `decided`.
    fn leaf(&mut self, choice: u32, decided: u16) -> Node {
        Node::Unary(self.unaries.insert(UnaryNode {
            instance: self.factory.unary(),
            preference: choice,
            decided,
            common: ID_BITS as u16,
            child: None,
            should_reset: false,
        }))
    }

    fn release(&mut self, node: Option<Node>) {
        match node {
            None => {}
            Some(Node::Unary(at)) => {
                self.release(self.unaries[at].child);
                self.unaries.remove(at);
            }
            Some(Node::Binary(at)) => {
                let [zero, one] = self.binaries[at].children;
                self.release(zero);
                self.release(one);
                self.binaries.remove(at);
            }
        }
    }

    /// Adds a choice to a subtree and returns its new top.
    fn add_below(&mut self, node: Node, ids: &[Id], choice: u32) -> Node {
        match node {
            Node::Unary(at) => self.add_to_unary(at, ids, choice),
            Node::Binary(at) => {
                let side = bit(&ids[choice as usize], self.binaries[at].bit.into());
                if let Some(child) = self.binaries[at].children[side] {
                    let child = self.add_below(child, ids, choice);
                    self.binaries[at].children[side] = Some(child);
                }
                node
            }
        }
    }

    fn add_to_unary(&mut self, at: u32, ids: &[Id], choice: u32) -> Node {
        let node = self.unaries[at];
        if node.instance.finalized() {
            return Node::Unary(at);
        }
        let preference = &ids[node.preference as usize];
        let (start, stop) = (node.decided.into(), node.common.into());
        if let Some(index) = first_difference(start, stop, preference, &ids[choice as usize]) {
            return self.split(at, index as u16, bit(preference, index), choice);
        }
        if let Some(child) = node.child {
            let child = self.add_below(child, ids, choice);
            self.unaries[at].child = Some(child);
        }
        Node::Unary(at)
    }

    /// Splits a unary node at bit `index`, in which `choice` differs from the choices so far, which
    /// are on `side`. What the instance has learned counts for the bits before `index`, for that
    /// side of it, and for the bits after it there. The new side starts afresh.
    fn split(&mut self, at: u32, index: u16, side: usize, choice: u32) -> Node {
        let node = self.unaries[at];
        let mut fork = BinaryNode {
            instance: node.instance.extend(side as u8),
            preferences: [choice; 2],
            children: [None; 2],
            bit: index,
            should_reset: [node.should_reset; 2],
        };
        fork.preferences[side] = node.preference;
        let is_last = index + 1 == node.common;
        let below = if is_last { node.child } else { Some(Node::Unary(at)) };
        if below.is_some() {
            fork.children[side] = below;
            fork.children[1 - side] = Some(self.leaf(choice, index + 1));
        }
        let fork = Node::Binary(self.binaries.insert(fork));
        match (index == node.decided, is_last) {
            (true, true) => {
                self.unaries.remove(at);
                fork
            }
            (true, false) => {
                self.unaries[at].decided = index + 1;
                fork
            }
            (false, true) => {
                let above = &mut self.unaries[at];
                above.common = index;
                above.child = Some(fork);
                Node::Unary(at)
            }
            (false, false) => {
                self.unaries[at].decided = index + 1;
                let above =
                    UnaryNode { common: index, child: Some(fork), should_reset: false, ..node };
                Node::Unary(self.unaries.insert(above))
            }
        }
    }

    /// Polls a subtree and returns its new top and whether the poll was successful there. `reset`:
    /// an unsuccessful poll happened above since the subtree was polled last.
    fn poll(&mut self, node: Node, ids: &[Id], votes: &mut [Vote], reset: bool) -> (Node, bool) {
        match node {
            Node::Unary(at) => self.poll_unary(at, ids, votes, reset),
            Node::Binary(at) => self.poll_binary(at, ids, votes, reset),
        }
    }

    #[inline]
    fn poll_unary(&mut self, at: u32, ids: &[Id], votes: &mut [Vote], reset: bool) -> (Node, bool) {
        let count = total(votes);
        let node = &mut self.unaries[at];
        if reset {
            node.instance.record_unsuccessful_poll();
            node.should_reset = true;
        }
        if count < self.thresholds.alpha_preference {
            node.instance.record_unsuccessful_poll();
            node.should_reset = true;
            return (Node::Unary(at), false);
        }
        node.instance.record_poll(&self.thresholds, count);
        let reset_below = std::mem::take(&mut node.should_reset);
        let Some(child) = node.child else { return (Node::Unary(at), true) };

        let decided = node.instance.finalized();
        let (child, _) = self.poll(child, ids, votes, reset_below);
        if decided {
            self.unaries.remove(at);
            return (child, true);
        }
        let preference = self.preference_of(child);
        let node = &mut self.unaries[at];
        debug_assert_eq!(node.child, Some(child), "finalized before the node above it");
        node.preference = preference;
        (Node::Unary(at), true)
    }

    fn poll_binary(
        &mut self,
        at: u32,
        ids: &[Id],
        votes: &mut [Vote],
        reset: bool,
    ) -> (Node, bool) {
        let index = self.binaries[at].bit.into();
        let (zeros, ones) = partition(votes, |vote| bit(&ids[vote.choice as usize], index) == 0);
        let (side, votes, count) = match total(ones) {
            count if count >= self.thresholds.alpha_preference => (1, ones, count),
            _ => {
                let count = total(zeros);
                (0, zeros, count)
            }
        };
        let node = &mut self.binaries[at];
        if reset {
            node.instance.record_unsuccessful_poll();
            node.should_reset[side] = true;
        }
        node.should_reset[1 - side] = true;
        if count < self.thresholds.alpha_preference {
            node.instance.record_unsuccessful_poll();
            node.should_reset[side] = true;
            return (Node::Binary(at), false);
        }
        node.instance.record_poll(&self.thresholds, count, side as u8);
        let reset_below = std::mem::take(&mut node.should_reset[side]);
        let Some(child) = node.children[side] else { return (Node::Binary(at), true) };

        let decided = node.instance.finalized();
        let (child, _) = self.poll(child, ids, votes, reset_below);
        if decided {
            let other = self.binaries[at].children[1 - side];
            self.release(other);
            self.binaries.remove(at);
            return (child, true);
        }
        let preference = self.preference_of(child);
        let node = &mut self.binaries[at];
        debug_assert_eq!(node.children[side], Some(child), "finalized before the node above it");
        node.preferences[side] = preference;
        (Node::Binary(at), true)
    }

    fn draw_below(&self, node: Node, depth: usize, f: &mut impl fmt::Write) -> fmt::Result {
        if depth > 0 {
            write!(f, "\n{:1$}", "", 4 * depth)?;
        }
        let children = match node {
            Node::Unary(at) => {
                let UnaryNode { instance, decided, common, child, .. } = &self.unaries[at];
                write!(f, "{instance} Bits = [{decided}, {common})")?;
                [*child, None]
            }
            Node::Binary(at) => {
                let BinaryNode { instance, bit, children, .. } = &self.binaries[at];
                write!(f, "{instance} Bit = {bit}")?;
                *children
            }
        };
        for child in children.into_iter().flatten() {
            self.draw_below(child, depth + 1, f)?;
        }
        Ok(())
    }
}

#[inline]
fn total(votes: &[Vote]) -> u32 {
    votes.iter().fold(0, |total, vote| total.saturating_add(vote.count))
}

/// Moves the votes for which `is_first` holds to the front, and cuts behind them.
#[inline]
fn partition(votes: &mut [Vote], is_first: impl Fn(&Vote) -> bool) -> (&mut [Vote], &mut [Vote]) {
    let mut end = 0;
    for at in 0..votes.len() {
        if is_first(&votes[at]) {
            votes.swap(at, end);
            end += 1;
        }
    }
    votes.split_at_mut(end)
}
