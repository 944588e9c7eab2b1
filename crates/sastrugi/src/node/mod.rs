//! A node: its keys, database, chains, network and API, from start to stop.
//!
//! Several nodes can live in one process and share its tokio runtime. Each has one thread and a
//! small pool per chain, one thread for request timeouts, and one worker of its database.
//!
//! # Start
//! The configuration and all files are checked first; then the ports are bound, a database that is
//! there is opened, and only then is anything written. Chains start before the first peer is
//! dialled.
//!
//! # Stop
//! Health says so; the API is closed; the chains stop, each within `consensus-shutdown-timeout`;
//! the network says goodbye; the database is synced and closed. Upstream: `node/node.go`.

mod catching_up;
pub(crate) mod chain_thread;
mod chains;
mod gears;
mod ledger;
mod network;
mod prepare;
mod process_context;
mod router_thread;
mod validator_state;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sastrugi_engine::{router::SharedRouter, subnet::Subnet as SubnetProgress};
use sastrugi_types::NodeId;
use sastrugi_vm::db::Database as _;
use tokio::{net::TcpListener, runtime::Handle, sync::oneshot, task::JoinHandle};

pub use catching_up::CatchingUp;
pub use chain_thread::{ChainThread, ChainView, Picture};
pub(crate) use chains::ChainEntry;
pub use chains::{BlockObserver, NoObserver};
pub use prepare::PreparedNode;
pub use process_context::ProcessContext;
pub use validator_state::DescribedValidators;

use crate::{
    api::{self, ApiConfig, health::Checks},
    config::NodeConfig,
    database::DiskDatabase,
    description::{NetworkDescription, Subnet},
    environment::SystemClock,
    error::StartError,
    identity::NodeIdentity,
};
use network::NodeNetwork;
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
    process_file: Option<ProcessFile>,
    runtime: Handle,
}

impl Node {
    /// Starts a node: [`PreparedNode::new`] and [`PreparedNode::start`].
    ///
    /// # Errors
    /// Says in one line what is wrong, where, and what to do. Nothing runs then.
    pub fn start(
        config: NodeConfig,
        runtime: &Handle,
        observer: Arc<dyn BlockObserver>,
    ) -> Result<Self, StartError> {
        PreparedNode::new(config, runtime)?.start(observer)
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

    /// Whether a chain ended on its own. The node goes on, and its health says why.
    pub fn has_failed(&self) -> bool {
        self.shared.chains().iter().any(|chain| chain.view.last().is_stopped)
    }

    /// Why chains ended on their own.
    pub fn failures(&self) -> Vec<String> {
        let pictures = self.shared.chains().iter().map(|chain| chain.view.last());
        let stopped = pictures.filter(|picture| picture.is_stopped);
        stopped.filter_map(|picture| picture.health.causes.last().cloned()).collect()
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
    let beacon_wait = config.values.duration("bootstrap-beacon-connection-timeout");
    runtime.spawn(watch_beacons(Arc::downgrade(shared), beacon_wait));
    (stop, task)
}

type Built = (Vec<ChainEntry>, Vec<ChainThread>);

/// Builds all chains of the tracked subnets; if one fails, those that run already are stopped. All
/// chains of a subnet are known before the first of them begins, so none takes it for bootstrapped.
fn build_chains(builder: &chains::Builder<'_>, subnets: &[&Subnet]) -> Result<Built, StartError> {
    let mut entries = Vec::new();
    let mut threads = Vec::new();
    for subnet in subnets {
        let progress = Arc::new(SubnetProgress::new());
        for chain in &subnet.chains {
            progress.add_chain(chain.id);
        }
        for chain in &subnet.chains {
            match builder.build(subnet, chain, &progress) {
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

/// Says once which chains have waited too long for the connections they need to begin.
async fn watch_beacons(node: Weak<Shared>, wait_max: Duration) {
    tokio::time::sleep(wait_max).await;
    let Some(node) = node.upgrade() else { return };
    let look = move || {
        for chain in node.chains() {
            let catching_up = chain.view.look().catching_up;
            let awaited = catching_up.and_then(|catching_up| catching_up.awaited_weight());
            if let Some((connected, needed)) = awaited {
                tracing::warn!(
                    chain = chain.name,
                    connected_weight = %connected,
                    needed_weight = needed,
                    "the chain has waited {wait_max:?} for its beacons and goes on waiting"
                );
            }
        }
    };
    if tokio::task::spawn_blocking(look).await.is_err() {
        tracing::error!("looking at the chains panicked");
    }
}
