//! What the proposer of a block signs. Upstream: `vms/proposervm/block/header.go`.

use sastrugi_types::{
    Id,
    codec::{CodecError, Unpack},
};

use crate::codec;

/// Length of an encoded header, in bytes.
pub const HEADER_BYTES: usize = 98;

/// Names a block, its parent and its chain: SHA-256 of the encoding is signed.
///
/// The block's ID does not cover its signature, so there is no circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The chain, so that a signature is good for one chain only.
    pub chain: Id,
    /// The parent of the block.
    pub parent: Id,
    /// The block.
    pub block: Id,
}

impl Header {
    /// The bytes that are signed.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        // The version in front is zero.
        let mut bytes = [0; HEADER_BYTES];
        let ids = [self.chain, self.parent, self.block];
        for (place, id) in bytes[2..].as_chunks_mut().0.iter_mut().zip(ids) {
            *place = id.0;
        }
        bytes
    }

    /// Reads an encoded header.
    ///
    /// # Errors
    /// [`CodecError`]; trailing bytes are one.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut unpacker = codec::unpacker(bytes)?;
        let mut id = || Id::unpack(&mut unpacker);
        let header = Self { chain: id()?, parent: id()?, block: id()? };
        unpacker.finish()?;
        Ok(header)
    }
}
