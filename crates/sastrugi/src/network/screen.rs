//! What `sastrugi network` shows: a live line on a terminal, plain lines elsewhere, JSON on request.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{layout::NetworkDir, load::LoadState, percentiles::Percentiles};
use crate::node::Node;

/// Plain lines come at most so often while nothing new is accepted.
const QUIET_PERIOD: Duration = Duration::from_secs(10);

/// Shows the network.
pub(super) struct Screen {
    is_json: bool,
    live: Option<ProgressBar>,
    last: RefCell<Vec<u64>>,
    shown: Cell<Option<Instant>>,
}

impl Screen {
    /// Shows on this process's output.
    pub(super) fn new(is_json: bool, has_load: bool) -> Self {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let live = (is_terminal && !is_json).then(|| {
            let template = if has_load { "{spinner} {bar:20} {msg}" } else { "{spinner} {msg}" };
            let bar = if has_load { ProgressBar::new(1) } else { ProgressBar::new_spinner() };
            bar.with_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            )
        });
        Self { is_json, live, last: RefCell::default(), shown: Cell::new(None) }
    }

    fn line(&self, text: &str, event: &Value) {
        // A reader that has left does not stop the network.
        let say = |line: &dyn std::fmt::Display| drop(writeln!(io::stdout(), "{line}"));
        if self.is_json {
            say(event);
        } else if let Some(live) = &self.live {
            live.suspend(|| say(&text));
        } else {
            say(&text);
        }
    }

    /// The nodes run.
    pub(super) fn started(&self, network: &NetworkDir, nodes: &[Node]) {
        let folder = network.path.display().to_string();
        self.line(&format!("network in {folder}"), &json!({"event": "network", "dir": folder}));
        for (number, node) in nodes.iter().enumerate() {
            let (id, api, peers) = (node.node_id(), node.http_address(), node.staking_address());
            self.line(
                &format!("  node {number}  {id:<41}  http://{api}  peers {peers}"),
                &json!({
                    "event": "node",
                    "number": number,
                    "nodeID": id,
                    "uri": format!("http://{api}"),
                    "stakingAddress": peers.to_string(),
                }),
            );
        }
    }

    /// All nodes are healthy, or the wait is over.
    pub(super) fn healthy(&self, nodes: &[Node], after: Duration) {
        let healthy = nodes.iter().filter(|node| node.is_healthy()).count();
        self.line(
            &format!(
                "{healthy} of {} nodes healthy after {}; Ctrl-C stops",
                nodes.len(),
                show(after)
            ),
            &json!({"event": "healthy", "nodes": healthy, "afterMs": millis(after)}),
        );
    }

    /// How the network is.
    pub(super) fn status(
        &self,
        nodes: &[Node],
        finality: &Percentiles,
        load: Option<(&LoadState, Duration)>,
    ) {
        let heights: Vec<u64> = nodes.iter().map(height).collect();
        let peers: Vec<usize> = nodes.iter().map(Node::peer_count).collect();
        let [p50, p95, p99] = finality.at([0.5, 0.95, 0.99]).unwrap_or_default();
        let mut text = format!(
            "heights {}  block final p50 {} p95 {} p99 {}  peers {}",
            list(&heights),
            show(p50),
            show(p95),
            show(p99),
            list(&peers)
        );
        let mut event = json!({
            "event": "status", "heights": heights, "peers": peers,
            "finalityMs": {"p50": millis(p50), "p95": millis(p95), "p99": millis(p99)},
        });
        if let Some((load, elapsed)) = load {
            let figures = load.figures();
            let rate = figures.accepted as f64 / elapsed.as_secs_f64().max(0.001);
            text = format!("{rate:.1} tx/s accepted, {} waiting  {text}", figures.pending);
            event["acceptedTxs"] = json!(figures.accepted);
            event["txsPerSecond"] = json!(rate);
            if let Some(live) = &self.live {
                live.set_length(figures.issued.max(1));
                live.set_position(figures.accepted);
            }
        }
        match &self.live {
            Some(live) => {
                live.set_message(text);
                live.tick();
            }
            None => self.plain_status(&text, &event, heights),
        }
    }

    fn plain_status(&self, text: &str, event: &Value, heights: Vec<u64>) {
        let is_new = *self.last.borrow() != heights;
        let is_quiet = self.shown.get().is_none_or(|shown| shown.elapsed() >= QUIET_PERIOD);
        if is_new || is_quiet {
            self.line(text, event);
            self.last.replace(heights);
            self.shown.set(Some(Instant::now()));
        }
    }

    /// What the generator achieved.
    pub(super) fn load_report(&self, load: &LoadState, elapsed: Duration) {
        let figures = load.figures();
        let rate = figures.accepted as f64 / elapsed.as_secs_f64().max(0.001);
        let times = load.times().at([0.5, 0.95, 0.99]);
        let [p50, p95, p99] = times.unwrap_or_default();
        self.line(
            &format!(
                "load: {} accepted of {} issued in {}: {rate:.1} tx/s, {} refused, {} without an \
                 outcome; time to finality p50 {} p95 {} p99 {}",
                figures.accepted,
                figures.issued,
                show(elapsed),
                figures.refused,
                figures.pending,
                show(p50),
                show(p95),
                show(p99)
            ),
            &json!({
                "event": "load", "issued": figures.issued, "accepted": figures.accepted,
                "refused": figures.refused, "pending": figures.pending, "txsPerSecond": rate,
                "finalityMs": {"p50": millis(p50), "p95": millis(p95), "p99": millis(p99)},
            }),
        );
    }

    /// Everything is stopped.
    pub(super) fn stopped(&self, after: Duration, faults: &[String]) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
        for fault in faults {
            self.line(fault, &json!({"event": "fault", "message": fault}));
        }
        self.line(
            &format!("stopped in {}; the same command continues here", show(after)),
            &json!({"event": "stopped", "afterMs": millis(after)}),
        );
    }
}

fn height(node: &Node) -> u64 {
    let heights =
        node.chains().map(|(_, chain)| chain.look().snowman.consensus.last_accepted_height);
    heights.max().unwrap_or_default()
}

fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

fn show(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{:.0} ms", span.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

/// One number when all agree, else all of them.
fn list<T: PartialEq + ToString>(values: &[T]) -> String {
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => first.to_string(),
        _ => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}
