//! `sastrugi network add-node`: one more node for a network that exists, and mostly runs, in another
//! process.
//!
//! The node gets a folder like those of the others. It does not validate: it dials the others, asks
//! them what they have accepted, fetches and executes that, and follows them from then on. When the
//! network is started the next time, the node starts with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use super::{
    STATUS_PERIOD,
    layout::{DEFAULT_DIR, NetworkDir},
    members::{self, Member},
    screen::Screen,
};
use crate::{config::expand, error::StartError, node::NoObserver, signals::Signals};

/// What the command was asked for.
#[derive(Clone, Debug)]
pub struct AddOptions {
    /// The network's folder.
    pub data_dir: Option<String>,
    /// The node's HTTP port; its port for peers is the next one.
    pub http_port: Option<u16>,
    /// Jump to a recent state first.
    pub state_sync: bool,
    /// Only make the folder.
    pub no_start: bool,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Write events as JSON lines.
    pub json: bool,
}

/// Adds a node and, if the network runs, runs it until it is told to stop.
pub fn add_node(options: &AddOptions) -> Result<(), StartError> {
    let place = expand(options.data_dir.as_deref().unwrap_or(DEFAULT_DIR))?;
    let screen = Screen::new(options.json, false);
    let (network, number) = prepare_folder(options, &NetworkDir::open(&place)?)?;
    screen.added(&network, number)?;
    let runs = runs(&network)?;
    if options.no_start || !runs {
        screen.not_started(&network, number, runs)?;
        return Ok(());
    }
    let runtime = Runtime::new()
        .map_err(|error| StartError::Other(format!("cannot start the runtime: {error}")))?;
    let signals = Signals::listen(&runtime)?;
    let started = Instant::now();
    let prepared = members::prepare(&network, &[number], &runtime)?;
    let log = network.node_dir(number)?.join("logs").join("main.log");
    crate::logging::to_file(&log)?;
    let members = members::start(prepared, |_| Arc::new(NoObserver))?;
    screen.members(&members);
    serve(options, &members, &signals, &screen, started);
    let outcome = members::check_running(&members, &log.display().to_string());
    let stopping = Instant::now();
    let faults = members::stop(members);
    screen.stopped(stopping.elapsed(), &faults, &restart_advice(&network, number)?);
    outcome
}

/// Watches until the end.
fn serve(
    options: &AddOptions,
    members: &[Member],
    signals: &Signals,
    screen: &Screen,
    started: Instant,
) {
    let is_healthy = members::wait_until_healthy(members, signals, screen, options.duration);
    if is_healthy {
        screen.healthy(members, started.elapsed());
    }
    let left = |limit: Duration| limit.saturating_sub(started.elapsed());
    while members.iter().all(|member| !member.node.has_failed()) {
        let wait = options.duration.map_or(STATUS_PERIOD, |limit| left(limit).min(STATUS_PERIOD));
        if signals.wait(wait) || options.duration.is_some_and(|limit| left(limit).is_zero()) {
            return;
        }
        screen.status(members, None, None);
    }
}

/// Makes the node's folder. Nobody else changes the network meanwhile.
fn prepare_folder(
    options: &AddOptions,
    network: &NetworkDir,
) -> Result<(NetworkDir, usize), StartError> {
    let _held = network.lock()?;
    let mut network = NetworkDir::open(&network.path)?;
    let flags: &[(&str, &str)] =
        if options.state_sync { &[("state-sync-enabled", "true")] } else { &[] };
    let number = network.add_node(options.http_port, flags)?;
    Ok((network, number))
}

/// Whether a node of the network runs.
fn runs(network: &NetworkDir) -> Result<bool, StartError> {
    for number in 0..network.description.peers.len() {
        if network.process(number)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How to start a node alone.
pub(super) fn restart_advice(network: &NetworkDir, number: usize) -> Result<String, StartError> {
    let flags = network.node_dir(number)?.join("flags.json");
    Ok(format!("`sastrugi node --config-file {}`", flags.display()))
}
