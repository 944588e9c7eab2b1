//! The gears of a chain: state syncer, bootstrapper and consensus, and what they share.
//!
//! # Whom a chain believes
//!
//! The *beacons* say what the network has accepted: the chain's own ones if the description names
//! some, each with the same weight, else the subnet's validators.
//!
//! A chain begins when three quarters of the beacons' weight were connected at once or one after the
//! other. Where every connected peer validates, nobody does before somebody connects: there it begins
//! when three quarters of the peers that this node dials were connected, as upstream's do, which
//! begin after the P-Chain. Upstream: `chains/manager.go`, `createSnowmanChain`.

use std::{collections::BTreeSet, sync::Arc};

use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    bootstrap::{self, Bootstrapper},
    chain::{ChangeNotifier, Gears},
    common::{
        StateSyncing,
        tracker::{Peers, Startup},
    },
    getter::GetterConfig,
    peer_tracker::{PeerTracker, PeerTrackerConfig},
    snowman::{self, Snowman},
    subnet::Subnet as SubnetProgress,
    syncer::{self, StateSyncer},
    validators::{SubnetSampler, Validator, Validators, ValidatorsError},
};
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{
    ChainVm as _, Random as _,
    db::{Database, PrefixDb},
};

use super::chains::Builder;
use crate::{
    description::{Chain, Sampling, Subnet},
    environment::{OwnRandom, SystemRandom},
    error::StartError,
};

/// Where fetched blocks are kept within the chain's part of the database.
const INTERVAL_PREFIX: &[u8] = b"interval_bs";

/// What the gears of one chain are made of.
pub(super) struct GearParts<'a> {
    pub(super) builder: &'a Builder<'a>,
    pub(super) subnet: &'a Subnet,
    pub(super) chain: &'a Chain,
    pub(super) parameters: Parameters,
    pub(super) vm: Arc<ChangeNotifier>,
    /// Who of the validators is connected.
    pub(super) peers: Arc<Peers>,
    /// Which chains of the subnet still catch up.
    pub(super) progress: Arc<SubnetProgress>,
    /// Whom to fetch blocks from.
    pub(super) peer_tracker: Arc<PeerTracker>,
}

/// A tracker of the bandwidth of a chain's peers.
pub(super) fn peer_tracker(builder: &Builder<'_>) -> Arc<PeerTracker> {
    let own = builder.identity.node_id();
    let config = PeerTrackerConfig {
        own,
        ignored: BTreeSet::from([own]),
        minimum_version: None,
        hash_seed: seed(),
    };
    Arc::new(PeerTracker::new(config, Box::new(OwnRandom::new()), builder.clock.now()))
}

fn seed() -> u64 {
    SystemRandom::new().next_u64()
}

/// Three quarters, rounded up.
const fn startup_weight(total: u64) -> u64 {
    (3 * total as u128).div_ceil(4) as u64
}

impl GearParts<'_> {
    /// Makes the gears.
    ///
    /// # Errors
    /// The parameters do not fit, or beacons are listed twice.
    pub(super) fn gears(&self) -> Result<Gears, StartError> {
        let fault =
            |error: String| StartError::Config(format!("chain {}: {error}", self.chain.name));
        let weights = |error: ValidatorsError| fault(error.to_string());
        let state_syncing = StateSyncing::default();
        let beacons = self.beacons().map_err(weights)?;
        let startup = self.startup(&beacons).map_err(weights)?;
        let state_syncer =
            self.state_syncer(&beacons, startup.clone(), state_syncing.clone()).map_err(weights)?;
        let bootstrapper =
            self.bootstrapper(beacons, startup, state_syncing.clone()).map_err(weights)?;
        let snowman = self.snowman(state_syncing)?;
        Ok(Gears {
            state_syncer: state_syncer.map(|gear| Box::new(gear) as _),
            bootstrapper: Some(Box::new(bootstrapper)),
            snowman: Box::new(snowman),
        })
    }

    /// The beacons, under the chain's subnet.
    fn beacons(&self) -> Result<Arc<Validators>, ValidatorsError> {
        if self.chain.beacons.is_empty() {
            return Ok(self.builder.validators.clone());
        }
        self.equals(self.chain.beacons.iter().copied())
    }

    /// Nodes of the same weight, under the chain's subnet.
    fn equals(
        &self,
        nodes: impl IntoIterator<Item = NodeId>,
    ) -> Result<Arc<Validators>, ValidatorsError> {
        let validators = Validators::new(seed());
        for node in nodes {
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight: 1 };
            validators.add_staker(self.subnet.id, validator)?;
        }
        Ok(Arc::new(validators))
    }

    fn startup(&self, beacons: &Arc<Validators>) -> Result<Arc<Startup>, ValidatorsError> {
        let is_open = self.chain.beacons.is_empty() && self.subnet.sampling == Sampling::Connected;
        let awaited = if is_open { self.equals(self.dialled())? } else { beacons.clone() };
        let weight_min = startup_weight(awaited.total_weight(self.subnet.id)?);
        let startup = Arc::new(Startup::new(Peers::new(seed()), weight_min));
        awaited.register_set_listener(self.subnet.id, startup.clone());
        Ok(startup)
    }

    /// The peers that this node dials.
    fn dialled(&self) -> BTreeSet<NodeId> {
        let Builder { config, description, identity, .. } = self.builder;
        let described = description.peers.iter().map(|peer| peer.node_id);
        let given = config.bootstrappers.iter().map(|(node, _)| *node);
        described.chain(given).filter(|node| *node != identity.node_id()).collect()
    }

    /// The first gear of a chain whose VM can jump; the gear asks the VM whether it wants to.
    fn state_syncer(
        &self,
        beacons: &Arc<Validators>,
        startup: Arc<Startup>,
        state_syncing: StateSyncing,
    ) -> Result<Option<StateSyncer>, ValidatorsError> {
        if self.vm.state_sync().is_none() {
            return Ok(None);
        }
        let (subnet, k) = (self.subnet.id, self.parameters.k);
        let listed: Vec<NodeId> =
            self.builder.config.state_sync_peers.iter().map(|(node, _)| *node).collect();
        let beacons = if listed.is_empty() {
            syncer::Beacons::new(beacons.clone(), subnet, k)?
        } else {
            syncer::Beacons::listed(&listed, subnet, k, seed())?
        };
        let sampler = SubnetSampler::new(
            beacons.validators.clone(),
            subnet,
            self.peers.clone(),
            Box::new(OwnRandom::new()),
        );
        Ok(Some(StateSyncer::new(syncer::Config {
            subnet,
            vm: self.vm.clone(),
            clock: self.builder.clock.clone(),
            getter: self.getter(),
            beacons,
            sampler: Box::new(sampler),
            startup,
            state_syncing,
        })))
    }

    fn bootstrapper(
        &self,
        beacons: Arc<Validators>,
        startup: Arc<Startup>,
        state_syncing: StateSyncing,
    ) -> Result<Bootstrapper, ValidatorsError> {
        let Builder { config, identity, database, clock, .. } = self.builder;
        let total = beacons.total_weight(self.subnet.id)?;
        let base: Arc<dyn Database> = Arc::new((*database).clone());
        let ancestors_max = config.values.number("bootstrap-ancestors-max-containers-received");
        Ok(Bootstrapper::new(bootstrap::Config {
            chain: self.chain.id,
            subnet: self.subnet.id,
            node: identity.node_id(),
            vm: self.vm.clone(),
            clock: clock.clone(),
            getter: self.getter(),
            db: Arc::new(PrefixDb::new(base, &self.chain.id.0).child(INTERVAL_PREFIX)),
            beacons,
            sample_size: usize::try_from(total)
                .map_or(self.parameters.k, |total| self.parameters.k.min(total)),
            startup,
            tracker: self.progress.clone(),
            peers: self.peer_tracker.clone(),
            ancestors_max: ancestors_max as usize,
            state_syncing,
            checkpoints: Vec::new(),
            trusted_parser: None,
            bootstrapped: None,
            source: Box::new(OwnRandom::new()),
        }))
    }

    fn snowman(&self, state_syncing: StateSyncing) -> Result<Snowman, StartError> {
        let Builder { identity, clock, validators, .. } = self.builder;
        Snowman::new(snowman::Config {
            subnet: self.subnet.id,
            node: identity.node_id(),
            vm: self.vm.clone(),
            clock: clock.clone(),
            getter: self.getter(),
            params: self.parameters,
            validators: (*validators).clone(),
            peers: self.peers.clone(),
            state_syncing,
            partial_sync: false,
            hash_seed: seed(),
        })
        .map_err(|error| StartError::Config(format!("chain {}: {error}", self.chain.name)))
    }

    fn getter(&self) -> GetterConfig {
        let values = &self.builder.config.values;
        GetterConfig {
            ancestors_max: values.number("bootstrap-ancestors-max-containers-sent") as usize,
            ancestors_time_max: values.duration("bootstrap-max-time-get-ancestors"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_begins_with_three_quarters_of_the_weight() {
        for (total, weight) in [(0, 0), (1, 1), (4, 3), (5, 4), (100, 75), (500, 375)] {
            assert_eq!(startup_weight(total), weight, "{total}");
        }
        assert_eq!(startup_weight(u64::MAX), u64::MAX / 4 * 3 + 3);
    }
}
