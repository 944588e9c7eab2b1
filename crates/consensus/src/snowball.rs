//! The snowball family: from one poll counter to the tree that decides among many IDs.
//!
//! A *poll* asks `k` validators which choice they prefer. An instance turns a series of polls into
//! one final choice:
//!
//! * [`Slush`] remembers the choice of the last successful poll.
//! * [`Snowflake`] adds confidence: how many polls in a row confirmed the preference. β of them
//!   make it final. [`UnarySnowflake`] does the same where there is nothing to choose.
//! * Snowball adds strength: how many polls ever confirmed each choice. The strongest one is
//!   preferred until one is final.
//! * [`Unary`], [`Binary`] and [`Nnary`] are instances of either kind over one, two or many
//!   choices; [`Factory`] says of which kind.
//! * [`Tree`] decides among any number of IDs with unary and binary instances over their bits.
//!   [`Flat`] does so with one n-ary instance; it is the baseline of comparisons.
//!
//! A poll with `count` votes for a choice means, with α preference ≤ α confidence:
//!
//! * `count` < α preference: unsuccessful, all confidence is lost;
//! * `count` ≥ α preference: the choice becomes the slush preference; confidence in another one is
//!   lost;
//! * `count` ≥ α confidence: confidence grows; below, it is lost although the preference moved.
//!
//! Upstream: `snow/consensus/snowball`.

mod binary;
mod factory;
mod flat;
pub(crate) mod forest;
mod nnary;
mod parameters;
mod slush;
mod snowflake;
mod tree;
mod unary;

pub use binary::Binary;
pub use factory::Factory;
pub use flat::Flat;
pub use nnary::Nnary;
pub(crate) use parameters::saturate;
pub use parameters::{Parameters, ParametersError};
pub use slush::Slush;
pub use snowflake::{Snowflake, TerminationCondition, Thresholds, UnarySnowflake};
pub use tree::Tree;
pub use unary::Unary;

use sastrugi_types::{Bag, Id};

/// A decision among IDs, fed with polls. Upstream: `snow/consensus/snowball/consensus.go`.
pub trait Consensus {
    /// Adds a choice.
    fn add(&mut self, choice: Id);

    /// The choice preferred now.
    fn preference(&self) -> Id;

    /// Takes the votes of one poll. Returns whether the poll was successful; once finalized the
    /// answer is unspecified.
    fn record_poll(&mut self, votes: &Bag<Id>) -> bool;

    /// Takes a poll without a majority: confidence is lost.
    fn record_unsuccessful_poll(&mut self);

    /// Whether the preference is final.
    fn finalized(&self) -> bool;
}
