use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sastrugi_types::Id;
use sastrugi_vm::db::{Batch, Database, DbError, Durability, MemoryDb};

use super::*;

fn write(db: &MemoryDb, edits: &mut Edits) {
    db.write(&edits.take(), Durability::Buffered).unwrap();
}

fn run(lower: u64, upper: u64) -> Interval {
    Interval { lower, upper }
}

fn stored(db: &MemoryDb) -> Vec<(Bytes, Bytes)> {
    db.iterate(b"", b"").unwrap().map(Result::unwrap).collect()
}

fn stored_heights(db: &MemoryDb, from: u64) -> Vec<u64> {
    blocks(db, from).unwrap().map(|block| block.unwrap().0).collect()
}

type Pair = (&'static [u8], &'static [u8]);

fn holding(pairs: &[Pair]) -> MemoryDb {
    let db = MemoryDb::new();
    for (key, value) in pairs {
        db.put(key, value).unwrap();
    }
    db
}

/// A database with blocks at these heights, and its tree. The parent's ID of a block is its height.
fn fetched(heights: &[u64]) -> (MemoryDb, Tree) {
    let (db, mut tree, mut edits) = (MemoryDb::new(), Tree::new(), Edits::new());
    for &height in heights {
        let bytes = Bytes::copy_from_slice(&height.to_be_bytes());
        add_block(&mut edits, &mut tree, 0, height, bytes);
    }
    write(&db, &mut edits);
    (db, tree)
}

fn parent_of(height: u64, bytes: Bytes) -> Result<Id, IntervalError> {
    let is_stored = Vec::from(bytes) == height.to_be_bytes();
    is_stored.then_some(Id([height as u8; 32])).ok_or(IntervalError::NoBlock(height))
}

const BOTH_ENDS: [u64; 7] = [0, 1, 2, 3, u64::MAX - 2, u64::MAX - 1, u64::MAX];

fn any_height() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..12_u64, 1 => (u64::MAX - 5)..=u64::MAX]
}

/// The maximal runs of a set.
fn runs_of(heights: &BTreeSet<u64>) -> Vec<Interval> {
    let mut runs: Vec<Interval> = Vec::new();
    for &height in heights {
        match runs.last_mut() {
            Some(last) if last.upper + 1 == height => last.upper = height,
            _ => runs.push(run(height, height)),
        }
    }
    runs
}

proptest! {
    /// Tree, database and a plain set agree after every step, whatever is written together.
    #[test]
    fn a_tree_is_a_set(ops in vec((any::<bool>(), any_height(), any::<bool>()), 0..80)) {
        let (db, mut tree, mut edits) = (MemoryDb::new(), Tree::new(), Edits::new());
        let mut model = BTreeSet::new();
        for (adds, height, writes) in ops {
            prop_assert_eq!(tree.contains(height), model.contains(&height));
            if adds {
                let joins_below = height > 0 && model.contains(&(height - 1));
                let expected = if model.insert(height) {
                    Added::New { joins_below }
                } else {
                    Added::Known
                };
                prop_assert_eq!(tree.add(&mut edits, height), expected);
            } else {
                prop_assert_eq!(tree.remove(&mut edits, height), model.remove(&height));
            }
            prop_assert_eq!(tree.flatten(), runs_of(&model));
            prop_assert_eq!(tree.len(), model.len() as u64);
            prop_assert_eq!(tree.is_empty(), model.is_empty());
            if writes {
                write(&db, &mut edits);
                prop_assert!(edits.is_empty());
                prop_assert_eq!(Tree::load(&db).unwrap(), tree.clone());
                prop_assert_eq!(stored(&db).len(), tree.flatten().len());
            }
        }
    }

    /// Any database is loaded, read and cleared without a panic.
    #[test]
    fn any_database_is_loaded_or_refused(
        pairs in vec((vec(0..3_u8, 0..11), vec(any::<u8>(), 7..10)), 0..20),
        runs in vec((any_height(), any_height()), 0..4),
    ) {
        let db = MemoryDb::new();
        for (upper, lower) in runs {
            let key = [&[0][..], &upper.to_be_bytes()].concat();
            db.put(&key, &lower.to_be_bytes()).unwrap();
        }
        for (key, value) in pairs {
            db.put(&key, &value).unwrap();
        }
        if let Ok(tree) = Tree::load(&db) {
            let runs = tree.flatten();
            let heights: u128 = runs.iter().map(|run| u128::from(run.upper - run.lower) + 1).sum();
            prop_assert_eq!(heights as u64, tree.len());
            prop_assert!(missing(&db, &tree, 0, |_, _| Ok::<_, IntervalError>(Id::EMPTY)).is_ok()
                || !tree.is_empty());
        }
        for block in blocks(&db, 0).unwrap() {
            prop_assert!(block.is_ok() || matches!(block, Err(IntervalError::Key(_))));
        }
        clear(&db).unwrap();
        prop_assert!(db.is_empty());
    }
}

#[test]
fn the_full_range_has_length_zero_and_is_not_empty() {
    let db = holding(&[(b"\0\xff\xff\xff\xff\xff\xff\xff\xff", &[0; 8])]);
    let mut tree = Tree::load(&db).unwrap();
    assert_eq!((tree.len(), tree.is_empty()), (0, false));
    let mut edits = Edits::new();
    for height in BOTH_ENDS {
        assert_eq!(tree.add(&mut edits, height), Added::Known);
        assert!(tree.remove(&mut edits, height));
        assert!(!tree.contains(height));
    }
    assert_eq!(tree.flatten(), [run(4, u64::MAX - 3)]);
    assert_eq!(tree.len(), 7_u64.wrapping_neg());
    for height in BOTH_ENDS {
        assert!(matches!(tree.add(&mut edits, height), Added::New { .. }));
    }
    assert_eq!(tree.flatten(), [run(0, u64::MAX)]);
    assert_eq!(tree.len(), 0);
    write(&db, &mut edits);
    assert_eq!(Tree::load(&db).unwrap(), tree);
}

#[test]
fn edits_of_one_run_collapse_and_leave_the_same_database() {
    let (mut edits, mut tree) = (Edits::new(), Tree::new());
    for height in (1..=2_000).rev() {
        assert!(matches!(tree.add(&mut edits, height), Added::New { .. }));
    }
    assert_eq!(edits.take().changes().len(), 1);
    for height in 1..=1_999 {
        tree.remove(&mut edits, height);
    }
    assert_eq!(edits.take().changes().len(), 1);
    tree.add(&mut edits, 1_999);
    tree.remove(&mut edits, 1_999);
    tree.remove(&mut edits, 2_000);
    let db = MemoryDb::new();
    db.put(b"\0\0\0\0\0\0\0\x07\xd0", &2_000_u64.to_be_bytes()).unwrap();
    write(&db, &mut edits);
    assert!(db.is_empty());
}

#[test]
fn a_parent_is_wanted_unless_it_is_accepted_or_there() {
    let (mut edits, mut tree) = (Edits::new(), Tree::new());
    let mut add = |height| add_block(&mut edits, &mut tree, 3, height, Bytes::new());
    assert!(!add(0));
    assert!(!add(3));
    assert!(!add(4), "the parent is accepted");
    assert!(add(7));
    assert!(!add(7), "it is there already");
    assert!(add(6));
    assert!(!add(5), "the parent is there");
    assert!(add(u64::MAX));
    assert!(!add_block(&mut edits, &mut tree, u64::MAX, u64::MAX, Bytes::new()));
    assert_eq!(tree.flatten(), [run(4, 7), run(u64::MAX, u64::MAX)]);
}

#[test]
fn blocks_come_in_order_of_height_and_the_iterator_can_be_reopened() {
    let heights = [256, 3, 65_536, u64::MAX, 4, 1 << 40];
    let (db, mut tree) = fetched(&heights);
    let mut edits = Edits::new();
    let (mut seen, mut from) = (Vec::new(), 0);
    while let Some(block) = blocks(&db, from).unwrap().next() {
        let (height, bytes) = block.unwrap();
        assert_eq!(bytes, height.to_be_bytes()[..]);
        assert!(remove_block(&mut edits, &mut tree, height));
        assert!(!remove_block(&mut edits, &mut tree, height));
        write(&db, &mut edits);
        seen.push(height);
        from = height.saturating_add(1);
    }
    assert_eq!(seen, [3, 4, 256, 65_536, 1 << 40, u64::MAX]);
    assert!(db.is_empty() && tree.is_empty());
}

#[test]
fn missing_are_the_parents_below_the_runs() {
    let (db, tree) = fetched(&[1, 4, 6, 7]);
    let missing = |accepted| missing(&db, &tree, accepted, parent_of).unwrap();
    let parents = |heights: &[u8]| heights.iter().map(|&height| Id([height; 32])).collect();
    assert_eq!(missing(0), parents(&[4, 6]));
    assert_eq!(missing(2), parents(&[4, 6]));
    assert_eq!(missing(3), parents(&[6]));
    assert_eq!(missing(5), BTreeSet::new());
    assert_eq!(missing(u64::MAX), BTreeSet::new());
}

#[test]
fn a_missing_block_and_a_failing_parser_are_errors() {
    let (db, mut tree) = fetched(&[4]);
    let refuse = |_, _| Err(IntervalError::NoBlock(77));
    assert_eq!(missing(&db, &tree, 0, refuse), Err(IntervalError::NoBlock(77)));
    tree.add(&mut Edits::new(), 9);
    assert_eq!(missing(&db, &tree, 0, parent_of), Err(IntervalError::NoBlock(9)));
    db.fail_reads_after(0);
    assert!(matches!(missing(&db, &tree, 0, parent_of), Err(IntervalError::Database(_))));
    assert!(matches!(Tree::load(&db), Err(IntervalError::Database(_))));
    assert!(matches!(blocks(&db, 0).unwrap().next(), Some(Err(IntervalError::Database(_)))));
    assert!(matches!(clear(&db), Err(IntervalError::Database(_))));
}

#[test]
fn damage_has_a_name_and_can_be_cleared() {
    const FIVE: &[u8] = b"\0\0\0\0\0\0\0\0\x05";
    const SEVEN: &[u8] = b"\0\0\0\0\0\0\0\0\x07";
    let cases: [(&[Pair], IntervalError); 8] = [
        (&[(b"\0", &[0; 8])], IntervalError::Key(vec![0])),
        (&[(b"\0\0\0\0\0\0\0\0", &[0; 8])], IntervalError::Key(vec![0; 8])),
        (&[(b"\0\0\0\0\0\0\0\0\0\0", &[0; 8])], IntervalError::Key(vec![0; 10])),
        (&[(FIVE, b"short")], IntervalError::Value { upper: 5 }),
        (&[(FIVE, &[0; 9])], IntervalError::Value { upper: 5 }),
        (&[(FIVE, b"\0\0\0\0\0\0\0\x06")], IntervalError::Empty { lower: 6, upper: 5 }),
        (
            &[(FIVE, &[0; 8]), (SEVEN, b"\0\0\0\0\0\0\0\x05")],
            IntervalError::Overlap { lower: 5, upper: 7 },
        ),
        (
            &[(FIVE, &[0; 8]), (SEVEN, b"\0\0\0\0\0\0\0\x06")],
            IntervalError::Overlap { lower: 6, upper: 7 },
        ),
    ];
    for (pairs, expected) in cases {
        let db = holding(pairs);
        assert_eq!(Tree::load(&db), Err(expected.clone()));
        assert!(matches!(Fatal::from(expected), Fatal::Broken(_)));
        db.put(b"\x01short", b"block").unwrap();
        let mut damaged = blocks(&db, 0).unwrap();
        assert_eq!(damaged.next(), Some(Err(IntervalError::Key(b"\x01short".to_vec()))));
        assert_eq!(damaged.next(), None);
        drop(damaged);
        clear(&db).unwrap();
        assert!(db.is_empty());
    }
}

#[test]
fn clearing_leaves_blocks_and_runs_in_step_at_every_batch() {
    let heights: Vec<_> = (1..10_000).filter(|height| height % 5_000 != 0).collect();
    let (db, _) = fetched(&heights);
    db.put(b"\x02other", b"thing").unwrap();
    for writes in 0.. {
        let crashed = db.reopen();
        crashed.fail_writes_after(writes);
        let result = clear(&crashed);
        crashed.heal();
        let tree = Tree::load(&crashed).unwrap();
        let left = stored_heights(&crashed, 0);
        assert_eq!(tree.flatten(), runs_of(&left.into_iter().collect()));
        if result.is_ok() {
            assert!(writes > 2 && crashed.is_empty());
            return;
        }
        assert_eq!(result, Err(DbError::Io("injected write failure".into()).into()));
    }
}

#[test]
fn what_is_stored_is_upstreams_layout() {
    let (db, _) = fetched(&[0x0102, 0x0103]);
    let pairs: BTreeMap<Bytes, Bytes> = stored(&db).into_iter().collect();
    let expected: [(&[u8], &[u8]); 3] = [
        (b"\0\0\0\0\0\0\0\x01\x03", b"\0\0\0\0\0\0\x01\x02"),
        (b"\x01\0\0\0\0\0\0\x01\x02", b"\0\0\0\0\0\0\x01\x02"),
        (b"\x01\0\0\0\0\0\0\x01\x03", b"\0\0\0\0\0\0\x01\x03"),
    ];
    let expected = expected.map(|(key, value)| (Bytes::from_static(key), value.into()));
    assert_eq!(pairs, BTreeMap::from(expected));
    assert_eq!(Edits::new().take(), Batch::new());
}
