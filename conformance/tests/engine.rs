//! Replays the traces of the consensus gear: real engine, consensus, polls, trackers and getter on a
//! scripted VM, sampler and clock. Everything the gear does is compared in order, then its state.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trace that is not as expected must fail the test"
)]

mod chain;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chain::{Stage, node, node_index};
use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    common::{
        AcceptedHandler, AncestorsHandler, AppError, ChitsHandler, Engine,
        GetAcceptedFrontierHandler, GetAcceptedHandler, GetAncestorsHandler, GetHandler, Handled,
        Handler, InternalHandler, Message, PutHandler, QueryHandler, StateSyncing, tracker::Peers,
    },
    getter::GetterConfig,
    snowman::{Config, Snowman},
    validators::{Validator, Validators},
};
use sastrugi_types::{Id, Instant, NodeId, RequestId, message::Chits, version::Application};
use sastrugi_vm::Clock;
use serde_json::{Value, json};

const SUBNET: Id = Id([7; 32]);

fn parameters(mut fields: Fields) -> Parameters {
    let parameters = Parameters {
        k: fields.take("k"),
        alpha_preference: fields.take("alphaPreference"),
        alpha_confidence: fields.take("alphaConfidence"),
        beta: fields.take("beta"),
        concurrent_repolls: fields.take("concurrentRepolls"),
        optimal_processing: fields.take("optimalProcessing"),
        max_outstanding_items: fields.take("maxOutstandingItems"),
        max_item_processing_time: Duration::from_nanos(fields.take("maxItemProcessingTime")),
    };
    fields.finish();
    parameters
}

struct Replay {
    stage: Stage,
    validators: Arc<Validators>,
    peers: Arc<Peers>,
    gear: Snowman,
    start: RequestId,
    /// Upstream's state as shown so far.
    state: BTreeMap<String, Value>,
}

impl Replay {
    fn new(trace: &mut Fields) -> Self {
        let stage = Stage::new(trace);
        let validators = Arc::new(Validators::new(1));
        let peers = Arc::new(Peers::new(2));
        validators.register_set_listener(SUBNET, peers.clone());
        let state_syncing = StateSyncing::default();
        state_syncing.set(trace.or_default("stateSyncing"));
        let ancestors_max = trace.take("maxAncestors");
        let gear = Snowman::new(Config {
            subnet: SUBNET,
            node: node(0),
            vm: stage.vm.clone(),
            clock: stage.clock.clone(),
            getter: GetterConfig { ancestors_max, ..GetterConfig::default() },
            params: parameters(trace.nested("params")),
            validators: validators.clone(),
            peers: peers.clone(),
            state_syncing,
            partial_sync: trace.or_default("partialSync"),
            hash_seed: 3,
        })
        .unwrap();
        let start = RequestId(trace.take("start"));
        Self { stage, validators, peers, gear, start, state: BTreeMap::new() }
    }

    fn op(&mut self, number: usize, fields: Fields) {
        let mut op = self.stage.begin(number, fields);
        let result = self.apply(&op.kind, &mut op.fields);
        if !self.stage.end(&mut op, result) {
            // The chain stops, and upstream's state is not shown any more.
            self.state.clear();
        }
        self.state.extend(op.fields.or_default::<BTreeMap<String, Value>>("st"));
        let state = self.now();
        for (key, expected) in &self.state {
            assert_eq!(&state[key], expected, "{}: {key}", op.place);
        }
        op.fields.finish();
    }

    fn apply(&mut self, kind: &str, op: &mut Fields) -> Handled {
        let Self { gear, stage: Stage { around, table, clock, .. }, .. } = self;
        let from = node(op.or_default("n"));
        let request = RequestId(op.or_default("r"));
        let cx = &mut around.cx();
        match kind {
            "stake" => self.stake(from, op.or_default("w")),
            "sleep" => clock.advance(Duration::from_nanos(op.take("ns"))),
            "health" => self.health(op.nested("out")),
            "start" => return gear.start(cx, self.start),
            "connected" => {
                self.peers.connected(from);
                return gear.connected(cx, from, &Application::default());
            }
            "disconnected" => {
                self.peers.disconnected(from);
                return gear.disconnected(cx, from);
            }
            "chits" => {
                let chits = Chits {
                    preferred: table.id(&op.take("b")),
                    preferred_at_height: table.id(&op.take("at")),
                    accepted: table.id(&op.take("acc")),
                    accepted_height: op.take("h"),
                };
                return gear.chits(cx, from, request, chits);
            }
            "queryFailed" => return gear.query_failed(cx, from, request),
            "put" => return gear.put(cx, from, request, container(op)),
            "getFailed" => return gear.get_failed(cx, from, request),
            "pushQuery" => {
                let height = op.take("h");
                return gear.push_query(cx, from, request, container(op), height);
            }
            "pullQuery" => {
                let (id, height) = (table.id(&op.take("b")), op.take("h"));
                return gear.pull_query(cx, from, request, id, height);
            }
            "notify" => return gear.notify(cx, Message::from(op.or_default::<u32>("m"))),
            "gossip" => return gear.gossip(cx),
            "shutdown" => return gear.shutdown(cx),
            "get" => return gear.get(cx, from, request, table.id(&op.take("b"))),
            "getAncestors" => {
                return gear.get_ancestors(cx, from, request, table.id(&op.take("b")));
            }
            "getAcceptedFrontier" => return gear.get_accepted_frontier(cx, from, request),
            "getAccepted" => {
                let ids = table.ids(&op.take::<Vec<_>>("ids"));
                return gear.get_accepted(cx, from, request, ids);
            }
            "accepted" => {
                let ids = table.ids(&op.take::<Vec<_>>("ids"));
                return gear.accepted(cx, from, request, ids);
            }
            "ancestors" => {
                return gear.ancestors(cx, from, request, vec![Bytes::from(op.bytes("x"))]);
            }
            other => app(gear, other, from, request, op),
        }
        Ok(())
    }

    fn stake(&self, node: NodeId, weight: u64) {
        let validators = &self.validators;
        let old = validators.weight(SUBNET, &node);
        match (old, weight.checked_sub(old)) {
            (0, Some(1..)) => {
                let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight };
                validators.add_staker(SUBNET, validator).unwrap();
            }
            (_, Some(0)) => {}
            (_, Some(more)) => validators.add_weight(SUBNET, node, more).unwrap(),
            (_, None) => validators.remove_weight(SUBNET, node, old - weight).unwrap(),
        }
    }

    fn health(&mut self, mut out: Fields) {
        let Stage { clock, table, .. } = &self.stage;
        let health = self.gear.health(clock.now(), clock.wall());
        let last_accepted = table.id(&out.take("lastAccepted"));
        let expected = json!({
            "consensus": {
                "avgAcceptanceTime": out.take::<String>("avgAcceptanceTime"),
                "lastAcceptedID": last_accepted.to_string(),
                "lastAcceptedHeight": out.take::<u64>("lastAcceptedHeight"),
                "longestProcessingBlock": out.take::<String>("longestProcessingBlock"),
                "processingBlocks": out.take::<u64>("processingBlocks"),
            },
            "vm": out.take::<String>("vm"),
        });
        assert_eq!(health.details, expected);
        let text: String = out.or_default("err");
        // Upstream has one text: "vm: … ; consensus: …" when both ail.
        let both = text.strip_prefix("vm: ").and_then(|text| text.split_once(" ; consensus: "));
        let mut causes: Vec<_> = both.map_or(&*text, |(_, consensus)| consensus).lines().collect();
        causes.extend(both.map(|(vm, _)| vm));
        assert_eq!(health.causes, causes);
        out.finish();
    }

    /// The state in the words of the traces.
    fn now(&self) -> Value {
        let Self { gear, stage: Stage { table, .. }, .. } = self;
        let consensus = gear.consensus();
        let (last_accepted, height) = consensus.last_accepted();
        let blocks = consensus.dump().blocks.into_iter().map(|block| block.id);
        let mut requests: Vec<_> = gear
            .outstanding_gets()
            .into_iter()
            .map(|(key, block)| json!([node_index(key.node), key.request.0, table.json(block)]))
            .collect();
        requests.sort_by_key(|entry| (entry[0].as_u64(), entry[1].as_u64()));
        let gauges = gear.gauges();
        assert_eq!((gauges.requests, gauges.blocked), (requests.len(), gear.pending().len()));
        json!({
            "pref": table.json(consensus.preference()),
            "la": [table.json(last_accepted), height],
            "proc": table.sorted(blocks.filter(|id| *id != last_accepted)),
            "pend": table.sorted(gear.pending()),
            "reqs": requests,
            "deps": gauges.blockers,
            "polls": gear.polls().len(),
            "unv": gauges.unverified,
            "cached": gauges.unverified_cached,
            "build": gear.owed_builds(),
            "rid": gear.last_request().0,
        })
    }
}

/// The bytes that came: those of a block, or any.
fn container(op: &mut Fields) -> Bytes {
    match op.maybe::<u64>("b") {
        Some(index) => Bytes::from(format!("blk-{index}")),
        None => Bytes::from(op.bytes("x")),
    }
}

fn app(gear: &Snowman, kind: &str, from: NodeId, request: RequestId, op: &mut Fields) {
    let bytes = Bytes::from(op.bytes("x"));
    let app = gear.app();
    match kind {
        "appRequest" => app.app_request(from, request, Instant::MAX, bytes),
        "appResponse" => app.app_response(from, request, bytes),
        "appRequestFailed" => app.app_request_failed(from, request, &AppError::TIMEOUT),
        "appGossip" => app.app_gossip(from, bytes),
        other => panic!("unknown op {other}"),
    }
    .unwrap();
}

#[test]
fn engine() {
    let exceptions = exceptions();
    for mut trace in traces("engine") {
        assert!(!exceptions.contains_key(&*trace.name), "{} has no exception", trace.name);
        let mut replay = Replay::new(&mut trace);
        for (number, op) in trace.list("ops").into_iter().enumerate() {
            replay.op(number, op);
        }
        trace.finish();
    }
}
