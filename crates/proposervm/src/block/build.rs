//! Making outer blocks.

use bytes::Bytes;
use sastrugi_crypto::Signer;
use sastrugi_types::{
    Id, NodeId,
    codec::{CodecError, Pack, Packer},
    hash::sha256,
};

use super::{BLOCK_TYPE, BlockError, EPOCH_BLOCK_TYPE, OPTION_TYPE, PostForkBlock, PostForkOption};
use crate::{Epoch, codec, header::Header};

/// What a new block says, beside who says it.
#[derive(Clone, Copy, Debug)]
pub struct BlockTemplate<'a> {
    /// The parent.
    pub parent: Id,
    /// When it is made, in Unix seconds.
    pub timestamp_secs: i64,
    /// The height of the P-Chain.
    pub p_chain_height: u64,
    /// The epoch; with [`Epoch::NONE`] the block is of the form without one.
    pub epoch: Epoch,
    /// The bytes of the inner block.
    pub inner: &'a [u8],
}

impl BlockTemplate<'_> {
    /// The block without a proposer.
    ///
    /// # Errors
    /// [`BlockError::Codec`] if the inner block has 2³¹ bytes or more.
    pub fn unsigned(&self) -> Result<PostForkBlock, BlockError> {
        let draft = self.pack(&[])?;
        let id = Id(sha256(draft.bytes()));
        self.finish(id, draft, None, &[])
    }

    /// The block of `chain` with this node as its proposer.
    ///
    /// # Errors
    /// Also [`BlockError::Signing`].
    pub fn signed(&self, chain: Id, signer: &dyn Signer) -> Result<PostForkBlock, BlockError> {
        let certificate = signer.certificate();
        let draft = self.pack(certificate.der())?;
        let id = Id(sha256(draft.bytes()));
        let header = Header { chain, parent: self.parent, block: id };
        let signature = signer.sign(&header.to_bytes())?;
        self.finish(id, draft, Some(certificate.node_id()), &signature)
    }

    /// Everything before the signature.
    fn pack(&self, certificate: &[u8]) -> Result<Packer<'static>, CodecError> {
        let has_epoch = !self.epoch.is_none();
        let mut packer = codec::packer()?;
        packer.pack_u32(if has_epoch { EPOCH_BLOCK_TYPE } else { BLOCK_TYPE })?;
        self.parent.pack(&mut packer)?;
        self.timestamp_secs.pack(&mut packer)?;
        packer.pack_u64(self.p_chain_height)?;
        packer.pack_bytes(certificate)?;
        packer.pack_bytes(self.inner)?;
        if has_epoch {
            self.epoch.pack(&mut packer)?;
        }
        Ok(packer)
    }

    fn finish(
        &self,
        id: Id,
        mut draft: Packer<'static>,
        proposer: Option<NodeId>,
        signature: &[u8],
    ) -> Result<PostForkBlock, BlockError> {
        let inner_end = draft.bytes().len() - if self.epoch.is_none() { 0 } else { EPOCH_BYTES };
        draft.pack_bytes(signature)?;
        let bytes = Bytes::from(draft.into_bytes());
        Ok(PostForkBlock {
            id,
            parent: self.parent,
            timestamp_secs: self.timestamp_secs,
            p_chain_height: self.p_chain_height,
            epoch: self.epoch,
            proposer,
            inner: inner_end - self.inner.len()..inner_end,
            bytes,
        })
    }
}

/// Length of an encoded epoch, in bytes.
const EPOCH_BYTES: usize = 24;

impl PostForkOption {
    /// The child of the oracle block `parent` with this inner block.
    ///
    /// # Errors
    /// [`CodecError::TooManyElements`] if the inner block has 2³¹ bytes or more.
    pub fn new(parent: Id, inner: &[u8]) -> Result<Self, CodecError> {
        let mut packer = codec::packer()?;
        packer.pack_u32(OPTION_TYPE)?;
        parent.pack(&mut packer)?;
        packer.pack_bytes(inner)?;
        let bytes = Bytes::from(packer.into_bytes());
        let inner = bytes.len() - inner.len()..bytes.len();
        Ok(Self { id: Id(sha256(&bytes)), parent, inner, bytes })
    }
}
