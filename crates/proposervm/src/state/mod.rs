//! What the wrapper keeps on disk: its blocks, which one is the last accepted, and the height of
//! each.
//!
//! | part | key | value |
//! |---|---|---|
//! | `chain` | `00` | ID of the last accepted block |
//! | `block` | ID | `0000`, length and bytes of the block, `00000003` (accepted) |
//! | `height` ▸ `height` | height, u64 | ID of the block |
//! | `height` ▸ `metadata` | `fork` | height of the first block after the fork, u64 |
//!
//! A part is what [`PrefixDb`] makes of its name. The whole is the part [`PART`] of the chain's
//! database. Upstream: `vms/proposervm/state`.
//!
//! Each call writes at once. The caller puts a layer below it that makes what belongs together one
//! commit.

mod blocks;
mod heights;
#[cfg(test)]
mod tests;

use sastrugi_types::{Id, codec::CodecError};
use sastrugi_vm::db::{Database, DbError, PrefixDb, SharedDatabase};

use self::{blocks::Blocks, heights::Heights};
use crate::{OuterBlock, block::BlockError};

/// Name of the wrapper's part in the database of its chain.
pub const PART: &[u8] = b"proposervm";

const CHAIN_PART: &[u8] = b"chain";
const LAST_ACCEPTED_KEY: &[u8] = &[0];

/// Why the state cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A stored block has no known encoding.
    #[error("the stored block {0:?} is damaged: {1}")]
    DamagedRecord(Id, CodecError),
    /// A stored block is none.
    #[error("the stored block {0:?} is damaged: {1}")]
    DamagedBlock(Id, BlockError),
    /// A stored ID has the wrong length.
    #[error("a stored block ID has {0} bytes")]
    DamagedId(usize),
    /// A stored height has the wrong length.
    #[error("a stored height has {0} bytes")]
    DamagedHeight(usize),
}

/// The wrapper's part of the database, with caches above it.
#[derive(Debug)]
pub struct State {
    chain: PrefixDb,
    blocks: Blocks,
    heights: Heights,
}

impl State {
    /// The state in `db`, the wrapper's part of the chain's database ([`PART`]). Nobody else may
    /// write there.
    pub fn new(db: &SharedDatabase, hash_seed: u64) -> Self {
        Self {
            chain: PrefixDb::new(db.clone(), CHAIN_PART),
            blocks: Blocks::new(db.clone(), hash_seed),
            heights: Heights::new(db.clone(), hash_seed),
        }
    }

    /// The last accepted block; `None` before the fork.
    pub fn last_accepted(&self) -> Result<Option<Id>, StateError> {
        self.chain.get(LAST_ACCEPTED_KEY)?.as_deref().map(read_id).transpose()
    }

    /// Sets the last accepted block.
    pub fn set_last_accepted(&self, id: Id) -> Result<(), StateError> {
        Ok(self.chain.put(LAST_ACCEPTED_KEY, &id.0)?)
    }

    /// Goes back to before the fork.
    pub fn delete_last_accepted(&self) -> Result<(), StateError> {
        Ok(self.chain.delete(LAST_ACCEPTED_KEY)?)
    }

    /// An accepted block.
    pub fn block(&self, id: Id) -> Result<Option<OuterBlock>, StateError> {
        self.blocks.get(id)
    }

    /// Stores an accepted block.
    pub fn put_block(&self, block: &OuterBlock) -> Result<(), StateError> {
        self.blocks.put(block)
    }

    /// Deletes a block; a missing one is fine.
    pub fn delete_block(&self, id: Id) -> Result<(), StateError> {
        self.blocks.delete(id)
    }

    /// The height of the first block after the fork, once one was accepted.
    pub fn fork_height(&self) -> Result<Option<u64>, StateError> {
        self.heights.fork()
    }

    /// Sets the height of the first block after the fork.
    pub fn set_fork_height(&self, height: u64) -> Result<(), StateError> {
        self.heights.set_fork(height)
    }

    /// The lowest height that has an accepted block here, `None` if there is none.
    pub fn minimum_height(&self) -> Result<Option<u64>, StateError> {
        self.heights.minimum()
    }

    /// The accepted block at a height.
    pub fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, StateError> {
        self.heights.get(height)
    }

    /// Sets the accepted block at a height.
    pub fn set_block_id_at_height(&self, height: u64, id: Id) -> Result<(), StateError> {
        self.heights.put(height, id)
    }

    /// Forgets the accepted block at a height; a missing one is fine.
    pub fn delete_block_id_at_height(&self, height: u64) -> Result<(), StateError> {
        self.heights.delete(height)
    }

    /// What the caches have done so far.
    pub fn stats(&self) -> StateStats {
        self.blocks.stats()
    }
}

/// What the cache of stored blocks has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateStats {
    /// Look-ups that the cache answered, also with "there is none".
    pub block_hits: u64,
    /// Look-ups that went to the database.
    pub block_misses: u64,
    /// Entries in the cache.
    pub cached_blocks: usize,
    /// Their size, in bytes.
    pub cached_bytes: usize,
}

fn read_id(bytes: &[u8]) -> Result<Id, StateError> {
    bytes.try_into().map(Id).map_err(|_| StateError::DamagedId(bytes.len()))
}
