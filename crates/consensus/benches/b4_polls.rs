//! B4: the poll set with early termination, four polls in flight.
//!
//! Counters and durations are kept as in production; the time is an argument, where the reference
//! reads its clock.

use std::collections::BTreeMap;

use sastrugi_benchkit::{Outcome, SplitMix64, Suite, be8};
use sastrugi_consensus::snowman::{ParentView, poll::Set};
use sastrugi_types::{Bag, Id, Instant, NodeId, RequestId};

const POLLS: u32 = 4_000;
const IN_FLIGHT: u32 = 4;
const VOTERS: usize = 20;

/// A block tree that does not change.
struct Parents(BTreeMap<Id, Id>);

impl ParentView for Parents {
    fn parent_of(&self, block: &Id) -> Option<Id> {
        self.0.get(block).copied()
    }

    fn version(&self) -> u64 {
        0
    }
}

/// Answers by voter; none is a drop.
type Answers = [Option<Id>; VOTERS];

struct Workload {
    voters: Vec<NodeId>,
    parents: Parents,
    answers: Vec<(&'static str, Answers)>,
}

fn workload() -> Workload {
    let mut rng = SplitMix64::new(4);
    let voters = (0..VOTERS).map(|_| NodeId(rng.array())).collect();
    let genesis = Id(rng.array());
    let a: [Id; 10] = std::array::from_fn(|_| Id(rng.array()));
    let [b, c, d] = std::array::from_fn(|_| Id(rng.array()));
    let mut parents: BTreeMap<_, _> = a.windows(2).map(|pair| (pair[1], pair[0])).collect();
    parents.extend([(a[0], genesis), (b, a[8]), (c, a[8]), (d, a[3])]);

    let of = |answer: &dyn Fn(usize) -> Option<Id>| std::array::from_fn(answer);
    let tip = Some(a[9]);
    let answers = vec![
        ("B4-honest", of(&|_| tip)),
        ("B4-split", of(&|i| if i % 5 == 4 { Some(b) } else { tip })),
        ("B4-half", of(&|i| if i % 2 == 1 { Some(b) } else { tip })),
        (
            "B4-mixed",
            of(&|i| match i % 5 {
                0..=2 => tip,
                3 => Some(a[8 - i / 5]),
                _ if (i / 5).is_multiple_of(2) => Some(b),
                _ => Some(c),
            }),
        ),
        ("B4-slow", of(&|i| if i < 5 { None } else { tip })),
        ("B4-down", of(&|_| None)),
        ("B4-fork", of(&|i| if i < 5 { Some(d) } else { tip })),
    ];
    Workload { voters, parents: Parents(parents), answers }
}

/// The results so far.
#[derive(Default)]
struct Results {
    check: u64,
    votes_used: u64,
}

impl Results {
    /// Adds results that the answer number `index` released.
    fn add(&mut self, results: &[Bag<Id>], index: usize) {
        for votes in results {
            let (mode, count) = votes.mode().map_or((Id::EMPTY, 0), |(id, count)| (*id, count));
            self.check =
                self.check.wrapping_mul(31).wrapping_add(be8(&mode.0)).wrapping_add(count as u64);
            self.votes_used += index as u64 + 1;
        }
    }
}

fn main() {
    let mut suite = Suite::from_args();
    let Workload { voters, parents, answers } = workload();
    for (id, answers) in &answers {
        suite.run(id, "ns/poll", 9, |meter| {
            let mut set = Set::new(15, 15, 1);
            let mut results = Results::default();
            let now = Instant(1);
            meter.start();
            for poll in 0..POLLS {
                let mut bag = Bag::with_capacity(VOTERS);
                bag.extend(voters.iter().copied());
                set.add(RequestId(poll), bag, now);
                let Some(answered) = poll.checked_sub(IN_FLIGHT - 1).map(RequestId) else {
                    continue;
                };
                for (index, (voter, answer)) in voters.iter().zip(answers).enumerate() {
                    let released = match answer {
                        Some(block) => set.vote(answered, voter, *block, &parents, now),
                        None => set.drop_vote(answered, voter, &parents, now),
                    };
                    results.add(&released, index);
                }
            }
            meter.stop();
            let ops = u64::from(POLLS - (IN_FLIGHT - 1));
            Outcome::new(ops, results.check)
                .with("votes_used", results.votes_used as f64 / ops as f64)
        });
    }
}
