//! Reading and writing the bytes of transactions and blocks: big-endian numbers and byte strings.

use bytes::{Buf, Bytes};
use sastrugi_types::Id;

/// The number every transaction and block begins with.
pub(crate) const CODEC_VERSION: u16 = 0;

/// Why bytes are no transaction or block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// Bytes follow the end.
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
    /// The version is unknown.
    #[error("unknown codec version {0}")]
    Version(u16),
    /// A kind of operation is unknown.
    #[error("unknown operation {0}")]
    Operation(u8),
    /// A byte that tells kinds apart is unknown.
    #[error("unknown tag {0}")]
    Tag(u8),
    /// Something has a size that is not allowed.
    #[error("{what}: {size} is not between {min} and {max}")]
    Size {
        /// What has that size.
        what: &'static str,
        /// Its size in bytes, or its number.
        size: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// Keys, or the ends of a range, do not ascend.
    #[error("the keys do not ascend")]
    KeyOrder,
}

/// Checks a size or a number against its limits.
pub(crate) const fn check_size(
    what: &'static str,
    size: usize,
    min: usize,
    max: usize,
) -> Result<(), DecodeError> {
    check_range(what, size as u64, min as u64, max as u64)
}

/// Checks a number of 64 bits against its limits.
pub(crate) const fn check_range(
    what: &'static str,
    size: u64,
    min: u64,
    max: u64,
) -> Result<(), DecodeError> {
    if size < min || size > max {
        return Err(DecodeError::Size { what, size, min, max });
    }
    Ok(())
}

/// Reads from the front. Byte strings share the memory of the input.
pub(crate) struct Reader(Bytes);

impl Reader {
    /// Begins, and checks the version.
    pub(crate) fn new(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::of_kind(bytes, CODEC_VERSION)
    }

    /// Begins, and checks the first number.
    pub(crate) fn of_kind(bytes: Bytes, kind: u16) -> Result<Self, DecodeError> {
        let mut reader = Self(bytes);
        match reader.u16()? {
            found if found == kind => Ok(reader),
            other => Err(DecodeError::Version(other)),
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if self.0.len() < length {
            return Err(DecodeError::Truncated);
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.0.first_chunk().ok_or(DecodeError::Truncated)?;
        self.0.advance(N);
        Ok(array)
    }

    pub(crate) fn id(&mut self) -> Result<Id, DecodeError> {
        self.array().map(Id)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.0
    }

    /// Ends: nothing may be left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.0.len())) }
    }
}
