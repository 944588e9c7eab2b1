//! State sync as seen from outside. Upstream: `snow/engine/common/state_syncer.go`.

use super::{Engine, Fatal};

/// The gear that jumps to a recent state.
pub trait StateSyncer: Engine {
    /// Whether the VM can and wants to sync; decides the first gear. An error stops the chain.
    #[doc(alias = "IsEnabled")]
    fn is_enabled(&mut self) -> Result<bool, Fatal>;
}
