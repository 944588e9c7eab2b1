//! Blocks as data.

use bytes::Bytes;
use sastrugi_types::{Id, WallTime};

/// A block as the engine handles it: what identifies it, and its bytes.
///
/// Upstream blocks are objects with methods; here they are data, and verdicts are calls on
/// [`crate::ChainVm`]. Upstream: `snow/consensus/snowman/block.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Names the block; a function of its bytes.
    pub id: Id,
    /// The block this one extends.
    pub parent: Id,
    /// Distance from genesis, which has height 0. Parent's height plus one, as the VM asserts.
    pub height: u64,
    /// When the block says it was made. Must be right for the last accepted block and for
    /// verified blocks.
    pub timestamp: WallTime,
    /// The bytes the block was parsed from, or serializes to.
    pub bytes: Bytes,
}

/// What a wrapper around the VM knows about the circumstances of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// The height of the P-Chain the block refers to.
    pub p_chain_height: u64,
}
