//! The outer blocks.
//!
//! ```text
//! block            option            all numbers are big-endian
//!   0000             0000            codec version
//!   0000000T         00000001        type; T = 0, or 2 for a block with an epoch
//!   parent   32      parent   32     ID of the parent
//!   time     i64                     Unix seconds
//!   P-height u64                     height of the P-Chain
//!   certificate u32 + DER            of the proposer; empty if unsigned
//!   inner    u32 + …  inner u32 + …  the inner block
//!   epoch    u64 u64 i64             only if T = 2: P-height, number, start
//!   signature u32 + …                of the proposer over SHA-256 of the `Header`
//! ```
//!
//! The ID is the SHA-256 of everything before the signature's length, that of an option of
//! everything. So one ID exists with a good and with a bad signature: what was found by its ID need
//! not have been checked, and only bytes that [`OuterBlock::parse`] has read may be kept under it.
//!
//! A block's height is that of its inner block; a block before the fork *is* its inner block, so it
//! has no form here. Upstream: `vms/proposervm/block`.

mod build;
mod parse;
#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;
use sastrugi_crypto::staking::{CertificateError, SigningError};
use sastrugi_types::{Id, NodeId, WallTime, codec::CodecError};

use crate::Epoch;

pub use build::BlockTemplate;
pub(crate) use parse::Unverified;

/// The types of outer blocks in their encoding.
const BLOCK_TYPE: u32 = 0;
const OPTION_TYPE: u32 = 1;
const EPOCH_BLOCK_TYPE: u32 = 2;

/// Why bytes are no outer block, or no valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes are not of a known form.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// There is a certificate, and it is not one to stake with.
    #[error("invalid certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// A block of the form with an epoch has none.
    #[error("the epoch is missing")]
    MissingEpoch,
    /// An unsigned block has a signature.
    #[error("there is a signature without a certificate")]
    UnexpectedSignature,
    /// The signature is not the proposer's.
    #[error("the signature is not the proposer's")]
    InvalidSignature,
    /// The own key refuses to sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// A block of the wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OuterBlock {
    /// One with a time and perhaps a proposer.
    Block(PostForkBlock),
    /// One of the two children that an oracle block prescribes.
    Option(PostForkOption),
}

/// A block that says when it was made and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostForkBlock {
    id: Id,
    parent: Id,
    timestamp_secs: i64,
    p_chain_height: u64,
    epoch: Epoch,
    proposer: Option<NodeId>,
    /// Where in the bytes it is.
    inner: Range<usize>,
    bytes: Bytes,
}

/// A child of an oracle block. It has its parent's time, P-Chain height and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostForkOption {
    id: Id,
    parent: Id,
    /// Where in the bytes it is.
    inner: Range<usize>,
    bytes: Bytes,
}

impl OuterBlock {
    /// Names the block.
    pub const fn id(&self) -> Id {
        match self {
            Self::Block(block) => block.id,
            Self::Option(option) => option.id,
        }
    }

    /// The parent: an outer block, or the last block before the fork.
    pub const fn parent(&self) -> Id {
        match self {
            Self::Block(block) => block.parent,
            Self::Option(option) => option.parent,
        }
    }

    /// The bytes of the inner block, a slice of these.
    pub fn inner(&self) -> Bytes {
        match self {
            Self::Block(block) => block.inner(),
            Self::Option(option) => option.inner(),
        }
    }

    /// The bytes the block was read from, or was built as.
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Block(block) => &block.bytes,
            Self::Option(option) => &option.bytes,
        }
    }

    /// The block, if it is no option.
    pub const fn as_block(&self) -> Option<&PostForkBlock> {
        match self {
            Self::Block(block) => Some(block),
            Self::Option(_) => None,
        }
    }

    /// The same block over another copy of its bytes.
    pub(crate) fn over(self, bytes: Bytes) -> Self {
        debug_assert_eq!(*self.bytes(), bytes);
        match self {
            Self::Block(block) => Self::Block(PostForkBlock { bytes, ..block }),
            Self::Option(option) => Self::Option(PostForkOption { bytes, ..option }),
        }
    }
}

impl From<PostForkBlock> for OuterBlock {
    fn from(block: PostForkBlock) -> Self {
        Self::Block(block)
    }
}

impl From<PostForkOption> for OuterBlock {
    fn from(option: PostForkOption) -> Self {
        Self::Option(option)
    }
}

impl PostForkBlock {
    /// Names the block; the same for any signature.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The parent.
    pub const fn parent(&self) -> Id {
        self.parent
    }

    /// When it was made, in Unix seconds. Any number: it is the sender's word.
    pub const fn timestamp_secs(&self) -> i64 {
        self.timestamp_secs
    }

    /// The same on the clock of nodes; years after 2262 and before 1677 are cut.
    pub const fn timestamp(&self) -> WallTime {
        WallTime::from_unix_secs(self.timestamp_secs)
    }

    /// The height of the P-Chain that its proposer knew.
    pub const fn p_chain_height(&self) -> u64 {
        self.p_chain_height
    }

    /// Its epoch, [`Epoch::NONE`] if it has none.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who signed it; `None` if it is unsigned.
    pub const fn proposer(&self) -> Option<NodeId> {
        self.proposer
    }

    /// The bytes of the inner block, a slice of these.
    pub fn inner(&self) -> Bytes {
        self.bytes.slice(self.inner.clone())
    }

    /// The bytes the block was read from, or was built as.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl PostForkOption {
    /// Names the option.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The oracle block.
    pub const fn parent(&self) -> Id {
        self.parent
    }

    /// The bytes of the inner block, a slice of these.
    pub fn inner(&self) -> Bytes {
        self.bytes.slice(self.inner.clone())
    }

    /// The bytes the option was read from, or was built as.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
