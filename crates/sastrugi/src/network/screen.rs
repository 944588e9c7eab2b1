//! What `sastrugi network` shows: a live line on a terminal, plain lines elsewhere, JSON on request.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    added::restart_advice, layout::NetworkDir, load::LoadState, members::Member,
    percentiles::Percentiles,
};
use crate::{error::StartError, node::Picture};

/// Plain lines come at most so often while nothing new is accepted.
const QUIET_PERIOD: Duration = Duration::from_secs(10);
/// Plain lines come at most so often while a node catches up.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);
/// A live line is drawn anew so often.
const LIVE_PERIOD: Duration = Duration::from_millis(100);

/// Shows the network.
pub(super) struct Screen {
    is_json: bool,
    live: Option<ProgressBar>,
    last: RefCell<Vec<u64>>,
    shown: Cell<Option<Instant>>,
    progress_shown: Cell<Option<Instant>>,
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
        Self {
            is_json,
            live,
            last: RefCell::default(),
            shown: Cell::new(None),
            progress_shown: Cell::new(None),
        }
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

    /// The network runs.
    pub(super) fn started(&self, network: &NetworkDir) {
        let folder = network.path.display().to_string();
        self.line(&format!("network in {folder}"), &json!({"event": "network", "dir": folder}));
    }

    /// These nodes run.
    pub(super) fn members(&self, members: &[Member]) {
        for Member { number, node } in members {
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

    /// A folder was made for another node.
    pub(super) fn added(&self, network: &NetworkDir, number: usize) -> Result<(), StartError> {
        let folder = network.node_dir(number)?.display().to_string();
        self.line(
            &format!("node {number} added to the network, in {folder}"),
            &json!({"event": "added", "number": number, "dir": folder}),
        );
        Ok(())
    }

    /// The node that was added does not run yet.
    pub(super) fn not_started(
        &self,
        network: &NetworkDir,
        number: usize,
        is_network_running: bool,
    ) -> Result<(), StartError> {
        let advice = restart_advice(network, number)?;
        let text = if is_network_running {
            format!("it starts with {advice}, and with the network the next time")
        } else {
            "the network does not run; `sastrugi network` starts it with all its nodes".to_owned()
        };
        self.line(&text, &json!({"event": "notStarted", "number": number}));
        Ok(())
    }

    /// How far the nodes are that catch up; nothing if none does. To be called often: it shows what
    /// is due.
    pub(super) fn catching_up(&self, members: &[Member]) {
        let is_first = self.progress_shown.get().is_none();
        let period = if self.live.is_some() { LIVE_PERIOD } else { PROGRESS_PERIOD };
        let since = self.progress_shown.get().get_or_insert_with(Instant::now).elapsed();
        if is_first {
            // A node that starts in no time has nothing to show.
            self.progress_shown.set(Some(Instant::now()));
        }
        if is_first || since < period {
            return;
        }
        self.progress_shown.set(Some(Instant::now()));
        let lines = progress(members);
        match &self.live {
            Some(live) => {
                let texts: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
                live.set_message(texts.join("  "));
                live.tick();
            }
            None => lines.iter().for_each(|(text, event)| self.line(text, event)),
        }
    }

    /// All nodes are healthy, or the wait is over.
    pub(super) fn healthy(&self, members: &[Member], after: Duration) {
        let healthy = members.iter().filter(|member| member.node.is_healthy()).count();
        self.line(
            &format!(
                "{healthy} of {} nodes healthy after {}; Ctrl-C stops",
                members.len(),
                show(after)
            ),
            &json!({"event": "healthy", "nodes": healthy, "afterMs": millis(after)}),
        );
    }

    /// How the network is.
    pub(super) fn status(
        &self,
        members: &[Member],
        finality: Option<&Percentiles>,
        load: Option<(&LoadState, Duration)>,
    ) {
        let heights: Vec<u64> = members.iter().map(height).collect();
        let peers: Vec<usize> = members.iter().map(|member| member.node.peer_count()).collect();
        let mut text = format!("heights {}  peers {}", list(&heights), list(&peers));
        let mut event = json!({"event": "status", "heights": heights, "peers": peers});
        if let Some(finality) = finality {
            let [p50, p95, p99] = finality.at([0.5, 0.95, 0.99]).unwrap_or_default();
            let times = format!("p50 {} p95 {} p99 {}", show(p50), show(p95), show(p99));
            text =
                format!("heights {}  block final {times}  peers {}", list(&heights), list(&peers));
            event["finalityMs"] =
                json!({"p50": millis(p50), "p95": millis(p95), "p99": millis(p99)});
        }
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
        let Some(live) = &self.live else {
            self.plain_status(&text, &event, heights, is_catching_up(members));
            self.catching_up(members);
            return;
        };
        let progress = progress(members).into_iter().map(|(text, _)| text);
        let parts: Vec<String> = std::iter::once(text).chain(progress).collect();
        live.set_message(parts.join("  "));
        live.tick();
    }

    fn plain_status(&self, text: &str, event: &Value, heights: Vec<u64>, is_catching_up: bool) {
        let is_new = *self.last.borrow() != heights;
        let after =
            |period: Duration| self.shown.get().is_none_or(|shown| shown.elapsed() >= period);
        let is_due = if is_catching_up { after(PROGRESS_PERIOD) } else { is_new };
        if is_due || after(QUIET_PERIOD) {
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

    /// Everything is stopped, and this command goes on where it was.
    pub(super) fn stopped(&self, after: Duration, faults: &[String], how: &str) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
        for fault in faults {
            self.line(fault, &json!({"event": "fault", "message": fault}));
        }
        self.line(
            &format!("stopped in {}; {how} continues here", show(after)),
            &json!({"event": "stopped", "afterMs": millis(after)}),
        );
    }
}

fn height(member: &Member) -> u64 {
    let heights = member.pictures().into_iter().map(|(_, picture)| picture.last_accepted.1);
    heights.max().unwrap_or_default()
}

fn is_catching_up(members: &[Member]) -> bool {
    members.iter().any(|member| !member.is_bootstrapped())
}

/// A line and an event for each chain that catches up.
fn progress(members: &[Member]) -> Vec<(String, Value)> {
    let of_chain = |number: usize, name: &str, picture: &Picture| {
        let catching_up = picture.catching_up.as_ref()?;
        let text = format!("node {number}: {}", catching_up.line(&picture.health));
        let mut event = json!({"event": "progress", "number": number, "chain": name});
        event["progress"] = catching_up.to_json();
        event["height"] = json!(picture.last_accepted.1);
        event["causes"] = json!(picture.health.causes);
        Some((text, event))
    };
    let of_member = |member: &Member| {
        let pictures = member.pictures();
        let lines = pictures.iter().map(|(name, picture)| of_chain(member.number, name, picture));
        lines.flatten().collect::<Vec<_>>()
    };
    members.iter().flat_map(of_member).collect()
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
