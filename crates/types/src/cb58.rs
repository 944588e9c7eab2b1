//! Base58 with a checksum: the alphabet of Bitcoin, the last four bytes of a single SHA-256.
//!
//! Upstream: `utils/cb58/cb58.go`.

use thiserror::Error;

use crate::hash::{CHECKSUM_BYTES, checksum};

/// Why a text is no CB58.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Cb58Error {
    /// The text is empty or has a character outside the alphabet.
    #[error("base58 decoding error")]
    Base58,
    /// The text is shorter than a checksum.
    #[error("input string is smaller than the checksum size")]
    MissingChecksum,
    /// The checksum is not that of the bytes before it.
    #[error("invalid input checksum")]
    BadChecksum,
}

/// The text of `bytes`. Takes time quadratic in their number.
pub fn encode(bytes: &[u8]) -> String {
    let mut checked = Vec::with_capacity(bytes.len() + CHECKSUM_BYTES);
    checked.extend_from_slice(bytes);
    checked.extend(checksum(bytes));
    bs58::encode(checked).into_string()
}

/// The bytes of `text`. Takes time quadratic in its length, so bound that of foreign texts.
///
/// # Errors
/// [`Cb58Error`]
pub fn decode(text: &str) -> Result<Vec<u8>, Cb58Error> {
    if text.is_empty() {
        return Err(Cb58Error::Base58);
    }
    let mut bytes = bs58::decode(text).into_vec().map_err(|_| Cb58Error::Base58)?;
    let (payload, sum) =
        bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Cb58Error::MissingChecksum)?;
    if *sum != checksum(payload) {
        return Err(Cb58Error::BadChecksum);
    }
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = decode(&text);
        }
    }
}
