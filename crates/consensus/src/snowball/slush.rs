//! Slush: the choice of the last successful poll.

use std::fmt;

/// Prefers what the last successful poll was for.
///
/// Upstream: `snow/consensus/snowball/{binary,nnary}_slush.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slush<C> {
    preference: C,
}

impl<C> Slush<C> {
    /// Prefers `choice` until the first successful poll.
    pub const fn new(choice: C) -> Self {
        Self { preference: choice }
    }

    /// The choice of the last successful poll.
    pub const fn preference(&self) -> &C {
        &self.preference
    }

    /// Takes the choice of a successful poll.
    pub fn record_successful_poll(&mut self, choice: C) {
        self.preference = choice;
    }
}

impl<C: fmt::Display> fmt::Display for Slush<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SL(Preference = {})", self.preference)
    }
}
