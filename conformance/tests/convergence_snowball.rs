//! Replays whole networks of snowball nodes that one generator drives.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::snowball::{Consensus, Factory, Flat, Parameters, Tree};
use sastrugi_types::{
    Bag, Id,
    hash::sha256_parts,
    sampler::{Mt19937, Source, Uniform},
};
use serde_json::{Value, json};

const ROUNDS_MAX: u64 = 10_000;

#[test]
fn convergence_snowball() {
    let exceptions = exceptions();
    for mut trace in traces("convergence-snowball") {
        assert!(!exceptions.contains_key(trace.name.as_str()), "{}", trace.name);
        trace.take::<String>("name");
        replay(trace);
    }
}

fn color(number: u64) -> Id {
    Id(sha256_parts(&[&number.to_be_bytes(), &[0; 32]]))
}

fn replay(mut trace: Fields) {
    let parameters = Parameters {
        k: trace.take("k"),
        alpha_preference: trace.take("alphaPreference"),
        alpha_confidence: trace.take("alphaConfidence"),
        beta: trace.take("beta"),
        ..Parameters::DEFAULT
    };
    let factory = match trace.take::<String>("factory").as_str() {
        "snowflake" => Factory::Snowflake,
        "snowball" => Factory::Snowball,
        other => panic!("{}: factory {other}", trace.name),
    };
    let hex: Vec<String> = trace.take("colors");
    let colors: Vec<_> = (0..hex.len() as u64).map(color).collect();
    assert!(colors.iter().zip(&hex).all(|(id, hex)| const_hex::encode(id.0) == *hex));
    let kind: String = trace.take("kind");
    let make = |first| -> Box<dyn Consensus> {
        match kind.as_str() {
            "tree" => Box::new(Tree::new(factory, &parameters, first)),
            "flat" => Box::new(Flat::new(factory, &parameters, first)),
            other => panic!("kind {other}"),
        }
    };
    let count: usize = trace.take("nodes");
    let mut network = Network::new(trace.take("seed"), &colors, count, parameters.k, make);
    assert_eq!(network.preferences(&colors), trace.take::<Value>("first"), "{}", trace.name);

    let (rounds, finalized) = network.run();
    assert_eq!(rounds, trace.take::<u64>("rounds"), "{}", trace.name);
    assert_eq!(finalized, trace.take::<Vec<(u64, usize)>>("finalized"), "{}", trace.name);
    assert_eq!(network.preferences(&colors), trace.take::<Value>("preferences"), "{}", trace.name);
    assert_eq!(network.agreement(), trace.take::<bool>("agreement"), "{}", trace.name);
    assert_eq!(network.disagreement(), trace.take::<bool>("disagreement"), "{}", trace.name);
    assert_eq!(network.source.next_u64(), trace.take::<u64>("nextUint64"), "{}", trace.name);
    trace.finish();
}

struct Network {
    source: Mt19937,
    sampler: Uniform,
    nodes: Vec<Box<dyn Consensus>>,
    k: usize,
}

impl Network {
    fn new(
        seed: u64,
        colors: &[Id],
        count: usize,
        k: usize,
        make: impl Fn(Id) -> Box<dyn Consensus>,
    ) -> Self {
        let mut source = Mt19937::new(seed);
        let mut sampler = Uniform::new(0);
        let mut order = Vec::new();
        let mut nodes = Vec::new();
        for _ in 0..count {
            sampler.set_length(colors.len() as u64);
            sampler.sample(&mut source, colors.len(), &mut order).unwrap();
            let mut node = make(colors[order[0] as usize]);
            for color in &order[1..] {
                node.add(colors[*color as usize]);
            }
            nodes.push(node);
        }
        Self { source, sampler, nodes, k }
    }

    /// Returns the number of rounds, and in which one each node finalized.
    fn run(&mut self) -> (u64, Vec<(u64, usize)>) {
        let mut running: Vec<_> = (0..self.nodes.len()).collect();
        let mut finalized = Vec::new();
        let mut peers = Vec::new();
        let mut rounds = 0;
        while !running.is_empty() && rounds < ROUNDS_MAX {
            self.sampler.set_length(running.len() as u64);
            let place = self.sampler.next(&mut self.source).unwrap() as usize;
            let node = running[place];
            self.sampler.set_length(self.nodes.len() as u64);
            let k = self.k.min(self.nodes.len());
            self.sampler.sample(&mut self.source, k, &mut peers).unwrap();
            let votes: Bag<Id> =
                peers.iter().map(|peer| self.nodes[*peer as usize].preference()).collect();
            self.nodes[node].record_poll(&votes);
            rounds += 1;
            if self.nodes[node].finalized() {
                finalized.push((rounds, node));
                running.swap_remove(place);
            }
        }
        (rounds, finalized)
    }

    fn preferences(&self, colors: &[Id]) -> Value {
        let index = |id| colors.iter().position(|color| *color == id).unwrap();
        json!(self.nodes.iter().map(|node| index(node.preference())).collect::<Vec<_>>())
    }

    fn agreement(&self) -> bool {
        self.nodes.iter().all(|node| node.preference() == self.nodes[0].preference())
    }

    fn disagreement(&self) -> bool {
        let mut finalized = self.nodes.iter().filter(|node| node.finalized());
        let first = finalized.next().map(|node| node.preference());
        finalized.any(|node| Some(node.preference()) != first)
    }
}
