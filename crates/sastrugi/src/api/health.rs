//! The service `health`, and the checks behind it. Upstream: `api/health`.
//!
//! Checks run when somebody asks, but not more often than [`FRESH_FOR`] allows, and at the node's
//! own pace besides, so that the first answer after the start and the first after a repair are
//! true. Upstream answers what its last round found, up to 30 s ago.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, WallTime};
use sastrugi_vm::{
    Clock as _, Health, State,
    http::{HttpRequest, HttpResponse},
    json_rpc,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{arguments, info::rfc3339, json, plain};
use crate::node::Shared;

/// Results are given again for so long before checks run anew.
const FRESH_FOR: Duration = Duration::from_millis(20);
/// The tag of checks that are part of every answer.
const APPLICATION: &str = "application";

/// The results of the last round.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    at: Option<Instant>,
    results: BTreeMap<String, CheckResult>,
}

/// What one check found.
#[derive(Clone, Debug)]
pub(crate) struct CheckResult {
    pub(crate) health: Health,
    tags: BTreeSet<String>,
    is_readiness: bool,
    timestamp: WallTime,
    duration: Duration,
    contiguous_failures: u64,
    first_failure: Option<WallTime>,
}

/// A check and what it found.
struct Checked {
    name: String,
    tag: String,
    is_readiness: bool,
    health: Health,
    duration: Duration,
}

impl Checks {
    /// The results, from a new round if the last is not fresh.
    pub(crate) fn run(&self, node: &Shared) -> BTreeMap<String, CheckResult> {
        let mut round = self.0.lock();
        let now = node.clock().now();
        if round.at.is_some_and(|at| now.since(at) < FRESH_FOR) {
            return round.results.clone();
        }
        let timestamp = node.clock().wall();
        for checked in all(node) {
            let before = round.results.get(&checked.name);
            let is_healthy = checked.health.is_healthy();
            let contiguous_failures = match before {
                _ if is_healthy => 0,
                Some(before) => before.contiguous_failures + 1,
                None => 1,
            };
            let first_failure = match before {
                _ if is_healthy => None,
                Some(before) => before.first_failure.or(Some(timestamp)),
                None => Some(timestamp),
            };
            let result = CheckResult {
                health: checked.health,
                tags: BTreeSet::from([checked.tag]),
                is_readiness: checked.is_readiness,
                timestamp,
                duration: checked.duration,
                contiguous_failures,
                first_failure,
            };
            round.results.insert(checked.name, result);
        }
        round.at = Some(node.clock().now());
        round.results.clone()
    }
}

/// Runs every check.
fn all(node: &Shared) -> Vec<Checked> {
    let mut checks = Vec::new();
    let mut check = |name: &str, tag: String, is_readiness, run: &dyn Fn() -> Health| {
        let start = node.clock().now();
        let health = run();
        let duration = node.clock().now().since(start);
        checks.push(Checked { name: name.to_owned(), tag, is_readiness, health, duration });
    };
    check("bootstrapped", APPLICATION.into(), true, &|| bootstrapped(node));
    check("network", APPLICATION.into(), false, &|| network(node));
    check("router", APPLICATION.into(), false, &|| node.router().lock().health(node.clock().now()));
    check("database", APPLICATION.into(), false, &|| database(node));
    if node.is_stopping() {
        check("shuttingDown", APPLICATION.into(), false, &|| Health {
            details: json!({ "isShuttingDown": true }),
            causes: vec!["server shutting down".into()],
        });
    }
    for chain in node.chains() {
        check(&chain.name, chain.subnet.to_string(), false, &|| chain.view.look().health);
    }
    checks
}

fn bootstrapped(node: &Shared) -> Health {
    let behind: BTreeSet<Id> = node
        .chains()
        .iter()
        .filter(|chain| chain.view.look().state != State::NormalOp)
        .map(|chain| chain.subnet)
        .collect();
    let causes = if behind.is_empty() { vec![] } else { vec!["subnets not bootstrapped".into()] };
    Health { details: json!(behind), causes }
}

fn network(node: &Shared) -> Health {
    let peers = node.network().peers().len();
    let wanted = node.peers_min();
    let mut causes = Vec::new();
    if (peers as u64) < wanted {
        causes.push(format!("connected to {peers} peers, at least {wanted} are wanted"));
    }
    Health { details: json!({ "connectedPeers": peers }), causes }
}

fn database(node: &Shared) -> Health {
    match node.database().disk_bytes() {
        Ok(bytes) => Health::well(json!({ "diskBytes": bytes })),
        Err(error) => Health { details: Value::Null, causes: vec![error.to_string()] },
    }
}

/// Which checks an answer holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Health,
    Readiness,
    Liveness,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    tags: Vec<String>,
}

/// Answers a request below `/ext/health`.
pub(super) fn serve(node: &Shared, rest: &str, request: &HttpRequest) -> HttpResponse {
    if rest.is_empty() && request.method == "POST" {
        return json_rpc::serve(request, |method, params| {
            let set = match method {
                "health.health" => Set::Health,
                "health.readiness" => Set::Readiness,
                "health.liveness" => Set::Liveness,
                _ => return Err(format!("rpc: can't find method \"{method}\"")),
            };
            let Arguments { tags } = arguments(params)?;
            Ok(report(node, set, &tags).1)
        });
    }
    let set = match rest {
        "" | "/health" => Set::Health,
        "/readiness" => Set::Readiness,
        "/liveness" => Set::Liveness,
        _ => return plain(404, "404 page not found"),
    };
    if request.method != "GET" && request.method != "HEAD" {
        return plain(405, "GET, or POST to /ext/health");
    }
    let tags = request.query.split('&').filter_map(|part| part.strip_prefix("tag="));
    let tags: Vec<String> = tags.map(str::to_owned).collect();
    let (is_healthy, body) = report(node, set, &tags);
    json(if is_healthy { 200 } else { 503 }, &body)
}

fn report(node: &Shared, set: Set, tags: &[String]) -> (bool, Value) {
    let is_asked_for = |result: &CheckResult| {
        let is_in_set = match set {
            Set::Health => true,
            Set::Readiness => result.is_readiness,
            Set::Liveness => false,
        };
        is_in_set
            && (tags.is_empty()
                || result.tags.contains(APPLICATION)
                || tags.iter().any(|tag| tag == "all" || result.tags.contains(tag)))
    };
    let results = node.checks().run(node);
    let mut is_healthy = true;
    let mut checks = Map::new();
    for (name, result) in results.iter().filter(|(_, result)| is_asked_for(result)) {
        is_healthy &= result.health.is_healthy();
        checks.insert(name.clone(), describe(result));
    }
    (is_healthy, json!({ "checks": checks, "healthy": is_healthy }))
}

fn describe(result: &CheckResult) -> Value {
    let mut check = json!({
        "message": result.health.details,
        "timestamp": rfc3339(result.timestamp),
        "duration": u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX),
    });
    if !result.health.is_healthy() {
        check["error"] = json!(result.health.causes.join("; "));
        check["contiguousFailures"] = json!(result.contiguous_failures);
        check["timeOfFirstFailure"] = json!(result.first_failure.map(rfc3339));
    }
    check
}
