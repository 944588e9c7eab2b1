//! A node joins late.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_engine::{
    chain::{Repair, repair},
    testing::test_block,
};
use sastrugi_types::{Id, message::Response};
use sastrugi_vm::db::MemoryDb;

use crate::{
    node::Follows,
    world::{World, genesis, history, vm_at},
};

const FRESH: u8 = 4;
const OTHERS: [u8; 4] = [0, 1, 2, 3];
const SECOND: Duration = Duration::from_secs(1);

/// More than one answer can hold.
const BLOCKS: u64 = 5_000;

#[test]
fn a_fresh_node_bootstraps_while_the_others_go_on_and_then_votes() {
    let mut world = World::new(4, &history(BLOCKS, 100));
    world.join(FRESH, vm_at(&[]), Follows::Bootstraps, &OTHERS);
    for _ in 0..20 {
        world.build_one(0);
    }
    let fresh = world.node(FRESH);
    assert_eq!(fresh.gears(), ["Bootstrapper", "Snowman"]);
    let stats = fresh.bootstrapper().stats();
    assert!(stats.accepted >= BLOCKS, "{stats:?}");
    assert_eq!((stats.requests_failed, stats.answers_refused), (0, 0));
    let expected = world.accepted(0);
    assert_eq!(expected.len() as u64, BLOCKS + 21);
    assert_eq!(world.accepted(FRESH), expected);
    assert_eq!(world.node(FRESH).vm.verified(), BLOCKS + 20, "each block once");
    // Without the fresh node's votes three are not enough.
    world.kill(3);
    world.build_one(1);
    world.run(30 * SECOND);
    assert_eq!(world.accepted(0).len(), expected.len() + 1);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
}

#[test]
fn with_too_few_beacons_it_waits_and_says_so() {
    let mut world = World::new(4, &history(50, 100));
    world.join(FRESH, vm_at(&[]), Follows::Bootstraps, &[0, 1]);
    world.run(60 * SECOND);
    assert_eq!(world.accepted(FRESH).len(), 1);
    let causes = world.causes(FRESH);
    assert!(
        causes[0]
            .contains("bootstrapping waits for beacons: weight 300 is connected, 375 is needed"),
        "{causes:?}"
    );
    world.connect(FRESH, 2);
    world.run(10 * SECOND);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
    assert_eq!(world.node(FRESH).gears(), ["Bootstrapper", "Snowman"]);
    assert_eq!(world.causes(FRESH), [""; 0]);
}

/// Everything a liar can say of blocks is wrong.
fn lie(response: &mut Response, fork: &[Bytes], number: usize) {
    let tip = Id([66; 32]);
    match response {
        Response::AcceptedFrontier { container } => *container = tip,
        Response::Accepted { containers } => *containers = vec![tip],
        Response::Ancestors { containers } => match number % 5 {
            0 => containers.clear(),
            1 => containers.reverse(),
            2 => *containers = fork.to_vec(),
            3 => *containers = vec![Bytes::from_static(b"no block"); 3],
            _ => containers.truncate(1),
        },
        Response::Put { container } => *container = Bytes::from_static(b"no block"),
        _ => {}
    }
}

#[test]
fn liars_in_the_minority_change_nothing() {
    for liars in [1, 2] {
        // An answer holds a hundred of these blocks.
        let mut world = World::new(4, &history(1_500, 16_000));
        let fork: Vec<Bytes> = history(100, 200).into_iter().map(|block| block.bytes).collect();
        for liar in 0..liars {
            let (fork, number) = (fork.clone(), std::sync::atomic::AtomicUsize::new(0));
            world.lie(liar, move |response| {
                let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                lie(response, &fork, number);
            });
        }
        world.join(FRESH, vm_at(&[]), Follows::Bootstraps, &OTHERS);
        world.run(120 * SECOND);
        let stats = *world.node(FRESH).bootstrapper().stats();
        let (fresh, honest) = (world.accepted(FRESH), world.accepted(3));
        if liars == 1 {
            assert_eq!(fresh, honest, "{stats:?}");
            assert!(stats.answers_refused > 0);
            assert_eq!(world.node(FRESH).gears(), ["Bootstrapper", "Snowman"]);
        }
        // Two honest beacons of five are no majority. Then it may take long, but goes nowhere else.
        assert!(honest.starts_with(&fresh), "{stats:?}");
        assert!(world.node(FRESH).chain.outcome().is_none());
    }
}

#[test]
fn a_block_nobody_hands_out_is_named_and_the_rest_is_kept() {
    let mut world = World::new(4, &history(500, 100));
    for liar in OTHERS {
        world.lie(liar, |response| {
            if let Response::Ancestors { containers } = response {
                containers.clear();
            }
        });
    }
    world.join(FRESH, vm_at(&[]), Follows::Bootstraps, &OTHERS);
    world.run(60 * SECOND);
    let causes = world.causes(FRESH);
    let tip = world.accepted(0).pop().unwrap().to_string();
    assert!(causes[0].contains(&tip), "{causes:?}");
    for honest in OTHERS {
        world.lie(honest, |_| {});
    }
    world.run(30 * SECOND);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    // An answer holds four hundred of these blocks.
    let mut world = World::new(4, &history(BLOCKS, 4_000));
    world.join(FRESH, vm_at(&[]), Follows::Bootstraps, &OTHERS);
    let (mut kills, mut fetched) = (0, 0);
    while world.accepted(FRESH).len() as u64 <= BLOCKS {
        world.run(Duration::from_millis(50 + 37 * kills % 150));
        fetched += world.node(FRESH).bootstrapper().stats().fetched;
        let left = world.kill(FRESH);
        world.join_again(FRESH, left, Follows::Bootstraps, &OTHERS);
        kills += 1;
        assert!(kills < 1_000, "it gets nowhere");
    }
    assert!(kills > 3, "{kills}");
    assert_eq!(fetched, BLOCKS, "nothing is fetched twice");
    world.run(30 * SECOND);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
    assert_eq!(world.node(FRESH).vm.verified(), BLOCKS, "nothing is executed twice");
    world.build_one(2);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
}

#[test]
fn a_vm_that_lost_its_last_blocks_gets_them_again() {
    let blocks = history(40, 100);
    let mut world = World::new(4, &blocks);
    let vm = vm_at(&blocks[..25]);
    let noted = (blocks[39].id, 40);
    let moved = repair(&*vm, Some(noted)).unwrap();
    assert_eq!(moved, Repair::Back { from: noted, to: (blocks[24].id, 25) });
    world.join(FRESH, vm, Follows::Bootstraps, &OTHERS);
    world.run(20 * SECOND);
    assert_eq!(world.accepted(FRESH), world.accepted(0));
    assert_eq!(world.node(FRESH).vm.verified(), 40, "25 before, 15 now");
}

#[test]
fn alone_it_waits_for_ever_and_stops_when_told() {
    let mut world = World::new(0, &[]);
    world.add(FRESH, vm_at(&[]), MemoryDb::new(), Follows::Bootstraps);
    world.start(FRESH);
    world.run(600 * SECOND);
    assert_eq!(world.causes(FRESH).len(), 2, "beacons, and the stake that is connected");
    world.node(FRESH).router.lock().shutdown();
    world.run(SECOND);
    assert!(world.node(FRESH).chain.is_stopped());
    assert_eq!(world.accepted(FRESH), [genesis().id]);
    assert_eq!(test_block(Id::EMPTY, 0, 100), world.genesis);
}
