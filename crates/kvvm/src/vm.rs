//! The VM as the engine sees it: every call finds its way to the chain, the intake of
//! transactions, or both.
//!
//! The engine's calls come one at a time; the lock around the chain is never waited for. The
//! mempool is shared with the threads that serve messages and HTTP. Lock order: chain, then
//! mempool.

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
    Clock, Connector, Health, HealthChecker, State, Vm, VmError, VmInit, http::HttpHandler,
};
use serde_json::json;

use crate::{
    block::{Block, to_ms},
    chain::{BlockError, Chain},
    config::Config,
    genesis::Genesis,
    intake::Intake,
    mempool::Mempool,
    rpc::Rpc,
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
    is_normal_op: AtomicBool,
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
            config.state_history,
        )?;
        Ok(Self {
            chain: Mutex::new(chain),
            intake: Arc::new(Intake::new(init, target(init), &config)),
            is_normal_op: AtomicBool::new(false),
            clock: Arc::clone(&init.clock),
        })
    }

    /// The time against which blocks are verified, if they are.
    fn now_ms(&self) -> Option<u64> {
        self.is_normal_op.load(Ordering::Acquire).then(|| to_ms(self.clock.wall()))
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
        let is_normal_op = state == State::NormalOp;
        self.running()?.is_normal_op.store(is_normal_op, Ordering::Release);
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
        if !running.is_normal_op.load(Ordering::Acquire) {
            return None;
        }
        let mempool_due = running.intake.mempool.lock().due();
        mempool_due.into_iter().chain(running.intake.pull_due()).min()
    }

    fn handle_timeout(&self, now: Instant) -> Result<(), VmError> {
        let running = self.running()?;
        {
            let mut mempool = running.intake.mempool.lock();
            mempool.expire(now);
            mempool.signal(now);
        }
        running.intake.pull(now);
        Ok(())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        self.is_shut_down.store(true, Ordering::Release);
        Ok(())
    }
}

impl ChainVm for Kvvm {
    fn parse_block(&self, bytes: Bytes) -> Result<sastrugi_vm::Block, VmError> {
        Ok(decode(bytes)?.to_vm())
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
        let block = decode(block.bytes.clone())?;
        let mut chain = running.chain.lock();
        if chain.is_processing(block.id()) {
            return Ok(());
        }
        let is_signed = |id| running.intake.mempool.lock().contains(id);
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
        self.running()?.intake.answer(node, request, bytes);
        Ok(())
    }
}

impl AppResponseHandler for Kvvm {
    fn app_response(&self, node: NodeId, _request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        self.running()?.intake.receive(node, bytes);
        Ok(())
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        _request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        tracing::debug!(%node, %error, "a pull was not answered");
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
        self.running()?.intake.connected(node);
        Ok(())
    }

    fn disconnected(&self, node: NodeId) -> Result<(), VmError> {
        self.running()?.intake.disconnected(node);
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
        let mempool = running.intake.mempool.lock();
        Health::well(json!({
            "lastAcceptedHeight": height,
            "processingBlocks": processing,
            "mempoolTxs": mempool.len(),
            "mempoolBytes": mempool.size_bytes(),
        }))
    }
}

impl fmt::Debug for Kvvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kvvm")
            .field("is_initialized", &self.running.get().is_some())
            .finish_non_exhaustive()
    }
}
