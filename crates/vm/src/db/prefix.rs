//! Several databases in one, kept apart by a prefix of their keys.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use sastrugi_types::hash::{sha256, sha256_parts};

use super::{
    Batch, Change, Database, DbError, Durability, Pairs, SharedDatabase, snapshot::until_error,
};

/// Length of the prefix in front of every key, in bytes.
pub const PREFIX_BYTES: usize = 32;

/// A part of another database.
///
/// Its keys are stored behind the SHA-256 of the part's name. A part of a part ([`Self::child`])
/// is not stored inside its parent's keys but beside them, behind the SHA-256 of the parent's
/// prefix and the name; so a key of 32 bytes never runs into another part.
///
/// Closing a part closes only it. Upstream: `database/prefixdb/db.go`.
pub struct PrefixDb {
    base: SharedDatabase,
    prefix: [u8; PREFIX_BYTES],
    is_closed: AtomicBool,
}

impl PrefixDb {
    /// The part of `base` with this name.
    pub fn new(base: SharedDatabase, name: &[u8]) -> Self {
        Self::at(base, sha256(name))
    }

    /// The part of this part with this name, directly over the same base.
    #[must_use]
    pub fn child(&self, name: &[u8]) -> Self {
        Self::at(Arc::clone(&self.base), sha256_parts(&[&self.prefix, name]))
    }

    /// The bytes in front of every key.
    pub const fn prefix(&self) -> &[u8; PREFIX_BYTES] {
        &self.prefix
    }

    fn at(base: SharedDatabase, prefix: [u8; PREFIX_BYTES]) -> Self {
        Self { base, prefix, is_closed: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Result<(), DbError> {
        if self.is_closed.load(Ordering::Acquire) { Err(DbError::Closed) } else { Ok(()) }
    }

    fn full_key(&self, key: &[u8]) -> Bytes {
        [&self.prefix, key].concat().into()
    }
}

impl Database for PrefixDb {
    fn has(&self, key: &[u8]) -> Result<bool, DbError> {
        self.check_open()?;
        self.base.has(&self.full_key(key))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DbError> {
        self.check_open()?;
        self.base.get(&self.full_key(key))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), DbError> {
        self.check_open()?;
        let mut prefixed = Batch::new();
        for change in batch.changes() {
            match change {
                Change::Put(key, value) => prefixed.put(self.full_key(key), value.clone()),
                Change::Delete(key) => prefixed.delete(self.full_key(key)),
            }
        }
        self.base.write(&prefixed, durability)
    }

    fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError> {
        self.check_open()?;
        let pairs = self.base.iterate(&self.full_key(prefix), &self.full_key(start))?;
        let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.slice(PREFIX_BYTES..), value)));
        Ok(Box::new(until_error(pairs, || self.check_open())))
    }

    fn compact(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<(), DbError> {
        self.check_open()?;
        let start = self.full_key(start.unwrap_or_default());
        let end = end.map_or_else(|| after(self.prefix), |end| Some(self.full_key(end)));
        self.base.compact(Some(&start), end.as_deref())
    }

    fn close(&self) -> Result<(), DbError> {
        if self.is_closed.swap(true, Ordering::AcqRel) { Err(DbError::Closed) } else { Ok(()) }
    }

    fn part(&self, name: &[u8]) -> Option<SharedDatabase> {
        Some(Arc::new(self.child(name)))
    }
}

impl fmt::Debug for PrefixDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixDb")
            .field("prefix", &Bytes::copy_from_slice(&self.prefix))
            .finish_non_exhaustive()
    }
}

/// The first prefix above this one, `None` if it is the last.
fn after(mut prefix: [u8; PREFIX_BYTES]) -> Option<Bytes> {
    for byte in prefix.iter_mut().rev() {
        let (next, overflow) = byte.overflowing_add(1);
        *byte = next;
        if !overflow {
            return Some(Bytes::copy_from_slice(&prefix));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{MemoryDb, part, suite};

    fn hex(prefix: &[u8; PREFIX_BYTES]) -> String {
        use std::fmt::Write;
        prefix.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn conforms() {
        suite(|| Arc::new(PrefixDb::new(Arc::new(MemoryDb::new()), b"part")));
        suite(|| Arc::new(PrefixDb::new(Arc::new(MemoryDb::new()), b"part").child(b"of part")));
    }

    #[test]
    fn the_layout_of_upstream() {
        let db: SharedDatabase = Arc::new(MemoryDb::new());
        let chain = PrefixDb::new(Arc::clone(&db), &[0; 32]);
        assert_eq!(
            hex(chain.prefix()),
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
        );
        assert_eq!(
            hex(chain.child(b"vm").prefix()),
            "eb2cf2e6083203136345e4e05edb18b78ca3147aa8f1d73a4414fde8bfe585c2"
        );
        assert_eq!(
            hex(chain.child(b"interval_bs").prefix()),
            "7f90f75c9606e80efafaddbe10034241d66bde227ae687913413805f79a9006a"
        );
        let vm = chain.child(b"vm");
        vm.put(b"key", b"value").unwrap();
        let stored = [&vm.prefix()[..], b"key"].concat();
        assert_eq!(db.get(&stored), Ok(Some(Bytes::from_static(b"value"))));
    }

    #[test]
    fn parts_do_not_see_each_other() {
        let db: SharedDatabase = Arc::new(MemoryDb::new());
        let one = PrefixDb::new(Arc::clone(&db), b"1");
        let two = one.child(b"2");
        one.put(b"k", b"one").unwrap();
        two.put(b"k", b"two").unwrap();
        let mut ones = one.iterate(b"", b"").unwrap();
        assert_eq!(ones.next(), Some(Ok(("k".into(), "one".into()))));
        assert_eq!(ones.next(), None);
        one.close().unwrap();
        assert_eq!(two.get(b"k"), Ok(Some("two".into())));
    }

    #[test]
    fn a_part_by_name_is_beside_a_part_and_within_anything_else() {
        let db: SharedDatabase = Arc::new(MemoryDb::new());
        let one = PrefixDb::new(Arc::clone(&db), b"1");
        let key = |prefix: &[u8; PREFIX_BYTES]| [&prefix[..], b"k"].concat();
        let (within, beside) = (key(&sha256(b"2")), key(one.child(b"2").prefix()));
        part(&db, b"2").put(b"k", b"within").unwrap();
        let one: SharedDatabase = Arc::new(one);
        part(&one, b"2").put(b"k", b"beside").unwrap();
        assert_eq!(db.get(&within), Ok(Some("within".into())));
        assert_eq!(db.get(&beside), Ok(Some("beside".into())));
    }

    #[test]
    fn the_prefix_after() {
        assert_eq!(after([0xff; 32]), None);
        let mut prefix = [0; 32];
        prefix[30] = 7;
        prefix[31] = 0xff;
        let mut next = [0; 32];
        next[30] = 8;
        assert_eq!(after(prefix).as_deref(), Some(&next[..]));
    }
}
