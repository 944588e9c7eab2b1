use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sastrugi_vm::db::{Database, Durability, MemoryDb};

use super::*;
use crate::{
    state::{Changes, Generation, Layer, View, range::Range},
    transaction::Account,
};

fn changes(step: &[(u8, u16, Option<u8>)]) -> Changes {
    let mut changes = Changes::default();
    for (owner, key, value) in step {
        let key = Bytes::copy_from_slice(&key.to_be_bytes());
        let value = value.map(|value| Bytes::from(vec![value; usize::from(value % 3)]));
        changes.set(Account([*owner; 32]), key, value);
    }
    // Every account that acts has a nonce.
    changes.set_nonce(Account([1; 32]), 1 + step.len() as u64);
    changes
}

fn write(db: &MemoryDb, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    fill(&mut batch);
    db.write(&batch, Durability::Buffered).unwrap();
}

fn grow(db: &MemoryDb, generation: Generation, height: u64, changes: Changes) -> Root {
    let store = Store::new(db, generation);
    let layer = match height.checked_sub(1) {
        None => Layer::genesis(store, changes).unwrap(),
        Some(below) => View::stored(store, below).apply(changes).unwrap(),
    };
    write(db, |batch| versions::store(store, batch, &layer).unwrap());
    layer.root()
}

/// Fills generation 1 from a version of generation 0: range by range, lanes in any order, each step
/// from what is in the database.
fn fill(db: &MemoryDb, height: u64, root: Root, order: &[(u8, usize)]) -> Root {
    let (source, target) = (Store::new(db, Generation(0)), Store::new(db, Generation(1)));
    let mut turns = order.iter().cycle();
    for turn in 0.. {
        let (lane, most) = turns.next().unwrap();
        // After a while in order, so that no lane is left out.
        let lane = if turn < 200 { *lane } else { (turn % 16) as u8 };
        let mut lane = Lane::load(target, lane).unwrap();
        if let Some((first, last)) = lane.missing() {
            let mut taken = 0;
            let (range, covered) = Range::read(source, height, first, last, |_| {
                taken += 1;
                taken <= *most
            })
            .unwrap();
            let leaves = range.verify(root, first, covered).unwrap();
            let next = if covered == last { None } else { after(&covered) };
            let entries = leaves.into_iter().zip(range.entries);
            write(db, |batch| lane.fill(target, batch, height, entries, next).unwrap());
        }
        let lanes: Vec<Lane> = (0..LANES).map(|lane| Lane::load(target, lane).unwrap()).collect();
        if lanes.iter().all(|lane| lane.missing().is_none()) {
            let mut closed = None;
            write(db, |batch| closed = Some(close(target, batch, height, lanes).unwrap()));
            return closed.unwrap();
        }
    }
    unreachable!("the loop ends when all lanes are full");
}

fn records(store: Store<'_>) -> Vec<(Bytes, Bytes)> {
    store.iterate(&[], &[]).unwrap().map(Result::unwrap).collect()
}

fn step(most: usize) -> impl Strategy<Value = Vec<(u8, u16, Option<u8>)>> {
    vec((0..3_u8, 0..400_u16, proptest::option::weighted(0.8, 0..9_u8)), 0..most)
}

fn order() -> impl Strategy<Value = Vec<(u8, usize)>> {
    vec((0..LANES, 1..20_usize), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// What is filled is, record for record, what would have been stored.
    #[test]
    fn filling_makes_the_very_same_records(step in step(300), order in order()) {
        let db = MemoryDb::new();
        let root = grow(&db, Generation(0), 0, changes(&step));
        prop_assert_eq!(fill(&db, 0, root, &order), root);
        let (source, target) = (Store::new(&db, Generation(0)), Store::new(&db, Generation(1)));
        prop_assert_eq!(records(source), records(target));
    }

    /// The filled state and the one that grew go on alike.
    #[test]
    fn a_filled_state_goes_on_like_any_other(
        before in vec(step(80), 1..6),
        afterwards in vec(step(40), 1..6),
        order in order(),
    ) {
        let db = MemoryDb::new();
        let mut root = Root([0; 32]);
        let mut height = 0;
        for (step, at) in before.iter().zip(0..) {
            (root, height) = (grow(&db, Generation(0), at, changes(step)), at);
        }
        prop_assert_eq!(fill(&db, height, root, &order), root);
        let (source, target) = (Store::new(&db, Generation(0)), Store::new(&db, Generation(1)));
        prop_assert_eq!(versions::oldest(target).unwrap(), Some(height));
        for (step, above) in afterwards.iter().zip(height + 1..) {
            let grown = grow(&db, Generation(0), above, changes(step));
            prop_assert_eq!(grow(&db, Generation(1), above, changes(step)), grown);
            for owner in 0..3 {
                let account = Account([owner; 32]);
                let keys = index::keys(source, account, b"", 1000).unwrap();
                prop_assert_eq!(&index::keys(target, account, b"", 1000).unwrap(), &keys);
                for key in keys {
                    let view = |store| View::stored(store, above);
                    prop_assert_eq!(
                        view(source).value(account, &key).unwrap(),
                        view(target).value(account, &key).unwrap()
                    );
                    prop_assert_eq!(
                        view(source).prove(account, &key).unwrap(),
                        view(target).prove(account, &key).unwrap()
                    );
                }
            }
        }
    }
}

#[test]
fn the_smallest_trees() {
    for count in 0..3_u16 {
        let db = MemoryDb::new();
        let mut changes = Changes::default();
        for key in 0..count {
            let key = Bytes::copy_from_slice(&key.to_be_bytes());
            changes.set(Account([1; 32]), key, Some(Bytes::new()));
        }
        let root = grow(&db, Generation(0), 0, changes);
        assert_eq!(fill(&db, 0, root, &[(0, 1)]), root);
        let stores = [0, 1].map(|generation| Store::new(&db, Generation(generation)));
        assert_eq!(records(stores[0]), records(stores[1]), "{count} entries");
    }
}

#[test]
fn the_path_after() {
    assert_eq!(after(&[0xff; 32]), None);
    let (mut path, mut next) = ([0; 32], [0; 32]);
    (path[30], path[31], next[30]) = (7, 0xff, 8);
    assert_eq!(after(&path), Some(next));
}

#[test]
fn a_lane_knows_how_far_it_is() {
    let mut lane = Lane::new(3);
    assert!(lane.filled() < 1e-9);
    let mut half = [0; 32];
    half[0] = 0x38;
    lane.next = Some(half);
    assert!((lane.filled() - 0.5).abs() < 1e-9);
    lane.next = None;
    assert!((lane.filled() - 1.0).abs() < 1e-9);
}

#[test]
fn a_generation_is_removed_in_pieces() {
    let db = MemoryDb::new();
    let step: Vec<_> = (0..50).map(|key| (1, key, Some(1))).collect();
    for generation in 0..3 {
        grow(&db, Generation(generation), 0, changes(&step));
    }
    let store = |generation| Store::new(&db, Generation(generation));
    let (one, two) = (records(store(0)), records(store(2)));
    write(&db, |batch| versions::retire(store(1), batch));
    assert_eq!(versions::oldest(store(1)), Ok(None));
    let mut pieces = 0;
    while !records(store(1)).is_empty() {
        write(&db, |batch| assert!((1..=7).contains(&store(1).remove_some(batch, 7).unwrap())));
        pieces += 1;
    }
    assert!(pieces > 10);
    assert_eq!((records(store(0)), records(store(2))), (one, two));
}
