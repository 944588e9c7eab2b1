use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use proptest::prelude::*;
use sastrugi_types::{WallTime, hash::sha256};

use super::*;

/// Block `number` extends the one before it.
fn block(number: u64) -> Block {
    let bytes = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());
    let id = |number| Id(sha256(&bytes(number)));
    Block {
        id: id(number),
        parent: number.checked_sub(1).map_or(Id::EMPTY, id),
        height: number,
        timestamp: WallTime::UNIX_EPOCH,
        bytes: bytes(number),
    }
}

/// A VM that has some of the blocks, and counts how often it is asked for each.
#[derive(Default)]
struct SlowVm {
    has: RefCell<BTreeSet<u64>>,
    asked: RefCell<BTreeMap<Id, u32>>,
}

impl SlowVm {
    fn count(&self, id: Id) {
        *self.asked.borrow_mut().entry(id).or_default() += 1;
    }

    fn get(&self, id: Id) -> Option<Block> {
        self.count(id);
        self.has.borrow().iter().map(|number| block(*number)).find(|block| block.id == id)
    }

    /// Every block of eight bytes is one; what is parsed the VM has.
    fn parse(&self, bytes: &Bytes) -> Result<Block, VmError> {
        let number = bytes[..].try_into().map(u64::from_be_bytes);
        let number = number.map_err(|_| VmError::invalid("not eight bytes"))?;
        self.has.borrow_mut().insert(number);
        self.count(block(number).id);
        Ok(block(number))
    }
}

const ROOMY: CacheLimits = CacheLimits {
    decided_bytes_max: 1 << 20,
    unverified_bytes_max: 1 << 20,
    known_bytes_max: 1 << 20,
    missing_max: 100,
};
/// Two blocks in each place.
const NARROW: CacheLimits = CacheLimits {
    decided_bytes_max: 100,
    unverified_bytes_max: 100,
    known_bytes_max: 100,
    missing_max: 2,
};

#[derive(Clone, Debug)]
enum Step {
    Get(u64),
    Parse(u64),
    ParseAll(Vec<u64>),
    Build(u64),
    Verify(u64),
    Accept(u64),
    Reject(u64),
    SetLastAccepted(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0u64..12;
    prop_oneof![
        4 => number().prop_map(Step::Get),
        4 => number().prop_map(Step::Parse),
        2 => prop::collection::vec(number(), 0..4).prop_map(Step::ParseAll),
        1 => number().prop_map(Step::Build),
        3 => number().prop_map(Step::Verify),
        2 => number().prop_map(Step::Accept),
        1 => number().prop_map(Step::Reject),
        1 => number().prop_map(Step::SetLastAccepted),
        1 => Just(Step::Flush),
    ]
}

/// Does a step and checks that it answers as the VM does.
fn run(cache: &mut BlockCache, vm: &SlowVm, step: &Step) {
    match step {
        Step::Get(number) => {
            let id = block(*number).id;
            let found = cache.get(id, |id| Ok(vm.get(id))).unwrap();
            let expected = vm.has.borrow().contains(number).then(|| block(*number));
            assert_eq!(found, expected);
        }
        Step::Parse(number) => {
            let bytes = block(*number).bytes;
            assert_eq!(cache.parse(&bytes, |bytes| vm.parse(&bytes)).unwrap(), block(*number));
        }
        Step::ParseAll(numbers) => {
            let blocks: Vec<_> = numbers.iter().map(|number| block(*number)).collect();
            let bytes = blocks.iter().map(|block| block.bytes.clone()).collect();
            let parse = |all: Vec<Bytes>| all.iter().map(|bytes| vm.parse(bytes)).collect();
            assert_eq!(cache.parse_all(bytes, parse).unwrap(), blocks);
        }
        Step::Build(number) => {
            vm.has.borrow_mut().insert(*number);
            assert_eq!(cache.build(|| Ok(block(*number))).unwrap(), block(*number));
        }
        Step::Verify(number) => {
            vm.has.borrow_mut().insert(*number);
            cache.set_verified(&block(*number));
        }
        Step::Accept(number) => {
            let id = block(*number).id;
            let is_processing = cache.is_processing(&id);
            let before = cache.last_accepted().clone();
            cache.accept(&id);
            let expected = if is_processing { block(*number) } else { before };
            assert_eq!(*cache.last_accepted(), expected);
        }
        Step::Reject(number) => cache.reject(&block(*number).id),
        Step::SetLastAccepted(number) => {
            let processing = (0..12).filter(|n| cache.is_processing(&block(*n).id)).count();
            let result = cache.set_last_accepted(block(*number));
            let expected = if processing == 0 { Ok(()) } else { Err(StillUndecided(processing)) };
            assert_eq!(result, expected);
            if processing == 0 {
                vm.has.borrow_mut().insert(*number);
            }
        }
        Step::Flush => cache.flush(),
    }
}

proptest! {
    /// However little is kept, the answers are those of the VM, and the bounds hold.
    #[test]
    fn the_cache_answers_as_the_vm(steps in prop::collection::vec(step(), 0..80), seed: u64) {
        let vm = SlowVm::default();
        vm.has.borrow_mut().insert(0);
        let mut cache = BlockCache::new(block(0), NARROW, seed);
        let mut processing = BTreeSet::new();
        for step in steps {
            match step {
                Step::Verify(number) => { processing.insert(number); }
                Step::Accept(number) | Step::Reject(number) => { processing.remove(&number); }
                _ => {}
            }
            run(&mut cache, &vm, &step);
            for number in 0..12 {
                let is_processing = processing.contains(&number);
                prop_assert_eq!(cache.is_processing(&block(number).id), is_processing);
            }
            prop_assert!(cache.decided.size() <= 100 && cache.unverified.size() <= 100);
            prop_assert!(cache.known.size() <= 100 && cache.missing.len() <= 2);
        }
    }

    /// With room for all, the VM is asked for a block at most twice: once while it has none, and
    /// once when it is there.
    #[test]
    fn nothing_is_asked_for_again(steps in prop::collection::vec(step(), 0..80), seed: u64) {
        let vm = SlowVm::default();
        vm.has.borrow_mut().insert(0);
        let mut cache = BlockCache::new(block(0), ROOMY, seed);
        for step in steps {
            let is_reading =
                matches!(step, Step::Get(_) | Step::Parse(_) | Step::ParseAll(_) | Step::Build(_));
            let is_repeated = matches!(&step, Step::ParseAll(numbers)
                if numbers.iter().collect::<BTreeSet<_>>().len() < numbers.len());
            if is_reading && !is_repeated {
                run(&mut cache, &vm, &step);
            }
        }
        let asked = vm.asked.borrow();
        // Get of a missing one, then parse, whose bytes were not known by then.
        prop_assert!(asked.values().all(|count| *count <= 2), "{:?}", asked);
    }
}

#[test]
fn a_missing_block_that_comes_is_found() {
    let vm = SlowVm::default();
    let mut cache = BlockCache::new(block(0), ROOMY, 1);
    let get = |cache: &mut BlockCache| cache.get(block(1).id, |id| Ok(vm.get(id))).unwrap();
    assert_eq!((get(&mut cache), get(&mut cache)), (None, None));
    assert_eq!(vm.asked.borrow()[&block(1).id], 1);
    cache.parse(&block(1).bytes, |bytes| vm.parse(&bytes)).unwrap();
    assert_eq!(get(&mut cache), Some(block(1)));
    assert_eq!(vm.asked.borrow()[&block(1).id], 2);
    assert_eq!(cache.stats(), BlockCacheStats { hits: 2, misses: 2 });
}

#[test]
fn failures_are_not_remembered() {
    let mut cache = BlockCache::new(block(0), ROOMY, 1);
    let fail = |_| Err(VmError::Closed);
    cache.get(block(1).id, fail).unwrap_err();
    cache.parse(&block(1).bytes, |_| Err(VmError::Closed)).unwrap_err();
    assert_eq!(cache.get(block(1).id, |_| Ok(Some(block(1)))).unwrap(), Some(block(1)));
    let short = cache.parse_all(vec![block(2).bytes], |_| Ok(Vec::new()));
    assert!(matches!(short, Err(VmError::Invalid(_))));
}

#[test]
fn a_verdict_moves_the_block() {
    let mut cache = BlockCache::new(block(0), ROOMY, 1);
    let never = |_| -> Result<Option<Block>, VmError> { panic!("the VM is asked") };
    for number in [1, 2] {
        cache.parse(&block(number).bytes, |_| Ok(block(number))).unwrap();
        cache.set_verified(&block(number));
    }
    assert_eq!((cache.unverified.len(), cache.verified.len()), (0, 2));
    cache.accept(&block(1).id);
    assert_eq!(cache.set_last_accepted(block(3)), Err(StillUndecided(1)));
    cache.reject(&block(2).id);
    assert_eq!((cache.last_accepted(), cache.decided.len()), (&block(1), 3));
    for number in 0..=2 {
        assert_eq!(cache.get(block(number).id, never).unwrap(), Some(block(number)));
    }
    cache.set_last_accepted(block(3)).unwrap();
    assert_eq!(cache.get(block(3).id, never).unwrap(), Some(block(3)));
}

#[test]
fn what_is_kept_is_not_a_part_of_a_message() {
    let message = Bytes::from([&[0; 1000][..], &block(1).bytes].concat());
    let mut cache = BlockCache::new(block(0), ROOMY, 1);
    let parse = |bytes| Ok(Block { bytes, ..block(1) });
    let found = cache.parse(&message.slice(1000..), parse).unwrap();
    assert_eq!(found, block(1));
    assert!(!message.as_ptr_range().contains(&found.bytes.as_ptr()));
    drop(found);
    assert!(message.is_unique());
}
