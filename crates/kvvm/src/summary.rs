//! State summaries: what a node must know to jump to the state after a block.
//!
//! That is the block. Its height, its ID and the root of the state follow from it, and everything
//! else that a jump brings (values, nonces, the index of keys) is in the state below that root. The
//! bytes are fixed in `docs/kvvm.md`.
//!
//! Genesis has a summary like any other block, so that a young chain can name one too. Nobody is
//! behind it.

use bytes::Bytes;
use sastrugi_types::{Id, hash::sha256};
use sastrugi_vm::StateSummary;

use crate::{
    block::Block,
    codec::{CODEC_VERSION, DecodeError, Reader},
};

/// A state summary whose form is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    id: Id,
    block: Block,
    bytes: Bytes,
}

impl Summary {
    /// The summary of the state after a block.
    pub(crate) fn of(block: Block) -> Self {
        let bytes = Bytes::from([&CODEC_VERSION.to_be_bytes()[..], block.bytes()].concat());
        Self { id: Id(sha256(&bytes)), block, bytes }
    }

    /// Reads a summary: all of the bytes, in the one form they can have.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let block = Block::decode(Reader::new(bytes.clone())?.rest())?;
        Ok(Self { id: Id(sha256(&bytes)), block, bytes })
    }

    /// The SHA-256 of the bytes.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The block whose state it is.
    pub const fn block(&self) -> &Block {
        &self.block
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The summary as the engine handles it.
    pub(crate) fn to_vm(&self) -> StateSummary {
        StateSummary { id: self.id, height: self.block.height(), bytes: self.bytes.clone() }
    }
}
