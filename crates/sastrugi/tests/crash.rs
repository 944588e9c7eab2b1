//! A node that is killed at any instant, any number of times, continues where it was: nothing it
//! accepted is lost, nothing is executed twice.
//!
//! Five validators with a history of some thousand blocks accept writes. A process beside them, or
//! one of them, is killed while it bootstraps, while it jumps to a recent state, and while it accepts
//! under load, at moments chosen by a seed: spread over the time it takes, and counted from what the
//! process says of itself. After each kill a copy of its database is looked at; after each start it
//! catches up.
//!
//! `SASTRUGI_CRASH_KILLS` is the number of kills (200 is the long form), `SASTRUGI_CRASH_SEED` chooses
//! the moments again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]
#![expect(clippy::print_stdout, reason = "figures are shown, not asserted")]

#[path = "crash/disk.rs"]
mod disk;
#[path = "support/history.rs"]
mod history;
#[path = "crash/moment.rs"]
mod moment;
#[path = "crash/network.rs"]
mod network;
#[path = "crash/node.rs"]
mod node;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/program.rs"]
mod program;
#[path = "crash/reference.rs"]
mod reference;

use std::{
    collections::BTreeMap,
    env,
    thread::sleep,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use disk::Disk;
use moment::{Awaited, Choices, Moment};
use network::{Network, SUMMARY_INTERVAL, VALIDATORS};
use node::{Listener, Node, Told};
use reference::{Reference, block_at};

/// Kills in the short form.
const KILLS: u64 = 12;
/// Blocks of the history in the short form, and in a long one.
const BLOCKS: [u64; 2] = [1_500, 4_000];
/// A form with so many kills is a long one.
const LONG_FORM_KILLS: u64 = 100;
/// Writes per second while a node catches up, and while one of the validators is killed.
const LOAD: [u64; 2] = [5, 25];
/// Against hanging only: a node has caught up long before.
const BACK_MAX: Duration = Duration::from_mins(1);
/// Between two looks at a process.
const PERIOD: Duration = Duration::from_millis(1);
/// Lines that all nodes write.
const LINES: [&str; 5] =
    ["node started", "gear takes charge", "state changed", "executing blocks", "executed blocks"];

#[test]
fn a_node_that_is_killed_at_any_instant_continues_where_it_was() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number("SASTRUGI_CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("SASTRUGI_CRASH_SEED").unwrap_or_else(|| rand::rng().random());
    println!("SASTRUGI_CRASH_SEED={seed} SASTRUGI_CRASH_KILLS={kills}");
    let mut stage = Stage::new(BLOCKS[usize::from(kills >= LONG_FORM_KILLS)], seed);
    stage.join("bootstrapping", kills / 3, None);
    stage.join("state sync", kills / 3, Some(SUMMARY_INTERVAL));
    stage.accept(kills - 2 * (kills / 3));
    stage.network.end();
}

/// The network, what it must have accepted, and what decides.
struct Stage {
    network: Network,
    reference: Reference,
    rng: ChaCha8Rng,
}

/// A node and what is known of it.
struct Victim {
    node: Node,
    /// The height of its last accepted block when it died.
    height: u64,
    /// Where it lands if it may jump: at multiples of this.
    jumps: Option<u64>,
    figures: Figures,
}

/// What happened to a node.
#[derive(Default)]
struct Figures {
    kills: u64,
    starts: u64,
    /// What it did when it was killed, by its disk or its words, and how often.
    phases: BTreeMap<String, u64>,
    /// How long it took to catch up.
    back: Vec<Duration>,
}

impl Stage {
    fn new(blocks: u64, seed: u64) -> Self {
        let start = Instant::now();
        let network = Network::start(blocks);
        println!("five validators at height {} after {:.1?}", network.height(), start.elapsed());
        let reference = Reference::of(&network.place.description);
        Self { network, reference, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// A new node is killed so often while it catches up with the network. When it has caught up,
    /// another one begins.
    fn join(&mut self, name: &str, kills: u64, jumps: Option<u64>) {
        let start = Instant::now();
        self.network.load(LOAD[0]);
        let flags: &[&str] = if jumps.is_some() { &["--state-sync-enabled"] } else { &[] };
        let phases: &[&str] = if jumps.is_some() {
            &["state sync, syncing", "bootstrapping, fetching"]
        } else {
            &["bootstrapping, fetching", "bootstrapping, executing"]
        };
        let node = self.network.joiner(&format!("joiner by {name}"), flags);
        let mut victim = Victim { node, height: 0, jumps, figures: Figures::default() };
        // The first one is left alone until it is there.
        let first = self.live(&mut victim, Some(Moment::Back)).unwrap();
        let choices = Choices { typical: first, phases, lines: &LINES, with_voting: false };
        let mut is_there = true;
        while victim.figures.kills < kills {
            if is_there {
                victim.node.wipe();
                victim.height = 0;
            }
            let tip = self.network.height();
            let moment = choices.choose(victim.height, tip, &mut self.rng);
            is_there = self.live(&mut victim, Some(moment)).is_some();
        }
        self.live(&mut victim, None).unwrap();
        self.finish(&mut victim.node, jumps);
        victim.node.end();
        victim.figures.show(name, start.elapsed());
    }

    /// Validators are killed while they accept under load, one after the other.
    fn accept(&mut self, kills: u64) {
        let start = Instant::now();
        self.network.load(LOAD[1]);
        let mut figures = Figures::default();
        let mut typical = Duration::from_millis(500);
        while figures.kills < kills {
            let number = self.rng.random_range(0..VALIDATORS);
            let node = self.network.validators.remove(number);
            let mut victim = Victim { node, height: 0, jumps: None, figures };
            self.kill_running(&mut victim);
            let choices = Choices { typical, phases: &[], lines: &LINES[..3], with_voting: true };
            while victim.figures.kills < kills && self.rng.random_bool(0.6) {
                let tip = self.network.height();
                let moment = choices.choose(victim.height, tip, &mut self.rng);
                self.live(&mut victim, Some(moment));
            }
            typical = self.live(&mut victim, None).unwrap();
            figures = victim.figures;
            self.network.validators.insert(number, victim.node);
        }
        let mut last = self.network.validators.remove(VALIDATORS - 1);
        self.finish(&mut last, None);
        self.network.validators.push(last);
        self.network.assert_same_blocks(&self.reference);
        figures.show("accepting under load", start.elapsed());
    }

    /// Kills a node that runs.
    fn kill_running(&mut self, victim: &mut Victim) {
        sleep(self.rng.random_range(Duration::ZERO..Duration::from_millis(300)));
        let (height, id) = victim.node.eyes().last().unwrap();
        victim.node.kill();
        let mut told = Told::default();
        told.blocks.insert(height, id);
        "voting".clone_into(&mut told.view.phase);
        self.examine(victim, &told);
    }

    /// Starts a node that does not run, and kills it at a moment, or when it has caught up if the
    /// moment cannot come after that. Without a moment it goes on to run. Gives how long it took to
    /// catch up, if it did.
    fn live(&mut self, victim: &mut Victim, moment: Option<Moment>) -> Option<Duration> {
        let goal = self.network.height();
        let start = Instant::now();
        let description = format!("{moment:?}");
        let mut awaited = moment.map(Awaited::new);
        victim.node.start();
        victim.figures.starts += 1;
        let listener = Listener::start(victim.node.eyes(), victim.height);
        let mut back: Option<(Instant, u64)> = None;
        loop {
            victim.node.assert_runs();
            let told = listener.told();
            let is_late = start.elapsed() > BACK_MAX;
            assert!(!is_late, "{description}: {told:?}\n{}", victim.node.output());
            if awaited.as_mut().is_some_and(|awaited| awaited.is_now(&victim.node, &told, back)) {
                break;
            }
            let height = told.height().filter(|height| *height >= goal && told.view.is_voting);
            if back.is_none()
                && let Some(height) = height
            {
                back = Some((Instant::now(), height));
                victim.assert_counted_once();
                if awaited.as_ref().is_none_or(Awaited::is_over_when_back) {
                    break;
                }
            }
            sleep(PERIOD);
        }
        let back = back.map(|(at, _)| at - start);
        victim.figures.back.extend(back);
        if awaited.is_none() {
            listener.end();
        } else {
            victim.node.kill();
            let told = listener.end();
            self.examine(victim, &told);
        }
        back
    }

    /// What a node had accepted as far as anybody was told, and before, is on its disk.
    fn examine(&mut self, victim: &mut Victim, told: &Told) {
        let disk = Disk::of(&victim.node.data_dir, &self.network.place.description);
        let height = disk.height();
        self.network.teach(&mut self.reference, height);
        assert!(height >= victim.height, "{height} after {}", victim.height);
        for (told, id) in &told.blocks {
            assert!(*told <= height, "{told} was told, {height} is on the disk");
            assert_eq!(*id, self.reference.id(*told), "height {told}");
        }
        disk.check(&self.reference, victim.jumps, &mut self.rng);
        let before = std::mem::replace(&mut victim.height, height);
        victim.figures.kills += 1;
        let what = if disk.fetched() > 0 && height > before {
            "executing what was fetched"
        } else if disk.fetched() > 0 {
            "fetching"
        } else if told.view.phase.is_empty() {
            "starting"
        } else {
            &told.view.phase
        };
        *victim.figures.phases.entry(what.to_owned()).or_default() += 1;
    }

    /// A node that has caught up has what all have.
    fn finish(&mut self, node: &mut Node, jumps: Option<u64>) {
        node.assert_runs();
        let height = self.network.settle(node);
        let client = node.eyes().client();
        self.network.teach(&mut self.reference, height);
        self.reference.assert_same_state(client);
        // Who jumped has no blocks before the landing but genesis.
        let first = if jumps.is_some() { height - height % SUMMARY_INTERVAL } else { 0 };
        for height in first..=height {
            assert_eq!(block_at(client, height).id(), self.reference.id(height), "{height}");
        }
    }
}

impl Victim {
    /// Each block above what was on the disk at the start was executed once: a node that takes part
    /// in consensus is where it was, plus what it has counted, unless it jumped.
    fn assert_counted_once(&self) {
        let counted = program::until("the counters", || self.node.eyes().counters());
        let from = counted.height.unwrap() - counted.accepted;
        let is_landing = self.jumps.is_some_and(|interval| from.is_multiple_of(interval));
        assert!(
            from == self.height || (from > self.height && is_landing),
            "started at height {}, {counted:?}",
            self.height
        );
    }
}

impl Figures {
    fn show(&self, name: &str, took: Duration) {
        let longest = self.back.iter().max().copied().unwrap_or_default();
        println!(
            "{name}: {} kills, {} starts, back {} times after {longest:.2?} at most; {took:.1?} in all",
            self.kills,
            self.starts,
            self.back.len(),
        );
        for (phase, count) in &self.phases {
            println!("  killed while {phase}: {count}");
        }
    }
}
