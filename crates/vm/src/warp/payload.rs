//! Payloads that chains of all kinds understand.

use bytes::Bytes;
use sastrugi_types::{
    Id,
    codec::{CodecError, Packer},
};
use thiserror::Error;

use super::{VERSION, open, unpack_bytes};

/// The largest encoded payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 24 * 1024;
/// The type of [`Payload::Hash`].
const HASH: u32 = 0;
/// The type of [`Payload::AddressedCall`].
const ADDRESSED_CALL: u32 = 1;

/// What a message says. Upstream: `vms/platformvm/warp/payload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Something has this hash, such as a block that was accepted.
    Hash(Id),
    /// Somebody on the source chain calls somebody else.
    AddressedCall(AddressedCall),
}

/// A call by somebody on the source chain. Whom it is for is written in the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressedCall {
    /// Who calls.
    pub source_address: Bytes,
    /// The call.
    pub payload: Bytes,
}

/// Why bytes are not the wanted payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// They are no payload.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// They are one of another type.
    #[error("wrong payload type")]
    WrongType,
}

impl Payload {
    /// Reads a payload of any type.
    ///
    /// # Errors
    /// [`CodecError`], of which [`CodecError::TooLarge`] above [`PAYLOAD_BYTES_MAX`].
    pub fn parse(bytes: &Bytes) -> Result<Self, CodecError> {
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(CodecError::TooLarge);
        }
        let mut unpacker = open(bytes)?;
        let payload = match unpacker.unpack_u32()? {
            HASH => Self::Hash(Id(unpacker.unpack_array()?)),
            ADDRESSED_CALL => Self::AddressedCall(AddressedCall {
                source_address: bytes.slice_ref(unpack_bytes(&mut unpacker)?),
                payload: bytes.slice_ref(unpack_bytes(&mut unpacker)?),
            }),
            _ => return Err(CodecError::UnknownTypeId),
        };
        unpacker.finish()?;
        Ok(payload)
    }

    /// Reads a payload that must be a hash.
    ///
    /// # Errors
    /// [`PayloadError`]
    pub fn parse_hash(bytes: &Bytes) -> Result<Id, PayloadError> {
        match Self::parse(bytes)? {
            Self::Hash(hash) => Ok(hash),
            Self::AddressedCall(_) => Err(PayloadError::WrongType),
        }
    }

    /// Reads a payload that must be an addressed call.
    ///
    /// # Errors
    /// [`PayloadError`]
    pub fn parse_addressed_call(bytes: &Bytes) -> Result<AddressedCall, PayloadError> {
        match Self::parse(bytes)? {
            Self::AddressedCall(call) => Ok(call),
            Self::Hash(_) => Err(PayloadError::WrongType),
        }
    }

    /// The encoded payload.
    ///
    /// # Errors
    /// [`CodecError::InsufficientLength`] above [`PAYLOAD_BYTES_MAX`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut packer = Packer::new(PAYLOAD_BYTES_MAX);
        packer.pack_u16(VERSION)?;
        match self {
            Self::Hash(hash) => {
                packer.pack_u32(HASH)?;
                packer.pack_fixed(&hash.0)?;
            }
            Self::AddressedCall(call) => {
                packer.pack_u32(ADDRESSED_CALL)?;
                for part in [&call.source_address, &call.payload] {
                    packer.pack_count(part.len())?;
                    packer.pack_fixed(part)?;
                }
            }
        }
        Ok(packer.into_bytes())
    }
}
