//! Weights by index, and which index owns a unit of weight.

use std::hint::select_unpredictable;

/// A binary indexed tree: entry `i`, counted from 1, holds the sum of the `i & −i` weights that end
/// with weight `i`. Sums wrap; they are right as long as all weights together fit 64 bits.
#[derive(Clone, Debug, Default)]
pub(super) struct WeightTree {
    /// As many as a power of two; those without a weight are [`VACANT`].
    sums: Vec<u64>,
    weights: usize,
}

/// More than any unit's number, so that a search never goes past it.
const VACANT: u64 = u64::MAX;

impl WeightTree {
    /// Appends a weight.
    pub(super) fn push(&mut self, weight: u64) {
        self.weights += 1;
        let position = self.weights;
        let stop = position & (position - 1);
        let mut sum = weight;
        let mut part = position - 1;
        while part > stop {
            sum = sum.wrapping_add(self.sums[part - 1]);
            part &= part - 1;
        }
        self.sums.resize(position.next_power_of_two().max(self.sums.len()), VACANT);
        self.sums[position - 1] = sum;
    }

    /// Removes the last weight.
    pub(super) fn pop(&mut self) {
        if let Some(last) = self.weights.checked_sub(1) {
            self.sums[last] = VACANT;
            self.weights = last;
        }
    }

    /// Changes the weight at `index` from `old` to `new`.
    pub(super) fn change(&mut self, index: usize, old: u64, new: u64) {
        let mut position = index + 1;
        while position <= self.weights {
            let sum = &mut self.sums[position - 1];
            *sum = sum.wrapping_sub(old).wrapping_add(new);
            position += position & position.wrapping_neg();
        }
    }

    /// The index that owns unit number `unit`, which must be below the sum of all weights: the
    /// first one with more than `unit` units up to and including it.
    #[inline]
    pub(super) fn index_of(&self, mut unit: u64) -> usize {
        let mut index = 0;
        let mut step = self.sums.len() / 2;
        while step > 0 {
            let sum = self.sums[index + step - 1];
            let is_beyond = sum <= unit;
            unit -= select_unpredictable(is_beyond, sum, 0);
            index += select_unpredictable(is_beyond, step, 0);
            step /= 2;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(tree: &WeightTree, total: u64) -> Vec<usize> {
        (0..total).map(|unit| tree.index_of(unit)).collect()
    }

    fn expected(weights: &[u64]) -> Vec<usize> {
        weights.iter().enumerate().flat_map(|(i, w)| vec![i; *w as usize]).collect()
    }

    #[test]
    fn units_belong_to_their_index_through_all_changes() {
        let mut tree = WeightTree::default();
        let mut weights: Vec<u64> = Vec::new();
        let mut state = 1u64;
        for _ in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let weight = (state >> 40) % 5;
            let index = (state >> 50) as usize % (weights.len() + 1);
            match (state >> 33) % 3 {
                0 if weights.len() < 40 => {
                    tree.push(weight);
                    weights.push(weight);
                }
                1 if index < weights.len() => {
                    tree.change(index, weights[index], weight);
                    weights[index] = weight;
                }
                _ => {
                    tree.pop();
                    weights.pop();
                }
            }
            assert_eq!(owners(&tree, weights.iter().sum()), expected(&weights));
        }
    }

    #[test]
    fn the_largest_total_works() {
        let mut tree = WeightTree::default();
        for weight in [1, u64::MAX - 2, 1] {
            tree.push(weight);
        }
        let found = [0, 1, u64::MAX - 2, u64::MAX - 1].map(|unit| tree.index_of(unit));
        assert_eq!(found, [0, 1, 1, 2]);
    }
}
