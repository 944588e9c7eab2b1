//! The keys of each account in order, of the last accepted state.

use bytes::Bytes;
use sastrugi_vm::db::{Batch, Database, DbError};

use super::{Change, NONCE_KEY};
use crate::transaction::Account;

const TAG: u8 = b'i';
/// The length of what stands before the key, in bytes.
const OWNER_BYTES: usize = 1 + 32;

/// Follows a change.
pub(super) fn update(batch: &mut Batch, change: &Change) {
    if change.key == NONCE_KEY {
        return;
    }
    let record = record(change.account, &change.key);
    match change.value {
        Some(_) => batch.put(record, Bytes::new()),
        None => batch.delete(record),
    }
}

/// The first keys of an account from `start` on, at most `max`.
pub(crate) fn keys(
    db: &dyn Database,
    account: Account,
    start: &[u8],
    max: usize,
) -> Result<Vec<Bytes>, DbError> {
    db.iterate(&record(account, &[]), &record(account, start))?
        .take(max)
        .map(|pair| pair.map(|(record, _)| record.slice(OWNER_BYTES..)))
        .collect()
}

fn record(account: Account, key: &[u8]) -> Vec<u8> {
    [&[TAG], &account.0[..], key].concat()
}
