//! A set of nodes to draw from.

use std::collections::BTreeSet;

use sastrugi_types::{
    IdBuildHasher, NodeId, NodeMap,
    sampler::{Source, uniform_inclusive},
};

/// Nodes, each with the same chance to be drawn.
pub(super) struct Pool {
    nodes: Vec<NodeId>,
    /// Where each node is in `nodes`.
    positions: NodeMap<usize>,
}

impl Pool {
    pub(super) fn new(hasher: IdBuildHasher) -> Self {
        Self { nodes: Vec::new(), positions: NodeMap::with_hasher(hasher) }
    }

    pub(super) fn insert(&mut self, node: NodeId) {
        let end = self.nodes.len();
        if *self.positions.entry(node).or_insert(end) == end {
            self.nodes.push(node);
        }
    }

    pub(super) fn remove(&mut self, node: NodeId) {
        let Some(position) = self.positions.remove(&node) else { return };
        self.nodes.swap_remove(position);
        if let Some(moved) = self.nodes.get(position) {
            self.positions.insert(*moved, position);
        }
    }

    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.positions.contains_key(&node)
    }

    pub(super) const fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn sample(&self, source: &mut dyn Source) -> Option<NodeId> {
        let last = self.nodes.len().checked_sub(1)?;
        self.nodes.get(uniform_inclusive(source, last as u64) as usize).copied()
    }

    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        self.nodes.iter().copied().collect()
    }
}
