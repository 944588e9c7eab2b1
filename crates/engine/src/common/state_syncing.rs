//! Whether the VM still syncs its state.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set while the VM syncs a state summary, possibly beside a later gear. Clones are the same flag;
/// one belongs to each chain, and all its gears look at it. Upstream: `StateSyncing` of
/// `snow/context.go`.
#[derive(Clone, Debug, Default)]
pub struct StateSyncing(Arc<AtomicBool>);

impl StateSyncing {
    /// Says whether the VM syncs.
    pub fn set(&self, syncing: bool) {
        self.0.store(syncing, Ordering::Release);
    }

    /// Whether the VM syncs.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
