//! B9 (engine): the consensus gear on chits, with 20 validators; and the manager's rows of B15.
//!
//! The gear runs with its production sampler, trackers and counters, and logs below warnings are
//! off as in production. The time is an argument, where the reference reads its clock. Metrics are
//! plain counters here; the reference's are Prometheus objects.

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_benchkit::{Meter, Outcome, SplitMix64, Suite};
use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    common::{ChitsHandler, Engine, Fatal, QueryHandler, StateSyncing, tracker::Peers},
    getter::GetterConfig,
    snowman::{Config, Snowman},
    testing::{ManualClock, RecordingSender, Script, Sent, Surroundings, TestVm, test_block},
    validators::{SubnetSampler, Validator, Validators},
};
use sastrugi_types::{
    Id, NodeId, RequestId,
    message::Chits,
    sampler::{Mt19937, Uniform},
};
use sastrugi_vm::Block;

const BLOCK_BYTES: usize = 1_024;
const VALIDATORS: usize = 20;
const SUBNET: Id = Id([7; 32]);

/// A gear, what it hears, and the requests it sent and that nobody answered.
struct Run {
    gear: Snowman,
    around: Surroundings<RecordingSender, SubnetSampler, Script>,
    outstanding: Arc<Mutex<VecDeque<RequestId>>>,
    vm: Arc<TestVm>,
    nodes: Vec<NodeId>,
    tip: Id,
    inbound: u64,
}

fn validator(node: NodeId, weight: u64) -> Validator {
    Validator { node, public_key: None, tx: Id::EMPTY, weight }
}

impl Run {
    fn new(genesis: Block) -> Self {
        let mut rng = SplitMix64::new(9);
        let nodes: Vec<_> = (0..VALIDATORS).map(|_| NodeId(rng.array())).collect();
        let tip = genesis.id;
        let vm = TestVm::new(genesis);
        let validators = Arc::new(Validators::new(1));
        let peers = Arc::new(Peers::new(1));
        validators.register_set_listener(SUBNET, peers.clone());
        for node in &nodes {
            // New nodes of weight 1 are always accepted.
            let _ = validators.add_staker(SUBNET, validator(*node, 1));
            peers.connected(*node);
        }
        let gear = Snowman::new(Config {
            subnet: SUBNET,
            node: nodes[0],
            vm: vm.clone(),
            clock: Arc::new(ManualClock::default()),
            getter: GetterConfig::default(),
            params: Parameters::default(),
            validators: validators.clone(),
            peers: peers.clone(),
            state_syncing: StateSyncing::default(),
            partial_sync: false,
            hash_seed: 1,
        })
        .expect("the default parameters are good");
        let outstanding = Arc::new(Mutex::new(VecDeque::new()));
        let sent = outstanding.clone();
        let sender = RecordingSender::new(move |message| {
            if let Sent::PullQuery(to, request, ..) = message {
                assert_eq!(to.len(), VALIDATORS);
                sent.lock().push_back(request);
            }
        });
        let source = Box::new(Mt19937::new(9));
        let sampler = SubnetSampler::new(validators, SUBNET, peers, source);
        let around = Surroundings::new(sender, sampler, Script::default());
        Self { gear, around, outstanding, vm, nodes, tip, inbound: 0 }
    }

    fn push(&mut self, number: u32, block: &Block) -> Result<(), Fatal> {
        self.inbound += 1;
        self.tip = block.id;
        let (_, height) = self.gear.consensus().last_accepted();
        let from = self.nodes[number as usize % VALIDATORS];
        let (cx, bytes) = (&mut self.around.cx(), block.bytes.clone());
        self.gear.push_query(cx, from, RequestId(number), bytes, height + 1)
    }

    /// Answers the oldest query by all validators. False if there is none.
    fn answer(&mut self) -> Result<bool, Fatal> {
        let Some(request) = self.outstanding.lock().pop_front() else { return Ok(false) };
        let (accepted, accepted_height) = self.gear.consensus().last_accepted();
        let tip = self.tip;
        let chits = Chits { preferred: tip, preferred_at_height: tip, accepted, accepted_height };
        for node in &self.nodes {
            self.inbound += 1;
            self.gear.chits(&mut self.around.cx(), *node, request, chits)?;
        }
        Ok(true)
    }

    fn all(&mut self, blocks: &[Block], pipelined: bool) -> Result<(), Fatal> {
        for (number, block) in (0..).zip(blocks) {
            self.push(number, block)?;
            if pipelined {
                self.answer()?;
            } else {
                while self.answer()? {}
            }
        }
        while self.answer()? {}
        Ok(())
    }
}

fn engine(meter: &mut Meter, count: u64, pipelined: bool) -> Outcome {
    let genesis = test_block(Id::EMPTY, 0, BLOCK_BYTES);
    let mut blocks: Vec<Block> = Vec::new();
    for height in 1..=count {
        let parent = blocks.last().map_or(genesis.id, |block| block.id);
        let block = test_block(parent, height, BLOCK_BYTES);
        blocks.push(Block { bytes: Bytes::copy_from_slice(&block.bytes), ..block });
    }
    let mut run = Run::new(genesis);
    let started = run.gear.start(&mut run.around.cx(), RequestId(0));
    meter.start();
    let done = run.all(&blocks, pipelined);
    meter.stop();
    started.and(done).expect("nothing in this workload is fatal");
    let accepted = run.vm.accepted().len() as u64 - 1;
    assert_eq!(accepted, count, "all blocks are accepted");
    Outcome::new(run.inbound, run.inbound << 32 ^ accepted)
        .with("msgs_in_per_block", run.inbound as f64 / count as f64)
}

/// A manager with `size` validators, and their nodes.
fn manager(size: usize) -> (Validators, Id, Vec<NodeId>) {
    let mut rng = SplitMix64::new(15);
    let subnet = Id(rng.array());
    let manager = Validators::new(1);
    let nodes = (0..size).map(|_| {
        let node = NodeId(rng.array());
        let weight = 2_000 + rng.next_u64() % 3_000_000;
        // New nodes of a positive weight are always accepted.
        let _ = manager.add_staker(subnet, validator(node, weight));
        node
    });
    let nodes = nodes.collect();
    (manager, subnet, nodes)
}

fn sample(meter: &mut Meter, size: usize) -> Outcome {
    const SAMPLES: u64 = 20_000;
    let (manager, subnet, _) = manager(size);
    let (mut source, mut units, mut out) = (Mt19937::new(15), Uniform::new(0), Vec::new());
    let mut drawn = 0;
    meter.start();
    for _ in 0..SAMPLES {
        // A failure shows in `drawn`.
        let _ = manager.sample(subnet, 20, &mut units, &mut source, &mut out);
        drawn += out.len() as u64;
    }
    meter.stop();
    Outcome::new(SAMPLES, drawn)
}

fn add_weight_and_sample(meter: &mut Meter, size: usize) -> Outcome {
    const CHANGES: usize = 400;
    let (manager, subnet, nodes) = manager(size);
    let (mut source, mut units, mut out) = (Mt19937::new(15), Uniform::new(0), Vec::new());
    meter.start();
    for change in 0..CHANGES {
        // Failures show in the total weight.
        let _ = manager.add_weight(subnet, nodes[change % size], 1);
        let _ = manager.sample(subnet, 20, &mut units, &mut source, &mut out);
    }
    meter.stop();
    assert_eq!(out.len(), 20);
    Outcome::new(CHANGES as u64, manager.total_weight(subnet).unwrap_or(0))
}

fn main() {
    let mut suite = Suite::from_args();
    suite.run("B9-engine-lone", "ns/msg", 7, |meter| engine(meter, 200, false));
    suite.run("B9-engine-pipe", "ns/msg", 7, |meter| engine(meter, 1_000, true));
    for size in [20, 2_000] {
        let id = format!("B15-manager-sample20-of-{size}");
        suite.run(&id, "ns/sample", 9, |meter| sample(meter, size));
        let id = format!("B15-manager-addweight-sample-{size}");
        suite.run(&id, "ns/op", 9, |meter| add_weight_and_sample(meter, size));
    }
}
