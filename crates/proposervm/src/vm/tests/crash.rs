//! Whatever write fails, and whoever commits when: after a restart both chains stand at the same
//! block, and go on.

use std::sync::atomic::{AtomicU32, Ordering};

use sastrugi_vm::db::{SharedDatabase, part};

use super::*;
use crate::{OuterBlock, state::State};

/// Both chains agree, and the last accepted block is one of these.
fn assert_settled(world: &World, allowed: &[Id]) {
    let last = world.last();
    assert!(allowed.contains(&last.id), "{last:?}");
    assert_eq!(world.vm.block_id_at_height(last.height).unwrap(), Some(last.id));
    assert_eq!(world.vm.block_id_at_height(last.height + 1).unwrap(), None);
    let inner = world.vm.inner.get_block(world.vm.inner.last_accepted().unwrap()).unwrap().unwrap();
    assert_eq!(inner.height, last.height);
    if let Ok(outer) = OuterBlock::parse_without_verification(last.bytes) {
        assert_eq!(outer.inner(), inner.bytes);
    }
}

#[test]
fn a_commit_that_fails_leaves_the_block_before() {
    for accepted in 0..3 {
        let world = world(1);
        for _ in 0..accepted {
            world.extend(0);
        }
        let before = world.last();
        world.issue(0);
        world.vm.set_preference(before.id).unwrap();
        world.wait();
        let block = world.node.build().unwrap();
        world.node.disk().fail_writes_after(0);
        world.node.accept(block.id).unwrap_err();
        let world = start_on(&world.remains(), None, |_| {}).unwrap();
        assert_settled(&world, &[before.id]);
        world.vm.verify(&block, None).unwrap();
        world.node.accept(block.id).unwrap();
        assert_settled(&world, &[block.id]);
        assert_settled(&start_on(&world.remains(), None, |_| {}).unwrap(), &[block.id]);
    }
}

#[test]
fn a_vm_that_commits_on_its_own_is_followed_back() {
    // The inner VM loses its last `lost` blocks, from before and after the fork.
    for lost in 0..4_usize {
        let remains = Remains::default();
        let own = MemoryDb::new();
        let world = start_on(&remains, Some(own.clone()), |_| {}).unwrap();
        let genesis = world.last().id;
        let mut chain = vec![(genesis, own.reopen())];
        for _ in 0..3 {
            let block = world.extend(0);
            chain.push((block.id, own.reopen()));
        }
        let (id, own) = &chain[3 - lost];
        let world = start_on(&world.remains(), Some(own.clone()), |_| {}).unwrap();
        assert_settled(&world, &[*id]);
        let next = world.extend(0);
        assert_eq!(next.parent, *id);
        assert_settled(&world, &[next.id]);
    }
}

#[test]
fn a_vm_ahead_of_its_wrapper_is_refused() {
    let remains = Remains::default();
    let own = MemoryDb::new();
    let world = start_on(&remains, Some(own.clone()), |_| {}).unwrap();
    world.extend(0);
    let earlier = world.remains();
    world.extend(0);
    let error = start_on(&earlier, Some(own), |_| {}).err().unwrap().to_string();
    assert!(error.contains("the VM has accepted a block at height 2"), "{error}");
}

#[test]
fn blocks_that_were_deleted_cannot_be_gone_back_to() {
    let remains = Remains::default();
    let own = MemoryDb::new();
    let keep_one = |config: &mut Config| config.kept_blocks = std::num::NonZeroU64::new(1);
    let world = start_on(&remains, Some(own.clone()), keep_one).unwrap();
    world.extend(0);
    let early = own.reopen();
    for _ in 0..3 {
        world.extend(0);
    }
    let error = start_on(&world.remains(), Some(early), keep_one).err().unwrap().to_string();
    assert!(error.contains("where no block was kept"), "{error}");
}

#[test]
fn the_wrapper_commits_before_a_vm_that_commits_on_its_own() {
    let (remains, own) = (Remains::default(), MemoryDb::new());
    let calls = Arc::new(AtomicU32::new(0));
    let counter = calls.clone();
    let world = start_on(&remains, Some(own.clone()), |config| {
        config.commit_first = Some(Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }));
    });
    let world = world.unwrap();
    let first = world.extend(0);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    world.issue(0);
    world.wait();
    let block = world.node.build().unwrap();
    own.fail_writes_after(0);
    world.vm.accept(block.id).unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 2, "before the inner VM failed");
    // What the hook commits is the outer block: the wrapper is ahead, and goes back.
    world.node.commit().unwrap();
    let disk: SharedDatabase = Arc::new(world.node.disk().reopen());
    let state = State::new(&part(&disk, crate::state::PART), 1);
    assert_eq!(state.last_accepted(), Ok(Some(block.id)));
    let world = start_on(&world.remains(), Some(own.reopen()), |_| {}).unwrap();
    assert_settled(&world, &[first.id]);
}
