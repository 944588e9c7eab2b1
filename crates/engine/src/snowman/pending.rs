//! Blocks that wait for an ancestor.

use sastrugi_types::{Id, IdBuildHasher, IdMap};
use sastrugi_vm::Block;

/// Blocks that would have to wait are dropped while those that wait hold more bytes than this.
/// Each waits for a request to end, so a node with honest peers never comes near.
pub(super) const PENDING_BYTES_MAX: usize = 256 << 20;

/// Blocks that wait for an ancestor.
#[derive(Debug)]
pub(super) struct Pending {
    blocks: IdMap<Block>,
    bytes: usize,
}

impl Pending {
    pub(super) fn new(hasher: IdBuildHasher) -> Self {
        Self { blocks: IdMap::with_hasher(hasher), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes > PENDING_BYTES_MAX
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.blocks.contains_key(id)
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Block> {
        self.blocks.get(id)
    }

    pub(super) fn insert(&mut self, block: Block) {
        self.bytes += block.bytes.len();
        if let Some(old) = self.blocks.insert(block.id, block) {
            self.bytes -= old.bytes.len();
        }
    }

    pub(super) fn remove(&mut self, id: &Id) {
        if let Some(block) = self.blocks.remove(id) {
            self.bytes -= block.bytes.len();
        }
    }

    /// The blocks' IDs, sorted.
    pub(super) fn ids(&self) -> Vec<Id> {
        let mut ids: Vec<_> = self.blocks.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}
