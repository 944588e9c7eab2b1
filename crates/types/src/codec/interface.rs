//! Enums whose variants are registered types.

use smallvec::SmallVec;

use super::{CodecError, Packer, Unpacker};

/// An enum whose variants are types with an ID, as
/// [`codec_interface!`](crate::codec_interface) makes it.
pub trait Interface: Sized {
    /// The name under which the variant's type is registered.
    fn type_name(&self) -> &'static str;

    /// Writes the variant without its type ID.
    ///
    /// # Errors
    /// Those of the variant.
    fn pack_value(&self, packer: &mut Packer<'_>) -> Result<(), CodecError>;

    /// Reads the variant of that name.
    ///
    /// # Errors
    /// [`CodecError::NotImplemented`] if there is none, and those of the variant.
    fn unpack_value(name: &str, unpacker: &mut Unpacker<'_>) -> Result<Self, CodecError>;
}

/// The types of the variants within which a packer or unpacker is. None may be there twice, which
/// also bounds the depth of recursion by the number of types.
#[derive(Debug, Default)]
pub(super) struct OpenTypes(SmallVec<[&'static str; 4]>);

impl OpenTypes {
    pub(super) fn enter(&mut self, name: &'static str) -> Result<(), CodecError> {
        if self.0.contains(&name) {
            return Err(CodecError::Recursive);
        }
        self.0.push(name);
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }
}

/// Encodes a struct as the named fields, in that order: `codec_struct!(Inner { x, y })`.
#[macro_export]
macro_rules! codec_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Pack for $name {
            fn pack(
                &self,
                packer: &mut $crate::codec::Packer<'_>,
            ) -> Result<(), $crate::codec::CodecError> {
                let _ = &packer;
                $($crate::codec::Pack::pack(&self.$field, packer)?;)*
                Ok(())
            }
        }

        impl $crate::codec::Unpack for $name {
            fn unpack(
                unpacker: &mut $crate::codec::Unpacker<'_>,
            ) -> Result<Self, $crate::codec::CodecError> {
                let _ = &unpacker;
                Ok(Self { $($field: $crate::codec::Unpack::unpack(unpacker)?),* })
            }
        }
    };
}

/// Encodes an enum as a type ID and the one value of its variant:
/// `codec_interface!(Animal { Cat, Dog })` for `enum Animal { Cat(Cat), Dog(Dog) }`. The types are
/// registered under the names of the variants.
#[macro_export]
macro_rules! codec_interface {
    ($name:ident { $($variant:ident),+ $(,)? }) => {
        impl $crate::codec::Interface for $name {
            fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)+
                }
            }

            fn pack_value(
                &self,
                packer: &mut $crate::codec::Packer<'_>,
            ) -> Result<(), $crate::codec::CodecError> {
                match self {
                    $(Self::$variant(value) => $crate::codec::Pack::pack(value, packer),)+
                }
            }

            fn unpack_value(
                name: &str,
                unpacker: &mut $crate::codec::Unpacker<'_>,
            ) -> Result<Self, $crate::codec::CodecError> {
                $(if name == stringify!($variant) {
                    return $crate::codec::Unpack::unpack(unpacker).map(Self::$variant);
                })+
                Err($crate::codec::CodecError::NotImplemented)
            }
        }

        impl $crate::codec::Pack for $name {
            fn pack(
                &self,
                packer: &mut $crate::codec::Packer<'_>,
            ) -> Result<(), $crate::codec::CodecError> {
                packer.pack_interface(self)
            }
        }

        impl $crate::codec::Unpack for $name {
            fn unpack(
                unpacker: &mut $crate::codec::Unpacker<'_>,
            ) -> Result<Self, $crate::codec::CodecError> {
                unpacker.unpack_interface()
            }
        }
    };
}
