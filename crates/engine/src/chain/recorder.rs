//! The seat of a recorder in front of a chain.

use sastrugi_types::{Instant, WallTime};

use super::Input;

/// A call of the chain. A chain whose VM, sampler and timers behave alike does the same upon the
/// same calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// [`Chain::start`](super::Chain::start)
    Start,
    /// [`Chain::handle`](super::Chain::handle)
    Handle(&'a Input),
    /// [`Chain::work`](super::Chain::work)
    Work,
    /// [`Chain::handle_timeout`](super::Chain::handle_timeout)
    Timeout,
}

/// Hears everything that reaches a chain.
pub trait Recorder: Send {
    /// The chain was called, and has not done anything yet. Must not block.
    fn record(&mut self, now: Instant, wall: WallTime, call: Call<'_>);
}
