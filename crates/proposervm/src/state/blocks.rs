//! The accepted blocks. Upstream: `vms/proposervm/state/block_state.go`.

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, codec::CodecError, id::ID_BYTES};
use sastrugi_vm::{
    db::{Batch, Database, Durability, PrefixDb, SharedDatabase},
    lru::Lru,
};

use super::{StateError, StateStats};
use crate::{OuterBlock, codec};

const PART: &[u8] = b"block";
/// What follows a stored block. Upstream's `choices.Accepted`; once there were others.
const ACCEPTED: u32 = 3;

/// Bound of the blocks in memory, in bytes. Upstream: 64 MiB.
const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry is counted with beside its block, as upstream counts.
const POINTER_BYTES: usize = 8;
const STATUS_BYTES: usize = 4;

#[derive(Debug)]
pub(super) struct Blocks {
    db: PrefixDb,
    cache: Mutex<Cache>,
}

/// Blocks by their ID; `None` for an ID that is not stored.
#[derive(Debug)]
struct Cache {
    blocks: Lru<Id, Option<OuterBlock>>,
    hits: u64,
    misses: u64,
}

impl Blocks {
    pub(super) fn new(db: SharedDatabase, hash_seed: u64) -> Self {
        let blocks = Lru::new(CACHE_BYTES_MAX, hash_seed);
        Self {
            db: PrefixDb::new(db, PART),
            cache: Mutex::new(Cache { blocks, hits: 0, misses: 0 }),
        }
    }

    pub(super) fn get(&self, id: Id) -> Result<Option<OuterBlock>, StateError> {
        let mut cache = self.cache.lock();
        if let Some(known) = cache.blocks.get(&id) {
            let known = known.clone();
            cache.hits += 1;
            return Ok(known);
        }
        cache.misses += 1;
        let stored = self.db.get(&id.0)?.map(|record| read(id, &record)).transpose()?;
        cache.put(id, stored.clone());
        Ok(stored)
    }

    pub(super) fn put(&self, block: &OuterBlock) -> Result<(), StateError> {
        let id = block.id();
        let failed = |error| StateError::DamagedRecord(id, error);
        let record = record(block).map_err(failed)?;
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(&id.0), record.clone());
        let mut cache = self.cache.lock();
        self.db.write(&batch, Durability::Buffered)?;
        // Its own bytes may be a part of a long message, which would stay in memory with them.
        let bytes = block_bytes(&record).map_err(failed)?;
        cache.put(id, Some(block.clone().over(bytes)));
        Ok(())
    }

    pub(super) fn delete(&self, id: Id) -> Result<(), StateError> {
        let mut cache = self.cache.lock();
        self.db.delete(&id.0)?;
        cache.blocks.remove(&id);
        Ok(())
    }

    pub(super) fn stats(&self) -> StateStats {
        let cache = self.cache.lock();
        StateStats {
            block_hits: cache.hits,
            block_misses: cache.misses,
            cached_blocks: cache.blocks.len(),
            cached_bytes: cache.blocks.size(),
        }
    }
}

impl Cache {
    fn put(&mut self, id: Id, block: Option<OuterBlock>) {
        let size = match &block {
            Some(block) => ID_BYTES + block.bytes().len() + STATUS_BYTES + 2 * POINTER_BYTES,
            None => ID_BYTES + POINTER_BYTES,
        };
        self.blocks.put(id, block, size);
    }
}

fn record(block: &OuterBlock) -> Result<Bytes, CodecError> {
    let mut packer = codec::packer()?;
    packer.pack_bytes(block.bytes())?;
    packer.pack_u32(ACCEPTED)?;
    Ok(packer.into_bytes().into())
}

fn read(id: Id, record: &Bytes) -> Result<OuterBlock, StateError> {
    let bytes = block_bytes(record).map_err(|error| StateError::DamagedRecord(id, error))?;
    OuterBlock::parse_without_verification(bytes)
        .map_err(|error| StateError::DamagedBlock(id, error))
}

fn block_bytes(record: &Bytes) -> Result<Bytes, CodecError> {
    let mut unpacker = codec::unpacker(record)?;
    let bytes = record.slice(codec::unpack_range(&mut unpacker)?);
    unpacker.unpack_u32()?;
    unpacker.finish()?;
    Ok(bytes)
}
