//! The validators at one height of the P-Chain, ready to be drawn from.

use std::ops::Range;

use sastrugi_types::{
    NodeId,
    sampler::{
        Mt19937_64, SampleError, Source, WeightedHeap, first_of_mt19937_64, uniform_inclusive,
    },
};
use sastrugi_vm::validators::ValidatorSet;

/// Slots whose generators are seeded side by side: enough to keep the processor busy.
const LANES: usize = 11;

/// Validators in the order of their IDs, and the owner of each unit of weight.
#[derive(Debug)]
pub(super) struct Schedule {
    nodes: Vec<NodeId>,
    owners: WeightedHeap,
}

impl Schedule {
    /// # Errors
    /// [`SampleError::WeightOverflow`]
    pub(super) fn new(set: &ValidatorSet) -> Result<Self, SampleError> {
        let active = set.iter().filter(|(node, _)| **node != NodeId::default());
        let (nodes, weights): (Vec<_>, Vec<_>) =
            active.map(|(node, output)| (*node, output.weight)).unzip();
        Ok(Self { nodes, owners: WeightedHeap::new(weights)? })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn total_weight(&self) -> u64 {
        self.owners.total_weight()
    }

    /// The validator that owns a unit of weight.
    pub(super) fn owner(&self, unit: u64) -> Option<NodeId> {
        self.owners.index_of(unit).map(|index| self.nodes[index])
    }

    /// The validator that a generator with this seed draws; none if there is no weight.
    pub(super) fn proposer(&self, seed: u64) -> Option<NodeId> {
        let [first] = first_of_mt19937_64([seed]);
        self.drawn_by(FirstKnown::new(seed, first)).map(|index| self.nodes[index])
    }

    /// The first of these slots in which `node` is drawn, given the seed of each.
    pub(super) fn first_slot_of(
        &self,
        node: NodeId,
        slots: Range<u64>,
        seed: impl Fn(u64) -> u64,
    ) -> Option<u64> {
        let own = self.nodes.binary_search(&node).ok()?;
        for start in slots.clone().step_by(LANES) {
            let lanes: [u64; LANES] = std::array::from_fn(|lane| start.wrapping_add(lane as u64));
            let seeds = lanes.map(&seed);
            let firsts = first_of_mt19937_64(seeds);
            for (slot, (seed, first)) in lanes.into_iter().zip(seeds.into_iter().zip(firsts)) {
                let drawn = self.drawn_by(FirstKnown::new(seed, first));
                if drawn == Some(own) && slots.contains(&slot) {
                    return Some(slot);
                }
            }
        }
        None
    }

    /// The position of the validator that a generator draws.
    fn drawn_by(&self, mut source: FirstKnown) -> Option<usize> {
        let last = self.total_weight().checked_sub(1)?;
        self.owners.index_of(uniform_inclusive(&mut source, last))
    }
}

/// A generator whose first number was computed without it. A second one is hardly ever drawn.
struct FirstKnown {
    seed: u64,
    first: Option<u64>,
    rest: Option<Box<Mt19937_64>>,
}

impl FirstKnown {
    const fn new(seed: u64, first: u64) -> Self {
        Self { seed, first: Some(first), rest: None }
    }
}

impl Source for FirstKnown {
    fn next_u64(&mut self) -> u64 {
        if let Some(first) = self.first.take() {
            return first;
        }
        let rest = self.rest.get_or_insert_with(|| {
            let mut whole = Box::new(Mt19937_64::new(self.seed));
            whole.next_u64();
            whole
        });
        rest.next_u64()
    }
}
