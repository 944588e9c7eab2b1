use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use sastrugi_types::hash::sha256;
use sastrugi_vm::db::{Batch, Database, Durability, MemoryDb};

use super::proof::{EMPTY_HASH, bit, inner_hash, leaf_hash};
use super::*;

type Model = BTreeMap<(Account, Bytes), Bytes>;

const HISTORY: u64 = 3;

/// The root as the definition says, from nothing but the entries.
fn naive_root(model: &Model) -> Root {
    fn subtree(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
        match leaves {
            [] => EMPTY_HASH,
            [(path, value)] => leaf_hash(path, value),
            _ => {
                let middle = leaves.partition_point(|(path, _)| !bit(path, depth));
                let (left, right) = leaves.split_at(middle);
                inner_hash(&subtree(left, depth + 1), &subtree(right, depth + 1))
            }
        }
    }
    let mut leaves: Vec<_> = model
        .iter()
        .map(|((account, key), value)| (key_hash(*account, key).0, sha256(value)))
        .collect();
    leaves.sort_unstable();
    Root(subtree(&leaves, 0))
}

fn account(number: u8) -> Account {
    Account([number; 32])
}

fn key(number: u8) -> Bytes {
    Bytes::from(vec![b'k', number])
}

type Step = Vec<(u8, u8, Option<u8>)>;

fn changes(step: &Step) -> Changes {
    let mut changes = Changes::default();
    for (owner, number, value) in step {
        let value = value.map(|value| Bytes::from(vec![value; usize::from(value % 3)]));
        changes.set(account(*owner), key(*number), value);
    }
    changes
}

fn follow(model: &mut Model, changes: &Changes) {
    for change in changes.0.values() {
        let entry = (change.account, change.key.clone());
        match &change.value {
            Some(value) => model.insert(entry, value.clone()),
            None => model.remove(&entry),
        };
    }
}

fn first(db: &MemoryDb) -> Store<'_> {
    Store::new(db, Generation::default())
}

fn store(db: &MemoryDb, layer: &Layer) {
    let mut batch = Batch::new();
    versions::store(first(db), &mut batch, layer).unwrap();
    if let Some(oldest) = layer.height.checked_sub(HISTORY) {
        versions::forget(first(db), &mut batch, oldest).unwrap();
    }
    db.write(&batch, Durability::Buffered).unwrap();
}

fn check(view: &View<'_>, model: &Model, root: Root) {
    assert_eq!(root, naive_root(model));
    for owner in 0..3 {
        for number in 0..12 {
            let (account, key) = (account(owner), key(number));
            let value = model.get(&(account, key.clone()));
            assert_eq!(view.value(account, &key).unwrap().as_ref(), value);
            let proof = view.prove(account, &key).unwrap();
            let value = value.map(|value| &value[..]);
            assert!(proof.verify(root, account, &key, value));
            assert!(!proof.verify(root, account, &key, Some(b"other")));
            assert_eq!(proof.verify(root, account, &key, None), value.is_none());
            assert!(!proof.verify(Root([9; 32]), account, &key, value));
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    // Most steps change something that exists, some everything, some nothing.
    vec((0..3_u8, 0..12_u8, proptest::option::weighted(0.6, 0..9_u8)), 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_tree_agrees_with_its_definition(steps in vec((step(), step()), 1..12)) {
        let db = MemoryDb::new();
        let mut model = Model::new();
        let mut past: Vec<(Model, Root)> = Vec::new();
        for ((step, other), height) in steps.iter().zip(0..) {
            let changes = changes(step);
            follow(&mut model, &changes);
            let layer = if height == 0 {
                Layer::genesis(first(&db), changes).unwrap()
            } else {
                let view = View::stored(first(&db), height - 1);
                let layer = view.apply(changes).unwrap();
                let sibling = view.apply(super::tests::changes(other)).unwrap();
                let above = View::above(first(&db), height - 1, vec![&layer]);
                check(&above, &model, layer.root());
                // A child on the layer, and a sibling of the layer with a child of its own.
                let mut grandchild_model = model.clone();
                let changes = super::tests::changes(other);
                follow(&mut grandchild_model, &changes);
                let grandchild = above.apply(changes).unwrap();
                let top = View::above(first(&db), height - 1, vec![&layer, &grandchild]);
                check(&top, &grandchild_model, grandchild.root());
                let mut sibling_model = past[past.len() - 1].0.clone();
                follow(&mut sibling_model, &super::tests::changes(other));
                check(&View::above(first(&db), height - 1, vec![&sibling]), &sibling_model, sibling.root());
                layer
            };
            store(&db, &layer);
            past.push((model.clone(), layer.root()));
            for (age, (model, root)) in past.iter().rev().enumerate() {
                let view = View::stored(first(&db), height - age as u64);
                if age as u64 <= HISTORY {
                    view.confirm().unwrap();
                    check(&view, model, *root);
                }
            }
            for owner in 0..3 {
                let keys: Vec<_> = model
                    .keys()
                    .filter(|(account, _)| *account == super::tests::account(owner))
                    .map(|(_, key)| key.clone())
                    .collect();
                let found = index::keys(first(&db), super::tests::account(owner), b"", 100).unwrap();
                prop_assert_eq!(found, keys);
            }
        }
    }

    #[test]
    fn no_proof_panics(
        leaf: Option<(Vec<u8>, Vec<u8>)>,
        siblings in vec(vec(any::<u8>(), 30..34), 0..300),
        value: Option<Vec<u8>>,
    ) {
        let hex = |bytes: Vec<u8>| crate::json::Hex(bytes.into());
        let leaf = leaf.map(|(key_hash, value_hash)| ProofLeaf {
            key_hash: hex(key_hash),
            value_hash: hex(value_hash),
        });
        let proof = Proof { leaf, siblings: siblings.into_iter().map(hex).collect() };
        prop_assert!(!proof.verify(Root([1; 32]), account(1), b"k", value.as_deref()));
    }
}

#[test]
fn forgotten_states_leave_nothing_behind() {
    let db = MemoryDb::new();
    let write = |height: u64, value: Option<u8>| {
        // Something else changes with each height, as the nonces do.
        let mut changes = changes(&vec![(0, 0, value)]);
        changes.set_nonce(account(1), height);
        let layer = if height == 0 {
            Layer::genesis(first(&db), changes).unwrap()
        } else {
            View::stored(first(&db), height - 1).apply(changes).unwrap()
        };
        store(&db, &layer);
    };
    write(0, Some(1));
    let mut sizes = Vec::new();
    for height in 1..40 {
        let value = if height % 2 == 0 { Some(height as u8) } else { None };
        write(height, value);
        sizes.push(db.len());
    }
    assert!(sizes[20..].windows(3).all(|sizes| sizes[0] == sizes[2]), "{sizes:?}");
    assert_eq!(versions::oldest(first(&db)), Ok(Some(39 - HISTORY)));
    let gone = View::stored(first(&db), 39 - HISTORY - 1);
    assert_eq!(gone.confirm(), Err(StateError::Unavailable(39 - HISTORY - 1)));
}

#[test]
fn a_lower_setting_takes_effect_little_by_little() {
    let db = MemoryDb::new();
    for height in 0..20 {
        let mut changes = Changes::default();
        changes.set_nonce(account(1), height);
        let layer = match height.checked_sub(1) {
            None => Layer::genesis(first(&db), changes).unwrap(),
            Some(below) => View::stored(first(&db), below).apply(changes).unwrap(),
        };
        let mut batch = Batch::new();
        versions::store(first(&db), &mut batch, &layer).unwrap();
        db.write(&batch, Durability::Buffered).unwrap();
    }
    for expected in [2, 4, 6, 7, 7] {
        let mut batch = Batch::new();
        versions::forget(first(&db), &mut batch, 7).unwrap();
        db.write(&batch, Durability::Buffered).unwrap();
        assert_eq!(versions::oldest(first(&db)), Ok(Some(expected)));
        assert_eq!(View::stored(first(&db), expected).nonce(account(1)), Ok(expected));
        assert!(View::stored(first(&db), expected - 1).confirm().is_err());
    }
}

#[test]
fn the_empty_state_has_a_root() {
    let db = MemoryDb::new();
    let layer = Layer::genesis(first(&db), Changes::default()).unwrap();
    assert_eq!(layer.root(), naive_root(&Model::new()));
    store(&db, &layer);
    let proof = View::stored(first(&db), 0).prove(account(1), b"k").unwrap();
    assert!(proof.verify(layer.root(), account(1), b"k", None));
}
