//! What each validator last accepted. Upstream: `snow/engine/common/tracker/accepted.go`.

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, IdBuildHasher, NodeId, NodeMap};

use crate::validators::SetListener;

/// The last accepted container of each current validator, as it said itself.
///
/// * Upon [`set`](Accepted::set) of a validator: the newer word counts, whatever its height.
/// * Upon `set` of anybody else: nothing.
/// * Upon a validator leaving: its word is forgotten.
#[derive(Debug)]
pub struct Accepted {
    validators: Mutex<NodeMap<Option<(Id, u64)>>>,
}

impl Accepted {
    /// A tracker without validators; register it with the set. `hash_seed` makes the places of
    /// nodes in tables unpredictable to peers.
    pub fn new(hash_seed: u64) -> Self {
        Self { validators: Mutex::new(NodeMap::with_hasher(IdBuildHasher::new(hash_seed))) }
    }

    /// Notes the container a node said it accepted last, and its height.
    #[doc(alias = "SetLastAccepted")]
    pub fn set(&self, node: NodeId, container: Id, height: u64) {
        if let Some(accepted) = self.validators.lock().get_mut(&node) {
            *accepted = Some((container, height));
        }
    }

    /// The container a validator accepted last, and its height; `None` if it never said.
    #[doc(alias = "LastAccepted")]
    pub fn last_accepted(&self, node: &NodeId) -> Option<(Id, u64)> {
        self.validators.lock().get(node).copied().flatten()
    }
}

impl SetListener for Accepted {
    fn added(&self, node: NodeId, _public_key: Option<&Bytes>, _tx: Id, _weight: u64) {
        self.validators.lock().insert(node, None);
    }

    fn removed(&self, node: NodeId, _weight: u64) {
        self.validators.lock().remove(&node);
    }

    fn weight_changed(&self, _node: NodeId, _old: u64, _new: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 20]);
    const ID: Id = Id([7; 32]);

    #[test]
    fn only_validators_are_remembered_and_only_while_they_validate() {
        let accepted = Accepted::new(1);
        accepted.set(NODE, ID, 5);
        assert_eq!(accepted.last_accepted(&NODE), None);
        accepted.added(NODE, None, Id::EMPTY, 1);
        assert_eq!(accepted.last_accepted(&NODE), None);
        accepted.set(NODE, ID, 5);
        accepted.set(NODE, Id([8; 32]), 4);
        accepted.weight_changed(NODE, 1, 2);
        assert_eq!(accepted.last_accepted(&NODE), Some((Id([8; 32]), 4)), "a lower height counts");
        accepted.removed(NODE, 2);
        assert_eq!(accepted.last_accepted(&NODE), None);
    }
}
