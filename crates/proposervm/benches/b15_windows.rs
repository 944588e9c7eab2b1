//! B15: who may propose, and when.
//!
//! Each row comes twice: with the validators of the P-Chain's height kept, as they are from the
//! second call for a height on, and (`-cold`) with a windower that has forgotten them before each
//! call. The reference gathers and sorts them in every call.

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

use std::{sync::Arc, time::Duration};

use sastrugi_benchkit::{Meter, Outcome, SplitMix64, Suite, be8};
use sastrugi_proposervm::{Windower, windower::VERIFY_WINDOWS_MAX};
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{
    VmError,
    validators::{ValidatorOutput, ValidatorSet, ValidatorState},
};

const P_CHAIN_HEIGHT: u64 = 7;
const FIRST_HEIGHT: u64 = 1000;

/// The same set at every height.
struct Fixed(Arc<ValidatorSet>);

impl ValidatorState for Fixed {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(P_CHAIN_HEIGHT)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(P_CHAIN_HEIGHT)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Err(VmError::NotFound)
    }

    fn validator_set(&self, _height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        Ok(self.0.clone())
    }
}

struct Workload {
    state: Arc<Fixed>,
    subnet: Id,
    chain: Id,
    nodes: Vec<NodeId>,
}

impl Workload {
    fn new(size: usize) -> Self {
        let mut rng = SplitMix64::new(15);
        let (subnet, chain) = (Id(rng.array()), Id(rng.array()));
        let validators: Vec<_> =
            (0..size).map(|_| (NodeId(rng.array()), 2_000 + rng.next_u64() % 3_000_000)).collect();
        let output = |(node, weight)| (node, ValidatorOutput { node, public_key: None, weight });
        let set: ValidatorSet = validators.iter().copied().map(output).collect();
        let nodes = validators.into_iter().map(|(node, _)| node).collect();
        Self { state: Arc::new(Fixed(Arc::new(set))), subnet, chain, nodes }
    }

    fn calls(&self) -> u64 {
        (20_000 / self.nodes.len() as u64).max(20)
    }
}

/// What one call gives to the check value.
type Call = fn(&Workload, &Windower, u64) -> u64;

fn expected(_: &Workload, windower: &Windower, index: u64) -> u64 {
    let height = FIRST_HEIGHT + index;
    let expected = windower.expected_proposer(height, P_CHAIN_HEIGHT, index % 5);
    be8(&expected.expect("the set is known").expect("there are validators").0)
}

fn min_delay(workload: &Workload, windower: &Windower, index: u64) -> u64 {
    let height = FIRST_HEIGHT + index;
    let node = workload.nodes[index as usize % workload.nodes.len()];
    let delay = windower.min_delay(height, P_CHAIN_HEIGHT, node, 0);
    let delay: Duration = delay.expect("the set is known").expect("there are validators");
    delay.as_nanos() as u64
}

fn proposers(_: &Workload, windower: &Windower, index: u64) -> u64 {
    let height = FIRST_HEIGHT + index;
    let proposers = windower.proposers(height, P_CHAIN_HEIGHT, VERIFY_WINDOWS_MAX);
    be8(&proposers.expect("the set is known")[0].0)
}

fn main() {
    let mut suite = Suite::from_args();
    for size in [10, 100, 2_000] {
        let workload = Workload::new(size);
        let rows: [(&str, Call); 3] =
            [("expected", expected), ("mindelay", min_delay), ("proposers6", proposers)];
        for (name, call) in rows {
            for is_cold in [false, true] {
                let suffix = if is_cold { "-cold" } else { "" };
                let id = format!("B15-window-{name}-{size}{suffix}");
                suite.run(&id, "ns/call", 7, |meter| run(&workload, call, is_cold, meter));
            }
        }
    }
}

fn run(workload: &Workload, call: Call, is_cold: bool, meter: &mut Meter) -> Outcome {
    let windower = Windower::new(workload.state.clone(), workload.subnet, workload.chain);
    call(workload, &windower, 0);
    let mut check = 0u64;
    meter.start();
    for index in 0..workload.calls() {
        if is_cold {
            windower.clear();
        }
        let value = call(workload, &windower, index);
        check = check.wrapping_mul(31).wrapping_add(value);
    }
    meter.stop();
    Outcome::new(workload.calls(), check)
}
