//! Time and randomness, given to VMs instead of the machine's own.

use std::fmt::Debug;

use sastrugi_types::{Instant, WallTime};

/// The time. In production the machine's clocks, in a simulation the simulated ones.
pub trait Clock: Debug + Send + Sync {
    /// Time on the monotonic clock that all timeouts use.
    fn now(&self) -> Instant;
    /// Calendar time.
    fn wall(&self) -> WallTime;
}

/// A source of random numbers, shared between threads.
pub trait Random: Debug + Send + Sync {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;
}
