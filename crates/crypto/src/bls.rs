//! BLS signatures over BLS12-381: public keys in G1, signatures in G2.
//!
//! A validator has a BLS key beside its staking key, because signatures of many validators add up
//! to one. Two kinds of signature exist, under different domain tags, so that one can never pass for
//! the other: ordinary ones, and proofs of possession, which show that whoever registers a key
//! holds it. Address claims are signed in the manner of proofs of possession.
//!
//! Points from outside are checked when they are parsed, never again when they are used.
//! Upstream: `utils/crypto/bls/`.

mod proof;

use std::fmt;

use blst::{
    BLST_ERROR,
    min_pk::{self, AggregatePublicKey, AggregateSignature},
};
pub use proof::ProofOfPossession;

/// Length of a secret key, in bytes.
pub const SECRET_KEY_BYTES: usize = 32;
/// Length of a compressed public key, in bytes.
pub const PUBLIC_KEY_BYTES: usize = 48;
/// Length of an uncompressed public key, in bytes.
pub const PUBLIC_KEY_UNCOMPRESSED_BYTES: usize = 96;
/// Length of a compressed signature, in bytes.
pub const SIGNATURE_BYTES: usize = 96;

const ORDINARY_TAG: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const POSSESSION_TAG: &[u8] = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const COMPRESSED: u8 = 0x80;

/// Why bytes are no key or signature, or points cannot be added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlsError {
    /// Not 32 bytes of a number between zero and the order of the group, both excluded.
    #[error("invalid secret key")]
    SecretKey,
    /// Not the compressed form of a point of the curve.
    #[error("public key is not a compressed point")]
    PublicKeyEncoding,
    /// A point, but infinity or outside of the group.
    #[error("public key is infinity or outside of the group")]
    PublicKeyInvalid,
    /// Not the compressed form of a point of the curve.
    #[error("signature is not a compressed point")]
    SignatureEncoding,
    /// A point, but outside of the group.
    #[error("signature is outside of the group")]
    SignatureInvalid,
    /// There is nothing to add up.
    #[error("no public keys")]
    NoPublicKeys,
    /// There is nothing to add up.
    #[error("no signatures")]
    NoSignatures,
    /// The proof was not made with the secret half of its key.
    #[error("invalid proof of possession")]
    ProofInvalid,
    /// Text that must be hexadecimal does not begin with 0x.
    #[error("missing 0x prefix to hex encoding")]
    HexPrefix,
    /// Text behind 0x is not hexadecimal.
    #[error("invalid hex encoding")]
    Hex,
}

/// A secret key. It is wiped from memory when dropped; `Debug` does not show it.
pub struct SecretKey(min_pk::SecretKey);

impl SecretKey {
    /// Derives a key from 32 random bytes.
    pub fn generate(random: &[u8; SECRET_KEY_BYTES]) -> Result<Self, BlsError> {
        min_pk::SecretKey::key_gen(random, &[]).map(Self).map_err(|_| BlsError::SecretKey)
    }

    /// Reads the content of a key file: 32 bytes, big-endian.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlsError> {
        min_pk::SecretKey::deserialize(bytes).map(Self).map_err(|_| BlsError::SecretKey)
    }

    /// The content of a key file.
    pub fn to_bytes(&self) -> [u8; SECRET_KEY_BYTES] {
        self.0.serialize()
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.sk_to_pk())
    }

    /// An ordinary signature over `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message, ORDINARY_TAG, &[]))
    }

    /// A signature over `message` in the manner of proofs of possession.
    pub fn sign_proof_of_possession(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message, POSSESSION_TAG, &[]))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

/// A public key: a point of G1.
///
/// One parsed from untrusted bytes is in the group and not infinity. Sums and trusted keys may be
/// anything on the curve; no signature is valid under infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(min_pk::PublicKey);

impl PublicKey {
    /// Reads a compressed key that nobody vouches for.
    pub fn from_compressed(bytes: &[u8]) -> Result<Self, BlsError> {
        let key = min_pk::PublicKey::uncompress(bytes).map_err(|_| BlsError::PublicKeyEncoding)?;
        key.validate().map_err(|_| BlsError::PublicKeyInvalid)?;
        Ok(Self(key))
    }

    /// Reads an uncompressed key out of a place that holds only keys validated before, such as a
    /// database. Only that the point lies on the curve is checked.
    ///
    /// With the bit of the compressed form set, the first half is read in that form and the second
    /// half is ignored, as upstream does.
    pub fn from_trusted_uncompressed(
        bytes: &[u8; PUBLIC_KEY_UNCOMPRESSED_BYTES],
    ) -> Result<Self, BlsError> {
        let key = if bytes[0] & COMPRESSED == 0 {
            min_pk::PublicKey::deserialize(bytes)
        } else {
            min_pk::PublicKey::uncompress(&bytes[..PUBLIC_KEY_BYTES])
        };
        key.map(Self).map_err(|_| BlsError::PublicKeyEncoding)
    }

    /// The form of messages and JSON.
    pub fn to_compressed(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.compress()
    }

    /// The form of databases and validator sets.
    pub fn to_uncompressed(&self) -> [u8; PUBLIC_KEY_UNCOMPRESSED_BYTES] {
        self.0.serialize()
    }

    /// The sum of keys, under which the sum of their signatures over one message is valid.
    pub fn aggregate(keys: &[Self]) -> Result<Self, BlsError> {
        let keys: Vec<_> = keys.iter().map(|key| &key.0).collect();
        let sum =
            AggregatePublicKey::aggregate(&keys, false).map_err(|_| BlsError::NoPublicKeys)?;
        Ok(Self(sum.to_public_key()))
    }

    /// Whether `signature` is an ordinary signature over `message` under this key.
    pub fn verify(&self, signature: &Signature, message: &[u8]) -> bool {
        self.verify_under(ORDINARY_TAG, signature, message)
    }

    /// Whether `signature` is one in the manner of proofs of possession.
    pub fn verify_proof_of_possession(&self, signature: &Signature, message: &[u8]) -> bool {
        self.verify_under(POSSESSION_TAG, signature, message)
    }

    fn verify_under(&self, tag: &[u8], signature: &Signature, message: &[u8]) -> bool {
        signature.0.verify(false, message, tag, &[], &self.0, false) == BLST_ERROR::BLST_SUCCESS
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.to_compressed()))
    }
}

/// A signature: a point of G2, possibly infinity, which is never valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(min_pk::Signature);

impl Signature {
    /// Reads a signature that nobody vouches for.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlsError> {
        let signature =
            min_pk::Signature::uncompress(bytes).map_err(|_| BlsError::SignatureEncoding)?;
        signature.validate(false).map_err(|_| BlsError::SignatureInvalid)?;
        Ok(Self(signature))
    }

    /// The compressed form, the only one in use.
    pub fn to_bytes(&self) -> [u8; SIGNATURE_BYTES] {
        self.0.compress()
    }

    /// The sum of signatures.
    pub fn aggregate(signatures: &[Self]) -> Result<Self, BlsError> {
        let signatures: Vec<_> = signatures.iter().map(|signature| &signature.0).collect();
        let sum = AggregateSignature::aggregate(&signatures, false)
            .map_err(|_| BlsError::NoSignatures)?;
        Ok(Self(sum.to_signature()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.to_bytes()))
    }
}
