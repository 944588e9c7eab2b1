//! `sastrugi network`: a local network, all nodes in this process.

pub mod layout;
mod load;
mod percentiles;
mod screen;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sastrugi_consensus::snowball::Parameters;
use sastrugi_types::{Id, WallTime};
use sastrugi_vm::{Block, Clock as _};
use tokio::runtime::Runtime;

use crate::{
    config::{NodeConfig, Values, expand, parameters},
    description::SnowParameters,
    environment::SystemClock,
    error::StartError,
    node::{BlockObserver, Node, PreparedNode},
    signals::Signals,
};
use layout::{CHAIN_NAME, DEFAULT_DIR, NetworkDir, Plan};
use load::{Load, LoadState};
use percentiles::Percentiles;
use screen::Screen;

/// Between two looks at the network.
const STATUS_PERIOD: Duration = Duration::from_millis(500);
/// Between two looks while it starts.
const START_PERIOD: Duration = Duration::from_millis(5);
/// A start that takes longer is reported as unhealthy, and goes on.
const HEALTHY_WAIT_MAX: Duration = Duration::from_mins(1);

/// What the command was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of nodes; for a network that exists it must agree.
    pub nodes: Option<usize>,
    /// The network's folder.
    pub data_dir: Option<String>,
    /// Transactions per second to issue.
    pub load: Option<f64>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Make a new network even if there is one.
    pub fresh: bool,
    /// The first HTTP port.
    pub http_port: Option<u16>,
    /// Consensus parameters, as flags.
    pub snow: Vec<(String, String)>,
    /// Write events as JSON lines.
    pub json: bool,
}

/// Makes or opens the network and runs it until it is told to stop.
pub fn run(options: &Options) -> Result<(), StartError> {
    let snow = Values::of(options.snow.iter().map(|(name, value)| (name.as_str(), value.clone())))?;
    parameters(&snow)?;
    if let Some(rate) = options.load
        && !(rate.is_finite() && rate > 0.0)
    {
        return Err(StartError::Config("--load: the rate must be above zero".into()));
    }
    let network = open_or_create(options, &snow)?;
    let runtime = Runtime::new()
        .map_err(|error| StartError::Other(format!("cannot start the runtime: {error}")))?;
    let signals = Signals::listen(&runtime)?;
    let started = Instant::now();
    let prepared = prepare_nodes(&network, &runtime)?;
    crate::logging::to_file(&network.path.join("sastrugi.log"))?;
    let screen = Screen::new(options.json, options.load.is_some());
    let watch = Arc::new(Watch::default());
    let nodes = start_nodes(prepared, &watch, options.load.is_some())?;
    screen.started(&network, &nodes);
    wait_until_healthy(&nodes, &signals);
    screen.healthy(&nodes, started.elapsed());
    let outcome = serve(options, &nodes, &watch, &signals, &screen);
    let stopping = Instant::now();
    let faults = stop_nodes(nodes);
    screen.stopped(stopping.elapsed(), &faults);
    outcome
}

/// Watches until the end, with or without load.
fn serve(
    options: &Options,
    nodes: &[Node],
    watch: &Watch,
    signals: &Signals,
    screen: &Screen,
) -> Result<(), StartError> {
    let load = match options.load {
        None => None,
        Some(rate) => {
            let urls: Vec<String> =
                nodes.iter().map(|node| format!("http://{}", node.http_address())).collect();
            Some(Load::start(watch.load.clone(), &urls, CHAIN_NAME, rate)?)
        }
    };
    let start = Instant::now();
    let is_over = || options.duration.is_some_and(|limit| start.elapsed() >= limit);
    while !signals.wait(STATUS_PERIOD) && !is_over() {
        screen.status(
            nodes,
            &watch.finality(),
            load.as_ref().map(|_| (&*watch.load, start.elapsed())),
        );
        if nodes.iter().any(Node::has_failed) {
            break;
        }
    }
    if let Some(load) = load {
        let issuing = start.elapsed();
        load.stop();
        screen.load_report(&watch.load, issuing);
    }
    let failed: Vec<String> = nodes
        .iter()
        .filter(|node| node.has_failed())
        .map(|node| node.node_id().to_string())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(StartError::Other(format!("a chain stopped on {}; see sastrugi.log", failed.join(", "))))
}

/// What the nodes' chains tell.
#[derive(Debug, Default)]
struct Watch {
    finality: Mutex<Percentiles>,
    load: Arc<LoadState>,
}

impl Watch {
    fn finality(&self) -> Percentiles {
        self.finality.lock().clone()
    }
}

/// One node's ear.
struct Ear {
    watch: Arc<Watch>,
    clock: SystemClock,
    node: usize,
    has_load: bool,
}

impl BlockObserver for Ear {
    fn accepted(&self, _chain: Id, block: &Block) {
        let WallTime(now) = self.clock.wall();
        let age = u64::try_from(now.saturating_sub(block.timestamp.0)).unwrap_or(0);
        self.watch.finality.lock().add(Duration::from_nanos(age));
        if self.has_load {
            self.watch.load.accepted(self.node, &block.bytes);
        }
    }
}

fn prepare_nodes(network: &NetworkDir, runtime: &Runtime) -> Result<Vec<PreparedNode>, StartError> {
    let prepare = |number| {
        let config = NodeConfig::new(values(&network.flags(number)?)?)?;
        PreparedNode::new(config, runtime.handle())
    };
    (0..network.description.peers.len()).map(prepare).collect()
}

fn start_nodes(
    prepared: Vec<PreparedNode>,
    watch: &Arc<Watch>,
    has_load: bool,
) -> Result<Vec<Node>, StartError> {
    let mut nodes: Vec<Node> = Vec::new();
    for (number, prepared) in prepared.into_iter().enumerate() {
        let ear = Ear { watch: watch.clone(), clock: SystemClock::start(), node: number, has_load };
        match prepared.start(Arc::new(ear)) {
            Ok(node) => nodes.push(node),
            Err(error) => {
                stop_nodes(nodes);
                return Err(error);
            }
        }
    }
    Ok(nodes)
}

fn values(flags: &BTreeMap<String, String>) -> Result<Values, StartError> {
    Values::of(flags.iter().map(|(name, value)| (name.as_str(), value.clone())))
}

fn wait_until_healthy(nodes: &[Node], signals: &Signals) {
    let start = Instant::now();
    while start.elapsed() < HEALTHY_WAIT_MAX && !nodes.iter().all(Node::is_healthy) {
        if signals.wait(START_PERIOD) {
            return;
        }
    }
}

/// Stops all nodes at the same time.
fn stop_nodes(nodes: Vec<Node>) -> Vec<String> {
    let stop = |node: Node| {
        let id = node.node_id();
        std::thread::spawn(move || {
            node.stop().into_iter().map(|fault| format!("{id}: {fault}")).collect::<Vec<_>>()
        })
    };
    let stopping: Vec<_> = nodes.into_iter().map(stop).collect();
    let faults = stopping.into_iter().map(|thread| thread.join().unwrap_or_default());
    faults.flatten().collect()
}

fn open_or_create(options: &Options, snow: &Values) -> Result<NetworkDir, StartError> {
    let place = expand(options.data_dir.as_deref().unwrap_or(DEFAULT_DIR))?;
    let plan = Plan {
        nodes: options.nodes.unwrap_or(5),
        http_port: options.http_port,
        parameters: snow_parameters(snow),
    };
    if !(1..=layout::NODES_MAX).contains(&plan.nodes) {
        return Err(StartError::Config(format!("--nodes: between 1 and {}", layout::NODES_MAX)));
    }
    if !NetworkDir::exists(&place) {
        return NetworkDir::create(&place, &plan);
    }
    let mut network = NetworkDir::open(&place)?;
    check_not_running(&network)?;
    if options.fresh {
        return NetworkDir::create(&place, &plan);
    }
    let count = network.description.peers.len();
    if options.nodes.is_some_and(|nodes| nodes != count) {
        return Err(StartError::Config(format!(
            "--nodes: the network in {} has {count} nodes; make another with --fresh",
            network.path.display()
        )));
    }
    if !options.snow.is_empty() {
        for subnet in &mut network.description.subnets {
            let own = subnet.config.consensus_parameters.get_or_insert_default();
            *own = merged(*own, snow_parameters(snow));
        }
        network.description.check_parameters(&Parameters::DEFAULT).map_err(StartError::Config)?;
    }
    network.move_ports(options.http_port)?;
    if !options.snow.is_empty() {
        network.save()?;
    }
    network.settle()?;
    Ok(network)
}

fn check_not_running(network: &NetworkDir) -> Result<(), StartError> {
    for number in 0..network.description.peers.len() {
        if let Some(process) = network.process(number)? {
            return Err(StartError::file(
                &network.path,
                format!(
                    "node {number} runs already, as process {}; stop it first, or use another \
                     --data-dir",
                    process.pid
                ),
            ));
        }
    }
    Ok(())
}

/// The parameters among the flags that were given.
fn snow_parameters(snow: &Values) -> SnowParameters {
    let number = |flag: &str| snow.is_given(flag).then(|| snow.number(flag) as u32);
    let time = snow.duration("snow-max-time-processing");
    SnowParameters {
        k: number("snow-sample-size"),
        alpha: number("snow-quorum-size"),
        alpha_preference: number("snow-preference-quorum-size"),
        alpha_confidence: number("snow-confidence-quorum-size"),
        beta: number("snow-commit-threshold"),
        concurrent_repolls: number("snow-concurrent-repolls"),
        optimal_processing: number("snow-optimal-processing"),
        max_outstanding_items: number("snow-max-processing"),
        max_item_processing_time: snow
            .is_given("snow-max-time-processing")
            .then(|| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
    }
}

fn merged(old: SnowParameters, new: SnowParameters) -> SnowParameters {
    SnowParameters {
        k: new.k.or(old.k),
        alpha: new.alpha.or(old.alpha),
        alpha_preference: new.alpha_preference.or(old.alpha_preference),
        alpha_confidence: new.alpha_confidence.or(old.alpha_confidence),
        beta: new.beta.or(old.beta),
        concurrent_repolls: new.concurrent_repolls.or(old.concurrent_repolls),
        optimal_processing: new.optimal_processing.or(old.optimal_processing),
        max_outstanding_items: new.max_outstanding_items.or(old.max_outstanding_items),
        max_item_processing_time: new.max_item_processing_time.or(old.max_item_processing_time),
    }
}
