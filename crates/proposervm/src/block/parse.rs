//! Reading outer blocks.

use bytes::Bytes;
use sastrugi_crypto::Certificate;
use sastrugi_types::{
    Id,
    codec::{CodecError, Unpack, Unpacker},
    hash::sha256,
};

use super::{
    BLOCK_TYPE, BlockError, EPOCH_BLOCK_TYPE, OPTION_TYPE, OuterBlock, PostForkBlock,
    PostForkOption,
};
use crate::{Epoch, codec, header::Header};

impl OuterBlock {
    /// Reads a block of `chain` and checks what can be checked without its parent: the epoch is
    /// there, and the signature is the proposer's.
    ///
    /// The inner bytes are a slice of `bytes`.
    ///
    /// # Errors
    /// [`BlockError`]; the bytes may still be a block before the fork.
    pub fn parse(bytes: Bytes, chain: Id) -> Result<Self, BlockError> {
        let unverified = Unverified::read(bytes)?;
        unverified.verify(chain)?;
        Ok(unverified.block)
    }

    /// Reads a block that was checked before: one from the own database.
    ///
    /// The certificate must be one nevertheless.
    ///
    /// # Errors
    /// [`BlockError::Codec`], [`BlockError::Certificate`]
    pub fn parse_without_verification(bytes: Bytes) -> Result<Self, BlockError> {
        Ok(Unverified::read(bytes)?.block)
    }
}

/// A block whose signature was not looked at.
pub(crate) struct Unverified {
    block: OuterBlock,
    certificate: Option<Certificate>,
    signature: Bytes,
    /// It is of the form that has an epoch.
    has_epoch: bool,
}

impl Unverified {
    /// The block.
    pub(crate) const fn block(&self) -> &OuterBlock {
        &self.block
    }

    /// The block.
    pub(crate) fn into_block(self) -> OuterBlock {
        self.block
    }

    /// Reads what can be read without the chain.
    pub(crate) fn read(bytes: Bytes) -> Result<Self, BlockError> {
        let whole = bytes.clone();
        let mut unpacker = codec::unpacker(&whole)?;
        match unpacker.unpack_u32()? {
            BLOCK_TYPE => Self::read_block(bytes, unpacker, false),
            EPOCH_BLOCK_TYPE => Self::read_block(bytes, unpacker, true),
            OPTION_TYPE => Self::read_option(bytes, unpacker),
            _ => Err(CodecError::UnknownTypeId.into()),
        }
    }

    fn read_block(
        bytes: Bytes,
        mut unpacker: Unpacker<'_>,
        has_epoch: bool,
    ) -> Result<Self, BlockError> {
        let parent = Id::unpack(&mut unpacker)?;
        let timestamp_secs = i64::unpack(&mut unpacker)?;
        let p_chain_height = unpacker.unpack_u64()?;
        let certificate = codec::unpack_bytes(&mut unpacker)?;
        let inner = codec::unpack_range(&mut unpacker)?;
        let epoch = if has_epoch { Epoch::unpack(&mut unpacker)? } else { Epoch::NONE };
        let unsigned_length = unpacker.offset();
        let signature = bytes.slice(codec::unpack_range(&mut unpacker)?);
        unpacker.finish()?;

        let certificate = match certificate {
            [] => None,
            der => Some(Certificate::parse(der)?),
        };
        let block = PostForkBlock {
            id: Id(sha256(&bytes[..unsigned_length])),
            parent,
            timestamp_secs,
            p_chain_height,
            epoch,
            proposer: certificate.as_ref().map(Certificate::node_id),
            inner,
            bytes,
        };
        Ok(Self { block: block.into(), certificate, signature, has_epoch })
    }

    fn read_option(bytes: Bytes, mut unpacker: Unpacker<'_>) -> Result<Self, BlockError> {
        let parent = Id::unpack(&mut unpacker)?;
        let inner = codec::unpack_range(&mut unpacker)?;
        unpacker.finish()?;
        let option = PostForkOption { id: Id(sha256(&bytes)), parent, inner, bytes };
        Ok(Self {
            block: option.into(),
            certificate: None,
            signature: Bytes::new(),
            has_epoch: false,
        })
    }

    /// Checks what [`OuterBlock::parse`] does beyond reading.
    pub(crate) fn verify(&self, chain: Id) -> Result<(), BlockError> {
        let block = &self.block;
        if self.has_epoch && block.as_block().is_some_and(|block| block.epoch.is_none()) {
            return Err(BlockError::MissingEpoch);
        }
        let Some(certificate) = &self.certificate else {
            let is_unsigned = self.signature.is_empty();
            return if is_unsigned { Ok(()) } else { Err(BlockError::UnexpectedSignature) };
        };
        let header = Header { chain, parent: block.parent(), block: block.id() };
        certificate
            .check_signature(&header.to_bytes(), &self.signature)
            .map_err(|_| BlockError::InvalidSignature)
    }
}
