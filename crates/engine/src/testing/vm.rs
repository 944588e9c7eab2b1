//! A VM whose blocks say nothing but where they stand.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use sastrugi_types::{
    Id, IdBuildHasher, IdMap, IdSet, NodeId, RequestId, WallTime, hash::sha256, id::ID_BYTES,
    version::Application,
};
use sastrugi_vm::{
    AppGossipHandler, AppRequestHandler, AppResponseHandler, Block, BlockContext, ChainVm,
    Connector, Health, HealthChecker, State, StateSummary, StateSyncMode, StateSyncableVm, Vm,
    VmError, VmInit,
};
use serde_json::json;

use crate::common::AppError;

/// Where the payload of a block begins: after the parent's ID and the height.
const HEADER_BYTES: usize = ID_BYTES + 8;

/// A block on `parent`: the parent's ID, the height in 8 bytes, and zeros up to `length` bytes, or
/// more if the first two need more. Its ID is the SHA-256 of these bytes.
pub fn test_block(parent: Id, height: u64, length: usize) -> Block {
    let mut bytes = BytesMut::with_capacity(length.max(HEADER_BYTES));
    bytes.put_slice(&parent.0);
    bytes.put_u64(height);
    bytes.put_bytes(0, length.saturating_sub(HEADER_BYTES));
    let bytes = bytes.freeze();
    Block { id: Id(sha256(&bytes)), parent, height, timestamp: TIMESTAMP, bytes }
}

/// What all test blocks say of the time.
const TIMESTAMP: WallTime = WallTime::from_unix_secs(1_600_000_000);

/// A VM of [`test_block`]s: all verify but those that are told not to.
///
/// It holds the engine to its promises: a call that the contract of [`ChainVm`] forbids fails.
#[derive(Debug)]
pub struct TestVm(Mutex<Blocks>);

#[derive(Debug)]
struct Blocks {
    /// Accepted blocks and those that verified and are undecided.
    known: IdMap<Block>,
    /// Accepted blocks by height.
    accepted: Vec<Id>,
    invalid: IdSet,
    to_build: Vec<Block>,
    preference: Id,
    verified: u64,
    rejected: Vec<Id>,
    summaries: Option<TestSummaries>,
    accepted_summaries: Vec<u64>,
}

/// The state summaries of a [`TestVm`]. A summary is a block: its ID, its height, its bytes.
#[derive(Clone, Debug)]
pub struct TestSummaries {
    /// Whether the VM wants to sync.
    pub enabled: bool,
    /// There is a summary at each multiple of this height that is accepted.
    pub every: u64,
    /// What accepting a summary does. Unless it is skipped, its block becomes the last accepted one
    /// at once, and none below it is known but genesis.
    pub mode: StateSyncMode,
    /// What an interrupted sync was working on.
    pub ongoing: Option<StateSummary>,
}

/// The summary that is this block.
pub fn test_summary(block: &Block) -> StateSummary {
    StateSummary { id: block.id, height: block.height, bytes: block.bytes.clone() }
}

impl TestVm {
    /// A VM that has accepted `genesis` alone, a block of height 0.
    pub fn new(genesis: Block) -> Arc<Self> {
        let hasher = IdBuildHasher::new(0);
        let mut known = IdMap::with_hasher(hasher);
        let id = genesis.id;
        known.insert(id, genesis);
        Arc::new(Self(Mutex::new(Blocks {
            known,
            accepted: vec![id],
            invalid: IdSet::with_hasher(hasher),
            to_build: Vec::new(),
            preference: id,
            verified: 0,
            rejected: Vec::new(),
            summaries: None,
            accepted_summaries: Vec::new(),
        })))
    }

    /// From here on the VM has summaries.
    pub fn set_summaries(&self, summaries: TestSummaries) {
        self.0.lock().summaries = Some(summaries);
    }

    /// The heights of the summaries it was told to accept.
    pub fn accepted_summaries(&self) -> Vec<u64> {
        self.0.lock().accepted_summaries.clone()
    }

    /// From here on the block does not verify, or does again.
    pub fn set_invalid(&self, id: Id, invalid: bool) {
        let mut blocks = self.0.lock();
        if invalid {
            blocks.invalid.insert(id);
        } else {
            blocks.invalid.remove(&id);
        }
    }

    /// The next blocks to be built, in this order.
    pub fn set_to_build(&self, mut next: Vec<Block>) {
        next.reverse();
        self.0.lock().to_build = next;
    }

    /// The accepted blocks, genesis first. The empty ID stands for those a summary jumped over.
    pub fn accepted(&self) -> Vec<Id> {
        self.0.lock().accepted.clone()
    }

    /// The rejected blocks in order.
    pub fn rejected(&self) -> Vec<Id> {
        self.0.lock().rejected.clone()
    }

    /// What the engine prefers.
    pub fn preference(&self) -> Id {
        self.0.lock().preference
    }

    /// How many blocks were verified, successfully or not.
    pub fn verified(&self) -> u64 {
        self.0.lock().verified
    }
}

fn broken(promise: &str) -> VmError {
    VmError::Other(format!("the engine broke its promise: {promise}"))
}

impl ChainVm for TestVm {
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError> {
        let id = Id(sha256(&bytes));
        if let Some(block) = self.0.lock().known.get(&id) {
            return Ok(block.clone());
        }
        let (Some(parent), Some(height)) =
            (bytes.first_chunk::<ID_BYTES>(), bytes.get(ID_BYTES..HEADER_BYTES))
        else {
            return Err(VmError::invalid("too short"));
        };
        let height = height.iter().fold(0, |height, byte| height << 8 | u64::from(*byte));
        Ok(Block { id, parent: Id(*parent), height, timestamp: TIMESTAMP, bytes })
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        Ok(self.0.lock().known.get(&id).cloned())
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        let height = usize::try_from(height).unwrap_or(usize::MAX);
        Ok(self.0.lock().accepted.get(height).copied().filter(|id| *id != Id::EMPTY))
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        self.0.lock().accepted.last().copied().ok_or(VmError::NotFound)
    }

    fn build_block(&self, _context: Option<BlockContext>) -> Result<Block, VmError> {
        self.0.lock().to_build.pop().ok_or(VmError::NothingToBuild)
    }

    fn verify(&self, block: &Block, _context: Option<BlockContext>) -> Result<(), VmError> {
        let mut blocks = self.0.lock();
        blocks.verified += 1;
        if blocks.invalid.contains(&block.id) {
            return Err(VmError::invalid("told to be"));
        }
        if !blocks.known.contains_key(&block.parent) {
            return Err(broken("verified before its parent"));
        }
        match blocks.known.insert(block.id, block.clone()) {
            Some(_) => Err(broken("verified twice")),
            None => Ok(()),
        }
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        let mut blocks = self.0.lock();
        let last = blocks.accepted.last().copied().unwrap_or_default();
        if blocks.known.get(&id).is_none_or(|block| block.parent != last) {
            return Err(broken("accepted before its parent"));
        }
        blocks.accepted.push(id);
        Ok(())
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        let mut blocks = self.0.lock();
        blocks.known.remove(&id).ok_or_else(|| broken("rejected without being verified"))?;
        blocks.rejected.push(id);
        Ok(())
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        let mut blocks = self.0.lock();
        if !blocks.known.contains_key(&id) {
            return Err(broken("prefers an unknown block"));
        }
        blocks.preference = id;
        Ok(())
    }

    fn state_sync(&self) -> Option<&dyn StateSyncableVm> {
        self.0.lock().summaries.as_ref().map(|_| self as &dyn StateSyncableVm)
    }
}

impl Blocks {
    fn summary_at(&self, height: u64) -> Option<StateSummary> {
        let every = self.summaries.as_ref()?.every.max(1);
        let index =
            usize::try_from(height).ok().filter(|_| height > 0 && height.is_multiple_of(every))?;
        self.known.get(self.accepted.get(index)?).map(test_summary)
    }

    fn jump(&mut self, block: Block) {
        self.accepted.truncate(1);
        self.accepted.resize(usize::try_from(block.height).unwrap_or(1), Id::EMPTY);
        self.accepted.push(block.id);
        self.preference = block.id;
        self.known.insert(block.id, block);
    }
}

impl StateSyncableVm for TestVm {
    fn state_sync_enabled(&self) -> Result<bool, VmError> {
        Ok(self.0.lock().summaries.as_ref().is_some_and(|summaries| summaries.enabled))
    }

    fn ongoing_summary(&self) -> Result<Option<StateSummary>, VmError> {
        Ok(self.0.lock().summaries.as_ref().and_then(|summaries| summaries.ongoing.clone()))
    }

    fn last_summary(&self) -> Result<Option<StateSummary>, VmError> {
        let blocks = self.0.lock();
        let last = blocks.accepted.len().saturating_sub(1) as u64;
        let every = blocks.summaries.as_ref().map_or(1, |summaries| summaries.every.max(1));
        Ok(blocks.summary_at(last - last % every))
    }

    fn parse_summary(&self, bytes: Bytes) -> Result<StateSummary, VmError> {
        self.parse_block(bytes).map(|block| test_summary(&block))
    }

    fn summary_at(&self, height: u64) -> Result<Option<StateSummary>, VmError> {
        Ok(self.0.lock().summary_at(height))
    }

    fn accept_summary(&self, summary: &StateSummary) -> Result<StateSyncMode, VmError> {
        let block = self.parse_block(summary.bytes.clone())?;
        let mut blocks = self.0.lock();
        blocks.accepted_summaries.push(summary.height);
        let mode = blocks.summaries.as_ref().map(|summaries| summaries.mode);
        let mode = mode.unwrap_or(StateSyncMode::Skipped);
        if matches!(mode, StateSyncMode::Static | StateSyncMode::Dynamic) {
            blocks.jump(block);
        }
        Ok(mode)
    }
}

impl Vm for TestVm {
    fn initialize(&self, _init: VmInit) -> Result<(), VmError> {
        Ok(())
    }

    fn set_state(&self, _state: State) -> Result<(), VmError> {
        Ok(())
    }

    fn version(&self) -> Result<String, VmError> {
        Ok("test".to_owned())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        Ok(())
    }
}

impl HealthChecker for TestVm {
    fn health(&self) -> Health {
        Health::well(json!("well"))
    }
}

impl Connector for TestVm {
    fn connected(&self, _node: NodeId, _version: &Application) -> Result<(), VmError> {
        Ok(())
    }

    fn disconnected(&self, _node: NodeId) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppRequestHandler for TestVm {
    fn app_request(
        &self,
        _node: NodeId,
        _request: RequestId,
        _deadline: sastrugi_types::Instant,
        _bytes: Bytes,
    ) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppResponseHandler for TestVm {
    fn app_response(
        &self,
        _node: NodeId,
        _request: RequestId,
        _bytes: Bytes,
    ) -> Result<(), VmError> {
        Ok(())
    }

    fn app_request_failed(
        &self,
        _node: NodeId,
        _request: RequestId,
        _error: &AppError,
    ) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppGossipHandler for TestVm {
    fn app_gossip(&self, _node: NodeId, _bytes: Bytes) -> Result<(), VmError> {
        Ok(())
    }
}
