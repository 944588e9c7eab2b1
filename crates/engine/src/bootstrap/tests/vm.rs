//! A test VM that is watched.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, NodeId, RequestId, version::Application};
use sastrugi_vm::{
    AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, BatchedChainVm, Block,
    BlockContext, ChainVm, Connector, Health, HealthChecker, State, Vm, VmError, VmInit,
};

use crate::testing::TestVm;

/// Passes everything on, notes what it is asked, and may change its mind when it hears of a state.
pub(super) struct WatchedVm {
    inner: Mutex<Arc<TestVm>>,
    /// The calls that came.
    pub(super) calls: Mutex<Vec<&'static str>>,
    /// What is left when the state is set.
    pub(super) rollback: Mutex<Option<Arc<TestVm>>>,
    /// Whether it reads many blocks at once.
    pub(super) is_batched: Mutex<bool>,
    pub(super) causes: Mutex<Vec<String>>,
}

impl WatchedVm {
    pub(super) fn new(inner: Arc<TestVm>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(inner),
            calls: Mutex::default(),
            rollback: Mutex::default(),
            is_batched: Mutex::default(),
            causes: Mutex::default(),
        })
    }

    pub(super) fn inner(&self) -> Arc<TestVm> {
        self.inner.lock().clone()
    }

    fn called(&self, call: &'static str) -> Arc<TestVm> {
        self.calls.lock().push(call);
        self.inner()
    }
}

impl ChainVm for WatchedVm {
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError> {
        self.called("parse_block").parse_block(bytes)
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        self.called("get_block").get_block(id)
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        self.called("block_id_at_height").block_id_at_height(height)
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        self.called("last_accepted").last_accepted()
    }

    fn build_block(&self, context: Option<BlockContext>) -> Result<Block, VmError> {
        self.called("build_block").build_block(context)
    }

    fn verify(&self, block: &Block, context: Option<BlockContext>) -> Result<(), VmError> {
        self.called("verify").verify(block, context)
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        self.called("accept").accept(id)
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        self.called("reject").reject(id)
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        self.called("set_preference").set_preference(id)
    }

    fn batched(&self) -> Option<&dyn BatchedChainVm> {
        self.is_batched.lock().then_some(self as &dyn BatchedChainVm)
    }
}

impl BatchedChainVm for WatchedVm {
    fn ancestors(
        &self,
        _id: Id,
        _count_max: usize,
        _bytes_max: usize,
        _time_max: std::time::Duration,
    ) -> Result<Vec<Bytes>, VmError> {
        Err(VmError::NotImplemented)
    }

    fn parse_blocks(&self, blocks: Vec<Bytes>) -> Result<Vec<Block>, VmError> {
        let vm = self.called("parse_blocks");
        blocks.into_iter().map(|bytes| vm.parse_block(bytes)).collect()
    }
}

impl Vm for WatchedVm {
    fn initialize(&self, init: VmInit) -> Result<(), VmError> {
        self.called("initialize").initialize(init)
    }

    fn set_state(&self, state: State) -> Result<(), VmError> {
        self.called("set_state").set_state(state)?;
        if let Some(older) = self.rollback.lock().take() {
            *self.inner.lock() = older;
        }
        Ok(())
    }

    fn version(&self) -> Result<String, VmError> {
        self.called("version").version()
    }

    fn shutdown(&self) -> Result<(), VmError> {
        self.called("shutdown").shutdown()
    }
}

impl HealthChecker for WatchedVm {
    fn health(&self) -> Health {
        Health { causes: self.causes.lock().clone(), ..self.inner().health() }
    }
}

impl Connector for WatchedVm {
    fn connected(&self, node: NodeId, version: &Application) -> Result<(), VmError> {
        self.called("connected").connected(node, version)
    }

    fn disconnected(&self, node: NodeId) -> Result<(), VmError> {
        self.called("disconnected").disconnected(node)
    }
}

impl AppRequestHandler for WatchedVm {
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.called("app_request").app_request(node, request, deadline, bytes)
    }
}

impl AppResponseHandler for WatchedVm {
    fn app_response(&self, node: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        self.called("app_response").app_response(node, request, bytes)
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        self.called("app_request_failed").app_request_failed(node, request, error)
    }
}

impl AppGossipHandler for WatchedVm {
    fn app_gossip(&self, node: NodeId, bytes: Bytes) -> Result<(), VmError> {
        self.called("app_gossip").app_gossip(node, bytes)
    }
}
