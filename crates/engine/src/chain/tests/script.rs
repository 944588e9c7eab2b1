//! A gear and a VM that do as they are told and note what they were asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use sastrugi_types::{message::Chits, sampler::Mt19937_64};
use sastrugi_vm::{
    AppGossipHandler, AppHandler, AppRequestHandler, AppResponseHandler, Block, BlockContext,
    ChainVm, Connector, Health, HealthChecker, VmError, VmInit,
};

use super::*;
use crate::{
    common::{
        AcceptedFrontierHandler, AcceptedHandler, AcceptedStateSummaryHandler, AncestorsHandler,
        AppError, BootstrapableEngine, ChitsHandler, GetAcceptedFrontierHandler,
        GetAcceptedHandler, GetAcceptedStateSummaryHandler, GetAncestorsHandler, GetHandler,
        GetStateSummaryFrontierHandler, Halter, Handler, InternalHandler, PutHandler, QueryHandler,
        SampleError, StateSummaryFrontierHandler, StateSyncer,
    },
    peer_tracker::PeerTrackerConfig,
    testing::RecordingSender,
};

/// What a call does besides being noted; once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reaction {
    Yes,
    Fail,
    Panic,
    Finish(RequestId),
    WakeAfter(Duration),
    Accept,
    BuildInVain,
}

#[derive(Debug, Default)]
struct Notes {
    calls: Vec<String>,
    facts: Vec<String>,
    reactions: BTreeMap<String, Reaction>,
    vm_timeout: Option<Instant>,
    cannot_build: bool,
}

type Shared = Arc<Mutex<Notes>>;

/// The script of a chain, and what happened.
#[derive(Clone, Debug)]
pub(super) struct Log {
    notes: Shared,
    peers: Arc<Peers>,
    pub(super) peer_tracker: Arc<PeerTracker>,
    vm: Arc<ChangeNotifier>,
}

impl Default for Log {
    fn default() -> Self {
        let notes = Shared::default();
        let vm = Arc::new(ChangeNotifier::new(Arc::new(ScriptVm(notes.clone()))));
        let config = PeerTrackerConfig {
            own: NodeId([9; 20]),
            ignored: BTreeSet::new(),
            minimum_version: None,
            hash_seed: 1,
        };
        let source = Box::new(Mt19937_64::new(1));
        let peer_tracker = Arc::new(PeerTracker::new(config, source, Instant::ZERO));
        Self { notes, peers: Arc::new(Peers::new(1)), peer_tracker, vm }
    }
}

impl Log {
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().calls)
    }

    pub(super) fn facts(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().facts)
    }

    /// Sets how `snowman.work` and the like react from here on.
    pub(super) fn react(&self, call: &str, reaction: Reaction) {
        self.notes.lock().reactions.insert(call.to_owned(), reaction);
    }

    pub(super) fn set_vm_timeout(&self, at: Option<Instant>) {
        self.notes.lock().vm_timeout = at;
    }

    fn note(&self, call: impl Into<String>) {
        self.notes.lock().calls.push(call.into());
    }

    fn committed(&self, call: &str, note: &str) -> Handled {
        self.note(note);
        match self.reaction(call) {
            Some(_) => Err(Fatal::Broken(format!("{call} fails"))),
            None => Ok(()),
        }
    }

    fn reaction(&self, call: &str) -> Option<Reaction> {
        self.notes.lock().reactions.get(call).copied()
    }
}

/// Counts from here on how often the chain is woken.
pub(super) fn count_wakes(inbox: &Inbox) -> impl Fn() -> usize + use<> {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    inbox.on_wake(Lane::Sync, move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    move || wakes.load(Ordering::Relaxed)
}

fn block() -> Block {
    Block { id: Id([1; 32]), parent: Id::EMPTY, height: 1, timestamp: WALL, bytes: Bytes::new() }
}

/// A chain with the consensus gear alone.
pub(super) fn fixture() -> (Chain, Log) {
    let log = Log::default();
    let gears = Gears::only(Box::new(TestGear::new("snowman", &log)));
    (fixture_of(gears, &log), log)
}

pub(super) fn fixture_of(gears: Gears, log: &Log) -> Chain {
    Chain::new(ChainParts {
        id: Id([10; 32]),
        config: ChainConfig::default(),
        vm: log.vm.clone(),
        events: Events::default(),
        gears,
        inbox: Arc::new(Inbox::new(InboxLimits::default(), Halter::default())),
        sender: Arc::new(RecordingSender::new(|_| ())),
        sampler: Box::new(Nobody),
        peers: log.peers.clone(),
        peer_tracker: Some(log.peer_tracker.clone()),
        preemption: PreemptionSignal::default(),
        commit: Box::new(log.clone()),
        output: Box::new(log.clone()),
    })
}

/// Nobody validates.
struct Nobody;

impl Sampler for Nobody {
    fn sample(&mut self, _size: usize) -> Result<Vec<NodeId>, SampleError> {
        Err(SampleError::MissingValidators)
    }

    fn sample_connected(&mut self) -> Option<NodeId> {
        None
    }
}

impl Commit for Log {
    fn accepting(&mut self, block: &Block) -> Handled {
        self.note(format!("accepting {}", block.height));
        Ok(())
    }

    fn written(&mut self) -> Handled {
        self.committed("commit written", "commit written")
    }

    fn state_changed(&mut self, state: State) -> Handled {
        self.committed("commit state", &format!("commit state {}", state as u8))
    }

    fn commit(&mut self, block: &Block) -> Handled {
        self.committed("commit", &format!("commit {}", block.height))
    }
}

impl Output for Log {
    fn observe(&mut self, fact: Fact<'_>) {
        let text = match fact {
            Fact::Accepted(block) => format!("accepted {}", block.height),
            Fact::GearChanged(gear) => format!("gear {gear:?}"),
            Fact::StateChanged(state) => format!("state {}", state.name()),
            Fact::Stopped(Ok(())) => "stopped".to_owned(),
            Fact::Stopped(Err(fatal)) => format!("stopped: {fatal}"),
        };
        self.notes.lock().facts.push(text);
    }
}

/// A gear that notes its calls.
pub(super) struct TestGear {
    name: &'static str,
    log: Log,
}

impl TestGear {
    pub(super) fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone() }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Notes a call, and reacts as the script says.
    fn heard(&self, cx: &mut Cx<'_>, call: &str, note: String) -> Handled {
        self.log.note(note);
        match self.log.reaction(&format!("{}.{call}", self.name)) {
            None | Some(Reaction::Yes) => Ok(()),
            Some(Reaction::Fail) => Err(Fatal::Broken(format!("{call} fails"))),
            Some(Reaction::Panic) => panic!("{call} panics"),
            Some(Reaction::Finish(last)) => {
                cx.finish(last);
                Ok(())
            }
            Some(Reaction::WakeAfter(span)) => {
                cx.timer.register_timeout(cx.now, span);
                Ok(())
            }
            Some(Reaction::Accept) => {
                cx.acceptor.state_changed(State::NormalOp)?;
                cx.acceptor.accepting(&block())?;
                self.log.note("vm accepts 1");
                cx.acceptor.accepted(&block())
            }
            Some(Reaction::BuildInVain) => {
                self.log.set_to_build(false);
                assert!(self.log.vm.build_block(None).is_err());
                Ok(())
            }
        }
    }

    fn plain(&self, cx: &mut Cx<'_>, call: &str) -> Handled {
        self.heard(cx, call, call.to_owned())
    }
}

/// Handlers that note their name and nothing of what they were given.
macro_rules! plain {
    ($($handler:ident { $($call:ident($($argument:ty),*);)* })*) => {
        $(impl $handler for TestGear {
            $(fn $call(
                &mut self, cx: &mut Cx<'_>, _: NodeId, _: RequestId, $(_: $argument),*
            ) -> Handled {
                self.plain(cx, stringify!($call))
            })*
        })*
    };
}

plain! {
    GetStateSummaryFrontierHandler { get_state_summary_frontier(); }
    GetAcceptedFrontierHandler { get_accepted_frontier(); }
    GetAncestorsHandler { get_ancestors(Id); }
    GetHandler { get(Id); }
    StateSummaryFrontierHandler {
        state_summary_frontier(Bytes);
        get_state_summary_frontier_failed();
    }
    AcceptedFrontierHandler { accepted_frontier(Id); get_accepted_frontier_failed(); }
    PutHandler { put(Bytes); get_failed(); }
    ChitsHandler { chits(Chits); query_failed(); }
}

/// Handlers that note something of what they were given, too.
macro_rules! telling {
    ($($handler:ident { $call:ident($($name:ident: $argument:ty),*) $note:expr; $($failed:ident)? })*) => {
        $(impl $handler for TestGear {
            fn $call(
                &mut self, cx: &mut Cx<'_>, _: NodeId, _: RequestId, $($name: $argument),*
            ) -> Handled {
                self.heard(cx, stringify!($call), format!("{} {}", stringify!($call), $note))
            }

            $(fn $failed(&mut self, cx: &mut Cx<'_>, _: NodeId, _: RequestId) -> Handled {
                self.plain(cx, stringify!($failed))
            })?
        })*
    };
}

telling! {
    GetAcceptedStateSummaryHandler {
        get_accepted_state_summary(heights: BTreeSet<u64>) format!("{heights:?}");
    }
    GetAcceptedHandler { get_accepted(containers: BTreeSet<Id>) containers.len(); }
    AcceptedStateSummaryHandler {
        accepted_state_summary(summaries: BTreeSet<Id>) summaries.len();
        get_accepted_state_summary_failed
    }
    AcceptedHandler { accepted(containers: BTreeSet<Id>) containers.len(); get_accepted_failed }
    AncestorsHandler { ancestors(containers: Vec<Bytes>) containers.len(); get_ancestors_failed }
}

impl QueryHandler for TestGear {
    fn pull_query(
        &mut self,
        cx: &mut Cx<'_>,
        _: NodeId,
        _: RequestId,
        _: Id,
        height: u64,
    ) -> Handled {
        self.heard(cx, "pull_query", format!("pull_query {height}"))
    }

    fn push_query(
        &mut self,
        cx: &mut Cx<'_>,
        _: NodeId,
        _: RequestId,
        _: Bytes,
        height: u64,
    ) -> Handled {
        self.heard(cx, "push_query", format!("push_query {height}"))
    }
}

impl InternalHandler for TestGear {
    fn connected(&mut self, cx: &mut Cx<'_>, _: NodeId, _: &Application) -> Handled {
        let (weight, peers) = (self.log.peers.connected_weight(), self.log.peer_tracker.len());
        self.heard(cx, "connected", format!("connected {weight} {peers}"))
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>, _: NodeId) -> Handled {
        let (weight, peers) = (self.log.peers.connected_weight(), self.log.peer_tracker.len());
        self.heard(cx, "disconnected", format!("disconnected {weight} {peers}"))
    }

    fn gossip(&mut self, cx: &mut Cx<'_>) -> Handled {
        self.plain(cx, "gossip")
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> Handled {
        self.plain(cx, "shutdown")
    }

    fn notify(&mut self, cx: &mut Cx<'_>, message: Message) -> Handled {
        self.heard(cx, "notify", format!("notify {message}"))
    }
}

impl Handler for TestGear {
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync> {
        Arc::new(TestApp { name: self.name, log: self.log.clone() })
    }
}

impl Engine for TestGear {
    fn start(&mut self, cx: &mut Cx<'_>, start_request: RequestId) -> Handled {
        self.heard(cx, "start", format!("{}.start {start_request}", self.name))
    }

    fn work(&mut self, cx: &mut Cx<'_>) -> Result<Progress, Fatal> {
        let Some(reaction) = self.log.reaction(&format!("{}.work", self.name)) else {
            return Ok(Progress::Idle);
        };
        self.heard(cx, "work", format!("{}.work", self.name))?;
        let has_more = matches!(reaction, Reaction::Yes);
        Ok(if has_more { Progress::More } else { Progress::Idle })
    }

    fn timeout(&mut self, cx: &mut Cx<'_>) -> Handled {
        self.plain(cx, "timeout")
    }

    fn health(&mut self, _now: Instant, _wall: WallTime) -> Health {
        Health::default()
    }
}

impl BootstrapableEngine for TestGear {
    fn clear(&mut self) -> Handled {
        self.log.note("clear");
        Ok(())
    }
}

impl StateSyncer for TestGear {
    fn is_enabled(&mut self) -> Result<bool, Fatal> {
        self.log.note("is_enabled");
        Ok(self.log.reaction("is_enabled").is_some())
    }
}

/// Hears app messages for a gear.
struct TestApp {
    name: &'static str,
    log: Log,
}

impl TestApp {
    #[expect(clippy::unnecessary_wraps, reason = "it is the body of handlers, which can fail")]
    fn note(&self, note: &str) -> Result<(), VmError> {
        self.log.note(format!("{} {note}", self.name));
        Ok(())
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl AppRequestHandler for TestApp {
    fn app_request(
        &self,
        _: NodeId,
        _: RequestId,
        deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.note(&format!("request {} until {}", text(&bytes), deadline.0))
    }
}

impl AppResponseHandler for TestApp {
    fn app_response(&self, _: NodeId, _: RequestId, bytes: Bytes) -> Result<(), VmError> {
        self.note(&format!("response {}", text(&bytes)))
    }

    fn app_request_failed(&self, _: NodeId, _: RequestId, error: &AppError) -> Result<(), VmError> {
        self.note(&format!("failed {error}"))
    }
}

impl AppGossipHandler for TestApp {
    fn app_gossip(&self, _: NodeId, bytes: Bytes) -> Result<(), VmError> {
        match &*bytes {
            b"fail" => Err(VmError::Other("told to".into())),
            b"panic" => panic!("app panics"),
            b"yield" => {
                shuttle::thread::yield_now();
                self.note("yields")
            }
            _ => self.note(&format!("hears {}", text(&bytes))),
        }
    }
}

/// A VM that has a timeout and builds what it is told to.
#[derive(Debug, Default)]
pub(super) struct ScriptVm(Shared);

impl Log {
    fn set_to_build(&self, can_build: bool) {
        self.notes.lock().cannot_build = !can_build;
    }
}

impl ChainVm for ScriptVm {
    fn parse_block(&self, _: Bytes) -> Result<Block, VmError> {
        Ok(block())
    }

    fn get_block(&self, _: Id) -> Result<Option<Block>, VmError> {
        Ok(None)
    }

    fn block_id_at_height(&self, _: u64) -> Result<Option<Id>, VmError> {
        Ok(None)
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        Ok(Id::EMPTY)
    }

    fn build_block(&self, _: Option<BlockContext>) -> Result<Block, VmError> {
        if self.0.lock().cannot_build { Err(VmError::NothingToBuild) } else { Ok(block()) }
    }

    fn verify(&self, _: &Block, _: Option<BlockContext>) -> Result<(), VmError> {
        Ok(())
    }

    fn accept(&self, _: Id) -> Result<(), VmError> {
        Ok(())
    }

    fn reject(&self, _: Id) -> Result<(), VmError> {
        Ok(())
    }

    fn set_preference(&self, _: Id) -> Result<(), VmError> {
        Ok(())
    }
}

impl Vm for ScriptVm {
    fn initialize(&self, _: VmInit) -> Result<(), VmError> {
        Ok(())
    }

    fn set_state(&self, _: State) -> Result<(), VmError> {
        Ok(())
    }

    fn version(&self) -> Result<String, VmError> {
        Ok(String::new())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.lock().vm_timeout
    }

    fn handle_timeout(&self, _: Instant) -> Result<(), VmError> {
        let mut notes = self.0.lock();
        notes.vm_timeout = None;
        notes.calls.push("vm timeout".into());
        Ok(())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        Ok(())
    }
}

impl HealthChecker for ScriptVm {
    fn health(&self) -> Health {
        Health::default()
    }
}

impl Connector for ScriptVm {
    fn connected(&self, _: NodeId, _: &Application) -> Result<(), VmError> {
        Ok(())
    }

    fn disconnected(&self, _: NodeId) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppRequestHandler for ScriptVm {
    fn app_request(&self, _: NodeId, _: RequestId, _: Instant, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppResponseHandler for ScriptVm {
    fn app_response(&self, _: NodeId, _: RequestId, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }

    fn app_request_failed(&self, _: NodeId, _: RequestId, _: &AppError) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppGossipHandler for ScriptVm {
    fn app_gossip(&self, _: NodeId, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }
}
