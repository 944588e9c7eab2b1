//! The state: what every key of every account holds, under one root.
//!
//! A leaf of the authenticated tree stands for one key of one account, at the path
//! SHA-256(account ‖ key). The empty key, which no transaction can write, holds the account's
//! nonce. The tree is versioned by height: the state after the block of height *h* is version *h*.
//!
//! * [`View`] is a state one can read and build on: a stored version, and above it the changes of
//!   the processing blocks on the way to some block. Siblings never see each other.
//! * [`Layer`] is what one block changes, kept in memory until the block is decided.
//! * [`versions`] keeps the values of past heights, and forgets them after a while.
//! * [`index`] lists the keys of an account in order, of the last version only: the tree knows
//!   hashes, which have lost their order.
//!
//! All records begin with `g` and the number of their [`Generation`]. What follows (numbers are
//! big-endian):
//!
//! | record | value |
//! |---|---|
//! | `n` height nibbles | a node of the tree that this height made |
//! | `v` hash ¬height | what the key with this hash holds since this height: the key's length, the account, the key, the value; empty if it was removed |
//! | `s` height record | that record is needed no more from this height on |
//! | `o` | the oldest height whose state can be read |
//! | `i` account key | empty: the account has this key |
//! | `m` lane | how far a jump has filled this lane |

pub(crate) mod fill;
pub(crate) mod index;
mod proof;
pub(crate) mod range;
mod speculative;
mod store;
mod tree;
pub(crate) mod versions;

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use jmt::KeyHash;
use sastrugi_types::hash::sha256_parts;
use sastrugi_vm::{VmError, db::DbError};

pub use self::proof::{Proof, ProofLeaf};
pub(crate) use self::{
    speculative::{Layer, View},
    store::{Generation, Store},
};
use crate::transaction::Account;

/// The root of the tree: names a whole state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Root(pub [u8; 32]);

/// What changes, by the hash of account and key. Each key once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(BTreeMap<KeyHash, Change>);

/// What a key holds afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) account: Account,
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

/// A key, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) account: Account,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// Why a state cannot be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// The state of this height is not, or no longer, there.
    #[error("the state of height {0} is not available")]
    Unavailable(u64),
    /// The tree contradicts itself.
    #[error("the state is damaged: {0}")]
    Corrupt(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<StateError> for VmError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Database(error) => Self::Database(error),
            StateError::Corrupt(what) => Self::Database(DbError::Corrupt(what)),
            StateError::Unavailable(_) => Self::Other(error.to_string()),
        }
    }
}

impl Changes {
    /// Sets or removes a key. Gives the change this one replaces.
    pub(crate) fn set(
        &mut self,
        account: Account,
        key: Bytes,
        value: Option<Bytes>,
    ) -> Option<Change> {
        self.0.insert(key_hash(account, &key), Change { account, key, value })
    }

    /// Sets the account's nonce.
    pub(crate) fn set_nonce(&mut self, account: Account, nonce: u64) {
        let value = Bytes::copy_from_slice(&nonce.to_be_bytes());
        self.set(account, NONCE_KEY, Some(value));
    }

    fn get(&self, hash: KeyHash) -> Option<&Option<Bytes>> {
        self.0.get(&hash).map(|change| &change.value)
    }
}

/// The key that holds an account's nonce.
const NONCE_KEY: Bytes = Bytes::new();

/// Where the tree keeps a key.
fn key_hash(account: Account, key: &[u8]) -> KeyHash {
    KeyHash(sha256_parts(&[&account.0, key]))
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", const_hex::encode(self.0))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
