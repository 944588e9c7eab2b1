//! An instance with two choices, 0 and 1.

use std::fmt;

use super::{Snowflake, Thresholds};

/// Decides between 0 and 1.
///
/// Upstream: `snow/consensus/snowball/{binary_snowflake,binary_snowball}.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary<const N: usize = 1> {
    snowflake: Snowflake<u8, N>,
    strength: Option<Strength>,
}

/// What a snowball knows beyond its snowflake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strength {
    preference: u8,
    /// Successful polls per choice.
    polls: [u32; 2],
}

impl Strength {
    pub(crate) fn new(bit: u8, strength: u32) -> Self {
        let mut polls = [0; 2];
        polls[usize::from(bit)] = strength;
        Self { preference: bit, polls }
    }

    /// A tie keeps the preference.
    fn record_successful_poll(&mut self, bit: u8) {
        let polls = &mut self.polls[usize::from(bit)];
        *polls = polls.saturating_add(1);
        if *polls > self.polls[usize::from(1 - bit)] {
            self.preference = bit;
        }
    }
}

impl<const N: usize> Binary<N> {
    /// A snowflake that prefers `bit`.
    pub const fn snowflake(bit: u8) -> Self {
        Self { snowflake: Snowflake::new(bit), strength: None }
    }

    /// A snowball that prefers `bit`.
    pub fn snowball(bit: u8) -> Self {
        Self { snowflake: Snowflake::new(bit), strength: Some(Strength::new(bit, 0)) }
    }

    pub(crate) const fn from_parts(
        snowflake: Snowflake<u8, N>,
        strength: Option<Strength>,
    ) -> Self {
        Self { snowflake, strength }
    }

    /// Takes a poll with `count` votes for `bit`.
    #[inline]
    pub fn record_poll(&mut self, thresholds: &Thresholds<N>, count: u32, bit: u8) {
        if let Some(strength) = &mut self.strength
            && count >= thresholds.alpha_preference
        {
            strength.record_successful_poll(bit);
        }
        self.snowflake.record_poll(thresholds, count, bit);
    }

    /// Loses all confidence.
    #[inline]
    pub const fn record_unsuccessful_poll(&mut self) {
        self.snowflake.record_unsuccessful_poll();
    }

    /// The final choice, or the preferred one: of a snowball the stronger one.
    #[inline]
    pub const fn preference(&self) -> u8 {
        match self.strength {
            Some(strength) if !self.snowflake.finalized() => strength.preference,
            _ => *self.snowflake.preference(),
        }
    }

    /// Whether the preference is final.
    #[inline]
    pub const fn finalized(&self) -> bool {
        self.snowflake.finalized()
    }
}

impl<const N: usize> fmt::Display for Binary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Strength { preference, polls: [zero, one] }) = self.strength else {
            return self.snowflake.fmt(f);
        };
        write!(
            f,
            "SB(Preference = {preference}, PreferenceStrength[0] = {zero}, \
             PreferenceStrength[1] = {one}, {})",
            self.snowflake
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snowball::TerminationCondition;

    const THRESHOLDS: Thresholds = Thresholds {
        alpha_preference: 2,
        conditions: [TerminationCondition { alpha_confidence: 3, beta: 2 }],
    };

    #[test]
    fn the_snowflake_may_finalize_against_the_stronger_choice() {
        let mut snowball = Binary::snowball(0);
        for (count, bit) in [(2, 0), (2, 0), (2, 0), (3, 1), (3, 1)] {
            assert_eq!(snowball.preference(), 0);
            assert!(!snowball.finalized());
            snowball.record_poll(&THRESHOLDS, count, bit);
        }
        assert!(snowball.finalized());
        assert_eq!(snowball.preference(), 1);
    }

    #[test]
    fn a_poll_below_alpha_confidence_moves_the_preference_and_resets_confidence() {
        let mut snowflake = Binary::snowflake(0);
        snowflake.record_poll(&THRESHOLDS, 3, 0);
        snowflake.record_poll(&THRESHOLDS, 2, 1);
        assert_eq!(snowflake.preference(), 1);
        snowflake.record_poll(&THRESHOLDS, 3, 1);
        assert!(!snowflake.finalized());
        snowflake.record_poll(&THRESHOLDS, 3, 1);
        assert!(snowflake.finalized());
    }
}
