//! The accepted blocks in the database.
//!
//! | key | value |
//! |---|---|
//! | `b` ID | the bytes of the block |
//! | `h` height | the ID of the block |
//! | `t` ID | the height at which the transaction was accepted |
//! | `l` | the ID and the height of the last accepted block, and the generation of the state |
//! | `j` height | the height of the last accepted block before the jump to this height |

use bytes::Bytes;
use sastrugi_types::Id;
use sastrugi_vm::db::{Batch, Database, DbError};

use crate::{
    block::{Block, Header},
    state::Generation,
};

const BLOCK_TAG: u8 = b'b';
const HEIGHT_TAG: u8 = b'h';
const TRANSACTION_TAG: u8 = b't';
const JUMP_TAG: u8 = b'j';
const LAST_KEY: &[u8] = b"l";

/// The last accepted block, and where its state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) id: Id,
    pub(crate) height: u64,
    pub(crate) generation: Generation,
}

/// Adds an accepted block, the last one from now on.
pub(crate) fn store(batch: &mut Batch, block: &Block, generation: Generation) {
    let id = Bytes::copy_from_slice(&block.id().0);
    let height = Bytes::copy_from_slice(&block.height().to_be_bytes());
    batch.put(record(BLOCK_TAG, &block.id().0), block.bytes().clone());
    batch.put(record(HEIGHT_TAG, &height), id.clone());
    for transaction in block.transactions() {
        batch.put(record(TRANSACTION_TAG, &transaction.id().0), height.clone());
    }
    batch.put(LAST_KEY, [&id[..], &height, &generation.0.to_be_bytes()].concat());
}

/// Adds that the blocks between two heights were not accepted one by one.
pub(crate) fn store_jump(batch: &mut Batch, from: u64, to: u64) {
    let from = Bytes::copy_from_slice(&from.to_be_bytes());
    batch.put(record(JUMP_TAG, &to.to_be_bytes()), from);
}

/// The jump over a height: from which height, and to which.
pub(crate) fn jump_over(db: &dyn Database, height: u64) -> Result<Option<(u64, u64)>, DbError> {
    let corrupt = || DbError::Corrupt(format!("the jump over height {height}"));
    let start = record(JUMP_TAG, &height.to_be_bytes());
    let Some(pair) = db.iterate(&[JUMP_TAG], &start)?.next() else { return Ok(None) };
    let (to, from) = pair?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).map_err(|_| corrupt());
    let (from, to) = (number(&from)?, number(&to[1..])?);
    Ok((from < height && height < to).then_some((from, to)))
}

/// An accepted block.
pub(crate) fn block(db: &dyn Database, id: Id) -> Result<Option<Block>, DbError> {
    let Some(bytes) = db.get(&record(BLOCK_TAG, &id.0))? else { return Ok(None) };
    let block = Block::decode(bytes);
    block.map(Some).map_err(|error| DbError::Corrupt(format!("block {id}: {error}")))
}

/// The ID of the accepted block at a height.
pub(crate) fn id_at(db: &dyn Database, height: u64) -> Result<Option<Id>, DbError> {
    let Some(bytes) = db.get(&record(HEIGHT_TAG, &height.to_be_bytes()))? else {
        return Ok(None);
    };
    let id = Id::try_from(&bytes[..]);
    id.map(Some).map_err(|error| DbError::Corrupt(format!("block at height {height}: {error}")))
}

/// The height at which a transaction was accepted.
pub(crate) fn transaction_height(db: &dyn Database, id: Id) -> Result<Option<u64>, DbError> {
    let Some(bytes) = db.get(&record(TRANSACTION_TAG, &id.0))? else { return Ok(None) };
    let height = bytes[..].try_into().map(u64::from_be_bytes);
    height.map(Some).map_err(|_| DbError::Corrupt(format!("height of transaction {id}")))
}

/// An accepted block as the engine handles it.
pub(crate) fn vm_block(db: &dyn Database, id: Id) -> Result<Option<sastrugi_vm::Block>, DbError> {
    let Some(bytes) = db.get(&record(BLOCK_TAG, &id.0))? else { return Ok(None) };
    Ok(Some(read_header(id, bytes.clone())?.to_vm(id, bytes)))
}

/// The header of an accepted block.
pub(crate) fn header(db: &dyn Database, id: Id) -> Result<Option<Header>, DbError> {
    let bytes = db.get(&record(BLOCK_TAG, &id.0))?;
    bytes.map(|bytes| read_header(id, bytes)).transpose()
}

/// The last accepted block, `None` before genesis is stored.
pub(crate) fn last(db: &dyn Database) -> Result<Option<Last>, DbError> {
    let Some(bytes) = db.get(LAST_KEY)? else { return Ok(None) };
    let parts = bytes.split_first_chunk().and_then(|(id, rest)| {
        let (height, generation) = rest.split_first_chunk()?;
        Some((Id(*id), u64::from_be_bytes(*height), generation.try_into().ok()?))
    });
    let corrupt = || DbError::Corrupt("the last accepted block".to_owned());
    let (id, height, generation) = parts.ok_or_else(corrupt)?;
    Ok(Some(Last { id, height, generation: Generation(u32::from_be_bytes(generation)) }))
}

fn read_header(id: Id, bytes: Bytes) -> Result<Header, DbError> {
    Header::of(bytes).map_err(|error| DbError::Corrupt(format!("block {id}: {error}")))
}

fn record(tag: u8, key: &[u8]) -> Vec<u8> {
    [&[tag], key].concat()
}
