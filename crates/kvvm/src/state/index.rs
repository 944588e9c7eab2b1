//! The keys of each account in order, of the last accepted state.

use bytes::Bytes;
use sastrugi_vm::db::{Batch, DbError};

use super::{NONCE_KEY, Store};
use crate::transaction::Account;

const TAG: u8 = b'i';
/// The length of what stands before the key, in bytes.
const OWNER_BYTES: usize = 1 + 32;

/// Follows a change: whether the account has the key from now on.
pub(super) fn update(
    store: Store<'_>,
    batch: &mut Batch,
    account: Account,
    key: &[u8],
    is_set: bool,
) {
    if key == NONCE_KEY {
        return;
    }
    let record = record(account, key);
    if is_set {
        store.put(batch, &record, Bytes::new());
    } else {
        store.delete(batch, &record);
    }
}

/// The first keys of an account from `start` on, at most `max`.
pub(crate) fn keys(
    store: Store<'_>,
    account: Account,
    start: &[u8],
    max: usize,
) -> Result<Vec<Bytes>, DbError> {
    store
        .iterate(&record(account, &[]), &record(account, start))?
        .take(max)
        .map(|pair| pair.map(|(record, _)| record.slice(OWNER_BYTES..)))
        .collect()
}

fn record(account: Account, key: &[u8]) -> Vec<u8> {
    [&[TAG], &account.0[..], key].concat()
}
