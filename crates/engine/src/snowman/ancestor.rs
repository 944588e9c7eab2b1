//! Which block is whose parent, among blocks that could not be issued.
//! Upstream: `snow/engine/snowman/ancestor/tree.go`.
//!
//! A forest of child → parent edges; nothing says that a parent's own parent is known.

use sastrugi_types::{Id, IdBuildHasher, IdMap};
use smallvec::SmallVec;

/// Child → parent edges, walkable both ways.
#[derive(Debug)]
pub(crate) struct AncestorTree {
    parents: IdMap<Id>,
    children: IdMap<SmallVec<[Id; 1]>>,
}

impl AncestorTree {
    pub(crate) fn new(hasher: IdBuildHasher) -> Self {
        Self { parents: IdMap::with_hasher(hasher), children: IdMap::with_hasher(hasher) }
    }

    /// Number of edges.
    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    /// Notes the child's parent. Repeating it changes nothing: a block has one parent.
    pub(crate) fn add(&mut self, child: Id, parent: Id) {
        if self.parents.insert(child, parent).is_none() {
            self.children.entry(parent).or_default().push(child);
        }
    }

    /// Whether the parent of this block is known.
    pub(crate) fn contains(&self, child: &Id) -> bool {
        self.parents.contains_key(child)
    }

    /// The last one reached by following parents; the block itself when its parent is unknown.
    pub(crate) fn oldest_ancestor(&self, mut block: Id) -> Id {
        while let Some(parent) = self.parents.get(&block) {
            block = *parent;
        }
        block
    }

    /// Forgets the block's parent; what stands on the block stays.
    pub(crate) fn remove(&mut self, child: &Id) {
        let Some(parent) = self.parents.remove(child) else { return };
        if let Some(siblings) = self.children.get_mut(&parent) {
            siblings.retain(|sibling| sibling != child);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Forgets the block and all that stands on it.
    pub(crate) fn remove_descendants(&mut self, block: Id) {
        if self.parents.is_empty() {
            return;
        }
        self.remove(&block);
        let mut parents = vec![block];
        while let Some(parent) = parents.pop() {
            for child in self.children.remove(&parent).unwrap_or_default() {
                self.parents.remove(&child);
                parents.push(child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = Id([1; 32]);
    const B: Id = Id([2; 32]);
    const C: Id = Id([3; 32]);
    const D: Id = Id([4; 32]);

    /// A ← B ← C, A ← D.
    fn tree() -> AncestorTree {
        let mut tree = AncestorTree::new(IdBuildHasher::new(1));
        tree.add(C, B);
        tree.add(B, A);
        tree.add(D, A);
        tree.add(D, A);
        tree
    }

    #[test]
    fn ancestors_are_followed_as_far_as_known() {
        let tree = tree();
        assert_eq!(tree.len(), 3);
        assert_eq!(tree.oldest_ancestor(C), A);
        assert_eq!(tree.oldest_ancestor(A), A);
        assert!(tree.contains(&B) && !tree.contains(&A));
    }

    #[test]
    fn remove_cuts_one_edge() {
        let mut tree = tree();
        tree.remove(&B);
        tree.remove(&A);
        assert_eq!(tree.len(), 2);
        assert_eq!(tree.oldest_ancestor(C), B);
        assert_eq!(tree.oldest_ancestor(D), A);
    }

    #[test]
    fn remove_descendants_removes_the_block_too() {
        let mut tree = tree();
        tree.remove_descendants(B);
        assert_eq!(tree.len(), 1);
        assert_eq!(tree.oldest_ancestor(C), C);
        tree.add(C, B);
        tree.remove_descendants(A);
        assert_eq!(tree.len(), 1, "C hangs on B, which nothing connects to A");
        assert!(tree.children.len() == 1 && tree.contains(&C));
    }
}
