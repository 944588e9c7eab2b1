//! The two kinds of staking key, and the rules they must satisfy.

use super::certificate::CertificateError;
use crate::der::{self, NULL, OID, Reader, SEQUENCE};

/// The only public exponent an RSA key may have.
pub const RSA_EXPONENT: u32 = 65_537;
/// Length of an uncompressed point of P-256: 0x04, x, y.
pub const P256_POINT_BYTES: usize = 65;

/// 1.2.840.113549.1.1.1
pub(super) const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
pub(super) const EC_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
pub(super) const P256_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

const RSA_MODULUS_BITS: [usize; 2] = [2048, 4096];
const UNCOMPRESSED: u8 = 0x04;

/// The key of a staking certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key with the exponent [`RSA_EXPONENT`].
    Rsa {
        /// Big-endian, odd, of exactly 2048 or 4096 bits, without leading zeros.
        modulus: Box<[u8]>,
    },
    /// A point of P-256.
    P256 {
        /// 0x04, x, y, each coordinate 32 bytes big-endian.
        point: [u8; P256_POINT_BYTES],
    },
}

impl PublicKey {
    /// The key under an algorithm identifier. That a point lies on the curve is checked by whoever
    /// makes a verifying key of it.
    pub(super) fn parse(oid: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        match oid {
            RSA_OID => Self::parse_rsa(key),
            EC_OID => Self::parse_p256(key),
            _ => Err(CertificateError::UnknownPublicKeyAlgorithm),
        }
    }

    /// An RSA key in the form of PKCS#1. Upstream: `staking.ValidateRSAPublicKeyIsWellFormed`.
    pub(super) fn parse_rsa(pkcs1: &[u8]) -> Result<Self, CertificateError> {
        use CertificateError as E;

        let mut key = Reader::new(pkcs1).enter(SEQUENCE).ok_or(E::InvalidRsaPublicKey)?;
        let modulus = key.integer().ok_or(E::InvalidRsaModulus)?;
        let exponent = key.integer().and_then(signed_64).ok_or(E::InvalidRsaExponent)?;
        let magnitude = match modulus {
            [0] | [0x80..=0xff, ..] => return Err(E::RsaModulusNotPositive),
            [0, magnitude @ ..] | magnitude => magnitude,
        };
        let bits = bit_length(magnitude);
        if !RSA_MODULUS_BITS.contains(&bits) {
            return Err(E::UnsupportedRsaModulus { bits });
        }
        if magnitude.last().is_none_or(|last| last & 1 == 0) {
            return Err(E::RsaModulusEven);
        }
        if exponent != i64::from(RSA_EXPONENT) {
            return Err(E::UnsupportedRsaExponent { exponent });
        }
        Ok(Self::Rsa { modulus: magnitude.into() })
    }

    fn parse_p256(point: &[u8]) -> Result<Self, CertificateError> {
        match <[u8; P256_POINT_BYTES]>::try_from(point) {
            Ok(point) if point[0] == UNCOMPRESSED => Ok(Self::P256 { point }),
            _ => Err(CertificateError::InvalidPoint),
        }
    }

    /// The key in the form of PKCS#1 or as a point, as it stands in the bit string of a
    /// certificate.
    pub(super) fn key_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa { modulus } => {
                let exponent = &RSA_EXPONENT.to_be_bytes()[1..];
                der::sequence(&[&der::unsigned(modulus), &der::unsigned(exponent)])
            }
            Self::P256 { point } => point.to_vec(),
        }
    }

    /// The key as subject public key info, in DER.
    ///
    /// This is the canonical form, which TLS libraries ask for. In a certificate it may stand in
    /// another form (no parameters, unused bits, trailing bytes) that they would refuse.
    pub fn subject_public_key_info(&self) -> Vec<u8> {
        let algorithm = match self {
            Self::Rsa { .. } => {
                der::sequence(&[&der::element(OID, RSA_OID), &der::element(NULL, &[])])
            }
            Self::P256 { .. } => {
                der::sequence(&[&der::element(OID, EC_OID), &der::element(OID, P256_OID)])
            }
        };
        der::sequence(&[&algorithm, &der::bit_string(&self.key_bytes())])
    }
}

/// The value of a minimal two's complement integer, if it fits.
fn signed_64(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.first()? & 0x80 != 0;
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide.get_mut(8_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i64::from_be_bytes(wide))
}

fn bit_length(magnitude: &[u8]) -> usize {
    let leading = magnitude.first().map_or(0, |first| first.leading_zeros() as usize);
    magnitude.len() * 8 - leading
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_integers_of_up_to_eight_bytes() {
        assert_eq!(signed_64(&[0]), Some(0));
        assert_eq!(signed_64(&[0xff]), Some(-1));
        assert_eq!(signed_64(&[1, 0, 1]), Some(65_537));
        assert_eq!(signed_64(&i64::MIN.to_be_bytes()), Some(i64::MIN));
        assert_eq!(signed_64(&[0; 9]), None);
        assert_eq!(signed_64(&[]), None);
    }
}
