//! How far a chain is with catching up, for people and tools.

use std::{fmt, time::Duration};

use sastrugi_engine::{
    bootstrap::{self, Bootstrapper},
    chain::{Chain, Gear},
    syncer::{self, StateSyncer},
};
use sastrugi_types::{Instant, time::duration_text};
use sastrugi_vm::Health;
use serde_json::Value;

/// What the gear does that is in charge before consensus.
#[derive(Clone, Debug, PartialEq)]
pub enum CatchingUp {
    /// It jumps to a recent state.
    StateSyncing(syncer::Progress),
    /// It fetches and executes blocks.
    Bootstrapping(bootstrap::Progress),
}

impl CatchingUp {
    /// How far the chain is; `None` once it takes part in consensus.
    pub(super) fn of(chain: &Chain, now: Instant) -> Option<Self> {
        match chain.gear() {
            Gear::StateSyncer => {
                chain.gear_ref::<StateSyncer>().map(|gear| Self::StateSyncing(gear.progress()))
            }
            Gear::Bootstrapper => {
                chain.gear_ref::<Bootstrapper>().map(|gear| Self::Bootstrapping(gear.progress(now)))
            }
            Gear::Snowman => None,
        }
    }

    /// The beacons' weight that is connected and that is needed to begin, while the chain waits for
    /// it.
    pub const fn awaited_weight(&self) -> Option<(u128, u64)> {
        match self {
            Self::StateSyncing(syncer::Progress {
                phase: syncer::Phase::WaitingForBeacons { connected, needed },
                ..
            })
            | Self::Bootstrapping(bootstrap::Progress {
                phase:
                    bootstrap::Phase::WaitingForBeacons {
                        connected_weight: connected,
                        needed_weight: needed,
                    },
                ..
            }) => Some((*connected, *needed)),
            _ => None,
        }
    }

    /// One line: how far the chain is, and why it does not get on if it does not.
    pub fn line(&self, health: &Health) -> String {
        let mut parts = vec![self.to_string()];
        if matches!(self, Self::StateSyncing(_)) {
            parts.extend(state_figures(&health.details["engine"]["vm"]["stateSync"]));
        }
        if self.awaited_weight().is_none() {
            let engine = health.causes.iter().filter_map(|cause| cause.strip_prefix("engine: "));
            parts.extend(engine.map(str::to_owned));
        }
        parts.join("; ")
    }

    /// The same for tools.
    pub fn to_json(&self) -> Value {
        match self {
            Self::StateSyncing(progress) => progress.to_json(),
            Self::Bootstrapping(progress) => progress.to_json(),
        }
    }
}

/// How far a VM is with a state, if it says so as ours does.
fn state_figures(details: &Value) -> Option<String> {
    let percent = details["filledPercent"].as_f64()?;
    let keys = details["keys"].as_u64().unwrap_or_default();
    let left = details["remainingSeconds"].as_u64().map(Duration::from_secs);
    let left = left.map_or_else(String::new, |left| format!(", {} left", duration_text(left)));
    Some(format!("{percent:.1} % of the state, {keys} keys{left}"))
}

impl fmt::Display for CatchingUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateSyncing(progress) => progress.fmt(f),
            Self::Bootstrapping(progress) => progress.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn health(details: Value, causes: &[&str]) -> Health {
        Health { details, causes: causes.iter().map(|cause| (*cause).to_owned()).collect() }
    }

    fn bootstrapping(phase: bootstrap::Phase) -> CatchingUp {
        CatchingUp::Bootstrapping(bootstrap::Progress { phase, eta: Some(Duration::from_secs(9)) })
    }

    #[test]
    fn a_line_says_how_far_and_why_no_further() {
        let fetching = bootstrapping(bootstrap::Phase::Fetching {
            fetched: 10,
            total: 100,
            blocks_per_second: 10.0,
            missing: 1,
            hardest: None,
        });
        let line =
            fetching.line(&health(Value::Null, &["networking: few", "engine: nobody has it"]));
        assert_eq!(line, "fetching: 10 of 100 blocks, 10/s, 9s left; nobody has it");
        assert_eq!(fetching.awaited_weight(), None);
    }

    #[test]
    fn who_waits_says_so_once() {
        let waiting = CatchingUp::Bootstrapping(bootstrap::Progress {
            phase: bootstrap::Phase::WaitingForBeacons {
                connected_weight: 100,
                needed_weight: 375,
            },
            eta: None,
        });
        let line = waiting.line(&health(Value::Null, &["engine: waits for beacons"]));
        assert_eq!(line, "waiting for beacons: weight 100 of 375");
        assert_eq!(waiting.awaited_weight(), Some((100, 375)));
    }

    #[test]
    fn figures_of_a_state_are_shown_if_there_are_any() {
        assert_eq!(state_figures(&Value::Null), None);
        let figures = json!({"filledPercent": 12.34, "keys": 5, "remainingSeconds": 70});
        assert_eq!(state_figures(&figures).unwrap(), "12.3 % of the state, 5 keys, 1m10s left");
    }
}
