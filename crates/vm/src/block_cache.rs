//! The blocks of a VM that is slow to ask: one in another process, or behind a disk.
//!
//! It stands between the engine and such a VM. A block is in one of three places, looked up in this
//! order: *verified* (and undecided), *decided*, *unverified*. Beside them, it remembers which blocks
//! the VM does not have, and which bytes are which block.
//!
//! * Upon get: if it is in a place, that one; if known to be missing, none; else the VM is asked, and
//!   the block filed, or remembered as missing.
//! * Upon parse: if the bytes are known and the block is in a place, that one. Else the VM parses; a
//!   block in a place then wins over the new copy, which else is filed.
//! * Upon build: as upon parse, without bytes.
//! * To file: decided if it is not above the last accepted block, unverified if it is. The VM is not
//!   asked: a rejected block above the last accepted one may come back as unverified.
//! * Upon a verification that succeeded: from unverified to verified. Failures are not remembered.
//! * Upon accept and reject: from verified to decided.
//!
//! Blocks verified and undecided are kept without bound, since consensus bounds them; everything
//! else is bounded by bytes ([`CacheLimits`]). Bytes are copied when a block is filed, because they
//! may be a slice of a long message. Upstream: `vms/components/chain`.

use bytes::Bytes;
use sastrugi_types::{Id, IdBuildHasher, IdMap, id::ID_BYTES};

use crate::{Block, VmError, lru::Lru};

/// What an entry is counted with beside its ID and bytes.
const POINTER_BYTES: usize = 8;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Decided blocks, in bytes.
    pub decided_bytes_max: usize,
    /// Blocks that were neither verified nor decided, in bytes.
    pub unverified_bytes_max: usize,
    /// Bytes whose block is known, in bytes.
    pub known_bytes_max: usize,
    /// IDs that are known to be missing.
    pub missing_max: usize,
}

impl Default for CacheLimits {
    /// What upstream gives a plugin.
    fn default() -> Self {
        const BYTES_MAX: usize = 64 * 1024 * 1024;
        Self {
            decided_bytes_max: BYTES_MAX,
            unverified_bytes_max: BYTES_MAX,
            known_bytes_max: BYTES_MAX,
            missing_max: 2048,
        }
    }
}

/// The last accepted block cannot be set while blocks are verified and undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} verified blocks are undecided")]
pub struct StillUndecided(pub usize);

/// What the cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCacheStats {
    /// Calls answered without the VM.
    pub hits: u64,
    /// Blocks for which the VM was asked.
    pub misses: u64,
}

/// The cache. Its user hands it the call that asks the VM, and tells it of verdicts.
#[derive(Debug)]
pub struct BlockCache {
    verified: IdMap<Block>,
    decided: Lru<Id, Block>,
    unverified: Lru<Id, Block>,
    missing: Lru<Id, ()>,
    known: Lru<Bytes, Id>,
    last_accepted: Block,
    stats: BlockCacheStats,
}

impl BlockCache {
    /// A cache that knows only the last accepted block.
    pub fn new(last_accepted: Block, limits: CacheLimits, hash_seed: u64) -> Self {
        let mut cache = Self {
            verified: IdMap::with_hasher(IdBuildHasher::new(hash_seed)),
            decided: Lru::new(limits.decided_bytes_max, hash_seed),
            unverified: Lru::new(limits.unverified_bytes_max, hash_seed),
            missing: Lru::new(limits.missing_max, hash_seed),
            known: Lru::new(limits.known_bytes_max, hash_seed),
            last_accepted: last_accepted.clone(),
            stats: BlockCacheStats::default(),
        };
        cache.put_decided(last_accepted);
        cache
    }

    /// The last accepted block.
    pub const fn last_accepted(&self) -> &Block {
        &self.last_accepted
    }

    /// Whether the block was verified and is undecided.
    pub fn is_processing(&self, id: &Id) -> bool {
        self.verified.contains_key(id)
    }

    /// What the cache has done so far.
    pub const fn stats(&self) -> BlockCacheStats {
        self.stats
    }

    /// A block by its ID.
    ///
    /// # Errors
    /// Those of `ask`; nothing is remembered then.
    pub fn get(
        &mut self,
        id: Id,
        ask: impl FnOnce(Id) -> Result<Option<Block>, VmError>,
    ) -> Result<Option<Block>, VmError> {
        if let Some(block) = self.find(&id) {
            self.stats.hits += 1;
            return Ok(Some(block));
        }
        if self.missing.get(&id).is_some() {
            self.stats.hits += 1;
            return Ok(None);
        }
        self.stats.misses += 1;
        let Some(block) = ask(id)? else {
            self.missing.put(id, (), 1);
            return Ok(None);
        };
        Ok(Some(self.file(&block)))
    }

    /// A block by its bytes.
    ///
    /// # Errors
    /// Those of `parse`; nothing is remembered then.
    pub fn parse(
        &mut self,
        bytes: &Bytes,
        parse: impl FnOnce(Bytes) -> Result<Block, VmError>,
    ) -> Result<Block, VmError> {
        if let Some(block) = self.find_bytes(bytes) {
            return Ok(block);
        }
        let block = parse(bytes.clone())?;
        Ok(self.parsed(bytes, &block))
    }

    /// Blocks by their bytes; the VM parses those that are not known in one call.
    ///
    /// # Errors
    /// Those of `parse`; also [`VmError::Invalid`] if it gives another number of blocks.
    pub fn parse_all(
        &mut self,
        blocks: Vec<Bytes>,
        parse: impl FnOnce(Vec<Bytes>) -> Result<Vec<Block>, VmError>,
    ) -> Result<Vec<Block>, VmError> {
        let found: Vec<_> = blocks.iter().map(|bytes| self.find_bytes(bytes)).collect();
        let unknown = || blocks.iter().zip(&found).filter(|(_, block)| block.is_none());
        let asked: Vec<_> = unknown().map(|(bytes, _)| bytes.clone()).collect();
        let count = asked.len();
        let parsed = if count == 0 { Vec::new() } else { parse(asked)? };
        if parsed.len() != count {
            let given = parsed.len();
            return Err(VmError::invalid(format!("{given} blocks parsed out of {count}")));
        }
        let mut parsed = parsed.into_iter();
        let resolve = |(bytes, block): (Bytes, Option<Block>)| {
            block.or_else(|| parsed.next().map(|block| self.parsed(&bytes, &block)))
        };
        Ok(blocks.into_iter().zip(found).filter_map(resolve).collect())
    }

    /// A block that the VM builds.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn build(
        &mut self,
        build: impl FnOnce() -> Result<Block, VmError>,
    ) -> Result<Block, VmError> {
        let block = build()?;
        Ok(self.find(&block.id).unwrap_or_else(|| self.file(&block)))
    }

    /// The VM has verified a block.
    pub fn set_verified(&mut self, block: &Block) {
        self.unverified.remove(&block.id);
        self.missing.remove(&block.id);
        self.verified.insert(block.id, block.clone());
    }

    /// A verified block is accepted. To be called before the VM is told, which may then ask for its
    /// last accepted block. A block that was not verified changes nothing.
    pub fn accept(&mut self, id: &Id) {
        if let Some(block) = self.verified.remove(id) {
            self.last_accepted = block.clone();
            self.put_decided(block);
        }
    }

    /// A verified block is rejected. A block that was not verified changes nothing.
    pub fn reject(&mut self, id: &Id) {
        if let Some(block) = self.verified.remove(id) {
            self.put_decided(block);
        }
    }

    /// The VM has jumped to another last accepted block.
    ///
    /// # Errors
    /// [`StillUndecided`]; nothing is changed then.
    pub fn set_last_accepted(&mut self, block: Block) -> Result<(), StillUndecided> {
        if !self.verified.is_empty() {
            return Err(StillUndecided(self.verified.len()));
        }
        self.missing.remove(&block.id);
        self.unverified.remove(&block.id);
        self.last_accepted = block.clone();
        self.put_decided(block);
        Ok(())
    }

    /// Forgets everything but the verified blocks and the last accepted one.
    pub fn flush(&mut self) {
        self.decided.clear();
        self.unverified.clear();
        self.missing.clear();
        self.known.clear();
    }

    /// The block in the first place that has it.
    fn find(&mut self, id: &Id) -> Option<Block> {
        if let Some(block) = self.verified.get(id) {
            return Some(block.clone());
        }
        self.decided.get(id).or_else(|| self.unverified.get(id)).cloned()
    }

    fn find_bytes(&mut self, bytes: &Bytes) -> Option<Block> {
        let id = self.known.get(bytes).copied();
        let block = id.and_then(|id| self.find(&id));
        let count = if block.is_some() { &mut self.stats.hits } else { &mut self.stats.misses };
        *count += 1;
        block
    }

    /// What the VM made of bytes, or the block of that ID that is there already.
    fn parsed(&mut self, bytes: &Bytes, block: &Block) -> Block {
        let id = block.id;
        let block = self.find(&id).unwrap_or_else(|| self.file(block));
        let is_same = block.bytes == bytes;
        let key = if is_same { block.bytes.clone() } else { Bytes::copy_from_slice(bytes) };
        let size = key.len() + ID_BYTES;
        self.known.put(key, id, size);
        block
    }

    fn file(&mut self, block: &Block) -> Block {
        let block = Block { bytes: Bytes::copy_from_slice(&block.bytes), ..*block };
        self.missing.remove(&block.id);
        if block.height <= self.last_accepted.height {
            self.put_decided(block.clone());
        } else {
            let size = size_of_block(&block);
            self.unverified.put(block.id, block.clone(), size);
        }
        block
    }

    fn put_decided(&mut self, block: Block) {
        let size = size_of_block(&block);
        self.decided.put(block.id, block, size);
    }
}

fn size_of_block(block: &Block) -> usize {
    ID_BYTES + block.bytes.len() + POINTER_BYTES
}

#[cfg(test)]
#[path = "block_cache_tests.rs"]
mod tests;
