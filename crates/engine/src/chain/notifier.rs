//! When the gear hears that the VM has something to say.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, NodeId, RequestId, version::Application};
use sastrugi_vm::{
    AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, BatchedChainVm, Block,
    BlockContext, ChainVm, Connector, Health, HealthChecker, State, StateSyncableVm, Vm, VmError,
    VmInit, http::HttpHandler,
};

/// After a failed build the VM is not asked again for this long, unless something else changed.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The outermost wrapper of a VM: counts what may have changed its mind about events.
///
/// Upstream subscribes to the VM's events; a subscription ends with one event, and the next one
/// begins when something happened that may have changed the VM's mind. Here the VM's slots
/// ([`Events`](sastrugi_vm::Events)) are levels, so a subscription is one flag.
///
/// * Upon transactions waiting while subscribed: the gear is notified, and the subscription ends.
/// * Upon a new preference (another ID than before, or the first), each change of state, and each
///   build: a new subscription begins. After a build that failed it begins [`RETRY_AFTER`] later,
///   where upstream's begins at once: else a VM that claims transactions it cannot build from
///   would keep its chain spinning.
/// * Finished state sync is told once, whether subscribed or not.
///
/// Upstream: `snow/engine/common/notifier.go`, `snow/engine/snowman/block/notifier.go`.
#[doc(alias = "NewChangeNotifier")]
pub struct ChangeNotifier {
    vm: Arc<dyn ChainVm>,
    changes: AtomicU64,
    failed_builds: AtomicU64,
    preference: Mutex<Option<Id>>,
}

/// How often something happened that may have changed the VM's mind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    changes: u64,
    failed_builds: u64,
}

impl ChangeNotifier {
    /// Wraps a VM.
    pub fn new(vm: Arc<dyn ChainVm>) -> Self {
        Self {
            vm,
            changes: AtomicU64::new(0),
            failed_builds: AtomicU64::new(0),
            preference: Mutex::new(None),
        }
    }

    pub(super) fn changes(&self) -> Changes {
        Changes {
            changes: self.changes.load(Ordering::Acquire),
            failed_builds: self.failed_builds.load(Ordering::Acquire),
        }
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn prefer(&self, id: Id, set: impl FnOnce() -> Result<(), VmError>) -> Result<(), VmError> {
        let is_new = self.preference.lock().replace(id) != Some(id);
        let done = set();
        if is_new {
            self.changed();
        }
        done
    }
}

/// Whether the chain listens for waiting transactions.
#[derive(Debug, Default)]
pub(super) struct Forwarder {
    seen: Changes,
    /// Subscribed from this instant on.
    subscribed: Option<Instant>,
}

impl Forwarder {
    /// Begins the first subscription.
    pub(super) const fn subscribe(&mut self) {
        self.subscribed = Some(Instant::ZERO);
    }

    /// The VM was called.
    pub(super) fn look(&mut self, now: Instant, changes: Changes) {
        if changes.changes != self.seen.changes {
            self.subscribed = Some(Instant::ZERO);
        } else if changes.failed_builds != self.seen.failed_builds && self.subscribed.is_none() {
            self.subscribed = Some(now + RETRY_AFTER);
        }
        self.seen = changes;
    }

    /// When waiting transactions are to be told of.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.subscribed
    }

    /// Ends the subscription if it has begun; whether the gear is to be told.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.subscribed.is_some_and(|since| since <= now);
        if is_due {
            self.subscribed = None;
        }
        is_due
    }
}

impl ChainVm for ChangeNotifier {
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError> {
        self.vm.parse_block(bytes)
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        self.vm.get_block(id)
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        self.vm.block_id_at_height(height)
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        self.vm.last_accepted()
    }

    fn build_block(&self, context: Option<BlockContext>) -> Result<Block, VmError> {
        let built = self.vm.build_block(context);
        let count = if built.is_ok() { &self.changes } else { &self.failed_builds };
        count.fetch_add(1, Ordering::AcqRel);
        built
    }

    fn verify(&self, block: &Block, context: Option<BlockContext>) -> Result<(), VmError> {
        self.vm.verify(block, context)
    }

    fn verifies_with_context(&self, block: &Block) -> Result<bool, VmError> {
        self.vm.verifies_with_context(block)
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        self.vm.accept(id)
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        self.vm.reject(id)
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        self.prefer(id, || self.vm.set_preference(id))
    }

    fn set_preference_with_context(&self, id: Id, context: BlockContext) -> Result<(), VmError> {
        self.prefer(id, || self.vm.set_preference_with_context(id, context))
    }

    fn options(&self, block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        self.vm.options(block)
    }

    fn state_sync(&self) -> Option<&dyn StateSyncableVm> {
        self.vm.state_sync()
    }

    fn batched(&self) -> Option<&dyn BatchedChainVm> {
        self.vm.batched()
    }
}

impl Vm for ChangeNotifier {
    fn initialize(&self, init: VmInit) -> Result<(), VmError> {
        self.vm.initialize(init)
    }

    fn set_state(&self, state: State) -> Result<(), VmError> {
        let done = self.vm.set_state(state);
        self.changed();
        done
    }

    fn version(&self) -> Result<String, VmError> {
        self.vm.version()
    }

    fn create_handlers(&self) -> Result<BTreeMap<String, Arc<dyn HttpHandler>>, VmError> {
        self.vm.create_handlers()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.vm.poll_timeout()
    }

    fn handle_timeout(&self, now: Instant) -> Result<(), VmError> {
        self.vm.handle_timeout(now)
    }

    fn shutdown(&self) -> Result<(), VmError> {
        self.vm.shutdown()
    }
}

impl AppRequestHandler for ChangeNotifier {
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.vm.app_request(node, request, deadline, bytes)
    }
}

impl AppResponseHandler for ChangeNotifier {
    fn app_response(&self, node: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        self.vm.app_response(node, request, bytes)
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        self.vm.app_request_failed(node, request, error)
    }
}

impl AppGossipHandler for ChangeNotifier {
    fn app_gossip(&self, node: NodeId, bytes: Bytes) -> Result<(), VmError> {
        self.vm.app_gossip(node, bytes)
    }
}

impl Connector for ChangeNotifier {
    fn connected(&self, node: NodeId, version: &Application) -> Result<(), VmError> {
        self.vm.connected(node, version)
    }

    fn disconnected(&self, node: NodeId) -> Result<(), VmError> {
        self.vm.disconnected(node)
    }
}

impl HealthChecker for ChangeNotifier {
    fn health(&self) -> Health {
        self.vm.health()
    }
}

impl fmt::Debug for ChangeNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeNotifier").field("changes", &self.changes()).finish_non_exhaustive()
    }
}
