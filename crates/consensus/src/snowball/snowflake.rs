//! Snowflake: confidence in the preference, and when it is final.

use std::fmt;

use super::Slush;

/// A quorum and how many polls in a row must reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminationCondition {
    /// Votes a poll needs to count here.
    pub alpha_confidence: u32,
    /// Polls in a row that make the preference final.
    pub beta: u32,
}

/// When a poll counts and when a choice is final.
///
/// There may be several conditions, with ascending α confidence and β that do not grow: polls with
/// more votes may finish after fewer of them. Production uses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds<const N: usize = 1> {
    /// Votes that make a poll successful.
    pub alpha_preference: u32,
    /// At least one must be met.
    pub conditions: [TerminationCondition; N],
}

/// Confidence in the only choice there is.
///
/// It does not look at α preference: who polls it has done so. It goes on counting after it was
/// finalized. Upstream: `snow/consensus/snowball/unary_snowflake.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnarySnowflake<const N: usize = 1> {
    confidence: [u32; N],
    finalized: bool,
}

impl<const N: usize> UnarySnowflake<N> {
    /// No confidence yet.
    pub const fn new() -> Self {
        Self { confidence: [0; N], finalized: false }
    }

    /// Takes a poll with `count` votes. Each condition it meets gains a poll, the others start
    /// again from zero.
    #[inline]
    pub fn record_poll(&mut self, thresholds: &Thresholds<N>, count: u32) {
        for (index, condition) in thresholds.conditions.iter().enumerate() {
            if count < condition.alpha_confidence {
                self.confidence[index..].fill(0);
                return;
            }
            let confidence = self.confidence[index].saturating_add(1);
            self.confidence[index] = confidence;
            if confidence >= condition.beta {
                self.finalized = true;
                return;
            }
        }
    }

    /// Loses all confidence. What is final stays so.
    #[inline]
    pub const fn record_unsuccessful_poll(&mut self) {
        self.confidence = [0; N];
    }

    /// Whether the choice is final.
    pub const fn finalized(&self) -> bool {
        self.finalized
    }

    /// Polls in a row per condition.
    pub const fn confidence(&self) -> &[u32; N] {
        &self.confidence
    }
}

impl<const N: usize> Default for UnarySnowflake<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Slush with confidence. A finalized one changes no more.
///
/// Upstream: `snow/consensus/snowball/{binary,nnary}_snowflake.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snowflake<C, const N: usize = 1> {
    slush: Slush<C>,
    confidence: UnarySnowflake<N>,
}

impl<C: PartialEq, const N: usize> Snowflake<C, N> {
    /// Prefers `choice`, without confidence.
    pub const fn new(choice: C) -> Self {
        Self::with_confidence(choice, UnarySnowflake::new())
    }

    /// Prefers `choice` with the confidence gained while it was the only one.
    pub const fn with_confidence(choice: C, confidence: UnarySnowflake<N>) -> Self {
        Self { slush: Slush::new(choice), confidence }
    }

    /// Takes a poll with `count` votes for `choice`.
    #[inline]
    pub fn record_poll(&mut self, thresholds: &Thresholds<N>, count: u32, choice: C) {
        if self.finalized() {
            return;
        }
        if count < thresholds.alpha_preference {
            self.record_unsuccessful_poll();
            return;
        }
        if choice != *self.slush.preference() {
            self.confidence.record_unsuccessful_poll();
        }
        self.slush.record_successful_poll(choice);
        self.confidence.record_poll(thresholds, count);
    }

    /// Loses all confidence. What is final stays so.
    #[inline]
    pub const fn record_unsuccessful_poll(&mut self) {
        self.confidence.record_unsuccessful_poll();
    }

    /// The choice of the last successful poll, or the final one.
    pub const fn preference(&self) -> &C {
        self.slush.preference()
    }

    /// Whether the preference is final.
    pub const fn finalized(&self) -> bool {
        self.confidence.finalized()
    }

    /// Polls in a row per condition.
    pub const fn confidence(&self) -> &[u32; N] {
        self.confidence.confidence()
    }
}

impl<const N: usize> UnarySnowflake<N> {
    fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SF(Confidence = [")?;
        for (index, confidence) in self.confidence.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{confidence}")?;
        }
        write!(f, "], Finalized = {}", self.finalized)
    }
}

impl<const N: usize> fmt::Display for UnarySnowflake<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fields(f)?;
        f.write_str(")")
    }
}

impl<C: fmt::Display, const N: usize> fmt::Display for Snowflake<C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.confidence.write_fields(f)?;
        write!(f, ", {})", self.slush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds<3> = Thresholds {
        alpha_preference: 3,
        conditions: [
            TerminationCondition { alpha_confidence: 3, beta: 4 },
            TerminationCondition { alpha_confidence: 4, beta: 3 },
            TerminationCondition { alpha_confidence: 5, beta: 2 },
        ],
    };

    /// Polls and the confidence after each.
    fn run(polls: &[(u32, u8, [u32; 3])]) -> Snowflake<u8, 3> {
        let mut snowflake = Snowflake::new(0);
        for (number, (count, choice, confidence)) in polls.iter().enumerate() {
            assert!(!snowflake.finalized(), "poll {number}");
            snowflake.record_poll(&THRESHOLDS, *count, *choice);
            assert_eq!(snowflake.confidence(), confidence, "poll {number}");
        }
        snowflake
    }

    #[test]
    fn a_poll_resets_the_conditions_it_does_not_meet() {
        let polls = [(5, 0, [1, 1, 1]), (4, 0, [2, 2, 0]), (3, 0, [3, 0, 0]), (5, 0, [4, 0, 0])];
        assert!(run(&polls).finalized());
    }

    #[test]
    fn a_change_of_preference_starts_again() {
        let snowflake = run(&[
            (3, 0, [1, 0, 0]),
            (2, 1, [0, 0, 0]),
            (3, 0, [1, 0, 0]),
            (0, 0, [0, 0, 0]),
            (3, 1, [1, 0, 0]),
            (5, 1, [2, 1, 1]),
            (5, 1, [3, 2, 2]),
        ]);
        assert!(snowflake.finalized());
        assert_eq!(*snowflake.preference(), 1);
    }

    #[test]
    fn each_condition_finalizes_alone() {
        for (met, condition) in THRESHOLDS.conditions.iter().enumerate() {
            let mut snowflake = Snowflake::new(0);
            let mut polls = 0;
            while !snowflake.finalized() {
                snowflake.record_poll(&THRESHOLDS, condition.alpha_confidence, 0);
                polls += 1;
                assert_eq!(snowflake.confidence()[met], polls);
            }
            assert_eq!(polls, condition.beta);
            snowflake.record_poll(&THRESHOLDS, 5, 1);
            assert_eq!(*snowflake.preference(), 0, "a final preference is locked");
        }
    }
}
