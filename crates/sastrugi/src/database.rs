//! The database on disk: one per node, kept by fjall.
//!
//! Everything lives in one keyspace; users get their part of it through
//! [`sastrugi_vm::db::PrefixDb`]. A synced batch is on the disk when the call returns, and is there
//! whole or not at all after a crash. Opening takes a lock on the folder that ends with the process.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};
use parking_lot::RwLock;
use sastrugi_vm::db::{Batch, Change, Database, DbError, Durability, Pairs};

use crate::{error::StartError, identity::make_folder};

/// Memory for blocks read from disk, in bytes.
const CACHE_BYTES: u64 = 32 << 20;
/// Bytes of journal kept before memory is written to tables; it bounds the time to reopen.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// One background worker per database.
const WORKERS: usize = 1;
/// Stands before every key, because the store has no empty key.
const KEY_MARK: u8 = b'k';

/// A database in a folder. Clones are the same database.
#[derive(Clone)]
pub struct DiskDatabase {
    path: Arc<PathBuf>,
    open: Arc<RwLock<Option<Open>>>,
}

#[derive(Clone)]
struct Open {
    store: fjall::Database,
    pairs: Keyspace,
}

impl DiskDatabase {
    /// Opens the database in this folder, which is made if it is absent.
    ///
    /// # Errors
    /// Another process has it open; the files are damaged; the disk fails.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        make_folder(path)?;
        let open = open(path).map_err(|error| StartError::file(path, advice(&error)))?;
        Ok(Self { path: Arc::new(path.to_path_buf()), open: Arc::new(RwLock::new(Some(open))) })
    }

    fn opened(&self) -> Result<Open, DbError> {
        self.open.read().clone().ok_or(DbError::Closed)
    }

    /// Bytes on the disk.
    pub fn disk_bytes(&self) -> Result<u64, DbError> {
        self.opened()?.store.disk_space().map_err(failed)
    }
}

fn open(path: &Path) -> Result<Open, fjall::Error> {
    let store = fjall::Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .worker_threads(WORKERS)
        .open()?;
    let pairs = store.keyspace("pairs", KeyspaceCreateOptions::default)?;
    Ok(Open { store, pairs })
}

/// What a person is told when the database does not open.
fn advice(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Locked => {
            "the database is in use by another process; stop that node or choose another folder"
                .into()
        }
        fjall::Error::Io(error) => format!("the database cannot be opened: {error}"),
        other => format!(
            "the database is damaged ({other}); restore the folder from a copy, or move it away \
             and let the node fetch everything anew"
        ),
    }
}

fn failed(error: fjall::Error) -> DbError {
    match error {
        fjall::Error::Io(error) => DbError::Io(error.to_string()),
        fjall::Error::Locked => DbError::InUse(String::new()),
        fjall::Error::Poisoned => DbError::Io("an earlier write failed; restart the node".into()),
        other => DbError::Corrupt(other.to_string()),
    }
}

fn marked(key: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(key.len() + 1);
    marked.push(KEY_MARK);
    marked.extend_from_slice(key);
    marked
}

impl Database for DiskDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        let value = self.opened()?.pairs.get(marked(key)).map_err(failed)?;
        Ok(value.map(Bytes::from))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), DbError> {
        let Open { store, pairs } = self.opened()?;
        // The store knows no order inside a batch: only the last change of a key may be in it.
        let changes: BTreeMap<&Bytes, &Change> = batch
            .changes()
            .iter()
            .map(|change| match change {
                Change::Put(key, _) | Change::Delete(key) => (key, change),
            })
            .collect();
        let mode = match durability {
            Durability::Buffered => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        };
        let mut write = store.batch().durability(Some(mode));
        for (key, change) in changes {
            match change {
                Change::Put(_, value) => write.insert(&pairs, marked(key), value.clone()),
                Change::Delete(_) => write.remove(&pairs, marked(key)),
            }
        }
        write.commit().map_err(failed)
    }

    fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError> {
        let Open { store, pairs } = self.opened()?;
        let snapshot = store.snapshot();
        let prefix = marked(prefix);
        let from = marked(start).max(prefix.clone());
        let open = Arc::clone(&self.open);
        let read = move |guard: fjall::Guard| {
            if open.read().is_none() {
                return Err(DbError::Closed);
            }
            let (key, value) = guard.into_inner().map_err(failed)?;
            Ok((Bytes::from(key).slice(1..), Bytes::from(value)))
        };
        let within = move |pair: &Result<(Bytes, Bytes), DbError>| {
            pair.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix[1..]))
        };
        let mut is_over = false;
        let until_error = move |pair: Result<(Bytes, Bytes), DbError>| {
            let now = std::mem::replace(&mut is_over, pair.is_err());
            (!now).then_some(pair)
        };
        Ok(Box::new(
            snapshot.range(&pairs, from..).map(read).take_while(within).map_while(until_error),
        ))
    }

    fn compact(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<(), DbError> {
        let open = self.opened()?;
        let is_empty = start.zip(end).is_some_and(|(start, end)| start > end);
        if is_empty { Ok(()) } else { open.pairs.major_compact().map_err(failed) }
    }

    fn close(&self) -> Result<(), DbError> {
        let open = self.open.write().take().ok_or(DbError::Closed)?;
        open.store.persist(PersistMode::SyncAll).map_err(failed)
    }
}

impl fmt::Debug for DiskDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskDatabase").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let mut number = 0;
        sastrugi_vm::db::suite(|| {
            number += 1;
            Arc::new(DiskDatabase::open(&folder.path().join(number.to_string())).unwrap())
        });
    }

    #[test]
    fn a_folder_in_use_is_refused_with_advice_and_free_again_after_close() {
        let folder = tempfile::tempdir().unwrap();
        let first = DiskDatabase::open(folder.path()).unwrap();
        first.put(b"key", b"value").unwrap();
        let error = DiskDatabase::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("in use by another process"), "{error}");
        first.close().unwrap();
        let again = DiskDatabase::open(folder.path()).unwrap();
        assert_eq!(again.get(b"key").unwrap().as_deref(), Some(b"value".as_slice()));
    }

    #[test]
    fn damaged_files_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let db = DiskDatabase::open(folder.path()).unwrap();
        db.put(b"key", b"value").unwrap();
        db.close().unwrap();
        drop(db);
        std::fs::write(folder.path().join("version"), b"garbage").unwrap();
        let error = DiskDatabase::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}
