//! Replays the traces of the bootstrapper: real gear, votes, interval tree, trackers and getter on a
//! scripted VM and a database in memory. Everything the gear does is compared in order, then what
//! changed in the database, then its state.
//!
//! Long work is done after each op until nothing is left. Three rules make the gear differ from
//! upstream on purpose:
//!
//! * **Pause**: after a round without a result upstream begins the next one at once, the gear waits.
//!   The replayer lets that time pass within the op.
//! * **Asked blocks**: upstream accepts blocks that a majority names without having been asked about
//!   them. From there on the trace is another story; the replayer compares up to there.
//! * **Stray wake-up**: upstream reports an error, which it only logs; the gear ignores it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trace that is not as expected must fail the test"
)]

mod chain;
#[path = "bootstrap/majority.rs"]
mod majority;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chain::{Op, SharedLog, Stage, node, node_index};
use majority::UpstreamMajority;
use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_engine::{
    bootstrap::{Bootstrapper, Config},
    common::{
        AcceptedFrontierHandler, AcceptedHandler, AncestorsHandler, BootstrapTracker,
        BootstrapableEngine, ChitsHandler, Engine, GetAcceptedFrontierHandler, GetHandler, Handled,
        InternalHandler, Message, PreemptionSignal, Progress, PutHandler, QueryHandler,
        StateSyncing, TimeoutScheduler,
        tracker::{Peers, Startup},
    },
    getter::GetterConfig,
    peer_tracker::{PeerTracker, PeerTrackerConfig},
    validators::{Validator, Validators},
};
use sastrugi_types::{
    Id, Instant, NodeId, RequestId,
    message::Chits,
    sampler::Mt19937_64,
    version::{Application, Version},
};
use sastrugi_vm::{
    ChainVm,
    db::{Database, MemoryDb},
};
use serde_json::{Value, json};

const SUBNET: Id = Id([7; 32]);
const CHAIN: Id = Id([8; 32]);
/// Upstream begins the next round at once; the gear within this time.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The subnet: says what the trace wants, and notes what it is told.
struct Tracker {
    is_bootstrapped: AtomicBool,
    log: SharedLog,
}

impl BootstrapTracker for Tracker {
    fn is_bootstrapped(&self) -> bool {
        self.is_bootstrapped.load(Ordering::Relaxed)
    }

    fn bootstrapped(&self, chain: Id) {
        assert_eq!(chain, CHAIN);
        self.log.lock().events.push(json!(["chainBootstrapped"]));
    }

    fn all_bootstrapped(&self) -> PreemptionSignal {
        panic!("the gear leaves this to its chain")
    }
}

struct Replay {
    stage: Stage,
    settings: Settings,
    tracker: Arc<Tracker>,
    peers: Arc<PeerTracker>,
    peer: Option<NodeId>,
    startup: Arc<Startup>,
    db: MemoryDb,
    gear: Bootstrapper,
    restarts: u32,
    upstream: UpstreamMajority,
    /// What the database held after the op before.
    stored: BTreeMap<String, String>,
    /// Upstream's state as shown so far.
    state: BTreeMap<String, Value>,
}

struct Settings {
    beacons: Arc<Validators>,
    startup_weight: u64,
    sample_size: usize,
    ancestors_max: usize,
    start: u32,
}

impl Settings {
    fn new(trace: &mut Fields, weights: &[u64]) -> Self {
        let beacons = Arc::new(Validators::new(1));
        for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            let node = node(index as u64);
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight: *weight };
            beacons.add_staker(SUBNET, validator).unwrap();
        }
        Self {
            beacons,
            startup_weight: trace.take("startupWeight"),
            sample_size: trace.take("sampleK"),
            ancestors_max: trace.take("maxContainersReceived"),
            start: trace.take("start"),
        }
    }

    fn startup(&self) -> Arc<Startup> {
        let startup = Arc::new(Startup::new(Peers::new(2), self.startup_weight));
        self.beacons.register_set_listener(SUBNET, startup.clone());
        startup
    }

    fn gear(
        &self,
        stage: &Stage,
        db: &MemoryDb,
        startup: &Arc<Startup>,
        tracker: &Arc<Tracker>,
        peers: &Arc<PeerTracker>,
    ) -> Bootstrapper {
        let log = stage.log.clone();
        Bootstrapper::new(Config {
            chain: CHAIN,
            subnet: SUBNET,
            node: node(0),
            vm: stage.vm.clone(),
            clock: stage.clock.clone(),
            getter: GetterConfig::default(),
            db: Arc::new(db.clone()),
            beacons: self.beacons.clone(),
            sample_size: self.sample_size,
            startup: startup.clone(),
            tracker: tracker.clone(),
            peers: peers.clone(),
            ancestors_max: self.ancestors_max,
            state_syncing: StateSyncing::default(),
            checkpoints: Vec::new(),
            trusted_parser: None,
            bootstrapped: Some(Box::new(move || log.lock().events.push(json!(["bootstrapped"])))),
            source: Box::new(Mt19937_64::new(4)),
        })
    }
}

impl Replay {
    fn new(trace: &mut Fields) -> Self {
        let stage = Stage::new(trace);
        let weights: Vec<u64> = trace.take("weights");
        let settings = Settings::new(trace, &weights);
        let tracker = Arc::new(Tracker {
            is_bootstrapped: AtomicBool::new(trace.take("subnetBootstrapped")),
            log: stage.log.clone(),
        });
        let config = PeerTrackerConfig {
            own: node(0),
            ignored: BTreeSet::new(),
            minimum_version: None,
            hash_seed: 3,
        };
        let source = Box::new(Mt19937_64::new(4));
        let peers = Arc::new(PeerTracker::new(config, source, Instant::ZERO));
        let db = MemoryDb::new();
        let startup = settings.startup();
        let gear = settings.gear(&stage, &db, &startup, &tracker, &peers);
        let mut replay = Self {
            stage,
            settings,
            tracker,
            peers,
            peer: None,
            startup,
            db,
            gear,
            restarts: 0,
            upstream: UpstreamMajority::new(weights),
            stored: BTreeMap::new(),
            state: BTreeMap::new(),
        };
        replay.obey_halter();
        replay
    }

    /// Replays an op. False when the rest of the trace is another story.
    fn op(&mut self, number: usize, fields: Fields) -> bool {
        let mut op = self.stage.begin(number, fields);
        if let Some(foreign) = self.upstream.hear(&op.kind, &op.fields, &op.expected) {
            return self.op_asked_blocks(op, &foreign);
        }
        let result = self.apply(&mut op).and_then(|()| self.settle());
        self.note_timer();
        if op.kind == "timeout" && op.fields.has("err") {
            // Rule "stray wake-up".
            assert_eq!(op.fields.take::<String>("err"), "unexpected timeout fired");
            assert!(self.stage.end(&mut op, result), "{}", op.place);
        } else {
            self.stage.end(&mut op, result);
        }
        self.compare(&mut op);
        op.fields.finish();
        true
    }

    /// The rule of the same name: this answer gives upstream a majority for blocks nobody was
    /// asked about.
    fn op_asked_blocks(&mut self, mut op: Op, foreign: &[Value]) -> bool {
        let upstream = op.fields.or_default::<BTreeMap<String, Value>>("st");
        let (from, request) = from(&mut op.fields);
        let ids = self.stage.table.ids(&op.fields.or_default::<Vec<_>>("ids"));
        let cx = &mut self.stage.around.cx();
        self.gear.accepted(cx, from, request, ids).unwrap();
        let upstream = upstream["missing"].as_array().unwrap();
        for id in foreign {
            assert!(upstream.contains(id), "{}: upstream does not ask for {id}", op.place);
            assert!(!self.gear.missing().contains(&self.stage.table.id(id)), "{}", op.place);
        }
        false
    }

    /// Lets the gear do its long work, and the pause after a round without a result pass.
    fn settle(&mut self) -> Handled {
        loop {
            let cx = &mut self.stage.around.cx();
            let progress = self.gear.work(cx)?;
            if let Some(RequestId(last)) = cx.finished() {
                self.note(json!(["finished", last]));
            }
            if self.gear.is_backing_off() {
                // Rule "pause".
                let due = self.stage.around.timer.poll_timeout().unwrap();
                assert!(due <= self.stage.around.now + PAUSE_MAX);
                self.timeout()?;
            } else if progress == Progress::Idle {
                return Ok(());
            }
        }
    }

    fn timeout(&mut self) -> Handled {
        self.stage.around.timer = TimeoutScheduler::default();
        let cx = &mut self.stage.around.cx();
        let result = self.gear.timeout(cx);
        if let Some(RequestId(last)) = cx.finished() {
            self.note(json!(["finished", last]));
        }
        result
    }

    fn note(&self, event: Value) {
        self.stage.log.lock().events.push(event);
    }

    /// A wake-up is registered last in an op, and pending until the trace lets it come.
    fn note_timer(&mut self) {
        if let Some(due) = self.stage.around.timer.poll_timeout() {
            let after = due - self.stage.around.now;
            self.note(json!(["registerTimeout", after.as_nanos() as u64]));
            self.stage.around.timer = TimeoutScheduler::default();
        }
    }

    fn apply(&mut self, op: &mut Op) -> Handled {
        let Op { kind, fields, .. } = op;
        match kind.as_str() {
            "peer" => self.set_peer(fields.maybe("n").map(node)),
            "preconnected" => self.startup.connected(node(fields.take("n"))),
            "subnet" => {
                let on = fields.or_default("on");
                self.tracker.is_bootstrapped.store(on, Ordering::Relaxed);
            }
            "haltAt" => {
                let count = fields.maybe("m");
                self.stage.vm.accepts.lock().halt_at = count;
            }
            "failAt" => {
                let count = fields.maybe("m");
                self.stage.vm.accepts.lock().fail_at = count;
            }
            "restart" => self.restart(),
            "clear" => return self.gear.clear(),
            "timeout" => return self.timeout(),
            _ => return self.call(kind, fields),
        }
        Ok(())
    }

    /// The calls of the gear that are in the chain's words.
    fn call(&mut self, kind: &str, op: &mut Fields) -> Handled {
        let Self { gear, stage: Stage { around, table, .. }, settings, restarts, .. } = self;
        let cx = &mut around.cx();
        match kind {
            "start" => return gear.start(cx, RequestId(settings.start + 100 * *restarts)),
            "notify" => return gear.notify(cx, Message::from(op.or_default::<u32>("m"))),
            "gossip" => return gear.gossip(cx),
            "shutdown" => return gear.shutdown(cx),
            "connected" => {
                return gear.connected(cx, node(op.take("n")), &Application::default());
            }
            "disconnected" => return gear.disconnected(cx, node(op.take("n"))),
            _ => {}
        }
        let (from, request) = from(op);
        match kind {
            "acceptedFrontier" => {
                gear.accepted_frontier(cx, from, request, table.id(&op.take("b")))
            }
            "getAcceptedFrontierFailed" => gear.get_accepted_frontier_failed(cx, from, request),
            "accepted" => {
                gear.accepted(cx, from, request, table.ids(&op.or_default::<Vec<_>>("ids")))
            }
            "getAcceptedFailed" => gear.get_accepted_failed(cx, from, request),
            "ancestors" => gear.ancestors(cx, from, request, containers(op)),
            "getAncestorsFailed" => gear.get_ancestors_failed(cx, from, request),
            "put" => gear.put(cx, from, request, container(&op.take("b"))),
            "pullQuery" => gear.pull_query(cx, from, request, table.id(&op.take("b")), 0),
            "chits" => {
                let id = table.id(&op.take("b"));
                let chits = Chits {
                    preferred: id,
                    preferred_at_height: id,
                    accepted: id,
                    accepted_height: 0,
                };
                gear.chits(cx, from, request, chits)
            }
            "get" => gear.get(cx, from, request, table.id(&op.take("b"))),
            "getAcceptedFrontier" => gear.get_accepted_frontier(cx, from, request),
            other => panic!("unknown op {other}"),
        }
    }

    /// From here on the node is the only one to fetch from.
    fn set_peer(&mut self, node: Option<NodeId>) {
        if let Some(before) = std::mem::replace(&mut self.peer, node) {
            self.peers.disconnected(before);
        }
        if let Some(node) = node {
            self.peers.connected(node, Version::default());
        }
    }

    /// The VM can tell the gear to stop.
    fn obey_halter(&mut self) {
        let mut accepts = self.stage.vm.accepts.lock();
        drop(std::mem::take(&mut *accepts));
        self.stage.around.halter = accepts.halter.clone();
    }

    /// A new gear on the same database and VM. Nobody to fetch from is known.
    fn restart(&mut self) {
        self.obey_halter();
        self.set_peer(None);
        self.restarts += 1;
        self.startup = self.settings.startup();
        let Self { stage, settings, db, startup, tracker, peers, .. } = self;
        self.gear = settings.gear(stage, db, startup, tracker, peers);
    }

    /// Compares the database and the state.
    fn compare(&mut self, op: &mut Op) {
        let place = &op.place;
        let pairs = self.db.iterate(b"", b"").unwrap().map(|pair| {
            let (key, value) = pair.unwrap();
            (const_hex::encode(key), const_hex::encode(value))
        });
        let stored: BTreeMap<_, _> = pairs.collect();
        let put = stored.iter().filter(|(key, value)| self.stored.get(*key) != Some(*value));
        let put: Vec<_> = put.map(|(key, value)| [key.clone(), value.clone()]).collect();
        assert_eq!(put, op.fields.or_default::<Vec<[String; 2]>>("put"), "{place}: put");
        let deleted = self.stored.keys().filter(|key| !stored.contains_key(*key));
        let deleted: Vec<_> = deleted.cloned().collect();
        assert_eq!(deleted, op.fields.or_default::<Vec<String>>("del"), "{place}: del");
        self.stored = stored;
        self.state.extend(op.fields.or_default::<BTreeMap<String, Value>>("st"));
        let state = self.now();
        for (key, expected) in &self.state {
            assert_eq!(&state[key], expected, "{place}: {key}");
        }
    }

    /// The state in the words of the traces.
    fn now(&self) -> Value {
        let Self { gear, stage: Stage { table, vm, .. }, .. } = self;
        let mut requests: Vec<_> = gear
            .outstanding_requests()
            .into_iter()
            .map(|(key, block)| json!([node_index(key.node), key.request.0, table.json(block)]))
            .collect();
        requests.sort_by_key(|entry| (entry[0].as_u64(), entry[1].as_u64()));
        let runs = gear.fetched().flatten().into_iter().map(|run| json!([run.lower, run.upper]));
        json!({
            "rid": gear.last_request().0,
            "missing": table.sorted(gear.missing().iter().copied()),
            "reqs": requests,
            "intervals": runs.collect::<Vec<_>>(),
            "started": gear.is_started(),
            "awaitingTimeout": gear.is_waiting_for_subnet(),
            "la": table.json(vm.last_accepted().unwrap()),
        })
    }
}

fn from(op: &mut Fields) -> (NodeId, RequestId) {
    (node(op.take("n")), RequestId(op.take("r")))
}

/// The bytes of a block by its number, or any.
fn container(value: &Value) -> Bytes {
    match value {
        Value::String(text) => Bytes::from(const_hex::decode(text).unwrap()),
        index => Bytes::from(format!("blk-{index}")),
    }
}

fn containers(op: &mut Fields) -> Vec<Bytes> {
    op.or_default::<Vec<Value>>("c").iter().map(container).collect()
}

/// Traces that give upstream blocks nobody was asked about.
const FOREIGN_MAJORITIES: usize = 12;

#[test]
fn bootstrap() {
    let exceptions = exceptions();
    let mut cut = 0;
    for mut trace in traces("bootstrap") {
        assert!(!exceptions.contains_key(&*trace.name), "{} has no exception", trace.name);
        let mut replay = Replay::new(&mut trace);
        for (number, op) in trace.list("ops").into_iter().enumerate() {
            if !replay.op(number, op) {
                cut += 1;
                break;
            }
        }
        trace.finish();
    }
    assert_eq!(cut, FOREIGN_MAJORITIES);
}
