//! `sastrugi network`: a local network, all nodes in this process.

mod added;
pub mod layout;
mod load;
mod members;
mod percentiles;
mod screen;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sastrugi_consensus::snowball::Parameters;
use sastrugi_types::{Id, WallTime};
use sastrugi_vm::{Block, Clock as _};
use tokio::runtime::Runtime;

pub use added::{AddOptions, add_node};

use crate::{
    config::{Values, expand, parameters},
    description::SnowParameters,
    environment::SystemClock,
    error::StartError,
    node::BlockObserver,
    signals::Signals,
};
use layout::{CHAIN_NAME, DEFAULT_DIR, NetworkDir, Plan};
use load::{Load, LoadState};
use members::Member;
use percentiles::Percentiles;
use screen::Screen;

/// Between two looks at the network.
const STATUS_PERIOD: Duration = Duration::from_millis(500);
/// A start that takes longer is reported as unhealthy, and goes on.
const HEALTHY_WAIT_MAX: Duration = Duration::from_mins(1);

/// The log of all nodes, in the network's folder.
const LOG_FILE: &str = "sastrugi.log";

/// What the command was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of validators; for a network that exists it must agree.
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
    let (network, numbers) = open_or_create(options, &snow)?;
    let runtime = Runtime::new()
        .map_err(|error| StartError::Other(format!("cannot start the runtime: {error}")))?;
    let signals = Signals::listen(&runtime)?;
    let started = Instant::now();
    let prepared = members::prepare(&network, &numbers, &runtime)?;
    crate::logging::to_file(&network.path.join(LOG_FILE))?;
    let screen = Screen::new(options.json, options.load.is_some());
    let watch = Arc::new(Watch::default());
    let ear = |node| -> Arc<dyn BlockObserver> {
        let has_load = options.load.is_some();
        Arc::new(Ear { watch: watch.clone(), clock: SystemClock::start(), node, has_load })
    };
    let members = members::start(prepared, ear)?;
    screen.started(&network);
    screen.members(&members);
    members::wait_until_healthy(&members, &signals, &screen, Some(HEALTHY_WAIT_MAX));
    screen.healthy(&members, started.elapsed());
    let outcome = serve(options, &members, &watch, &signals, &screen);
    let stopping = Instant::now();
    let faults = members::stop(members);
    screen.stopped(stopping.elapsed(), &faults, "the same command");
    outcome
}

/// Watches until the end, with or without load.
fn serve(
    options: &Options,
    members: &[Member],
    watch: &Watch,
    signals: &Signals,
    screen: &Screen,
) -> Result<(), StartError> {
    let load = match options.load {
        None => None,
        Some(rate) => {
            // Who still catches up takes no transactions.
            let ready = members.iter().filter(|member| member.is_bootstrapped());
            let url =
                |member: &Member| (member.number, format!("http://{}", member.node.http_address()));
            let urls: Vec<(usize, String)> = ready.map(url).collect();
            Some(Load::start(watch.load.clone(), &urls, CHAIN_NAME, rate)?)
        }
    };
    let start = Instant::now();
    let is_over = || options.duration.is_some_and(|limit| start.elapsed() >= limit);
    while !signals.wait(STATUS_PERIOD) && !is_over() {
        screen.status(
            members,
            Some(&watch.finality()),
            load.as_ref().map(|_| (&*watch.load, start.elapsed())),
        );
        if members.iter().any(|member| member.node.has_failed()) {
            break;
        }
    }
    if let Some(load) = load {
        let issuing = start.elapsed();
        load.stop();
        screen.load_report(&watch.load, issuing);
    }
    members::check_running(members, LOG_FILE)
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

/// The network, and the nodes of it to start.
fn open_or_create(
    options: &Options,
    snow: &Values,
) -> Result<(NetworkDir, Vec<usize>), StartError> {
    let place = expand(options.data_dir.as_deref().unwrap_or(DEFAULT_DIR))?;
    let plan = Plan {
        nodes: options.nodes.unwrap_or(5),
        http_port: options.http_port,
        parameters: snow_parameters(snow),
    };
    if !(1..=layout::NODES_MAX).contains(&plan.nodes) {
        return Err(StartError::Config(format!("--nodes: between 1 and {}", layout::NODES_MAX)));
    }
    let create = || Ok((NetworkDir::create(&place, &plan)?, (0..plan.nodes).collect()));
    if !NetworkDir::exists(&place) {
        return create();
    }
    let _held = NetworkDir::open(&place)?.lock()?;
    let mut network = NetworkDir::open(&place)?;
    let nodes = nodes_to_start(&network, options.fresh)?;
    if options.fresh {
        return create();
    }
    let all = 0..network.description.peers.len();
    let count = all.filter(|number| network.is_validator(*number)).count();
    if options.nodes.is_some_and(|nodes| nodes != count) {
        return Err(StartError::Config(format!(
            "--nodes: the network in {} has {count} validators; make another with --fresh",
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
    network.move_ports(&nodes, options.http_port)?;
    if !options.snow.is_empty() {
        network.save()?;
    }
    network.settle()?;
    Ok((network, nodes))
}

/// All nodes, but for added ones that run in a process of their own. No other may run, and none at
/// all when the network is to be moved aside.
fn nodes_to_start(network: &NetworkDir, is_moved: bool) -> Result<Vec<usize>, StartError> {
    let mut nodes = Vec::new();
    for number in 0..network.description.peers.len() {
        match network.process(number)? {
            None => nodes.push(number),
            Some(_) if !is_moved && !network.is_validator(number) => {}
            Some(process) => {
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
    }
    Ok(nodes)
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
