//! One wake-up at a time. Upstream: `snow/engine/common/timer.go`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sastrugi_types::Instant;

/// A latch that ends waits early: once the whole subnet is bootstrapped, nobody needs to wait for
/// it any more. Clones are the same latch.
#[derive(Clone, Debug, Default)]
pub struct PreemptionSignal(Arc<AtomicBool>);

impl PreemptionSignal {
    /// Fires the latch, for all past and future listeners; repeating it changes nothing.
    #[doc(alias = "Preempt")]
    pub fn preempt(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Takes the firing back, because there is again something to wait for.
    pub(crate) fn rearm(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the latch has fired.
    #[doc(alias = "Listen")]
    pub fn is_preempted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Asks for one future wake-up.
pub trait TimeoutRegistrar {
    /// Asks to be woken `after` this time. While a wake-up is pending the call is ignored, even
    /// when it asks for an earlier one; the pending one comes after the call all the same.
    #[doc(alias = "RegisterTimeout")]
    fn register_timeout(&mut self, now: Instant, after: Duration);
}

/// The only wake-up a gear can have pending.
///
/// * Upon [`register_timeout`](TimeoutRegistrar::register_timeout) with none pending: one is,
///   `after` from now, or at once when the latch has fired.
/// * Upon the latch firing: a pending one is due at once.
/// * The slot is free again before the gear hears of the wake-up, so the gear may register anew.
#[derive(Debug, Default)]
#[doc(alias = "NewTimeoutScheduler")]
pub struct TimeoutScheduler {
    due: Option<Instant>,
    preemption: PreemptionSignal,
}

impl TimeoutScheduler {
    /// A scheduler whose waits end when the latch fires.
    pub const fn new(preemption: PreemptionSignal) -> Self {
        Self { due: None, preemption }
    }

    /// When the wake-up is due, if one is pending.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.preemption.is_preempted() { self.due.map(|_| Instant::ZERO) } else { self.due }
    }

    /// Whether the wake-up is due now; if so the slot is free again.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
        }
        is_due
    }
}

impl TimeoutRegistrar for TimeoutScheduler {
    fn register_timeout(&mut self, now: Instant, after: Duration) {
        self.due.get_or_insert(now + after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_second_registration_is_ignored_and_the_slot_is_free_after_the_wake_up() {
        let mut timer = TimeoutScheduler::default();
        timer.register_timeout(Instant(0), 3 * SECOND);
        timer.register_timeout(Instant(0), SECOND);
        assert!(!timer.handle_timeout(Instant::ZERO + SECOND));
        assert!(timer.handle_timeout(Instant::ZERO + 3 * SECOND));
        assert_eq!(timer.poll_timeout(), None);
        assert!(!timer.handle_timeout(Instant::MAX));
    }

    #[test]
    fn the_latch_makes_pending_and_later_wake_ups_due_at_once() {
        let latch = PreemptionSignal::default();
        let mut timer = TimeoutScheduler::new(latch.clone());
        timer.register_timeout(Instant(5), SECOND);
        assert!(!timer.handle_timeout(Instant(5)));
        latch.preempt();
        for _ in 0..10 {
            assert!(timer.handle_timeout(Instant(5)));
            assert!(!timer.handle_timeout(Instant(5)));
            timer.register_timeout(Instant(5), SECOND);
        }
    }
}
