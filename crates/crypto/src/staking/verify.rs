//! The seat of the library that checks signatures under staking keys.
//!
//! One that is not written in C can take it: everything else sees only [`VerifyingKey`].

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};

use super::{certificate::CertificateError, public_key::PublicKey};

/// A key that was parsed and checked, ready to check signatures.
pub(super) trait VerifyingKey: fmt::Debug + Send + Sync {
    /// Whether `signature` was made over SHA-256 of `message`.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool;
}

/// Parses a key once for all signatures; refuses a point that is not on the curve.
pub(super) fn verifying_key(key: &PublicKey) -> Result<Arc<dyn VerifyingKey>, CertificateError> {
    let parsed = match key {
        PublicKey::Rsa { .. } => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.key_bytes())
            .map_err(|_| CertificateError::InvalidRsaPublicKey),
        PublicKey::P256 { point } => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .map_err(|_| CertificateError::InvalidPoint),
    };
    Ok(Arc::new(parsed?))
}

impl VerifyingKey for ParsedPublicKey {
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify_sig(message, signature).is_ok()
    }
}
