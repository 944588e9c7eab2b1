//! Which blocks are accepted.

use std::cmp::Ordering;

use sastrugi_types::Id;
use sastrugi_vm::{Block, VmError};

use super::{Memory, Running, Tip, fault, resolve::Found};

/// No more blocks are deleted at one start, because they are one commit. The rest is at the next.
const PRUNED_AT_START_MAX: u64 = 1 << 16;

impl Running {
    /// Brings the last accepted outer block down to the inner VM.
    pub(super) fn settle(&self, memory: &mut Memory) -> Result<(), VmError> {
        memory.is_jumping = false;
        memory.tip = None;
        let Some(id) = self.state.last_accepted().map_err(fault)? else { return Ok(()) };
        let outer = self.accepted(memory, id)?;
        let inner = self.inner_last()?;
        let settled = match outer.inner.height.cmp(&inner.height) {
            Ordering::Equal => outer,
            Ordering::Less => {
                return Err(VmError::Other(format!(
                    "proposervm: the VM has accepted a block at height {}, the last one with a \
                     proposer is {id} at height {}: restore both from the same backup, or move the \
                     chain's data away and let the node fetch everything anew",
                    inner.height, outer.inner.height
                )));
            }
            Ordering::Greater => {
                tracing::info!(
                    chain = %self.context.chain_id,
                    outer_height = outer.inner.height,
                    inner_height = inner.height,
                    "repairing accepted chain by height"
                );
                match self.roll_back(inner.height)? {
                    Some(id) => self.accepted(memory, id)?,
                    None => return Ok(()),
                }
            }
        };
        // An option is as old as its parent, which must be there for the next block.
        self.as_parent(memory, &settled)?;
        let Found { outer: Some(outer), inner } = settled else { return Ok(()) };
        memory.tip = Some(Tip { id: outer.id(), height: inner.height });
        Ok(())
    }

    /// Makes the block at a height the last accepted one. `None` if it is from before the fork.
    fn roll_back(&self, height: u64) -> Result<Option<Id>, VmError> {
        let fork = self.state.fork_height().map_err(fault)?;
        let fork = fork.ok_or_else(|| VmError::Other("proposervm: no fork height".to_owned()))?;
        if fork > height {
            self.state.delete_last_accepted().map_err(fault)?;
            return Ok(None);
        }
        let id = self.state.block_id_at_height(height).map_err(fault)?;
        let id = id.ok_or_else(|| {
            VmError::Other(format!(
                "proposervm: the VM is back at height {height}, where no block was kept: keep more \
                 blocks, move the chain's data away and let the node fetch everything anew"
            ))
        })?;
        self.state.set_last_accepted(id).map_err(fault)?;
        Ok(Some(id))
    }

    fn accepted(&self, memory: &mut Memory, id: Id) -> Result<Found, VmError> {
        self.find_outer(memory, id)?.ok_or_else(|| {
            VmError::Other(format!("proposervm: the last accepted block {id} is not there"))
        })
    }

    fn inner_last(&self) -> Result<Block, VmError> {
        let id = self.inner.last_accepted()?;
        let block = self.inner.get_block(id)?;
        block.ok_or_else(|| VmError::Other(format!("the VM does not have its own last block {id}")))
    }

    /// Deletes blocks that need not be kept.
    pub(super) fn prune(&self, memory: &Memory) -> Result<(), VmError> {
        let (Some(kept), Some(tip)) = (self.config.kept_blocks, memory.tip) else { return Ok(()) };
        for _ in 0..PRUNED_AT_START_MAX {
            let lowest = self.state.minimum_height().map_err(fault)?;
            let Some(lowest) =
                lowest.filter(|height| tip.height.saturating_sub(*height) > kept.get())
            else {
                break;
            };
            self.forget(lowest)?;
        }
        Ok(())
    }

    /// The last accepted block.
    pub(super) fn last_accepted(&self, memory: &Memory) -> Result<Id, VmError> {
        if memory.is_jumping {
            let inner = self.inner_last()?;
            return Ok(self.accepted_up_to(inner.height, inner.height)?.unwrap_or(inner.id));
        }
        memory.tip.map_or_else(|| self.inner.last_accepted(), |tip| Ok(tip.id))
    }

    /// The accepted block at a height.
    pub(super) fn accepted_at(&self, memory: &Memory, height: u64) -> Result<Option<Id>, VmError> {
        let last = if memory.is_jumping {
            self.inner_last()?.height
        } else {
            memory.tip.map_or(0, |tip| tip.height)
        };
        self.accepted_up_to(last, height)
    }

    /// Above the last accepted block there may be entries of a summary that came to nothing.
    fn accepted_up_to(&self, last: u64, height: u64) -> Result<Option<Id>, VmError> {
        match self.state.fork_height().map_err(fault)? {
            Some(fork) if height >= fork && height > last => Ok(None),
            Some(fork) if height >= fork => self.state.block_id_at_height(height).map_err(fault),
            _ => self.inner.block_id_at_height(height),
        }
    }
}
