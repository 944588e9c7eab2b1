//! Serves what other nodes ask for, in every gear of a chain. Upstream:
//! `snow/engine/snowman/getter`, `snow/engine/snowman/block/batched_vm.go`.
//!
//! What cannot be answered is dropped without a word; the asker's timeout ends it.
//!
//! * Upon `get_state_summary_frontier`: the bytes of the VM's last summary, whether or not the VM
//!   wants to sync itself. Dropped without one.
//! * Upon `get_accepted_state_summary`: no heights, no IDs, even by a VM without summaries. Else the
//!   IDs of the summaries at these heights; heights without one are left out. Dropped when the VM
//!   has no summaries at all.
//! * Upon `get_accepted_frontier`: the last accepted block.
//! * Upon `get_accepted`: those of the given blocks that are accepted, possibly none.
//! * Upon `get_ancestors`: the block, its parent and so on, within [`GetterConfig`] and
//!   [`ANCESTORS_BYTES_MAX`]. The first one is sent even if it alone is too large. Nothing for a
//!   block the VM does not have: the asker then turns to another node. Dropped upon other failures.
//! * Upon `get`: the block. Dropped without it.
//!
//! Fatal: the VM does not know its last accepted block.

mod ancestors;
mod delegate;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId};
use sastrugi_vm::{Block, ChainVm, Clock, StateSyncableVm, VmError};

use crate::common::{
    Cx, Fatal, GetAcceptedFrontierHandler, GetAcceptedHandler, GetAcceptedStateSummaryHandler,
    GetAncestorsHandler, GetHandler, GetStateSummaryFrontierHandler, Handled,
};

pub(crate) use delegate::serve_gets;

/// How many bytes of blocks one answer may hold, each block counted with
/// [`ANCESTOR_OVERHEAD_BYTES`]: four fifths of the largest message.
pub const ANCESTORS_BYTES_MAX: usize = 2 * 1024 * 1024 * 4 / 5;
/// What a block costs beyond its own bytes: the length in front of it.
pub const ANCESTOR_OVERHEAD_BYTES: usize = 4;

/// The bounds of an answer to `get_ancestors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetterConfig {
    /// Number of blocks (`bootstrap-ancestors-max-containers-sent`).
    pub ancestors_max: usize,
    /// Time spent on collecting them (`bootstrap-max-time-get-ancestors`).
    pub ancestors_time_max: Duration,
}

impl Default for GetterConfig {
    fn default() -> Self {
        Self { ancestors_max: 2000, ancestors_time_max: Duration::from_millis(50) }
    }
}

/// What was served so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetterStats {
    /// Answers to `get_ancestors` (`get_ancestors_blks_count`).
    pub ancestors_answers: u64,
    /// Blocks in them (`get_ancestors_blks_sum`).
    pub ancestors_blocks: u64,
}

/// Serves from one VM.
#[doc(alias = "New")]
pub struct Getter {
    vm: Arc<dyn ChainVm>,
    clock: Arc<dyn Clock>,
    config: GetterConfig,
    stats: GetterStats,
}

impl fmt::Debug for Getter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, stats, .. } = self;
        f.debug_struct("Getter")
            .field("config", config)
            .field("stats", stats)
            .finish_non_exhaustive()
    }
}

impl Getter {
    /// Serves from `vm`. The clock says how long an answer takes to collect.
    pub fn new(vm: Arc<dyn ChainVm>, clock: Arc<dyn Clock>, config: GetterConfig) -> Self {
        Self { vm, clock, config, stats: GetterStats::default() }
    }

    /// What was served so far.
    pub const fn stats(&self) -> GetterStats {
        self.stats
    }

    fn last_accepted(&self) -> Result<Id, Fatal> {
        self.vm.last_accepted().map_err(Fatal::vm("last_accepted"))
    }

    /// Whether a block stands at its own height in the accepted chain.
    fn is_accepted(&self, container: Id, last_accepted_height: u64) -> bool {
        let Ok(Some(block)) = self.vm.get_block(container) else { return false };
        block.height <= last_accepted_height
            && matches!(self.vm.block_id_at_height(block.height), Ok(Some(id)) if id == container)
    }

    /// The IDs of the summaries at these heights; `None` for a VM without summaries.
    fn summary_ids(&self, heights: &BTreeSet<u64>) -> Option<Vec<Id>> {
        if heights.is_empty() {
            return Some(Vec::new());
        }
        let vm = self.vm.state_sync()?;
        let mut ids = Vec::with_capacity(heights.len());
        for height in heights {
            match vm.summary_at(*height) {
                Ok(Some(summary)) => ids.push(summary.id),
                Ok(None) => {}
                Err(VmError::NotImplemented) => return None,
                Err(error) => tracing::debug!(height, %error, "no state summary"),
            }
        }
        Some(ids)
    }
}

impl GetStateSummaryFrontierHandler for Getter {
    fn get_state_summary_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        match self.vm.state_sync().map(StateSyncableVm::last_summary) {
            Some(Ok(Some(summary))) => {
                cx.sender.send_state_summary_frontier(from, request, summary.bytes);
            }
            Some(Err(error)) => tracing::debug!(%from, %request, %error, "no last state summary"),
            None | Some(Ok(None)) => tracing::debug!(%from, %request, "no state summaries"),
        }
        Ok(())
    }
}

impl GetAcceptedStateSummaryHandler for Getter {
    fn get_accepted_state_summary(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        heights: BTreeSet<u64>,
    ) -> Handled {
        if let Some(ids) = self.summary_ids(&heights) {
            cx.sender.send_accepted_state_summary(from, request, ids);
        } else {
            tracing::debug!(%from, %request, "no state summaries");
        }
        Ok(())
    }
}

impl GetAcceptedFrontierHandler for Getter {
    fn get_accepted_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        cx.sender.send_accepted_frontier(from, request, self.last_accepted()?);
        Ok(())
    }
}

impl GetAcceptedHandler for Getter {
    fn get_accepted(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: BTreeSet<Id>,
    ) -> Handled {
        let height = self.last_accepted_block()?.height;
        let accepted = containers.into_iter().filter(|id| self.is_accepted(*id, height)).collect();
        cx.sender.send_accepted(from, request, accepted);
        Ok(())
    }
}

impl GetAncestorsHandler for Getter {
    fn get_ancestors(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
    ) -> Handled {
        match self.ancestors(container) {
            Ok(blocks) => {
                self.stats.ancestors_answers += 1;
                self.stats.ancestors_blocks += blocks.len() as u64;
                cx.sender.send_ancestors(from, request, blocks);
            }
            Err(error) => tracing::debug!(%from, %request, %error, "no ancestors"),
        }
        Ok(())
    }
}

impl GetHandler for Getter {
    fn get(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId, container: Id) -> Handled {
        match self.vm.get_block(container) {
            Ok(Some(block)) => cx.sender.send_put(from, request, block.bytes),
            Ok(None) => tracing::debug!(%from, %request, %container, "no such block"),
            Err(error) => tracing::debug!(%from, %request, %container, %error, "no such block"),
        }
        Ok(())
    }
}

impl Getter {
    fn last_accepted_block(&self) -> Result<Block, Fatal> {
        let id = self.last_accepted()?;
        self.vm
            .get_block(id)
            .and_then(|block| block.ok_or(VmError::NotFound))
            .map_err(Fatal::vm("get_block of the last accepted"))
    }

    fn ancestors(&self, container: Id) -> Result<Vec<Bytes>, VmError> {
        let GetterConfig { ancestors_max, ancestors_time_max } = self.config;
        ancestors::collect(
            &*self.vm,
            &*self.clock,
            container,
            ancestors_max,
            ANCESTORS_BYTES_MAX,
            ancestors_time_max,
        )
    }
}

#[cfg(test)]
mod tests;
