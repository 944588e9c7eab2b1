//! A database in memory, for the laboratory and for tests.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Batch, Change, Database, DbError, Durability, Pairs,
    snapshot::{Snapshot, until_error},
};

/// A database in memory that can be made to fail, and that knows what a crash would leave of it.
///
/// A clone is a second handle on the same data. Iterators are cheap to make; the first write while
/// one is alive copies the map.
#[derive(Clone, Default)]
pub struct MemoryDb(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    pairs: Arc<BTreeMap<Bytes, Bytes>>,
    /// For each batch written since the last synced one, what it replaced, newest first.
    unsynced: Vec<Vec<(Bytes, Option<Bytes>)>>,
    is_closed: bool,
    reads_left: Option<u64>,
    writes_left: Option<u64>,
}

impl MemoryDb {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `count` more writes pass; every later one fails, and changes nothing.
    pub fn fail_writes_after(&self, count: u64) {
        self.0.lock().writes_left = Some(count);
    }

    /// Lets `count` more reads pass (looks at one key, or steps of an iterator); every later one
    /// fails.
    pub fn fail_reads_after(&self, count: u64) {
        self.0.lock().reads_left = Some(count);
    }

    /// Ends all failures.
    pub fn heal(&self) {
        let mut inner = self.0.lock();
        inner.reads_left = None;
        inner.writes_left = None;
    }

    /// How many batches were written since the last synced one.
    pub fn unsynced_batches(&self) -> usize {
        self.0.lock().unsynced.len()
    }

    /// What a crash of the machine leaves, as a new database: all that was synced, and the oldest
    /// `survivors` of the batches written since. A store writes in order, so every number of
    /// survivors is a possible crash. Works on a closed database too.
    #[must_use]
    pub fn after_crash(&self, survivors: usize) -> Self {
        let inner = self.0.lock();
        let mut pairs = BTreeMap::clone(&inner.pairs);
        for replaced in inner.unsynced.iter().skip(survivors).rev() {
            for (key, value) in replaced {
                set(&mut pairs, key, value.clone());
            }
        }
        Self::holding(Arc::new(pairs))
    }

    /// What a crash of the process leaves, as a new database: all that was written. Also the way
    /// to open a closed database again.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self::holding(Arc::clone(&self.0.lock().pairs))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.0.lock().pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.lock().pairs.is_empty()
    }

    fn holding(pairs: Arc<BTreeMap<Bytes, Bytes>>) -> Self {
        Self(Arc::new(Mutex::new(Inner { pairs, ..Inner::default() })))
    }

    fn check_read(&self) -> Result<(), DbError> {
        self.0.lock().check_read()
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), DbError> {
        if self.is_closed { Err(DbError::Closed) } else { Ok(()) }
    }

    fn check_read(&mut self) -> Result<(), DbError> {
        self.check_open()?;
        spend(&mut self.reads_left, "injected read failure")
    }

    fn check_write(&mut self) -> Result<(), DbError> {
        self.check_open()?;
        spend(&mut self.writes_left, "injected write failure")
    }
}

fn spend(left: &mut Option<u64>, failure: &str) -> Result<(), DbError> {
    match left {
        None => Ok(()),
        Some(0) => Err(DbError::Io(failure.to_owned())),
        Some(count) => {
            *count -= 1;
            Ok(())
        }
    }
}

fn set(pairs: &mut BTreeMap<Bytes, Bytes>, key: &Bytes, value: Option<Bytes>) -> Option<Bytes> {
    match value {
        Some(value) => pairs.insert(key.clone(), value),
        None => pairs.remove(key),
    }
}

impl Database for MemoryDb {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        let mut inner = self.0.lock();
        inner.check_read()?;
        Ok(inner.pairs.get(key).cloned())
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), DbError> {
        let mut inner = self.0.lock();
        inner.check_write()?;
        let pairs = Arc::make_mut(&mut inner.pairs);
        let mut replaced = Vec::with_capacity(batch.changes().len());
        for change in batch.changes() {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value.clone())),
                Change::Delete(key) => (key, None),
            };
            let before = set(pairs, key, value);
            replaced.push((key.clone(), before));
        }
        match durability {
            Durability::Synced => inner.unsynced.clear(),
            Durability::Buffered => {
                replaced.reverse();
                inner.unsynced.push(replaced);
            }
        }
        Ok(())
    }

    fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError> {
        let inner = self.0.lock();
        inner.check_open()?;
        let snapshot = Snapshot::new(Arc::clone(&inner.pairs), prefix, start);
        drop(inner);
        Ok(Box::new(until_error(snapshot.map(Ok), || self.check_read())))
    }

    fn compact(&self, _start: Option<&[u8]>, _end: Option<&[u8]>) -> Result<(), DbError> {
        self.0.lock().check_open()
    }

    fn close(&self) -> Result<(), DbError> {
        let mut inner = self.0.lock();
        inner.check_open()?;
        inner.is_closed = true;
        Ok(())
    }
}

impl fmt::Debug for MemoryDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDb").field("pairs", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::suite;

    fn write(db: &MemoryDb, key: &'static [u8], durability: Durability) -> Result<(), DbError> {
        let mut batch = Batch::new();
        batch.put(key, &b"v"[..]);
        db.write(&batch, durability)
    }

    #[test]
    fn conforms() {
        suite(|| Arc::new(MemoryDb::new()));
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let db = MemoryDb::new();
        write(&db, b"a", Durability::Buffered).unwrap();
        write(&db, b"b", Durability::Synced).unwrap();
        write(&db, b"c", Durability::Buffered).unwrap();
        let mut both = Batch::new();
        both.put(&b"c"[..], &b"w"[..]);
        both.delete(&b"c"[..]);
        both.delete(&b"a"[..]);
        db.write(&both, Durability::Buffered).unwrap();
        assert_eq!(db.unsynced_batches(), 2);

        let keys = |db: MemoryDb| -> Vec<Bytes> {
            db.iterate(b"", b"").unwrap().map(|pair| pair.unwrap().0).collect()
        };
        assert_eq!(keys(db.after_crash(0)), ["a", "b"]);
        assert_eq!(keys(db.after_crash(1)), ["a", "b", "c"]);
        assert_eq!(keys(db.after_crash(2)), ["b"]);
        assert_eq!(db.after_crash(1).get(b"c"), Ok(Some(Bytes::from_static(b"v"))));
        db.close().unwrap();
        assert_eq!(keys(db.reopen()), ["b"]);
    }

    #[test]
    fn fails_when_told_to_until_healed() {
        let db = MemoryDb::new();
        db.fail_writes_after(1);
        write(&db, b"a", Durability::Synced).unwrap();
        let failure = Err(DbError::Io("injected write failure".into()));
        assert_eq!(write(&db, b"b", Durability::Synced), failure);
        assert_eq!(write(&db, b"b", Durability::Synced), failure);
        db.heal();
        assert_eq!(db.has(b"b"), Ok(false));
        write(&db, b"b", Durability::Synced).unwrap();

        db.fail_reads_after(1);
        let mut pairs = db.iterate(b"", b"").unwrap();
        assert!(matches!(pairs.next(), Some(Ok(_))));
        assert!(matches!(pairs.next(), Some(Err(DbError::Io(_)))));
        assert!(pairs.next().is_none());
        assert!(db.get(b"a").is_err());
    }
}
