//! B15: samples of the current validators, also after a change of weight.
//!
//! As in production through the sampler of a subnet, with a cipher as the source of randomness, where
//! the reference has a Mersenne Twister.

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

use std::sync::Arc;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use sastrugi_benchkit::{Outcome, SplitMix64, Suite};
use sastrugi_engine::{
    common::{Sampler as _, tracker::Peers},
    validators::{SubnetSampler, Validator, Validators},
};
use sastrugi_types::{Id, NodeId, sampler::Source};

const SAMPLE: usize = 20;

struct Cipher(ChaCha20Rng);

impl Source for Cipher {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

struct Workload {
    subnet: Id,
    validators: Vec<(NodeId, u64)>,
}

impl Workload {
    fn new(size: usize) -> Self {
        let mut rng = SplitMix64::new(15);
        let subnet = Id(rng.array());
        let validator = |_| (NodeId(rng.array()), 2_000 + rng.next_u64() % 3_000_000);
        Self { subnet, validators: (0..size).map(validator).collect() }
    }

    fn start(&self) -> (Arc<Validators>, SubnetSampler) {
        let validators = Arc::new(Validators::new(15));
        for &(node, weight) in &self.validators {
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight };
            validators.add_staker(self.subnet, validator).expect("a new validator");
        }
        let peers = Arc::new(Peers::new(15));
        let source = Box::new(Cipher(ChaCha20Rng::seed_from_u64(15)));
        let sampler = SubnetSampler::new(validators.clone(), self.subnet, peers, source);
        (validators, sampler)
    }
}

fn main() {
    let mut suite = Suite::from_args();
    for size in [20, 2_000] {
        let workload = Workload::new(size);
        samples(&mut suite, &workload);
        samples_after_changes(&mut suite, &workload);
    }
}

fn samples(suite: &mut Suite, workload: &Workload) {
    const SAMPLES: u64 = 20_000;
    let id = format!("B15-manager-sample20-of-{}", workload.validators.len());
    suite.run(&id, "ns/sample", 9, |meter| {
        let (_, mut sampler) = workload.start();
        let mut check = 0;
        meter.start();
        for _ in 0..SAMPLES {
            check += sampler.sample(SAMPLE).expect("there are enough").len() as u64;
        }
        meter.stop();
        Outcome::new(SAMPLES, check)
    });
}

fn samples_after_changes(suite: &mut Suite, workload: &Workload) {
    const CHANGES: u64 = 400;
    let id = format!("B15-manager-addweight-sample-{}", workload.validators.len());
    suite.run(&id, "ns/op", 9, |meter| {
        let (validators, mut sampler) = workload.start();
        meter.start();
        for (node, _) in workload.validators.iter().cycle().take(CHANGES as usize) {
            validators.add_weight(workload.subnet, *node, 1).expect("a validator");
            sampler.sample(SAMPLE).expect("there are enough");
        }
        meter.stop();
        let total = validators.total_weight(workload.subnet).expect("no overflow");
        Outcome::new(CHANGES, total)
    });
}
