//! The binary codec of transactions, blocks and warp messages.
//!
//! Encoded bytes are a codec version (2 bytes) and a value. All numbers are big-endian.
//!
//! | value | bytes | checks |
//! |---|---|---|
//! | integer | its width, two's complement | |
//! | `bool` | one byte | 0 or 1 |
//! | [`Text`] | length (2), bytes | at most 65535 bytes; need not be UTF-8 |
//! | array | its elements | |
//! | `Vec` | count (4), elements | at most 2³¹ − 1; no elements of zero bytes |
//! | `BTreeMap` | count (4), keys and values | sorted by the encoded key, no key twice; no entries of zero bytes |
//! | struct | its fields, [`codec_struct!`](crate::codec_struct) | |
//! | enum | type ID (4), the variant, [`codec_interface!`](crate::codec_interface) | the type is registered and a variant; it does not contain itself |
//!
//! Upstream finds fields by reflection; here a type says itself how it is encoded ([`Pack`],
//! [`Unpack`]), and a [`Registry`] says which type IDs a codec version knows. What upstream calls
//! an interface is an enum, so there is nothing like its nil. Upstream: `codec`,
//! `utils/wrappers/packing.go`.
//!
//! ```
//! use sastrugi_types::{Id, codec::{Codec, Registry}, codec_struct};
//!
//! #[derive(Debug, PartialEq)]
//! struct Hash {
//!     id: Id,
//! }
//! codec_struct!(Hash { id });
//!
//! let mut codec = Codec::new(1024);
//! codec.register(0, Registry::linear())?;
//! let bytes = codec.marshal(0, &Hash { id: Id::EMPTY })?;
//! assert_eq!(bytes, [0; 34]);
//! assert_eq!(codec.unmarshal::<Hash>(&bytes)?, (0, Hash { id: Id::EMPTY }));
//! # Ok::<(), sastrugi_types::codec::CodecError>(())
//! ```

mod interface;
mod packer;
mod registry;
mod unpacker;
mod values;

use std::collections::BTreeMap;

use thiserror::Error;

pub use interface::Interface;
pub use packer::Packer;
pub use registry::Registry;
pub use unpacker::Unpacker;
pub use values::{Pack, Text, Unpack};

/// The largest encoding that [`Codec::default`] handles.
pub const DEFAULT_MAX_BYTES: usize = 256 * 1024;
/// The longest [`Text`].
pub const TEXT_BYTES_MAX: usize = u16::MAX as usize;
/// The most elements of a `Vec` or a map.
pub const COUNT_MAX: usize = i32::MAX as usize;

/// Why a value cannot be encoded or bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The bytes end too early, or the encoding would be larger than allowed.
    #[error("packer has insufficient length for input")]
    InsufficientLength,
    /// A boolean is neither 0 nor 1.
    #[error("unexpected value when unpacking bool")]
    Bool,
    /// A text is longer than [`TEXT_BYTES_MAX`].
    #[error("input does not match expected format")]
    TextTooLong,
    /// Bytes or a text are longer than the reader wants.
    #[error("size is larger than limit")]
    OverLimit,
    /// There are more than [`COUNT_MAX`] elements.
    #[error("max slice length exceeded")]
    TooManyElements,
    /// An element of a `Vec` or a map takes no bytes.
    #[error("can't marshal zero length value")]
    PackedZeroLength,
    /// An element of a `Vec` or a map takes no bytes.
    #[error("can't unmarshal zero length value")]
    UnpackedZeroLength,
    /// The keys of a map are not in strictly rising order.
    #[error("keys aren't sorted")]
    UnsortedKeys,
    /// The codec version does not know the type of a variant.
    #[error("can't marshal unregistered type")]
    UnregisteredType,
    /// The codec version does not know a type ID.
    #[error("unknown type ID")]
    UnknownTypeId,
    /// A type is no variant of the enum it stands for.
    #[error("does not implement interface")]
    NotImplemented,
    /// A type contains itself.
    #[error("recursive interface types")]
    Recursive,
    /// There are too few bytes for a codec version.
    #[error("couldn't unpack codec version")]
    NoVersion,
    /// No such codec version was registered.
    #[error("unknown codec version")]
    UnknownVersion,
    /// Bytes follow the value.
    #[error("trailing buffer space")]
    TrailingBytes,
    /// There are more bytes than the codec handles.
    #[error("byte array exceeds maximum length")]
    TooLarge,
    /// A type was registered twice.
    #[error("duplicate type registration")]
    DuplicateType,
    /// A codec version was registered twice.
    #[error("duplicated codec version")]
    DuplicateVersion,
}

/// The versions of a codec.
#[derive(Clone, Debug)]
pub struct Codec {
    versions: BTreeMap<u16, Registry>,
    max_bytes: usize,
}

impl Default for Codec {
    /// A codec without versions for encodings of at most [`DEFAULT_MAX_BYTES`].
    fn default() -> Self {
        Self::new(DEFAULT_MAX_BYTES)
    }
}

impl Codec {
    /// A codec without versions for encodings of at most `max_bytes`.
    pub const fn new(max_bytes: usize) -> Self {
        Self { versions: BTreeMap::new(), max_bytes }
    }

    /// Adds a version with the types it knows.
    ///
    /// # Errors
    /// [`CodecError::DuplicateVersion`]
    pub fn register(&mut self, version: u16, types: Registry) -> Result<(), CodecError> {
        if self.versions.contains_key(&version) {
            return Err(CodecError::DuplicateVersion);
        }
        self.versions.insert(version, types);
        Ok(())
    }

    /// Encodes a value.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn marshal<T: Pack + ?Sized>(
        &self,
        version: u16,
        value: &T,
    ) -> Result<Vec<u8>, CodecError> {
        let types = self.versions.get(&version).ok_or(CodecError::UnknownVersion)?;
        let mut packer = Packer::with_types(self.max_bytes, types);
        packer.pack_u16(version)?;
        value.pack(&mut packer)?;
        Ok(packer.into_bytes())
    }

    /// Decodes a value that takes all bytes. Also returns the codec version.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn unmarshal<T: Unpack>(&self, bytes: &[u8]) -> Result<(u16, T), CodecError> {
        if bytes.len() > self.max_bytes {
            return Err(CodecError::TooLarge);
        }
        let (version, bytes) = bytes.split_first_chunk().ok_or(CodecError::NoVersion)?;
        let version = u16::from_be_bytes(*version);
        let types = self.versions.get(&version).ok_or(CodecError::UnknownVersion)?;
        let mut unpacker = Unpacker::with_types(bytes, types);
        let value = T::unpack(&mut unpacker)?;
        unpacker.finish()?;
        Ok((version, value))
    }
}

#[cfg(test)]
mod tests;
