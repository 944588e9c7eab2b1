//! Stored versions of the state: written when a block is accepted, forgotten after a while.

use bytes::{Buf, Bytes};
use jmt::KeyHash;
use sastrugi_vm::db::{Batch, DbError};

use super::{Entry, Layer, StateError, Store, index, tree};
use crate::transaction::Account;

const VALUE_TAG: u8 = b'v';
const STALE_TAG: u8 = b's';
const OLDEST_KEY: &[u8] = b"o";
/// Up to so many heights are forgotten with each accepted block: more than are added, so that a
/// lower setting takes effect, and no accepted block has to do much.
const FORGOTTEN_HEIGHTS_MAX: u64 = 2;

/// Adds the layer of an accepted block to what is stored.
pub(crate) fn store(store: Store<'_>, batch: &mut Batch, layer: &Layer) -> Result<(), StateError> {
    for (key, node) in &layer.nodes {
        store.put(batch, &tree::node_record(key), tree::encode(node)?);
    }
    for key in &layer.stale {
        mark_stale(store, batch, layer.height, &tree::node_record(key));
    }
    for (hash, change) in &layer.changes.0 {
        let before = newest(store, *hash, layer.height)?;
        if let Some((record, _)) = &before {
            mark_stale(store, batch, layer.height, record);
        }
        match &change.value {
            Some(value) => {
                put_entry(store, batch, *hash, layer.height, change.account, &change.key, value);
            }
            None if before.is_some() => {
                // It hides what was before, and goes together with it.
                let record = value_record(*hash, layer.height);
                mark_stale(store, batch, layer.height, &record);
                store.put(batch, &record, Bytes::new());
            }
            None => {}
        }
        index::update(store, batch, change.account, &change.key, change.value.is_some());
    }
    if layer.height == 0 {
        put_oldest(store, batch, 0);
    }
    Ok(())
}

/// Forgets states below `oldest_wanted`, a few heights at a time.
pub(crate) fn forget(
    store: Store<'_>,
    batch: &mut Batch,
    oldest_wanted: u64,
) -> Result<(), StateError> {
    let missing = || StateError::Corrupt("the oldest height is missing".to_owned());
    let oldest = oldest(store)?.ok_or_else(missing)?;
    let target = oldest_wanted.min(oldest.saturating_add(FORGOTTEN_HEIGHTS_MAX));
    if target <= oldest {
        return Ok(());
    }
    for height in oldest + 1..=target {
        let prefix = stale_record(height, &[]);
        for pair in store.iterate(&prefix, &[])? {
            let (stale, _) = pair?;
            store.delete(batch, &stale[prefix.len()..]);
            store.delete(batch, &stale);
        }
    }
    put_oldest(store, batch, target);
    Ok(())
}

/// The oldest height whose state can be read; `None` if there is none in this generation.
pub(crate) fn oldest(store: Store<'_>) -> Result<Option<u64>, DbError> {
    let Some(bytes) = store.get(OLDEST_KEY)? else { return Ok(None) };
    let height = bytes[..].try_into().map(u64::from_be_bytes);
    height.map(Some).map_err(|_| DbError::Corrupt("the oldest height".to_owned()))
}

/// Says from which height on states can be read.
pub(super) fn put_oldest(store: Store<'_>, batch: &mut Batch, height: u64) {
    store.put(batch, OLDEST_KEY, Bytes::copy_from_slice(&height.to_be_bytes()));
}

/// Makes all states of a generation unreadable at once, before their records are removed.
pub(crate) fn retire(store: Store<'_>, batch: &mut Batch) {
    store.delete(batch, OLDEST_KEY);
}

/// What the key with this hash holds at a height.
pub(super) fn value(
    store: Store<'_>,
    hash: KeyHash,
    height: u64,
) -> Result<Option<Bytes>, StateError> {
    Ok(entry(store, hash, height)?.map(|entry| entry.value))
}

/// The key with this hash, and what it holds at a height.
pub(super) fn entry(
    store: Store<'_>,
    hash: KeyHash,
    height: u64,
) -> Result<Option<Entry>, StateError> {
    match newest(store, hash, height)? {
        Some((_, content)) if !content.is_empty() => decode_entry(content).map(Some),
        _ => Ok(None),
    }
}

/// Adds what a key holds since a height.
pub(super) fn put_entry(
    store: Store<'_>,
    batch: &mut Batch,
    hash: KeyHash,
    height: u64,
    account: Account,
    key: &[u8],
    value: &[u8],
) {
    let key_length = (key.len() as u16).to_be_bytes();
    let content = [&key_length[..], &account.0, key, value].concat();
    store.put(batch, &value_record(hash, height), content);
}

fn decode_entry(mut content: Bytes) -> Result<Entry, StateError> {
    const HEAD_BYTES: usize = 2 + 32;
    let corrupt = || StateError::Corrupt("a value".to_owned());
    if content.len() < HEAD_BYTES {
        return Err(corrupt());
    }
    let key_length = usize::from(content.get_u16());
    let mut account = Account([0; 32]);
    content.copy_to_slice(&mut account.0);
    if content.len() < key_length {
        return Err(corrupt());
    }
    let key = content.split_to(key_length);
    Ok(Entry { account, key, value: content })
}

/// The newest record of a value up to a height, and what it holds.
fn newest(store: Store<'_>, hash: KeyHash, height: u64) -> Result<Option<(Bytes, Bytes)>, DbError> {
    let prefix = [&[VALUE_TAG], &hash.0[..]].concat();
    store.iterate(&prefix, &value_record(hash, height))?.next().transpose()
}

/// Newer records come first.
fn value_record(hash: KeyHash, height: u64) -> Vec<u8> {
    [&[VALUE_TAG], &hash.0[..], &(!height).to_be_bytes()].concat()
}

fn mark_stale(store: Store<'_>, batch: &mut Batch, height: u64, record: &[u8]) {
    store.put(batch, &stale_record(height, record), Bytes::new());
}

fn stale_record(height: u64, record: &[u8]) -> Vec<u8> {
    [&[STALE_TAG], &height.to_be_bytes()[..], record].concat()
}
