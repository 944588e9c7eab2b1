//! Certificates as peers and block headers bring them.
//!
//! The parser is a rule of consensus (block headers of Snowman++ carry certificates), so it accepts
//! and refuses exactly what upstream's does, `staking/parse.go`. It walks down to the public key and
//! looks at nothing else:
//!
//! ```text
//! SEQUENCE {                        certificate
//!   SEQUENCE {                      to be signed
//!     [0] …                         version, optional; content not looked at
//!     INTEGER                       serial number; content not looked at, even empty or negative
//!     SEQUENCE × 4                  signature algorithm, issuer, validity, subject: not looked at
//!     SEQUENCE {                    subject public key info
//!       SEQUENCE { OID, … }         algorithm; its parameters are not looked at
//!       BIT STRING                  key; unused bits must be zero and shift the bytes right
//! ```
//!
//! Whatever follows an element inside its sequence, the rest of the certificate after the key, and
//! bytes after the outer sequence are ignored, yet they are part of what the node ID hashes. The
//! certificate's own signature, dates and names mean nothing.

use std::{fmt, sync::Arc};

use sastrugi_types::{NodeId, hash::address_hash};

use super::{
    public_key::PublicKey,
    verify::{self, VerifyingKey},
};
use crate::der::{INTEGER, Reader, SEQUENCE, context};

/// Length limit of a certificate, in bytes. Upstream: `staking.MaxCertificateLen`.
pub const CERTIFICATE_BYTES_MAX: usize = 2048;

/// A parsed certificate: its bytes, the node it names, and its key, ready to check signatures.
///
/// Cheap to clone. Two certificates are equal when their bytes are.
#[derive(Clone)]
pub struct Certificate {
    der: Arc<[u8]>,
    node_id: NodeId,
    public_key: Arc<PublicKey>,
    verifying_key: Arc<dyn VerifyingKey>,
}

/// Why bytes are not a staking certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`CERTIFICATE_BYTES_MAX`].
    #[error("certificate is longer than {CERTIFICATE_BYTES_MAX} bytes")]
    TooLarge,
    /// The outer sequence is missing or malformed.
    #[error("malformed certificate")]
    MalformedCertificate,
    /// The sequence of what is signed is missing or malformed.
    #[error("malformed part to be signed")]
    MalformedToBeSigned,
    /// There is a version, and it is malformed.
    #[error("malformed version")]
    MalformedVersion,
    /// The serial number is missing or not an integer.
    #[error("malformed serial number")]
    MalformedSerialNumber,
    /// The signature algorithm is missing or not a sequence.
    #[error("malformed signature algorithm")]
    MalformedSignatureAlgorithm,
    /// The issuer or the subject is missing or not a sequence.
    #[error("malformed issuer or subject")]
    MalformedName,
    /// The validity is missing or not a sequence.
    #[error("malformed validity")]
    MalformedValidity,
    /// The subject public key info is missing or not a sequence.
    #[error("malformed subject public key info")]
    MalformedPublicKeyInfo,
    /// The algorithm of the key is missing or not a sequence.
    #[error("malformed public key algorithm")]
    MalformedPublicKeyAlgorithm,
    /// The algorithm of the key does not begin with an object identifier.
    #[error("malformed object identifier of the public key algorithm")]
    MalformedAlgorithmIdentifier,
    /// The key is missing or not a bit string.
    #[error("malformed public key")]
    MalformedPublicKey,
    /// The key is neither RSA nor elliptic curve.
    #[error("public key is neither RSA nor P-256")]
    UnknownPublicKeyAlgorithm,
    /// The RSA key is not a sequence.
    #[error("malformed RSA public key")]
    InvalidRsaPublicKey,
    /// The RSA modulus is not a minimal integer.
    #[error("malformed RSA modulus")]
    InvalidRsaModulus,
    /// The RSA exponent is not a minimal integer of at most 64 bits.
    #[error("malformed RSA public exponent")]
    InvalidRsaExponent,
    /// The RSA modulus is zero or negative.
    #[error("RSA modulus is not positive")]
    RsaModulusNotPositive,
    /// The RSA modulus has neither 2048 nor 4096 bits.
    #[error("RSA modulus has {bits} bits, not 2048 or 4096")]
    UnsupportedRsaModulus {
        /// Its length in bits.
        bits: usize,
    },
    /// The RSA modulus is even.
    #[error("RSA modulus is even")]
    RsaModulusEven,
    /// The RSA exponent is another than 65537.
    #[error("RSA public exponent is {exponent}, not 65537")]
    UnsupportedRsaExponent {
        /// What it is.
        exponent: i64,
    },
    /// The elliptic curve key is not an uncompressed point of P-256.
    #[error("elliptic curve key is not an uncompressed point of P-256")]
    InvalidPoint,
}

/// A signature was not made over this message by the key of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid signature")]
pub struct InvalidSignature;

impl Certificate {
    /// Reads a certificate from bytes that nobody vouches for.
    ///
    /// Upstream: `staking.ParseCertificate`.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge);
        }
        let public_key = read_public_key(der)?;
        let verifying_key = verify::verifying_key(&public_key)?;
        Ok(Self {
            der: der.into(),
            node_id: NodeId(address_hash(der)),
            public_key: Arc::new(public_key),
            verifying_key,
        })
    }

    /// The bytes it was parsed from, trailing ones included.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The node it names: RIPEMD-160 of SHA-256 of all its bytes.
    ///
    /// Upstream: `ids.NodeIDFromCert`.
    pub const fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The key in it.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Checks that the owner of the certificate signed `message`.
    ///
    /// The message is hashed with SHA-256 here. RSA signatures are PKCS#1 v1.5, P-256 signatures
    /// ASN.1 of r and s; a high s is accepted. Upstream: `staking.CheckSignature`.
    pub fn check_signature(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if self.verifying_key.verifies(message, signature) { Ok(()) } else { Err(InvalidSignature) }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

fn read_public_key(der: &[u8]) -> Result<PublicKey, CertificateError> {
    use CertificateError as E;

    let mut certificate = Reader::new(der).enter(SEQUENCE).ok_or(E::MalformedCertificate)?;
    let mut signed = certificate.enter(SEQUENCE).ok_or(E::MalformedToBeSigned)?;
    signed.optional(context(0)).ok_or(E::MalformedVersion)?;
    signed.element(INTEGER).ok_or(E::MalformedSerialNumber)?;
    signed.element(SEQUENCE).ok_or(E::MalformedSignatureAlgorithm)?;
    signed.element(SEQUENCE).ok_or(E::MalformedName)?;
    signed.element(SEQUENCE).ok_or(E::MalformedValidity)?;
    signed.element(SEQUENCE).ok_or(E::MalformedName)?;
    let mut info = signed.enter(SEQUENCE).ok_or(E::MalformedPublicKeyInfo)?;
    let mut algorithm = info.enter(SEQUENCE).ok_or(E::MalformedPublicKeyAlgorithm)?;
    let oid = algorithm.oid().ok_or(E::MalformedAlgorithmIdentifier)?;
    let key = info.bit_string().ok_or(E::MalformedPublicKey)?;
    PublicKey::parse(oid, &key)
}
