//! Replays the traces of the consensus gear: real engine, consensus, polls, trackers and getter on a
//! scripted VM, sampler and clock. Everything the gear does is compared in order, then its state.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    common::{
        AcceptedHandler, Acceptor, AncestorsHandler, AppError, AppGossipHandler, AppRequestHandler,
        AppResponseHandler, ChitsHandler, Engine, Fatal, GetAcceptedFrontierHandler,
        GetAcceptedHandler, GetAncestorsHandler, GetHandler, Handled, Handler, InternalHandler,
        Message, NodeSet, PutHandler, QueryHandler, SampleError, Sampler, StateSyncing,
        tracker::Peers,
    },
    getter::GetterConfig,
    snowman::{Config, Snowman},
    testing::{ManualClock, RecordingSender, Sent, Surroundings},
    validators::{Validator, Validators},
};
use sastrugi_types::{
    Id, Instant, NodeId, RequestId, WallTime, message::Chits, version::Application,
};
use sastrugi_vm::{
    Block, BlockContext, ChainVm, Clock, Connector, Health, HealthChecker, State, Vm, VmError,
    VmInit,
};
use serde_json::{Value, json};

const SUBNET: Id = Id([7; 32]);

fn node(index: u64) -> NodeId {
    let mut id = NodeId::EMPTY;
    id.0[18..].copy_from_slice(&(index as u16 + 1).to_be_bytes());
    id
}

fn node_index(id: NodeId) -> u64 {
    u64::from(u16::from_be_bytes([id.0[18], id.0[19]])) - 1
}

fn nodes(set: &NodeSet) -> Vec<u64> {
    set.iter().map(|id| node_index(*id)).collect()
}

/// The IDs of a trace and their indices.
struct Table {
    ids: Vec<Id>,
    indices: BTreeMap<Id, usize>,
}

impl Table {
    fn new(texts: &[String]) -> Self {
        let ids: Vec<_> = texts.iter().map(|text| id_of(text)).collect();
        let indices = ids.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        Self { ids, indices }
    }

    fn id(&self, value: &Value) -> Id {
        match value {
            Value::String(text) => id_of(text),
            value => match value.as_i64() {
                Some(-1) => Id::EMPTY,
                Some(index) => self.ids[index as usize],
                None => panic!("not an ID: {value}"),
            },
        }
    }

    fn ids(&self, values: &[Value]) -> BTreeSet<Id> {
        values.iter().map(|value| self.id(value)).collect()
    }

    fn json(&self, id: Id) -> Value {
        match self.indices.get(&id) {
            Some(index) => json!(index),
            None if id == Id::EMPTY => json!(-1),
            None => json!(const_hex::encode(id.0)),
        }
    }

    /// A list of IDs as upstream's traces sort it.
    fn sorted(&self, ids: impl IntoIterator<Item = Id>) -> Value {
        let mut values: Vec<_> = ids.into_iter().map(|id| self.json(id)).collect();
        values.sort_by_key(|value| (value.as_i64(), value.as_str().map(str::to_owned)));
        Value::Array(values)
    }
}

fn id_of(text: &str) -> Id {
    Id(const_hex::decode_to_array(text).unwrap())
}

/// What the gear did in one step, and the answers it may ask for.
#[derive(Default)]
struct Log {
    name: String,
    events: Vec<Value>,
    answers: VecDeque<Value>,
}

impl Log {
    /// Adjacent rejects are one sorted event.
    fn reject(&mut self, block: Value) {
        match self.events.last_mut() {
            Some(Value::Array(event)) if event[0] == "reject" => {
                let list = event[1].as_array_mut().unwrap();
                list.push(block);
                list.sort_by_key(Value::as_i64);
            }
            _ => self.events.push(json!(["reject", [block]])),
        }
    }

    /// The next answer, which must be of this kind. It is an event itself.
    fn answer(&mut self, kind: &str) -> Value {
        let Some(answer) = self.answers.pop_front() else {
            panic!("{}: {kind} is not asked for here, after {:?}", self.name, self.events)
        };
        assert_eq!(answer[0], kind, "{}: after {:?}", self.name, self.events);
        self.events.push(answer.clone());
        answer
    }
}

type SharedLog = Arc<Mutex<Log>>;

/// How a block of the trace behaves.
struct Scripted {
    block: Block,
    /// 0: verifies, 1: never does, n: does from the n-th call on.
    verifies: u64,
    options: Option<[usize; 2]>,
}

struct ScriptedVm {
    log: SharedLog,
    table: Arc<Table>,
    blocks: Vec<Option<Scripted>>,
    pruned: u64,
    keep_rejected: bool,
    sick: bool,
    fail: BTreeMap<String, usize>,
    status: Mutex<Status>,
}

#[derive(Default)]
struct Status {
    accepted: Vec<Id>,
    processing: BTreeSet<Id>,
    rejected: BTreeSet<Id>,
    verified: BTreeMap<Id, u64>,
}

impl ScriptedVm {
    fn scripted(&self, id: Id) -> Option<&Scripted> {
        self.blocks[*self.table.indices.get(&id)?].as_ref()
    }

    fn event(&self, event: Value) {
        self.log.lock().events.push(event);
    }

    fn inject(&self, call: &str, id: Id) -> Result<(), VmError> {
        match self.fail.get(call) {
            Some(index) if self.table.ids[*index] == id => Err(VmError::Other("injected".into())),
            _ => Ok(()),
        }
    }
}

impl ChainVm for ScriptedVm {
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError> {
        let index = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_prefix("blk-"));
        let index = index.and_then(|digits| digits.parse::<usize>().ok());
        let scripted = index.and_then(|index| self.blocks.get(index)).and_then(Option::as_ref);
        scripted
            .map(|scripted| scripted.block.clone())
            .filter(|block| block.bytes == bytes)
            .ok_or_else(|| VmError::invalid("does not parse"))
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        let status = self.status.lock();
        let known = status.accepted.contains(&id)
            || status.processing.contains(&id)
            || (self.keep_rejected && status.rejected.contains(&id));
        if !known {
            return Err(VmError::NotFound);
        }
        Ok(self.scripted(id).map(|scripted| scripted.block.clone()))
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        let at_height = |id: &&Id| self.scripted(**id).unwrap().block.height == height;
        match self.status.lock().accepted.iter().find(at_height) {
            Some(id) if height >= self.pruned => Ok(Some(*id)),
            _ => Err(VmError::NotFound),
        }
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        let id = *self.status.lock().accepted.last().unwrap();
        self.inject("lastAccepted", id)?;
        Ok(id)
    }

    fn build_block(&self, _context: Option<BlockContext>) -> Result<Block, VmError> {
        let answer = self.log.lock().answer("build");
        match self.scripted(self.table.id(&answer[1])) {
            Some(scripted) => Ok(scripted.block.clone()),
            None => Err(VmError::NothingToBuild),
        }
    }

    fn verify(&self, block: &Block, _context: Option<BlockContext>) -> Result<(), VmError> {
        let mut status = self.status.lock();
        let calls = status.verified.entry(block.id).or_default();
        *calls += 1;
        let ok = match self.scripted(block.id).unwrap().verifies {
            0 => true,
            1 => false,
            from => *calls >= from,
        };
        self.event(json!(["verify", self.table.json(block.id), ok]));
        if !ok {
            return Err(VmError::invalid("scripted"));
        }
        status.processing.insert(block.id);
        Ok(())
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        self.event(json!(["accept", self.table.json(id)]));
        self.inject("accept", id)?;
        let mut status = self.status.lock();
        assert!(status.processing.remove(&id), "accepted without being verified");
        status.accepted.push(id);
        Ok(())
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        self.log.lock().reject(self.table.json(id));
        let mut status = self.status.lock();
        assert!(status.processing.remove(&id), "rejected without being verified");
        status.rejected.insert(id);
        Ok(())
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        self.event(json!(["setPreference", self.table.json(id)]));
        self.inject("setPreference", id)
    }

    fn options(&self, block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        self.inject("options", block.id)?;
        let options = self.scripted(block.id).unwrap().options;
        Ok(options.map(|two| two.map(|index| self.blocks[index].as_ref().unwrap().block.clone())))
    }
}

impl Vm for ScriptedVm {
    fn initialize(&self, _init: VmInit) -> Result<(), VmError> {
        panic!("the gear does not initialize its VM")
    }

    fn set_state(&self, state: State) -> Result<(), VmError> {
        assert_eq!(state, State::NormalOp);
        self.event(json!(["setState", "Normal operations state"]));
        Ok(())
    }

    fn version(&self) -> Result<String, VmError> {
        Ok("scripted".to_owned())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        self.event(json!(["shutdown"]));
        Ok(())
    }
}

impl HealthChecker for ScriptedVm {
    fn health(&self) -> Health {
        if self.sick {
            Health { details: json!("sick"), causes: vec!["injected".to_owned()] }
        } else {
            Health::well(json!("well"))
        }
    }
}

impl Connector for ScriptedVm {
    fn connected(&self, node: NodeId, _version: &Application) -> Result<(), VmError> {
        self.event(json!(["vm.connected", node_index(node)]));
        Ok(())
    }

    fn disconnected(&self, node: NodeId) -> Result<(), VmError> {
        self.event(json!(["vm.disconnected", node_index(node)]));
        Ok(())
    }
}

impl AppRequestHandler for ScriptedVm {
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        _deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        let bytes = const_hex::encode(bytes);
        self.event(json!(["vm.appRequest", node_index(node), request.0, bytes]));
        Ok(())
    }
}

impl AppResponseHandler for ScriptedVm {
    fn app_response(&self, node: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        let bytes = const_hex::encode(bytes);
        self.event(json!(["vm.appResponse", node_index(node), request.0, bytes]));
        Ok(())
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        let error = error.to_string();
        self.event(json!(["vm.appRequestFailed", node_index(node), request.0, error]));
        Ok(())
    }
}

impl AppGossipHandler for ScriptedVm {
    fn app_gossip(&self, node: NodeId, bytes: Bytes) -> Result<(), VmError> {
        self.event(json!(["vm.appGossip", node_index(node), const_hex::encode(bytes)]));
        Ok(())
    }
}

/// Gives the samples of the trace, and logs what is announced.
struct Around {
    log: SharedLog,
    table: Arc<Table>,
}

impl Sampler for Around {
    fn sample(&mut self, size: usize) -> Result<Vec<NodeId>, SampleError> {
        let answer = self.log.lock().answer("sample");
        assert_eq!(answer[1], json!(size));
        match answer[2].as_array() {
            Some(list) => Ok(list.iter().map(|index| node(index.as_u64().unwrap())).collect()),
            None => Err(SampleError::InsufficientWeight),
        }
    }

    fn sample_connected(&mut self) -> Option<NodeId> {
        let answer = self.log.lock().answer("sampleValidator");
        answer[1].as_u64().map(node)
    }
}

impl Acceptor for Around {
    fn accepting(&mut self, block: &Block) -> Handled {
        self.log.lock().events.push(json!(["acceptor", self.table.json(block.id)]));
        Ok(())
    }

    fn accepted(&mut self, block: &Block) -> Handled {
        let log = self.log.lock();
        assert_eq!(log.events.last(), Some(&json!(["accept", self.table.json(block.id)])));
        Ok(())
    }

    fn state_changed(&mut self, state: State) {
        assert_eq!(state, State::NormalOp);
    }
}

/// What is sent, in the words of the traces.
fn sent(table: &Table, sent: Sent<'_>) -> Value {
    let container = |bytes: &Bytes| -> Value {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        json!(text.strip_prefix("blk-").unwrap().parse::<u64>().unwrap())
    };
    match sent {
        Sent::PushQuery(to, request, bytes, height) => {
            json!(["pushQuery", nodes(to), request.0, container(&bytes), height])
        }
        Sent::PullQuery(to, request, id, height) => {
            json!(["pullQuery", nodes(to), request.0, table.json(id), height])
        }
        Sent::Chits(to, request, chits) => json!([
            "chits",
            node_index(to),
            request.0,
            table.json(chits.preferred),
            table.json(chits.preferred_at_height),
            table.json(chits.accepted),
            chits.accepted_height
        ]),
        Sent::Get(to, request, id) => json!(["get", node_index(to), request.0, table.json(id)]),
        Sent::Put(to, request, bytes) => {
            json!(["put", node_index(to), request.0, container(&bytes)])
        }
        Sent::Ancestors(to, request, blocks) => {
            let blocks: Vec<_> = blocks.iter().map(container).collect();
            json!(["ancestors", node_index(to), request.0, blocks])
        }
        Sent::Accepted(to, request, ids) => {
            json!(["accepted", node_index(to), request.0, table.sorted(ids)])
        }
        Sent::AcceptedFrontier(to, request, id) => {
            json!(["acceptedFrontier", node_index(to), request.0, table.json(id)])
        }
        other => panic!("nothing in the traces is {other:?}"),
    }
}

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

fn scripted(index: usize, value: Value, table: &Table) -> Option<Scripted> {
    if value.is_null() {
        return None;
    }
    let mut fields = Fields::of(&format!("blocks[{index}]"), value);
    let time: i64 = fields.or_default("t");
    let block = Block {
        id: table.ids[index],
        parent: table.id(&fields.take("p")),
        height: fields.take("h"),
        timestamp: WallTime(ManualClock::WALL_START.0 + time),
        bytes: Bytes::from(format!("blk-{index}")),
    };
    let scripted = Scripted { block, verifies: fields.or_default("v"), options: fields.maybe("o") };
    fields.finish();
    Some(scripted)
}

struct Replay {
    name: String,
    table: Arc<Table>,
    log: SharedLog,
    clock: Arc<ManualClock>,
    validators: Arc<Validators>,
    peers: Arc<Peers>,
    gear: Snowman,
    around: Surroundings<RecordingSender, Around, Around>,
    start: RequestId,
    /// Upstream's state as shown so far.
    state: BTreeMap<String, Value>,
}

impl Replay {
    fn new(trace: &mut Fields) -> Self {
        let table = Arc::new(Table::new(&trace.take::<Vec<String>>("ids")));
        let log = SharedLog::default();
        log.lock().name.clone_from(&trace.name);
        let vm = scripted_vm(trace, &table, &log);
        let validators = Arc::new(Validators::new(1));
        let peers = Arc::new(Peers::new(2));
        validators.register_set_listener(SUBNET, peers.clone());
        let clock = Arc::new(ManualClock::default());
        let state_syncing = StateSyncing::default();
        state_syncing.set(trace.or_default("stateSyncing"));
        let gear = Snowman::new(Config {
            subnet: SUBNET,
            node: node(0),
            vm,
            clock: clock.clone(),
            getter: GetterConfig {
                ancestors_max: trace.take("maxAncestors"),
                ..GetterConfig::default()
            },
            params: parameters(trace.nested("params")),
            validators: validators.clone(),
            peers: peers.clone(),
            state_syncing,
            partial_sync: trace.or_default("partialSync"),
            hash_seed: 3,
        })
        .unwrap();
        let sender = {
            let (log, table) = (log.clone(), table.clone());
            RecordingSender::new(move |message| log.lock().events.push(sent(&table, message)))
        };
        let scripted = || Around { log: log.clone(), table: table.clone() };
        let around = Surroundings::new(sender, scripted(), scripted());
        Self {
            name: trace.name.clone(),
            start: RequestId(trace.take("start")),
            table,
            log,
            clock,
            validators,
            peers,
            gear,
            around,
            state: BTreeMap::new(),
        }
    }

    fn op(&mut self, number: usize, mut op: Fields) {
        let kind: String = op.take("op");
        let place = format!("{} op {number} {kind}", self.name);
        let expected: Vec<Value> = op.or_default("ev");
        let is_answer = |event: &&Value| {
            ["sample", "sampleValidator", "build"].iter().any(|kind| event[0] == *kind)
        };
        {
            let mut log = self.log.lock();
            log.name.clone_from(&place);
            log.answers = expected.iter().filter(is_answer).cloned().collect();
        }
        let result = self.apply(&kind, &mut op);
        {
            let mut log = self.log.lock();
            assert_eq!(json!(std::mem::take(&mut log.events)), json!(expected), "{place}");
            assert!(log.answers.is_empty(), "{place}: answers left");
        }
        match (result, op.maybe::<String>("err")) {
            (Ok(()), None) => {}
            (Err(error), Some(word)) => {
                assert!(error.to_string().contains(&word), "{place}");
                // The chain stops, and upstream's state is not shown any more.
                self.state.clear();
            }
            (result, word) => panic!("{place}: {result:?}, expected {word:?}"),
        }
        self.state.extend(op.or_default::<BTreeMap<String, Value>>("st"));
        let state = self.now();
        for (key, expected) in &self.state {
            assert_eq!(&state[key], expected, "{place}: {key}");
        }
        op.finish();
    }

    fn apply(&mut self, kind: &str, op: &mut Fields) -> Result<(), Fatal> {
        let Self { gear, around, table, .. } = self;
        let from = node(op.or_default("n"));
        let request = RequestId(op.or_default("r"));
        around.set_time(&*self.clock);
        let cx = &mut around.cx();
        match kind {
            "stake" => self.stake(from, op.or_default("w")),
            "sleep" => self.clock.advance(Duration::from_nanos(op.take("ns"))),
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
        let health = self.gear.health(self.clock.now(), self.clock.wall());
        let last_accepted = self.table.id(&out.take("lastAccepted"));
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
        assert_eq!(health.details, expected, "{}", self.name);
        let text: String = out.or_default("err");
        // Upstream has one text: "vm: … ; consensus: …" when both ail.
        let both = text.strip_prefix("vm: ").and_then(|text| text.split_once(" ; consensus: "));
        let mut causes: Vec<_> = both.map_or(&*text, |(_, consensus)| consensus).lines().collect();
        causes.extend(both.map(|(vm, _)| vm));
        assert_eq!(health.causes, causes, "{}", self.name);
        out.finish();
    }

    /// The state in the words of the traces.
    fn now(&self) -> Value {
        let Self { gear, table, .. } = self;
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

fn scripted_vm(trace: &mut Fields, table: &Arc<Table>, log: &SharedLog) -> Arc<ScriptedVm> {
    let blocks: Vec<Value> = trace.take("blocks");
    let blocks = blocks.into_iter().enumerate().map(|(index, value)| scripted(index, value, table));
    let accepted: Vec<usize> = trace.take("accepted");
    let accepted = accepted.into_iter().map(|index| table.ids[index]).collect();
    let mut fields = trace.nested("vm");
    let vm = ScriptedVm {
        log: log.clone(),
        blocks: blocks.collect(),
        table: table.clone(),
        pruned: fields.or_default("pruned"),
        keep_rejected: fields.or_default("keepRejected"),
        sick: fields.or_default("sick"),
        fail: fields.or_default("fail"),
        status: Mutex::new(Status { accepted, ..Status::default() }),
    };
    fields.finish();
    Arc::new(vm)
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
        trace.skip("name");
        trace.finish();
    }
}
