//! Changes held back above a database until they are committed together.

use std::{collections::BTreeMap, fmt, iter::Peekable, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Batch, Change, Database, DbError, Durability, Pairs, ReadOnlyDb, SharedDatabase,
    snapshot::{Snapshot, until_error},
};

/// A layer in memory above a database.
///
/// Writes collect in the layer, and reads see it first. The owner of the layer commits them in one
/// batch, or aborts. A chain puts one such layer below its VM and its own records, so that an
/// accepted block is there with all its consequences or not at all.
///
/// Whoever writes asks for a [`Durability`] in vain: it is decided at the commit. Closing drops
/// what was not committed and leaves the base open. Upstream: `database/versiondb/db.go`.
pub struct VersionedDb {
    base: SharedDatabase,
    layer: Mutex<Layer>,
}

/// `None` for a deleted key.
type Changes = BTreeMap<Bytes, Option<Bytes>>;

#[derive(Default)]
struct Layer {
    changes: Arc<Changes>,
    is_closed: bool,
}

impl VersionedDb {
    /// An empty layer above `base`.
    pub fn new(base: SharedDatabase) -> Self {
        Self { base, layer: Mutex::default() }
    }

    /// The database below, without the changes held back: what readers beside the engine may see.
    pub fn committed(&self) -> SharedDatabase {
        Arc::new(ReadOnlyDb::new(Arc::clone(&self.base)))
    }

    /// Writes all changes to the base in one batch. If that fails the layer keeps them.
    pub fn commit(&self, durability: Durability) -> Result<(), DbError> {
        let mut layer = self.layer.lock();
        layer.check_open()?;
        self.base.write(&batch(&layer.changes), durability)?;
        layer.changes = Arc::default();
        Ok(())
    }

    /// Takes the changes out of the layer, in the order of their keys, for an owner that writes
    /// them to the base together with others. Until that is done the layer reads as if they were
    /// aborted.
    pub fn take_batch(&self) -> Result<Batch, DbError> {
        let mut layer = self.layer.lock();
        layer.check_open()?;
        let changes = std::mem::take(&mut layer.changes);
        Ok(batch(&changes))
    }

    /// Drops all changes.
    pub fn abort(&self) {
        self.layer.lock().changes = Arc::default();
    }

    /// How many keys have a change held back.
    pub fn changed_keys(&self) -> usize {
        self.layer.lock().changes.len()
    }
}

impl Layer {
    fn check_open(&self) -> Result<(), DbError> {
        if self.is_closed { Err(DbError::Closed) } else { Ok(()) }
    }
}

fn batch(changes: &Changes) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key.clone(), value.clone()),
            None => batch.delete(key.clone()),
        }
    }
    batch
}

impl Database for VersionedDb {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        let layer = self.layer.lock();
        layer.check_open()?;
        match layer.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn write(&self, batch: &Batch, _durability: Durability) -> Result<(), DbError> {
        let mut layer = self.layer.lock();
        layer.check_open()?;
        let changes = Arc::make_mut(&mut layer.changes);
        for change in batch.changes() {
            match change {
                Change::Put(key, value) => changes.insert(key.clone(), Some(value.clone())),
                Change::Delete(key) => changes.insert(key.clone(), None),
            };
        }
        Ok(())
    }

    fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError> {
        let layer = self.layer.lock();
        layer.check_open()?;
        let changes = Snapshot::new(Arc::clone(&layer.changes), prefix, start).peekable();
        let base = self.base.iterate(prefix, start)?.peekable();
        let check = || self.layer.lock().check_open();
        Ok(Box::new(until_error(Merged { changes, base }, check)))
    }

    fn compact(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<(), DbError> {
        self.layer.lock().check_open()?;
        self.base.compact(start, end)
    }

    fn close(&self) -> Result<(), DbError> {
        let mut layer = self.layer.lock();
        layer.check_open()?;
        *layer = Layer { changes: Arc::default(), is_closed: true };
        Ok(())
    }
}

impl fmt::Debug for VersionedDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionedDb")
            .field("changed_keys", &self.changed_keys())
            .finish_non_exhaustive()
    }
}

/// Both walks in one order; a change hides the pair below it.
struct Merged<'a> {
    changes: Peekable<Snapshot<Option<Bytes>>>,
    base: Peekable<Pairs<'a>>,
}

impl Iterator for Merged<'_> {
    type Item = Result<(Bytes, Bytes), DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let base_key = match self.base.peek() {
                Some(Err(_)) => return self.base.next(),
                Some(Ok((key, _))) => Some(key),
                None => None,
            };
            let Some((key, _)) = self.changes.peek() else { return self.base.next() };
            if base_key.is_some_and(|base_key| base_key < key) {
                return self.base.next();
            }
            if base_key == Some(key) {
                self.base.next();
            }
            if let Some((key, Some(value))) = self.changes.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{MemoryDb, suite};

    fn over(pairs: &[(&str, &str)]) -> (MemoryDb, VersionedDb) {
        let base = MemoryDb::new();
        for (key, value) in pairs {
            base.put(key.as_bytes(), value.as_bytes()).unwrap();
        }
        let versioned = VersionedDb::new(Arc::new(base.clone()));
        (base, versioned)
    }

    fn text(db: &dyn Database, prefix: &str, start: &str) -> String {
        let pairs = db.iterate(prefix.as_bytes(), start.as_bytes()).unwrap();
        let pair = |pair: Result<(Bytes, Bytes), DbError>| {
            let (key, value) = pair.unwrap();
            format!("{}{}", str::from_utf8(&key).unwrap(), str::from_utf8(&value).unwrap())
        };
        pairs.map(pair).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn conforms() {
        suite(|| Arc::new(VersionedDb::new(Arc::new(MemoryDb::new()))));
    }

    #[test]
    fn the_layer_hides_the_base() {
        let (base, db) = over(&[("a", "1"), ("b", "1"), ("d", "1"), ("da", "1")]);
        db.put(b"b", b"2").unwrap();
        db.put(b"c", b"2").unwrap();
        db.put(b"db", b"2").unwrap();
        db.delete(b"a").unwrap();
        db.delete(b"x").unwrap();
        assert_eq!(text(&db, "", ""), "b2 c2 d1 da1 db2");
        assert_eq!(text(&db, "d", ""), "d1 da1 db2");
        assert_eq!(text(&db, "d", "da0"), "db2");
        assert_eq!(text(&*db.committed(), "", ""), "a1 b1 d1 da1");
        assert_eq!(base.len(), 4);
        assert_eq!(db.has(b"a"), Ok(false));

        db.abort();
        assert_eq!(text(&db, "", ""), "a1 b1 d1 da1");
    }

    #[test]
    fn commits_in_one_batch() {
        let (base, db) = over(&[("a", "1")]);
        db.put(b"b", b"2").unwrap();
        db.delete(b"a").unwrap();
        base.fail_writes_after(0);
        db.commit(Durability::Synced).unwrap_err();
        assert_eq!(db.changed_keys(), 2);
        base.heal();
        db.commit(Durability::Synced).unwrap();
        assert_eq!((db.changed_keys(), base.unsynced_batches()), (0, 0));
        assert_eq!(text(&base, "", ""), "b2");
    }

    #[test]
    fn a_taken_batch_is_written_by_its_owner() {
        let (base, db) = over(&[("a", "1")]);
        db.put(b"c", b"2").unwrap();
        db.delete(b"a").unwrap();
        let mut batch = db.take_batch().unwrap();
        batch.put(&b"index"[..], &b"!"[..]);
        base.write(&batch, Durability::Synced).unwrap();
        assert_eq!(text(&db, "", ""), "c2 index!");
    }

    #[test]
    fn closing_leaves_the_base_open() {
        let (base, db) = over(&[("a", "1")]);
        db.put(b"b", b"2").unwrap();
        db.close().unwrap();
        assert_eq!(db.commit(Durability::Synced), Err(DbError::Closed));
        assert_eq!(text(&base, "", ""), "a1");
    }
}
