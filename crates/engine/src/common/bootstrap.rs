//! Bootstrapping as seen from outside. Upstream: `snow/engine/common/{bootstrapable,bootstrap_tracker}.go`.

use sastrugi_types::Id;

use super::{Engine, Handled, PreemptionSignal};

/// A gear that fetches containers before they can be executed.
pub trait BootstrapableEngine: Engine {
    /// Forgets every container that was fetched and not yet executed. Called exactly when state
    /// sync is the first gear: old progress must not mix with the state it will jump to.
    #[doc(alias = "Clear")]
    fn clear(&mut self) -> Handled;
}

/// The progress of all chains of a subnet.
pub trait BootstrapTracker: Send + Sync {
    /// Whether no chain of the subnet is still bootstrapping.
    #[doc(alias = "IsBootstrapped")]
    fn is_bootstrapped(&self) -> bool;
    /// The chain is done; repeating it changes nothing.
    #[doc(alias = "Bootstrapped")]
    fn bootstrapped(&self, chain: Id);
    /// The latch that fires when the last chain is done.
    #[doc(alias = "AllBootstrapped")]
    fn all_bootstrapped(&self) -> PreemptionSignal;
}
