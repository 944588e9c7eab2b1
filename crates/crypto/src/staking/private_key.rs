//! The private half of a staking key.

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer as _};
use rustls_pki_types::PrivateKeyDer;

use super::{
    public_key::{EC_OID, P256_OID, PublicKey, RSA_OID},
    signer::SigningError,
};
use crate::der::{self, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, context};

/// Length of a private key of P-256, in bytes.
pub(super) const P256_SCALAR_BYTES: usize = 32;

/// Why bytes are not a private key to stake with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// The bytes are not the DER form that their label promises.
    #[error("malformed private key")]
    Malformed,
    /// The key is neither RSA nor elliptic curve.
    #[error("private key is neither RSA nor P-256")]
    UnknownAlgorithm,
    /// The key belongs to another curve than P-256, or its number is not a key of that curve.
    #[error("elliptic curve private key is not one of P-256")]
    NotP256,
    /// The numbers of the RSA key do not fit together, or its public half is not allowed.
    #[error("RSA private key is not a valid key of 2048 or 4096 bits")]
    InvalidRsa,
}

/// A private key that is ready to sign.
#[derive(Debug)]
pub(super) enum PrivateKey {
    P256(SigningKey),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// Reads any of the three forms a key file may have.
    pub(super) fn parse(key: &PrivateKeyDer<'_>) -> Result<Self, PrivateKeyError> {
        match key {
            PrivateKeyDer::Pkcs1(pkcs1) => rsa(pkcs1.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(sec1) => p256_sec1(sec1.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(pkcs8) => from_pkcs8(pkcs8.secret_pkcs8_der()),
            _ => Err(PrivateKeyError::UnknownAlgorithm),
        }
    }

    /// A key of P-256 from its number; `None` if it is zero or not below the order of the curve.
    pub(super) fn p256(scalar: &[u8; P256_SCALAR_BYTES]) -> Option<Self> {
        SigningKey::from_slice(scalar).ok().map(Self::P256)
    }

    /// The public half.
    pub(super) fn public_key(&self) -> Result<PublicKey, PrivateKeyError> {
        match self {
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let point = point.as_bytes().try_into().map_err(|_| PrivateKeyError::NotP256)?;
                Ok(PublicKey::P256 { point })
            }
            Self::Rsa(key) => PublicKey::parse_rsa(key.public_key().as_ref())
                .map_err(|_| PrivateKeyError::InvalidRsa),
        }
    }

    /// Signs SHA-256 of `message`: ECDSA after RFC 6979 in ASN.1, or RSA PKCS#1 v1.5.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match self {
            Self::P256(key) => {
                let signature: DerSignature = key.try_sign(message).map_err(|_| SigningError)?;
                Ok(signature.as_bytes().to_vec())
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&RSA_PKCS1_SHA256, &digest(&SHA256, message), &mut signature)
                    .map_err(|_| SigningError)?;
                Ok(signature)
            }
        }
    }
}

/// A new key of P-256 in the form of PKCS#8, with its public half, as upstream writes it.
pub(super) fn p256_pkcs8(scalar: &[u8; P256_SCALAR_BYTES], point: &[u8]) -> Vec<u8> {
    let sec1 = der::sequence(&[
        &der::unsigned(&[1]),
        &der::element(OCTET_STRING, scalar),
        &der::constructed(context(1), &[&der::bit_string(point)]),
    ]);
    der::sequence(&[
        &der::unsigned(&[0]),
        &der::sequence(&[&der::element(OID, EC_OID), &der::element(OID, P256_OID)]),
        &der::element(OCTET_STRING, &sec1),
    ])
}

fn from_pkcs8(pkcs8: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
    let (mut algorithm, key) = pkcs8_parts(pkcs8).ok_or(PrivateKeyError::Malformed)?;
    match algorithm.oid() {
        Some(RSA_OID) => rsa(key),
        Some(EC_OID) if algorithm.oid() == Some(P256_OID) => p256_sec1(key),
        Some(EC_OID) => Err(PrivateKeyError::NotP256),
        Some(_) => Err(PrivateKeyError::UnknownAlgorithm),
        None => Err(PrivateKeyError::Malformed),
    }
}

/// Algorithm and key.
fn pkcs8_parts(pkcs8: &[u8]) -> Option<(Reader<'_>, &[u8])> {
    let mut info = Reader::new(pkcs8).enter(SEQUENCE)?;
    info.element(INTEGER)?;
    Some((info.enter(SEQUENCE)?, info.element(OCTET_STRING)?))
}

fn rsa(pkcs1: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
    RsaKeyPair::from_der(pkcs1).map(PrivateKey::Rsa).map_err(|_| PrivateKeyError::InvalidRsa)
}

fn p256_sec1(sec1: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
    let (scalar, curve) = sec1_parts(sec1).ok_or(PrivateKeyError::Malformed)?;
    if curve.is_some_and(|curve| curve != P256_OID) {
        return Err(PrivateKeyError::NotP256);
    }
    let scalar = scalar.try_into().map_err(|_| PrivateKeyError::NotP256)?;
    PrivateKey::p256(scalar).ok_or(PrivateKeyError::NotP256)
}

/// Number and, if it is there, the name of the curve.
fn sec1_parts(sec1: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut key = Reader::new(sec1).enter(SEQUENCE)?;
    key.element(INTEGER)?;
    let scalar = key.element(OCTET_STRING)?;
    let curve = match key.optional(context(0))? {
        Some(parameters) => Some(Reader::new(parameters).oid()?),
        None => None,
    };
    Some((scalar, curve))
}
