//! Signatures of many validators as one.

use bytes::Bytes;
use sastrugi_crypto::bls::{self, BlsError};
use sastrugi_types::bits::BitSet;
use thiserror::Error;

use super::{CanonicalSet, UnsignedMessage};

/// The sum of signatures and who gave them. Upstream: `vms/platformvm/warp/signature.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitSetSignature {
    /// A big-endian number whose bit `i` stands for validator `i` of the canonical set.
    pub signers: Bytes,
    /// The sum of their signatures, compressed.
    pub signature: [u8; bls::SIGNATURE_BYTES],
}

/// Why a signature does not hold, in the order in which this is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The message is of another network.
    #[error("wrong networkID")]
    WrongNetwork,
    /// The signers begin with a zero byte.
    #[error("bitset is invalid")]
    InvalidBitSet,
    /// A signer is not in the set.
    #[error("unknown validator: signer {index} of {count}")]
    UnknownValidator {
        /// The largest signer.
        index: usize,
        /// How many validators there are.
        count: usize,
    },
    /// The signers weigh too little.
    #[error("signature weight is insufficient: {num}*{total} > {den}*{signed}")]
    InsufficientWeight {
        /// The weight of the signers.
        signed: u64,
        /// The weight of all validators.
        total: u64,
        /// Numerator of the part that must sign.
        num: u64,
        /// Denominator of that part.
        den: u64,
    },
    /// The signature is no point of the group.
    #[error("failed to parse signature: {0}")]
    SignatureEncoding(#[source] BlsError),
    /// There are no signers, and none were needed.
    #[error("no public keys")]
    NoSigners,
    /// The signature is not that of the signers over the message.
    #[error("signature is invalid")]
    InvalidSignature,
}

impl BitSetSignature {
    /// The sum of the signatures of `signers`.
    pub fn new(signers: &BitSet, sum: &bls::Signature) -> Self {
        Self { signers: signers.to_bytes().into(), signature: sum.to_bytes() }
    }

    /// How many signed. Chains ask fees by it.
    ///
    /// # Errors
    /// [`VerifyError::InvalidBitSet`]
    pub fn num_signers(&self) -> Result<usize, VerifyError> {
        self.check_padding()?;
        Ok(self.signers.iter().map(|byte| byte.count_ones() as usize).sum())
    }

    /// Verifies that at least `quorum_num / quorum_den` of the weight of the validators of the
    /// message's source chain signed it.
    ///
    /// # Errors
    /// [`VerifyError`], the first one that applies.
    pub fn verify(
        &self,
        message: &UnsignedMessage,
        network_id: u32,
        validators: &CanonicalSet,
        quorum_num: u64,
        quorum_den: u64,
    ) -> Result<(), VerifyError> {
        if message.network_id() != network_id {
            return Err(VerifyError::WrongNetwork);
        }
        self.check_padding()?;
        let (keys, weight) = self.signers_of(validators)?;
        verify_weight(weight, validators.total_weight, quorum_num, quorum_den)?;
        let signature =
            bls::Signature::from_bytes(&self.signature).map_err(VerifyError::SignatureEncoding)?;
        let key = bls::PublicKey::aggregate(&keys).map_err(|_| VerifyError::NoSigners)?;
        if key.verify(&signature, message.bytes()) {
            Ok(())
        } else {
            Err(VerifyError::InvalidSignature)
        }
    }

    fn check_padding(&self) -> Result<(), VerifyError> {
        if self.signers.first() == Some(&0) { Err(VerifyError::InvalidBitSet) } else { Ok(()) }
    }

    /// The keys of the signers and their weight.
    fn signers_of(
        &self,
        validators: &CanonicalSet,
    ) -> Result<(Vec<bls::PublicKey>, u64), VerifyError> {
        let count = validators.validators.len();
        // The first byte is not zero.
        let unused_bits = self.signers.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = 8 * self.signers.len() - unused_bits;
        if bits > count {
            return Err(VerifyError::UnknownValidator { index: bits - 1, count });
        }
        let signers = BitSet::from_bytes(&self.signers);
        let mut keys = Vec::with_capacity(signers.len());
        let mut weight = Some(0_u64);
        for signer in signers.iter() {
            let validator = &validators.validators[signer];
            keys.push(validator.public_key);
            weight = weight.and_then(|weight| weight.checked_add(validator.weight));
        }
        // The weights of a set do not overflow. Of one that is wrong nobody signed, as upstream.
        Ok((keys, weight.unwrap_or(0)))
    }
}

/// Verifies that `signed` is at least `num / den` of `total`, in exact arithmetic.
///
/// # Errors
/// [`VerifyError::InsufficientWeight`]
pub fn verify_weight(signed: u64, total: u64, num: u64, den: u64) -> Result<(), VerifyError> {
    let (needed, given) =
        (u128::from(total) * u128::from(num), u128::from(signed) * u128::from(den));
    if needed > given {
        return Err(VerifyError::InsufficientWeight { signed, total, num, den });
    }
    Ok(())
}
