//! Encodings of bytes that API calls name by `"encoding"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::hash::{CHECKSUM_BYTES, checksum};

const HEX_PREFIX: &str = "0x";

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `0x`, hexadecimal digits, and a checksum of four bytes.
    #[default]
    Hex,
    /// `0x` and hexadecimal digits.
    HexNc,
    /// The same as [`Encoding::Hex`].
    HexC,
    /// Structured JSON, which only single API methods offer; no encoding of bytes.
    Json,
}

/// Why bytes or a text cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// There is no encoding of that name.
    #[error("invalid encoding")]
    UnknownEncoding,
    /// [`Encoding::Json`] does not encode bytes.
    #[error("unsupported encoding in method")]
    Unsupported,
    /// The text does not start with `0x`.
    #[error("missing 0x prefix to hex encoding")]
    MissingPrefix,
    /// A character is no hexadecimal digit, or one digit is missing.
    #[error("invalid hexadecimal digits")]
    Hex,
    /// There are fewer bytes than a checksum has.
    #[error("input string is smaller than the checksum size")]
    MissingChecksum,
    /// The checksum is not that of the bytes before it.
    #[error("invalid input checksum")]
    BadChecksum,
}

impl Encoding {
    /// The name in API calls.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::HexNc => "hexnc",
            Self::HexC => "hexc",
            Self::Json => "json",
        }
    }

    /// The text of `bytes`.
    ///
    /// # Errors
    /// [`EncodingError::Unsupported`]
    pub fn encode(self, bytes: &[u8]) -> Result<String, EncodingError> {
        let digits = const_hex::encode(bytes);
        match self {
            Self::HexNc => Ok(format!("{HEX_PREFIX}{digits}")),
            Self::Hex | Self::HexC => {
                let sum = const_hex::encode(checksum(bytes));
                Ok(format!("{HEX_PREFIX}{digits}{sum}"))
            }
            Self::Json => Err(EncodingError::Unsupported),
        }
    }

    /// The bytes of `text`; an empty text has none, in every encoding.
    ///
    /// # Errors
    /// [`EncodingError`]
    pub fn decode(self, text: &str) -> Result<Vec<u8>, EncodingError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if self == Self::Json {
            return Err(EncodingError::Unsupported);
        }
        let digits = text.strip_prefix(HEX_PREFIX).ok_or(EncodingError::MissingPrefix)?;
        // The decoder would skip another prefix.
        if digits.starts_with(HEX_PREFIX) {
            return Err(EncodingError::Hex);
        }
        let mut bytes = const_hex::decode(digits).map_err(|_| EncodingError::Hex)?;
        if self != Self::HexNc {
            let (payload, sum) =
                bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(EncodingError::MissingChecksum)?;
            if *sum != checksum(payload) {
                return Err(EncodingError::BadChecksum);
            }
            bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        }
        Ok(bytes)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = EncodingError;

    /// Reads a name in any case.
    fn from_str(name: &str) -> Result<Self, EncodingError> {
        [Self::Hex, Self::HexNc, Self::HexC, Self::Json]
            .into_iter()
            .find(|encoding| encoding.name().eq_ignore_ascii_case(name))
            .ok_or(EncodingError::UnknownEncoding)
    }
}

impl Serialize for Encoding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        name.map_or(Ok(Self::default()), |name| name.parse().map_err(de::Error::custom))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            for encoding in [Encoding::Hex, Encoding::HexNc, Encoding::HexC] {
                let text = encoding.encode(&bytes).unwrap();
                prop_assert_eq!(encoding.decode(&text), Ok(bytes.clone()));
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Encoding::Hex.decode(&format!("0x{text}"));
        }
    }
}
