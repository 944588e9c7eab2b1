//! An instance with any number of choices.

use std::{collections::BTreeMap, fmt};

use sastrugi_types::Id;

use super::{Snowflake, Thresholds};

/// Decides among IDs without looking at their bits.
///
/// Upstream: `snow/consensus/snowball/{nnary_snowflake,nnary_snowball}.go`.
#[derive(Clone, Debug)]
pub struct Nnary<const N: usize = 1> {
    snowflake: Snowflake<Id, N>,
    strength: Option<Strength>,
}

/// What a snowball knows beyond its snowflake.
#[derive(Clone, Debug)]
struct Strength {
    preference: Id,
    /// Successful polls for `preference`: more than for any other when it was reached.
    most: u32,
    polls: BTreeMap<Id, u32>,
}

impl Strength {
    /// A tie keeps the preference.
    fn record_successful_poll(&mut self, choice: Id) {
        let polls = self.polls.entry(choice).or_default();
        *polls = polls.saturating_add(1);
        if *polls > self.most {
            self.preference = choice;
            self.most = *polls;
        }
    }
}

impl<const N: usize> Nnary<N> {
    /// A snowflake that prefers `choice`.
    pub const fn snowflake(choice: Id) -> Self {
        Self { snowflake: Snowflake::new(choice), strength: None }
    }

    /// A snowball that prefers `choice`.
    pub const fn snowball(choice: Id) -> Self {
        let strength = Strength { preference: choice, most: 0, polls: BTreeMap::new() };
        Self { snowflake: Snowflake::new(choice), strength: Some(strength) }
    }

    /// Does nothing: votes for any choice are taken.
    pub const fn add(&mut self, _choice: Id) {}

    /// Takes a poll with `count` votes for `choice`, which need not have been added.
    pub fn record_poll(&mut self, thresholds: &Thresholds<N>, count: u32, choice: Id) {
        if let Some(strength) = &mut self.strength
            && count >= thresholds.alpha_preference
        {
            strength.record_successful_poll(choice);
        }
        self.snowflake.record_poll(thresholds, count, choice);
    }

    /// Loses all confidence.
    pub const fn record_unsuccessful_poll(&mut self) {
        self.snowflake.record_unsuccessful_poll();
    }

    /// The final choice, or the preferred one: of a snowball the strongest one.
    pub const fn preference(&self) -> Id {
        match &self.strength {
            Some(strength) if !self.snowflake.finalized() => strength.preference,
            _ => *self.snowflake.preference(),
        }
    }

    /// Whether the preference is final.
    pub const fn finalized(&self) -> bool {
        self.snowflake.finalized()
    }
}

impl<const N: usize> fmt::Display for Nnary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.strength {
            None => self.snowflake.fmt(f),
            Some(Strength { preference, most, .. }) => write!(
                f,
                "SB(Preference = {preference}, PreferenceStrength = {most}, {})",
                self.snowflake
            ),
        }
    }
}
