//! The gears of a chain, and which one follows which.

use std::fmt;

use crate::common::{BootstrapableEngine, Engine, Fatal, StateSyncer};

/// Names the gear in charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gear {
    /// Jumps to a recent state.
    StateSyncer,
    /// Fetches and executes what was accepted while this node was away.
    Bootstrapper,
    /// Takes part in consensus.
    Snowman,
}

/// The gears of a linear chain. The DAG gears of a chain that was linearized take their seat as a
/// second set of these. Upstream: `snow/networking/handler/engine.go`.
pub struct Gears {
    /// Only of chains whose VM can jump.
    pub state_syncer: Option<Box<dyn StateSyncer>>,
    /// Without one the chain takes its last accepted block for recent.
    pub bootstrapper: Option<Box<dyn BootstrapableEngine>>,
    /// The consensus gear.
    pub snowman: Box<dyn Engine>,
}

impl Gears {
    /// A chain that does nothing but take part in consensus.
    pub fn only(snowman: Box<dyn Engine>) -> Self {
        Self { state_syncer: None, bootstrapper: None, snowman }
    }

    /// The first gear: the state syncer if it wants to, in which case the bootstrapper forgets what
    /// it had fetched; else the bootstrapper if there is one.
    pub(super) fn first(&mut self) -> Result<Gear, Fatal> {
        if let Some(syncer) = &mut self.state_syncer
            && syncer.is_enabled()?
        {
            if let Some(bootstrapper) = &mut self.bootstrapper {
                bootstrapper.clear()?;
            }
            return Ok(Gear::StateSyncer);
        }
        Ok(self.after_syncing())
    }

    /// The gear that follows; there is no way back.
    pub(super) fn next(&self, gear: Gear) -> Result<Gear, Fatal> {
        match gear {
            Gear::StateSyncer => Ok(self.after_syncing()),
            Gear::Bootstrapper => Ok(Gear::Snowman),
            Gear::Snowman => Err(Fatal::Broken("the consensus gear said it is finished".into())),
        }
    }

    /// The gear, or the one that does its work in its absence.
    pub(super) fn get_mut(&mut self, gear: Gear) -> &mut dyn Engine {
        match (gear, &mut self.state_syncer, &mut self.bootstrapper) {
            (Gear::StateSyncer, Some(syncer), _) => syncer.as_mut(),
            (Gear::StateSyncer | Gear::Bootstrapper, _, Some(bootstrapper)) => {
                bootstrapper.as_mut()
            }
            _ => self.snowman.as_mut(),
        }
    }

    /// The gear, to look at; `None` in its absence.
    pub(super) fn get(&self, gear: Gear) -> Option<&dyn Engine> {
        match gear {
            Gear::StateSyncer => self.state_syncer.as_deref().map(|syncer| syncer as &dyn Engine),
            Gear::Bootstrapper => {
                self.bootstrapper.as_deref().map(|bootstrapper| bootstrapper as &dyn Engine)
            }
            Gear::Snowman => Some(self.snowman.as_ref()),
        }
    }

    const fn after_syncing(&self) -> Gear {
        if self.bootstrapper.is_some() { Gear::Bootstrapper } else { Gear::Snowman }
    }
}

impl fmt::Debug for Gears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gears")
            .field("state_syncer", &self.state_syncer.is_some())
            .field("bootstrapper", &self.bootstrapper.is_some())
            .finish_non_exhaustive()
    }
}
