//! A node that could start: everything is checked, and nothing is written.

use std::{fmt, net::SocketAddr, sync::Arc, sync::atomic::AtomicBool};

use parking_lot::Mutex;
use sastrugi_engine::{
    router::{AdaptiveTimeoutConfig, Router, RouterConfig, SharedRouter},
    validators::Validators,
};
use sastrugi_types::{
    Id, NodeId,
    version::{Application, CLIENT_NAME, CURRENT},
};
use sastrugi_vm::{Clock, Random as _};
use tokio::{net::TcpListener, runtime::Handle};

use super::{
    BlockObserver, Node, Shared, build_chains, chains,
    network::{self, NodeNetwork, bind},
    process_context::ProcessFile,
    router_thread::RouterThread,
    serve_api,
};
use crate::{
    api::health::Checks,
    config::NodeConfig,
    database::DiskDatabase,
    description::{NetworkDescription, Subnet},
    environment::{SystemClock, SystemRandom},
    error::StartError,
    identity::{LoadedIdentity, NodeIdentity},
};

/// A node whose configuration, files and keys are sound, and that holds its ports and, if there is
/// one, its database.
pub struct PreparedNode {
    config: NodeConfig,
    description: NetworkDescription,
    identity: LoadedIdentity,
    clock: Arc<SystemClock>,
    validators: Arc<Validators>,
    router: SharedRouter,
    network: Arc<NodeNetwork>,
    http: TcpListener,
    http_address: SocketAddr,
    database: Option<DiskDatabase>,
    runtime: Handle,
}

impl PreparedNode {
    /// Checks everything and takes what the node needs. Nothing is written.
    ///
    /// # Errors
    /// Says in one line what is wrong, where, and what to do.
    pub fn new(config: NodeConfig, runtime: &Handle) -> Result<Self, StartError> {
        let description = NetworkDescription::read(&config.network_file)?;
        check_network_id(&config, &description)?;
        let subnets = tracked(&config, &description)?;
        for chain in subnets.iter().flat_map(|subnet| &subnet.chains) {
            chains::check(&config, chain)?;
        }
        let loaded = config.keys.load()?;
        let identity = loaded.identity();
        let clock = Arc::new(SystemClock::start());
        let validators = validators(&config, &description, &subnets, identity.node_id())?;
        let (http, http_address) = bind(runtime, "HTTP API", config.http_address, "http-port")?;
        let router = router(&config, identity, &subnets, &*clock)?;
        let network = Arc::new(NodeNetwork::start(&network::Parts {
            config: &config,
            description: &description,
            identity,
            validators: &validators,
            subnets: &subnets,
            router: &router,
            clock: clock.clone(),
            runtime,
        })?);
        let has_database = config.db_dir.exists();
        let database = has_database.then(|| DiskDatabase::open(&config.db_dir)).transpose()?;
        Ok(Self {
            identity: loaded,
            clock,
            validators,
            router,
            network,
            http,
            http_address,
            database,
            description,
            config,
            runtime: runtime.clone(),
        })
    }

    /// Starts the node.
    ///
    /// # Errors
    /// A file cannot be written, or a chain does not start from its data. Nothing runs then.
    pub fn start(self, observer: Arc<dyn BlockObserver>) -> Result<Node, StartError> {
        let Self { config, description, clock, validators, router, network, runtime, .. } = self;
        let identity = self.identity.save()?;
        let database = match self.database {
            Some(database) => database,
            None => DiskDatabase::open(&config.db_dir)?,
        };
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
        let (chains, chain_threads) = build_chains(&builder, &tracked(&config, &description)?)?;
        let shortest = config.values.duration("network-minimum-timeout");
        let router_thread = RouterThread::spawn(router.clone(), clock.clone(), shortest)?;
        network.connect(&config, &description)?;
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
        let (api_stop, api_task) = serve_api(&config, &shared, self.http, &runtime);
        let mut node = Node {
            shared,
            config,
            chain_threads,
            router_thread,
            api_stop,
            api_task,
            http_address: self.http_address,
            process_file: None,
            runtime,
        };
        let place = &node.config.process_context_file;
        match ProcessFile::write(place, node.http_address, staking_address) {
            Ok(file) => node.process_file = Some(file),
            Err(error) => {
                node.stop();
                return Err(error);
            }
        }
        let http_address = node.http_address;
        tracing::info!(node = %node.node_id(), %http_address, %staking_address, "node started");
        Ok(node)
    }
}

impl fmt::Debug for PreparedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node_id = self.identity.identity().node_id();
        f.debug_struct("PreparedNode").field("node_id", &node_id).finish_non_exhaustive()
    }
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
        subnet
            .check_parameters(&parameters, description.p_chain.current_height)
            .map_err(|fault| StartError::file(&config.network_file, fault))?;
        chains::fill_validators(&validators, description, subnet, node)?;
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
