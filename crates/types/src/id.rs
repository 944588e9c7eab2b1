//! The three identifiers of the protocol. Upstream: `ids/{id,short,node_id}.go`.
//!
//! Their text is CB58, that of a node with the prefix `NodeID-`. In JSON they are strings; `null`
//! stands for the zero value, as it does for upstream's decoder.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::{
    cb58::{self, Cb58Error},
    hash::sha256_parts,
};

/// Length of an [`Id`] in bytes.
pub const ID_BYTES: usize = 32;
/// Length of a [`ShortId`] and a [`NodeId`] in bytes.
pub const SHORT_ID_BYTES: usize = 20;
/// What the text of a [`NodeId`] starts with.
pub const NODE_ID_PREFIX: &str = "NodeID-";

/// No text of an identifier is longer, without its prefix: 36 bytes take at most 50 characters.
const TEXT_BYTES_MAX: usize = 50;

/// A 32-byte identifier: of a block, chain, subnet, transaction or summary.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Id(pub [u8; ID_BYTES]);

/// A 20-byte identifier of an address.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ShortId(pub [u8; SHORT_ID_BYTES]);

/// A 20-byte identifier of a node, derived from its staking certificate.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeId(pub [u8; SHORT_ID_BYTES]);

/// Why bytes or a text are no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The wrong number of bytes.
    #[error("invalid hash length: expected {expected} bytes but got {actual}")]
    Length {
        /// Number of bytes of the identifier.
        expected: usize,
        /// Number of bytes given.
        actual: usize,
    },
    /// The text is longer than that of any identifier.
    #[error("text of {0} bytes is too long for an identifier")]
    TextTooLong(usize),
    /// The text is no CB58.
    #[error(transparent)]
    Cb58(#[from] Cb58Error),
    /// The text of a node ID does not start with [`NODE_ID_PREFIX`].
    #[error("missing the prefix: {NODE_ID_PREFIX}")]
    MissingPrefix,
}

impl Id {
    /// 32 zero bytes: the P-Chain, the primary network, and "no block".
    pub const EMPTY: Self = Self([0; ID_BYTES]);

    /// The SHA-256 of the numbers, 8 bytes each, followed by this ID.
    #[must_use]
    pub fn prefix(&self, prefixes: &[u64]) -> Self {
        let mut bytes: Vec<u8> = prefixes.iter().flat_map(|number| number.to_be_bytes()).collect();
        bytes.extend(self.0);
        Self(sha256_parts(&[&bytes]))
    }

    /// The SHA-256 of this ID followed by the numbers, 4 bytes each.
    #[must_use]
    pub fn append(&self, suffixes: &[u32]) -> Self {
        let bytes: Vec<u8> = suffixes.iter().flat_map(|number| number.to_be_bytes()).collect();
        Self(sha256_parts(&[&self.0, &bytes]))
    }

    /// The bits in which the two differ.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|byte| self.0[byte] ^ other.0[byte]))
    }
}

impl ShortId {
    /// 20 zero bytes.
    pub const EMPTY: Self = Self([0; SHORT_ID_BYTES]);
}

impl NodeId {
    /// 20 zero bytes.
    pub const EMPTY: Self = Self([0; SHORT_ID_BYTES]);
}

/// Compares bytes, the first ones as a number: identifiers differ there, and sorted bags of them are
/// on the path of every vote.
#[inline]
fn compare<const N: usize>(a: &[u8; N], b: &[u8; N]) -> Ordering {
    match (a.split_first_chunk(), b.split_first_chunk()) {
        (Some((a_first, a_rest)), Some((b_first, b_rest))) => u64::from_be_bytes(*a_first)
            .cmp(&u64::from_be_bytes(*b_first))
            .then_with(|| a_rest.cmp(b_rest)),
        _ => a.cmp(b),
    }
}

/// What the identifiers have in common, given their length and the prefix of their text.
macro_rules! identifier {
    ($name:ident, $length:expr, $prefix:expr) => {
        // The bytes alone, without the length that an array would write: identifiers of one type
        // are all of one length.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(&self.0);
            }
        }

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&const_hex::encode(self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(&cb58::encode(&self.0))
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                let length = IdError::Length { expected: $length, actual: bytes.len() };
                bytes.try_into().map(Self).map_err(|_| length)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let text = text.strip_prefix($prefix).ok_or(IdError::MissingPrefix)?;
                if text.len() > TEXT_BYTES_MAX {
                    return Err(IdError::TextTooLong(text.len()));
                }
                Self::try_from(cb58::decode(text)?.as_slice())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{}CB58 of {} bytes", $prefix, $length)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_unit<E: de::Error>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }
                }

                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

identifier!(Id, ID_BYTES, "");
identifier!(ShortId, SHORT_ID_BYTES, "");
identifier!(NodeId, SHORT_ID_BYTES, NODE_ID_PREFIX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_texts_fit() {
        let id = Id([0xff; 32]);
        assert_eq!(id.to_string().len(), TEXT_BYTES_MAX);
        assert_eq!(id.to_string().parse(), Ok(id));
        let long = "2".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(long.parse::<Id>(), Err(IdError::TextTooLong(TEXT_BYTES_MAX + 1)));
    }

    #[test]
    fn json_null_is_the_zero_value() {
        assert_eq!(serde_json::from_str::<NodeId>("null").unwrap(), NodeId::EMPTY);
        assert!(serde_json::from_str::<NodeId>("0").is_err());
    }

    proptest! {
        #[test]
        fn texts_and_json_come_back(long: [u8; 32], short: [u8; 20]) {
            prop_assert_eq!(Id(long).to_string().parse(), Ok(Id(long)));
            prop_assert_eq!(ShortId(short).to_string().parse(), Ok(ShortId(short)));
            prop_assert_eq!(NodeId(short).to_string().parse(), Ok(NodeId(short)));
            let json = serde_json::to_string(&NodeId(short)).unwrap();
            prop_assert_eq!(serde_json::from_str::<NodeId>(&json).unwrap(), NodeId(short));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Id>();
            let _ = format!("NodeID-{text}").parse::<NodeId>();
        }
    }
}
