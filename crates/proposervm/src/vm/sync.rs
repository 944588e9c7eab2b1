//! State sync through the wrapper.
//!
//! A summary of the inner VM travels together with the outer block of its height and the height of
//! the fork ([`Summary`]). One of a height before the fork travels alone.
//!
//! * Upon a request for a summary: the inner VM's, wrapped. None if the outer block is not there.
//! * Upon `parse_summary`: both parts must be good, the signature included. What is stored does not
//!   matter, so a fresh node answers the same.
//! * Upon `accept_summary`: the fork height and, unless it is below the last accepted one, the outer
//!   block are stored as accepted, then the inner VM accepts its part. The outer chain is never moved
//!   back here. Until the inner VM has jumped, the wrapper answers as if it had not either.
//! * When the chain leaves state sync, the accepted chain is settled: after a sync that came to
//!   nothing the last accepted block is the old one.
//!
//! What is stored of a summary stays, also after a crash: the inner VM may go on with it, and the
//! wrapper must then be able to name it. Upstream: `vms/proposervm/{state_syncable_vm,state_summary}.go`.

use bytes::Bytes;
use sastrugi_vm::{StateSummary, StateSyncMode, StateSyncableVm, VmError};

use super::{Memory, ProposerVm, Running, fault, resolve::NotOuter};
use crate::summary::Summary;

impl ProposerVm {
    fn inner_sync(&self) -> Result<&dyn StateSyncableVm, VmError> {
        self.inner.state_sync().ok_or(VmError::NotImplemented)
    }

    fn wrap(&self, inner: Option<StateSummary>) -> Result<Option<StateSummary>, VmError> {
        let Some(inner) = inner else { return Ok(None) };
        let running = self.running()?;
        running.wrap_summary(&running.memory.lock(), inner)
    }
}

impl StateSyncableVm for ProposerVm {
    fn state_sync_enabled(&self) -> Result<bool, VmError> {
        self.inner_sync()?.state_sync_enabled()
    }

    fn ongoing_summary(&self) -> Result<Option<StateSummary>, VmError> {
        self.wrap(self.inner_sync()?.ongoing_summary()?)
    }

    fn last_summary(&self) -> Result<Option<StateSummary>, VmError> {
        self.wrap(self.inner_sync()?.last_summary()?)
    }

    fn parse_summary(&self, bytes: Bytes) -> Result<StateSummary, VmError> {
        let sync = self.inner_sync()?;
        let Ok(summary) = Summary::parse(bytes.clone()) else { return sync.parse_summary(bytes) };
        let inner = sync.parse_summary(summary.inner().clone())?;
        let running = self.running()?;
        running
            .read(&mut running.memory.lock(), summary.block(), false)
            .map_err(|error| VmError::invalid(format!("the summary's block: {error}")))?;
        Ok(outer_summary(&summary, &inner))
    }

    fn summary_at(&self, height: u64) -> Result<Option<StateSummary>, VmError> {
        self.wrap(self.inner_sync()?.summary_at(height)?)
    }

    fn accept_summary(&self, summary: &StateSummary) -> Result<StateSyncMode, VmError> {
        let sync = self.inner_sync()?;
        let running = self.running()?;
        let memory = &mut running.memory.lock();
        let inner = match Summary::parse(summary.bytes.clone()) {
            Ok(summary) => {
                let inner = sync.parse_summary(summary.inner().clone())?;
                running.accept_block_of(memory, &summary, inner.height)?;
                inner
            }
            Err(_) => sync.parse_summary(summary.bytes.clone())?,
        };
        let mode = sync.accept_summary(&inner)?;
        if mode == StateSyncMode::Skipped && memory.is_jumping {
            running.settle(memory)?;
        }
        Ok(mode)
    }
}

impl Running {
    fn wrap_summary(
        &self,
        memory: &Memory,
        inner: StateSummary,
    ) -> Result<Option<StateSummary>, VmError> {
        let fork = self.state.fork_height().map_err(fault)?;
        let Some(fork) = fork.filter(|fork| inner.height >= *fork) else { return Ok(Some(inner)) };
        let id = self.state.block_id_at_height(inner.height).map_err(fault)?;
        let outer = id.map(|id| self.outer(memory, id)).transpose()?.flatten();
        let Some(outer) = outer else { return Ok(None) };
        let summary = Summary::new(fork, outer.bytes(), &inner.bytes)
            .map_err(|error| VmError::Other(format!("summary: {error}")))?;
        Ok(Some(outer_summary(&summary, &inner)))
    }

    /// Stores the outer block of a summary, so that the inner VM is never ahead of the wrapper.
    fn accept_block_of(
        &self,
        memory: &mut Memory,
        summary: &Summary,
        height: u64,
    ) -> Result<(), VmError> {
        let known = self
            .read(memory, summary.block(), false)
            .map_err(|error: NotOuter| VmError::invalid(format!("the summary's block: {error}")))?;
        self.state.set_fork_height(summary.fork_height()).map_err(fault)?;
        if memory.tip.is_none_or(|tip| tip.height < height) {
            self.accept_outer(memory, &known.outer, known.inner.height)?;
            memory.is_jumping = true;
        }
        self.commit_first()
    }
}

fn outer_summary(summary: &Summary, inner: &StateSummary) -> StateSummary {
    StateSummary { id: summary.id(), height: inner.height, bytes: summary.bytes().clone() }
}
