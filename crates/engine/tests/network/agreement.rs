//! Five nodes agree.

use std::sync::atomic::Ordering;

use sastrugi_engine::testing::test_block;
use sastrugi_types::Instant;
use sastrugi_vm::Clock as _;

use crate::world::{NODES, World, node_id};

fn seconds(seconds: u64) -> Instant {
    Instant(seconds * 1_000_000_000)
}

/// Two nodes build on genesis at the same time.
fn conflict() -> World {
    let mut world = World::new(NODES, &[]);
    world.build(0, 200);
    world.build(1, 300);
    world.run_until(seconds(20));
    for node in &world.nodes {
        node.events.set_pending_txs(false);
    }
    world
}

#[test]
fn five_chains_agree_on_one_of_two_blocks() {
    let mut world = conflict();
    let genesis = world.genesis.id;
    let rivals = [200, 300].map(|bytes| test_block(genesis, 1, bytes).id);
    let accepted = world.accepted(0);
    assert_eq!((accepted.len(), accepted[0]), (2, genesis));
    assert!(rivals.contains(&accepted[1]));
    for index in 0..NODES {
        assert_eq!(world.accepted(index), accepted);
        let rejected = world.node(index).vm.rejected();
        assert!(rejected.iter().all(|id| rivals.contains(id) && *id != accepted[1]));
    }
    world.run_until(seconds(60));
    for node in &mut world.nodes {
        let health = node.chain.health(world.clock.now(), world.clock.wall());
        assert!(health.is_healthy(), "{:?}", health.causes);
        let stats = node.router.lock().stats();
        assert_eq!((stats.timed_out, stats.malformed, stats.dropped_unknown_chain), (0, 0, 0));
    }
}

/// What everybody wrote down, and how many messages it took.
fn trace(world: &World) -> (Vec<Vec<String>>, u64) {
    let notes = world.nodes.iter().map(|node| node.notes.lock().clone()).collect();
    (notes, world.wire.sent.load(Ordering::Relaxed))
}

#[test]
fn the_same_run_twice_is_the_same_run() {
    let trace = trace(&conflict());
    assert!(trace.1 > 100);
    assert_eq!(trace, self::trace(&conflict()));
}

#[test]
fn four_go_on_without_the_fifth_which_catches_up_later() {
    let mut world = World::new(NODES, &[]);
    *world.wire.cut_off.lock() = Some(node_id(4));
    world.build(0, 200);
    world.run_until(seconds(120));
    let accepted = world.accepted(0);
    assert_eq!(accepted.len(), 2);
    assert_eq!(world.accepted(3), accepted);
    assert_eq!(world.accepted(4).len(), 1);
    assert!(world.nodes[0].router.lock().stats().timed_out > 0);
    *world.wire.cut_off.lock() = None;
    world.nodes[0].events.set_pending_txs(false);
    world.run_until(seconds(240));
    assert_eq!(world.accepted(4), accepted, "the pull of the frontier tells it");
    for node in &world.nodes {
        assert!(node.router.lock().outstanding() < 10);
    }
}

#[test]
fn shutting_a_router_down_ends_its_chain() {
    let mut world = World::new(NODES, &[]);
    world.nodes[2].router.lock().shutdown();
    world.build(0, 200);
    world.run_until(seconds(600));
    assert!(world.nodes[2].chain.is_stopped());
    assert!(matches!(world.nodes[2].chain.outcome(), Some(Ok(()))));
    assert_eq!(world.accepted(0).len(), 2);
}
