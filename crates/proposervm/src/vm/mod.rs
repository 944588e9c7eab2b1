//! The wrapper itself: a [`ChainVm`] around another one.
//!
//! The engine sees *outer* blocks, the VM within *inner* ones. Blocks of the chain from before the
//! fork are both at once.
//!
//! # Specification
//!
//! * Upon `initialize`: the inner VM is initialized over the whole of the chain's database, where
//!   the part `state::PART` is the wrapper's. Then the accepted chain is
//!   *settled*: if the inner VM is behind, because it commits on its own and lost its last blocks,
//!   or because its state sync came to nothing, the last accepted outer block becomes the one at the
//!   inner VM's height, or none if that is before the fork. If the inner VM is ahead, initializing
//!   fails: outer blocks cannot be made up. At last blocks beyond the number to keep are deleted.
//! * Upon `parse_block`: an outer block if it is one, else an inner one from before the fork. The
//!   signature is checked. [`ProposerVm::parse_trusted`] does not check it.
//! * Upon `get_block`: a verified block that is undecided, else a stored one, else whatever the inner
//!   VM has under this ID.
//! * Upon `verify`: [the rules](crate::verify), then the inner block. An inner block may be in several
//!   outer ones and is verified once, unless it [wants to be](ChainVm::verifies_with_context) in each
//!   context. A block without a context is verified without one: one from before the fork, the
//!   first after it, and options.
//! * Upon `accept`: the outer block is stored and indexed, then the inner one is accepted, then the
//!   siblings of the inner one and all their descendants are rejected. All of it is in one layer,
//!   which the chain commits. For an inner VM that commits on its own, [`Config::commit_first`] is
//!   called before it accepts, so that it is never ahead of the wrapper.
//! * Upon `reject`: the outer block is forgotten. The inner one is not rejected, because it may be in
//!   another outer block.
//! * Upon `set_preference`: the inner VM hears of the inner block, in an epoch together with the
//!   context that a child would have.
//! * Upon `build_block`: see `build`. Upon transactions waiting in the inner VM: see
//!   `schedule`.
//! * Upon `set_state`: the inner VM hears of it first. When state sync ends, however it ends, the
//!   accepted chain is settled again.
//! * Upon `options` of a block: the inner block's, each in an outer one.
//! * State sync: see `sync`. Many blocks at once: see `batched`. HTTP: see `service`.
//!
//! Everything else goes to the inner VM as it is.
//!
//! # Invariants
//!
//! The inner VM gets exactly one verdict for each inner block that it verified, unless the node
//! stops. It never accepts a block before the outer one is written. Nothing that was not
//! checked is found by its ID.
//!
//! # Deviations from upstream
//!
//! * Outer and inner state are one commit, so after a crash there is nothing to repair, unless the
//!   VM commits on its own.
//! * A damaged database is an error, where upstream takes the block for one from before the fork.
//! * While the inner VM syncs its state, the last accepted block is the one before the jump;
//!   upstream answers with the summary's block at once. Likewise no height above the last accepted
//!   block has one.
//! * An option whose parent is not known has the time 0, upstream that of the last accepted block.
//! * The signature is not checked again for the same bytes that were read lately.
//!
//! Upstream: `vms/proposervm/vm.go`, `block.go`, `{pre_fork,post_fork}_*.go`, `height_indexed_vm.go`.

mod accept;
mod batched;
mod build;
mod chain;
mod gate;
mod health;
mod resolve;
mod service;
mod settle;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_crypto::Signer;
use sastrugi_types::{
    Id, IdBuildHasher, IdMap, Instant, NodeId, RequestId, WallTime, version::Application,
};
use sastrugi_vm::{
    AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, Block, ChainContext,
    ChainVm, Clock, Connector, Events, Health, HealthChecker, State as ChainState, Vm, VmError,
    VmInit, db, http::HttpHandler, lru::Lru,
};

use self::{gate::Gate, resolve::Known, service::Service};
use crate::{
    OuterBlock, Windower,
    state::{self, State, StateError},
    stats::{Counters, Stats},
    tree::Tree,
};

/// Bound of the blocks that were read lately, in bytes. Upstream: 64 MiB of inner blocks.
const KNOWN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The settings of a wrapper.
#[derive(Clone)]
pub struct Config {
    /// Signs the blocks that this node proposes, with its staking key.
    pub signer: Arc<dyn Signer>,
    /// This node does not build on a block that is younger. Other nodes may. Whole seconds work best.
    /// Upstream: 1 s on the P-Chain and the X-Chain, else none.
    pub min_block_delay: Duration,
    /// How many blocks below the last accepted one are kept; `None` keeps all. An inner VM that
    /// commits on its own must not lose more. Upstream: `proposerNumHistoricalBlocks`.
    pub kept_blocks: Option<NonZeroU64>,
    /// For an inner VM that commits on its own: puts on the disk what was written so far. Called
    /// before it accepts a block or a summary.
    pub commit_first: Option<CommitFirst>,
}

/// See [`Config::commit_first`].
pub type CommitFirst = Arc<dyn Fn() -> Result<(), VmError> + Send + Sync>;

impl Config {
    /// No delay, all blocks are kept, and the inner VM writes where the chain commits.
    pub fn new(signer: Arc<dyn Signer>) -> Self {
        Self { signer, min_block_delay: Duration::ZERO, kept_blocks: None, commit_first: None }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("min_block_delay", &self.min_block_delay)
            .field("kept_blocks", &self.kept_blocks)
            .field("commits_first", &self.commit_first.is_some())
            .finish_non_exhaustive()
    }
}

/// A VM whose blocks have proposers. See the [module's specification](self).
pub struct ProposerVm {
    inner: Arc<dyn ChainVm>,
    config: Config,
    running: OnceLock<Running>,
}

/// What there is from `initialize` on.
struct Running {
    inner: Arc<dyn ChainVm>,
    config: Config,
    context: ChainContext,
    clock: Arc<dyn Clock>,
    state: State,
    windower: Arc<Windower>,
    gate: Arc<Gate>,
    counters: Arc<Counters>,
    /// Of the engine's thread alone, so nobody waits for it. Held while the inner VM works.
    memory: Mutex<Memory>,
}

/// What is not on the disk.
struct Memory {
    chain_state: ChainState,
    /// Verified blocks after the fork that are undecided.
    verified: IdMap<Verified>,
    /// Their inner blocks.
    tree: Tree,
    /// Blocks after the fork that were read lately.
    known: Lru<Id, Known>,
    /// The last accepted block, if it is from after the fork.
    tip: Option<Tip>,
    preferred: Option<Id>,
    /// The last accepted block on the disk is that of a summary, and the inner VM works on it.
    is_jumping: bool,
}

#[derive(Clone, Copy)]
struct Tip {
    id: Id,
    height: u64,
}

/// A block that waits for its verdict.
struct Verified {
    outer: OuterBlock,
    inner: Block,
    /// The slot it was made in, if that was looked at.
    slot: Option<u64>,
}

impl ProposerVm {
    /// Wraps a VM that is not initialized.
    pub fn new(inner: Arc<dyn ChainVm>, config: Config) -> Self {
        Self { inner, config, running: OnceLock::new() }
    }

    /// Reads a block that is known to be accepted, without checking its signature. It need not
    /// be checked when such a block is verified either.
    ///
    /// # Errors
    /// The bytes are neither an outer nor an inner block.
    pub fn parse_trusted(&self, bytes: &Bytes) -> Result<Block, VmError> {
        let running = self.running()?;
        running.parse(&mut running.memory.lock(), bytes, true)
    }

    /// What was counted. All zero before `initialize`.
    pub fn stats(&self) -> Stats {
        let Ok(running) = self.running() else { return Stats::default() };
        running.counters.stats(running.windower.stats(), running.state.stats())
    }

    fn running(&self) -> Result<&Running, VmError> {
        self.running.get().ok_or_else(|| VmError::Other("the VM is not initialized".to_owned()))
    }
}

impl Running {
    /// Initializes the inner VM.
    fn start(inner: &Arc<dyn ChainVm>, config: &Config, init: VmInit) -> Result<Self, VmError> {
        let context = init.context.clone();
        let (own, inner_id) = (config.signer.certificate().node_id(), context.node_id);
        if own != inner_id {
            return Err(VmError::Other(format!(
                "the staking key is that of {own}, not {inner_id}"
            )));
        }
        let hash_seed = init.random.next_u64();
        let windower =
            Windower::new(context.validators.clone(), context.subnet_id, context.chain_id);
        let events = Events::default();
        let gate = Gate::new(events.clone(), init.events.clone(), init.clock.clone());
        let running = Self {
            inner: inner.clone(),
            config: config.clone(),
            clock: init.clock.clone(),
            state: State::new(&db::part(&init.db, state::PART), hash_seed),
            windower: Arc::new(windower),
            gate,
            counters: Arc::default(),
            memory: Mutex::new(Memory {
                chain_state: ChainState::Initializing,
                verified: IdMap::with_hasher(IdBuildHasher::new(hash_seed)),
                tree: Tree::new(hash_seed),
                known: Lru::new(KNOWN_BYTES_MAX, hash_seed),
                tip: None,
                preferred: None,
                is_jumping: false,
            }),
            context,
        };
        inner.initialize(VmInit { events, ..init })?;
        {
            let memory = &mut running.memory.lock();
            running.settle(memory)?;
            running.prune(memory)?;
        }
        Ok(running)
    }

    fn wall(&self) -> WallTime {
        self.clock.wall()
    }

    /// The engine's thread did something that may have changed the inner VM's mind.
    fn look(&self) {
        self.gate.look();
    }
}

fn fault(error: StateError) -> VmError {
    match error {
        StateError::Database(error) => VmError::Database(error),
        error => VmError::Other(format!("proposervm: {error}")),
    }
}

impl Vm for ProposerVm {
    fn initialize(&self, init: VmInit) -> Result<(), VmError> {
        let running = Running::start(&self.inner, &self.config, init)?;
        self.running
            .set(running)
            .map_err(|_| VmError::Other("the VM is initialized already".to_owned()))
    }

    fn set_state(&self, state: ChainState) -> Result<(), VmError> {
        self.running()?.set_state(state)
    }

    fn version(&self) -> Result<String, VmError> {
        self.inner.version()
    }

    fn create_handlers(&self) -> Result<BTreeMap<String, Arc<dyn HttpHandler>>, VmError> {
        let running = self.running()?;
        let mut handlers = self.inner.create_handlers()?;
        handlers.insert(service::PATH.to_owned(), Arc::new(Service::new(running)));
        Ok(handlers)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let gate = self.running.get().and_then(|running| running.gate.poll_timeout());
        self.inner.poll_timeout().into_iter().chain(gate).min()
    }

    fn handle_timeout(&self, now: Instant) -> Result<(), VmError> {
        let running = self.running()?;
        if self.inner.poll_timeout().is_some_and(|due| due <= now) {
            self.inner.handle_timeout(now)?;
        }
        running.turn_over();
        Ok(())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        self.inner.shutdown()
    }
}

impl AppRequestHandler for ProposerVm {
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.inner.app_request(node, request, deadline, bytes)
    }
}

impl AppResponseHandler for ProposerVm {
    fn app_response(&self, node: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        self.inner.app_response(node, request, bytes)
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        self.inner.app_request_failed(node, request, error)
    }
}

impl AppGossipHandler for ProposerVm {
    fn app_gossip(&self, node: NodeId, bytes: Bytes) -> Result<(), VmError> {
        self.inner.app_gossip(node, bytes)
    }
}

impl Connector for ProposerVm {
    fn connected(&self, node: NodeId, version: &Application) -> Result<(), VmError> {
        self.inner.connected(node, version)
    }

    fn disconnected(&self, node: NodeId) -> Result<(), VmError> {
        self.inner.disconnected(node)
    }
}

impl HealthChecker for ProposerVm {
    fn health(&self) -> Health {
        let inner = self.inner.health();
        match self.running.get() {
            Some(running) => running.health(inner),
            None => inner,
        }
    }
}

impl fmt::Debug for ProposerVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProposerVm")
            .field("config", &self.config)
            .field("is_initialized", &self.running.get().is_some())
            .finish_non_exhaustive()
    }
}
