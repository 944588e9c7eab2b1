//! The validators of one subnet. Upstream: `snow/validators/set.go`.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{
    Id, IdBuildHasher, NodeId, NodeMap,
    sampler::{Source, Uniform},
};
use sastrugi_vm::validators::ValidatorOutput;

use super::{ManagerListener, SetListener, weights::WeightTree};
use crate::common::SampleError;

/// Why a set was not changed, or has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorsError {
    /// Weights are positive.
    #[error("weight must be non-zero")]
    ZeroWeight,
    /// The node is a validator already.
    #[error("duplicate validator")]
    Duplicate,
    /// The node is no validator.
    #[error("missing validator")]
    Missing,
    /// A validator's weight would exceed 64 bits.
    #[error("weight overflow")]
    Overflow,
    /// A validator's weight would fall below zero.
    #[error("weight underflow")]
    Underflow,
    /// The sum of weights does not fit 64 bits.
    #[error("total weight does not fit 64 bits: {0}")]
    TotalTooLarge(u128),
}

/// A current validator of a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The node. The empty ID is a real entry: the P-Chain keeps the weight of an L1's inactive
    /// validators under it.
    pub node: NodeId,
    /// Its BLS public key, 96 bytes uncompressed, if it has one.
    pub public_key: Option<Bytes>,
    /// The transaction or validation that made it a validator.
    pub tx: Id,
    /// Its weight, never zero.
    pub weight: u64,
}

/// The validators of one subnet.
///
/// They stand in the order they joined; one that leaves gives its place to the last one. All
/// weights together may exceed 64 bits; then the set can be changed but not sampled.
pub struct Set {
    subnet: Id,
    validators: Vec<Validator>,
    indices: NodeMap<usize>,
    weights: WeightTree,
    total_weight: u128,
    global_listeners: Vec<Arc<dyn ManagerListener>>,
    listeners: Vec<Arc<dyn SetListener>>,
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set")
            .field("subnet", &self.subnet)
            .field("validators", &self.validators)
            .finish_non_exhaustive()
    }
}

impl Set {
    /// An empty set.
    pub(super) fn new(
        subnet: Id,
        global_listeners: Vec<Arc<dyn ManagerListener>>,
        hasher: IdBuildHasher,
    ) -> Self {
        Self {
            subnet,
            validators: Vec::new(),
            indices: NodeMap::with_hasher(hasher),
            weights: WeightTree::default(),
            total_weight: 0,
            global_listeners,
            listeners: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, validator: Validator) -> Result<(), ValidatorsError> {
        let Validator { node, tx, weight, .. } = validator;
        if weight == 0 {
            return Err(ValidatorsError::ZeroWeight);
        }
        let index = self.validators.len();
        if self.indices.contains_key(&node) {
            return Err(ValidatorsError::Duplicate);
        }
        self.indices.insert(node, index);
        self.weights.push(weight);
        self.total_weight += u128::from(weight);
        let key = validator.public_key.as_ref();
        for listener in &self.global_listeners {
            listener.added(self.subnet, node, key, tx, weight);
        }
        for listener in &self.listeners {
            listener.added(node, key, tx, weight);
        }
        self.validators.push(validator);
        Ok(())
    }

    pub(super) fn add_weight(&mut self, node: NodeId, weight: u64) -> Result<(), ValidatorsError> {
        let (index, old) = self.index_and_weight(node, weight)?;
        let new = old.checked_add(weight).ok_or(ValidatorsError::Overflow)?;
        self.change_weight(index, old, new);
        Ok(())
    }

    pub(super) fn remove_weight(
        &mut self,
        node: NodeId,
        weight: u64,
    ) -> Result<(), ValidatorsError> {
        let (index, old) = self.index_and_weight(node, weight)?;
        match old.checked_sub(weight).ok_or(ValidatorsError::Underflow)? {
            0 => self.remove(index, old),
            new => self.change_weight(index, old, new),
        }
        Ok(())
    }

    fn index_and_weight(&self, node: NodeId, by: u64) -> Result<(usize, u64), ValidatorsError> {
        if by == 0 {
            return Err(ValidatorsError::ZeroWeight);
        }
        let index = *self.indices.get(&node).ok_or(ValidatorsError::Missing)?;
        Ok((index, self.validators[index].weight))
    }

    fn change_weight(&mut self, index: usize, old: u64, new: u64) {
        self.validators[index].weight = new;
        self.weights.change(index, old, new);
        self.total_weight = self.total_weight - u128::from(old) + u128::from(new);
        let node = self.validators[index].node;
        for listener in &self.global_listeners {
            listener.weight_changed(self.subnet, node, old, new);
        }
        for listener in &self.listeners {
            listener.weight_changed(node, old, new);
        }
    }

    fn remove(&mut self, index: usize, weight: u64) {
        let node = self.validators.swap_remove(index).node;
        self.indices.remove(&node);
        self.weights.pop();
        if let Some(moved) = self.validators.get(index) {
            self.indices.insert(moved.node, index);
            self.weights.change(index, weight, moved.weight);
        }
        self.total_weight -= u128::from(weight);
        for listener in &self.global_listeners {
            listener.removed(self.subnet, node, weight);
        }
        for listener in &self.listeners {
            listener.removed(node, weight);
        }
    }

    pub(super) fn register_global_listener(&mut self, listener: Arc<dyn ManagerListener>) {
        for validator in &self.validators {
            let Validator { node, public_key, tx, weight } = validator;
            listener.added(self.subnet, *node, public_key.as_ref(), *tx, *weight);
        }
        self.global_listeners.push(listener);
    }

    pub(super) fn register_listener(&mut self, listener: Arc<dyn SetListener>) {
        for validator in &self.validators {
            let Validator { node, public_key, tx, weight } = validator;
            listener.added(*node, public_key.as_ref(), *tx, *weight);
        }
        self.listeners.push(listener);
    }

    /// Whether nobody needs this set any more.
    pub(super) fn is_unused(&self) -> bool {
        self.validators.is_empty() && self.listeners.is_empty()
    }

    /// A validator by node.
    pub fn get(&self, node: &NodeId) -> Option<&Validator> {
        self.indices.get(node).map(|index| &self.validators[*index])
    }

    /// The validators in their order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The validators by node, as VMs see them.
    pub fn outputs(&self) -> BTreeMap<NodeId, ValidatorOutput> {
        let output = |validator: &Validator| ValidatorOutput {
            node: validator.node,
            public_key: validator.public_key.clone(),
            weight: validator.weight,
        };
        self.validators.iter().map(|validator| (validator.node, output(validator))).collect()
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> Result<u64, ValidatorsError> {
        u64::try_from(self.total_weight)
            .map_err(|_| ValidatorsError::TotalTooLarge(self.total_weight))
    }

    /// Draws `size` units of weight without replacement and puts their owners into `out`, which is
    /// cleared first. `units` is memory to be used again.
    pub(super) fn sample<S: Source + ?Sized>(
        &self,
        size: usize,
        units: &mut Uniform,
        source: &mut S,
        out: &mut Vec<NodeId>,
    ) -> Result<(), SampleError> {
        out.clear();
        let total = self.total_weight().map_err(|_| SampleError::Overflow)?;
        if total < size as u64 {
            return Err(SampleError::InsufficientWeight);
        }
        units.set_length(total);
        for _ in 0..size {
            let unit = units.next(source).ok_or(SampleError::InsufficientWeight)?;
            out.push(self.validators[self.weights.index_of(unit)].node);
        }
        Ok(())
    }

    /// Writes the set as upstream prints it, `prefix` before each line but the first.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, prefix: &str) -> fmt::Result {
        let count = self.validators.len();
        write!(f, "Validator Set: (Size = {count}, Weight = {})", self.total_weight)?;
        let width = count.saturating_sub(1).to_string().len();
        for (index, Validator { node, weight, .. }) in self.validators.iter().enumerate() {
            let node = node.to_string();
            write!(f, "\n{prefix}    Validator[{index:0width$}]: {node:>33}, {weight}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}
