//! B1: polls of a snowball tree, and the life of an instance.
//!
//! Nothing is logged; the reference logs nothing here either.

use sastrugi_benchkit::{Outcome, SplitMix64, Suite, be8};
use sastrugi_consensus::snowball::{Consensus, Factory, Parameters, Tree};
use sastrugi_types::{Bag, Id};

const POLLS: u64 = 20_000;
const INSTANCES: u64 = 2_000;
/// So large that nothing is ever final.
const ENDLESS: usize = 1 << 30;

fn random(count: usize) -> Vec<Id> {
    let mut rng = SplitMix64::new(2);
    (0..count).map(|_| Id(rng.array())).collect()
}

/// Two choices that differ in the last bit.
fn late() -> Vec<Id> {
    let first = random(1)[0];
    let mut second = first;
    second.0[31] ^= 0x80;
    vec![first, second]
}

/// Choice i differs from choice 0 in bit 255 − i.
fn ladder() -> Vec<Id> {
    let first = random(1)[0];
    let others = (1..10).map(|i| {
        let mut choice = first;
        let bit = 255 - i;
        choice.0[bit / 8] ^= 1 << (bit % 8);
        choice
    });
    std::iter::once(first).chain(others).collect()
}

/// 16 votes for each choice and 4 for the one after it.
fn bags(choices: &[Id]) -> Vec<Bag<Id>> {
    let next = choices.iter().cycle().skip(1);
    choices
        .iter()
        .zip(next)
        .map(|(major, minor)| {
            let mut bag = Bag::new();
            bag.add_count(*major, 16);
            bag.add_count(*minor, 4);
            bag
        })
        .collect()
}

fn plant(choices: &[Id], beta: usize) -> Tree {
    let parameters = Parameters { beta, ..Parameters::DEFAULT };
    let mut tree = Tree::new(Factory::Snowflake, &parameters, choices[0]);
    for choice in &choices[1..] {
        tree.add(*choice);
    }
    tree
}

fn polls(suite: &mut Suite, id: &str, choices: &[Id], flip: bool) {
    let bags = bags(choices);
    suite.run(id, "ns/poll", 9, |meter| {
        let mut tree = plant(choices, ENDLESS);
        let mut successful = 0;
        meter.start();
        for poll in 0..POLLS as usize {
            let bag = if flip { &bags[poll % bags.len()] } else { &bags[0] };
            successful += u64::from(tree.record_poll(bag));
        }
        meter.stop();
        Outcome::new(POLLS, be8(&tree.preference().0) ^ successful)
    });
}

fn life(suite: &mut Suite, id: &str, choices: &[Id]) {
    let bags = bags(choices);
    suite.run(id, "ns/instance", 9, |meter| {
        let mut polls = 0;
        meter.start();
        for _ in 0..INSTANCES {
            let mut tree = plant(choices, Parameters::DEFAULT.beta);
            while !tree.finalized() {
                tree.record_poll(&bags[0]);
                polls += 1;
            }
        }
        meter.stop();
        Outcome::new(INSTANCES, polls)
    });
}

fn main() {
    let mut suite = Suite::from_args();
    let few = [("c1", random(1)), ("c2", random(2)), ("c10", random(10))];
    for (name, choices) in &few {
        polls(&mut suite, &format!("B1-{name}"), choices, false);
    }
    polls(&mut suite, "B1-c100", &random(100), false);
    polls(&mut suite, "B1-late2", &late(), false);
    polls(&mut suite, "B1-ladder10", &ladder(), false);
    polls(&mut suite, "B1-c2flip", &random(2), true);
    polls(&mut suite, "B1-c10flip", &random(10), true);
    for (name, choices) in &few {
        life(&mut suite, &format!("B1-{name}-life"), choices);
    }
}
