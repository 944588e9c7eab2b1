//! Replays whole networks of `Topological` nodes that one generator drives.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::{collections::BTreeMap, convert::Infallible};

use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::{
    snowball::{Factory, Parameters},
    snowman::{Block, Topological},
};
use sastrugi_types::{
    Bag, Id, WallTime,
    hash::sha256_parts,
    sampler::{Mt19937, Source, Uniform},
};

const ROUNDS_MAX: u64 = 10_000;
const NOW: WallTime = WallTime(0);

#[test]
fn convergence_snowman() {
    let exceptions = exceptions();
    for mut trace in traces("convergence-snowman") {
        assert!(!exceptions.contains_key(trace.name.as_str()), "{}", trace.name);
        trace.take::<String>("name");
        replay(trace);
    }
}

fn replay(mut trace: Fields) {
    let parameters = Parameters {
        k: trace.take("k"),
        alpha_preference: trace.take("alphaPreference"),
        alpha_confidence: trace.take("alphaConfidence"),
        beta: trace.take("beta"),
        concurrent_repolls: 1,
        ..Parameters::DEFAULT
    };
    let genesis = id(&trace.take::<String>("genesis"));
    let height = trace.take("genesisHeight");
    let mut source = Mt19937::new(trace.take("seed"));
    let mut sampler = Uniform::new(0);

    let blocks = draw_blocks(&mut source, &mut sampler, genesis, height, trace.take("blocks"));
    let expected: Vec<(String, String, u64)> = trace.take("tree");
    let expected: Vec<_> = expected.iter().map(|(own, up, h)| (id(own), id(up), *h)).collect();
    let drawn: Vec<_> = blocks.iter().map(|b| (b.id, b.parent, b.height)).collect();
    assert_eq!(drawn, expected, "{}", trace.name);

    let factory: String = trace.take("factory");
    let factory = |node: usize| match factory.as_str() {
        "snowflake" => Factory::Snowflake,
        "mixed" if node.is_multiple_of(2) => Factory::Snowflake,
        "snowball" | "mixed" => Factory::Snowball,
        other => panic!("factory {other}"),
    };
    // Each node adds the blocks in the order of the node before it, shuffled and sorted again.
    let mut order: Vec<_> = blocks.iter().collect();
    let mut places = Vec::new();
    let count = trace.take("nodes");
    let nodes = (0..count).map(|node| {
        let mut node =
            Topological::new(factory(node), parameters, genesis, height, NOW, 1).unwrap();
        sampler.set_length(blocks.len() as u64);
        sampler.sample(&mut source, blocks.len(), &mut places).unwrap();
        order = places.iter().map(|place| order[*place as usize]).collect();
        order.sort_by_key(|block| block.height);
        for block in &order {
            node.add(block, NOW).unwrap();
        }
        node
    });
    let mut nodes: Vec<_> = nodes.collect();

    let (rounds, finalized) = run(&mut nodes, &mut source, &mut sampler, parameters.k);
    assert_eq!(rounds, trace.take::<u64>("rounds"), "{}", trace.name);
    assert_eq!(finalized, trace.take::<Vec<(u64, usize)>>("finalized"), "{}", trace.name);
    let preferences: Vec<_> = nodes.iter().map(Topological::preference).collect();
    let expected: Vec<String> = trace.take("preferences");
    assert_eq!(preferences, expected.iter().map(|hex| id(hex)).collect::<Vec<_>>());
    let agreement = preferences.iter().all(|preference| *preference == preferences[0]);
    assert_eq!(agreement, trace.take::<bool>("agreement"), "{}", trace.name);
    assert_eq!(source.next_u64(), trace.take::<u64>("nextUint64"), "{}", trace.name);
    trace.finish();
}

fn id(hex: &str) -> Id {
    Id(const_hex::decode_to_array(hex).unwrap())
}

fn draw_blocks(
    source: &mut Mt19937,
    sampler: &mut Uniform,
    genesis: Id,
    height: u64,
    count: usize,
) -> Vec<Block> {
    let mut heights = BTreeMap::from([(genesis, height)]);
    let mut blocks: Vec<Block> = Vec::new();
    while blocks.len() < count {
        let parent = if blocks.is_empty() {
            genesis
        } else {
            sampler.set_length(blocks.len() as u64);
            blocks[sampler.next(source).unwrap() as usize].id
        };
        let id = Id(sha256_parts(&[&source.next_u64().to_be_bytes(), &[0; 32]]));
        let height = heights[&parent] + 1;
        heights.insert(id, height);
        blocks.push(Block { id, parent, height, timestamp: NOW, size_bytes: 0 });
    }
    blocks
}

/// Returns the number of rounds, and in which one each node finished.
fn run(
    nodes: &mut [Topological],
    source: &mut Mt19937,
    sampler: &mut Uniform,
    k: usize,
) -> (u64, Vec<(u64, usize)>) {
    let mut running: Vec<_> = (0..nodes.len()).collect();
    let mut finalized = Vec::new();
    let mut peers = Vec::new();
    let mut rounds = 0;
    while !running.is_empty() && rounds < ROUNDS_MAX {
        sampler.set_length(running.len() as u64);
        let place = sampler.next(source).unwrap() as usize;
        let number = running[place];
        sampler.set_length(nodes.len() as u64);
        sampler.sample(source, k, &mut peers).unwrap();
        let votes: Bag<Id> = peers.iter().map(|peer| nodes[*peer as usize].preference()).collect();
        let node = &mut nodes[number];
        node.record_poll::<Infallible>(&votes, NOW, &mut |_| Ok(())).unwrap();
        rounds += 1;
        if node.num_processing() == 0 {
            finalized.push((rounds, number));
            running.swap_remove(place);
        }
    }
    (rounds, finalized)
}
