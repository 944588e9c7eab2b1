//! How far the gear is, for people.

use std::fmt;

use sastrugi_types::Id;
use serde_json::{Value, json};

use super::{Broadcast, StateSyncer, Step};

/// From so many attempts in vain on, they are a cause of ill health.
const RESTARTS_MIN: u64 = 3;

/// How far the gear is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub phase: Phase,
    /// How often it began anew.
    pub restarts: u64,
    /// Why it last began anew.
    pub restarted: Option<RestartReason>,
}

/// What the gear does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits until so much beacon weight is connected.
    WaitingForBeacons {
        /// Connected now.
        connected: u128,
        /// Needed.
        needed: u64,
    },
    /// It asks beacons for their most recent summary.
    AskingFrontier(Asked),
    /// It asks all beacons which summaries they have accepted.
    AskingVotes(Asked),
    /// An attempt was in vain; the next one begins soon.
    Pausing,
    /// The VM syncs, and nothing else happens until it is done.
    Syncing {
        /// The summary.
        summary: Id,
        /// Its height.
        height: u64,
    },
    /// The next gear has taken charge.
    Finished,
}

/// How a broadcast goes, in nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Have answered.
    pub answered: usize,
    /// Will not answer.
    pub failed: usize,
    /// All that are asked.
    pub total: usize,
}

/// Why an attempt was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartReason {
    /// Too few of the beacons that were drawn said what their most recent summary is.
    FewFrontiers {
        /// Units of weight drawn whose owners answered.
        answered: u64,
        /// Units of weight drawn.
        drawn: u64,
    },
    /// Too little beacon weight voted.
    FewVotes {
        /// The weight that voted.
        voted: u64,
        /// α.
        alpha: u64,
    },
}

impl StateSyncer {
    /// How far the gear is.
    pub fn progress(&self) -> Progress {
        let attempt = &self.attempt;
        let phase = match self.step {
            Step::Waiting => {
                let startup = &self.config.startup;
                let connected = startup.peers().connected_weight();
                Phase::WaitingForBeacons { connected, needed: startup.weight_min() }
            }
            Step::Frontier => Phase::AskingFrontier(Asked::of(&attempt.seeders)),
            Step::Voting => Phase::AskingVotes(Asked::of(&attempt.voters)),
            Step::Pausing => Phase::Pausing,
            Step::Syncing { summary, height } => Phase::Syncing { summary, height },
            Step::Finished => Phase::Finished,
        };
        Progress { phase, restarts: self.stats.restarts, restarted: self.restarted }
    }
}

impl Progress {
    /// Why the gear does not get on, if it does not.
    pub fn stuck(&self) -> Option<String> {
        match (self.phase, self.restarted) {
            (Phase::WaitingForBeacons { .. }, _) => Some(self.phase.to_string()),
            (Phase::AskingFrontier(_) | Phase::AskingVotes(_) | Phase::Pausing, Some(reason))
                if self.restarts >= RESTARTS_MIN =>
            {
                let restarts = self.restarts;
                Some(format!("state sync was in vain {restarts} times, last because {reason}"))
            }
            _ => None,
        }
    }

    /// The same for tools.
    pub fn to_json(&self) -> Value {
        let mut json = self.phase.to_json();
        if let (Some(map), Some(reason)) = (json.as_object_mut(), self.restarted) {
            map.insert("restarts".into(), json!(self.restarts));
            map.insert("restarted".into(), json!(reason.to_string()));
        }
        json
    }
}

impl Phase {
    fn to_json(self) -> Value {
        let asked = |phase: &str, asked: Asked| {
            let Asked { answered, failed, total } = asked;
            json!({"phase": phase, "answered": answered, "failed": failed, "asked": total})
        };
        match self {
            Self::WaitingForBeacons { connected, needed } => json!({
                "phase": "waitingForBeacons",
                "connectedWeight": connected.to_string(),
                "neededWeight": needed.to_string(),
            }),
            Self::AskingFrontier(nodes) => asked("askingFrontier", nodes),
            Self::AskingVotes(nodes) => asked("askingVotes", nodes),
            Self::Pausing => json!({"phase": "pausing"}),
            Self::Syncing { summary, height } => json!({
                "phase": "syncing",
                "summary": summary.to_string(),
                "height": height,
            }),
            Self::Finished => json!({"phase": "finished"}),
        }
    }
}

impl Asked {
    fn of(broadcast: &Broadcast) -> Self {
        let total = broadcast.total();
        let failed = broadcast.failed().len();
        Self { answered: broadcast.heard().saturating_sub(failed), failed, total }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForBeacons { connected, needed } => write!(
                f,
                "waiting for beacons to state sync from: {connected} of {needed} units of weight connected"
            ),
            Self::AskingFrontier(asked) => {
                write!(f, "asking beacons for their last state summary: {asked}")
            }
            Self::AskingVotes(asked) => {
                write!(f, "asking beacons which state summaries they accepted: {asked}")
            }
            Self::Pausing => f.write_str("pausing before state sync begins anew"),
            Self::Syncing { summary, height } => {
                write!(f, "syncing to state summary {summary} at height {height}")
            }
            Self::Finished => f.write_str("state sync is over"),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, failed, total } = self;
        write!(f, "{answered} of {total} answered")?;
        if *failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        Ok(())
    }
}

impl fmt::Display for RestartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewFrontiers { answered, drawn } => write!(
                f,
                "only {answered} of {drawn} units of beacon weight drawn said what their last state summary is"
            ),
            Self::FewVotes { voted, alpha } => {
                write!(f, "beacons with a weight of only {voted} voted, {alpha} are required")
            }
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.phase.fmt(f)?;
        if self.restarts > 0 {
            write!(f, " (attempt {})", self.restarts.saturating_add(1))?;
        }
        Ok(())
    }
}
