//! The node's own signature.

use std::{fmt, sync::Arc};

use sastrugi_crypto::bls;
use sastrugi_types::Id;
use thiserror::Error;

use super::UnsignedMessage;

/// Signs messages of one chain with the node's BLS key. Upstream: `vms/platformvm/warp/signer.go`.
pub trait Signer: Send + Sync {
    /// The node's signature over a message. Whether the message is true is for the VM to say,
    /// before it asks for a signature.
    ///
    /// # Errors
    /// [`SignError`]
    fn sign(&self, message: &UnsignedMessage) -> Result<bls::Signature, SignError>;
}

/// Why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// Another chain would say it.
    #[error("wrong SourceChainID")]
    WrongSourceChain,
    /// A chain of another network would say it.
    #[error("wrong networkID")]
    WrongNetwork,
    /// A key that is kept elsewhere does not answer.
    #[error("{0}")]
    Other(String),
}

/// A signer whose key is in this process.
pub struct LocalSigner {
    key: Arc<bls::SecretKey>,
    network_id: u32,
    chain_id: Id,
}

impl LocalSigner {
    /// Signs what this chain of this network says.
    pub const fn new(key: Arc<bls::SecretKey>, network_id: u32, chain_id: Id) -> Self {
        Self { key, network_id, chain_id }
    }
}

impl Signer for LocalSigner {
    fn sign(&self, message: &UnsignedMessage) -> Result<bls::Signature, SignError> {
        if message.source_chain_id() != self.chain_id {
            return Err(SignError::WrongSourceChain);
        }
        if message.network_id() != self.network_id {
            return Err(SignError::WrongNetwork);
        }
        Ok(self.key.sign(message.bytes()))
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner")
            .field("network_id", &self.network_id)
            .field("chain_id", &self.chain_id)
            .finish_non_exhaustive()
    }
}
