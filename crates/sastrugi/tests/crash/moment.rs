//! When a process is killed.

use std::time::{Duration, Instant};

use rand::{RngExt as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::node::{Node, Told};

/// After a line was written, the process is killed within this time.
const AFTER_LINE_MAX: Duration = Duration::from_millis(30);
/// While a process accepts under load, it is killed within this time.
const VOTING_MAX: Duration = Duration::from_millis(600);
/// Or after so many blocks.
const VOTING_BLOCKS_MAX: u64 = 8;

/// An instant in the life of a process, by the clock or by what the process says.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    /// So long after its start.
    After(Duration),
    /// When it has accepted a block of this height.
    Height(u64),
    /// When it has done this part of a phase.
    Part { phase: &'static str, part: f64 },
    /// So long after it wrote a line.
    Line { text: &'static str, after: Duration },
    /// When it has caught up.
    Back,
    /// So long after it has caught up.
    Voting(Duration),
    /// So many blocks after it has caught up.
    VotingBlocks(u64),
}

/// What moments are chosen from.
pub(crate) struct Choices {
    /// How long it takes the node to catch up when it is left alone.
    pub(crate) typical: Duration,
    /// What it goes through.
    pub(crate) phases: &'static [&'static str],
    /// What it writes.
    pub(crate) lines: &'static [&'static str],
    /// Whether it is killed while it takes part in consensus.
    pub(crate) with_voting: bool,
}

impl Choices {
    /// Chooses for a node that has accepted blocks up to `from` while the network is at `tip`.
    pub(crate) fn choose(&self, from: u64, tip: u64, rng: &mut ChaCha8Rng) -> Moment {
        if self.with_voting && rng.random_bool(0.6) {
            return if rng.random_bool(0.7) {
                Moment::Voting(rng.random_range(Duration::ZERO..VOTING_MAX))
            } else {
                Moment::VotingBlocks(rng.random_range(1..=VOTING_BLOCKS_MAX))
            };
        }
        match rng.random_range(0..10) {
            0..3 => Moment::After(rng.random_range(Duration::ZERO..self.typical * 6 / 5)),
            3..6 if from < tip => Moment::Height(rng.random_range(from + 1..=tip)),
            6..9 if !self.phases.is_empty() => Moment::Part {
                phase: self.phases.choose(rng).copied().unwrap_or_default(),
                part: rng.random_range(0.0..1.0),
            },
            _ => Moment::Line {
                text: self.lines.choose(rng).copied().unwrap_or_default(),
                after: rng.random_range(Duration::ZERO..AFTER_LINE_MAX),
            },
        }
    }
}

/// A moment that is awaited.
pub(crate) struct Awaited {
    moment: Moment,
    started: Instant,
    written: Option<Instant>,
}

impl Awaited {
    /// For a process that starts now.
    pub(crate) fn new(moment: Moment) -> Self {
        Self { moment, started: Instant::now(), written: None }
    }

    /// Whether it is there. `back` is when the node had caught up, and its height then.
    pub(crate) fn is_now(
        &mut self,
        node: &Node,
        told: &Told,
        back: Option<(Instant, u64)>,
    ) -> bool {
        let height = told.height().unwrap_or_default();
        match self.moment {
            Moment::After(span) => self.started.elapsed() >= span,
            Moment::Height(wanted) => height >= wanted,
            Moment::Part { phase, part } => told.view.phase == phase && told.view.part >= part,
            Moment::Line { text, after } => {
                if self.written.is_none() && node.output().contains(text) {
                    self.written = Some(Instant::now());
                }
                self.written.is_some_and(|written| written.elapsed() >= after)
            }
            Moment::Back => back.is_some(),
            Moment::Voting(span) => back.is_some_and(|(since, _)| since.elapsed() >= span),
            Moment::VotingBlocks(blocks) => back.is_some_and(|(_, at)| height >= at + blocks),
        }
    }

    /// Whether it will not come any more once the node has caught up.
    pub(crate) const fn is_over_when_back(&self) -> bool {
        !matches!(self.moment, Moment::Voting(_) | Moment::VotingBlocks(_))
    }
}
