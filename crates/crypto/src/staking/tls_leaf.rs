//! What the certificate of a peer must satisfy for its connection to stand.
//!
//! Both ends show exactly one certificate and check the other's alike. Authority, names, dates, key
//! usage and the certificate's own signature are never looked at; TLS proves that the peer holds the
//! key, and the key must be one to stake with.
//!
//! Upstream looks three times: Go's X.509 parser during the handshake, the check of the key during
//! the handshake (`network/peer/tls_config.go`), the strict staking parser after it. Here the
//! staking parser does it all during the handshake:
//!
//! | upstream refuses | [`check`] |
//! |---|---|
//! | no certificate sent | is never asked: TLS has ended the handshake |
//! | key on another curve than P-256 | [`CertificateError::InvalidPoint`] |
//! | key neither RSA nor elliptic curve | [`CertificateError::UnknownPublicKeyAlgorithm`] |
//! | RSA key out of bounds | the same, unless the certificate is too large at once |
//! | staking parser | the same |
//! | Go's X.509 parser only | **accepted** |
//!
//! The last row is the one difference. Such a certificate has for example a negative serial number,
//! an unknown version, a malformed name or date, missing curve parameters, or trailing bytes. Nodes
//! of upstream will not talk to its owner; that we would does no harm, because nothing but the key is
//! used. Whoever can connect to upstream can connect here.

use super::certificate::{Certificate, CertificateError};

/// Checks the first certificate a peer sent, in DER.
///
/// To check the peer's signature in the handshake, hand the key to the TLS library in the form of
/// [`subject_public_key_info`](super::PublicKey::subject_public_key_info): it cannot read the
/// certificate itself (old nodes use X.509 version 1).
pub fn check(leaf: &[u8]) -> Result<Certificate, CertificateError> {
    Certificate::parse(leaf)
}
