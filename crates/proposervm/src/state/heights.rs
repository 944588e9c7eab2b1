//! The height index. Upstream: `vms/proposervm/state/block_height_index.go`.

use parking_lot::Mutex;
use sastrugi_types::Id;
use sastrugi_vm::{
    db::{Database, PrefixDb, SharedDatabase},
    lru::Lru,
};

use super::{StateError, read_id};

const PART: &[u8] = b"height";
const HEIGHTS_PART: &[u8] = b"height";
const METADATA_PART: &[u8] = b"metadata";
const FORK_KEY: &[u8] = b"fork";

/// Heights in memory.
const CACHED_HEIGHTS_MAX: usize = 8192;

#[derive(Debug)]
pub(super) struct Heights {
    index: PrefixDb,
    metadata: PrefixDb,
    cache: Mutex<Lru<u64, Id>>,
}

impl Heights {
    pub(super) fn new(db: SharedDatabase, hash_seed: u64) -> Self {
        let whole = PrefixDb::new(db, PART);
        Self {
            index: whole.child(HEIGHTS_PART),
            metadata: whole.child(METADATA_PART),
            cache: Mutex::new(Lru::new(CACHED_HEIGHTS_MAX, hash_seed)),
        }
    }

    pub(super) fn fork(&self) -> Result<Option<u64>, StateError> {
        self.metadata.get(FORK_KEY)?.as_deref().map(read_height).transpose()
    }

    pub(super) fn set_fork(&self, height: u64) -> Result<(), StateError> {
        Ok(self.metadata.put(FORK_KEY, &height.to_be_bytes())?)
    }

    pub(super) fn minimum(&self) -> Result<Option<u64>, StateError> {
        let first = self.index.iterate(b"", b"")?.next().transpose()?;
        first.map(|(key, _)| read_height(&key)).transpose()
    }

    pub(super) fn get(&self, height: u64) -> Result<Option<Id>, StateError> {
        let mut cache = self.cache.lock();
        if let Some(id) = cache.get(&height) {
            return Ok(Some(*id));
        }
        let stored = self.index.get(&height.to_be_bytes())?;
        let Some(id) = stored.as_deref().map(read_id).transpose()? else { return Ok(None) };
        cache.put(height, id, 1);
        Ok(Some(id))
    }

    pub(super) fn put(&self, height: u64, id: Id) -> Result<(), StateError> {
        let mut cache = self.cache.lock();
        self.index.put(&height.to_be_bytes(), &id.0)?;
        cache.put(height, id, 1);
        Ok(())
    }

    pub(super) fn delete(&self, height: u64) -> Result<(), StateError> {
        let mut cache = self.cache.lock();
        self.index.delete(&height.to_be_bytes())?;
        cache.remove(&height);
        Ok(())
    }
}

fn read_height(bytes: &[u8]) -> Result<u64, StateError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StateError::DamagedHeight(bytes.len()))
}
