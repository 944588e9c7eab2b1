//! Connected stake. Upstream: `snow/engine/common/tracker/peers.go`.

use std::collections::BTreeSet;

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{
    Id, IdBuildHasher, NodeId, NodeMap, NodeSet,
    sampler::{Source, uniform_inclusive},
};

use crate::validators::SetListener;

/// Which validators are connected, and how much of the weight they hold.
///
/// A node may connect before it becomes a validator. Repeating a call changes nothing, where
/// upstream counts a validator's weight twice when it is connected twice. Sums of weights are
/// exact, where upstream's wrap at 2⁶⁴.
#[derive(Debug)]
pub struct Peers(Mutex<State>);

#[derive(Debug)]
struct State {
    validators: NodeMap<Validator>,
    connected_peers: NodeSet,
    connected_validators: Vec<NodeId>,
    total_weight: u128,
    connected_weight: u128,
}

#[derive(Debug)]
struct Validator {
    weight: u64,
    /// Position in `connected_validators`.
    connected: Option<usize>,
}

impl Peers {
    /// A tracker that knows nobody; register it with the set. `hash_seed` makes the places of nodes
    /// in tables unpredictable to peers.
    #[doc(alias = "NewPeers")]
    pub fn new(hash_seed: u64) -> Self {
        let hasher = IdBuildHasher::new(hash_seed);
        Self(Mutex::new(State {
            validators: NodeMap::with_hasher(hasher),
            connected_peers: NodeSet::with_hasher(hasher),
            connected_validators: Vec::new(),
            total_weight: 0,
            connected_weight: 0,
        }))
    }

    /// A peer, or this node itself, became usable for the chain.
    pub fn connected(&self, node: NodeId) {
        let mut state = self.0.lock();
        if state.connected_peers.insert(node) {
            state.connect_validator(node);
        }
    }

    /// A peer is no longer usable.
    pub fn disconnected(&self, node: NodeId) {
        let mut state = self.0.lock();
        if state.connected_peers.remove(&node) {
            state.disconnect_validator(node);
        }
    }

    /// The weight of the connected validators.
    pub fn connected_weight(&self) -> u128 {
        self.0.lock().connected_weight
    }

    /// The weight of all validators.
    pub fn total_weight(&self) -> u128 {
        self.0.lock().total_weight
    }

    /// The connected part of the weight, 0 to 1. It is 1 when there is no weight at all.
    #[doc(alias = "ConnectedPercent")]
    pub fn connected_fraction(&self) -> f64 {
        let state = self.0.lock();
        if state.total_weight == 0 {
            return 1.0;
        }
        state.connected_weight as f64 / state.total_weight as f64
    }

    /// Draws a connected validator, each with the same chance; `None` when there is none.
    #[doc(alias = "SampleValidator")]
    pub fn sample_connected<S: Source + ?Sized>(&self, source: &mut S) -> Option<NodeId> {
        let state = self.0.lock();
        let last = state.connected_validators.len().checked_sub(1)?;
        let index = uniform_inclusive(source, last as u64) as usize;
        state.connected_validators.get(index).copied()
    }

    /// All validators.
    #[doc(alias = "GetValidators")]
    pub fn validators(&self) -> BTreeSet<NodeId> {
        self.0.lock().validators.keys().copied().collect()
    }

    /// The connected validators.
    #[doc(alias = "ConnectedValidators")]
    pub fn connected_validators(&self) -> BTreeSet<NodeId> {
        self.0.lock().connected_validators.iter().copied().collect()
    }
}

impl SetListener for Peers {
    fn added(&self, node: NodeId, _public_key: Option<&Bytes>, _tx: Id, weight: u64) {
        let mut state = self.0.lock();
        state.validators.insert(node, Validator { weight, connected: None });
        state.total_weight += u128::from(weight);
        if state.connected_peers.contains(&node) {
            state.connect_validator(node);
        }
    }

    fn removed(&self, node: NodeId, _weight: u64) {
        let mut state = self.0.lock();
        state.disconnect_validator(node);
        if let Some(validator) = state.validators.remove(&node) {
            state.total_weight -= u128::from(validator.weight);
        }
    }

    fn weight_changed(&self, node: NodeId, _old: u64, new: u64) {
        let mut state = self.0.lock();
        let Some(validator) = state.validators.get_mut(&node) else { return };
        let old = u128::from(std::mem::replace(&mut validator.weight, new));
        let new = u128::from(new);
        let is_connected = validator.connected.is_some();
        state.total_weight = state.total_weight - old + new;
        if is_connected {
            state.connected_weight = state.connected_weight - old + new;
        }
    }
}

impl State {
    fn connect_validator(&mut self, node: NodeId) {
        let Some(validator) = self.validators.get_mut(&node) else { return };
        validator.connected = Some(self.connected_validators.len());
        self.connected_validators.push(node);
        self.connected_weight += u128::from(validator.weight);
    }

    fn disconnect_validator(&mut self, node: NodeId) {
        let Some(validator) = self.validators.get_mut(&node) else { return };
        let Some(index) = validator.connected.take() else { return };
        self.connected_weight -= u128::from(validator.weight);
        self.connected_validators.swap_remove(index);
        if let Some(moved) = self.connected_validators.get(index)
            && let Some(validator) = self.validators.get_mut(moved)
        {
            validator.connected = Some(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use sastrugi_types::sampler::Mt19937_64;

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 20])
    }

    fn peers() -> Peers {
        Peers::new(1)
    }

    fn weights(peers: &Peers) -> (u128, u128) {
        (peers.connected_weight(), peers.total_weight())
    }

    #[test]
    fn a_peer_that_connected_first_counts_once_it_validates() {
        let peers = peers();
        assert!((peers.connected_fraction() - 1.0).abs() < f64::EPSILON);
        peers.connected(node(1));
        peers.connected(node(1));
        assert_eq!(weights(&peers), (0, 0));
        peers.added(node(1), None, Id::EMPTY, 5);
        peers.added(node(2), None, Id::EMPTY, 15);
        assert_eq!(weights(&peers), (5, 20));
        assert!((peers.connected_fraction() - 0.25).abs() < f64::EPSILON);
        peers.connected(node(1));
        assert_eq!(weights(&peers), (5, 20));
    }

    #[test]
    fn weight_changes_and_departures_move_both_sums() {
        let peers = peers();
        for number in 1..=3 {
            peers.added(node(number), None, Id::EMPTY, 10);
            peers.connected(node(number));
        }
        peers.weight_changed(node(1), 10, 4);
        assert_eq!(weights(&peers), (24, 24));
        peers.disconnected(node(1));
        peers.disconnected(node(1));
        assert_eq!(weights(&peers), (20, 24));
        peers.weight_changed(node(1), 4, 6);
        assert_eq!(weights(&peers), (20, 26));
        peers.removed(node(2), 10);
        assert_eq!(weights(&peers), (10, 16));
        assert_eq!(peers.connected_validators(), BTreeSet::from([node(3)]));
        assert_eq!(peers.validators(), BTreeSet::from([node(1), node(3)]));
        peers.added(node(2), None, Id::EMPTY, 1);
        assert_eq!(weights(&peers), (11, 17), "the peer stayed connected");
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let peers = peers();
        for number in 1..=3 {
            peers.added(node(number), None, Id::EMPTY, u64::MAX);
            peers.connected(node(number));
        }
        assert_eq!(weights(&peers), (3 * u128::from(u64::MAX), 3 * u128::from(u64::MAX)));
    }

    #[test]
    fn each_connected_validator_is_drawn_equally_often() {
        let peers = peers();
        let mut source = Mt19937_64::new(1);
        assert_eq!(peers.sample_connected(&mut source), None);
        for number in 1..=5 {
            peers.added(node(number), None, Id::EMPTY, 1000 * u64::from(number));
            peers.connected(node(number));
        }
        peers.connected(node(9));
        peers.disconnected(node(2));
        let mut drawn = [0; 10];
        for _ in 0..4000 {
            drawn[usize::from(peers.sample_connected(&mut source).unwrap().0[0])] += 1;
        }
        for number in [1, 3, 4, 5] {
            assert!((850..1150).contains(&drawn[number]), "{drawn:?}");
        }
        assert_eq!(drawn[2] + drawn[9], 0);
    }
}
