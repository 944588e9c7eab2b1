//! The codec version in front of everything the wrapper encodes.

use std::ops::Range;

use sastrugi_types::codec::{CodecError, Packer, Unpacker};

/// The only version.
const VERSION: u16 = 0;

/// A packer that has written the version.
pub(crate) fn packer() -> Result<Packer<'static>, CodecError> {
    let mut packer = Packer::new(usize::MAX);
    packer.pack_u16(VERSION)?;
    Ok(packer)
}

/// An unpacker that has read the version.
pub(crate) fn unpacker(bytes: &[u8]) -> Result<Unpacker<'_>, CodecError> {
    let mut unpacker = Unpacker::new(bytes);
    match unpacker.unpack_u16() {
        Ok(VERSION) => Ok(unpacker),
        Ok(_) => Err(CodecError::UnknownVersion),
        Err(_) => Err(CodecError::NoVersion),
    }
}

/// Reads bytes behind their length.
pub(crate) fn unpack_bytes<'b>(unpacker: &mut Unpacker<'b>) -> Result<&'b [u8], CodecError> {
    let length = unpacker.unpack_count()?;
    unpacker.unpack_fixed(length)
}

/// Reads bytes behind their length, and says where they are.
pub(crate) fn unpack_range(unpacker: &mut Unpacker<'_>) -> Result<Range<usize>, CodecError> {
    let length = unpack_bytes(unpacker)?.len();
    Ok(unpacker.offset() - length..unpacker.offset())
}
