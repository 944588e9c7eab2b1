//! The VM of the traces.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_conformance::Fields;
use sastrugi_engine::{
    common::{AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, Haltable, Halter},
    testing::ManualClock,
};
use sastrugi_types::{Id, Instant, NodeId, RequestId, WallTime, version::Application};
use sastrugi_vm::{
    Block, BlockContext, ChainVm, Connector, Health, HealthChecker, State, StateSummary,
    StateSyncMode, StateSyncableVm, Vm, VmError, VmInit,
};
use serde_json::{Value, json};

use super::{SharedLog, Table, node_index};

/// How a block of the trace behaves.
struct Scripted {
    block: Block,
    /// 0: verifies, 1: never does, n: does from the n-th call on.
    verifies: u64,
    options: Option<[usize; 2]>,
}

pub(crate) struct ScriptedVm {
    log: SharedLog,
    table: Arc<Table>,
    blocks: Vec<Option<Scripted>>,
    pruned: u64,
    keep_rejected: bool,
    sick: bool,
    fail: BTreeMap<String, usize>,
    /// How long each look-up of a block takes.
    get_block_time: Duration,
    clock: Arc<ManualClock>,
    summaries: Option<Summaries>,
    /// The summary of an interrupted sync: its index, -1 for none, -2 for an error.
    pub(crate) ongoing: Mutex<i64>,
    pub(crate) accepts: Mutex<Accepts>,
    status: Mutex<Status>,
}

/// The state summaries of a VM that has them.
struct Summaries {
    heights: Vec<u64>,
    /// What happens when each is accepted.
    modes: Vec<String>,
    latest: Option<usize>,
    /// Those that can be found by their height.
    stored: Vec<usize>,
    enabled: bool,
    enabled_fails: bool,
}

/// What happens when blocks are accepted.
#[derive(Default)]
pub(crate) struct Accepts {
    /// How many were, or failed to be.
    count: u64,
    /// The number of the one upon which the chain is told to stop.
    pub(crate) halt_at: Option<u64>,
    /// The number of the one that fails.
    pub(crate) fail_at: Option<u64>,
    pub(crate) halter: Halter,
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
        let index = index.and_then(|digits| digits.trim_end_matches('.').parse::<usize>().ok());
        let scripted = index.and_then(|index| self.blocks.get(index)).and_then(Option::as_ref);
        scripted
            .map(|scripted| scripted.block.clone())
            .filter(|block| block.bytes == bytes)
            .ok_or_else(|| VmError::invalid("does not parse"))
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        self.clock.advance(self.get_block_time);
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
        let mut accepts = self.accepts.lock();
        accepts.count += 1;
        let count = Some(accepts.count);
        if accepts.fail_at == count {
            self.event(json!(["acceptFails", self.table.json(id)]));
            return Err(VmError::Other("injected".into()));
        }
        if accepts.halt_at == count {
            accepts.halter.halt();
        }
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

    fn state_sync(&self) -> Option<&dyn StateSyncableVm> {
        self.summaries.as_ref().map(|_| self as &dyn StateSyncableVm)
    }

    fn options(&self, block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        self.inject("options", block.id)?;
        let options = self.scripted(block.id).unwrap().options;
        Ok(options.map(|two| two.map(|index| self.blocks[index].as_ref().unwrap().block.clone())))
    }
}

impl ScriptedVm {
    fn summaries(&self) -> &Summaries {
        self.summaries.as_ref().unwrap()
    }

    fn summary(&self, index: usize) -> StateSummary {
        StateSummary {
            id: self.table.ids[index],
            height: self.summaries().heights[index],
            bytes: Bytes::from(format!("sum-{index}")),
        }
    }
}

impl StateSyncableVm for ScriptedVm {
    fn state_sync_enabled(&self) -> Result<bool, VmError> {
        let Summaries { enabled, enabled_fails, .. } = self.summaries();
        if *enabled_fails { Err(VmError::Other("injected".into())) } else { Ok(*enabled) }
    }

    fn ongoing_summary(&self) -> Result<Option<StateSummary>, VmError> {
        match *self.ongoing.lock() {
            -2 => Err(VmError::Other("injected".into())),
            index => Ok(usize::try_from(index).ok().map(|index| self.summary(index))),
        }
    }

    fn last_summary(&self) -> Result<Option<StateSummary>, VmError> {
        Ok(self.summaries().latest.map(|index| self.summary(index)))
    }

    fn parse_summary(&self, bytes: Bytes) -> Result<StateSummary, VmError> {
        let index = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_prefix("sum-"));
        let index = index.and_then(|digits| digits.parse::<usize>().ok());
        index
            .filter(|index| *index < self.summaries().heights.len())
            .map(|index| self.summary(index))
            .ok_or_else(|| VmError::invalid("does not parse"))
    }

    fn summary_at(&self, height: u64) -> Result<Option<StateSummary>, VmError> {
        let Summaries { heights, stored, .. } = self.summaries();
        let found = stored.iter().find(|index| heights[**index] == height);
        Ok(found.map(|index| self.summary(*index)))
    }

    fn accept_summary(&self, summary: &StateSummary) -> Result<StateSyncMode, VmError> {
        let index = self.table.indices[&summary.id];
        assert_eq!(*summary, self.summary(index));
        self.event(json!(["acceptSummary", index]));
        match self.summaries().modes[index].as_str() {
            "skipped" => Ok(StateSyncMode::Skipped),
            "static" => Ok(StateSyncMode::Static),
            "dynamic" => Ok(StateSyncMode::Dynamic),
            "unknown" => Ok(StateSyncMode::Unknown(77)),
            "error" => Err(VmError::Other("injected".into())),
            other => panic!("unknown mode {other}"),
        }
    }
}

impl Vm for ScriptedVm {
    fn initialize(&self, _init: VmInit) -> Result<(), VmError> {
        panic!("the gear does not initialize its VM")
    }

    fn set_state(&self, state: State) -> Result<(), VmError> {
        let text = match state {
            State::Initializing => panic!("no gear sets this"),
            State::StateSyncing => "State syncing state",
            State::Bootstrapping => "Bootstrapping state",
            State::NormalOp => "Normal operations state",
        };
        self.event(json!(["setState", text]));
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

fn scripted(index: usize, value: Value, length: usize, table: &Table) -> Option<Scripted> {
    if value.is_null() {
        return None;
    }
    let mut fields = Fields::of(&format!("blocks[{index}]"), value);
    let time: i64 = fields.or_default("t");
    let mut bytes = format!("blk-{index}").into_bytes();
    bytes.resize(length.max(bytes.len()), b'.');
    let block = Block {
        id: table.ids[index],
        parent: table.id(&fields.take("p")),
        height: fields.take("h"),
        timestamp: WallTime(ManualClock::WALL_START.0 + time),
        bytes: Bytes::from(bytes),
    };
    let scripted = Scripted { block, verifies: fields.or_default("v"), options: fields.maybe("o") };
    fields.finish();
    Some(scripted)
}

fn summaries(trace: &mut Fields) -> Option<Summaries> {
    // The traces of the state syncer say it the other way round.
    let absent: bool = trace.or_default("noStateSync");
    let present = trace.or_default("stateSync") || (trace.has("enabled") && !absent);
    let latest: i64 = trace.or_default("latestSummary");
    let (mut heights, mut modes) = (Vec::new(), Vec::new());
    for mut summary in trace.list("summaries") {
        heights.push(summary.take("h"));
        modes.push(summary.or_default("mode"));
        summary.finish();
    }
    let summaries = Summaries {
        heights,
        modes,
        latest: usize::try_from(latest).ok(),
        stored: trace.or_default("storedSummaries"),
        enabled: trace.or_default("enabled"),
        enabled_fails: trace.or_default("enabledFails"),
    };
    present.then_some(summaries)
}

impl ScriptedVm {
    /// The VM that a trace describes.
    pub(crate) fn new(
        trace: &mut Fields,
        table: &Arc<Table>,
        log: &SharedLog,
        clock: &Arc<ManualClock>,
    ) -> Arc<Self> {
        let sizes: Vec<usize> = trace.or_default("sizes");
        let blocks: Vec<Value> = trace.or_default("blocks");
        let blocks = blocks.into_iter().enumerate().map(|(index, value)| {
            scripted(index, value, sizes.get(index).copied().unwrap_or_default(), table)
        });
        let ids = |indices: Vec<usize>| indices.into_iter().map(|index| table.ids[index]);
        let mut fields = Fields::of("vm", trace.maybe("vm").unwrap_or_else(|| json!({})));
        let vm = Self {
            log: log.clone(),
            blocks: blocks.collect(),
            table: table.clone(),
            pruned: fields.or_default("pruned"),
            keep_rejected: fields.or_default("keepRejected"),
            sick: fields.or_default("sick"),
            fail: fields.or_default("fail"),
            get_block_time: Duration::from_nanos(trace.or_default("getBlockNs")),
            clock: clock.clone(),
            summaries: summaries(trace),
            ongoing: Mutex::new(trace.maybe("ongoing").unwrap_or(-1)),
            accepts: Mutex::default(),
            status: Mutex::new(Status {
                accepted: ids(trace.or_default("accepted")).collect(),
                processing: ids(trace.or_default("processing")).collect(),
                ..Status::default()
            }),
        };
        fields.finish();
        Arc::new(vm)
    }
}
