//! Many blocks at once.
//!
//! * Upon `ancestors`: the wrapper's own blocks from the given one down, and below the fork the
//!   inner VM's. Nothing but their bytes is looked at. Also for an inner VM that cannot do this
//!   itself, where upstream leaves it to the engine.
//! * Upon `parse_blocks`: outer blocks as long as they are ones. From the first that is none on, all
//!   of the rest are inner ones. The inner VM gets all inner blocks in one call.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_types::Id;
use sastrugi_vm::{BatchedChainVm, Block, VmError};

use super::{Memory, ProposerVm, Running};
use crate::{OuterBlock, block::Unverified};

/// What a block costs beyond its own bytes: the length in front of it.
const ANCESTOR_OVERHEAD_BYTES: usize = 4;

impl BatchedChainVm for ProposerVm {
    fn ancestors(
        &self,
        id: Id,
        count_max: usize,
        bytes_max: usize,
        time_max: Duration,
    ) -> Result<Vec<Bytes>, VmError> {
        let running = self.running()?;
        let bounds = Bounds { count: count_max, bytes: bytes_max, time: time_max };
        running.ancestors(&running.memory.lock(), id, bounds)
    }

    fn parse_blocks(&self, blocks: Vec<Bytes>) -> Result<Vec<Block>, VmError> {
        let running = self.running()?;
        running.parse_blocks(&mut running.memory.lock(), blocks)
    }
}

/// Bounds of an answer.
#[derive(Clone, Copy)]
struct Bounds {
    count: usize,
    bytes: usize,
    time: Duration,
}

impl Running {
    fn ancestors(&self, memory: &Memory, id: Id, max: Bounds) -> Result<Vec<Bytes>, VmError> {
        let started = self.clock.now();
        let (mut blocks, mut size, mut next) = (Vec::new(), 0, id);
        while let Some(outer) = self.outer(memory, next)? {
            size += outer.bytes().len() + ANCESTOR_OVERHEAD_BYTES;
            let is_late = self.clock.now() - started >= max.time;
            if !blocks.is_empty() && (size >= max.bytes || is_late) {
                return Ok(blocks);
            }
            next = outer.parent();
            blocks.push(outer.bytes().clone());
            if blocks.len() >= max.count {
                return Ok(blocks);
            }
        }
        let rest = Bounds {
            count: max.count - blocks.len(),
            bytes: max.bytes.saturating_sub(size),
            time: max.time.saturating_sub(self.clock.now() - started),
        };
        match self.inner_ancestors(next, rest, blocks.is_empty()) {
            Ok(inner) => blocks.extend(inner),
            Err(error) if blocks.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(blocks)
    }

    /// Blocks from before the fork. Only the very first block of an answer may be too large.
    fn inner_ancestors(&self, id: Id, max: Bounds, is_first: bool) -> Result<Vec<Bytes>, VmError> {
        if let Some(batched) = self.inner.batched() {
            match batched.ancestors(id, max.count, max.bytes, max.time) {
                Err(VmError::NotImplemented) => {}
                answer => return answer,
            }
        }
        let started = self.clock.now();
        let (mut blocks, mut size, mut next) = (Vec::new(), 0, id);
        while blocks.len() < max.count
            && let Some(block) = self.inner.get_block(next)?
        {
            size += block.bytes.len() + ANCESTOR_OVERHEAD_BYTES;
            let is_late = self.clock.now() - started >= max.time;
            if !(is_first && blocks.is_empty()) && (size >= max.bytes || is_late) {
                break;
            }
            next = block.parent;
            blocks.push(block.bytes);
        }
        Ok(blocks)
    }

    fn parse_blocks(&self, memory: &mut Memory, blocks: Vec<Bytes>) -> Result<Vec<Block>, VmError> {
        let mut outers = Vec::with_capacity(blocks.len());
        for bytes in &blocks {
            let Some(outer) = self.checked(memory, bytes) else { break };
            outers.push(outer);
        }
        let rest = blocks.into_iter().skip(outers.len());
        let inner_bytes = outers.iter().map(OuterBlock::inner).chain(rest).collect();
        let inners = self.parse_inners(inner_bytes)?;
        let outers = outers.into_iter().map(Some).chain(std::iter::repeat(None));
        let pairs = inners.into_iter().zip(outers);
        pairs
            .map(|(inner, outer)| match outer {
                Some(outer) => {
                    let block = self.to_vm(memory, &outer, &inner)?;
                    self.keep_checked(memory, outer, inner);
                    Ok(block)
                }
                None => Ok(inner),
            })
            .collect()
    }

    /// The outer block with these bytes, if it is one.
    fn checked(&self, memory: &mut Memory, bytes: &Bytes) -> Option<OuterBlock> {
        let unverified = Unverified::read(bytes.clone()).ok()?;
        if !self.is_checked(memory, unverified.block()) {
            unverified.verify(self.context.chain_id).ok()?;
        }
        Some(unverified.into_block().over(Bytes::copy_from_slice(bytes)))
    }

    fn parse_inners(&self, bytes: Vec<Bytes>) -> Result<Vec<Block>, VmError> {
        if let Some(batched) = self.inner.batched() {
            match batched.parse_blocks(bytes.clone()) {
                Err(VmError::NotImplemented) => {}
                answer => return answer,
            }
        }
        bytes.into_iter().map(|bytes| self.inner.parse_block(bytes)).collect()
    }
}
