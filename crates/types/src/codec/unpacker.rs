//! Reads values.

use super::{COUNT_MAX, CodecError, Interface, Registry, interface::OpenTypes, registry::NO_TYPES};

/// Reads values behind each other without copying bytes.
///
/// After an error it may have read a part of the value.
#[derive(Debug)]
pub struct Unpacker<'b> {
    bytes: &'b [u8],
    offset: usize,
    types: &'b Registry,
    open: OpenTypes,
}

impl<'b> Unpacker<'b> {
    /// An unpacker for values without enums.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self::with_types(bytes, &NO_TYPES)
    }

    /// An unpacker for values whose enums have the given types.
    pub fn with_types(bytes: &'b [u8], types: &'b Registry) -> Self {
        Self { bytes, offset: 0, types, open: OpenTypes::default() }
    }

    /// Number of bytes read.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`CodecError::TrailingBytes`]
    pub fn finish(self) -> Result<(), CodecError> {
        if self.offset < self.bytes.len() { Err(CodecError::TrailingBytes) } else { Ok(()) }
    }

    /// Reads that many bytes.
    ///
    /// # Errors
    /// [`CodecError::InsufficientLength`], as all of these.
    pub fn unpack_fixed(&mut self, length: usize) -> Result<&'b [u8], CodecError> {
        let rest = &self.bytes[self.offset..];
        let bytes = rest.get(..length).ok_or(CodecError::InsufficientLength)?;
        self.offset += length;
        Ok(bytes)
    }

    /// Reads as many bytes as the array has.
    pub fn unpack_array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.unpack_fixed(N)?.try_into().map_err(|_| CodecError::InsufficientLength)
    }

    /// Reads one byte.
    pub fn unpack_u8(&mut self) -> Result<u8, CodecError> {
        self.unpack_array().map(u8::from_be_bytes)
    }

    /// Reads two bytes.
    pub fn unpack_u16(&mut self) -> Result<u16, CodecError> {
        self.unpack_array().map(u16::from_be_bytes)
    }

    /// Reads four bytes.
    pub fn unpack_u32(&mut self) -> Result<u32, CodecError> {
        self.unpack_array().map(u32::from_be_bytes)
    }

    /// Reads eight bytes.
    pub fn unpack_u64(&mut self) -> Result<u64, CodecError> {
        self.unpack_array().map(u64::from_be_bytes)
    }

    /// Reads one byte, 0 or 1.
    ///
    /// # Errors
    /// Also [`CodecError::Bool`].
    pub fn unpack_bool(&mut self) -> Result<bool, CodecError> {
        match self.unpack_u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Bool),
        }
    }

    /// Reads a length of four bytes and the bytes.
    pub fn unpack_bytes(&mut self) -> Result<&'b [u8], CodecError> {
        self.unpack_limited_bytes(usize::MAX)
    }

    /// Reads a length of four bytes and at most `limit_bytes` bytes.
    ///
    /// # Errors
    /// Also [`CodecError::OverLimit`].
    pub fn unpack_limited_bytes(&mut self, limit_bytes: usize) -> Result<&'b [u8], CodecError> {
        let length = self.unpack_u32()? as usize;
        self.unpack_limited(length, limit_bytes)
    }

    /// Reads a length of two bytes and the text, which need not be UTF-8.
    pub fn unpack_text(&mut self) -> Result<&'b [u8], CodecError> {
        self.unpack_limited_text(usize::MAX)
    }

    /// Reads a length of two bytes and a text of at most `limit_bytes` bytes.
    ///
    /// # Errors
    /// Also [`CodecError::OverLimit`].
    pub fn unpack_limited_text(&mut self, limit_bytes: usize) -> Result<&'b [u8], CodecError> {
        let length = self.unpack_u16()?.into();
        self.unpack_limited(length, limit_bytes)
    }

    fn unpack_limited(&mut self, length: usize, limit: usize) -> Result<&'b [u8], CodecError> {
        if length > limit { Err(CodecError::OverLimit) } else { self.unpack_fixed(length) }
    }

    /// Reads the number of elements that follow. They need not be there: allocate with care.
    ///
    /// # Errors
    /// Also [`CodecError::TooManyElements`].
    pub fn unpack_count(&mut self) -> Result<usize, CodecError> {
        let count = self.unpack_u32()? as usize;
        if count > COUNT_MAX { Err(CodecError::TooManyElements) } else { Ok(count) }
    }

    /// Reads a type ID and the variant it stands for.
    ///
    /// # Errors
    /// Also [`CodecError::UnknownTypeId`], [`CodecError::NotImplemented`],
    /// [`CodecError::Recursive`] and those of the variant.
    pub fn unpack_interface<I: Interface>(&mut self) -> Result<I, CodecError> {
        let id = self.unpack_u32()?;
        let name = self.types.name_of(id).ok_or(CodecError::UnknownTypeId)?;
        self.open.enter(name)?;
        let value = I::unpack_value(name, self)?;
        self.open.leave();
        Ok(value)
    }

    /// What was read from `start` on.
    pub(super) fn read_from(&self, start: usize) -> &'b [u8] {
        &self.bytes[start..self.offset]
    }
}
