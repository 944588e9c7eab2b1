//! Which chains of a subnet still bootstrap. Upstream: `subnets/subnet.go`.

use std::{collections::BTreeSet, fmt, sync::Arc};

use parking_lot::Mutex;
use sastrugi_types::Id;

use crate::common::{BootstrapTracker, PreemptionSignal};

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The progress of the chains of one subnet.
///
/// * Upon [`Subnet::add_chain`] with a new chain: it bootstraps, and the latch is not fired (any
///   more).
/// * Upon [`BootstrapTracker::bootstrapped`] with the last chain that does: the latch fires.
///
/// Deviation: upstream's latch stays fired, so that once a chain is added later, every wait for it
/// ends at once and the waiting chains start rounds without a pause.
#[derive(Default)]
pub struct Subnet {
    state: Mutex<State>,
    all_bootstrapped: PreemptionSignal,
}

#[derive(Default)]
struct State {
    bootstrapping: BTreeSet<Id>,
    bootstrapped: BTreeSet<Id>,
    wakes: Vec<Wake>,
}

impl Subnet {
    /// A subnet without chains, which counts as bootstrapped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a chain that will bootstrap, before anybody asks for [the
    /// latch](BootstrapTracker::all_bootstrapped) on its behalf. False if it is known, bootstrapping
    /// or not; then nothing changes.
    #[doc(alias = "AddChain")]
    pub fn add_chain(&self, chain: Id) -> bool {
        let mut state = self.state.lock();
        let is_new = !state.bootstrapped.contains(&chain) && state.bootstrapping.insert(chain);
        if is_new {
            self.all_bootstrapped.rearm();
        }
        is_new
    }

    /// Calls `wake` whenever the latch fires, on the thread that marked the last chain, so that
    /// owners of waiting chains look at their wake-ups again. It must not block.
    pub fn on_all_bootstrapped(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.state.lock().wakes.push(Arc::new(wake));
    }

    /// The chains that still bootstrap.
    pub fn bootstrapping(&self) -> BTreeSet<Id> {
        self.state.lock().bootstrapping.clone()
    }
}

impl BootstrapTracker for Subnet {
    fn is_bootstrapped(&self) -> bool {
        self.state.lock().bootstrapping.is_empty()
    }

    fn bootstrapped(&self, chain: Id) {
        let wakes = {
            let mut state = self.state.lock();
            state.bootstrapping.remove(&chain);
            state.bootstrapped.insert(chain);
            if !state.bootstrapping.is_empty() || self.all_bootstrapped.is_preempted() {
                return;
            }
            self.all_bootstrapped.preempt();
            state.wakes.clone()
        };
        for wake in wakes {
            wake();
        }
    }

    fn all_bootstrapped(&self) -> PreemptionSignal {
        self.all_bootstrapped.clone()
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Subnet")
            .field("bootstrapping", &state.bootstrapping)
            .field("bootstrapped", &state.bootstrapped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use sastrugi_types::Instant;

    use super::*;
    use crate::common::{TimeoutRegistrar, TimeoutScheduler};

    const FIRST: Id = Id([1; 32]);
    const SECOND: Id = Id([2; 32]);
    const LATE: Id = Id([3; 32]);
    const PAUSE: Duration = Duration::from_secs(10);

    fn with(chains: &[Id]) -> Subnet {
        let subnet = Subnet::new();
        assert!(chains.iter().all(|chain| subnet.add_chain(*chain)));
        subnet
    }

    #[test]
    fn without_chains_it_is_bootstrapped() {
        let subnet = Subnet::new();
        assert!(subnet.is_bootstrapped());
        assert!(!subnet.all_bootstrapped().is_preempted());
    }

    #[test]
    fn the_last_chain_fires_the_latch_once() {
        let subnet = with(&[FIRST, SECOND]);
        let woken = Arc::new(AtomicU32::new(0));
        let count = woken.clone();
        subnet.on_all_bootstrapped(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let latch = subnet.all_bootstrapped();
        assert!(!subnet.add_chain(FIRST));
        subnet.bootstrapped(FIRST);
        subnet.bootstrapped(FIRST);
        assert!(!subnet.is_bootstrapped() && !latch.is_preempted());
        assert_eq!(subnet.bootstrapping(), BTreeSet::from([SECOND]));
        subnet.bootstrapped(SECOND);
        assert!(subnet.is_bootstrapped() && latch.is_preempted());
        subnet.bootstrapped(SECOND);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(!subnet.add_chain(FIRST), "it is bootstrapped");
        assert!(latch.is_preempted());
    }

    #[test]
    fn a_chain_that_was_not_added_is_known_once_it_is_done() {
        let subnet = with(&[FIRST]);
        subnet.bootstrapped(LATE);
        assert!(!subnet.is_bootstrapped());
        assert!(!subnet.add_chain(LATE));
        subnet.bootstrapped(FIRST);
        assert!(subnet.is_bootstrapped());
    }

    #[test]
    fn while_a_late_chain_bootstraps_waits_have_their_full_length() {
        let subnet = with(&[FIRST]);
        let mut timer = TimeoutScheduler::new(subnet.all_bootstrapped());
        let now = Instant::ZERO + PAUSE;
        timer.register_timeout(now, PAUSE);
        subnet.bootstrapped(FIRST);
        assert!(timer.handle_timeout(now));
        assert!(subnet.add_chain(LATE));
        let mut late = TimeoutScheduler::new(subnet.all_bootstrapped());
        for timer in [&mut timer, &mut late] {
            timer.register_timeout(now, PAUSE);
            assert!(!timer.handle_timeout(now));
            assert_eq!(timer.poll_timeout(), Some(now + PAUSE));
        }
        subnet.bootstrapped(LATE);
        assert!(timer.handle_timeout(now) && late.handle_timeout(now));
    }
}
