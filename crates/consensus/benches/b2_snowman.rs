//! B2: polls of `Topological`, with blocks coming and going or all there from the start.
//!
//! Decisions are only counted. Counters and latencies are kept as in production; nothing is logged,
//! where the reference checks its log level.

#![expect(clippy::expect_used, reason = "a benchmark ends at the first surprise")]

use std::convert::Infallible;

use sastrugi_benchkit::{Outcome, SplitMix64, Suite, be8};
use sastrugi_consensus::{
    snowball::{Factory, Parameters},
    snowman::{Block, Decision, Topological},
};
use sastrugi_types::{Bag, Id, WallTime};

const TIME: WallTime = WallTime::from_unix_secs(1_600_000_000);
const WARM_UP: usize = 40;
const STATIC_WARM_UP: usize = 20;
/// So large that nothing is ever final.
const ENDLESS: usize = 1 << 30;

fn genesis() -> Id {
    let mut id = Id::EMPTY;
    id.0[0] = 0x47;
    id
}

/// The blocks of each height from 1 on. All are children of the first one below.
fn chain(heights: usize, width: usize) -> Vec<Vec<Block>> {
    let mut rng = SplitMix64::new(1);
    let mut parent = genesis();
    (1..=heights as u64)
        .map(|height| {
            let siblings: Vec<_> = (0..width)
                .map(|_| Block {
                    id: Id(rng.array()),
                    parent,
                    height,
                    timestamp: TIME,
                    size_bytes: 32,
                })
                .collect();
            parent = siblings[0].id;
            siblings
        })
        .collect()
}

/// 16 votes for the first sibling, 4 for others or their parent.
fn votes(siblings: &[Block]) -> Bag<Id> {
    let mut bag = Bag::new();
    bag.add_count(siblings[0].id, 16);
    match siblings {
        [only] => bag.add_count(only.parent, 4),
        [_, second] => bag.add_count(second.id, 4),
        [_, others @ ..] => bag.extend(others.iter().take(4).map(|block| block.id)),
        [] => {}
    }
    bag
}

fn consensus(beta: usize) -> Topological {
    let parameters = Parameters { beta, ..Parameters::DEFAULT };
    Topological::new(Factory::Snowflake, parameters, genesis(), 0, TIME, 1).expect("valid")
}

/// Accepted and rejected blocks, and a sum that depends on the order of the former.
#[derive(Default)]
struct Decided {
    accepted: u64,
    rejected: u64,
    sum: u64,
}

impl Decided {
    fn count(&mut self, decision: Decision) {
        match decision {
            Decision::Accepting(_) => {}
            Decision::Accept(id) => {
                self.accepted += 1;
                self.sum = self.sum.wrapping_mul(31).wrapping_add(be8(&id.0));
            }
            Decision::Reject(_) => self.rejected += 1,
        }
    }
}

/// Heights are added at the rate that keeps `depth` of them processing.
fn steady(suite: &mut Suite, depth: usize, width: usize, polls: usize) {
    let (heights_per_step, polls_per_step) =
        if depth < 20 { (1, 20 / depth) } else { (depth / 20, 1) };
    let steps = (WARM_UP + polls).div_ceil(polls_per_step);
    let chain = chain(steps * heights_per_step, width);
    let steps: Vec<_> = chain.chunks(heights_per_step).collect();
    let bags: Vec<_> = steps.iter().filter_map(|step| step.last()).map(|s| votes(s)).collect();
    suite.run(&format!("B2-d{depth}w{width}"), "ns/poll", 7, |meter| {
        let mut consensus = consensus(20);
        let mut decided = Decided::default();
        for poll in 0..WARM_UP + polls {
            if poll == WARM_UP {
                meter.start();
            }
            if poll.is_multiple_of(polls_per_step) {
                for block in steps[poll / polls_per_step].iter().flatten() {
                    consensus.add(block, TIME).expect("its parent is there");
                }
            }
            let result = consensus.record_poll::<Infallible>(
                &bags[poll / polls_per_step],
                TIME,
                &mut |decision| {
                    decided.count(decision);
                    Ok(())
                },
            );
            let Ok(()) = result;
        }
        meter.stop();
        let check = decided.sum ^ decided.accepted << 32 ^ decided.rejected;
        Outcome::new(polls as u64, check)
    });
}

/// All blocks are there and none is ever decided.
fn unmoving(suite: &mut Suite, depth: usize, width: usize, polls: usize) {
    let chain = chain(depth, width);
    let bag = votes(&chain[depth - 1]);
    suite.run(&format!("B2s-d{depth}w{width}"), "ns/poll", 7, |meter| {
        let mut consensus = consensus(ENDLESS);
        for block in chain.iter().flatten() {
            consensus.add(block, TIME).expect("its parent is there");
        }
        for poll in 0..STATIC_WARM_UP + polls {
            if poll == STATIC_WARM_UP {
                meter.start();
            }
            let Ok(()) = consensus.record_poll::<Infallible>(&bag, TIME, &mut |_| Ok(()));
        }
        meter.stop();
        let check = be8(&consensus.preference().0) ^ consensus.num_processing() as u64;
        Outcome::new(polls as u64, check)
    });
}

fn main() {
    let mut suite = Suite::from_args();
    for (depth, polls) in [(1, 40_000), (10, 20_000), (100, 2_000), (1000, 200)] {
        for width in [1, 2, 10] {
            steady(&mut suite, depth, width, polls);
            unmoving(&mut suite, depth, width, polls);
        }
    }
}
