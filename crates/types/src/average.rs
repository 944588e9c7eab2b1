//! Averages over continuous time, in which older observations weigh less.
//!
//! After one half-life an observation counts half, after two a quarter. Upstream:
//! `utils/math/{continuous_averager,maturing_averager}.go`, `utils/math/meter/continuous_meter.go`.

use std::{f64::consts::LN_2, time::Duration};

use crate::Instant;

/// A half-life as the time constant of an exponential, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Decay {
    tau_nanos: f64,
}

impl Decay {
    fn new(half_life: Duration) -> Self {
        Self { tau_nanos: half_life.as_nanos() as f64 / LN_2 }
    }

    /// What is left of a unit after `span`.
    fn after(self, span: Duration) -> f64 {
        (-(span.as_nanos() as f64) / self.tau_nanos).exp()
    }
}

/// The weighted mean of what was observed; observations may arrive late.
///
/// Observations should be finite; a NaN would stay.
#[derive(Clone, Debug)]
pub struct Averager {
    decay: Decay,
    weighted_sum: f64,
    weight: f64,
    last: Instant,
}

impl Averager {
    /// An averager that starts with the observation `initial` at `now`.
    pub fn new(initial: f64, half_life: Duration, now: Instant) -> Self {
        Self { decay: Decay::new(half_life), weighted_sum: initial, weight: 1.0, last: now }
    }

    /// An averager without a prior: it reads 0 until the first observation and then that one.
    pub fn uninitialized(half_life: Duration) -> Self {
        Self { decay: Decay::new(half_life), weighted_sum: 0.0, weight: 0.0, last: Instant::ZERO }
    }

    /// Takes `value`, seen at `now`. What was seen before the latest observation weighs less by
    /// its age.
    pub fn observe(&mut self, value: f64, now: Instant) {
        if now > self.last {
            let kept = self.decay.after(now - self.last);
            self.weighted_sum = value + kept * self.weighted_sum;
            self.weight = 1.0 + kept * self.weight;
            self.last = now;
        } else {
            let counted = self.decay.after(self.last - now);
            self.weighted_sum += counted * value;
            self.weight += counted;
        }
    }

    /// The average as of the latest observation.
    pub fn read(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { self.weighted_sum / self.weight }
    }
}

/// An averager that reads 0 unless the observation made last is at least a half-life later than the
/// one made first. A late observation can make it immature again.
#[derive(Clone, Debug)]
pub struct MaturedAverager {
    averager: Averager,
    half_life: Duration,
    span: Option<(Instant, Instant)>,
}

impl MaturedAverager {
    /// Withholds the readings of `averager`; only observations made through this value count.
    pub const fn new(averager: Averager, half_life: Duration) -> Self {
        Self { averager, half_life, span: None }
    }

    /// Takes `value`, seen at `now`.
    pub fn observe(&mut self, value: f64, now: Instant) {
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
        self.averager.observe(value, now);
    }

    /// The average, or 0 while it is immature.
    pub fn read(&self) -> f64 {
        match self.span {
            Some((first, last)) if last - first >= self.half_life => self.averager.read(),
            _ => 0.0,
        }
    }
}

/// The recent average of a quantity that is in use all the time: the sum of what is running now,
/// approached exponentially.
#[derive(Clone, Debug)]
pub struct Meter {
    decay: Decay,
    value: f64,
    running: f64,
    last: Instant,
}

impl Meter {
    /// A meter that starts at 0 with nothing running.
    pub fn new(half_life: Duration, now: Instant) -> Self {
        Self { decay: Decay::new(half_life), value: 0.0, running: 0.0, last: now }
    }

    /// From `now` on, `amount` more is running.
    pub fn increase(&mut self, now: Instant, amount: f64) {
        self.read(now);
        self.running += amount;
    }

    /// From `now` on, `amount` less is running.
    pub fn decrease(&mut self, now: Instant, amount: f64) {
        self.read(now);
        self.running -= amount;
    }

    /// The average as of `now`. Times before the latest one count as that one.
    pub fn read(&mut self, now: Instant) -> f64 {
        if now > self.last {
            let kept = self.decay.after(now - self.last);
            self.value = self.value * kept + self.running * (1.0 - kept);
            self.last = now;
        }
        self.value
    }

    /// How long until the average falls to `value` if nothing runs from `now` on. At most 2⁶³ − 1
    /// nanoseconds, which also stands for "never" (`value` is not positive).
    pub fn time_until(&mut self, now: Instant, value: f64) -> Duration {
        let current = self.read(now);
        if current <= value {
            return Duration::ZERO;
        }
        let nanos = (current / value).ln() * self.decay.tau_nanos;
        let longest = i64::MAX as u64;
        let bounded = if nanos.is_finite() { (nanos as u64).min(longest) } else { longest };
        Duration::from_nanos(bounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: Instant = Instant(10_000_000_000);

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn an_observation_counts_half_after_a_half_life() {
        let mut forward = Averager::new(0.0, SECOND, NOW);
        forward.observe(1.0, NOW + SECOND);
        assert!(close(forward.read(), 1.0 / 1.5));
        let mut late = Averager::new(1.0, SECOND, NOW + SECOND);
        late.observe(0.0, NOW);
        assert!(close(late.read(), 1.0 / 1.5));
    }

    #[test]
    fn without_a_prior_the_first_observation_is_the_average() {
        for first in [Instant::ZERO, NOW] {
            let mut averager = Averager::uninitialized(SECOND);
            assert!(close(averager.read(), 0.0));
            averager.observe(7.0, first);
            assert!(close(averager.read(), 7.0));
        }
    }

    #[test]
    fn a_meter_under_steady_load_halves_its_distance_per_half_life() {
        let mut meter = Meter::new(SECOND, NOW);
        meter.increase(NOW, 1.0);
        assert!(close(meter.read(NOW + SECOND), 0.5));
        assert!(close(meter.read(NOW + 2 * SECOND), 0.75));
        assert!(close(meter.read(NOW), 0.75));
        let until = meter.time_until(NOW + 2 * SECOND, 0.375);
        assert!(until.abs_diff(SECOND) < Duration::from_nanos(10), "{until:?}");
        assert_eq!(meter.time_until(NOW, 0.0), Duration::from_nanos(i64::MAX as u64));
        assert_eq!(meter.time_until(NOW, -1.0), Duration::from_nanos(i64::MAX as u64));
    }
}
