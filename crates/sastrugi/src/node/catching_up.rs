//! How far a chain is with catching up, for people and tools.

use std::fmt;

use sastrugi_engine::{
    bootstrap::{self, Bootstrapper},
    chain::{Chain, Gear},
    syncer::{self, StateSyncer},
};
use sastrugi_types::Instant;

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
}

impl fmt::Display for CatchingUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateSyncing(progress) => progress.fmt(f),
            Self::Bootstrapping(progress) => progress.fmt(f),
        }
    }
}
