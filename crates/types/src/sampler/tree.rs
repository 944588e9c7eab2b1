//! Weights that change between samples.

use super::{SampleError, Source, Uniform, weighted::sample_units};

/// Samples in proportion to weights, and changes a weight in logarithmic time.
///
/// For polls and other choices that need not be the same on every node: units are owned in the
/// order of the indices, not in that of [`WeightedHeap`](super::WeightedHeap). No counterpart
/// upstream, which builds its heap anew after each change.
#[derive(Clone, Debug)]
pub struct WeightTree {
    weights: Vec<u64>,
    /// A Fenwick tree: `sums[i]` is the weight of the 2^z indices up to `i`, where z is the number
    /// of trailing zeros of `i + 1`.
    sums: Vec<u64>,
    total: u64,
    units: Uniform,
}

impl Default for WeightTree {
    fn default() -> Self {
        Self { weights: Vec::new(), sums: Vec::new(), total: 0, units: Uniform::new(0) }
    }
}

impl WeightTree {
    /// A tree without indices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of indices.
    pub const fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is no index.
    pub const fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The weight of an index; 0 if there is no such index.
    pub fn weight(&self, index: usize) -> u64 {
        self.weights.get(index).copied().unwrap_or_default()
    }

    /// The sum of all weights.
    pub const fn total_weight(&self) -> u64 {
        self.total
    }

    /// Adds an index behind the others.
    ///
    /// # Errors
    /// [`SampleError::WeightOverflow`]; nothing is added then.
    pub fn push(&mut self, weight: u64) -> Result<(), SampleError> {
        let total = self.total.checked_add(weight).ok_or(SampleError::WeightOverflow)?;
        let index = self.weights.len();
        let covered = index + 1 - lowest_bit(index + 1);
        let mut sum = weight;
        let mut end = index;
        while end > covered {
            sum += self.sums[end - 1];
            end -= lowest_bit(end);
        }
        self.weights.push(weight);
        self.sums.push(sum);
        self.set_total(total);
        Ok(())
    }

    /// Takes away the last index and returns its weight.
    pub fn pop(&mut self) -> Option<u64> {
        let weight = self.weights.pop()?;
        self.sums.pop();
        self.set_total(self.total - weight);
        Some(weight)
    }

    /// Changes the weight of an index. Indices that do not exist are ignored.
    ///
    /// # Errors
    /// [`SampleError::WeightOverflow`]; nothing is changed then.
    pub fn set(&mut self, index: usize, weight: u64) -> Result<(), SampleError> {
        let Some(slot) = self.weights.get_mut(index) else { return Ok(()) };
        let others = self.total - *slot;
        let total = others.checked_add(weight).ok_or(SampleError::WeightOverflow)?;
        let before = std::mem::replace(slot, weight);
        let mut end = index + 1;
        while let Some(sum) = self.sums.get_mut(end - 1) {
            *sum = (*sum - before) + weight;
            end += lowest_bit(end);
        }
        self.set_total(total);
        Ok(())
    }

    /// The index that owns unit number `unit`; none if there are not so many units.
    pub fn index_of(&self, unit: u64) -> Option<usize> {
        owner(&self.sums, self.total, unit)
    }

    /// Draws `count` units without replacement; their indices go into `out`, which is cleared
    /// first. An index comes up to as many times as it has units.
    ///
    /// # Errors
    /// [`SampleError::NotEnough`] when `count` is above the total weight. `out` is then empty.
    pub fn sample<S: Source + ?Sized>(
        &mut self,
        source: &mut S,
        count: usize,
        out: &mut Vec<usize>,
    ) -> Result<(), SampleError> {
        let Self { sums, total, units, .. } = self;
        sample_units(units, source, count, out, |unit| owner(sums, *total, unit))
    }

    fn set_total(&mut self, total: u64) {
        self.total = total;
        self.units.set_length(total);
    }
}

fn owner(sums: &[u64], total: u64, mut unit: u64) -> Option<usize> {
    if unit >= total {
        return None;
    }
    let mut index = 0;
    let steps = usize::BITS - sums.len().leading_zeros();
    for step in (0..steps).rev() {
        let end = index + (1 << step);
        if let Some(sum) = sums.get(end - 1).filter(|sum| **sum <= unit) {
            unit -= sum;
            index = end;
        }
    }
    Some(index)
}

/// The lowest set bit of a number that is not 0.
const fn lowest_bit(number: usize) -> usize {
    1 << number.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::Mt19937_64;

    /// The owner of each unit, one by one.
    fn owners(weights: &[u64]) -> Vec<usize> {
        let indexed = weights.iter().enumerate();
        indexed.flat_map(|(index, weight)| (0..*weight).map(move |_| index)).collect()
    }

    proptest! {
        #[test]
        fn a_tree_is_a_list_of_weights(
            changes in prop::collection::vec((0usize..12, 0u64..5), 0..60),
        ) {
            let mut tree = WeightTree::new();
            let mut weights = Vec::new();
            for (index, weight) in changes {
                if index < weights.len() {
                    tree.set(index, weight).unwrap();
                    weights[index] = weight;
                } else if index == 11 {
                    prop_assert_eq!(tree.pop(), weights.pop());
                } else {
                    tree.push(weight).unwrap();
                    weights.push(weight);
                }
                let units = 0..tree.total_weight();
                let found: Vec<_> = units.map(|unit| tree.index_of(unit).unwrap()).collect();
                prop_assert_eq!(found, owners(&weights));
                prop_assert_eq!(tree.index_of(tree.total_weight()), None);
            }
        }
    }

    #[test]
    fn all_units_can_be_drawn() {
        let mut tree = WeightTree::new();
        for weight in [2, 0, 3] {
            tree.push(weight).unwrap();
        }
        let (mut source, mut out) = (Mt19937_64::new(4), Vec::new());
        tree.sample(&mut source, 5, &mut out).unwrap();
        out.sort_unstable();
        assert_eq!(out, [0, 0, 2, 2, 2]);
        assert_eq!(tree.sample(&mut source, 6, &mut out), Err(SampleError::NotEnough));
    }

    #[test]
    fn an_overflow_changes_nothing() {
        let mut tree = WeightTree::new();
        tree.push(u64::MAX).unwrap();
        assert_eq!(tree.push(1), Err(SampleError::WeightOverflow));
        tree.push(0).unwrap();
        assert_eq!(tree.set(1, 1), Err(SampleError::WeightOverflow));
        assert_eq!((tree.len(), tree.weight(1), tree.total_weight()), (2, 0, u64::MAX));
        assert_eq!(tree.index_of(u64::MAX - 1), Some(0));
    }
}
