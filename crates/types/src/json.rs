//! Numbers in the JSON of APIs: written as strings, read as strings or numbers.
//!
//! `null` reads as zero. Upstream: `utils/json/*.go`.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number that is a string in JSON: an unsigned integer in decimal, or a float with four digits
/// after the point.
///
/// Deviation from upstream: escapes in the string are resolved before it is read, and floats are
/// not read from hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quoted<T>(pub T);

/// A number that can be [`Quoted`].
pub trait QuotedNumber: Copy + Default {
    /// The text written.
    fn write(self) -> String;

    /// Reads the text of a string.
    fn read(text: &str) -> Option<Self>;

    /// Takes a JSON number that is an unsigned integer.
    fn from_integer(number: u64) -> Option<Self>;

    /// Takes any other JSON number.
    fn from_float(number: f64) -> Option<Self>;
}

macro_rules! quoted_integer {
    ($($integer:ty),*) => {$(
        impl QuotedNumber for $integer {
            fn write(self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Option<Self> {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                if digits { text.parse().ok() } else { None }
            }

            fn from_integer(number: u64) -> Option<Self> {
                number.try_into().ok()
            }

            fn from_float(_: f64) -> Option<Self> {
                None
            }
        }
    )*};
}

quoted_integer!(u8, u16, u32, u64);

macro_rules! quoted_float {
    ($($float:ty),*) => {$(
        impl QuotedNumber for $float {
            fn write(self) -> String {
                if self == <$float>::INFINITY {
                    "+Inf".to_owned()
                } else if self == <$float>::NEG_INFINITY {
                    "-Inf".to_owned()
                } else {
                    format!("{self:.4}")
                }
            }

            fn read(text: &str) -> Option<Self> {
                let number: Self = text.parse().ok()?;
                // A number with digits that is too large for the type.
                let overflow = number.is_infinite() && text.bytes().any(|b| b.is_ascii_digit());
                (!overflow).then_some(number)
            }

            fn from_integer(number: u64) -> Option<Self> {
                Some(number as Self)
            }

            fn from_float(number: f64) -> Option<Self> {
                let narrow = number as Self;
                narrow.is_finite().then_some(narrow)
            }
        }
    )*};
}

quoted_float!(f32, f64);

impl<T: QuotedNumber> Serialize for Quoted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

impl<'de, T: QuotedNumber> Deserialize<'de> for Quoted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor(PhantomData)).map(Self)
    }
}

struct Visitor<T>(PhantomData<T>);

impl<T: QuotedNumber> Visitor<T> {
    fn check<E: de::Error>(self, number: Option<T>, found: de::Unexpected<'_>) -> Result<T, E> {
        number.ok_or_else(|| E::invalid_value(found, &self))
    }
}

impl<T: QuotedNumber> de::Visitor<'_> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number that fits {}, or its text", std::any::type_name::<T>())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.check(T::read(text), de::Unexpected::Str(text))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.check(T::from_integer(number), de::Unexpected::Unsigned(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.check(T::from_float(number as f64), de::Unexpected::Signed(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.check(T::from_float(number), de::Unexpected::Float(number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_do_not_round() {
        for text in ["1.0", "1e3", "-1", "18446744073709551616", "\"+1\"", "\"\"", "true"] {
            assert!(serde_json::from_str::<Quoted<u64>>(text).is_err(), "{text}");
        }
        let largest = serde_json::from_str::<Quoted<u64>>("18446744073709551615").unwrap();
        assert_eq!(largest, Quoted(u64::MAX));
    }

    #[test]
    fn floats_do_not_overflow() {
        assert!(serde_json::from_str::<Quoted<f32>>("1e39").is_err());
        assert!(serde_json::from_str::<Quoted<f64>>("\"-1e400\"").is_err());
        assert_eq!(serde_json::to_string(&Quoted(f64::NEG_INFINITY)).unwrap(), "\"-Inf\"");
        assert_eq!(serde_json::from_str::<Quoted<f32>>("-2").unwrap(), Quoted(-2.0));
    }

    proptest! {
        #[test]
        fn integers_come_back(number: u64) {
            let json = serde_json::to_string(&Quoted(number)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Quoted<u64>>(&json).unwrap(), Quoted(number));
        }
    }
}
