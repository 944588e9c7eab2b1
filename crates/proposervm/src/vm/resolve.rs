//! From bytes and IDs to blocks.

use bytes::Bytes;
use sastrugi_types::{Id, WallTime, id::ID_BYTES};
use sastrugi_vm::{Block, VmError};

use super::{Memory, Running, fault};
use crate::{
    Epoch, OuterBlock, PostForkBlock,
    block::{BlockError, Unverified},
    verify::{Kind, Parent},
};

/// What an entry is counted with beside its block, as upstream counts.
const POINTER_BYTES: usize = 8;

/// A block after the fork that was read.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) outer: OuterBlock,
    pub(super) inner: Block,
    /// Whether the signature was found to be good. If not, the block was said to be accepted.
    is_checked: bool,
}

/// A block that is there.
pub(super) struct Found {
    /// `None` before the fork.
    pub(super) outer: Option<OuterBlock>,
    pub(super) inner: Block,
}

/// Why bytes are no outer block.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOuter {
    /// They are none.
    #[error(transparent)]
    Outer(BlockError),
    /// They are, and what is in it is no inner block.
    #[error("its inner block: {0}")]
    Inner(VmError),
}

impl Running {
    /// Reads a block from before or after the fork.
    pub(super) fn parse(
        &self,
        memory: &mut Memory,
        bytes: &Bytes,
        is_trusted: bool,
    ) -> Result<Block, VmError> {
        match self.read(memory, bytes, is_trusted) {
            Ok(Known { outer, inner, .. }) => self.to_vm(memory, &outer, &inner),
            Err(outer) => self.inner.parse_block(bytes.clone()).map_err(|error| {
                VmError::invalid(format!("as an outer block: {outer}; as an inner one: {error}"))
            }),
        }
    }

    /// Reads a block from after the fork.
    pub(super) fn read(
        &self,
        memory: &mut Memory,
        bytes: &Bytes,
        is_trusted: bool,
    ) -> Result<Known, NotOuter> {
        let unverified = Unverified::read(bytes.clone()).map_err(NotOuter::Outer)?;
        let id = unverified.block().id();
        let known = self.known(memory, id);
        // The ID does not cover the signature: another one may have been found to be good.
        let same = known.filter(|known| known.outer.bytes() == bytes);
        if let Some(known) = same
            && (known.is_checked || is_trusted)
        {
            return Ok(known.clone());
        }
        let inner = known.map(|known| known.inner.clone());
        if !is_trusted {
            unverified.verify(self.context.chain_id).map_err(NotOuter::Outer)?;
        }
        // A part of a long message would keep all of it in memory.
        let own = Bytes::copy_from_slice(bytes);
        let outer = unverified.into_block().over(own);
        let inner = match inner {
            Some(inner) => inner,
            None => self.inner.parse_block(outer.inner()).map_err(NotOuter::Inner)?,
        };
        let known = Known { outer, inner, is_checked: !is_trusted };
        self.keep(memory, known.clone());
        Ok(known)
    }

    /// Reads a block that is to be verified. If the same bytes were read lately they need not be
    /// checked again, nor if they were said to be accepted.
    pub(super) fn read_again(&self, memory: &mut Memory, block: &Block) -> Result<Known, NotOuter> {
        let known = self.known(memory, block.id);
        match known.filter(|known| *known.outer.bytes() == block.bytes) {
            Some(known) => Ok(known.clone()),
            None => self.read(memory, &block.bytes, false),
        }
    }

    /// Whether the same block with the same signature was found to be good.
    pub(super) fn is_checked(&self, memory: &mut Memory, outer: &OuterBlock) -> bool {
        let known = self.known(memory, outer.id());
        known.is_some_and(|known| known.is_checked && known.outer.bytes() == outer.bytes())
    }

    /// A block that was checked, or made here.
    pub(super) fn keep_checked(&self, memory: &mut Memory, outer: OuterBlock, inner: Block) {
        self.keep(memory, Known { outer, inner, is_checked: true });
    }

    fn keep(&self, memory: &mut Memory, known: Known) {
        let size = ID_BYTES + known.outer.bytes().len() + POINTER_BYTES;
        memory.known.put(known.outer.id(), known, size);
        let (blocks, bytes) = (memory.known.len(), memory.known.size());
        self.counters.update(|stats| (stats.known.blocks, stats.known.bytes) = (blocks, bytes));
    }

    fn known<'a>(&self, memory: &'a mut Memory, id: Id) -> Option<&'a Known> {
        let known = memory.known.get(&id);
        self.counters.update(|stats| {
            let count =
                if known.is_some() { &mut stats.known.hits } else { &mut stats.known.misses };
            *count += 1;
        });
        known
    }

    /// A verified or stored block from after the fork, else one of the inner VM.
    pub(super) fn find(&self, memory: &mut Memory, id: Id) -> Result<Option<Found>, VmError> {
        if let Some(found) = self.find_outer(memory, id)? {
            return Ok(Some(found));
        }
        let inner = self.inner.get_block(id)?;
        Ok(inner.map(|inner| Found { outer: None, inner }))
    }

    /// A verified or stored block from after the fork.
    pub(super) fn find_outer(&self, memory: &mut Memory, id: Id) -> Result<Option<Found>, VmError> {
        if let Some(verified) = memory.verified.get(&id) {
            let (outer, inner) = (Some(verified.outer.clone()), verified.inner.clone());
            return Ok(Some(Found { outer, inner }));
        }
        let Some(outer) = self.state.block(id).map_err(fault)? else { return Ok(None) };
        let inner = match self.known(memory, id) {
            Some(known) => known.inner.clone(),
            None => self.inner.parse_block(outer.inner()).map_err(|error| {
                VmError::Other(format!("the inner block of the stored block {id}: {error}"))
            })?,
        };
        Ok(Some(Found { outer: Some(outer), inner }))
    }

    /// The same without its inner block.
    pub(super) fn outer(&self, memory: &Memory, id: Id) -> Result<Option<OuterBlock>, VmError> {
        match memory.verified.get(&id) {
            Some(verified) => Ok(Some(verified.outer.clone())),
            None => self.state.block(id).map_err(fault),
        }
    }

    /// What a block means for its children.
    pub(super) fn as_parent(&self, memory: &Memory, found: &Found) -> Result<Parent, VmError> {
        let Found { outer, inner } = found;
        let (kind, said_by) = match outer {
            None => {
                return Ok(Parent {
                    kind: Kind::PreFork,
                    inner: inner.id,
                    height: inner.height,
                    time: inner.timestamp,
                    p_chain_height: 0,
                    epoch: Epoch::NONE,
                });
            }
            Some(OuterBlock::Block(block)) => (Kind::Block, block.clone()),
            Some(OuterBlock::Option(option)) => {
                let oracle = self.outer(memory, option.parent())?;
                let oracle = oracle.as_ref().and_then(OuterBlock::as_block).cloned();
                let lost = || {
                    VmError::Other(format!("the parent of the option {} is not there", option.id()))
                };
                (Kind::Option, oracle.ok_or_else(lost)?)
            }
        };
        Ok(Parent {
            kind,
            inner: inner.id,
            height: inner.height,
            time: said_by.timestamp(),
            p_chain_height: said_by.p_chain_height(),
            epoch: said_by.epoch(),
        })
    }

    /// A block as the engine knows it.
    pub(super) fn to_vm(
        &self,
        memory: &Memory,
        outer: &OuterBlock,
        inner: &Block,
    ) -> Result<Block, VmError> {
        let timestamp = match outer {
            OuterBlock::Block(block) => block.timestamp(),
            OuterBlock::Option(option) => {
                let oracle = self.outer(memory, option.parent())?;
                let oracle = oracle.as_ref().and_then(OuterBlock::as_block);
                oracle.map_or(WallTime::UNIX_EPOCH, PostForkBlock::timestamp)
            }
        };
        Ok(Block {
            id: outer.id(),
            parent: outer.parent(),
            height: inner.height,
            timestamp,
            bytes: outer.bytes().clone(),
        })
    }
}
