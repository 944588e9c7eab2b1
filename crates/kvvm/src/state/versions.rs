//! Stored versions of the state: written when a block is accepted, forgotten after a while.

use bytes::Bytes;
use jmt::KeyHash;
use sastrugi_vm::db::{Batch, Database, DbError};

use super::{Layer, StateError, index, tree};

const VALUE_TAG: u8 = b'v';
const STALE_TAG: u8 = b's';
const OLDEST_KEY: &[u8] = b"o";
/// Before the value in its record, to tell an empty value from none.
const PRESENT: u8 = 1;
/// Up to so many heights are forgotten with each accepted block: more than are added, so that a
/// lower setting takes effect, and no accepted block has to do much.
const FORGOTTEN_HEIGHTS_MAX: u64 = 2;

/// Adds the layer of an accepted block to what is stored.
pub(crate) fn store(db: &dyn Database, batch: &mut Batch, layer: &Layer) -> Result<(), StateError> {
    for (key, node) in &layer.nodes {
        batch.put(tree::node_record(key), tree::encode_node(node)?);
    }
    for key in &layer.stale {
        mark_stale(batch, layer.height, &tree::node_record(key));
    }
    for (hash, change) in &layer.changes.0 {
        let before = newest(db, *hash, layer.height)?;
        if let Some((record, _)) = &before {
            mark_stale(batch, layer.height, record);
        }
        let record = value_record(*hash, layer.height);
        match &change.value {
            Some(value) => batch.put(record, [&[PRESENT], &value[..]].concat()),
            None if before.is_some() => {
                // It hides what was before, and goes together with it.
                mark_stale(batch, layer.height, &record);
                batch.put(record, Bytes::new());
            }
            None => {}
        }
        index::update(batch, change);
    }
    Ok(())
}

/// Forgets states below `oldest_wanted`, a few heights at a time.
pub(crate) fn forget(
    db: &dyn Database,
    batch: &mut Batch,
    oldest_wanted: u64,
) -> Result<(), StateError> {
    let oldest = oldest(db)?;
    let target = oldest_wanted.min(oldest.saturating_add(FORGOTTEN_HEIGHTS_MAX));
    if target <= oldest {
        return Ok(());
    }
    for height in oldest + 1..=target {
        let prefix = stale_record(height, &[]);
        for pair in db.iterate(&prefix, &[])? {
            let (stale, _) = pair?;
            batch.delete(stale.slice(prefix.len()..));
            batch.delete(stale);
        }
    }
    batch.put(OLDEST_KEY, Bytes::copy_from_slice(&target.to_be_bytes()));
    Ok(())
}

/// The oldest height whose state can be read.
pub(crate) fn oldest(db: &dyn Database) -> Result<u64, DbError> {
    let Some(bytes) = db.get(OLDEST_KEY)? else { return Ok(0) };
    let height = bytes[..].try_into().map(u64::from_be_bytes);
    height.map_err(|_| DbError::Corrupt("the oldest height".to_owned()))
}

/// What the key with this hash holds at a height.
pub(super) fn value(
    db: &dyn Database,
    hash: KeyHash,
    height: u64,
) -> Result<Option<Bytes>, StateError> {
    Ok(newest(db, hash, height)?.and_then(|(_, value)| value))
}

/// The newest record of a value up to a height, and what it says.
fn newest(
    db: &dyn Database,
    hash: KeyHash,
    height: u64,
) -> Result<Option<(Bytes, Option<Bytes>)>, DbError> {
    let prefix = [&[VALUE_TAG], &hash.0[..]].concat();
    let Some(pair) = db.iterate(&prefix, &value_record(hash, height))?.next() else {
        return Ok(None);
    };
    let (record, value) = pair?;
    let value = (!value.is_empty()).then(|| value.slice(1..));
    Ok(Some((record, value)))
}

/// Newer records come first.
fn value_record(hash: KeyHash, height: u64) -> Vec<u8> {
    [&[VALUE_TAG], &hash.0[..], &(!height).to_be_bytes()].concat()
}

fn mark_stale(batch: &mut Batch, height: u64, record: &[u8]) {
    batch.put(stale_record(height, record), Bytes::new());
}

fn stale_record(height: u64, record: &[u8]) -> Vec<u8> {
    [&[STALE_TAG], &height.to_be_bytes()[..], record].concat()
}
