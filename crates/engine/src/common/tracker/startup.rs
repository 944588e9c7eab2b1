//! Whether enough stake was ever connected. Upstream: `snow/engine/common/tracker/startup.go`.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId};

use super::Peers;
use crate::validators::SetListener;

/// A latch over [`Peers`]: set once the connected weight reaches the threshold, and never unset.
///
/// The latch is looked at upon construction, a connection, a new validator and a changed weight.
/// A threshold of zero is reached at once.
#[derive(Debug)]
pub struct Startup {
    peers: Peers,
    weight_min: u64,
    should_start: AtomicBool,
}

impl Startup {
    /// A latch that is set at `weight_min` units of connected weight.
    #[doc(alias = "NewStartup")]
    pub fn new(peers: Peers, weight_min: u64) -> Self {
        let startup = Self { peers, weight_min, should_start: AtomicBool::new(false) };
        startup.look();
        startup
    }

    /// The peers themselves.
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The threshold.
    pub const fn weight_min(&self) -> u64 {
        self.weight_min
    }

    /// Whether the threshold was ever reached.
    #[doc(alias = "ShouldStart")]
    pub fn should_start(&self) -> bool {
        self.should_start.load(Ordering::Acquire)
    }

    /// See [`Peers::connected`].
    pub fn connected(&self, node: NodeId) {
        self.peers.connected(node);
        self.look();
    }

    /// See [`Peers::disconnected`].
    pub fn disconnected(&self, node: NodeId) {
        self.peers.disconnected(node);
    }

    fn look(&self) {
        if self.peers.connected_weight() >= u128::from(self.weight_min) {
            self.should_start.store(true, Ordering::Release);
        }
    }
}

impl SetListener for Startup {
    fn added(&self, node: NodeId, public_key: Option<&Bytes>, tx: Id, weight: u64) {
        self.peers.added(node, public_key, tx, weight);
        self.look();
    }

    fn removed(&self, node: NodeId, weight: u64) {
        self.peers.removed(node, weight);
    }

    fn weight_changed(&self, node: NodeId, old: u64, new: u64) {
        self.peers.weight_changed(node, old, new);
        self.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 20]);

    fn startup(weight_min: u64) -> Startup {
        Startup::new(Peers::new(1), weight_min)
    }

    #[test]
    fn nothing_is_enough_when_nothing_is_needed() {
        assert!(startup(0).should_start());
        assert!(!startup(1).should_start());
    }

    #[test]
    fn the_latch_never_opens_again() {
        let startup = startup(10);
        startup.added(NODE, None, Id::EMPTY, 9);
        startup.connected(NODE);
        assert!(!startup.should_start());
        startup.weight_changed(NODE, 9, 10);
        assert!(startup.should_start());
        startup.disconnected(NODE);
        startup.removed(NODE, 10);
        assert!(startup.should_start());
        assert_eq!(startup.peers().connected_weight(), 0);
    }

    #[test]
    fn a_new_validator_that_is_connected_can_be_the_last_one_needed() {
        let startup = startup(10);
        startup.connected(NODE);
        startup.added(NODE, None, Id::EMPTY, 10);
        assert!(startup.should_start());
    }
}
