//! Networks of nodes that poll each other: what the family promises beyond a single instance.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]

use sastrugi_consensus::snowball::{Consensus, Factory, Flat, Parameters, Tree};
use sastrugi_types::{
    Bag, Id,
    hash::sha256,
    sampler::{Mt19937, Uniform},
};

const ROUNDS_MAX: usize = 1_000_000;

fn color(number: u8) -> Id {
    Id(sha256(&[number]))
}

/// A node with a fixed preference that looks finalized.
struct Stubborn(Id);

impl Consensus for Stubborn {
    fn add(&mut self, _choice: Id) {}

    fn preference(&self) -> Id {
        self.0
    }

    fn record_poll(&mut self, _votes: &Bag<Id>) -> bool {
        true
    }

    fn record_unsuccessful_poll(&mut self) {}

    fn finalized(&self) -> bool {
        true
    }
}

struct Network {
    nodes: Vec<Box<dyn Consensus>>,
    running: Vec<usize>,
    k: usize,
    sampler: Uniform,
    peers: Vec<u64>,
}

impl Network {
    fn new(nodes: Vec<Box<dyn Consensus>>, k: usize) -> Self {
        let running = (0..nodes.len()).filter(|node| !nodes[*node].finalized()).collect();
        Self { nodes, running, k, sampler: Uniform::new(0), peers: Vec::new() }
    }

    /// One node polls.
    fn round(&mut self, source: &mut Mt19937) {
        self.sampler.set_length(self.running.len() as u64);
        let place = self.sampler.next(source).unwrap() as usize;
        self.sampler.set_length(self.nodes.len() as u64);
        let k = self.k.min(self.nodes.len());
        self.sampler.sample(source, k, &mut self.peers).unwrap();
        let votes: Bag<_> =
            self.peers.iter().map(|peer| self.nodes[*peer as usize].preference()).collect();
        let node = self.running[place];
        self.nodes[node].record_poll(&votes);
        if self.nodes[node].finalized() {
            self.running.swap_remove(place);
        }
    }

    fn run(&mut self, source: &mut Mt19937) {
        for _ in 0..ROUNDS_MAX {
            if self.running.is_empty() {
                return;
            }
            self.round(source);
        }
        panic!("{} nodes are still running", self.running.len());
    }

    fn agree(&self) -> bool {
        self.nodes.iter().all(|node| node.preference() == self.nodes[0].preference())
    }
}

/// Nodes that know all colors, each beginning with one of them.
fn nodes(
    colors: u8,
    count: usize,
    source: &mut Mt19937,
    make: &dyn Fn(Id) -> Box<dyn Consensus>,
) -> Vec<Box<dyn Consensus>> {
    let mut sampler = Uniform::new(colors.into());
    let mut order = Vec::new();
    (0..count)
        .map(|_| {
            sampler.sample(source, colors.into(), &mut order).unwrap();
            let mut node = make(color(order[0] as u8));
            for number in &order[1..] {
                node.add(color(*number as u8));
            }
            node
        })
        .collect()
}

fn tree(parameters: Parameters) -> impl Fn(Id) -> Box<dyn Consensus> {
    move |first| Box::new(Tree::new(Factory::Snowflake, &parameters, first))
}

/// Two networks that begin alike and are driven by the same numbers. Returns which is done first
/// and whether both agree with each other.
fn race(first: &mut Network, second: &mut Network, seed: u64) -> (bool, bool) {
    let mut source = Mt19937::new(seed);
    let mut winner = None;
    for _ in 0..ROUNDS_MAX {
        let mut same = source.clone();
        match (first.running.is_empty(), second.running.is_empty()) {
            (true, true) => break,
            (false, true) => first.round(&mut source),
            (true, false) => second.round(&mut source),
            (false, false) => {
                first.round(&mut source);
                second.round(&mut same);
            }
        }
        if winner.is_none() && (first.running.is_empty() || second.running.is_empty()) {
            winner = Some(first.running.is_empty());
        }
    }
    let together = first.nodes[0].preference() == second.nodes[0].preference();
    (winner.unwrap(), first.agree() && second.agree() && together)
}

#[test]
fn a_hundred_nodes_agree_on_one_of_fifty_colors() {
    for factory in [Factory::Snowflake, Factory::Snowball] {
        let mut source = Mt19937::new(0);
        let nodes = nodes(50, 100, &mut source, &move |first| {
            Box::new(Tree::new(factory, &Parameters::DEFAULT, first))
        });
        let mut network = Network::new(nodes, Parameters::DEFAULT.k);
        network.run(&mut source);
        assert!(network.agree());
    }
}

#[test]
fn a_tenth_of_stubborn_nodes_does_not_turn_a_majority() {
    let (red, blue) = (color(0), color(1));
    let make = tree(Parameters::DEFAULT);
    let mut nodes: Vec<Box<dyn Consensus>> = Vec::new();
    for (first, second, count) in [(red, blue, 55), (blue, red, 35)] {
        nodes.extend((0..count).map(|_| {
            let mut node = make(first);
            node.add(second);
            node
        }));
    }
    let honest = nodes.len();
    nodes.extend((0..10).map(|_| -> Box<dyn Consensus> { Box::new(Stubborn(blue)) }));
    let mut network = Network::new(nodes, Parameters::DEFAULT.k);
    network.run(&mut Mt19937::new(0));
    assert!(network.nodes[..honest].iter().all(|node| node.preference() == red));
}

#[test]
fn a_lower_quorum_for_the_preference_is_quicker() {
    let strict = Parameters::DEFAULT;
    let eager = Parameters { alpha_preference: 11, ..strict };
    let network = |parameters| {
        Network::new(nodes(10, 100, &mut Mt19937::new(1), &tree(parameters)), strict.k)
    };
    let (eager_first, agreement) = race(&mut network(eager), &mut network(strict), 1);
    assert!(eager_first);
    assert!(agreement);
}

#[test]
fn a_tree_is_quicker_than_a_flat_instance() {
    let parameters =
        Parameters { alpha_preference: 11, alpha_confidence: 11, ..Parameters::DEFAULT };
    let mut trees = Network::new(nodes(10, 100, &mut Mt19937::new(2), &tree(parameters)), 20);
    let flat = |first| -> Box<dyn Consensus> {
        Box::new(Flat::new(Factory::Snowflake, &parameters, first))
    };
    let mut flats = Network::new(nodes(10, 100, &mut Mt19937::new(2), &flat), 20);
    let (trees_first, _) = race(&mut trees, &mut flats, 2);
    assert!(trees_first);
    assert!(trees.agree());
}
