//! What a network agrees on: sample size, quorums, repetitions and limits.
//!
//! Upstream: `snow/consensus/snowball/parameters.go`.

use std::time::Duration;

use super::{TerminationCondition, Thresholds};

/// Part of the stake that may be missing beyond the quorum before the node counts as unhealthy.
const CONNECTED_BUFFER: f64 = 0.2;

/// Parameters of a Snow network. All nodes of a chain should use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Number of units of weight sampled per poll.
    pub k: usize,
    /// Votes that change the preference and make a poll successful.
    pub alpha_preference: usize,
    /// Votes that raise confidence.
    pub alpha_confidence: usize,
    /// Polls in a row that make a preference final.
    pub beta: usize,
    /// Number of polls kept outstanding while something is processing.
    pub concurrent_repolls: usize,
    /// Building pauses while this many blocks are processing.
    pub optimal_processing: usize,
    /// Unhealthy when more blocks than this are processing.
    pub max_outstanding_items: usize,
    /// Unhealthy when a block is processing for longer than this.
    pub max_item_processing_time: Duration,
}

/// Parameters that cannot work, with the values in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// No majority.
    #[error(
        "k = {k}, alphaPreference = {alpha_preference}: fails the condition that: k/2 < alphaPreference"
    )]
    NoMajority {
        /// Sample size.
        k: usize,
        /// Votes that change the preference.
        alpha_preference: usize,
    },
    /// The quorums are in the wrong order.
    #[error(
        "alphaPreference = {alpha_preference}, alphaConfidence = {alpha_confidence}: fails the condition that: alphaPreference <= alphaConfidence"
    )]
    QuorumOrder {
        /// Votes that change the preference.
        alpha_preference: usize,
        /// Votes that raise confidence.
        alpha_confidence: usize,
    },
    /// Confidence needs more votes than are asked for.
    #[error(
        "k = {k}, alphaConfidence = {alpha_confidence}: fails the condition that: alphaConfidence <= k"
    )]
    QuorumAboveSample {
        /// Sample size.
        k: usize,
        /// Votes that raise confidence.
        alpha_confidence: usize,
    },
    /// Nothing would ever be polled again.
    #[error("concurrentRepolls = {0}: fails the condition that: 0 < concurrentRepolls")]
    NoRepolls(usize),
    /// More polls at once than are needed.
    #[error(
        "concurrentRepolls = {concurrent_repolls}, beta = {beta}: fails the condition that: concurrentRepolls <= beta"
    )]
    TooManyRepolls {
        /// Polls kept outstanding.
        concurrent_repolls: usize,
        /// Polls needed in a row.
        beta: usize,
    },
    /// Nothing would ever be built.
    #[error("optimalProcessing = {0}: fails the condition that: 0 < optimalProcessing")]
    NoOptimalProcessing(usize),
    /// Any block would be unhealthy.
    #[error("maxOutstandingItems = {0}: fails the condition that: 0 < maxOutstandingItems")]
    NoOutstandingItems(usize),
    /// Any duration would be unhealthy.
    #[error("maxItemProcessingTime = {0:?}: fails the condition that: 0 < maxItemProcessingTime")]
    NoProcessingTime(Duration),
}

impl Parameters {
    /// What the primary network uses.
    pub const DEFAULT: Self = Self {
        k: 20,
        alpha_preference: 15,
        alpha_confidence: 15,
        beta: 20,
        concurrent_repolls: 4,
        optimal_processing: 10,
        max_outstanding_items: 256,
        max_item_processing_time: Duration::from_secs(30),
    };

    /// Checks the parameters; the first failing check wins.
    ///
    /// The majority condition makes two quorums of one poll overlap. Nothing else here works
    /// without it, so build no instance from parameters that were not verified.
    ///
    /// # Errors
    /// The condition that fails.
    pub const fn verify(&self) -> Result<(), ParametersError> {
        let Self { k, alpha_preference, alpha_confidence, beta, concurrent_repolls, .. } = *self;
        if alpha_preference <= k / 2 {
            Err(ParametersError::NoMajority { k, alpha_preference })
        } else if alpha_confidence < alpha_preference {
            Err(ParametersError::QuorumOrder { alpha_preference, alpha_confidence })
        } else if k < alpha_confidence {
            Err(ParametersError::QuorumAboveSample { k, alpha_confidence })
        } else if concurrent_repolls == 0 {
            Err(ParametersError::NoRepolls(concurrent_repolls))
        } else if concurrent_repolls > beta {
            Err(ParametersError::TooManyRepolls { concurrent_repolls, beta })
        } else if self.optimal_processing == 0 {
            Err(ParametersError::NoOptimalProcessing(self.optimal_processing))
        } else if self.max_outstanding_items == 0 {
            Err(ParametersError::NoOutstandingItems(self.max_outstanding_items))
        } else if self.max_item_processing_time.is_zero() {
            Err(ParametersError::NoProcessingTime(self.max_item_processing_time))
        } else {
            Ok(())
        }
    }

    /// Below this fraction of connected stake no poll is made: it could not succeed.
    pub fn min_connected_stake_to_query(&self) -> f64 {
        self.alpha_confidence as f64 / self.k as f64
    }

    /// Below this fraction of connected stake the node is unhealthy.
    pub fn min_percent_connected_healthy(&self) -> f64 {
        self.min_connected_stake_to_query() * (1.0 - CONNECTED_BUFFER) + CONNECTED_BUFFER
    }

    /// The largest fraction of stake that may be benched at once, so that benching cannot stop the
    /// chain. Upstream: `chains/manager.go`.
    pub fn max_benched_portion(&self) -> f64 {
        (1.0 - self.min_connected_stake_to_query()) / 3.0
    }

    /// How many units of weight to sample from `total_weight` while catching up.
    pub fn sample_size(&self, total_weight: u64) -> u64 {
        total_weight.min(self.k as u64)
    }

    /// The thresholds of an instance.
    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds {
            alpha_preference: saturate(self.alpha_preference),
            conditions: [TerminationCondition {
                alpha_confidence: saturate(self.alpha_confidence),
                beta: saturate(self.beta),
            }],
        }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A count as instances keep it.
pub(crate) fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(k: usize, alpha_preference: usize, alpha_confidence: usize, beta: usize) -> bool {
        let parameters = Parameters {
            k,
            alpha_preference,
            alpha_confidence,
            beta,
            concurrent_repolls: 1,
            optimal_processing: 1,
            max_outstanding_items: 1,
            max_item_processing_time: Duration::from_nanos(1),
        };
        parameters.verify().is_ok()
    }

    #[test]
    fn quorums_are_majorities_in_order_within_the_sample() {
        assert!(verify(1, 1, 1, 1));
        assert!(!verify(0, 1, 1, 1));
        assert!(!verify(2, 1, 1, 1));
        assert!(!verify(1, 0, 1, 1));
        assert!(!verify(3, 3, 2, 1));
        assert!(!verify(1, 1, 1, 0));
        assert!(verify(30, 28, 30, 2));
        assert!(verify(3, 2, 3, 2));
        assert!(!verify(1, 28, 3, 2));
    }

    #[test]
    fn limits_are_positive_and_repolls_at_most_beta() {
        let good = Parameters::DEFAULT;
        assert_eq!(good.verify(), Ok(()));
        for bad in [
            Parameters { concurrent_repolls: 0, ..good },
            Parameters { concurrent_repolls: 2, beta: 1, ..good },
            Parameters { optimal_processing: 0, ..good },
            Parameters { max_outstanding_items: 0, ..good },
            Parameters { max_item_processing_time: Duration::ZERO, ..good },
        ] {
            assert!(bad.verify().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn derived_fractions() {
        let healthy = |k, alpha_confidence| {
            Parameters { k, alpha_confidence, ..Parameters::DEFAULT }
                .min_percent_connected_healthy()
        };
        assert!((healthy(20, 15) - 0.8).abs() < 1e-9);
        assert!((healthy(5, 4) - 0.84).abs() < 1e-9);
        assert!((healthy(1001, 501) - 0.6).abs() < 1e-3);
        assert!((Parameters::DEFAULT.max_benched_portion() - 0.25 / 3.0).abs() < 1e-9);
        assert_eq!(Parameters::DEFAULT.sample_size(7), 7);
    }
}
