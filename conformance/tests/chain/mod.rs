//! A scripted VM and its surroundings, for the replayers of gears, and the words of their traces.

mod vm;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_conformance::Fields;
use sastrugi_engine::{
    common::{Acceptor, Handled, NodeSet, SampleError, Sampler},
    testing::{ManualClock, RecordingSender, Sent, Surroundings},
};
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{Block, State};
use serde_json::{Value, json};

pub(crate) use vm::ScriptedVm;

pub(crate) fn node(index: u64) -> NodeId {
    let mut id = NodeId::EMPTY;
    id.0[18..].copy_from_slice(&(index as u16 + 1).to_be_bytes());
    id
}

pub(crate) fn node_index(id: NodeId) -> u64 {
    u64::from(u16::from_be_bytes([id.0[18], id.0[19]])) - 1
}

pub(crate) fn nodes(set: &NodeSet) -> Vec<u64> {
    set.iter().map(|id| node_index(*id)).collect()
}

/// The IDs of a trace and their indices.
pub(crate) struct Table {
    ids: Vec<Id>,
    indices: BTreeMap<Id, usize>,
}

impl Table {
    pub(crate) fn new(texts: &[String]) -> Self {
        let ids: Vec<_> = texts.iter().map(|text| id_of(text)).collect();
        let indices = ids.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        Self { ids, indices }
    }

    pub(crate) fn id(&self, value: &Value) -> Id {
        match value {
            Value::String(text) => id_of(text),
            value => match value.as_i64() {
                Some(-1) => Id::EMPTY,
                Some(index) => self.ids[index as usize],
                None => panic!("not an ID: {value}"),
            },
        }
    }

    pub(crate) fn ids(&self, values: &[Value]) -> BTreeSet<Id> {
        values.iter().map(|value| self.id(value)).collect()
    }

    pub(crate) fn json(&self, id: Id) -> Value {
        match self.indices.get(&id) {
            Some(index) => json!(index),
            None if id == Id::EMPTY => json!(-1),
            None => json!(const_hex::encode(id.0)),
        }
    }

    /// A list of IDs as upstream's traces sort it.
    pub(crate) fn sorted(&self, ids: impl IntoIterator<Item = Id>) -> Value {
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
pub(crate) struct Log {
    name: String,
    pub(crate) events: Vec<Value>,
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

pub(crate) type SharedLog = Arc<Mutex<Log>>;

/// Gives the samples of the trace, and logs what is announced.
pub(crate) struct Around {
    pub(crate) log: SharedLog,
    pub(crate) table: Arc<Table>,
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

    fn state_changed(&mut self, _state: State) -> Handled {
        Ok(())
    }
}

/// What is sent, in the words of the traces.
fn sent(table: &Table, sent: Sent<'_>) -> Value {
    let container = |bytes: &Bytes| -> Value {
        let text = std::str::from_utf8(bytes).unwrap().trim_end_matches('.');
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
        Sent::GetAcceptedFrontier(to, request) => {
            json!(["getAcceptedFrontier", nodes(to), request.0])
        }
        Sent::GetAccepted(to, request, ids) => {
            json!(["getAccepted", nodes(to), request.0, table.sorted(ids)])
        }
        Sent::GetAncestors(to, request, id) => {
            json!(["getAncestors", node_index(to), request.0, table.json(id)])
        }
        Sent::StateSummaryFrontier(to, request, bytes) => {
            let text = std::str::from_utf8(&bytes).unwrap();
            json!(["stateSummaryFrontier", node_index(to), request.0, text])
        }
        Sent::GetStateSummaryFrontier(to, request) => {
            json!(["getStateSummaryFrontier", nodes(to), request.0])
        }
        Sent::GetAcceptedStateSummary(to, request, heights) => {
            json!(["getAcceptedStateSummary", nodes(to), request.0, heights])
        }
        Sent::AcceptedStateSummary(to, request, ids) => {
            json!(["acceptedStateSummary", node_index(to), request.0, table.sorted(ids)])
        }
        other => panic!("nothing in the traces is {other:?}"),
    }
}

/// Everything around a gear that replays a trace.
pub(crate) struct Stage {
    name: String,
    pub(crate) table: Arc<Table>,
    pub(crate) log: SharedLog,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vm: Arc<ScriptedVm>,
    pub(crate) around: Surroundings<RecordingSender, Around, Around>,
}

/// An op while it is replayed.
pub(crate) struct Op {
    /// The trace and the op, for messages.
    pub(crate) place: String,
    pub(crate) kind: String,
    pub(crate) expected: Vec<Value>,
    pub(crate) fields: Fields,
}

impl Stage {
    pub(crate) fn new(trace: &mut Fields) -> Self {
        let table = Arc::new(Table::new(&trace.take::<Vec<String>>("ids")));
        let log = SharedLog::default();
        let clock = Arc::new(ManualClock::default());
        let vm = ScriptedVm::new(trace, &table, &log, &clock);
        let sender = {
            let (log, table) = (log.clone(), table.clone());
            RecordingSender::new(move |message| log.lock().events.push(sent(&table, message)))
        };
        let scripted = || Around { log: log.clone(), table: table.clone() };
        let around = Surroundings::new(sender, scripted(), scripted());
        trace.skip("name");
        Self { name: trace.name.clone(), table, log, clock, vm, around }
    }

    /// Prepares the answers of an op.
    pub(crate) fn begin(&mut self, number: usize, mut fields: Fields) -> Op {
        let kind: String = fields.take("op");
        let place = format!("{} op {number} {kind}", self.name);
        let expected: Vec<Value> = fields.or_default("ev");
        let is_answer = |event: &&Value| {
            ["sample", "sampleValidator", "build"].iter().any(|kind| event[0] == *kind)
        };
        let mut log = self.log.lock();
        log.name.clone_from(&place);
        log.answers = expected.iter().filter(is_answer).cloned().collect();
        self.around.set_time(&*self.clock);
        Op { place, kind, expected, fields }
    }

    /// Compares what an op did. Says whether the chain goes on.
    pub(crate) fn end(&self, op: &mut Op, result: Handled) -> bool {
        let place = &op.place;
        let mut log = self.log.lock();
        assert_eq!(json!(std::mem::take(&mut log.events)), json!(op.expected), "{place}");
        assert!(log.answers.is_empty(), "{place}: answers left");
        match (result, op.fields.maybe::<String>("err")) {
            (Ok(()), None) => true,
            (Err(error), Some(word)) if word == "error" || error.to_string().contains(&word) => {
                false
            }
            (result, word) => panic!("{place}: {result:?}, expected {word:?}"),
        }
    }
}
