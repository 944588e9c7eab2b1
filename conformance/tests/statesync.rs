//! Replays the traces of the state syncer: real gear, startup tracker and getter on a scripted VM
//! and sampler.
//!
//! One rule makes the gear differ from upstream on purpose: **failed seeders are weighed in the unit
//! in which they were drawn**, where upstream subtracts their whole stake from the number of units,
//! which may wrap. Where that decides an attempt differently, the replayer works both decisions out
//! from the trace, checks that upstream's is the one in the trace and that the gear takes the other,
//! step by step. Then it plays the trace again, with the seeders of that attempt all answering or all
//! failing, so that both rules decide the same, and compares the rest.
//!
//! The gear also pauses after an attempt in vain. The replayer lets these pauses end at once.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trace that is not as expected must fail the test"
)]

mod chain;
#[path = "statesync/seeding.rs"]
mod seeding;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use chain::{Around, Stage, node, node_index};
use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_engine::{
    common::{
        AcceptedStateSummaryHandler, ChitsHandler, Cx, Engine, Handled, InternalHandler, Message,
        StateSummaryFrontierHandler, StateSyncer as _, StateSyncing,
        tracker::{Peers, Startup},
    },
    getter::GetterConfig,
    syncer::{Beacons, Config, StateSyncer},
    validators::{Validator, Validators},
};
use sastrugi_types::{Id, Instant, NodeId, RequestId, message::Chits, version::Application};
use seeding::{Force, Forced, Seeding};
use serde_json::{Value, json};

const SUBNET: Id = Id([7; 32]);

struct Replay {
    stage: Stage,
    gear: StateSyncer,
    state_syncing: StateSyncing,
    start: RequestId,
    /// Upstream's state as shown so far.
    state: BTreeMap<String, Value>,
    seeding: Seeding,
}

/// The beacons of a trace, and the tracker that says when enough of them are connected.
fn beacons(trace: &mut Fields) -> (Beacons, Arc<Startup>) {
    let validators = Arc::new(Validators::new(1));
    let startup = Arc::new(Startup::new(Peers::new(2), trace.take("startupWeight")));
    validators.register_set_listener(SUBNET, startup.clone());
    for (index, weight) in trace.take::<Vec<u64>>("weights").into_iter().enumerate() {
        if weight > 0 {
            let node = node(index as u64);
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight };
            validators.add_staker(SUBNET, validator).unwrap();
        }
    }
    let (sample_size, alpha) = (trace.take("sampleK"), trace.take("alpha"));
    let listed: Vec<u64> = trace.or_default("stateSyncers");
    if listed.is_empty() {
        return (Beacons { validators, sample_size, alpha }, startup);
    }
    let nodes: Vec<NodeId> = listed.into_iter().map(node).collect();
    (Beacons::listed(&nodes, SUBNET, sample_size, 3).unwrap(), startup)
}

impl Replay {
    fn new(trace: &mut Fields) -> Self {
        let seeding = Seeding::new(trace.clone());
        let stage = Stage::new(trace);
        let (beacons, startup) = beacons(trace);
        let state_syncing = StateSyncing::default();
        let gear = StateSyncer::new(Config {
            subnet: SUBNET,
            vm: stage.vm.clone(),
            clock: stage.clock.clone(),
            getter: GetterConfig::default(),
            beacons,
            sampler: Box::new(Around { log: stage.log.clone(), table: stage.table.clone() }),
            startup,
            state_syncing: state_syncing.clone(),
        });
        let start = RequestId(trace.take("start"));
        Self { stage, gear, state_syncing, start, state: BTreeMap::new(), seeding }
    }

    /// Replays an op. If the rule makes the gear decide otherwise than upstream, this checks that it
    /// does, and says what makes it decide the same.
    fn op(&mut self, number: usize, mut op: Value, forced: &Forced) -> Option<(usize, Force)> {
        let attempt = self.seeding.attempt;
        let difference = if number == 0 { None } else { self.seeding.follow(&self.state, &op) };
        let force = forced.get(&attempt).copied();
        let mut found = None;
        match (force, difference) {
            (Some(force), _) => force.apply(&mut op),
            (None, Some((instead, force))) => {
                op["ev"] = instead;
                found = Some((attempt, force));
            }
            (None, None) => {}
        }
        let mut op = self.stage.begin(number, Fields::of("op", op));
        let result = self.apply(&op.kind, &mut op.fields);
        if found.is_some() {
            self.stage.end(&mut op, result);
            return found;
        }
        if !self.stage.end(&mut op, result) {
            // The chain stops, and upstream's state is not shown any more.
            self.state.clear();
        }
        self.state.extend(op.fields.or_default::<BTreeMap<String, Value>>("st"));
        let state = self.now();
        let force = forced.get(&self.seeding.attempt);
        for (key, expected) in &self.state {
            if !force.is_some_and(|force| force.hides(key)) {
                assert_eq!(&state[key], expected, "{}: {key}", op.place);
            }
        }
        op.fields.finish();
        None
    }

    fn apply(&mut self, kind: &str, op: &mut Fields) -> Handled {
        let (mut handled, mut finished) = self.hear(kind, op);
        let Self { gear, stage: Stage { around, log, .. }, .. } = self;
        // The pause after an attempt in vain takes no time here: upstream makes none.
        if handled.is_ok() && around.timer.handle_timeout(Instant::MAX) {
            let cx = &mut around.cx();
            handled = gear.timeout(cx);
            finished = finished.or(Cx::finished(cx));
        }
        if let Some(last) = finished {
            log.lock().events.push(json!(["done", last.0]));
        }
        handled
    }

    fn hear(&mut self, kind: &str, op: &mut Fields) -> (Handled, Option<RequestId>) {
        let Self { gear, stage, .. } = self;
        let from = node(op.or_default("n"));
        let request = RequestId(op.or_default("r"));
        let table = stage.table.clone();
        let vm = stage.vm.clone();
        let cx = &mut stage.around.cx();
        let handled = match kind {
            "isEnabled" => {
                let expected: bool = op.or_default("out");
                gear.is_enabled().map(|enabled| assert_eq!(enabled, expected))
            }
            "start" => gear.start(cx, self.start),
            "connected" => gear.connected(cx, from, &Application::default()),
            "disconnected" => gear.disconnected(cx, from),
            "stateSummaryFrontier" => gear.state_summary_frontier(cx, from, request, summary(op)),
            "getStateSummaryFrontierFailed" => {
                gear.get_state_summary_frontier_failed(cx, from, request)
            }
            "acceptedStateSummary" => {
                let ids = table.ids(&op.or_default::<Vec<_>>("ids"));
                gear.accepted_state_summary(cx, from, request, ids)
            }
            "getAcceptedStateSummaryFailed" => {
                gear.get_accepted_state_summary_failed(cx, from, request)
            }
            "ongoing" => {
                *vm.ongoing.lock() = op.take("s");
                Ok(())
            }
            "notify" => gear.notify(cx, Message::from(op.or_default::<u32>("m"))),
            "gossip" => gear.gossip(cx),
            "chits" => gear.chits(cx, from, request, Chits::default()),
            "shutdown" => gear.shutdown(cx),
            other => panic!("unknown op {other}"),
        };
        (handled, Cx::finished(cx))
    }

    /// The state in the words of the traces.
    fn now(&self) -> Value {
        let Self { gear, stage: Stage { table, .. }, .. } = self;
        let attempt = gear.attempt();
        let list = |set: &BTreeSet<NodeId>| -> Vec<u64> {
            set.iter().map(|node| node_index(*node)).collect()
        };
        let mut weights: Vec<_> =
            attempt.weights().map(|(id, weight)| json!([table.json(id), weight])).collect();
        weights.sort_by_key(|entry| entry[0].as_u64());
        json!({
            "rid": gear.last_request().0,
            "started": gear.has_begun(),
            "stateSyncing": self.state_syncing.is_set(),
            "pendingSeeders": list(attempt.seeders().pending()),
            "failedSeeders": list(attempt.seeders().failed()),
            "pendingVoters": list(attempt.voters().pending()),
            "failedVoters": list(attempt.voters().failed()),
            "weights": weights,
        })
    }
}

/// The bytes that came: those of a summary, or any.
fn summary(op: &mut Fields) -> Bytes {
    match op.maybe::<u64>("s") {
        Some(index) => Bytes::from(format!("sum-{index}")),
        None => Bytes::from(op.bytes("x")),
    }
}

/// Replays a trace, anew for each difference the rule makes. Gives back their number.
fn replay(trace: &Fields) -> usize {
    let mut forced = Forced::new();
    'again: loop {
        let mut trace = trace.clone();
        let mut replay = Replay::new(&mut trace);
        for (number, op) in trace.take::<Vec<Value>>("ops").into_iter().enumerate() {
            if let Some((attempt, force)) = replay.op(number, op, &forced) {
                assert_eq!(forced.insert(attempt, force), None, "{}", trace.name);
                continue 'again;
            }
        }
        trace.finish();
        return forced.len();
    }
}

#[test]
fn statesync() {
    let exceptions = exceptions();
    let mut differences = 0;
    for trace in traces("statesync") {
        assert!(!exceptions.contains_key(&*trace.name), "{} has no exception", trace.name);
        differences += replay(&trace);
    }
    assert!(differences > 0, "the rule makes no difference any more");
}
