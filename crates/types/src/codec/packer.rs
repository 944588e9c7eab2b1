//! Writes values.

use super::{
    COUNT_MAX, CodecError, Interface, Registry, TEXT_BYTES_MAX, interface::OpenTypes,
    registry::NO_TYPES,
};

/// Writes values behind each other, up to a number of bytes.
///
/// After an error the bytes written so far are still there, but mean nothing.
#[derive(Debug)]
pub struct Packer<'t> {
    bytes: Vec<u8>,
    max_bytes: usize,
    types: &'t Registry,
    open: OpenTypes,
}

impl Packer<'static> {
    /// A packer for values without enums.
    pub fn new(max_bytes: usize) -> Self {
        Self::with_types(max_bytes, &NO_TYPES)
    }
}

impl<'t> Packer<'t> {
    /// A packer for values whose enums have the given types.
    pub fn with_types(max_bytes: usize, types: &'t Registry) -> Self {
        Self { bytes: Vec::new(), max_bytes, types, open: OpenTypes::default() }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the bytes alone.
    ///
    /// # Errors
    /// [`CodecError::InsufficientLength`], as all of these.
    pub fn pack_fixed(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if bytes.len() > self.max_bytes.saturating_sub(self.bytes.len()) {
            return Err(CodecError::InsufficientLength);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes one byte.
    pub fn pack_u8(&mut self, number: u8) -> Result<(), CodecError> {
        self.pack_fixed(&[number])
    }

    /// Writes two bytes.
    pub fn pack_u16(&mut self, number: u16) -> Result<(), CodecError> {
        self.pack_fixed(&number.to_be_bytes())
    }

    /// Writes four bytes.
    pub fn pack_u32(&mut self, number: u32) -> Result<(), CodecError> {
        self.pack_fixed(&number.to_be_bytes())
    }

    /// Writes eight bytes.
    pub fn pack_u64(&mut self, number: u64) -> Result<(), CodecError> {
        self.pack_fixed(&number.to_be_bytes())
    }

    /// Writes one byte, 0 or 1.
    pub fn pack_bool(&mut self, value: bool) -> Result<(), CodecError> {
        self.pack_u8(value.into())
    }

    /// Writes a length of four bytes and the bytes.
    ///
    /// # Errors
    /// Also [`CodecError::TooManyElements`].
    pub fn pack_bytes(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.pack_count(bytes.len())?;
        self.pack_fixed(bytes)
    }

    /// Writes a length of two bytes and the text.
    ///
    /// # Errors
    /// Also [`CodecError::TextTooLong`].
    pub fn pack_text(&mut self, text: &[u8]) -> Result<(), CodecError> {
        debug_assert!(TEXT_BYTES_MAX == usize::from(u16::MAX));
        let length = u16::try_from(text.len()).map_err(|_| CodecError::TextTooLong)?;
        self.pack_u16(length)?;
        self.pack_fixed(text)
    }

    /// Writes the number of elements that follow.
    ///
    /// # Errors
    /// Also [`CodecError::TooManyElements`].
    pub fn pack_count(&mut self, count: usize) -> Result<(), CodecError> {
        if count > COUNT_MAX {
            return Err(CodecError::TooManyElements);
        }
        self.pack_u32(count as u32)
    }

    /// Writes the type ID of a variant and the variant.
    ///
    /// # Errors
    /// Also [`CodecError::UnregisteredType`], [`CodecError::Recursive`] and those of the variant.
    pub fn pack_interface<I: Interface>(&mut self, value: &I) -> Result<(), CodecError> {
        let name = value.type_name();
        let id = self.types.id_of(name).ok_or(CodecError::UnregisteredType)?;
        self.open.enter(name)?;
        self.pack_u32(id)?;
        value.pack_value(self)?;
        self.open.leave();
        Ok(())
    }

    /// Takes back what was written from `start` on.
    pub(super) fn take_from(&mut self, start: usize) -> Vec<u8> {
        self.bytes.split_off(start)
    }
}
