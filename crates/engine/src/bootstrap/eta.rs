//! When a job will be done. Upstream: `utils/timer/eta.go`.

use std::{collections::VecDeque, time::Duration};

use sastrugi_types::Instant;

/// How many samples the rate is measured over.
const SAMPLES: usize = 10;
/// By how much the rest of a job is assumed to be slower, at its beginning.
const SLOWDOWN: f64 = 1.2;

/// Estimates the rest of a job from how fast it went since the oldest of the last few samples.
///
/// The plain estimate is multiplied by a slowdown that falls linearly with the progress, down to 1
/// at the end. Jobs begin with their first sample, at which nothing need be completed.
#[derive(Clone, Debug)]
#[doc(alias = "NewEtaTracker")]
pub struct EtaTracker {
    /// Oldest first; at most `size` of them.
    samples: VecDeque<(u64, Instant)>,
    size: usize,
    slowdown: f64,
}

/// What is left of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Time to the end, in whole seconds.
    pub remaining: Duration,
    /// What is completed, 0 to 100, with two decimals.
    pub percent: f64,
}

impl Default for EtaTracker {
    /// As bootstrapping uses it: 10 samples, slowdown 1.2.
    fn default() -> Self {
        Self::new(SAMPLES, SLOWDOWN)
    }
}

impl EtaTracker {
    /// A tracker over that many samples (at least one).
    pub fn new(samples: usize, slowdown: f64) -> Self {
        let size = samples.max(1);
        Self { samples: VecDeque::with_capacity(size), size, slowdown }
    }

    /// Takes what is completed of `target` by `now`. `None` while there are too few samples, and
    /// when nothing was completed, or no time passed, since the oldest of them.
    pub fn add_sample(&mut self, completed: u64, target: u64, now: Instant) -> Option<Estimate> {
        if self.samples.len() == self.size {
            self.samples.pop_front();
        }
        self.samples.push_back((completed, now));
        if self.samples.len() < self.size {
            return None;
        }
        if completed >= target {
            return Some(Estimate { remaining: Duration::ZERO, percent: 100.0 });
        }
        let &(first, start) = self.samples.front()?;
        let (progress, nanos) = (completed.saturating_sub(first), (now - start).as_nanos());
        if progress == 0 || nanos == 0 {
            return None;
        }
        let nanos_per_unit = nanos as f64 / progress as f64;
        let fraction = completed as f64 / target as f64;
        let slowdown = self.slowdown - (self.slowdown - 1.0) * fraction;
        let nanos = (target - completed) as f64 * nanos_per_unit * slowdown;
        let remaining = Duration::from_secs((nanos / 1e9).round() as u64);
        let percent = (fraction * 10_000.0).round() / 100.0;
        Some(Estimate { remaining, percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn estimate(seconds: u64, percent: f64) -> Estimate {
        Estimate { remaining: Duration::from_secs(seconds), percent }
    }

    #[test]
    fn the_rate_is_taken_since_the_oldest_sample() {
        let mut eta = EtaTracker::new(3, 1.0);
        assert_eq!(eta.add_sample(0, 1_000, seconds(0)), None);
        assert_eq!(eta.add_sample(100, 1_000, seconds(10)), None);
        // 10 per second.
        assert_eq!(eta.add_sample(200, 1_000, seconds(20)), Some(estimate(80, 20.0)));
        // 500 in 30 s: 24 s for 400.
        assert_eq!(eta.add_sample(600, 1_000, seconds(40)), Some(estimate(24, 60.0)));
        assert_eq!(eta.add_sample(1_000, 1_000, seconds(1)), Some(estimate(0, 100.0)));
        assert_eq!(eta.add_sample(2_000, 1_000, seconds(1)), Some(estimate(0, 100.0)));
        // The time and the progress went back.
        assert_eq!(eta.add_sample(100, 1_000, seconds(0)), None);
        assert_eq!(eta.add_sample(100, 1_000, seconds(0)), None);
    }

    #[test]
    fn ten_samples_and_a_slowdown_that_falls_to_none() {
        let mut eta = EtaTracker::default();
        for step in 0..9 {
            assert_eq!(eta.add_sample(step * 100, 3_000, seconds(step)), None);
        }
        // 900 in 9 s; 2,100 left take 21 s, times 1.2 − 0.2 · 0.3 = 1.14, is 23.94 s.
        assert_eq!(eta.add_sample(900, 3_000, seconds(9)), Some(estimate(24, 30.0)));
        // 2,900 − 100 in 9 s: 0.32 s for 100, times 1.0067.
        assert_eq!(eta.add_sample(2_900, 3_000, seconds(10)), Some(estimate(0, 96.67)));
    }

    #[test]
    fn the_estimate_is_rounded_to_seconds_and_hundredths() {
        let mut eta = EtaTracker::new(2, 1.2);
        assert_eq!(eta.add_sample(0, 3, seconds(0)), None);
        // 2 s left, times 1.2 − 0.2 / 3.
        assert_eq!(eta.add_sample(1, 3, seconds(1)), Some(estimate(2, 33.33)));
        // 0.5 s left, times 1.2 − 0.4 / 3: 0.53 s.
        let half = Instant(1_500_000_000);
        assert_eq!(eta.add_sample(2, 3, half), Some(estimate(1, 66.67)));
    }

    #[test]
    fn extreme_figures_do_not_overflow() {
        let mut eta = EtaTracker::new(2, 1.2);
        eta.add_sample(0, u64::MAX, Instant::ZERO);
        let last = eta.add_sample(1, u64::MAX, Instant::MAX).unwrap();
        assert_eq!(last.remaining, Duration::from_secs(u64::MAX));
        assert_eq!(EtaTracker::new(0, 1.2).add_sample(0, 0, seconds(0)), Some(estimate(0, 100.0)));
        assert_eq!(EtaTracker::new(0, 1.2).add_sample(0, 1, seconds(0)), None);
    }
}
