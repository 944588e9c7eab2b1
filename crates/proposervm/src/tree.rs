//! Inner blocks that were verified and are undecided.
//!
//! An inner block may be in several outer blocks. The inner VM gets one verdict for it all the same:
//! it is accepted with the first outer block of its that is, and rejected when a sibling of it, or of
//! an ancestor, is accepted. Upstream: `utils/tree`.

use std::collections::BTreeSet;

use sastrugi_types::{Id, IdBuildHasher, IdMap};
use sastrugi_vm::Block;

/// The undecided inner blocks by their parents.
#[derive(Debug)]
pub(crate) struct Tree {
    children: IdMap<BTreeSet<Id>>,
}

impl Tree {
    /// No blocks.
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self { children: IdMap::with_hasher(IdBuildHasher::new(hash_seed)) }
    }

    /// Whether the block is among them.
    pub(crate) fn contains(&self, block: &Block) -> bool {
        self.children.get(&block.parent).is_some_and(|siblings| siblings.contains(&block.id))
    }

    /// Adds a block.
    pub(crate) fn add(&mut self, block: &Block) {
        self.children.entry(block.parent).or_default().insert(block.id);
    }

    /// Takes out an accepted block and all that conflicts with it. Gives the latter, parents
    /// before children, to be rejected in this order.
    pub(crate) fn accept(&mut self, block: &Block) -> Vec<Id> {
        let mut siblings = self.children.remove(&block.parent).unwrap_or_default();
        siblings.remove(&block.id);
        let mut rejected: Vec<Id> = siblings.into_iter().collect();
        let mut next = 0;
        while let Some(parent) = rejected.get(next) {
            rejected.extend(self.children.remove(parent).unwrap_or_default());
            next += 1;
        }
        rejected
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sastrugi_types::WallTime;

    use super::*;

    fn block(parent: u8, id: u8) -> Block {
        let (id, parent) = (Id([id; 32]), Id([parent; 32]));
        Block { id, parent, height: 1, timestamp: WallTime::UNIX_EPOCH, bytes: Bytes::new() }
    }

    #[test]
    fn a_block_takes_its_siblings_and_their_descendants_along() {
        let mut tree = Tree::new(1);
        let edges = [(0, 1), (0, 2), (0, 3), (2, 4), (4, 5), (1, 6), (3, 7)];
        for (parent, id) in edges {
            assert!(!tree.contains(&block(parent, id)));
            tree.add(&block(parent, id));
            assert!(tree.contains(&block(parent, id)));
        }
        let rejected: Vec<u8> = tree.accept(&block(0, 1)).iter().map(|id| id.0[0]).collect();
        assert_eq!(rejected, [2, 3, 4, 7, 5]);
        for (parent, id) in edges {
            assert_eq!(tree.contains(&block(parent, id)), id == 6);
        }
        assert_eq!(tree.accept(&block(1, 6)), []);
        assert!(tree.children.is_empty(), "nothing is left behind");
        assert_eq!(tree.accept(&block(6, 8)), [], "also one that was never added");
    }
}
