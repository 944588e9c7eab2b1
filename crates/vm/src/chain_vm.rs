//! The VM of a linear chain. Upstream: `snow/engine/snowman/block/vm.go`.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_types::Id;

use crate::{Block, BlockContext, StateSyncableVm, Vm, VmError};

/// The VM of a linear chain.
///
/// The engine promises: `verify` only after the parent verified or is the last accepted block;
/// `accept` only after the parent was accepted; `reject` only after the parent was accepted or
/// rejected; after a successful `verify` exactly one of `accept` and `reject`, unless the node
/// stops; neither `verify` nor a verdict on decided blocks. A block that failed to verify may be
/// verified again later.
pub trait ChainVm: Vm {
    /// Reads a block. A pure function of the bytes, which are exactly one block and untrusted; all
    /// historical blocks parse, and an unknown parent is no reason to refuse.
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError>;

    /// A block by ID: finds verified blocks that are undecided and accepted ones, rejected ones as
    /// it likes. `None` when there is none; during normal operation any error means the same.
    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError>;

    /// The accepted block at a height, `None` if it is not (or no longer) known.
    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError>;

    /// The last accepted block, genesis at first. An error stops the chain.
    fn last_accepted(&self) -> Result<Id, VmError>;

    /// Builds a block on the preferred one; it is not yet verified. An error means there is
    /// nothing to build.
    fn build_block(&self, context: Option<BlockContext>) -> Result<Block, VmError>;

    /// Checks a block against its parent's state. An error means the block is invalid here and at this time.
    fn verify(&self, block: &Block, context: Option<BlockContext>) -> Result<(), VmError>;

    /// Whether this block, which parses, is to be verified with a context whenever there is one.
    ///
    /// A wrapper around the VM may put one block into several of its own. It verifies a block once;
    /// one for which this is true it verifies again in each context, also while it is processing.
    /// The context may decide whether the block is valid, never the state it leads to. Upstream:
    /// `WithVerifyContext` in `snow/engine/snowman/block/block_context_vm.go`.
    #[doc(alias = "ShouldVerifyWithContext")]
    fn verifies_with_context(&self, _block: &Block) -> Result<bool, VmError> {
        Ok(false)
    }

    /// Accepts a verified block. An error stops the chain.
    fn accept(&self, id: Id) -> Result<(), VmError>;

    /// Rejects a verified block. An error stops the chain.
    fn reject(&self, id: Id) -> Result<(), VmError>;

    /// Names the block to build on: one without children known to consensus. Often unchanged. An
    /// error stops the chain.
    fn set_preference(&self, id: Id) -> Result<(), VmError>;

    /// The same, with the context that a child of the block will be verified with.
    #[doc(alias = "SetPreferenceWithContext")]
    fn set_preference_with_context(&self, id: Id, _context: BlockContext) -> Result<(), VmError> {
        self.set_preference(id)
    }

    /// The two children an oracle block prescribes, the preferred one first; `None` for every other
    /// block. An error stops the chain.
    fn options(&self, _block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        Ok(None)
    }

    /// The ability to jump to a recent state, if the VM has it.
    fn state_sync(&self) -> Option<&dyn StateSyncableVm> {
        None
    }

    /// The ability to handle many blocks at once, if the VM has it.
    fn batched(&self) -> Option<&dyn BatchedChainVm> {
        None
    }
}

/// A VM that handles many blocks in one call, because a call is dear.
pub trait BatchedChainVm: Send + Sync {
    /// The block and its ancestors, youngest first, within these bounds. The first block is given
    /// even if it alone is too large. Empty if the block is unknown.
    fn ancestors(
        &self,
        id: Id,
        count_max: usize,
        bytes_max: usize,
        time_max: Duration,
    ) -> Result<Vec<Bytes>, VmError>;

    /// Reads many blocks; the first failure fails all.
    fn parse_blocks(&self, blocks: Vec<Bytes>) -> Result<Vec<Block>, VmError>;
}
