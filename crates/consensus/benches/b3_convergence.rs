//! B3: whole networks that poll each other until all have decided.
//!
//! Sampling and the making of the bags are part of it, as in the reference.

#![expect(clippy::expect_used, reason = "a benchmark ends at the first surprise")]

use std::convert::Infallible;

use sastrugi_benchkit::{Outcome, Suite};
use sastrugi_consensus::{
    snowball::{Factory, Parameters},
    snowman::{Block, Topological},
};
use sastrugi_types::{
    Bag, Id, WallTime,
    hash::sha256_parts,
    sampler::{Mt19937, Source, Uniform},
};

const TIME: WallTime = WallTime::from_unix_secs(1_600_000_000);
const BLOCKS: usize = 10;
const PARAMETERS: Parameters = Parameters {
    k: 20,
    alpha_preference: 11,
    alpha_confidence: 11,
    beta: 20,
    concurrent_repolls: 1,
    ..Parameters::DEFAULT
};

fn genesis() -> Id {
    let mut id = Id::EMPTY;
    id.0[0] = 0x47;
    id
}

fn draw_blocks(source: &mut Mt19937, sampler: &mut Uniform) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    while blocks.len() < BLOCKS {
        sampler.set_length(blocks.len() as u64);
        let parent = if blocks.is_empty() { None } else { sampler.next(source) };
        let (parent, height) = parent.map_or((genesis(), 0), |place| {
            let Block { id, height, .. } = blocks[place as usize];
            (id, height)
        });
        let id = Id(sha256_parts(&[&source.next_u64().to_be_bytes(), &[0; 32]]));
        let height = height + 1;
        blocks.push(Block { id, parent, height, timestamp: TIME, size_bytes: 32 });
    }
    blocks
}

/// A node that adds the blocks in passes over `order`, each as soon as its parent is there.
fn node(blocks: &[Block], order: &[u64]) -> Topological {
    let mut node =
        Topological::new(Factory::Snowflake, PARAMETERS, genesis(), 0, TIME, 1).expect("valid");
    while node.num_processing() < blocks.len() {
        for place in order {
            let block = &blocks[*place as usize];
            let placed = node.processing(&block.parent) || block.parent == genesis();
            if placed && !node.processing(&block.id) {
                node.add(block, TIME).expect("its parent is there");
            }
        }
    }
    node
}

fn converge(suite: &mut Suite, count: usize) {
    suite.run(&format!("B3-n{count}"), "ns/run", 5, |meter| {
        let mut source = Mt19937::new(5489);
        let mut sampler = Uniform::new(0);
        let mut drawn = Vec::new();
        let blocks = draw_blocks(&mut source, &mut sampler);
        let mut nodes: Vec<_> = (0..count)
            .map(|_| {
                sampler.set_length(BLOCKS as u64);
                sampler.sample(&mut source, BLOCKS, &mut drawn).expect("enough");
                node(&blocks, &drawn)
            })
            .collect();
        let mut running: Vec<_> = (0..count).collect();
        let mut votes = Bag::new();
        let mut rounds = 0;
        meter.start();
        while !running.is_empty() {
            rounds += 1;
            sampler.set_length(running.len() as u64);
            let place = sampler.next(&mut source).expect("some are running") as usize;
            sampler.set_length(count as u64);
            sampler.sample(&mut source, PARAMETERS.k, &mut drawn).expect("enough");
            votes.clear();
            votes.extend(drawn.iter().map(|peer| nodes[*peer as usize].preference()));
            let node = &mut nodes[running[place]];
            let Ok(()) = node.record_poll::<Infallible>(&votes, TIME, &mut |_| Ok(()));
            if node.num_processing() == 0 {
                running.swap_remove(place);
            }
        }
        meter.stop();
        let preference = nodes[0].preference();
        assert!(nodes.iter().all(|node| node.preference() == preference), "disagreement");
        Outcome::new(1, rounds).with("rounds", rounds as f64)
    });
}

fn main() {
    let mut suite = Suite::from_args();
    for count in [20, 200, 2000] {
        converge(&mut suite, count);
    }
}
