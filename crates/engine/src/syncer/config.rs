//! What the gear is built from.

use std::{fmt, sync::Arc};

use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{ChainVm, Clock};

use crate::{
    common::{Sampler, StateSyncing, tracker::Startup},
    getter::GetterConfig,
    validators::{Validator, Validators, ValidatorsError},
};

/// Who is asked for summaries, and how many of them must agree.
#[derive(Clone, Debug)]
pub struct Beacons {
    /// The beacons are those of the chain's subnet in here.
    pub validators: Arc<Validators>,
    /// So many units of weight are drawn to be asked for their most recent summary. One correct
    /// node among them is enough.
    pub sample_size: usize,
    /// α: the weight that must stand behind a summary.
    pub alpha: u64,
}

impl Beacons {
    /// All validators of a subnet: `k` units of weight are drawn, or all there are, and more than
    /// half of the weight must agree.
    ///
    /// # Errors
    /// [`ValidatorsError::TotalTooLarge`]
    pub fn new(validators: Arc<Validators>, subnet: Id, k: usize) -> Result<Self, ValidatorsError> {
        let total = validators.total_weight(subnet)?;
        let sample_size = usize::try_from(total).map_or(k, |total| k.min(total));
        Ok(Self { validators, sample_size, alpha: total / 2 + 1 })
    }

    /// The nodes an operator has listed, each with the same weight. Upstream flag:
    /// `state-sync-ids`.
    ///
    /// # Errors
    /// [`ValidatorsError::Duplicate`]: a node is listed twice.
    pub fn listed(
        nodes: &[NodeId],
        subnet: Id,
        k: usize,
        hash_seed: u64,
    ) -> Result<Self, ValidatorsError> {
        let validators = Validators::new(hash_seed);
        for node in nodes {
            let beacon = Validator { node: *node, public_key: None, tx: Id::EMPTY, weight: 1 };
            validators.add_staker(subnet, beacon)?;
        }
        Self::new(Arc::new(validators), subnet, k)
    }
}

/// What a [`StateSyncer`](super::StateSyncer) is built from. Upstream:
/// `snow/engine/snowman/syncer/config.go`.
pub struct Config {
    /// The subnet that validates the chain.
    pub subnet: Id,
    /// The chain's VM. The gear does not touch it before it is started.
    pub vm: Arc<dyn ChainVm>,
    /// Measures how long it takes to collect blocks for others.
    pub clock: Arc<dyn Clock>,
    /// Bounds of what is served.
    pub getter: GetterConfig,
    /// Who is asked.
    pub beacons: Beacons,
    /// Draws beacons.
    pub sampler: Box<dyn Sampler + Send>,
    /// Says when enough beacons are connected to begin. The bootstrapper looks at the same one.
    pub startup: Arc<Startup>,
    /// Set while the VM syncs. All gears of the chain look at the same flag.
    pub state_syncing: StateSyncing,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("subnet", &self.subnet)
            .field("sample_size", &self.beacons.sample_size)
            .field("alpha", &self.beacons.alpha)
            .finish_non_exhaustive()
    }
}
