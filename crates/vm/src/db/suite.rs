//! What every database must do, as tests that run on any implementation.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Batch, Database, DbError, Durability, SharedDatabase};

/// Checks an implementation; `make` gives a new, empty database each time.
///
/// # Panics
/// On the first thing the database does wrong.
pub fn suite(mut make: impl FnMut() -> SharedDatabase) {
    for test in [
        single_keys,
        empty_keys_and_values,
        batches,
        batches_are_written_again,
        iteration_is_ordered_and_bounded,
        iterators_are_snapshots,
        large_values,
        compaction,
        closing,
        closing_under_an_iterator,
        random_histories,
    ] {
        test(&*make());
    }
}

fn pairs(db: &dyn Database, prefix: &[u8], start: &[u8]) -> Result<Vec<(Bytes, Bytes)>, DbError> {
    db.iterate(prefix, start)?.collect()
}

fn keys(db: &dyn Database, prefix: &[u8], start: &[u8]) -> Result<Vec<Bytes>, DbError> {
    Ok(pairs(db, prefix, start)?.into_iter().map(|(key, _)| key).collect())
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn single_keys(db: &dyn Database) {
    assert_eq!(db.get(b"k"), Ok(None));
    assert_eq!(db.has(b"k"), Ok(false));
    assert_eq!(db.delete(b"k"), Ok(()), "deleting a missing key is fine");
    assert_eq!(db.put(b"k", b"v"), Ok(()));
    assert_eq!(db.get(b"k"), Ok(Some(bytes("v"))));
    assert_eq!(db.has(b"k"), Ok(true));
    assert_eq!(db.put(b"k", b"w"), Ok(()));
    assert_eq!(db.get(b"k"), Ok(Some(bytes("w"))));
    assert_eq!(db.delete(b"k"), Ok(()));
    assert_eq!(db.get(b"k"), Ok(None));
}

fn empty_keys_and_values(db: &dyn Database) {
    assert_eq!(db.put(b"", b"root"), Ok(()));
    assert_eq!(db.put(b"empty", b""), Ok(()));
    assert_eq!(db.get(b""), Ok(Some(bytes("root"))));
    assert_eq!(db.get(b"empty"), Ok(Some(Bytes::new())));
    assert_eq!(db.has(b"empty"), Ok(true));
    assert_eq!(keys(db, b"", b""), Ok(vec![bytes(""), bytes("empty")]));
}

fn batches(db: &dyn Database) {
    assert_eq!(db.put(b"old", b"1"), Ok(()));
    let mut batch = Batch::new();
    assert_eq!(db.write(&batch, Durability::Synced), Ok(()), "an empty batch is fine");
    batch.put(bytes("a"), bytes("1"));
    batch.delete(bytes("old"));
    batch.put(bytes("b"), bytes("1"));
    batch.delete(bytes("a"));
    batch.put(bytes("b"), bytes("2"));
    batch.delete(bytes("missing"));
    assert_eq!(db.get(b"b"), Ok(None), "a batch does nothing before it is written");
    assert_eq!(db.write(&batch, Durability::Synced), Ok(()));
    assert_eq!(pairs(db, b"", b""), Ok(vec![(bytes("b"), bytes("2"))]), "later changes win");
}

fn batches_are_written_again(db: &dyn Database) {
    let mut batch = Batch::new();
    batch.put(bytes("a"), bytes("1"));
    assert_eq!(db.write(&batch, Durability::Buffered), Ok(()));
    assert_eq!(db.delete(b"a"), Ok(()));
    assert_eq!(db.write(&batch, Durability::Buffered), Ok(()));
    assert_eq!(db.get(b"a"), Ok(Some(bytes("1"))));
}

fn iteration_is_ordered_and_bounded(db: &dyn Database) {
    let stored: [&[u8]; 8] = [b"b", b"a", b"", b"ab", b"aa\xff", b"aa", b"\xff", b"\xff\xff"];
    for key in stored {
        assert_eq!(db.put(key, b"v"), Ok(()));
    }
    let walk = |prefix: &[u8], start: &[u8], expected: &[&'static [u8]]| {
        let expected = expected.iter().copied().map(Bytes::from_static).collect();
        assert_eq!(keys(db, prefix, start), Ok(expected), "prefix {prefix:?}, start {start:?}");
    };
    walk(b"", b"", &[b"", b"a", b"aa", b"aa\xff", b"ab", b"b", b"\xff", b"\xff\xff"]);
    walk(b"a", b"", &[b"a", b"aa", b"aa\xff", b"ab"]);
    walk(b"aa", b"", &[b"aa", b"aa\xff"]);
    walk(b"a", b"aa", &[b"aa", b"aa\xff", b"ab"]);
    walk(b"a", b"aaa", &[b"aa\xff", b"ab"]);
    walk(b"", b"ab", &[b"ab", b"b", b"\xff", b"\xff\xff"]);
    walk(b"a", b"b", &[]);
    walk(b"b", b"a", &[b"b"]);
    walk(b"\xff", b"", &[b"\xff", b"\xff\xff"]);
    walk(b"c", b"", &[]);
}

fn iterators_are_snapshots(db: &dyn Database) {
    assert_eq!(db.put(b"a", b"1"), Ok(()));
    assert_eq!(db.put(b"b", b"1"), Ok(()));
    let before = db.iterate(b"", b"");
    assert_eq!(db.put(b"b", b"2"), Ok(()));
    assert_eq!(db.delete(b"a"), Ok(()));
    assert_eq!(db.put(b"c", b"2"), Ok(()));
    let before: Result<Vec<_>, _> = before.and_then(Iterator::collect);
    assert_eq!(before, Ok(vec![(bytes("a"), bytes("1")), (bytes("b"), bytes("1"))]));
    let after = vec![(bytes("b"), bytes("2")), (bytes("c"), bytes("2"))];
    assert_eq!(pairs(db, b"", b""), Ok(after));
}

fn large_values(db: &dyn Database) {
    let value = vec![7; 2 << 20];
    let key = vec![b'k'; 1 << 10];
    assert_eq!(db.put(&key, &value), Ok(()));
    assert_eq!(db.get(&key), Ok(Some(value.into())));
}

fn compaction(db: &dyn Database) {
    for key in [b"a", b"b", b"c"] {
        assert_eq!(db.put(key, b"v"), Ok(()));
    }
    assert_eq!(db.delete(b"b"), Ok(()));
    assert_eq!(db.compact(None, None), Ok(()));
    assert_eq!(db.compact(Some(b"a"), Some(b"b")), Ok(()));
    assert_eq!(db.compact(Some(b"b"), Some(b"a")), Ok(()), "an empty range is fine");
    assert_eq!(db.compact(Some(b"z"), None), Ok(()));
    assert_eq!(keys(db, b"", b""), Ok(vec![bytes("a"), bytes("c")]));
}

fn closing(db: &dyn Database) {
    assert_eq!(db.put(b"k", b"v"), Ok(()));
    assert_eq!(db.close(), Ok(()));
    assert_eq!(db.has(b"k"), Err(DbError::Closed));
    assert_eq!(db.get(b"k"), Err(DbError::Closed));
    assert_eq!(db.put(b"k", b"v"), Err(DbError::Closed));
    assert_eq!(db.delete(b"k"), Err(DbError::Closed));
    assert_eq!(db.write(&Batch::new(), Durability::Synced), Err(DbError::Closed));
    assert_eq!(db.iterate(b"", b"").err(), Some(DbError::Closed));
    assert_eq!(db.compact(None, None), Err(DbError::Closed));
    assert_eq!(db.close(), Err(DbError::Closed));
}

fn closing_under_an_iterator(db: &dyn Database) {
    assert_eq!(db.put(b"a", b"1"), Ok(()));
    assert_eq!(db.put(b"b", b"1"), Ok(()));
    let pairs = db.iterate(b"", b"");
    assert!(pairs.is_ok(), "iterates over an open database");
    let Ok(mut pairs) = pairs else { return };
    let first = pairs.next();
    assert_eq!(db.close(), Ok(()));
    assert_eq!(pairs.next(), Some(Err(DbError::Closed)));
    assert_eq!(pairs.next(), None, "the error comes once");
    assert_eq!(first, Some(Ok((bytes("a"), bytes("1")))), "pairs outlive the database");
}

/// Compares with a map after every batch of a fixed, scrambled history.
fn random_histories(db: &dyn Database) {
    let mut model = BTreeMap::new();
    let mut random = 1_u64;
    let mut draw = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..64 {
        let mut batch = Batch::new();
        for _ in 0..draw(12) {
            let key: Bytes = draw(40).to_be_bytes()[6..].to_vec().into();
            if draw(3) == 0 {
                batch.delete(key.clone());
                model.remove(&key);
            } else {
                let value: Bytes = draw(1000).to_string().into();
                batch.put(key.clone(), value.clone());
                model.insert(key, value);
            }
        }
        assert_eq!(db.write(&batch, Durability::Buffered), Ok(()));
        let expected = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        assert_eq!(pairs(db, b"", b""), Ok(expected));
        let start = [0, draw(40) as u8];
        let expected = model.range(Bytes::copy_from_slice(&start)..).map(|(key, _)| key.clone());
        assert_eq!(keys(db, b"", &start), Ok(expected.collect()));
    }
}
