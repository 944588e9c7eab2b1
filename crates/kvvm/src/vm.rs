//! The VM as the engine sees it: every call finds its way to the chain, the intake of
//! transactions, or both.
//!
//! The engine's calls come one at a time; the lock around the chain is never waited for. The
//! mempool is shared with the threads that serve messages and HTTP. Lock order: chain, then
//! mempool.

mod state_sync;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, NodeId, RequestId, version::Application};
use sastrugi_vm::{
    AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, BlockContext, ChainVm,
    Clock, Connector, Health, HealthChecker, State, StateSyncableVm, Vm, VmError, VmInit,
    http::HttpHandler,
};
use serde_json::json;

use self::state_sync::SyncSettings;
use crate::{
    block::{Block, to_ms},
    chain::{BlockError, Chain},
    config::Config,
    genesis::Genesis,
    intake::Intake,
    mempool::Mempool,
    rpc::Rpc,
    sync::{RangeServer, StateSync, is_range_number, is_range_request},
    transaction::Target,
};

/// The built-in VM. Make one per chain; [`Vm::initialize`] brings it to life.
#[derive(Default)]
pub struct Kvvm {
    running: OnceLock<Running>,
    is_shut_down: AtomicBool,
}

struct Running {
    chain: Mutex<Chain>,
    intake: Arc<Intake>,
    sync: StateSync,
    sync_settings: SyncSettings,
    range_server: RangeServer,
    node_id: NodeId,
    is_normal_op: AtomicBool,
    is_bootstrapping: AtomicBool,
    /// The block that was parsed last: while bootstrapping it is verified next.
    parsed: Mutex<Option<Block>>,
    clock: Arc<dyn Clock>,
}

impl Kvvm {
    /// A VM that is not initialized.
    pub fn new() -> Self {
        Self::default()
    }

    fn running(&self) -> Result<&Running, VmError> {
        if self.is_shut_down.load(Ordering::Acquire) {
            return Err(VmError::Closed);
        }
        self.running.get().ok_or_else(|| VmError::Other("the VM is not initialized".to_owned()))
    }
}

impl Running {
    fn new(init: &VmInit) -> Result<Self, VmError> {
        let config = Config::parse(&init.config)?;
        let genesis = Genesis::parse(&init.genesis)?;
        let chain = Chain::open(
            Arc::clone(&init.db),
            target(init),
            &genesis,
            genesis.changes()?,
            config.kept_states(),
        )?;
        Ok(Self {
            chain: Mutex::new(chain),
            intake: Arc::new(Intake::new(init, target(init), &config)),
            sync: StateSync::new(init, &config)?,
            sync_settings: SyncSettings {
                is_enabled: config.state_sync_enabled,
                summary_interval: config.state_sync_summary_interval,
                min_blocks: config.state_sync_min_blocks,
            },
            range_server: RangeServer::new(init),
            node_id: init.context.node_id,
            is_normal_op: AtomicBool::new(false),
            is_bootstrapping: AtomicBool::new(false),
            parsed: Mutex::new(None),
            clock: Arc::clone(&init.clock),
        })
    }

    fn is_normal_op(&self) -> bool {
        self.is_normal_op.load(Ordering::Acquire)
    }

    /// The time against which blocks are verified, if they are.
    fn now_ms(&self) -> Option<u64> {
        self.is_normal_op().then(|| to_ms(self.clock.wall()))
    }

    /// Reads a block, unless it is the one that was read last.
    fn decoded(&self, bytes: &Bytes) -> Result<Block, VmError> {
        let parsed = self.parsed.lock().take();
        match parsed.filter(|block| block.bytes() == bytes) {
            Some(block) => Ok(block),
            None => decode(bytes.clone()),
        }
    }

    /// Tells the mempool what changed, and the engine what follows.
    fn update_mempool(&self, chain: &Chain, update: impl FnOnce(&mut Mempool)) {
        let mut mempool = self.intake.mempool.lock();
        update(&mut mempool);
        mempool.prefer(chain.preferred_nonces());
        mempool.signal(self.clock.now());
    }
}

impl Vm for Kvvm {
    fn initialize(&self, init: VmInit) -> Result<(), VmError> {
        let running = Running::new(&init)?;
        self.running
            .set(running)
            .map_err(|_| VmError::Other("the VM is initialized already".to_owned()))
    }

    fn set_state(&self, state: State) -> Result<(), VmError> {
        let running = self.running()?;
        if matches!(state, State::Bootstrapping | State::NormalOp) {
            running.sync.leave()?;
        }
        running.is_normal_op.store(state == State::NormalOp, Ordering::Release);
        running.is_bootstrapping.store(state == State::Bootstrapping, Ordering::Release);
        Ok(())
    }

    fn version(&self) -> Result<String, VmError> {
        Ok(concat!("kvvm/", env!("CARGO_PKG_VERSION")).to_owned())
    }

    fn create_handlers(&self) -> Result<BTreeMap<String, Arc<dyn HttpHandler>>, VmError> {
        let rpc: Arc<dyn HttpHandler> = Arc::new(Rpc(Arc::clone(&self.running()?.intake)));
        Ok(BTreeMap::from([("/rpc".to_owned(), rpc)]))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running().ok()?;
        let gossip_due = || {
            let mempool_due = running.intake.mempool.lock().due();
            mempool_due.into_iter().chain(running.intake.pull_due()).min()
        };
        let gossip_due = running.is_normal_op().then(gossip_due).flatten();
        gossip_due.into_iter().chain(running.sync.due()).min()
    }

    fn handle_timeout(&self, now: Instant) -> Result<(), VmError> {
        let running = self.running()?;
        if running.is_normal_op() {
            {
                let mut mempool = running.intake.mempool.lock();
                mempool.expire(now);
                mempool.signal(now);
            }
            running.intake.pull(now);
        }
        if let Some(landing) = running.sync.handle_timeout(now)? {
            running.land(landing)?;
        }
        Ok(())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        self.is_shut_down.store(true, Ordering::Release);
        Ok(())
    }
}

impl ChainVm for Kvvm {
    fn parse_block(&self, bytes: Bytes) -> Result<sastrugi_vm::Block, VmError> {
        let block = decode(bytes)?;
        let parsed = block.to_vm();
        if let Ok(running) = self.running() {
            *running.parsed.lock() = Some(block);
        }
        Ok(parsed)
    }

    fn get_block(&self, id: Id) -> Result<Option<sastrugi_vm::Block>, VmError> {
        Ok(self.running()?.chain.lock().block(id)?)
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        Ok(self.running()?.chain.lock().id_at(height)?)
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        Ok(self.running()?.chain.lock().last_accepted().id())
    }

    fn build_block(&self, _context: Option<BlockContext>) -> Result<sastrugi_vm::Block, VmError> {
        let running = self.running()?;
        let chain = running.chain.lock();
        let candidates = running.intake.mempool.lock().executable();
        let built = chain.build(&candidates, to_ms(running.clock.wall()))?;
        running.update_mempool(&chain, |mempool| {
            for (id, error) in built.refused {
                mempool.refused(id, error);
            }
        });
        built.block.map(|block| block.to_vm()).ok_or(VmError::NothingToBuild)
    }

    fn verify(
        &self,
        block: &sastrugi_vm::Block,
        _context: Option<BlockContext>,
    ) -> Result<(), VmError> {
        let running = self.running()?;
        let block = running.decoded(&block.bytes)?;
        let mut chain = running.chain.lock();
        if chain.is_processing(block.id()) {
            return Ok(());
        }
        // What is fetched while bootstrapping leads to a block that the network has accepted, so
        // that its signatures were checked by many. The root is checked all the same.
        let is_bootstrapping = running.is_bootstrapping.load(Ordering::Acquire);
        let is_signed = |id| is_bootstrapping || running.intake.mempool.lock().contains(id);
        chain.verify(block.clone(), running.now_ms(), is_signed).map_err(|error| match error {
            BlockError::State(error) => error.into(),
            error => VmError::invalid(format!("block {}: {error}", block.id())),
        })?;
        running.update_mempool(&chain, |mempool| mempool.verified(block.transactions()));
        Ok(())
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        let running = self.running()?;
        let mut chain = running.chain.lock();
        let block = chain.accept(id)?.ok_or_else(|| not_processing(id))?;
        running.update_mempool(&chain, |mempool| mempool.accepted(block.transactions()));
        Ok(())
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        let running = self.running()?;
        let mut chain = running.chain.lock();
        let block = chain.reject(id).ok_or_else(|| not_processing(id))?;
        running.intake.take_again(block.transactions());
        running.update_mempool(&chain, |mempool| mempool.rejected(block.transactions()));
        Ok(())
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        let running = self.running()?;
        let mut chain = running.chain.lock();
        if !chain.set_preference(id) {
            return Err(not_processing(id));
        }
        running.update_mempool(&chain, |_| {});
        Ok(())
    }

    fn state_sync(&self) -> Option<&dyn StateSyncableVm> {
        Some(self)
    }
}

fn target(init: &VmInit) -> Target {
    Target { network_id: init.context.network_id, chain_id: init.context.chain_id }
}

fn decode(bytes: Bytes) -> Result<Block, VmError> {
    Block::decode(bytes).map_err(|error| VmError::invalid(error.to_string()))
}

fn not_processing(id: Id) -> VmError {
    VmError::Other(format!("block {id} is not processing on the last accepted block"))
}

impl AppRequestHandler for Kvvm {
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        _deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        let running = self.running()?;
        if is_range_request(&bytes) {
            running.range_server.answer(node, request, bytes);
        } else {
            running.intake.answer(node, request, bytes);
        }
        Ok(())
    }
}

impl AppResponseHandler for Kvvm {
    fn app_response(&self, node: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        let running = self.running()?;
        if is_range_number(request) {
            running.sync.response(node, request, bytes)
        } else {
            running.intake.receive(node, bytes);
            Ok(())
        }
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        let running = self.running()?;
        if is_range_number(request) {
            running.sync.request_failed(node, request, error);
        } else {
            tracing::debug!(%node, %error, "a pull was not answered");
        }
        Ok(())
    }
}

impl AppGossipHandler for Kvvm {
    fn app_gossip(&self, node: NodeId, bytes: Bytes) -> Result<(), VmError> {
        self.running()?.intake.receive(node, bytes);
        Ok(())
    }
}

impl Connector for Kvvm {
    fn connected(&self, node: NodeId, _version: &Application) -> Result<(), VmError> {
        let running = self.running()?;
        if node != running.node_id {
            running.intake.connected(node);
            running.sync.connected(node);
        }
        Ok(())
    }

    fn disconnected(&self, node: NodeId) -> Result<(), VmError> {
        let running = self.running()?;
        running.intake.disconnected(node);
        running.sync.disconnected(node);
        Ok(())
    }
}

impl HealthChecker for Kvvm {
    fn health(&self) -> Health {
        let running = match self.running() {
            Ok(running) => running,
            Err(error) => {
                return Health { causes: vec![error.to_string()], ..Health::default() };
            }
        };
        let (height, processing) = {
            let chain = running.chain.lock();
            (chain.last_accepted().height(), chain.processing_blocks())
        };
        let Health { details: state_sync, causes } = running.sync.health();
        let mempool = running.intake.mempool.lock();
        let details = json!({
            "lastAcceptedHeight": height,
            "processingBlocks": processing,
            "mempoolTxs": mempool.len(),
            "mempoolBytes": mempool.size_bytes(),
            "stateSync": state_sync,
        });
        Health { details, causes }
    }
}

impl fmt::Debug for Kvvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kvvm")
            .field("is_initialized", &self.running.get().is_some())
            .finish_non_exhaustive()
    }
}
