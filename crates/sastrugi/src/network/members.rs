//! The nodes of a network that run in this process.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sastrugi_vm::State;
use tokio::runtime::Runtime;

use super::{layout::NetworkDir, screen::Screen};
use crate::{
    config::{NodeConfig, Values},
    error::StartError,
    node::{BlockObserver, Node, Picture, PreparedNode},
    signals::Signals,
};

/// Between two looks at nodes that start.
const START_PERIOD: Duration = Duration::from_millis(5);

/// A node and its number in the network.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) node: Node,
}

impl Member {
    /// The node's chains as they are now.
    pub(super) fn pictures(&self) -> Vec<(String, Picture)> {
        let chains = self.node.chains();
        chains.map(|(name, chain)| (name.to_owned(), chain.look())).collect()
    }

    /// Whether all chains take part in consensus.
    pub(super) fn is_bootstrapped(&self) -> bool {
        self.pictures().iter().all(|(_, picture)| picture.state == State::NormalOp)
    }
}

/// Prepares these nodes of a network.
pub(super) fn prepare(
    network: &NetworkDir,
    numbers: &[usize],
    runtime: &Runtime,
) -> Result<Vec<(usize, PreparedNode)>, StartError> {
    let prepare = |number: &usize| {
        let config = NodeConfig::new(values(&network.flags(*number)?)?)?;
        Ok((*number, PreparedNode::new(config, runtime.handle())?))
    };
    numbers.iter().map(prepare).collect()
}

fn values(flags: &BTreeMap<String, String>) -> Result<Values, StartError> {
    Values::of(flags.iter().map(|(name, value)| (name.as_str(), value.clone())))
}

/// Starts the nodes, each with its observer; if one does not start, the others are stopped.
pub(super) fn start(
    prepared: Vec<(usize, PreparedNode)>,
    observer: impl Fn(usize) -> Arc<dyn BlockObserver>,
) -> Result<Vec<Member>, StartError> {
    let mut members = Vec::new();
    for (number, prepared) in prepared {
        match prepared.start(observer(number)) {
            Ok(node) => members.push(Member { number, node }),
            Err(error) => {
                stop(members);
                return Err(error);
            }
        }
    }
    Ok(members)
}

/// Waits until all nodes are healthy, at most for `wait_max` if there is a limit, and shows how far
/// they are. Says false if the wait ended before.
pub(super) fn wait_until_healthy(
    members: &[Member],
    signals: &Signals,
    screen: &Screen,
    wait_max: Option<Duration>,
) -> bool {
    let start = Instant::now();
    while !members.iter().all(|member| member.node.is_healthy()) {
        let is_over = wait_max.is_some_and(|limit| start.elapsed() >= limit);
        if is_over || members.iter().any(|member| member.node.has_failed()) {
            return false;
        }
        screen.catching_up(members);
        if signals.wait(START_PERIOD) {
            return false;
        }
    }
    true
}

/// An error that names the nodes a chain of which has ended on its own.
pub(super) fn check_running(members: &[Member], log: &str) -> Result<(), StartError> {
    let failed: Vec<String> = members
        .iter()
        .filter(|member| member.node.has_failed())
        .map(|member| format!("{}: {}", member.node.node_id(), member.node.failures().join("; ")))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(StartError::Other(format!("{}; see {log}", failed.join("\n"))))
}

/// Stops all nodes at the same time. Returns what could not be stopped cleanly.
pub(super) fn stop(members: Vec<Member>) -> Vec<String> {
    let stop = |Member { node, .. }: Member| {
        let id = node.node_id();
        std::thread::spawn(move || {
            node.stop().into_iter().map(|fault| format!("{id}: {fault}")).collect::<Vec<_>>()
        })
    };
    let stopping: Vec<_> = members.into_iter().map(stop).collect();
    let faults = stopping.into_iter().map(|thread| thread.join().unwrap_or_default());
    faults.flatten().collect()
}
