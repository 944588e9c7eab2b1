//! A node: its keys, database, chains, network and API, from start to stop.
//!
//! Several nodes can live in one process and share its tokio runtime. Each has one thread and a
//! small pool per chain, one thread for request timeouts, and one worker of its database.
//!
//! # Start
//! The configuration and all files are checked first; then the ports are bound, and only then is
//! anything written. Chains start before the first peer is dialled.
//!
//! # Stop
//! Health says so; the API is closed; the chains stop, each within `consensus-shutdown-timeout`;
//! the network says goodbye; the database is synced and closed. Upstream: `node/node.go`.

pub(crate) mod chain_thread;
mod chains;
mod network;
mod process_context;
mod router_thread;
mod validator_state;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_engine::{
    router::{AdaptiveTimeoutConfig, Router, RouterConfig, SharedRouter},
    validators::Validators,
};
use sastrugi_types::{
    Id, NodeId,
    version::{Application, CLIENT_NAME, CURRENT},
};
use sastrugi_vm::{Clock, Random as _, db::Database as _};
use tokio::{net::TcpListener, runtime::Handle, sync::oneshot, task::JoinHandle};

pub use chain_thread::{ChainThread, ChainView, Picture};
pub(crate) use chains::ChainEntry;
pub use chains::{BlockObserver, NoObserver};
pub use process_context::ProcessContext;
pub use validator_state::DescribedValidators;

use crate::{
    api::{self, ApiConfig, health::Checks},
    config::NodeConfig,
    database::DiskDatabase,
    description::{NetworkDescription, Subnet},
    environment::{SystemClock, SystemRandom},
    error::StartError,
    identity::NodeIdentity,
};
use network::{NodeNetwork, bind};
use process_context::ProcessFile;
use router_thread::RouterThread;

/// What the parts of a node share, and what its API reads.
pub(crate) struct Shared {
    description: NetworkDescription,
    identity: NodeIdentity,
    clock: Arc<SystemClock>,
    router: SharedRouter,
    network: Arc<NodeNetwork>,
    database: DiskDatabase,
    chains: Vec<ChainEntry>,
    public_address: SocketAddr,
    peers_min: u64,
    checks: Checks,
    is_stopping: AtomicBool,
}

impl Shared {
    pub(crate) fn node_id(&self) -> NodeId {
        self.identity.node_id()
    }

    pub(crate) const fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    pub(crate) const fn description(&self) -> &NetworkDescription {
        &self.description
    }

    pub(crate) fn clock(&self) -> &SystemClock {
        &self.clock
    }

    pub(crate) const fn router(&self) -> &SharedRouter {
        &self.router
    }

    pub(crate) fn network(&self) -> &NodeNetwork {
        &self.network
    }

    pub(crate) const fn database(&self) -> &DiskDatabase {
        &self.database
    }

    pub(crate) fn chains(&self) -> &[ChainEntry] {
        &self.chains
    }

    pub(crate) fn chain(&self, name: &str) -> Option<&ChainEntry> {
        self.chains.iter().find(|chain| chain.is_called(name))
    }

    pub(crate) const fn public_address(&self) -> SocketAddr {
        self.public_address
    }

    /// Fewer peers are unhealthy.
    pub(crate) const fn peers_min(&self) -> u64 {
        self.peers_min
    }

    pub(crate) const fn checks(&self) -> &Checks {
        &self.checks
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(crate) fn vm_versions(&self) -> BTreeMap<String, String> {
        let version = |chain: &ChainEntry| (chain.vm_name.clone(), chain.vm_version.clone());
        self.chains.iter().map(version).collect()
    }
}

/// A running node. Dropping it without [`Node::stop`] leaves its threads behind.
pub struct Node {
    shared: Arc<Shared>,
    config: NodeConfig,
    chain_threads: Vec<ChainThread>,
    router_thread: RouterThread,
    api_stop: oneshot::Sender<()>,
    api_task: JoinHandle<()>,
    http_address: SocketAddr,
    process_file: ProcessFile,
    runtime: Handle,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// Says in one line what is wrong, where, and what to do. Nothing runs then.
    pub fn start(
        config: NodeConfig,
        runtime: &Handle,
        observer: Arc<dyn BlockObserver>,
    ) -> Result<Self, StartError> {
        let description = NetworkDescription::read(&config.network_file)?;
        check_network_id(&config, &description)?;
        let identity = config.keys.load()?;
        let clock = Arc::new(SystemClock::start());
        let subnets = tracked(&config, &description)?;
        let validators = validators(&config, &description, &subnets, identity.node_id())?;
        let (http, http_address) = bind(runtime, "HTTP API", config.http_address, "http-port")?;
        let router = router(&config, &identity, &subnets, &*clock)?;
        let network = Arc::new(NodeNetwork::start(&network::Parts {
            config: &config,
            description: &description,
            identity: &identity,
            validators: &validators,
            subnets: &subnets,
            router: &router,
            clock: clock.clone(),
            runtime,
        })?);
        let database = DiskDatabase::open(&config.db_dir)?;
        let builder = chains::Builder {
            config: &config,
            description: &description,
            identity: &identity,
            database: &database,
            router: &router,
            network: network.clone(),
            validators: &validators,
            clock: clock.clone(),
            observer,
        };
        let (chains, chain_threads) = build_chains(&builder, &subnets)?;
        let shortest = config.values.duration("network-minimum-timeout");
        let router_thread = RouterThread::spawn(router.clone(), clock.clone(), shortest)?;
        network.dial(&config, &description)?;
        let staking_address = network.address();
        let public_ip = config.public_ip.unwrap_or_else(|| staking_address.ip());
        let shared = Arc::new(Shared {
            description,
            identity,
            clock,
            router,
            network,
            database,
            chains,
            public_address: SocketAddr::new(public_ip, staking_address.port()),
            peers_min: config.values.number("network-health-min-conn-peers"),
            checks: Checks::default(),
            is_stopping: AtomicBool::new(false),
        });
        let (api_stop, api_task) = serve_api(&config, &shared, http, runtime);
        let process_file =
            ProcessFile::write(&config.process_context_file, http_address, staking_address)?;
        tracing::info!(node = %shared.node_id(), %http_address, %staking_address, "node started");
        Ok(Self {
            shared,
            config,
            chain_threads,
            router_thread,
            api_stop,
            api_task,
            http_address,
            process_file,
            runtime: runtime.clone(),
        })
    }

    /// The node's ID.
    pub fn node_id(&self) -> NodeId {
        self.shared.node_id()
    }

    /// Where the API is.
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where peers are heard.
    pub fn staking_address(&self) -> SocketAddr {
        self.shared.public_address()
    }

    /// The number of connected peers.
    pub fn peer_count(&self) -> usize {
        self.shared.network().peers().len()
    }

    /// The chains by name.
    pub fn chains(&self) -> impl Iterator<Item = (&str, &ChainView)> {
        self.shared.chains().iter().map(|chain| (chain.name.as_str(), &chain.view))
    }

    /// Whether every check passes.
    pub fn is_healthy(&self) -> bool {
        let results = self.shared.checks().run(&self.shared);
        results.values().all(|result| result.health.is_healthy())
    }

    /// Whether a chain ended on its own; the node should be stopped then.
    pub fn has_failed(&self) -> bool {
        self.shared.chains().iter().any(|chain| chain.view.last().is_stopped)
    }

    /// Stops the node. Returns what could not be stopped cleanly.
    pub fn stop(self) -> Vec<String> {
        let mut faults = Vec::new();
        self.shared.is_stopping.store(true, Ordering::Release);
        thread::sleep(self.config.values.duration("http-shutdown-wait"));
        self.shared.router.lock().shutdown();
        let wait = chains::stop_wait(&self.config);
        for thread in self.chain_threads {
            let id = thread.view().id();
            if !thread.stop(wait) {
                faults.push(format!("chain {id} did not stop within {wait:?}"));
            }
        }
        self.router_thread.stop();
        self.shared.network.close();
        if self.api_stop.send(()).is_err() {
            tracing::warn!("the HTTP server had ended before");
        }
        let api_wait = self.config.values.duration("http-shutdown-timeout");
        let api_task = self.api_task;
        let ended = async move { tokio::time::timeout(api_wait, api_task).await.is_ok() };
        if !self.runtime.block_on(ended) {
            faults.push(format!("API calls did not end within {api_wait:?}"));
        }
        if let Err(error) = self.shared.database.close() {
            faults.push(format!("the database did not close: {error}"));
        }
        drop(self.process_file);
        tracing::info!(node = %self.shared.node_id(), "node stopped");
        faults
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("node_id", &self.node_id()).finish_non_exhaustive()
    }
}

/// Serves the API and watches the node's health until the sender is used or dropped.
fn serve_api(
    config: &NodeConfig,
    shared: &Arc<Shared>,
    listener: TcpListener,
    runtime: &Handle,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let until = async {
        if stopped.await.is_err() {
            tracing::warn!("the node was dropped without being stopped");
        }
    };
    let serving = api::serve(listener, api_config(config), shared.clone(), until);
    let task = runtime.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "FATAL the HTTP server ended");
        }
    });
    runtime.spawn(watch_health(shared.clone(), config.values.duration("health-check-frequency")));
    (stop, task)
}

/// The validators of the tracked subnets. Parameters that cannot work, or that the validators'
/// weights cannot serve, are errors.
fn validators(
    config: &NodeConfig,
    description: &NetworkDescription,
    subnets: &[&Subnet],
    node: NodeId,
) -> Result<Arc<Validators>, StartError> {
    let validators = Validators::new(SystemRandom::new().next_u64());
    for subnet in subnets {
        let parameters = subnet.parameters(&config.parameters);
        parameters.verify().map_err(|error| {
            StartError::Config(format!("subnet {}: consensusParameters: {error}", subnet.id))
        })?;
        chains::fill_validators(&validators, description, subnet, node, &parameters)?;
    }
    Ok(Arc::new(validators))
}

fn check_network_id(
    config: &NodeConfig,
    description: &NetworkDescription,
) -> Result<(), StartError> {
    let wanted = config.values.text("network-id");
    if wanted.is_empty() {
        return Ok(());
    }
    let id = sastrugi_types::formatting::network_id(&wanted)
        .map_err(|error| StartError::Config(format!("--network-id: {error}")))?;
    if id == description.network_id {
        return Ok(());
    }
    Err(StartError::Config(format!(
        "--network-id is {id}, but {} describes network {}",
        config.network_file.display(),
        description.network_id
    )))
}

/// The subnets this node takes part in.
fn tracked<'a>(
    config: &NodeConfig,
    description: &'a NetworkDescription,
) -> Result<Vec<&'a Subnet>, StartError> {
    let Some(wanted) = &config.track_subnets else {
        return Ok(description.subnets.iter().collect());
    };
    let find = |id: &Id| {
        description.subnets.iter().find(|subnet| subnet.id == *id).ok_or_else(|| {
            StartError::Config(format!(
                "--track-subnets: {} describes no subnet {id}",
                config.network_file.display()
            ))
        })
    };
    wanted.iter().map(find).collect()
}

fn router(
    config: &NodeConfig,
    identity: &NodeIdentity,
    subnets: &[&Subnet],
    clock: &dyn Clock,
) -> Result<SharedRouter, StartError> {
    let values = &config.values;
    let version = Application::new(CLIENT_NAME, CURRENT);
    let seed = SystemRandom::new().next_u64();
    let router = RouterConfig {
        tracked_subnets: subnets.iter().map(|subnet| subnet.id).collect(),
        timeouts: AdaptiveTimeoutConfig {
            initial: values.duration("network-initial-timeout"),
            minimum: values.duration("network-minimum-timeout"),
            maximum: values.duration("network-maximum-timeout"),
            coefficient: values.fraction("network-timeout-coefficient"),
            half_life: values.duration("network-timeout-halflife"),
        },
        request_lifetime_max: values.duration("network-maximum-inbound-timeout"),
        healthy_outstanding_max: values.number("router-health-max-outstanding-requests") as usize,
        healthy_age_max: values.duration("network-health-max-outstanding-request-duration"),
        ..RouterConfig::new(identity.node_id(), version, seed)
    };
    let router = Router::new(router, clock.now())
        .map_err(|error| StartError::Config(format!("--network-…-timeout: {error}")))?;
    Ok(Arc::new(Mutex::new(router)))
}

type Built = (Vec<ChainEntry>, Vec<ChainThread>);

/// Builds all chains of the tracked subnets; if one fails, those that run already are stopped.
fn build_chains(builder: &chains::Builder<'_>, subnets: &[&Subnet]) -> Result<Built, StartError> {
    let mut entries = Vec::new();
    let mut threads = Vec::new();
    for subnet in subnets {
        for chain in &subnet.chains {
            match builder.build(subnet, chain) {
                Ok((entry, thread)) => {
                    entries.push(entry);
                    threads.push(thread);
                }
                Err(error) => {
                    for thread in threads {
                        thread.stop(chains::stop_wait(builder.config));
                    }
                    return Err(error);
                }
            }
        }
    }
    Ok((entries, threads))
}

fn api_config(config: &NodeConfig) -> ApiConfig {
    let values = &config.values;
    ApiConfig {
        allowed_hosts: values.list("http-allowed-hosts"),
        allowed_origins: values.list("http-allowed-origins"),
        read_timeout: values.duration("http-read-timeout"),
        info: values.bool("api-info-enabled"),
        health: values.bool("api-health-enabled"),
        metrics: values.bool("api-metrics-enabled"),
    }
}

/// Runs the checks at the node's own pace and logs when the verdict changes.
async fn watch_health(node: Arc<Shared>, period: Duration) {
    let mut was_healthy = true;
    let mut ticks = tokio::time::interval(period);
    while !node.is_stopping() {
        ticks.tick().await;
        let shared = node.clone();
        let round = tokio::task::spawn_blocking(move || shared.checks().run(&shared)).await;
        let Ok(results) = round else { return };
        let failing: Vec<String> = results
            .iter()
            .filter(|(_, result)| !result.health.is_healthy())
            .map(|(name, result)| format!("{name}: {}", result.health.causes.join("; ")))
            .collect();
        let is_healthy = failing.is_empty();
        if !is_healthy && was_healthy {
            tracing::warn!(causes = failing.join(" | "), "unhealthy");
        } else if is_healthy && !was_healthy {
            tracing::info!("healthy again");
        }
        was_healthy = is_healthy;
    }
}
