//! B5: the heights and blocks kept while bootstrapping, in memory.
//!
//! The reference encodes the entry of the store at every change of its tree; so does the sink here,
//! although the gear's own one, [`Edits`], encodes a run once per batch.
//!
//! [`Edits`]: sastrugi_engine::bootstrap::interval::Edits

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

#[path = "b5/blocks.rs"]
mod blocks;

use std::hint::black_box;

use sastrugi_benchkit::{Meter, Outcome, Suite};
use sastrugi_engine::bootstrap::interval::{Interval, Sink, Tree};
use sastrugi_vm::db::MemoryDb;

const HEIGHTS: u64 = 1_000_000;
const LANES: u64 = 8;
const LANE_HEIGHTS: u64 = 126_000;
/// Heights a lane adds before it is the next one's turn.
const TURN: u64 = 2_000;

/// Encodes entries and drops them.
struct NoStore;

impl Sink for NoStore {
    fn put(&mut self, run: Interval) {
        black_box((run.upper.to_be_bytes(), run.lower.to_be_bytes()));
    }

    fn delete(&mut self, upper: u64) {
        black_box(upper.to_be_bytes());
    }
}

fn add(meter: &mut Meter, count: u64, heights: impl Iterator<Item = u64>) -> Outcome {
    let mut tree = Tree::new();
    meter.start();
    for height in heights {
        tree.add(&mut NoStore, height);
    }
    meter.stop();
    Outcome::new(count, tree.len() << 8 ^ tree.flatten().len() as u64)
}

fn remove(meter: &mut Meter) -> Outcome {
    let mut tree = Tree::new();
    for height in 1..=HEIGHTS {
        tree.add(&mut NoStore, height);
    }
    meter.start();
    for height in 1..=HEIGHTS {
        tree.remove(&mut NoStore, height);
    }
    meter.stop();
    Outcome::new(HEIGHTS, tree.len())
}

/// All lanes run down, in turns.
fn stripes() -> impl Iterator<Item = u64> {
    (0..LANES * LANE_HEIGHTS).map(|number| {
        let (round, within) = (number / (LANES * TURN), number % (LANES * TURN));
        let (lane, offset) = (within / TURN, within % TURN);
        (lane + 1) * LANE_HEIGHTS - (round * TURN + offset)
    })
}

fn main() {
    let mut suite = Suite::from_args();
    let unit = "ns/height";
    suite.run("B5-tree-add-desc", unit, 5, |meter| add(meter, HEIGHTS, (1..=HEIGHTS).rev()));
    suite.run("B5-tree-add-stripes", unit, 5, |meter| add(meter, LANES * LANE_HEIGHTS, stripes()));
    suite.run("B5-tree-add-holes", unit, 5, |meter| {
        let (even, odd) = ((2..=HEIGHTS).step_by(2), (1..=HEIGHTS).step_by(2));
        add(meter, HEIGHTS, even.chain(odd))
    });
    suite.run("B5-tree-remove-asc", unit, 5, remove);
    blocks::run(&mut suite, "mem", 20_000, || (MemoryDb::new(), ()));
}
