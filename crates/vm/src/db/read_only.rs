//! A database that nobody can write to.

use std::fmt;

use bytes::Bytes;

use super::{Batch, Database, DbError, Durability, Pairs, SharedDatabase};

/// Another database without the right to change it: writes, compaction and closing fail with
/// [`DbError::ReadOnly`].
pub struct ReadOnlyDb {
    base: SharedDatabase,
}

impl ReadOnlyDb {
    /// A view of `base`.
    pub const fn new(base: SharedDatabase) -> Self {
        Self { base }
    }
}

impl Database for ReadOnlyDb {
    fn has(&self, key: &[u8]) -> Result<bool, DbError> {
        self.base.has(key)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        self.base.get(key)
    }

    fn write(&self, _batch: &Batch, _durability: Durability) -> Result<(), DbError> {
        Err(DbError::ReadOnly)
    }

    fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError> {
        self.base.iterate(prefix, start)
    }

    fn compact(&self, _start: Option<&[u8]>, _end: Option<&[u8]>) -> Result<(), DbError> {
        Err(DbError::ReadOnly)
    }

    fn close(&self) -> Result<(), DbError> {
        Err(DbError::ReadOnly)
    }
}

impl fmt::Debug for ReadOnlyDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnlyDb").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::db::MemoryDb;

    #[test]
    fn reads_and_refuses_to_write() {
        let base = MemoryDb::new();
        base.put(b"a", b"1").unwrap();
        let db = ReadOnlyDb::new(Arc::new(base.clone()));
        assert_eq!(db.get(b"a"), Ok(Some("1".into())));
        assert_eq!(db.put(b"a", b"2"), Err(DbError::ReadOnly));
        assert_eq!(db.close(), Err(DbError::ReadOnly));
        assert_eq!(base.get(b"a"), Ok(Some("1".into())));
    }
}
