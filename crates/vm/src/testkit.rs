//! A node in miniature for tests of VMs, and a suite that checks the contracts of any
//! [`ChainVm`].
//!
//! [`TestNode`] gives a VM all that [`VmInit`] holds: a database in memory below a versioned layer,
//! a clock that stands until it is moved, seeded randomness, and a sender that only remembers. It
//! commits like a chain does, and can restart or crash. [`suite()`] and [`state_sync_suite`] know
//! nothing of a VM but the trait.

mod state_sync;
mod suite;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_crypto::bls;
use sastrugi_types::{Id, Instant, NodeId, RequestId, WallTime, upgrade::UpgradeSchedule};

pub use self::{state_sync::state_sync_suite, suite::suite};
use crate::{
    AppError, AppSender, Block, ChainContext, ChainVm, Clock, Events, Random, SendConfig, State,
    VmError, VmInit,
    db::{Durability, MemoryDb, VersionedDb},
    http::{HttpRequest, HttpResponse},
    validators::{CanonicalSets, ValidatorSet, ValidatorState},
    warp::LocalSigner,
};

/// When the clock of a new [`TestNode`] stands, in seconds since the Unix epoch.
pub const START_UNIX_SECS: i64 = 1_790_000_000;

/// What a [`TestNode`] is made of.
#[derive(Clone)]
pub struct Setup {
    /// Makes the VM, not yet initialized.
    pub make: fn() -> Arc<dyn ChainVm>,
    /// The chain's genesis.
    pub genesis: Bytes,
    /// The chain's `config` file.
    pub config: Bytes,
    /// The chain's `upgrade` file.
    pub upgrade: Bytes,
    /// The network.
    pub network_id: u32,
    /// The chain.
    pub chain_id: Id,
    /// The node.
    pub node_id: NodeId,
    /// When the network's rules change; `None` as [`UpgradeSchedule::of_network`] says.
    pub upgrades: Option<Arc<UpgradeSchedule>>,
    /// The P-Chain as the node sees it.
    pub validators: Arc<dyn ValidatorState>,
    /// Decides all randomness.
    pub seed: u64,
    /// The gear the node starts in: [`State::NormalOp`] after bootstrapping, [`State::Bootstrapping`],
    /// or [`State::StateSyncing`].
    pub gear: State,
}

impl Setup {
    /// A VM with this genesis, and everything else ordinary.
    pub fn new(make: fn() -> Arc<dyn ChainVm>, genesis: impl Into<Bytes>) -> Self {
        Self {
            make,
            genesis: genesis.into(),
            config: Bytes::new(),
            upgrade: Bytes::new(),
            network_id: 12_345,
            chain_id: Id([0xc4; 32]),
            node_id: NodeId([0x4e; 20]),
            upgrades: None,
            validators: Arc::new(NoValidators),
            seed: 1,
            gear: State::NormalOp,
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("network_id", &self.network_id)
            .field("chain_id", &self.chain_id)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// A VM and its surroundings.
pub struct TestNode {
    /// The VM.
    pub vm: Arc<dyn ChainVm>,
    /// The VM's clock.
    pub clock: Arc<TestClock>,
    /// The VM's signals.
    pub events: Events,
    /// What the VM sent.
    pub sender: Arc<TestSender>,
    setup: Setup,
    disk: MemoryDb,
    layer: Arc<VersionedDb>,
}

impl TestNode {
    /// Initializes a VM over an empty database, and takes it to its first gear.
    pub fn start(setup: Setup) -> Result<Self, VmError> {
        Self::start_on(setup, MemoryDb::new(), Arc::new(TestClock::default()))
    }

    /// Initializes a VM over what is on a disk, and takes it to its first gear.
    pub fn start_on(setup: Setup, disk: MemoryDb, clock: Arc<TestClock>) -> Result<Self, VmError> {
        let layer = Arc::new(VersionedDb::new(Arc::new(disk.clone())));
        let node = Self {
            vm: (setup.make)(),
            clock,
            events: Events::default(),
            sender: Arc::new(TestSender::default()),
            setup,
            disk,
            layer,
        };
        node.vm.initialize(node.init()?)?;
        node.commit()?;
        match node.setup.gear {
            State::NormalOp => {
                node.vm.set_state(State::Bootstrapping)?;
                node.vm.set_state(State::NormalOp)?;
            }
            State::Initializing => {}
            gear => node.vm.set_state(gear)?,
        }
        Ok(node)
    }

    fn init(&self) -> Result<VmInit, VmError> {
        let Setup { network_id, chain_id, node_id, seed, ref upgrades, .. } = self.setup;
        let mut random = [0; bls::SECRET_KEY_BYTES];
        random[..8].copy_from_slice(&seed.to_be_bytes());
        let key =
            bls::SecretKey::generate(&random).map_err(|error| VmError::Other(error.to_string()))?;
        let public_key = key.public_key().to_compressed();
        Ok(VmInit {
            context: ChainContext {
                network_id,
                upgrades: upgrades
                    .clone()
                    .unwrap_or_else(|| Arc::new(UpgradeSchedule::of_network(network_id))),
                subnet_id: Id([0x5b; 32]),
                chain_id,
                node_id,
                public_key: Some(Bytes::copy_from_slice(&public_key)),
                x_chain_id: Id::EMPTY,
                c_chain_id: Id::EMPTY,
                avax_asset_id: Id::EMPTY,
                data_dir: PathBuf::new(),
                validators: Arc::clone(&self.setup.validators),
            },
            db: Arc::<VersionedDb>::clone(&self.layer),
            committed: self.layer.committed(),
            genesis: self.setup.genesis.clone(),
            upgrade: self.setup.upgrade.clone(),
            config: self.setup.config.clone(),
            fxs: Vec::new(),
            app_sender: Arc::<TestSender>::clone(&self.sender),
            events: self.events.clone(),
            clock: Arc::<TestClock>::clone(&self.clock),
            random: Arc::new(TestRandom(AtomicU64::new(seed))),
            warp_signer: Arc::new(LocalSigner::new(Arc::new(key), network_id, chain_id)),
        })
    }

    /// Writes what the VM wrote to the disk, as the chain does after [`ChainVm::accept`].
    pub fn commit(&self) -> Result<(), VmError> {
        Ok(self.layer.commit(Durability::Synced)?)
    }

    /// Writes to the disk what the VM wrote since it last said so, as the chain does between
    /// messages. Whether there was anything.
    pub fn commit_written(&self) -> Result<bool, VmError> {
        let is_written = self.events.take_written();
        if is_written {
            self.layer.commit(Durability::Buffered)?;
        }
        Ok(is_written)
    }

    /// Lets other nodes answer the requests that this one has sent, and itself hear the answers.
    /// Who is not among them does not answer in time. Gives the number of requests; when there are
    /// none, nothing more will happen before the clock moves.
    pub fn exchange(&self, id: NodeId, others: &[(NodeId, &Self)]) -> Result<usize, VmError> {
        let mut requests = 0;
        for sent in self.sender.take() {
            let Sent::Request(nodes, request, bytes) = sent else { continue };
            for node in nodes {
                requests += 1;
                let Some((_, other)) = others.iter().find(|(other, _)| *other == node) else {
                    self.vm.app_request_failed(node, request, &AppError::TIMEOUT)?;
                    continue;
                };
                other.vm.app_request(id, request, Instant::MAX, bytes.clone())?;
                for answer in other.sender.take() {
                    match answer {
                        Sent::Response(to, request, bytes) if to == id => {
                            self.vm.app_response(node, request, bytes)?;
                        }
                        Sent::Error(to, request, error) if to == id => {
                            self.vm.app_request_failed(node, request, &error)?;
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(requests)
    }

    /// Accepts a block and commits.
    pub fn accept(&self, id: Id) -> Result<(), VmError> {
        self.vm.accept(id)?;
        self.commit()
    }

    /// Builds a block on the preferred one, verifies and prefers it.
    pub fn build(&self) -> Result<Block, VmError> {
        let block = self.vm.build_block(None)?;
        self.vm.verify(&block, None)?;
        self.vm.set_preference(block.id)?;
        Ok(block)
    }

    /// Builds a block and accepts it.
    pub fn build_and_accept(&self) -> Result<Block, VmError> {
        let block = self.build()?;
        self.accept(block.id)?;
        Ok(block)
    }

    /// Stops the VM in good order and starts another on what is on the disk.
    pub fn restart(self) -> Result<Self, VmError> {
        self.vm.shutdown()?;
        self.crash()
    }

    /// Drops the VM with everything it did not commit, and starts another on what is on the disk.
    pub fn crash(self) -> Result<Self, VmError> {
        Self::start_on(self.setup, self.disk.reopen(), self.clock)
    }

    /// Moves the clock forward, and lets the VM do what became due, each thing in its time.
    pub fn advance(&self, span: Duration) -> Result<(), VmError> {
        let end = self.clock.now() + span;
        while let Some(due) = self.vm.poll_timeout().filter(|due| *due <= end) {
            self.clock.advance(due.since(self.clock.now()));
            self.vm.handle_timeout(self.clock.now())?;
        }
        self.clock.advance(end.since(self.clock.now()));
        Ok(())
    }

    /// Posts JSON to one of the VM's handlers.
    pub fn post(&self, path: &str, json: &str) -> Result<HttpResponse, VmError> {
        let handlers = self.vm.create_handlers()?;
        let handler = handlers.get(path).ok_or(VmError::NotFound)?;
        Ok(handler.serve(HttpRequest {
            method: "POST".to_owned(),
            path: String::new(),
            query: String::new(),
            headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
            body: Bytes::copy_from_slice(json.as_bytes()),
        }))
    }

    /// What the node keeps: for tests that make it fail.
    pub const fn disk(&self) -> &MemoryDb {
        &self.disk
    }
}

impl fmt::Debug for TestNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestNode").field("setup", &self.setup).finish_non_exhaustive()
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct TestClock {
    start: WallTime,
    elapsed_nanos: AtomicU64,
}

impl TestClock {
    /// A clock whose calendar begins here, in seconds since the Unix epoch.
    pub const fn at(unix_secs: i64) -> Self {
        Self { start: WallTime::from_unix_secs(unix_secs), elapsed_nanos: AtomicU64::new(0) }
    }

    /// Moves it forward.
    pub fn advance(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_nanos.fetch_add(nanos, Ordering::AcqRel);
    }
}

impl Default for TestClock {
    /// Its calendar begins at [`START_UNIX_SECS`].
    fn default() -> Self {
        Self::at(START_UNIX_SECS)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant(self.elapsed_nanos.load(Ordering::Acquire))
    }

    fn wall(&self) -> WallTime {
        self.start + self.now().since(Instant::ZERO)
    }
}

#[derive(Debug)]
struct TestRandom(AtomicU64);

impl Random for TestRandom {
    /// The generator `SplitMix64`.
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STEP, Ordering::AcqRel).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A message that a VM sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A request.
    Request(BTreeSet<NodeId>, RequestId, Bytes),
    /// An answer.
    Response(NodeId, RequestId, Bytes),
    /// A failure as an answer.
    Error(NodeId, RequestId, AppError),
    /// Gossip.
    Gossip(SendConfig, Bytes),
}

/// Remembers what a VM sends.
#[derive(Debug, Default)]
pub struct TestSender(Mutex<Vec<Sent>>);

impl TestSender {
    /// Takes what was sent since the last time.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.0.lock())
    }

    fn push(&self, sent: Sent) {
        self.0.lock().push(sent);
    }
}

impl AppSender for TestSender {
    fn send_app_request(
        &self,
        nodes: &BTreeSet<NodeId>,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.push(Sent::Request(nodes.clone(), request, bytes));
        Ok(())
    }

    fn send_app_response(
        &self,
        node: NodeId,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.push(Sent::Response(node, request, bytes));
        Ok(())
    }

    fn send_app_error(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        self.push(Sent::Error(node, request, error.clone()));
        Ok(())
    }

    fn send_app_gossip(&self, config: &SendConfig, bytes: Bytes) -> Result<(), VmError> {
        self.push(Sent::Gossip(config.clone(), bytes));
        Ok(())
    }
}

/// A P-Chain without validators.
#[derive(Debug)]
struct NoValidators;

impl ValidatorState for NoValidators {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(0)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(0)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Err(VmError::NotFound)
    }

    fn validator_set(&self, _height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        Ok(Arc::default())
    }

    fn canonical_sets(&self, _height: u64) -> Result<Arc<CanonicalSets>, VmError> {
        Ok(Arc::default())
    }
}
