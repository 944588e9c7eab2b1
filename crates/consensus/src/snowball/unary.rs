//! An instance with a single choice.

use std::fmt;

use super::{Binary, Snowflake, Thresholds, UnarySnowflake, binary::Strength};

/// Counts polls for the only choice there is, until a second one turns it into a [`Binary`].
///
/// A copy is independent of the original. Upstream:
/// `snow/consensus/snowball/{unary_snowflake,unary_snowball}.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unary<const N: usize = 1> {
    snowflake: UnarySnowflake<N>,
    /// Successful polls so far; a snowflake does not count them.
    strength: Option<u32>,
}

impl<const N: usize> Unary<N> {
    /// A snowflake.
    pub const fn snowflake() -> Self {
        Self { snowflake: UnarySnowflake::new(), strength: None }
    }

    /// A snowball.
    pub const fn snowball() -> Self {
        Self { snowflake: UnarySnowflake::new(), strength: Some(0) }
    }

    /// Takes a poll with `count` votes.
    #[inline]
    pub fn record_poll(&mut self, thresholds: &Thresholds<N>, count: u32) {
        if let Some(strength) = &mut self.strength
            && count >= thresholds.alpha_preference
        {
            *strength = strength.saturating_add(1);
        }
        self.snowflake.record_poll(thresholds, count);
    }

    /// Loses all confidence.
    #[inline]
    pub const fn record_unsuccessful_poll(&mut self) {
        self.snowflake.record_unsuccessful_poll();
    }

    /// Whether the choice is final.
    #[inline]
    pub const fn finalized(&self) -> bool {
        self.snowflake.finalized()
    }

    /// The instance that chooses between the choice so far, which is `bit`, and a new one. What was
    /// learned so far counts for `bit`.
    #[must_use]
    pub fn extend(&self, bit: u8) -> Binary<N> {
        let strength = self.strength.map(|strength| Strength::new(bit, strength));
        Binary::from_parts(Snowflake::with_confidence(bit, self.snowflake), strength)
    }
}

impl<const N: usize> fmt::Display for Unary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strength {
            None => self.snowflake.fmt(f),
            Some(strength) => write!(f, "SB(PreferenceStrength = {strength}, {})", self.snowflake),
        }
    }
}
