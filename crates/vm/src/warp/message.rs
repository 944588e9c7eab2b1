//! Messages with and without a signature.

use bytes::Bytes;
use sastrugi_types::{
    Id,
    codec::{CodecError, Packer, Unpacker},
    hash,
};

use super::{BitSetSignature, VERSION, open, unpack_bytes};

/// Bytes of the codec version.
const VERSION_BYTES: usize = 2;
/// Bytes before the payload: version, network, source chain, length.
const HEADER_BYTES: usize = VERSION_BYTES + 4 + 32 + 4;
/// The type of [`BitSetSignature`].
const BIT_SET: u32 = 0;

/// What a chain says. Upstream: `vms/platformvm/warp/unsigned_message.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedMessage {
    network_id: u32,
    source_chain_id: Id,
    bytes: Bytes,
}

impl UnsignedMessage {
    /// What `source_chain_id` says.
    ///
    /// # Errors
    /// [`CodecError::TooManyElements`] for a payload of 2³¹ bytes.
    pub fn new(network_id: u32, source_chain_id: Id, payload: &[u8]) -> Result<Self, CodecError> {
        let mut packer = Packer::new(usize::MAX);
        packer.pack_u16(VERSION)?;
        packer.pack_u32(network_id)?;
        packer.pack_fixed(&source_chain_id.0)?;
        packer.pack_count(payload.len())?;
        packer.pack_fixed(payload)?;
        Ok(Self { network_id, source_chain_id, bytes: packer.into_bytes().into() })
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn parse(bytes: Bytes) -> Result<Self, CodecError> {
        let mut unpacker = open(&bytes)?;
        let (network_id, source_chain_id) = unpack(&mut unpacker)?;
        unpacker.finish()?;
        Ok(Self { network_id, source_chain_id, bytes })
    }

    /// The network of the chain.
    pub const fn network_id(&self) -> u32 {
        self.network_id
    }

    /// The chain that says it.
    #[doc(alias = "SourceChainID")]
    pub const fn source_chain_id(&self) -> Id {
        self.source_chain_id
    }

    /// What it says.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// The encoded message, which is what is signed.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The SHA-256 of [`Self::bytes`].
    #[doc(alias = "ID")]
    pub fn id(&self) -> Id {
        Id(hash::sha256(&self.bytes))
    }
}

/// Reads network, source chain and payload.
fn unpack(unpacker: &mut Unpacker<'_>) -> Result<(u32, Id), CodecError> {
    let network_id = unpacker.unpack_u32()?;
    let source_chain_id = Id(unpacker.unpack_array()?);
    unpack_bytes(unpacker)?;
    Ok((network_id, source_chain_id))
}

/// What a chain says, and a signature that nobody has verified yet.
/// Upstream: `vms/platformvm/warp/message.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is signed.
    pub unsigned: UnsignedMessage,
    /// The signature.
    pub signature: BitSetSignature,
}

impl Message {
    /// Reads a signed message.
    ///
    /// # Errors
    /// [`CodecError`]
    pub fn parse(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut unpacker = open(bytes)?;
        let (network_id, source_chain_id) = unpack(&mut unpacker)?;
        let unsigned_bytes = VERSION_BYTES + unpacker.offset();
        if unpacker.unpack_u32()? != BIT_SET {
            return Err(CodecError::UnknownTypeId);
        }
        let signers = bytes.slice_ref(unpack_bytes(&mut unpacker)?);
        let signature = unpacker.unpack_array()?;
        unpacker.finish()?;
        let bytes = bytes.slice(..unsigned_bytes);
        Ok(Self {
            unsigned: UnsignedMessage { network_id, source_chain_id, bytes },
            signature: BitSetSignature { signers, signature },
        })
    }

    /// The encoded message.
    ///
    /// # Errors
    /// [`CodecError::TooManyElements`] for signers of 2³¹ bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut packer = Packer::new(usize::MAX);
        packer.pack_fixed(&self.unsigned.bytes)?;
        packer.pack_u32(BIT_SET)?;
        packer.pack_count(self.signature.signers.len())?;
        packer.pack_fixed(&self.signature.signers)?;
        packer.pack_fixed(&self.signature.signature)?;
        Ok(packer.into_bytes())
    }

    /// The ID of the unsigned message.
    #[doc(alias = "ID")]
    pub fn id(&self) -> Id {
        self.unsigned.id()
    }
}
