//! The proof that whoever registers a BLS key holds its secret half.

use serde::{Deserialize, Serialize};

use super::{BlsError, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, SecretKey, Signature};

const HEX_PREFIX: &str = "0x";

/// A compressed public key and a signature over it, both as bytes.
///
/// Neither is checked before [`verify`](Self::verify). In JSON it is an object of `publicKey` and
/// `proofOfPossession`, each hexadecimal with 0x and without checksum. Reading it checks the key
/// and takes the proof as it comes: a short one is filled up with zeros, a long one is cut, as
/// upstream does. Upstream: `vms/platformvm/signer/proof_of_possession.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ProofJson", into = "ProofJson")]
pub struct ProofOfPossession {
    /// The compressed key.
    pub public_key: [u8; PUBLIC_KEY_BYTES],
    /// A signature over those bytes in the manner of proofs of possession.
    pub proof: [u8; SIGNATURE_BYTES],
}

impl ProofOfPossession {
    /// Proves possession of `key`.
    pub fn new(key: &SecretKey) -> Self {
        let public_key = key.public_key().to_compressed();
        let proof = key.sign_proof_of_possession(&public_key).to_bytes();
        Self { public_key, proof }
    }

    /// The key, if the proof holds.
    pub fn verify(&self) -> Result<PublicKey, BlsError> {
        let key = PublicKey::from_compressed(&self.public_key)?;
        let proof = Signature::from_bytes(&self.proof)?;
        if key.verify_proof_of_possession(&proof, &self.public_key) {
            Ok(key)
        } else {
            Err(BlsError::ProofInvalid)
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProofJson {
    public_key: String,
    proof_of_possession: String,
}

impl TryFrom<ProofJson> for ProofOfPossession {
    type Error = BlsError;

    fn try_from(json: ProofJson) -> Result<Self, BlsError> {
        let public_key = PublicKey::from_compressed(&bytes_of_hex(&json.public_key)?)?;
        let mut proof = [0; SIGNATURE_BYTES];
        for (to, from) in proof.iter_mut().zip(bytes_of_hex(&json.proof_of_possession)?) {
            *to = from;
        }
        Ok(Self { public_key: public_key.to_compressed(), proof })
    }
}

impl From<ProofOfPossession> for ProofJson {
    fn from(proof: ProofOfPossession) -> Self {
        Self {
            public_key: const_hex::encode_prefixed(proof.public_key),
            proof_of_possession: const_hex::encode_prefixed(proof.proof),
        }
    }
}

/// Hexadecimal text; nothing at all stands for no bytes.
fn bytes_of_hex(text: &str) -> Result<Vec<u8>, BlsError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let digits = text.strip_prefix(HEX_PREFIX).ok_or(BlsError::HexPrefix)?;
    if digits.starts_with(HEX_PREFIX) {
        return Err(BlsError::Hex);
    }
    const_hex::decode(digits).map_err(|_| BlsError::Hex)
}
