//! A node jumps.

use std::{sync::Arc, time::Duration};

use sastrugi_engine::testing::{TestSummaries, TestVm, test_block, test_summary};
use sastrugi_types::{Id, message::Response};
use sastrugi_vm::{State, StateSyncMode};

use crate::{
    node::Follows,
    world::{World, history, vm_at},
};

const FRESH: u8 = 4;
const OTHERS: [u8; 4] = [0, 1, 2, 3];
const SECOND: Duration = Duration::from_secs(1);
const EVERY: u64 = 100;

fn summaries(mode: StateSyncMode) -> TestSummaries {
    TestSummaries { enabled: true, every: EVERY, mode, ongoing: None }
}

/// Four nodes with a history and summaries, and a VM that wants to sync in this mode.
fn world(blocks: u64, mode: StateSyncMode) -> (World, Arc<TestVm>) {
    let world = World::new(4, &history(blocks, 100));
    for node in &world.nodes {
        node.vm.set_summaries(summaries(StateSyncMode::Skipped));
    }
    let vm = vm_at(&[]);
    vm.set_summaries(summaries(mode));
    (world, vm)
}

/// What the fresh node has above the height it jumped to is what the others have.
fn assert_jumped(world: &World, height: usize) {
    let (fresh, other) = (world.accepted(FRESH), world.accepted(0));
    assert_eq!(fresh.len(), other.len());
    assert_eq!(fresh[height..], other[height..]);
    assert!(fresh[1..height].iter().all(|id| *id == Id::EMPTY), "it jumped over these");
}

#[test]
fn a_static_sync_is_waited_for_and_the_rest_is_bootstrapped() {
    let (mut world, vm) = world(1_250, StateSyncMode::Static);
    world.join(FRESH, vm.clone(), Follows::Syncs, &OTHERS);
    world.build_one(1);
    world.run(20 * SECOND);
    assert_eq!(world.node(FRESH).gears(), ["StateSyncer"]);
    assert_eq!(world.node(FRESH).chain.state(), State::StateSyncing);
    assert!(world.node(FRESH).state_syncing.is_set());
    assert_eq!(vm.accepted_summaries(), [1_200]);
    world.node(FRESH).events.set_state_sync_done();
    world.run(20 * SECOND);
    assert_eq!(world.node(FRESH).gears(), ["StateSyncer", "Bootstrapper", "Snowman"]);
    assert!(!world.node(FRESH).state_syncing.is_set());
    assert_jumped(&world, 1_200);
    assert_eq!(vm.verified(), 51, "only what is above the summary is executed");
    world.build_one(1);
    assert_jumped(&world, 1_200);
}

#[test]
fn a_dynamic_sync_goes_on_beside_later_gears_which_hear_of_its_end() {
    let (mut world, vm) = world(1_250, StateSyncMode::Dynamic);
    world.join(FRESH, vm, Follows::Syncs, &OTHERS);
    world.run(20 * SECOND);
    assert_eq!(world.node(FRESH).gears(), ["StateSyncer", "Bootstrapper", "Snowman"]);
    assert!(world.node(FRESH).state_syncing.is_set(), "it votes for accepted blocks only");
    world.build_one(1);
    world.run(60 * SECOND);
    assert_jumped(&world, 1_200);
    world.node(FRESH).events.set_state_sync_done();
    world.run(SECOND);
    assert!(!world.node(FRESH).state_syncing.is_set());
    assert_eq!(world.node(FRESH).chain.state(), State::NormalOp);
}

#[test]
fn a_vm_that_skips_or_does_not_want_to_bootstraps() {
    let (mut world, vm) = world(250, StateSyncMode::Skipped);
    world.join(FRESH, vm, Follows::Syncs, &OTHERS);
    world.run(20 * SECOND);
    assert_eq!(world.node(FRESH).gears(), ["StateSyncer", "Bootstrapper", "Snowman"]);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
    let left = world.kill(FRESH);
    left.0.set_summaries(TestSummaries { enabled: false, ..summaries(StateSyncMode::Static) });
    world.join_again(FRESH, left, Follows::Syncs, &OTHERS);
    world.build_one(0);
    world.run(20 * SECOND);
    assert_eq!(world.node(FRESH).gears(), ["Bootstrapper", "Snowman"]);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
}

#[test]
fn a_false_summary_of_the_minority_is_not_synced_to() {
    let (mut world, vm) = world(1_250, StateSyncMode::Static);
    let lie = test_summary(&test_block(Id([66; 32]), 1_000_000, 100));
    world.lie(0, move |response| match response {
        Response::StateSummaryFrontier { summary } => *summary = lie.bytes.clone(),
        Response::AcceptedStateSummary { summaries } => *summaries = vec![lie.id],
        _ => {}
    });
    world.join(FRESH, vm.clone(), Follows::Syncs, &OTHERS);
    world.run(20 * SECOND);
    assert_eq!(vm.accepted_summaries(), [1_200]);
    world.node(FRESH).events.set_state_sync_done();
    world.run(20 * SECOND);
    assert_eq!(world.accepted(FRESH).last(), world.accepted(1).last());
}

#[test]
fn garbage_for_summaries_leads_to_bootstrapping_and_silence_to_waiting() {
    let (mut world, vm) = world(250, StateSyncMode::Static);
    for liar in OTHERS {
        world.lie(liar, |response| {
            if let Response::StateSummaryFrontier { summary } = response {
                *summary = bytes::Bytes::from_static(b"?");
            }
        });
    }
    world.join(FRESH, vm.clone(), Follows::Syncs, &OTHERS);
    world.run(30 * SECOND);
    assert_eq!(vm.accepted_summaries(), [0; 0]);
    assert_eq!(world.node(FRESH).gears(), ["StateSyncer", "Bootstrapper", "Snowman"]);
    assert_eq!(world.accepted(FRESH), world.accepted(0));

    let (mut world, vm) = self::world(250, StateSyncMode::Static);
    world.join(FRESH, vm.clone(), Follows::Syncs, &OTHERS);
    *world.wire.cut_off.lock() = Some(crate::world::node_id(FRESH));
    world.run(120 * SECOND);
    assert_eq!(world.node(FRESH).gears(), ["StateSyncer"]);
    let causes = world.causes(FRESH);
    assert!(causes[0].contains("state sync was in vain"), "{causes:?}");
    *world.wire.cut_off.lock() = None;
    world.run(60 * SECOND);
    assert_eq!(vm.accepted_summaries(), [200]);
}
