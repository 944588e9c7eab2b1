//! The machine's own time and randomness, as the crates below take them.

use std::fmt;

use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use sastrugi_types::{Instant, WallTime, sampler::Source};
use sastrugi_vm::{Clock, Random};

/// The machine's clocks. Monotonic time counts from the making of this object.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock that shows zero now.
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> WallTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        WallTime::UNIX_EPOCH + since.unwrap_or_default()
    }
}

/// A `ChaCha` generator seeded by the operating system, shared between threads.
pub struct SystemRandom(Mutex<ChaCha20Rng>);

impl SystemRandom {
    /// A generator with a seed of its own.
    pub fn new() -> Self {
        Self(Mutex::new(generator()))
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }
}

impl fmt::Debug for SystemRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemRandom")
    }
}

/// A `ChaCha` generator seeded by the operating system, for one owner.
pub struct OwnRandom(ChaCha20Rng);

impl OwnRandom {
    /// A generator with a seed of its own.
    pub fn new() -> Self {
        Self(generator())
    }
}

impl Default for OwnRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for OwnRandom {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl fmt::Debug for OwnRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnRandom")
    }
}

fn generator() -> ChaCha20Rng {
    ChaCha20Rng::from_rng(&mut rand::rng())
}
