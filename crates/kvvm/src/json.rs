//! How numbers and bytes look in JSON: numbers of 64 bits as decimal strings, bytes as `0x` and
//! hexadecimal digits.

use std::fmt;

use bytes::Bytes;
use sastrugi_types::formatting::Encoding;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{state::Root, transaction::Account};

/// A number, written as a decimal string; read quoted or bare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(pub u64);

/// Bytes, written as `0x` and hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Bytes);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number below 2^64, quoted or not")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Decimal, E> {
                Ok(Decimal(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(E::custom("not a decimal number"));
                }
                text.parse().map(Decimal).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// A number of 32 bits, written and read like [`Decimal`].
pub(crate) mod decimal_u32 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Decimal;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(number: &u32, to: S) -> Result<S::Ok, S::Error> {
        Decimal(u64::from(*number)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let Decimal(number) = Decimal::deserialize(from)?;
        u32::try_from(number).map_err(D::Error::custom)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0x{}", const_hex::encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Encoding::HexNc.decode(&text).map(|bytes| Self(bytes.into())).map_err(de::Error::custom)
    }
}

impl Serialize for Root {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Hex(bytes) = Hex::deserialize(deserializer)?;
        bytes[..].try_into().map(Self).map_err(|_| de::Error::custom("a root has 32 bytes"))
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_quoted_and_read_either_way() {
        assert_eq!(serde_json::to_string(&Decimal(u64::MAX)).unwrap(), "\"18446744073709551615\"");
        for text in ["7", "\"7\"", "\"007\""] {
            assert_eq!(serde_json::from_str::<Decimal>(text).unwrap(), Decimal(7));
        }
        for text in ["-7", "7.0", "\"+7\"", "\"\"", "\" 7\"", "\"18446744073709551616\"", "null"] {
            assert!(serde_json::from_str::<Decimal>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_hexadecimal() {
        let hex = Hex(Bytes::from_static(b"\x01\xff"));
        assert_eq!(serde_json::to_string(&hex).unwrap(), "\"0x01ff\"");
        assert_eq!(serde_json::from_str::<Hex>("\"0x01FF\"").unwrap(), hex);
        assert!(serde_json::from_str::<Hex>("\"01ff\"").is_err());
        assert!(serde_json::from_str::<Root>("\"0x01ff\"").is_err());
        assert!(serde_json::from_str::<Account>("\"0x0x01ff\"").is_err());
    }
}
