use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sastrugi_vm::db::{Batch, Database, Durability, MemoryDb};

use super::*;
use crate::{
    state::{Changes, Generation, Layer, View},
    transaction::Account,
};

/// The entries by their path.
type Model = BTreeMap<Path, Entry>;

/// A stored state of `height` + 1 versions, and what the last of them should hold.
struct Stored {
    db: MemoryDb,
    height: u64,
    model: Model,
    root: Root,
}

impl Stored {
    fn new(steps: &[Vec<(u8, u8, Option<u8>)>]) -> Self {
        let db = MemoryDb::new();
        let mut stored = Self { db, height: 0, model: Model::new(), root: Root([0; 32]) };
        for (step, height) in steps.iter().zip(0..) {
            let mut changes = Changes::default();
            for (owner, key, value) in step {
                let (account, key) = (Account([*owner; 32]), Bytes::from(vec![*key]));
                let value = value.map(|value| Bytes::from(vec![value; usize::from(value)]));
                changes.set(account, key, value);
            }
            stored.grow(height, changes);
        }
        stored
    }

    fn grow(&mut self, height: u64, changes: Changes) {
        for (hash, change) in &changes.0 {
            let (account, key) = (change.account, change.key.clone());
            match change.value.clone() {
                Some(value) => self.model.insert(hash.0, Entry { account, key, value }),
                None => self.model.remove(&hash.0),
            };
        }
        let layer = match height.checked_sub(1) {
            None => Layer::genesis(self.store(), changes).unwrap(),
            Some(below) => View::stored(self.store(), below).apply(changes).unwrap(),
        };
        let mut batch = Batch::new();
        versions::store(self.store(), &mut batch, &layer).unwrap();
        self.db.write(&batch, Durability::Buffered).unwrap();
        (self.height, self.root) = (height, layer.root());
    }

    fn store(&self) -> Store<'_> {
        Store::new(&self.db, Generation::default())
    }

    fn read(&self, first: Path, last: Path, most: usize) -> (Range, Path) {
        let mut taken = 0;
        let fits = |_: &Entry| {
            taken += 1;
            taken <= most
        };
        Range::read(self.store(), self.height, first, last, fits).unwrap()
    }

    /// What a range should hold.
    fn expected(&self, first: Path, last: Path) -> Vec<Entry> {
        if first > last {
            return Vec::new();
        }
        self.model.range(first..=last).map(|(_, entry)| entry.clone()).collect()
    }

    /// A path that is interesting: that of an entry, one beside it, or any.
    fn path(&self, pick: &Pick) -> Path {
        let known = |index: &usize| {
            let paths: Vec<Path> = self.model.keys().copied().collect();
            if paths.is_empty() { [0; 32] } else { paths[index % paths.len()] }
        };
        match pick {
            Pick::Entry(index) => known(index),
            Pick::After(index) => crate::state::fill::after(&known(index)).unwrap(),
            Pick::Any(path) => *path,
            Pick::Lane(nibble) => {
                let mut path = [0; 32];
                path[0] = nibble << 4;
                path
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Pick {
    Entry(usize),
    After(usize),
    Any(Path),
    Lane(u8),
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        any::<usize>().prop_map(Pick::Entry),
        any::<usize>().prop_map(Pick::After),
        any::<Path>().prop_map(Pick::Any),
        (0..16_u8).prop_map(Pick::Lane),
        Just(Pick::Any([0; 32])),
        Just(Pick::Any([0xff; 32])),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Vec<(u8, u8, Option<u8>)>>> {
    let change = (0..4_u8, any::<u8>(), proptest::option::weighted(0.8, 0..5_u8));
    vec(vec(change, 0..60), 1..5)
}

/// How an answer is spoilt.
#[derive(Clone, Debug)]
enum Lie {
    Omit(usize),
    Add(u8, u8),
    Repeat(usize),
    Swap(usize),
    Value(usize),
    Key(usize),
    DropStep(usize),
    AddStep(usize, Step),
    ChangeStep(usize, Step),
    First(Pick),
    Last(Pick),
}

fn any_step() -> impl Strategy<Value = Step> {
    let leaf = (any::<Path>(), any::<[u8; 32]>());
    prop_oneof![
        any::<[u8; 32]>().prop_map(Step::Outside),
        Just(Step::Outside(EMPTY_HASH)),
        Just(Step::Inner),
        Just(Step::End),
        leaf.prop_map(|(path, value_hash)| Step::Foreign(Leaf { path, value_hash })),
    ]
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        any::<usize>().prop_map(Lie::Omit),
        (0..5_u8, any::<u8>()).prop_map(|(owner, key)| Lie::Add(owner, key)),
        any::<usize>().prop_map(Lie::Repeat),
        any::<usize>().prop_map(Lie::Swap),
        any::<usize>().prop_map(Lie::Value),
        any::<usize>().prop_map(Lie::Key),
        any::<usize>().prop_map(Lie::DropStep),
        (any::<usize>(), any_step()).prop_map(|(at, step)| Lie::AddStep(at, step)),
        (any::<usize>(), any_step()).prop_map(|(at, step)| Lie::ChangeStep(at, step)),
        pick().prop_map(Lie::First),
        pick().prop_map(Lie::Last),
    ]
}

fn tell(stored: &Stored, range: &mut Range, first: &mut Path, last: &mut Path, lie: &Lie) {
    let (entries, steps) = (&mut range.entries, &mut range.steps);
    match lie {
        Lie::Add(owner, key) => {
            let (account, key) = (Account([*owner; 32]), Bytes::from(vec![*key]));
            entries.push(Entry { account, key, value: Bytes::from_static(b"!") });
            entries.sort_by_key(Entry::path);
        }
        Lie::AddStep(at, step) => steps.insert(at % (steps.len() + 1), step.clone()),
        Lie::First(pick) => *first = stored.path(pick),
        Lie::Last(pick) => *last = stored.path(pick),
        Lie::DropStep(at) if !steps.is_empty() => {
            steps.remove(at % steps.len());
        }
        Lie::ChangeStep(at, step) if !steps.is_empty() => {
            let at = at % steps.len();
            steps[at] = step.clone();
        }
        Lie::Omit(at) if !entries.is_empty() => {
            entries.remove(at % entries.len());
        }
        Lie::Repeat(at) if !entries.is_empty() => {
            let at = at % entries.len();
            entries.insert(at, entries[at].clone());
        }
        Lie::Swap(at) if entries.len() > 1 => {
            let at = at % (entries.len() - 1);
            entries.swap(at, at + 1);
        }
        Lie::Value(at) if !entries.is_empty() => {
            let at = at % entries.len();
            entries[at].value = Bytes::from_static(b"another");
        }
        Lie::Key(at) if !entries.is_empty() => {
            let at = at % entries.len();
            entries[at].key = Bytes::from_static(b"another");
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn ranges_are_complete_and_proven(
        steps in steps(),
        ends in vec((pick(), pick(), 1..40_usize), 1..12),
    ) {
        let stored = Stored::new(&steps);
        for (one, other, most) in ends {
            let (one, other) = (stored.path(&one), stored.path(&other));
            let (first, last) = (one.min(other), one.max(other));
            let (range, covered) = stored.read(first, last, most);
            prop_assert!(range.steps.len() <= STEPS_MAX);
            let leaves = range.verify(stored.root, first, covered).unwrap();
            prop_assert_eq!(&range.entries, &stored.expected(first, covered));
            let paths: Vec<Path> = leaves.iter().map(|leaf| leaf.path).collect();
            prop_assert_eq!(paths, range.entries.iter().map(Entry::path).collect::<Vec<_>>());
            if covered != last {
                prop_assert_eq!(range.entries.len(), most);
                prop_assert_eq!(range.entries.last().unwrap().path(), covered);
            }
            prop_assert!(range.verify(Root([7; 32]), first, covered).is_err());
        }
    }

    /// Whatever a peer makes up: it is refused, or it is true.
    #[test]
    fn what_passes_is_true(
        steps in steps(),
        one in pick(),
        other in pick(),
        most in 1..40_usize,
        lies in vec(lie(), 1..4),
    ) {
        let stored = Stored::new(&steps);
        let (one, other) = (stored.path(&one), stored.path(&other));
        let mut first = one.min(other);
        let (mut range, mut last) = stored.read(first, one.max(other), most);
        for lie in &lies {
            tell(&stored, &mut range, &mut first, &mut last, lie);
        }
        if range.verify(stored.root, first, last).is_ok() {
            prop_assert_eq!(range.entries, stored.expected(first, last));
        }
    }

    #[test]
    fn no_proof_panics(
        steps in vec(any_step(), 0..600),
        keys in vec(any::<u8>(), 0..20),
        first: Path,
        last: Path,
    ) {
        let entry = |key| Entry {
            account: Account([1; 32]),
            key: Bytes::from(vec![key]),
            value: Bytes::new(),
        };
        let mut entries: Vec<Entry> = keys.into_iter().map(entry).collect();
        entries.sort_by_key(Entry::path);
        let range = Range { entries, steps };
        for (first, last) in [(first, last), (last, first), ([0; 32], last), (first, [0xff; 32])] {
            prop_assert!(range.verify(Root([1; 32]), first, last).is_err());
        }
    }
}

#[test]
fn each_lie_has_its_name() {
    let step = (0..40).map(|key| (1, key, Some(1))).collect();
    let stored = Stored::new(&[step]);
    let mut middle = [0; 32];
    middle[0] = 0x80;
    let (range, covered) = stored.read([0; 32], middle, 10);
    let verify = |range: &Range, last| range.verify(stored.root, [0; 32], last);
    assert_eq!(range.entries.len(), 10);
    verify(&range, covered).unwrap();

    let mut swapped = range.clone();
    swapped.entries.swap(0, 1);
    assert_eq!(verify(&swapped, covered), Err(RangeError::Order));
    let before = range.entries[8].path();
    assert_eq!(verify(&range, before), Err(RangeError::Outside));
    let mut short = range.clone();
    short.steps.pop();
    assert_eq!(verify(&short, covered), Err(RangeError::Shape));
    let mut long = range.clone();
    long.steps.push(Step::End);
    assert_eq!(verify(&long, covered), Err(RangeError::Shape));
    for at in 0..10 {
        let mut omitted = range.clone();
        omitted.entries.remove(at);
        assert!(verify(&omitted, covered).is_err(), "without entry {at}");
        let mut altered = range.clone();
        altered.entries[at].value = Bytes::from_static(b"other");
        assert_eq!(verify(&altered, covered), Err(RangeError::Root));
    }
    // An answer that says it goes further than it does.
    assert!(verify(&range, middle).is_err());
    assert!(verify(&Range::default(), covered).is_err());
}

#[test]
fn small_trees_have_ranges() {
    for count in 0..3 {
        let step = (0..count).map(|key| (1, key, Some(1))).collect();
        let stored = Stored::new(&[step]);
        for lane in 0..16 {
            let (mut first, mut last) = ([0; 32], [0xff; 32]);
            (first[0], last[0]) = (lane << 4, lane << 4 | 0x0f);
            let (range, covered) = stored.read(first, last, 9);
            assert_eq!(covered, last);
            range.verify(stored.root, first, last).unwrap();
            assert_eq!(range.entries, stored.expected(first, last));
        }
        let (whole, _) = stored.read([0; 32], [0xff; 32], 9);
        assert_eq!(whole.steps, [], "a whole tree proves itself");
        whole.verify(stored.root, [0; 32], [0xff; 32]).unwrap();
    }
}

#[test]
fn past_versions_have_ranges_too() {
    let steps: Vec<_> = (0..6_u8)
        .map(|height| (0..30).map(|key| (1, key, (key % 6 != height).then_some(height))).collect())
        .collect();
    for kept in 1..=steps.len() {
        let mut then = Stored::new(&steps[..kept]);
        let now = Stored::new(&steps);
        then.db = now.db;
        let (range, covered) = then.read([0; 32], [0xff; 32], 1000);
        range.verify(then.root, [0; 32], covered).unwrap();
        assert_eq!(range.entries, then.expected([0; 32], covered));
    }
}
