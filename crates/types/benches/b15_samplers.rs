//! B15: the generators and samplers of proposer selection.
//!
//! The reference gives each sample in a list of its own; ours goes into one that is used again.

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

use sastrugi_benchkit::{Outcome, SplitMix64, Suite};
use sastrugi_types::sampler::{Mt19937, Mt19937_64, Source, Uniform, WeightedWithoutReplacement};

const SEED: u64 = 15;
const SAMPLE: usize = 20;

fn main() {
    let mut suite = Suite::from_args();
    generator(&mut suite);
    for size in [20, 2_000, 100_000] {
        uniform(&mut suite, size);
    }
    for size in [20, 100, 2_000] {
        let mut rng = SplitMix64::new(SEED);
        let weights: Vec<u64> = (0..size).map(|_| 2_000 + rng.next_u64() % 3_000_000).collect();
        weighted_init(&mut suite, &weights);
        weighted(&mut suite, &weights);
    }
}

fn generator(suite: &mut Suite) {
    const DRAWS: u64 = 2_000_000;
    suite.run("B15-mt19937-64", "ns/u64", 9, |meter| {
        let mut source = Mt19937_64::new(SEED);
        let mut check = 0;
        meter.start();
        for _ in 0..DRAWS {
            check ^= source.next_u64();
        }
        meter.stop();
        Outcome::new(DRAWS, check)
    });
}

fn uniform(suite: &mut Suite, size: u64) {
    const SAMPLES: u64 = 50_000;
    suite.run(&format!("B15-uniform20-of-{size}"), "ns/sample", 9, |meter| {
        let mut source = Mt19937::new(SEED);
        let mut uniform = Uniform::new(size);
        let mut out = Vec::new();
        let mut check = 0u64;
        meter.start();
        for _ in 0..SAMPLES {
            uniform.sample(&mut source, SAMPLE, &mut out).expect("there are enough");
            check = check.wrapping_mul(31).wrapping_add(out[SAMPLE - 1]);
        }
        meter.stop();
        Outcome::new(SAMPLES, check)
    });
}

fn weighted_init(suite: &mut Suite, weights: &[u64]) {
    const INITS: u64 = 500;
    suite.run(&format!("B15-weighted-init-{}", weights.len()), "ns/init", 9, |meter| {
        let mut sampler = WeightedWithoutReplacement::new([]).expect("no weight");
        meter.start();
        for _ in 0..INITS {
            sampler.set_weights(weights.iter().copied()).expect("no overflow");
        }
        meter.stop();
        let mut out = Vec::new();
        sampler.sample(&mut Mt19937::new(SEED), SAMPLE, &mut out).expect("there are enough");
        Outcome::new(INITS, out[0] as u64)
    });
}

fn weighted(suite: &mut Suite, weights: &[u64]) {
    const SAMPLES: u64 = 20_000;
    suite.run(&format!("B15-weighted20-of-{}", weights.len()), "ns/sample", 9, |meter| {
        let mut source = Mt19937::new(SEED);
        let mut sampler =
            WeightedWithoutReplacement::new(weights.iter().copied()).expect("no overflow");
        let mut out = Vec::new();
        let mut check = 0u64;
        meter.start();
        for _ in 0..SAMPLES {
            sampler.sample(&mut source, SAMPLE, &mut out).expect("there are enough");
            check = check.wrapping_mul(31).wrapping_add(out[SAMPLE - 1] as u64);
        }
        meter.stop();
        Outcome::new(SAMPLES, check)
    });
}
