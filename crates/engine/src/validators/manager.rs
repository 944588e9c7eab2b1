//! The validator sets of all subnets. Upstream: `snow/validators/manager.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use parking_lot::RwLock;
use sastrugi_types::{
    Id, IdBuildHasher, NodeId,
    sampler::{Source, Uniform},
};
use sastrugi_vm::validators::ValidatorOutput;

use super::{ManagerListener, Set, SetListener, Validator, ValidatorsError};
use crate::common::SampleError;

/// The validator sets of all subnets, shared by everything in a node.
///
/// A set exists from its first validator, or its first listener, until it has neither.
#[doc(alias = "Manager")]
pub struct Validators {
    state: RwLock<State>,
    hasher: IdBuildHasher,
}

#[derive(Default)]
struct State {
    sets: BTreeMap<Id, Set>,
    listeners: Vec<Arc<dyn ManagerListener>>,
}

impl Validators {
    /// No sets yet. `hash_seed` makes the places of nodes in tables unpredictable to peers.
    #[doc(alias = "NewManager")]
    pub fn new(hash_seed: u64) -> Self {
        Self { state: RwLock::default(), hasher: IdBuildHasher::new(hash_seed) }
    }

    /// Adds a validator. An error changes nothing.
    #[doc(alias = "AddStaker")]
    pub fn add_staker(&self, subnet: Id, validator: Validator) -> Result<(), ValidatorsError> {
        if validator.weight == 0 {
            return Err(ValidatorsError::ZeroWeight);
        }
        self.with_set(subnet, |set| set.add(validator))
    }

    /// Adds weight to a validator. An error changes nothing.
    pub fn add_weight(&self, subnet: Id, node: NodeId, weight: u64) -> Result<(), ValidatorsError> {
        let mut state = self.state.write();
        match state.sets.get_mut(&subnet) {
            Some(set) => set.add_weight(node, weight),
            None if weight == 0 => Err(ValidatorsError::ZeroWeight),
            None => Err(ValidatorsError::Missing),
        }
    }

    /// Takes weight from a validator, which leaves when nothing remains. An error changes nothing.
    pub fn remove_weight(
        &self,
        subnet: Id,
        node: NodeId,
        weight: u64,
    ) -> Result<(), ValidatorsError> {
        let mut state = self.state.write();
        let Some(set) = state.sets.get_mut(&subnet) else {
            let error =
                if weight == 0 { ValidatorsError::ZeroWeight } else { ValidatorsError::Missing };
            return Err(error);
        };
        set.remove_weight(node, weight)?;
        if set.is_unused() {
            state.sets.remove(&subnet);
        }
        Ok(())
    }

    /// A node's weight, 0 if it is no validator.
    #[doc(alias = "GetWeight")]
    pub fn weight(&self, subnet: Id, node: &NodeId) -> u64 {
        self.read(subnet, |set| set.get(node).map(|validator| validator.weight)).unwrap_or_default()
    }

    /// A validator.
    #[doc(alias = "GetValidator")]
    pub fn validator(&self, subnet: Id, node: &NodeId) -> Option<Validator> {
        self.read(subnet, |set| set.get(node).cloned())
    }

    /// The validators in the set's own order.
    #[doc(alias = "GetValidatorIDs")]
    pub fn validator_ids(&self, subnet: Id) -> Vec<NodeId> {
        self.read(subnet, |set| Some(set.validators().iter().map(|v| v.node).collect()))
            .unwrap_or_default()
    }

    /// The validators by node, as VMs see them.
    #[doc(alias = "GetMap")]
    pub fn outputs(&self, subnet: Id) -> BTreeMap<NodeId, ValidatorOutput> {
        self.read(subnet, |set| Some(set.outputs())).unwrap_or_default()
    }

    /// The validators of all subnets.
    #[doc(alias = "GetAllMaps")]
    pub fn all_outputs(&self) -> BTreeMap<Id, BTreeMap<NodeId, ValidatorOutput>> {
        self.state.read().sets.iter().map(|(subnet, set)| (*subnet, set.outputs())).collect()
    }

    /// The weight these nodes have together.
    ///
    /// # Errors
    /// [`ValidatorsError::TotalTooLarge`]
    pub fn subset_weight(
        &self,
        subnet: Id,
        nodes: &BTreeSet<NodeId>,
    ) -> Result<u64, ValidatorsError> {
        let sum = self.read(subnet, |set| {
            let weights = nodes.iter().filter_map(|node| set.get(node));
            Some(weights.map(|validator| u128::from(validator.weight)).sum::<u128>())
        });
        let sum = sum.unwrap_or_default();
        u64::try_from(sum).map_err(|_| ValidatorsError::TotalTooLarge(sum))
    }

    /// The weight of all validators, 0 for an unknown subnet.
    ///
    /// # Errors
    /// [`ValidatorsError::TotalTooLarge`]
    pub fn total_weight(&self, subnet: Id) -> Result<u64, ValidatorsError> {
        self.read(subnet, |set| Some(set.total_weight())).unwrap_or(Ok(0))
    }

    /// Number of sets, those kept by a listener alone included.
    #[doc(alias = "NumSubnets")]
    pub fn subnets(&self) -> usize {
        self.state.read().sets.len()
    }

    /// Number of validators.
    #[doc(alias = "NumValidators")]
    pub fn len(&self, subnet: Id) -> usize {
        self.read(subnet, |set| Some(set.validators().len())).unwrap_or_default()
    }

    /// Whether the subnet has no validators.
    pub fn is_empty(&self, subnet: Id) -> bool {
        self.len(subnet) == 0
    }

    /// Draws `size` units of weight without replacement; their owners go into `out`, which is
    /// cleared first. A heavy validator may be named several times. `units` is memory that is used
    /// again from call to call.
    pub fn sample<S: Source + ?Sized>(
        &self,
        subnet: Id,
        size: usize,
        units: &mut Uniform,
        source: &mut S,
        out: &mut Vec<NodeId>,
    ) -> Result<(), SampleError> {
        out.clear();
        if size == 0 {
            return Ok(());
        }
        let state = self.state.read();
        let set = state.sets.get(&subnet).ok_or(SampleError::MissingValidators)?;
        set.sample(size, units, source, out)
    }

    /// From here on the listener hears of all changes; first of all validators there are.
    #[doc(alias = "RegisterCallbackListener")]
    pub fn register_listener(&self, listener: &Arc<dyn ManagerListener>) {
        let mut state = self.state.write();
        for set in state.sets.values_mut() {
            set.register_global_listener(listener.clone());
        }
        state.listeners.push(listener.clone());
    }

    /// From here on the listener hears of this subnet's changes; first of its validators.
    #[doc(alias = "RegisterSetCallbackListener")]
    pub fn register_set_listener(&self, subnet: Id, listener: Arc<dyn SetListener>) {
        self.with_set(subnet, |set| set.register_listener(listener));
    }

    fn read<T>(&self, subnet: Id, look: impl FnOnce(&Set) -> Option<T>) -> Option<T> {
        self.state.read().sets.get(&subnet).and_then(look)
    }

    /// Works on the set, which is made if need be.
    fn with_set<T>(&self, subnet: Id, change: impl FnOnce(&mut Set) -> T) -> T {
        let mut state = self.state.write();
        let State { sets, listeners } = &mut *state;
        let new = || Set::new(subnet, listeners.clone(), self.hasher);
        change(sets.entry(subnet).or_insert_with(new))
    }
}

impl fmt::Display for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.read();
        write!(f, "Validator Manager: (Size = {})", state.sets.len())?;
        for (subnet, set) in &state.sets {
            write!(f, "\n    Subnet[{subnet}]: ")?;
            set.write(f, "    ")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.state.read().sets.iter()).finish()
    }
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
