//! PP-verify: a signed block after the fork, read with its signature (P-256, 1 KiB within), and held
//! against the rules among 100 validators.

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sastrugi_benchkit::{Meter, Outcome, SplitMix64, Suite, be8};
use sastrugi_crypto::Identity;
use sastrugi_proposervm::{
    Epoch, OuterBlock, Windower,
    block::BlockTemplate,
    verify::{Child, Kind, Parent, Rules},
};
use sastrugi_types::{Id, NodeId, WallTime, upgrade::UpgradeSchedule};
use sastrugi_vm::{
    VmError,
    validators::{ValidatorOutput, ValidatorSet, ValidatorState},
};

const CHAIN: Id = Id([4; 32]);
const PARENT_SECS: i64 = 1_790_000_000;
const BLOCKS: u64 = 2_000;

/// The same set at every height.
struct Fixed(Arc<ValidatorSet>);

impl ValidatorState for Fixed {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(7)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(7)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Err(VmError::NotFound)
    }

    fn validator_set(&self, _height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        Ok(self.0.clone())
    }
}

fn validators(own: NodeId) -> Arc<Fixed> {
    let mut rng = SplitMix64::new(15);
    let others = (0..99).map(|_| NodeId(rng.array()));
    let output = |node| (node, ValidatorOutput { node, public_key: None, weight: 2_000 });
    Arc::new(Fixed(Arc::new(others.chain([own]).map(output).collect::<BTreeMap<_, _>>())))
}

fn main() {
    let mut suite = Suite::from_args();
    for (id, is_read) in [("PP-verify-signed", true), ("PP-verify-rules", false)] {
        suite.run(id, "ns/block", 7, |meter| run(is_read, meter));
    }
}

fn run(is_read: bool, meter: &mut Meter) -> Outcome {
    let mut fill = |bytes: &mut [u8]| bytes.fill(5);
    let identity = Identity::generate(&mut fill, WallTime::from_unix_secs(1_700_000_000));
    let identity = identity.expect("the key is good");
    let state = validators(identity.node_id());
    let windower = Windower::new(state.clone(), Id::EMPTY, CHAIN);
    let upgrades = UpgradeSchedule::of_network(12_345);
    let time = WallTime::from_unix_secs(PARENT_SECS);
    let parent = Parent {
        kind: Kind::Block,
        inner: Id([1; 32]),
        height: 999,
        time,
        p_chain_height: 7,
        epoch: Epoch { p_chain_height: 7, number: 3, start_secs: PARENT_SECS },
    };
    let delay = windower.min_delay(1000, 7, identity.node_id(), 0);
    let delay = delay.expect("the set is known").expect("there are validators");
    let template = BlockTemplate {
        parent: Id([2; 32]),
        timestamp_secs: PARENT_SECS + delay.as_secs().cast_signed(),
        p_chain_height: 7,
        epoch: parent.epoch,
        inner: &[0; 1024],
    };
    let bytes = template.signed(CHAIN, &identity).expect("the key signs").bytes().clone();
    let rules = Rules {
        upgrades: &upgrades,
        validators: &*state,
        windower: &windower,
        now: time + delay,
        is_normal_op: true,
    };
    let first = OuterBlock::parse(bytes.clone(), CHAIN).expect("the block is good");
    let mut check = 0u64;
    meter.start();
    for _ in 0..BLOCKS {
        let outer = if is_read { read(&bytes) } else { first.clone() };
        let block = outer.as_block().expect("it is no option");
        let child = Child::Block { block, inner_parent: parent.inner, height: 1000 };
        let verdict = rules.verify(&parent, false, &child).expect("the block is good");
        check = check.wrapping_mul(31).wrapping_add(be8(&block.id().0) ^ verdict.slot.unwrap_or(0));
    }
    meter.stop();
    Outcome::new(BLOCKS, check)
}

fn read(bytes: &Bytes) -> OuterBlock {
    OuterBlock::parse(bytes.clone(), CHAIN).expect("the block is good")
}
