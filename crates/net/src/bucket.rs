//! A bucket of tokens: so many per second, and so many at once.

use std::time::Duration;

use parking_lot::Mutex;
use sastrugi_types::Instant;
use tokio::time::sleep;

/// A bucket. Takers go into debt and are told how long to wait, so they pass in the order in
/// which they came.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket. With 0 per second nobody ever waits.
    pub(crate) const fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = burst as f64;
        let level = Mutex::new(Level { tokens: burst, at: now });
        Self { per_second: per_second as f64, burst, level }
    }

    /// Takes tokens, and says how long to wait before using them.
    pub(crate) fn take(&self, tokens: usize, now: Instant) -> Duration {
        if self.per_second == 0.0 {
            return Duration::ZERO;
        }
        let mut level = self.level.lock();
        let gained = (now - level.at).as_secs_f64() * self.per_second;
        level.at = level.at.max(now);
        level.tokens = (level.tokens + gained).min(self.burst) - tokens as f64;
        if level.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-level.tokens / self.per_second)
        }
    }
}

/// Waits; for no time without waiting for the timer's next beat.
pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant(millis * 1_000_000)
    }

    #[test]
    fn a_burst_passes_and_the_rest_waits_its_turn() {
        let bucket = Bucket::new(10, 3, at(0));
        assert_eq!(bucket.take(3, at(0)), Duration::ZERO);
        assert_eq!(bucket.take(1, at(0)), Duration::from_millis(100));
        assert_eq!(bucket.take(2, at(0)), Duration::from_millis(300));
        assert_eq!(bucket.take(1, at(1_000)), Duration::ZERO);
    }

    #[test]
    fn an_idle_bucket_holds_a_burst_and_no_more() {
        let bucket = Bucket::new(10, 3, at(0));
        assert_eq!(bucket.take(3, at(60_000)), Duration::ZERO);
        assert_eq!(bucket.take(1, at(60_000)), Duration::from_millis(100));
    }

    #[test]
    fn a_rate_of_zero_is_none() {
        let bucket = Bucket::new(0, 0, at(0));
        assert_eq!(bucket.take(usize::MAX, at(0)), Duration::ZERO);
    }
}
