//! The database on disk: one per node, kept by fjall.
//!
//! Everything lives in one keyspace; users get their part of it through
//! [`sastrugi_vm::db::PrefixDb`]. A synced batch is on the disk when the call returns, and is there
//! whole or not at all after a crash. Opening takes a lock on the folder that ends with the process.
//!
//! # Damage
//! The store takes a journal that is cut off, or garbled in the middle, for the end of what was
//! written, and a missing part for an empty one. Therefore each close is numbered: the seal is the
//! last thing written to the store, and then to a file beside it. A store whose seal is lower than
//! the file's has lost what it held, and is refused.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};
use parking_lot::RwLock;
use sastrugi_vm::db::{Batch, Change, Database, DbError, Durability, Pairs};

use crate::{
    error::{StartError, at},
    identity::{make_folder, replace},
};

/// Memory for blocks read from disk, in bytes.
const CACHE_BYTES: u64 = 32 << 20;
/// Bytes of journal kept before memory is written to tables; it bounds the time to reopen.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// One background worker per database.
const WORKERS: usize = 1;
/// Stands before every key, because the store has no empty key.
const KEY_MARK: u8 = b'k';
/// The seal's key in the store.
const SEAL_KEY: &[u8] = b"seal";
/// The seal's file.
const SEAL_FILE: &str = "seal";
/// Mode of the seal's file.
const SEAL_MODE: u32 = 0o600;

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
        if path.is_file() {
            return Err(StartError::file(path, "is a file; a database needs a folder"));
        }
        if is_absent(path)? {
            make(path)?;
        }
        let open = open(path).map_err(|error| StartError::file(path, advice(&error)))?;
        open.check_seal(path)?;
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

impl Open {
    /// The number of the last close that the store knows.
    fn seal(&self) -> Result<u64, fjall::Error> {
        let seal = self.pairs.get(SEAL_KEY)?;
        Ok(seal.and_then(|seal| seal.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// The store must know the close that the file tells of.
    fn check_seal(&self, path: &Path) -> Result<(), StartError> {
        let file = path.join(SEAL_FILE);
        let told = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().unwrap_or(u64::MAX),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(at(&file)(error)),
        };
        let known = self.seal().map_err(|error| StartError::file(path, advice(&error)))?;
        if known >= told {
            return Ok(());
        }
        Err(StartError::file(path, damaged("it lost what was written before it was closed")))
    }

    /// Numbers this close, in the store and then in the file.
    fn seal_again(&self, path: &Path) -> Result<(), DbError> {
        let seal = self.seal().map_err(failed)? + 1;
        self.pairs.insert(SEAL_KEY, seal.to_be_bytes()).map_err(failed)?;
        self.store.persist(PersistMode::SyncAll).map_err(failed)?;
        replace(&path.join(SEAL_FILE), &format!("{seal}\n"), SEAL_MODE)
            .map_err(|error| DbError::Io(error.to_string()))
    }
}

/// Whether there is no database yet: no folder, or an empty one.
fn is_absent(path: &Path) -> Result<bool, StartError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(at(path)(error)),
    }
}

/// Makes an empty database beside its place and puts it there as a whole, because a store whose
/// making was interrupted cannot be told from a damaged one.
fn make(path: &Path) -> Result<(), StartError> {
    let beside = path.with_added_extension("new");
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(at(&beside))?;
    }
    make_folder(&beside)?;
    drop(open(&beside).map_err(|error| StartError::file(path, advice(&error)))?);
    fs::rename(&beside, path).map_err(at(path))
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
        // A store is made where one seems to be missing, and some of its files are there.
        fjall::Error::Io(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            damaged("it is not complete")
        }
        fjall::Error::Io(error) => format!("the database cannot be opened: {error}"),
        other => damaged(&format!("{other:?}")),
    }
}

fn damaged(how: &str) -> String {
    format!(
        "the database is damaged ({how}); restore the folder from a copy, or move it away and let \
         the node fetch everything anew"
    )
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
        if changes.is_empty() {
            // The store skips empty batches, but a synced one stands for those before it.
            return store.persist(mode).map_err(failed);
        }
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
        open.seal_again(&self.path)
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
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 7] = [
            ("garbage", |db| fs::write(db.join("version"), b"garbage").unwrap()),
            ("no version", |db| fs::remove_file(db.join("version")).unwrap()),
            ("no journal", |db| fs::remove_file(db.join("0.jnl")).unwrap()),
            ("empty journal", |db| fs::write(db.join("0.jnl"), b"").unwrap()),
            ("garbled journal", |db| {
                let mut bytes = fs::read(db.join("0.jnl")).unwrap();
                bytes[..8].copy_from_slice(b"garbage!");
                fs::write(db.join("0.jnl"), bytes).unwrap();
            }),
            ("no keyspaces", |db| fs::remove_dir_all(db.join("keyspaces")).unwrap()),
            ("no keyspace", |db| fs::remove_dir_all(db.join("keyspaces/1")).unwrap()),
        ];
        for (name, damage) in damages {
            let folder = tempfile::tempdir().unwrap();
            let db = DiskDatabase::open(folder.path()).unwrap();
            db.put(b"key", b"value").unwrap();
            db.close().unwrap();
            drop(db);
            damage(folder.path());
            let error = DiskDatabase::open(folder.path()).expect_err(name).to_string();
            assert!(error.contains("damaged"), "{name}: {error}");
            // The store repairs what it can; what opens then is whole.
            match DiskDatabase::open(folder.path()) {
                Ok(db) => assert_eq!(db.get(b"key").unwrap().as_deref(), Some(&b"value"[..])),
                Err(error) => assert!(error.to_string().contains("damaged"), "{name}: {error}"),
            }
        }
    }

    #[test]
    fn a_making_that_was_interrupted_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let beside = folder.path().join("db.new");
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("0.jnl"), b"").unwrap();
        let db = DiskDatabase::open(&path).unwrap();
        db.put(b"key", b"value").unwrap();
        db.close().unwrap();
        drop(db);
        assert!(!beside.exists());
        let db = DiskDatabase::open(&path).unwrap();
        assert_eq!(db.get(b"key").unwrap().as_deref(), Some(b"value".as_slice()));
    }

    #[test]
    fn what_follows_a_close_may_be_cut_off_by_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("0.jnl");
        let db = DiskDatabase::open(folder.path()).unwrap();
        db.put(b"key", b"value").unwrap();
        db.close().unwrap();
        drop(db);
        let db = DiskDatabase::open(folder.path()).unwrap();
        let end = fs::metadata(&journal).unwrap().len();
        db.put(b"key", b"other").unwrap();
        drop(db);
        assert!(fs::metadata(&journal).unwrap().len() > end);
        fs::File::options().write(true).open(&journal).unwrap().set_len(end + 1).unwrap();
        let db = DiskDatabase::open(folder.path()).unwrap();
        assert_eq!(db.get(b"key").unwrap().as_deref(), Some(b"value".as_slice()));
    }
}
