//! The two kinds of instances.

use sastrugi_types::Id;

use super::{Binary, Nnary, Unary};

/// Which kind of instance to make. Upstream: `snow/consensus/snowball/factory.go`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factory {
    /// Prefers the choice of the last successful poll. What production uses.
    #[default]
    Snowflake,
    /// Prefers the choice with the most successful polls.
    Snowball,
}

impl Factory {
    /// An instance with one choice.
    #[inline]
    pub const fn unary<const N: usize>(self) -> Unary<N> {
        match self {
            Self::Snowflake => Unary::snowflake(),
            Self::Snowball => Unary::snowball(),
        }
    }

    /// An instance with the choices 0 and 1 that prefers `bit`.
    pub fn binary<const N: usize>(self, bit: u8) -> Binary<N> {
        match self {
            Self::Snowflake => Binary::snowflake(bit),
            Self::Snowball => Binary::snowball(bit),
        }
    }

    /// An instance with any number of choices that prefers `choice`.
    pub const fn nnary<const N: usize>(self, choice: Id) -> Nnary<N> {
        match self {
            Self::Snowflake => Nnary::snowflake(choice),
            Self::Snowball => Nnary::snowball(choice),
        }
    }
}
