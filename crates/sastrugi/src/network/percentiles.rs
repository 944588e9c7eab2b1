//! Percentiles of the last observations.

use std::{collections::VecDeque, time::Duration};

/// So many observations are kept; older ones are forgotten.
const KEPT_MAX: usize = 10_000;

/// The last observations of a duration.
#[derive(Clone, Debug, Default)]
pub(super) struct Percentiles(VecDeque<Duration>);

impl Percentiles {
    /// Adds an observation.
    pub(super) fn add(&mut self, observed: Duration) {
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(observed);
    }

    /// The values below which `parts` of the observations lie, each part between 0 and 1; `None`
    /// without observations.
    pub(super) fn at<const N: usize>(&self, parts: [f64; N]) -> Option<[Duration; N]> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(parts.map(|part| sorted[((last as f64 * part).round() as usize).min(last)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_observations() {
        let mut times = Percentiles::default();
        assert_eq!(times.at([0.5]), None);
        for millis in (0..KEPT_MAX as u64 + 101).rev() {
            times.add(Duration::from_millis(millis));
        }
        let [low, middle, high] = times.at([0.0, 0.5, 1.0]).unwrap();
        assert_eq!(low, Duration::ZERO);
        assert_eq!(middle, Duration::from_secs(5));
        assert_eq!(high, Duration::from_millis(KEPT_MAX as u64 - 1));
    }
}
