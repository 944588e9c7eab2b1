//! Accepting and rejecting.

use sastrugi_types::Id;
use sastrugi_vm::VmError;

use super::{Memory, Running, Tip, Verified, fault};
use crate::OuterBlock;

impl Running {
    pub(super) fn accept(&self, memory: &mut Memory, id: Id) -> Result<(), VmError> {
        let Some(verified) = memory.verified.remove(&id) else {
            return self.inner.accept(id);
        };
        let Verified { outer, inner, slot, .. } = verified;
        self.accept_outer(memory, &outer, inner.height)?;
        self.commit_first()?;
        self.inner.accept(inner.id)?;
        for rejected in memory.tree.accept(&inner) {
            self.inner.reject(rejected)?;
        }
        if let OuterBlock::Block(block) = &outer {
            let inner_secs = inner.timestamp.unix_secs();
            self.counters.accepted(slot, block.timestamp_secs(), inner_secs);
        }
        Ok(())
    }

    pub(super) fn reject(&self, memory: &mut Memory, id: Id) -> Result<(), VmError> {
        // The inner block may be in another outer one.
        if memory.verified.remove(&id).is_some() { Ok(()) } else { self.inner.reject(id) }
    }

    /// Makes a block the last accepted one, and leaves the inner VM as it is.
    pub(super) fn accept_outer(
        &self,
        memory: &mut Memory,
        outer: &OuterBlock,
        height: u64,
    ) -> Result<(), VmError> {
        let id = outer.id();
        memory.tip = Some(Tip { id, height });
        self.state.set_last_accepted(id).map_err(fault)?;
        self.state.put_block(outer).map_err(fault)?;
        let fork = if let Some(fork) = self.state.fork_height().map_err(fault)? {
            fork
        } else {
            self.state.set_fork_height(height).map_err(fault)?;
            height
        };
        self.state.set_block_id_at_height(height, id).map_err(fault)?;
        if let Some(kept) = self.config.kept_blocks
            && height.saturating_sub(fork) > kept.get()
        {
            self.forget(height - kept.get() - 1)?;
        }
        Ok(())
    }

    /// Deletes the block at a height; a missing one is fine.
    pub(super) fn forget(&self, height: u64) -> Result<(), VmError> {
        if let Some(id) = self.state.block_id_at_height(height).map_err(fault)? {
            self.state.delete_block_id_at_height(height).map_err(fault)?;
            self.state.delete_block(id).map_err(fault)?;
        }
        Ok(())
    }

    /// What the wrapper wrote is on the disk before an inner VM that commits on its own goes on.
    pub(super) fn commit_first(&self) -> Result<(), VmError> {
        self.config.commit_first.as_ref().map_or(Ok(()), |commit| commit())
    }
}
