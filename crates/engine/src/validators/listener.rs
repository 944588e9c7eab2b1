//! Hearing of changes. Upstream: `snow/validators/manager.go`.
//!
//! Listeners are called inside the change, under the manager's lock, so they must not call the
//! manager. Upon registration a listener hears of every validator there is as if it were new.

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};

/// Hears of the changes of one subnet's set.
#[doc(alias = "SetCallbackListener")]
pub trait SetListener: Send + Sync {
    /// A validator joined. `public_key` is its BLS key, 96 bytes uncompressed; `tx` names the
    /// transaction or the validation that made it a validator.
    #[doc(alias = "OnValidatorAdded")]
    fn added(&self, node: NodeId, public_key: Option<&Bytes>, tx: Id, weight: u64);
    /// A validator left; it had this weight.
    #[doc(alias = "OnValidatorRemoved")]
    fn removed(&self, node: NodeId, weight: u64);
    /// A validator stays with another weight.
    #[doc(alias = "OnValidatorWeightChanged")]
    fn weight_changed(&self, node: NodeId, old: u64, new: u64);
}

/// Hears of the changes of all sets, and of each change before the [`SetListener`]s do.
#[doc(alias = "ManagerCallbackListener")]
pub trait ManagerListener: Send + Sync {
    /// See [`SetListener::added`].
    fn added(&self, subnet: Id, node: NodeId, public_key: Option<&Bytes>, tx: Id, weight: u64);
    /// See [`SetListener::removed`].
    fn removed(&self, subnet: Id, node: NodeId, weight: u64);
    /// See [`SetListener::weight_changed`].
    fn weight_changed(&self, subnet: Id, node: NodeId, old: u64, new: u64);
}
