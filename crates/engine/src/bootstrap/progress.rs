//! How far bootstrapping is, for people.

use std::{collections::VecDeque, fmt, time::Duration};

use sastrugi_types::{Id, Instant, time::duration_text};
use serde_json::{Value, json};

use super::{
    Bootstrapper, Standing, Wait,
    eta::{Estimate, EtaTracker},
    polls::Poll,
};

/// How often progress is measured.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);
/// How often it is logged.
const LOG_PERIOD: Duration = Duration::from_secs(5);
/// Over how many samples the speed is measured.
const SAMPLES: usize = 10;

/// How far bootstrapping is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Time to the end of fetching or executing, when it can be said.
    pub eta: Option<Duration>,
}

/// What is being done.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Another gear is in charge.
    NotStarted,
    /// Too little weight of the beacons was ever connected.
    WaitingForBeacons {
        /// The weight connected now.
        connected_weight: u128,
        /// The weight needed.
        needed_weight: u64,
    },
    /// A sample of the beacons is asked for what it accepted last.
    AskingFrontier {
        /// How many of them answered or failed.
        answered: usize,
        /// How many are asked in all.
        asked: usize,
    },
    /// All beacons are asked which of these blocks they have accepted.
    AskingAccepted {
        /// How many of them answered or failed.
        answered: usize,
        /// How many are asked in all.
        asked: usize,
    },
    /// The answers gave no block a majority. Asked again after a pause.
    BackingOff {
        /// In how many rounds in a row.
        rounds: u32,
    },
    /// Blocks are fetched.
    Fetching {
        /// Blocks that are here and not yet executed.
        fetched: u64,
        /// Blocks to be fetched in all, as far as it is known.
        total: u64,
        /// Speed.
        blocks_per_second: f64,
        /// Blocks that are asked for, one for each gap.
        missing: usize,
        /// The missing block that the most requests did not get.
        hardest: Option<Hardest>,
    },
    /// Blocks are executed.
    Executing {
        /// Those that are.
        executed: u64,
        /// All of this round.
        total: u64,
        /// Speed.
        blocks_per_second: f64,
    },
    /// This chain has caught up, others of the subnet have not.
    WaitingForSubnet,
    /// The next gear is in charge.
    Finished,
}

/// A block that is hard to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardest {
    /// The block.
    pub block: Id,
    /// How many requests did not get it.
    pub failures: u32,
}

impl Progress {
    /// The same for tools.
    pub fn to_json(&self) -> Value {
        let mut json = self.phase.to_json();
        if let (Some(map), Some(eta)) = (json.as_object_mut(), self.eta) {
            map.insert("etaSeconds".into(), json!(eta.as_secs()));
        }
        json
    }
}

impl Phase {
    fn to_json(&self) -> Value {
        match self {
            Self::NotStarted => json!({"phase": "notStarted"}),
            Self::WaitingForBeacons { connected_weight, needed_weight } => json!({
                "phase": "waitingForBeacons",
                "connectedWeight": connected_weight.to_string(),
                "neededWeight": needed_weight.to_string(),
            }),
            Self::AskingFrontier { answered, asked } => {
                json!({"phase": "askingFrontier", "answered": answered, "asked": asked})
            }
            Self::AskingAccepted { answered, asked } => {
                json!({"phase": "askingAccepted", "answered": answered, "asked": asked})
            }
            Self::BackingOff { rounds } => json!({"phase": "backingOff", "rounds": rounds}),
            Self::Fetching { fetched, total, blocks_per_second, missing, hardest } => json!({
                "phase": "fetching",
                "fetched": fetched,
                "total": total,
                "blocksPerSecond": rounded(*blocks_per_second),
                "missing": missing,
                "hardest": hardest.map(|Hardest { block, failures }| {
                    json!({"block": block.to_string(), "failures": failures})
                }),
            }),
            Self::Executing { executed, total, blocks_per_second } => json!({
                "phase": "executing",
                "executed": executed,
                "total": total,
                "blocksPerSecond": rounded(*blocks_per_second),
            }),
            Self::WaitingForSubnet => json!({"phase": "waitingForSubnet"}),
            Self::Finished => json!({"phase": "finished"}),
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.phase)?;
        match self.eta {
            Some(eta) => write!(f, ", {} left", duration_text(eta)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("not started"),
            Self::WaitingForBeacons { connected_weight, needed_weight } => {
                write!(f, "waiting for beacons: weight {connected_weight} of {needed_weight}")
            }
            Self::AskingFrontier { answered, asked } => {
                write!(f, "asking for the frontier: {answered} of {asked} beacons")
            }
            Self::AskingAccepted { answered, asked } => {
                write!(f, "asking what is accepted: {answered} of {asked} beacons")
            }
            Self::BackingOff { rounds } => {
                write!(f, "the beacons agree on no accepted block, {rounds} times")
            }
            Self::Fetching { fetched, total, blocks_per_second, .. } => {
                write!(f, "fetching: {fetched} of {total} blocks, {blocks_per_second:.0}/s")
            }
            Self::Executing { executed, total, blocks_per_second } => {
                write!(f, "executing: {executed} of {total} blocks, {blocks_per_second:.0}/s")
            }
            Self::WaitingForSubnet => f.write_str("waiting for other chains of the subnet"),
            Self::Finished => f.write_str("bootstrapped"),
        }
    }
}

impl Bootstrapper {
    /// How far bootstrapping is.
    pub fn progress(&self, now: Instant) -> Progress {
        let phase = self.phase(now);
        let is_measured = matches!(phase, Phase::Fetching { .. } | Phase::Executing { .. });
        Progress { phase, eta: self.meter.eta().filter(|_| is_measured) }
    }

    fn phase(&self, now: Instant) -> Phase {
        match (self.standing, self.waiting) {
            (Standing::New, _) => return Phase::NotStarted,
            (Standing::Finished, _) => return Phase::Finished,
            (Standing::Waiting, _) => {
                let startup = &self.config.startup;
                return Phase::WaitingForBeacons {
                    connected_weight: startup.peers().connected_weight(),
                    needed_weight: startup.weight_min(),
                };
            }
            (_, Some(Wait::Subnet)) => return Phase::WaitingForSubnet,
            (_, Some(Wait::NextRound)) => {
                return Phase::BackingOff { rounds: self.empty_rounds };
            }
            _ => {}
        }
        if let Some(execution) = &self.execution {
            let total = execution.total();
            let executed = total.saturating_sub(self.tree.len());
            let blocks_per_second = self.meter.speed(now, executed);
            return Phase::Executing { executed, total, blocks_per_second };
        }
        match &self.poll {
            Some(Poll::Frontier(minority, _)) => {
                let requests = minority.requests();
                Phase::AskingFrontier { answered: requests.answered(), asked: requests.total() }
            }
            Some(Poll::Accepted(majority)) if majority.result().is_none() => {
                let requests = majority.requests();
                Phase::AskingAccepted { answered: requests.answered(), asked: requests.total() }
            }
            _ => self.fetching(now),
        }
    }

    fn fetching(&self, now: Instant) -> Phase {
        let fetched = self.tree.len();
        Phase::Fetching {
            fetched,
            total: self.fetch_total(),
            blocks_per_second: self.meter.speed(now, fetched),
            missing: self.missing.len(),
            hardest: self.hardest(),
        }
    }

    /// The missing block that the most requests did not get.
    pub(super) fn hardest(&self) -> Option<Hardest> {
        let (block, failures) = self.failures.iter().max_by_key(|(_, failures)| **failures)?;
        Some(Hardest { block: *block, failures: *failures })
    }
}

/// Measures the speed of fetching or executing.
#[derive(Debug, Default)]
pub(super) struct Meter {
    tracker: EtaTracker,
    estimate: Option<Estimate>,
    /// When how much was completed, the oldest first.
    samples: VecDeque<(Instant, u64)>,
    next_log: Instant,
}

impl Meter {
    /// Begins anew.
    pub(super) fn begin(&mut self, now: Instant, completed: u64, total: u64) {
        *self = Self { next_log: now + LOG_PERIOD, ..Self::default() };
        self.sample(now, completed, total);
    }

    /// Takes how much is completed now. Gives an estimate when it is time to log it.
    pub(super) fn observe(&mut self, now: Instant, completed: u64, total: u64) -> Option<Estimate> {
        let last = self.samples.back().map_or(Instant::ZERO, |(at, _)| *at);
        if now.since(last) >= SAMPLE_PERIOD {
            self.sample(now, completed, total);
        }
        let estimate = self.estimate.filter(|_| now >= self.next_log)?;
        self.next_log = now + LOG_PERIOD;
        Some(estimate)
    }

    fn sample(&mut self, now: Instant, completed: u64, total: u64) {
        self.estimate = self.tracker.add_sample(completed, total, now);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, completed));
    }

    /// Time to the end.
    pub(super) fn eta(&self) -> Option<Duration> {
        self.estimate.map(|estimate| estimate.remaining)
    }

    /// Blocks per second, over the last few samples and the time since.
    pub(super) fn speed(&self, now: Instant, completed: u64) -> f64 {
        let Some((since, before)) = self.samples.front() else { return 0.0 };
        let seconds = now.since(*since).as_secs_f64();
        if seconds == 0.0 {
            return 0.0;
        }
        completed.saturating_sub(*before) as f64 / seconds
    }
}
