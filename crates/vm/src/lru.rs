//! A bounded map that forgets what was not used for the longest time.
//!
//! Upstream: `cache/lru`. Deviation: an entry that is larger than the whole cache is not kept and
//! leaves the others alone; upstream drops all.

use std::{fmt, hash::Hash};

use hashbrown::HashMap;
use sastrugi_types::IdBuildHasher;

/// No entry.
const NIL: u32 = u32::MAX;

/// A map whose entries have sizes, in bytes or whatever its user counts, and whose sum of sizes is
/// bounded.
pub struct Lru<K, V> {
    slots: HashMap<K, u32, IdBuildHasher>,
    /// Linked in the order of their last use.
    entries: Vec<Entry<K, V>>,
    newest: u32,
    oldest: u32,
    /// Entries that are not in use, linked by `older`.
    vacant: u32,
    size: usize,
    size_max: usize,
}

struct Entry<K, V> {
    /// `None` while the entry is vacant.
    pair: Option<(K, V)>,
    size: usize,
    newer: u32,
    older: u32,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// An empty cache of at most `size_max`. The seed keeps others from choosing keys that collide.
    pub fn new(size_max: usize, hash_seed: u64) -> Self {
        Self {
            slots: HashMap::with_hasher(IdBuildHasher::new(hash_seed)),
            entries: Vec::new(),
            newest: NIL,
            oldest: NIL,
            vacant: NIL,
            size: 0,
            size_max,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Sum of the sizes of all entries.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The value of a key, which counts as used now.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        let slot = *self.slots.get(key)?;
        if slot != self.newest {
            self.unlink(slot);
            self.link_newest(slot);
        }
        self.entries[slot as usize].pair.as_ref().map(|(_, value)| value)
    }

    /// Whether there is such a key; it does not count as used.
    pub fn contains(&self, key: &K) -> bool {
        self.slots.contains_key(key)
    }

    /// Sets the value of a key, and makes room for it. A value larger than the cache is not kept;
    /// the key then has none.
    pub fn put(&mut self, key: K, value: V, size: usize) {
        self.remove(&key);
        if size > self.size_max {
            return;
        }
        while self.size > self.size_max - size {
            self.drop_slot(self.oldest);
        }
        self.size += size;
        let slot = self.take_vacant(Entry {
            pair: Some((key.clone(), value)),
            size,
            newer: NIL,
            older: NIL,
        });
        self.link_newest(slot);
        self.slots.insert(key, slot);
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let slot = *self.slots.get(key)?;
        self.drop_slot(slot)
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.entries.clear();
        (self.newest, self.oldest, self.vacant) = (NIL, NIL, NIL);
        self.size = 0;
    }

    fn drop_slot(&mut self, slot: u32) -> Option<V> {
        self.unlink(slot);
        let entry = &mut self.entries[slot as usize];
        entry.older = self.vacant;
        self.vacant = slot;
        self.size -= entry.size;
        let (key, value) = entry.pair.take()?;
        self.slots.remove(&key);
        Some(value)
    }

    fn take_vacant(&mut self, entry: Entry<K, V>) -> u32 {
        let slot = self.vacant;
        if let Some(vacant) = self.entries.get_mut(slot as usize) {
            self.vacant = vacant.older;
            *vacant = entry;
            slot
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        }
    }

    fn link_newest(&mut self, slot: u32) {
        let before = std::mem::replace(&mut self.newest, slot);
        let entry = &mut self.entries[slot as usize];
        (entry.newer, entry.older) = (NIL, before);
        match self.entries.get_mut(before as usize) {
            Some(older) => older.newer = slot,
            None => self.oldest = slot,
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Entry { newer, older, .. } = self.entries[slot as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

impl<K, V> fmt::Debug for Lru<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lru")
            .field("entries", &self.slots.len())
            .field("size", &self.size)
            .field("size_max", &self.size_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Get(u8),
        Put(u8, u16, usize),
        Remove(u8),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0u8..12, any::<u16>(), 0usize..8).prop_map(|(k, v, s)| Step::Put(k, v, s)),
            8 => (0u8..12).prop_map(Step::Get),
            2 => (0u8..12).prop_map(Step::Remove),
            1 => (0u8..12, any::<u16>(), 20usize..30).prop_map(|(k, v, s)| Step::Put(k, v, s)),
            1 => Just(Step::Clear),
        ]
    }

    const SIZE_MAX: usize = 19;

    /// Pairs and sizes, the least recently used first.
    #[derive(Default)]
    struct Model(Vec<(u8, u16, usize)>);

    impl Model {
        fn remove(&mut self, key: u8) -> Option<(u8, u16, usize)> {
            let position = self.0.iter().position(|entry| entry.0 == key)?;
            Some(self.0.remove(position))
        }

        fn get(&mut self, key: u8) -> Option<u16> {
            let entry = self.remove(key)?;
            self.0.push(entry);
            Some(entry.1)
        }

        fn put(&mut self, key: u8, value: u16, size: usize) {
            self.remove(key);
            if size <= SIZE_MAX {
                while self.size() + size > SIZE_MAX {
                    self.0.remove(0);
                }
                self.0.push((key, value, size));
            }
        }

        fn size(&self) -> usize {
            self.0.iter().map(|entry| entry.2).sum()
        }
    }

    proptest! {
        #[test]
        fn it_is_a_list_in_the_order_of_use(
            steps in prop::collection::vec(step(), 0..200),
            seed: u64,
        ) {
            let mut lru = Lru::new(SIZE_MAX, seed);
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Get(key) => prop_assert_eq!(lru.get(&key).copied(), model.get(key)),
                    Step::Put(key, value, size) => {
                        lru.put(key, value, size);
                        model.put(key, value, size);
                    }
                    Step::Remove(key) => {
                        let removed = model.remove(key).map(|entry| entry.1);
                        prop_assert_eq!(lru.remove(&key), removed);
                    }
                    Step::Clear => {
                        lru.clear();
                        model.0.clear();
                    }
                }
                prop_assert_eq!((lru.len(), lru.size()), (model.0.len(), model.size()));
                prop_assert!(lru.entries.len() <= 12);
                for key in 0..12 {
                    let known = model.0.iter().any(|entry| entry.0 == key);
                    prop_assert_eq!(lru.contains(&key), known);
                }
            }
        }
    }
}
