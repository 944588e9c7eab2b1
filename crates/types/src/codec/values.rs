//! How values are encoded.

use std::{collections::BTreeMap, fmt};

use super::{CodecError, Packer, Unpacker};
use crate::{Id, NodeId, ShortId};

/// Elements for which memory is set aside before any was read.
const EXPECTED_ELEMENTS: usize = 64;

/// A value that can be encoded.
pub trait Pack {
    /// Writes the value.
    ///
    /// # Errors
    /// [`CodecError`]
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError>;

    /// Writes the elements of a `Vec`, which must not be of zero bytes.
    ///
    /// # Errors
    /// [`CodecError`]
    fn pack_elements(elements: &[Self], packer: &mut Packer<'_>) -> Result<(), CodecError>
    where
        Self: Sized,
    {
        for element in elements {
            let start = packer.bytes().len();
            element.pack(packer)?;
            if packer.bytes().len() == start {
                return Err(CodecError::PackedZeroLength);
            }
        }
        Ok(())
    }
}

/// A value that can be decoded.
pub trait Unpack: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// [`CodecError`]
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError>;

    /// Reads the elements of a `Vec`, which must not be of zero bytes.
    ///
    /// # Errors
    /// [`CodecError`]
    fn unpack_elements(count: usize, unpacker: &mut Unpacker<'_>) -> Result<Vec<Self>, CodecError> {
        let mut elements = Vec::with_capacity(count.min(EXPECTED_ELEMENTS));
        for _ in 0..count {
            let start = unpacker.offset();
            elements.push(Self::unpack(unpacker)?);
            if unpacker.offset() == start {
                return Err(CodecError::UnpackedZeroLength);
            }
        }
        Ok(elements)
    }
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl Pack for $integer {
            fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
                packer.pack_fixed(&self.to_be_bytes())
            }
        }

        impl Unpack for $integer {
            fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
                unpacker.unpack_array().map(Self::from_be_bytes)
            }
        }
    )*};
}

integer!(u16, u32, u64, i8, i16, i32, i64);

impl Pack for u8 {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        packer.pack_u8(*self)
    }

    fn pack_elements(bytes: &[Self], packer: &mut Packer<'_>) -> Result<(), CodecError> {
        packer.pack_fixed(bytes)
    }
}

impl Unpack for u8 {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        unpacker.unpack_u8()
    }

    fn unpack_elements(count: usize, unpacker: &mut Unpacker<'_>) -> Result<Vec<Self>, CodecError> {
        unpacker.unpack_fixed(count).map(<[u8]>::to_vec)
    }
}

impl Pack for bool {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        packer.pack_bool(*self)
    }
}

impl Unpack for bool {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        unpacker.unpack_bool()
    }
}

macro_rules! identifier {
    ($($identifier:ty),*) => {$(
        impl Pack for $identifier {
            fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
                packer.pack_fixed(&self.0)
            }
        }

        impl Unpack for $identifier {
            fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
                unpacker.unpack_array().map(Self)
            }
        }
    )*};
}

identifier!(Id, ShortId, NodeId);

/// A text of at most [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX) bytes, which need not be UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub Vec<u8>);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// What is not UTF-8 is replaced.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Pack for Text {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        packer.pack_text(&self.0)
    }
}

impl Unpack for Text {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        unpacker.unpack_text().map(|text| Self(text.to_vec()))
    }
}

impl<T: Pack> Pack for Box<T> {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        (**self).pack(packer)
    }
}

impl<T: Unpack> Unpack for Box<T> {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        T::unpack(unpacker).map(Box::new)
    }
}

impl<T: Pack, const N: usize> Pack for [T; N] {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        self.iter().try_for_each(|element| element.pack(packer))
    }
}

impl<T: Unpack, const N: usize> Unpack for [T; N] {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        let elements: Vec<T> = (0..N).map(|_| T::unpack(unpacker)).collect::<Result<_, _>>()?;
        // There are exactly N.
        elements.try_into().map_err(|_| CodecError::InsufficientLength)
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        packer.pack_count(self.len())?;
        T::pack_elements(self, packer)
    }
}

impl<T: Unpack> Unpack for Vec<T> {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        let count = unpacker.unpack_count()?;
        T::unpack_elements(count, unpacker)
    }
}

impl<K: Pack, V: Pack> Pack for BTreeMap<K, V> {
    fn pack(&self, packer: &mut Packer<'_>) -> Result<(), CodecError> {
        packer.pack_count(self.len())?;
        let start = packer.bytes().len();
        let mut entries = Vec::with_capacity(self.len());
        for (key, value) in self {
            key.pack(packer)?;
            entries.push((packer.take_from(start), value));
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in entries {
            packer.pack_fixed(&key)?;
            value.pack(packer)?;
        }
        if !self.is_empty() && packer.bytes().len() == start {
            return Err(CodecError::PackedZeroLength);
        }
        Ok(())
    }
}

impl<K: Unpack + Ord, V: Unpack> Unpack for BTreeMap<K, V> {
    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError> {
        let count = unpacker.unpack_count()?;
        let mut map = Self::new();
        let mut previous = None;
        for _ in 0..count {
            let start = unpacker.offset();
            let key = K::unpack(unpacker)?;
            let key_bytes = unpacker.read_from(start);
            if previous.is_some_and(|previous| key_bytes <= previous) {
                return Err(CodecError::UnsortedKeys);
            }
            previous = Some(key_bytes);
            map.insert(key, V::unpack(unpacker)?);
            if unpacker.offset() == start {
                return Err(CodecError::UnpackedZeroLength);
            }
        }
        Ok(map)
    }
}
