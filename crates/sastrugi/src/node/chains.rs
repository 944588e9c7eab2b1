//! From a chain's description to a chain at work.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    chain::{
        Chain, ChainConfig, ChainParts, ChangeNotifier, Fact, Inbox, InboxLimits, Output, Repair,
        connected_fraction_min,
    },
    common::{AppSender, BootstrapTracker as _, Halter, tracker::Peers},
    peer_tracker::PeerTracker,
    router::{AdmitAll, Network, Port, Route, SharedRouter},
    subnet::Subnet as SubnetProgress,
    validators::{SubnetSampler, Validator, Validators},
};
use sastrugi_kvvm::Kvvm;
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{
    Block, ChainContext, ChainVm, Clock, Events, Random as _, VmInit,
    db::{Database, Durability, PrefixDb, VersionedDb},
    http::HttpHandler,
    validators::ValidatorState,
    warp::LocalSigner,
};
use serde_json::{Map, Value};

use super::{
    ChainThread,
    chain_thread::ChainView,
    gears::{self, GearParts},
    ledger::Ledger,
    validator_state::DescribedValidators,
};
use crate::{
    config::NodeConfig,
    database::DiskDatabase,
    description::{self, NetworkDescription, Sampling, Subnet},
    environment::{OwnRandom, SystemRandom},
    error::{StartError, at},
    identity::{NodeIdentity, make_folder},
};

/// The member of a chain's configuration that turns state sync on.
const STATE_SYNC_MEMBER: &str = "stateSyncEnabled";
/// Where a VM's data is within the chain's part of the database.
const VM_PREFIX: &[u8] = b"vm";

/// A chain as the rest of the node sees it.
pub(crate) struct ChainEntry {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) subnet: Id,
    pub(crate) vm_id: Id,
    pub(crate) vm_name: String,
    pub(crate) vm_version: String,
    pub(crate) view: ChainView,
    pub(crate) peers: Arc<Peers>,
    pub(crate) peer_tracker: Arc<PeerTracker>,
    pub(crate) handlers: BTreeMap<String, Arc<dyn HttpHandler>>,
}

impl ChainEntry {
    /// Whether the chain goes by this name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
            || self.id.to_string() == name
            || self.aliases.iter().any(|alias| alias == name)
    }
}

/// What all chains of a node share.
pub(super) struct Builder<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) description: &'a NetworkDescription,
    pub(super) identity: &'a NodeIdentity,
    pub(super) database: &'a DiskDatabase,
    pub(super) router: &'a SharedRouter,
    pub(super) network: Arc<dyn Network>,
    pub(super) validators: &'a Arc<Validators>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<dyn BlockObserver>,
}

/// Hears of accepted blocks on the chains' threads.
pub trait BlockObserver: Send + Sync {
    /// The block is accepted and on the disk.
    fn accepted(&self, chain: Id, block: &Block);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl BlockObserver for NoObserver {
    fn accepted(&self, _chain: Id, _block: &Block) {}
}

/// Fills the validator manager from the description.
pub(super) fn fill_validators(
    validators: &Validators,
    description: &NetworkDescription,
    subnet: &Subnet,
    node: NodeId,
) -> Result<(), StartError> {
    let listed = subnet.validators_at(description.p_chain.current_height);
    let add = |node_id, weight, public_key| {
        let validator = Validator { node: node_id, public_key, tx: Id::EMPTY, weight };
        validators
            .add_staker(subnet.id, validator)
            .map_err(|error| StartError::Config(format!("subnet {}: {error}", subnet.id)))
    };
    match subnet.sampling {
        Sampling::Listed => {
            for validator in listed {
                let key = validator.bls_key().map_err(StartError::Config)?;
                let key = key.map(|key| Bytes::copy_from_slice(&key.to_uncompressed()));
                add(validator.node_id, validator.weight, key)?;
            }
        }
        Sampling::Connected => add(node, subnet.sampling_weight, None)?,
    }
    Ok(())
}

impl Builder<'_> {
    /// Makes the chain and starts its threads.
    pub(super) fn build(
        &self,
        subnet: &Subnet,
        chain: &description::Chain,
        progress: &Arc<SubnetProgress>,
    ) -> Result<(ChainEntry, ChainThread), StartError> {
        let fault = |error: String| StartError::Other(format!("chain {}: {error}", chain.name));
        let parameters = subnet.parameters(&self.config.parameters);
        let port = Arc::new(Port::new(
            chain.id,
            subnet.id,
            self.router.clone(),
            self.network.clone(),
            self.clock.clone(),
        ));
        let events = Events::default();
        let (inner, ledger) = self.open(subnet, chain, &events, port.clone())?;
        let handlers = inner.create_handlers().map_err(|error| fault(error.to_string()))?;
        let peers = Arc::new(Peers::new(SystemRandom::new().next_u64()));
        self.validators.register_set_listener(subnet.id, peers.clone());
        let vm = Arc::new(ChangeNotifier::new(inner.clone()));
        let peer_tracker = gears::peer_tracker(self);
        let parts = GearParts {
            builder: self,
            subnet,
            chain,
            parameters,
            vm: vm.clone(),
            peers: peers.clone(),
            progress: progress.clone(),
            peer_tracker: peer_tracker.clone(),
        };
        let gears = parts.gears()?;
        let inbox = Arc::new(Inbox::new(InboxLimits::default(), Halter::default()));
        let to_wake = inbox.clone();
        progress.on_all_bootstrapped(move || to_wake.wake());
        let machine = Chain::new(ChainParts {
            id: chain.id,
            config: self.chain_config(&parameters),
            vm,
            events,
            gears,
            inbox,
            sender: port,
            sampler: Box::new(self.sampler(subnet.id, peers.clone())),
            peers: peers.clone(),
            peer_tracker: Some(peer_tracker.clone()),
            preemption: progress.all_bootstrapped(),
            commit: Box::new(ledger),
            output: Box::new(Reporter { chain: chain.id, observer: self.observer.clone() }),
        });
        let thread = self.launch(machine, inner.clone(), subnet, &chain.name)?;
        let entry = ChainEntry {
            id: chain.id,
            name: chain.name.clone(),
            aliases: self.aliases(chain.id),
            subnet: subnet.id,
            vm_id: chain.vm_id,
            vm_name: sastrugi_kvvm::NAME.to_owned(),
            vm_version: inner.version().unwrap_or_default(),
            view: thread.view().clone(),
            peers,
            peer_tracker,
            handlers,
        };
        Ok((entry, thread))
    }

    /// Initializes the chain's VM from its data, and brings the engine's record into line with it.
    fn open(
        &self,
        subnet: &Subnet,
        chain: &description::Chain,
        events: &Events,
        sender: Arc<dyn AppSender>,
    ) -> Result<(Arc<dyn ChainVm>, Ledger), StartError> {
        let vm = make_vm(chain)?;
        let layer = Arc::new(VersionedDb::new(Arc::new(self.database.clone())));
        self.initialize(&*vm, subnet, chain, &layer, events, sender)?;
        let ledger = Ledger::new(layer, chain.id);
        let fault = |error| StartError::Other(format!("chain {}: {error}", chain.name));
        match ledger.settle(&*vm).map_err(fault)? {
            Repair::Agreed => {}
            repair => tracing::info!(chain = %chain.name, %repair, "the engine follows its VM"),
        }
        Ok((vm, ledger))
    }

    /// Lets the router know the chain, and starts its threads.
    fn launch(
        &self,
        machine: Chain,
        vm: Arc<dyn ChainVm>,
        subnet: &Subnet,
        name: &str,
    ) -> Result<ChainThread, StartError> {
        let inbox = machine.inbox().clone();
        let route = Route { subnet: subnet.id, inbox, admission: Arc::new(AdmitAll) };
        self.router.lock().add_chain(machine.id(), route);
        let app_threads = self.config.values.number("consensus-app-concurrency") as usize;
        let removal = self.removal(machine.id());
        ChainThread::spawn(machine, vm, name, app_threads, self.clock.clone(), removal)
    }

    fn sampler(&self, subnet: Id, peers: Arc<Peers>) -> SubnetSampler {
        SubnetSampler::new(self.validators.clone(), subnet, peers, Box::new(OwnRandom::new()))
    }

    /// Takes the chain out of the router, which releases its requests.
    fn removal(&self, chain: Id) -> impl FnOnce() + Send + 'static {
        let router = self.router.clone();
        move || router.lock().remove_chain(chain)
    }

    fn aliases(&self, chain: Id) -> Vec<String> {
        let aliases = self.description.aliases.iter().filter(|(_, id)| **id == chain);
        aliases.map(|(alias, _)| alias.clone()).collect()
    }

    fn chain_config(&self, parameters: &Parameters) -> ChainConfig {
        ChainConfig {
            gossip_period: self.config.values.duration("consensus-frontier-poll-frequency"),
            connected_fraction_min: Some(connected_fraction_min(
                parameters.alpha_confidence as u32,
                parameters.k as u32,
            )),
        }
    }

    fn initialize(
        &self,
        vm: &dyn ChainVm,
        subnet: &Subnet,
        chain: &description::Chain,
        layer: &Arc<VersionedDb>,
        events: &Events,
        sender: Arc<dyn AppSender>,
    ) -> Result<(), StartError> {
        let fault = |error: String| StartError::Other(format!("chain {}: {error}", chain.name));
        let data_dir = self.config.chain_data_dir.join(chain.id.to_string());
        make_folder(&data_dir)?;
        let (config, upgrade) = chain_files(self.config, chain)?;
        let own = |base: Arc<dyn Database>| -> Arc<dyn Database> {
            Arc::new(PrefixDb::new(base, &chain.id.0).child(VM_PREFIX))
        };
        let signer = self.identity.signer.public_key().to_compressed();
        vm.initialize(VmInit {
            context: ChainContext {
                network_id: self.description.network_id,
                upgrades: Arc::new(self.description.upgrades()),
                subnet_id: subnet.id,
                chain_id: chain.id,
                node_id: self.identity.node_id(),
                public_key: Some(Bytes::copy_from_slice(&signer)),
                x_chain_id: self.description.primary.x_chain_id,
                c_chain_id: self.description.primary.c_chain_id,
                avax_asset_id: self.description.avax_asset_id,
                data_dir,
                validators: self.validator_state()?,
            },
            db: own(layer.clone()),
            committed: own(layer.committed()),
            genesis: chain.genesis_bytes().map_err(&fault)?.into(),
            upgrade: upgrade.into(),
            config: config.into(),
            fxs: Vec::new(),
            app_sender: sender,
            events: events.clone(),
            clock: self.clock.clone(),
            random: Arc::new(SystemRandom::new()),
            warp_signer: Arc::new(LocalSigner::new(
                self.identity.signer.clone(),
                self.description.network_id,
                chain.id,
            )),
        })
        .map_err(|error| fault(error.to_string()))?;
        // What the VM wrote for its genesis must be there before the first block.
        layer.commit(Durability::Synced).map_err(|error| fault(error.to_string()))
    }

    fn validator_state(&self) -> Result<Arc<dyn ValidatorState>, StartError> {
        let state = DescribedValidators::new(self.description).map_err(StartError::Config)?;
        Ok(Arc::new(state))
    }
}

/// Checks what can be checked of a chain before anything is written: its VM, genesis and
/// configuration.
pub(super) fn check(config: &NodeConfig, chain: &description::Chain) -> Result<(), StartError> {
    make_vm(chain)?;
    let (chain_config, _) = chain_files(config, chain)?;
    let genesis = chain.genesis_bytes().map_err(StartError::Config)?;
    sastrugi_kvvm::Genesis::parse(&genesis)
        .and_then(|_| sastrugi_kvvm::Config::parse(&chain_config))
        .map(|_| ())
        .map_err(|error| StartError::Config(format!("chain {}: {error}", chain.name)))
}

/// The VM that the description names.
fn make_vm(chain: &description::Chain) -> Result<Arc<dyn ChainVm>, StartError> {
    if chain.vm_id == sastrugi_kvvm::VM_ID {
        return Ok(Arc::new(Kvvm::new()));
    }
    Err(StartError::Config(format!(
        "chain {}: this node has no virtual machine {}; it has {} ({})",
        chain.name,
        chain.vm_id,
        sastrugi_kvvm::VM_ID,
        sastrugi_kvvm::NAME
    )))
}

/// The chain's `config` and `upgrade`: from files of the chain's ID or name in the configuration
/// folder, else from the description.
fn chain_files(
    config: &NodeConfig,
    chain: &description::Chain,
) -> Result<(Vec<u8>, Vec<u8>), StartError> {
    let read = |stem: &str, described: &str| -> Result<Vec<u8>, StartError> {
        for name in [chain.id.to_string(), chain.name.clone()] {
            let path = config.chain_config_dir.join(name).join(format!("{stem}.json"));
            if path.exists() {
                return std::fs::read(&path).map_err(at(&path));
            }
        }
        Ok(described.as_bytes().to_vec())
    };
    let mut chain_config = read("config", &chain.config)?;
    if config.values.bool("state-sync-enabled") {
        chain_config = with_state_sync(chain_config);
    }
    Ok((chain_config, read("upgrade", &chain.upgrade)?))
}

/// Turns state sync on in a configuration that does not say whether it should be.
fn with_state_sync(config: Vec<u8>) -> Vec<u8> {
    let object = match config.as_slice() {
        [] => Ok(Map::new()),
        text => serde_json::from_slice::<Map<String, Value>>(text),
    };
    // What is no JSON object is for the VM to refuse.
    let Ok(mut object) = object else { return config };
    object.entry(STATE_SYNC_MEMBER).or_insert(Value::Bool(true));
    Value::Object(object).to_string().into_bytes()
}

/// Passes the chain's facts on.
struct Reporter {
    chain: Id,
    observer: Arc<dyn BlockObserver>,
}

impl Output for Reporter {
    fn observe(&mut self, fact: Fact<'_>) {
        match fact {
            Fact::Accepted(block) => self.observer.accepted(self.chain, block),
            Fact::GearChanged(gear) => {
                tracing::info!(chain = %self.chain, ?gear, "gear takes charge");
            }
            Fact::StateChanged(state) => {
                tracing::info!(chain = %self.chain, state = state.name(), "state changed");
            }
            Fact::Stopped(Ok(())) => tracing::info!(chain = %self.chain, "chain stopped"),
            Fact::Stopped(Err(error)) => {
                tracing::error!(chain = %self.chain, %error, "FATAL chain stopped");
            }
        }
    }
}

/// How long a chain may take to stop.
pub(super) fn stop_wait(config: &NodeConfig) -> Duration {
    config.values.duration("consensus-shutdown-timeout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_sync_is_turned_on_where_the_chain_says_nothing() {
        for (before, after) in [
            ("", r#"{"stateSyncEnabled":true}"#),
            (r#"{"a": 1}"#, r#"{"a":1,"stateSyncEnabled":true}"#),
            (r#"{"stateSyncEnabled":false}"#, r#"{"stateSyncEnabled":false}"#),
            ("garbage", "garbage"),
        ] {
            assert_eq!(with_state_sync(before.into()), after.as_bytes());
        }
    }
}
