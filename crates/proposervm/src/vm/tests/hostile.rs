//! Blocks that nobody honest makes: each gets the verdict that upstream gives.

use sastrugi_vm::Clock;

use super::*;
use crate::{Epoch, OuterBlock, PostForkBlock, block::BlockTemplate};

struct Scenario {
    world: World,
    parent: Block,
    good: PostForkBlock,
}

/// A good block on a parent, by this node.
fn scenario() -> Scenario {
    let world = world(3);
    world.extend(0);
    let parent = world.extend(0);
    world.issue(0);
    world.vm.set_preference(parent.id).unwrap();
    world.wait();
    let good = world.vm.build_block(None).unwrap();
    let outer = OuterBlock::parse_without_verification(good.bytes).unwrap();
    let good = outer.as_block().unwrap().clone();
    Scenario { world, parent, good }
}

impl Scenario {
    fn template<'a>(&self, inner: &'a [u8]) -> BlockTemplate<'a> {
        BlockTemplate {
            parent: self.parent.id,
            timestamp_secs: self.good.timestamp_secs(),
            p_chain_height: self.good.p_chain_height(),
            epoch: self.good.epoch(),
            inner,
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Block, VmError> {
        self.world.vm.parse_block(Bytes::copy_from_slice(bytes))
    }

    /// What is wrong with a block, signed by this node.
    fn refusal(&self, template: &BlockTemplate<'_>) -> String {
        self.refusal_of(template, 0)
    }

    fn refusal_of(&self, template: &BlockTemplate<'_>, signer: usize) -> String {
        let block = template.signed(Id([0xc4; 32]), &*identities()[signer]).unwrap();
        let block = self.parse(block.bytes()).unwrap();
        let error = self.world.vm.verify(&block, None).unwrap_err().to_string();
        assert!(self.world.log.undecided.lock().is_empty());
        error
    }
}

#[test]
fn wrong_fields_are_refused_by_name() {
    let scenario = scenario();
    let inner = scenario.good.inner();
    let good = scenario.template(&inner);
    let now = scenario.world.node.clock.wall().unix_secs();
    let epoch = good.epoch;
    for (template, reason) in [
        (BlockTemplate { parent: Id([3; 32]), ..good }, "is not there"),
        (BlockTemplate { p_chain_height: 9, ..good }, "non monotonically"),
        (BlockTemplate { p_chain_height: 13, ..good }, "larger than current"),
        (BlockTemplate { timestamp_secs: 0, ..good }, "time must monotonically"),
        (BlockTemplate { timestamp_secs: i64::MIN, ..good }, "time must monotonically"),
        (BlockTemplate { timestamp_secs: now + 11, ..good }, "too far advanced"),
        (BlockTemplate { timestamp_secs: i64::MAX, ..good }, "too far advanced"),
        (BlockTemplate { epoch: Epoch::NONE, ..good }, "epoch mismatch"),
        (BlockTemplate { epoch: Epoch { number: 2, ..epoch }, ..good }, "epoch mismatch"),
    ] {
        let error = scenario.refusal(&template);
        assert!(error.contains(reason), "{reason}: {error}");
    }
    // The slot of another.
    let error = scenario.refusal_of(&good, 1);
    assert!(error.contains("unexpected proposer for current window"), "{error}");
    let unsigned = scenario.parse(good.unsigned().unwrap().bytes()).unwrap();
    let error = scenario.world.vm.verify(&unsigned, None).unwrap_err().to_string();
    assert!(error.contains("unexpected proposer for current window"), "{error}");
    // The good one is still good.
    let block = scenario.parse(scenario.good.bytes()).unwrap();
    scenario.world.vm.verify(&block, None).unwrap();
}

#[test]
fn wrong_bytes_do_not_parse() {
    let scenario = scenario();
    let good = scenario.good.bytes();
    let certificate_at = 2 + 4 + 32 + 8 + 8 + 4;
    for (at, reason) in [
        (certificate_at + 200, "certificate"),
        (good.len() - 1, "signature"),
        (60, "signature"),
        (1, "version"),
        (5, ""),
    ] {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x40;
        if let Ok(block) = scenario.parse(&bytes) {
            panic!("{at} {reason}: {block:?}");
        }
    }
    let longer = [&good[..], &[0]].concat();
    assert!(scenario.parse(&longer).is_err(), "trailing bytes");
    let inner = scenario.good.inner();
    let other_chain = scenario.template(&inner).signed(Id([1; 32]), &*identities()[0]).unwrap();
    assert!(scenario.parse(other_chain.bytes()).is_err(), "signed for another chain");
    let twice = scenario.template(good).signed(Id([0xc4; 32]), &*identities()[0]).unwrap();
    assert!(scenario.parse(twice.bytes()).is_err(), "wrapped twice");
    let empty = scenario.template(&[]).signed(Id([0xc4; 32]), &*identities()[0]).unwrap();
    assert!(scenario.parse(empty.bytes()).is_err(), "nothing in it");
}

#[test]
fn one_id_with_a_good_and_a_bad_signature_is_told_apart() {
    let scenario = scenario();
    let good = scenario.good.bytes();
    let mut bad = good.to_vec();
    *bad.last_mut().unwrap() ^= 1;
    // Bad first, good, bad again, also as a block that pretends to be parsed.
    assert!(scenario.parse(&bad).is_err());
    let block = scenario.parse(good).unwrap();
    assert!(scenario.parse(&bad).is_err());
    let pretended = Block { bytes: bad.into(), ..block.clone() };
    assert!(scenario.world.vm.verify(&pretended, None).is_err());
    assert_eq!(scenario.world.vm.get_block(block.id).unwrap(), None, "not by its ID either");
    scenario.world.vm.verify(&block, None).unwrap();
    assert_eq!(scenario.world.vm.get_block(block.id).unwrap().unwrap().bytes, *good);
    // The same in one batch: from the first bad one on, all are taken for inner blocks.
    let batched = scenario.world.vm.batched().unwrap();
    let bad = pretended.bytes;
    assert!(batched.parse_blocks(vec![good.clone(), bad.clone()]).is_err());
    let inner = scenario.good.inner();
    let blocks = batched.parse_blocks(vec![good.clone(), inner.clone()]).unwrap();
    assert_eq!((blocks[0].id, &blocks[1].bytes), (block.id, &inner));
    assert!(batched.parse_blocks(vec![inner, good.clone()]).is_err());
}

#[test]
fn an_inner_block_alone_is_no_child_of_an_outer_one() {
    let scenario = scenario();
    let inner = scenario.parse(&scenario.good.inner()).unwrap();
    let error = scenario.world.vm.verify(&inner, None).unwrap_err().to_string();
    assert!(error.contains("unexpected proposer block type"), "{error}");
}

#[test]
fn what_the_inner_vm_refuses_is_refused_and_may_be_tried_again() {
    let scenario = scenario();
    let parent = OuterBlock::parse_without_verification(scenario.parent.bytes.clone()).unwrap();
    let inner_parent = scenario.parse(&parent.inner()).unwrap();
    let height = scenario.parent.height + 1;
    for (inner, reason) in [
        (plain::make(inner_parent.id, height, 0, plain::INVALID), "refused"),
        (plain::make(inner_parent.id, height + 1, 0, 8), "unexpected proposer"),
        (plain::make(Id([1; 32]), height, 0, 8), "inner parentID"),
    ] {
        for _ in 0..2 {
            let error = scenario.refusal(&scenario.template(&inner.bytes));
            assert!(error.contains(reason) || error.contains("refused"), "{reason}: {error}");
        }
    }
}

#[test]
fn a_set_that_overflows_stops_blocks_but_nothing_else() {
    let scenario = scenario();
    let block = scenario.parse(scenario.good.bytes()).unwrap();
    for (weights, reason) in [([u64::MAX, 1, 1], "overflow"), ([0, 0, 0], "no weight")] {
        scenario.world.p_chain.set(|scene| {
            for (validator, weight) in scene.set.iter_mut().zip(weights) {
                validator.1 = weight;
            }
        });
        scenario.world.forget_validators();
        let error = scenario.world.vm.verify(&block, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(scenario.world.vm.build_block(None).is_err());
    }
    scenario.world.p_chain.set(|scene| scene.set.clear());
    scenario.world.forget_validators();
    let error = scenario.world.vm.verify(&block, None).unwrap_err().to_string();
    assert!(error.contains("proposer mismatch"), "{error}");
}

#[test]
fn trusted_blocks_are_not_checked_but_must_be_blocks() {
    let scenario = scenario();
    let mut bad = scenario.good.bytes().to_vec();
    *bad.last_mut().unwrap() ^= 1;
    let vm = &scenario.world.vm;
    let trusted = vm.parse_trusted(&bad.clone().into()).unwrap();
    assert_eq!(trusted.id, scenario.good.id());
    assert!(vm.parse_block(bad.into()).is_err(), "nobody else is trusted for it");
    assert!(vm.parse_trusted(&Bytes::from_static(b"garbage")).is_err());
}
