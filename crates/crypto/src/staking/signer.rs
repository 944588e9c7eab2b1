//! Signing with a staking key.

use std::fmt;

use super::certificate::Certificate;

/// Whoever can sign in the name of a node: for its address claim, later for block headers.
///
/// Signatures are deterministic: the same message gives the same bytes.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The certificate under which signatures are checked.
    fn certificate(&self) -> &Certificate;

    /// Signs SHA-256 of `message` so that [`Certificate::check_signature`] accepts it.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError>;
}

/// The library refused to sign. A key that was accepted does not run into this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign with the staking key")]
pub struct SigningError;
