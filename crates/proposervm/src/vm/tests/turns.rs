//! When the engine hears of transactions, and what it and people are told.

use std::time::Duration;

use sastrugi_vm::{ChainVm, Clock, HealthChecker};
use serde_json::{Value, json};

use super::{
    plain::{CONTEXT, ORACLE},
    *,
};
use crate::{OuterBlock, model, windower::slot_at};

fn proposer(block: &Block) -> Option<NodeId> {
    let outer = OuterBlock::parse_without_verification(block.bytes.clone()).unwrap();
    outer.as_block().and_then(crate::PostForkBlock::proposer)
}

#[test]
fn the_first_block_is_unsigned_and_the_others_come_in_own_slots() {
    let world = world(3);
    let mut parent = world.extend(0);
    assert_eq!(proposer(&parent), None);
    for _ in 0..5 {
        let block = world.extend(0);
        assert_eq!(block.parent, parent.id);
        assert_eq!(proposer(&block), Some(identities()[0].node_id()));
        let set = world.p_chain.0.lock().set.clone();
        let slot = slot_at(parent.timestamp, block.timestamp);
        let own = identities()[0].node_id();
        let expected = model::expected(Id([0xc4; 32]), &set, block.height, slot).unwrap();
        assert_eq!(expected, Some(own));
        let first = model::min_delay(Id([0xc4; 32]), &set, block.height, own, 0).unwrap();
        assert_eq!(first, Some(slot * 5), "the first own slot was used");
        parent = block;
    }
    let stats = world.vm.stats();
    assert_eq!((stats.built_unsigned, stats.built_signed, stats.builds_out_of_turn), (1, 5, 0));
    assert_eq!(stats.accepted_slots.counts.iter().sum::<u64>(), 5);
    assert_eq!(stats.last_accepted_secs, parent.timestamp.unix_secs());
}

#[test]
fn out_of_turn_nothing_is_told_and_nothing_is_built() {
    let world = world(4);
    world.extend(0);
    world.vm.set_preference(world.last().id).unwrap();
    world.issue(0);
    let mut told = 0;
    for _ in 0..200 {
        let parent = world.last();
        let slot = slot_at(parent.timestamp, world.node.clock.wall());
        let set = world.p_chain.0.lock().set.clone();
        let expected = model::expected(Id([0xc4; 32]), &set, parent.height + 1, slot).unwrap();
        let is_own = expected == Some(identities()[0].node_id());
        world.node.advance(Duration::ZERO).unwrap();
        assert_eq!(world.node.events.pending_txs(), is_own, "slot {slot}");
        assert_eq!(world.vm.build_block(None).is_ok(), is_own);
        told += u32::from(is_own);
        world.node.advance(Duration::from_secs(1)).unwrap();
    }
    assert!(told > 20, "some slots are its own");
    assert!(world.vm.stats().builds_out_of_turn > 20);
}

#[test]
fn the_minimum_delay_is_kept_and_no_rule() {
    let remains = Remains::default();
    let slow = |config: &mut Config| config.min_block_delay = Duration::from_secs(3);
    let world = start_on(&remains, None, slow).unwrap();
    let parent = world.extend(0);
    world.issue(0);
    world.vm.set_preference(parent.id).unwrap();
    assert!(!world.node.events.pending_txs());
    assert!(world.vm.build_block(None).is_ok(), "the delay is no rule");
    world.node.advance(Duration::from_millis(2_999)).unwrap();
    assert!(!world.node.events.pending_txs());
    world.node.advance(Duration::from_millis(1)).unwrap();
    assert!(world.node.events.pending_txs());
}

#[test]
fn unknown_validators_let_events_through_and_show_in_health() {
    let world = world(3);
    world.extend(0);
    world.p_chain.set(|scene| scene.is_silent = true);
    world.forget_validators();
    world.issue(0);
    assert!(world.node.events.pending_txs());
    assert!(world.vm.build_block(None).is_err());
    let health = world.vm.health();
    assert!(health.causes[0].contains("it is not known who may propose"), "{health:?}");
    // It is found out with the next attempt.
    world.p_chain.set(|scene| scene.is_silent = false);
    world.vm.running().unwrap().find_turn();
    assert!(world.vm.health().is_healthy());
}

#[test]
fn health_says_who_is_expected_and_why_nothing_happens() {
    let world = world(3);
    let parent = world.extend(0);
    // Another node would have to come first.
    world.p_chain.set(|scene| scene.set[0].1 = 0);
    world.forget_validators();
    world.issue(0);
    world.node.advance(Duration::from_mins(4)).unwrap();
    let health = world.vm.health();
    let own = &health.details["proposervm"];
    assert!(health.is_healthy());
    assert_eq!(own["preferred"], json!(parent.id.to_string()));
    assert_eq!((&own["kind"], &own["slot"]), (&json!("block"), &json!(48)));
    let expected = own["expectedProposer"].as_str().unwrap();
    assert!(identities()[1..].iter().any(|other| other.node_id().to_string() == expected));
    assert_eq!(own["ownSlot"], json!(720), "none of its own within an hour");
    assert_eq!(own["transactionsWait"], json!(true));
    world.node.advance(Duration::from_mins(2)).unwrap();
    let causes = world.vm.health().causes;
    assert!(causes[0].contains("waiting for a block for 6m0s"), "{causes:?}");
    assert!(causes[0].contains("is expected to propose now, in slot 72"), "{causes:?}");
    assert!(causes[0].contains("this node's turn is at"), "{causes:?}");
}

fn call(world: &World, method: &str) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} });
    let answer = world.node.post("/proposervm", &call.to_string()).unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn the_service_tells_height_and_epoch_of_the_next_block() {
    let world = world(1);
    let error = &call(&world, "proposervm.getProposedHeight")["error"]["message"];
    assert_eq!(*error, "failed to get preferred block: not found");
    let first = world.extend(0);
    world.vm.set_preference(first.id).unwrap();
    let height = call(&world, "proposervm.getProposedHeight");
    assert_eq!(height["result"], json!({ "height": "10" }));
    let epoch = call(&world, "proposervm.getCurrentEpoch");
    let start = first.timestamp.unix_secs().to_string();
    let expected = json!({ "number": "1", "startTime": start, "pChainHeight": "10" });
    assert_eq!(epoch["result"], expected);
    world.p_chain.set(|scene| scene.minimum = 11);
    let height = call(&world, "proposervm.getProposedHeight");
    assert_eq!(height["result"], json!({ "height": "11" }));
    let error = &call(&world, "proposervm.nothing")["error"]["message"];
    assert_eq!(*error, "rpc: can't find method \"proposervm.nothing\"");
}

#[test]
fn options_follow_an_oracle_and_a_block_follows_an_option() {
    let world = world(1);
    world.extend(0);
    let oracle = world.extend(ORACLE);
    assert!(world.vm.options(&world.last()).unwrap().is_some());
    world.issue(0);
    world.vm.set_preference(oracle.id).unwrap();
    let built = world.vm.build_block(None).unwrap();
    let error = world.vm.verify(&built, None).unwrap_err().to_string();
    assert!(error.contains("unexpected proposer block type"), "{error}");
    let [one, two] = world.vm.options(&oracle).unwrap().unwrap();
    for option in [&one, &two] {
        assert_eq!(option.timestamp, oracle.timestamp);
        assert_eq!(world.vm.parse_block(option.bytes.clone()).unwrap(), *option);
        assert_eq!(world.vm.options(option).unwrap(), None);
        world.vm.verify(option, None).unwrap();
    }
    world.node.accept(two.id).unwrap();
    world.vm.reject(one.id).unwrap();
    assert!(world.log.undecided.lock().is_empty(), "the inner sibling was rejected");
    let next = world.extend(0);
    assert_eq!((next.parent, next.height), (two.id, 4));
    let restarted = start_on(&world.remains(), None, |_| {}).unwrap();
    assert_eq!(restarted.vm.last_accepted().unwrap(), next.id);
    let stored = restarted.vm.get_block(two.id).unwrap().unwrap();
    assert_eq!(stored, two);
}

#[test]
fn contexts_follow_the_epoch() {
    let world = world(1);
    world.extend(CONTEXT);
    let second = world.extend(CONTEXT);
    let third = world.extend(CONTEXT);
    let inner = |block: &Block| {
        OuterBlock::parse_without_verification(block.bytes.clone()).unwrap().inner()
    };
    let contexts: Vec<Option<u64>> = world.log.verified.lock().iter().map(|(_, at)| *at).collect();
    // The first after the fork has none.
    assert_eq!(contexts, [None, Some(10), Some(10)]);
    assert_ne!(inner(&second), inner(&third));
    // The same inner block in another outer one is verified once more, but has one verdict.
    world.issue(CONTEXT);
    world.vm.set_preference(third.id).unwrap();
    let one = world.vm.build_block(None).unwrap();
    world.p_chain.set(|scene| scene.minimum = 11);
    let two = world.vm.build_block(None).unwrap();
    assert_eq!(inner(&one), inner(&two));
    assert_ne!(one.id, two.id);
    world.vm.verify(&one, None).unwrap();
    world.vm.verify(&two, None).unwrap();
    assert_eq!(world.log.verified.lock().len(), 5);
    world.node.accept(two.id).unwrap();
    world.vm.reject(one.id).unwrap();
    assert!(world.log.undecided.lock().is_empty());
}

#[test]
fn blocks_that_need_not_be_kept_are_deleted() {
    let remains = Remains::default();
    let keep_two = |config: &mut Config| config.kept_blocks = std::num::NonZeroU64::new(2);
    let world = start_on(&remains, None, keep_two).unwrap();
    let blocks: Vec<Block> = (0..6).map(|_| world.extend(0)).collect();
    let kept = |world: &World| -> Vec<u64> {
        let heights = (1..=6_u64).zip(&blocks);
        heights
            .filter(|(height, block)| {
                let at = world.vm.block_id_at_height(*height).unwrap();
                let found = world.vm.get_block(block.id).unwrap();
                assert_eq!(at.is_some(), found.is_some());
                at.is_some()
            })
            .map(|(height, _)| height)
            .collect()
    };
    assert_eq!(kept(&world), [4, 5, 6]);
    let keep_one = |config: &mut Config| config.kept_blocks = std::num::NonZeroU64::new(1);
    assert_eq!(kept(&start_on(&world.remains(), None, keep_one).unwrap()), [5, 6]);
}
