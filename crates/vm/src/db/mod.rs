//! The key-value database a VM and the engine write to. Upstream: `database/database.go`.
//!
//! Keys are ordered by their bytes. The empty key is a key like any other.
//!
//! [`MemoryDb`] is for tests and the laboratory; the node brings a persistent one. [`PrefixDb`]
//! gives each user a part of a database, and [`VersionedDb`] holds changes back until they are
//! committed together. [`suite()`] checks any implementation.

mod memory;
mod prefix;
mod read_only;
mod snapshot;
mod suite;
mod versioned;

use std::sync::Arc;

use bytes::Bytes;

pub use self::{
    memory::MemoryDb,
    prefix::{PREFIX_BYTES, PrefixDb},
    read_only::ReadOnlyDb,
    suite::suite,
    versioned::VersionedDb,
};

/// Why a database call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// This view of the database is for reading only.
    #[error("the database is read-only")]
    ReadOnly,
    /// Another process has the database open.
    #[error("the database {0} is in use by another process")]
    InUse(String),
    /// What is stored is not what was written.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The disk or the store failed.
    #[error("{0}")]
    Io(String),
}

/// One change of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Bytes, Bytes),
    /// Removes a key; a missing one is fine.
    Delete(Bytes),
}

/// Changes that are written together or not at all. Later changes of a key win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
    size_bytes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        self.size_bytes += key.len() + value.len();
        self.changes.push(Change::Put(key, value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        let key = key.into();
        self.size_bytes += key.len();
        self.changes.push(Change::Delete(key));
    }

    /// Adds the changes of another batch after this one's.
    pub fn append(&mut self, other: Self) {
        self.size_bytes += other.size_bytes;
        self.changes.extend(other.changes);
    }

    /// The changes in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Sum of the lengths of keys and values.
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.size_bytes = 0;
    }
}

/// Whether a write must be on the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a crash of the process, not one of the machine.
    Buffered,
    /// It survives both.
    Synced,
}

/// Pairs in ascending order of keys, as they were when the iterator was made.
pub type Pairs<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), DbError>> + Send + 'a>;

/// An ordered key-value database, shared between threads.
///
/// After [`Database::close`] every call fails with [`DbError::Closed`].
pub trait Database: Send + Sync {
    /// Whether the key is set.
    fn has(&self, key: &[u8]) -> Result<bool, DbError> {
        Ok(self.get(key)?.is_some())
    }

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError>;

    /// Sets a key.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DbError> {
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.write(&batch, Durability::Buffered)
    }

    /// Removes a key; a missing one is fine.
    fn delete(&self, key: &[u8]) -> Result<(), DbError> {
        let mut batch = Batch::new();
        batch.delete(Bytes::copy_from_slice(key));
        self.write(&batch, Durability::Buffered)
    }

    /// Writes a batch, all of it or nothing.
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), DbError>;

    /// The pairs whose key begins with `prefix`, from `start` on (inclusive); a `start` below the
    /// prefix means its beginning. The first error is the last item; closing the database is one.
    fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError>;

    /// Frees the space of deleted pairs between two keys; `None` is an open end.
    fn compact(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<(), DbError>;

    /// Closes the database; a second call fails.
    fn close(&self) -> Result<(), DbError>;

    /// If this is a part of another database: the part of it with this name, which lies beside its
    /// keys, not among them.
    fn part(&self, _name: &[u8]) -> Option<SharedDatabase> {
        None
    }
}

/// A database shared by its users.
pub type SharedDatabase = Arc<dyn Database>;

/// The part of a database with this name: [`PrefixDb::child`] of a part, else a new [`PrefixDb`].
/// Upstream: `prefixdb.New`.
pub fn part(db: &SharedDatabase, name: &[u8]) -> SharedDatabase {
    db.part(name).unwrap_or_else(|| Arc::new(PrefixDb::new(Arc::clone(db), name)))
}
