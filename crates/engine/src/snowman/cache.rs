//! Recently used blocks that could not be issued, bounded by bytes.
//! Upstream: `cache/lru/sized_cache.go` as the engine sizes it.

use sastrugi_types::{Id, IdBuildHasher, IdMap};
use sastrugi_vm::Block;

/// What all entries together may cost.
pub(crate) const CACHE_BYTES_MAX: usize = 64 << 20;
/// What an entry costs beyond the block's bytes: its ID and a pointer.
const ENTRY_OVERHEAD_BYTES: usize = 32 + 8;
/// The end of the list.
const NONE: usize = usize::MAX;

/// A least-recently-used cache of blocks.
///
/// * Upon [`put`](BlockCache::put): the block becomes the most recent one; the least recent ones
///   leave until it fits. A block larger than the whole cache empties it and is not kept.
/// * Upon [`get`](BlockCache::get): the block becomes the most recent one.
#[derive(Debug)]
pub(crate) struct BlockCache {
    slots: IdMap<usize>,
    entries: Vec<Entry>,
    /// The most recent entry, `NONE` when empty.
    newest: usize,
    oldest: usize,
    cost_bytes: usize,
    cost_bytes_max: usize,
}

#[derive(Debug)]
struct Entry {
    block: Block,
    newer: usize,
    older: usize,
}

impl BlockCache {
    pub(crate) fn new(cost_bytes_max: usize, hasher: IdBuildHasher) -> Self {
        Self {
            slots: IdMap::with_hasher(hasher),
            entries: Vec::new(),
            newest: NONE,
            oldest: NONE,
            cost_bytes: 0,
            cost_bytes_max,
        }
    }

    /// Number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&mut self, id: &Id) -> Option<&Block> {
        let slot = *self.slots.get(id)?;
        if slot != self.newest {
            self.unlink(slot);
            self.link_newest(slot);
        }
        Some(&self.entries[slot].block)
    }

    pub(crate) fn put(&mut self, block: Block) {
        self.evict(&block.id);
        let cost = cost_bytes(&block);
        while self.oldest != NONE && self.cost_bytes.saturating_add(cost) > self.cost_bytes_max {
            self.remove(self.oldest);
        }
        if cost > self.cost_bytes_max {
            return;
        }
        self.cost_bytes += cost;
        let slot = self.entries.len();
        self.slots.insert(block.id, slot);
        self.entries.push(Entry { block, newer: NONE, older: NONE });
        self.link_newest(slot);
    }

    pub(crate) fn evict(&mut self, id: &Id) {
        if let Some(slot) = self.slots.get(id) {
            self.remove(*slot);
        }
    }

    /// Takes the entry out and moves the last one into its slot.
    fn remove(&mut self, slot: usize) {
        self.unlink(slot);
        let block = self.entries.swap_remove(slot).block;
        self.slots.remove(&block.id);
        self.cost_bytes -= cost_bytes(&block);
        let Some(moved) = self.entries.get(slot) else { return };
        self.slots.insert(moved.block.id, slot);
        let (newer, older) = (moved.newer, moved.older);
        *self.older_link(newer) = slot;
        *self.newer_link(older) = slot;
    }

    fn unlink(&mut self, slot: usize) {
        let Entry { newer, older, .. } = self.entries[slot];
        *self.older_link(newer) = older;
        *self.newer_link(older) = newer;
    }

    fn link_newest(&mut self, slot: usize) {
        let next = self.newest;
        self.entries[slot].newer = NONE;
        self.entries[slot].older = next;
        *self.newer_link(next) = slot;
        self.newest = slot;
    }

    /// Where the entry after `newer` in age is noted.
    fn older_link(&mut self, newer: usize) -> &mut usize {
        match self.entries.get_mut(newer) {
            Some(entry) => &mut entry.older,
            None => &mut self.newest,
        }
    }

    /// Where the entry before `older` in age is noted.
    fn newer_link(&mut self, older: usize) -> &mut usize {
        match self.entries.get_mut(older) {
            Some(entry) => &mut entry.newer,
            None => &mut self.oldest,
        }
    }
}

fn cost_bytes(block: &Block) -> usize {
    ENTRY_OVERHEAD_BYTES + block.bytes.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sastrugi_types::WallTime;

    use super::*;

    fn block(number: u8, bytes: usize) -> Block {
        Block {
            id: Id([number; 32]),
            parent: Id::EMPTY,
            height: 1,
            timestamp: WallTime::default(),
            bytes: Bytes::from(vec![number; bytes]),
        }
    }

    fn held(cache: &BlockCache) -> Vec<u8> {
        let mut numbers = Vec::new();
        let mut slot = cache.oldest;
        while slot != NONE {
            numbers.push(cache.entries[slot].block.id.0[0]);
            slot = cache.entries[slot].newer;
        }
        numbers
    }

    #[test]
    fn the_least_recently_used_blocks_leave_first() {
        let mut cache = BlockCache::new(3 * (ENTRY_OVERHEAD_BYTES + 10), IdBuildHasher::new(1));
        for number in 1..=3 {
            cache.put(block(number, 10));
        }
        assert!(cache.get(&Id([1; 32])).is_some());
        assert_eq!(held(&cache), [2, 3, 1]);
        cache.put(block(4, 10));
        assert_eq!(held(&cache), [3, 1, 4]);
        cache.put(block(3, 10));
        assert_eq!(held(&cache), [1, 4, 3]);
        cache.evict(&Id([4; 32]));
        cache.evict(&Id([9; 32]));
        assert_eq!(held(&cache), [1, 3]);
        cache.put(block(5, 60));
        assert_eq!(held(&cache), [3, 5]);
        assert_eq!(cache.cost_bytes, 2 * ENTRY_OVERHEAD_BYTES + 70);
    }

    #[test]
    fn a_block_larger_than_the_cache_empties_it() {
        let mut cache = BlockCache::new(100, IdBuildHasher::new(1));
        cache.put(block(1, 10));
        cache.put(block(2, 100));
        assert_eq!((cache.len(), cache.cost_bytes), (0, 0));
        assert!(cache.get(&Id([2; 32])).is_none());
        cache.put(block(3, 60));
        assert_eq!(held(&cache), [3]);
    }

    #[test]
    fn thousands_of_mixed_calls_keep_list_and_map_in_step() {
        let mut cache = BlockCache::new(2_000, IdBuildHasher::new(7));
        let mut model: Vec<u8> = Vec::new();
        let mut state = 1u64;
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 33) as u8 % 40;
            let id = Id([number; 32]);
            match (state >> 60) % 3 {
                0 => {
                    model.retain(|other| *other != number);
                    model.push(number);
                    cache.put(block(number, 60));
                    if model.len() > 20 {
                        model.remove(0);
                    }
                }
                1 => {
                    let known = cache.get(&id).is_some();
                    assert_eq!(known, model.contains(&number));
                    if known {
                        model.retain(|other| *other != number);
                        model.push(number);
                    }
                }
                _ => {
                    model.retain(|other| *other != number);
                    cache.evict(&id);
                }
            }
            assert_eq!(held(&cache), model);
        }
    }
}
