//! State summaries with their outer block. Upstream: `vms/proposervm/summary`.

use bytes::Bytes;
use sastrugi_types::{Id, codec::CodecError, hash::sha256};

use crate::codec;

/// A summary of the inner VM, together with the outer block of the same height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    id: Id,
    fork_height: u64,
    block: Bytes,
    inner: Bytes,
    bytes: Bytes,
}

impl Summary {
    /// Puts a summary together.
    ///
    /// # Errors
    /// [`CodecError::TooManyElements`] if a part has 2³¹ bytes or more.
    pub fn new(fork_height: u64, block: &[u8], inner: &[u8]) -> Result<Self, CodecError> {
        let mut packer = codec::packer()?;
        packer.pack_u64(fork_height)?;
        packer.pack_bytes(block)?;
        packer.pack_bytes(inner)?;
        Self::parse(packer.into_bytes().into())
    }

    /// Reads a summary. The bytes of its parts are slices of `bytes`; they are not looked at.
    ///
    /// # Errors
    /// [`CodecError`]: the bytes are then the inner VM's summary alone, or nothing.
    pub fn parse(bytes: Bytes) -> Result<Self, CodecError> {
        let mut unpacker = codec::unpacker(&bytes)?;
        let fork_height = unpacker.unpack_u64()?;
        let block = bytes.slice(codec::unpack_range(&mut unpacker)?);
        let inner = bytes.slice(codec::unpack_range(&mut unpacker)?);
        unpacker.finish()?;
        Ok(Self { id: Id(sha256(&bytes)), fork_height, block, inner, bytes })
    }

    /// The SHA-256 of all bytes.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The height of the first outer block.
    pub const fn fork_height(&self) -> u64 {
        self.fork_height
    }

    /// The bytes of the outer block.
    pub const fn block(&self) -> &Bytes {
        &self.block
    }

    /// The bytes of the inner VM's summary.
    pub const fn inner(&self) -> &Bytes {
        &self.inner
    }

    /// All bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
