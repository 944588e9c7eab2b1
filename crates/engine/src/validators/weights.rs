//! Weights by index, and which index owns a unit of weight.

/// A binary indexed tree: entry `i`, counted from 1, holds the sum of the `i & −i` weights that end
/// with weight `i`. Sums wrap; they are right as long as all weights together fit 64 bits.
#[derive(Clone, Debug, Default)]
pub(super) struct WeightTree {
    sums: Vec<u64>,
}

impl WeightTree {
    /// Appends a weight.
    pub(super) fn push(&mut self, weight: u64) {
        let position = self.sums.len() + 1;
        let stop = position & (position - 1);
        let mut sum = weight;
        let mut part = position - 1;
        while part > stop {
            sum = sum.wrapping_add(self.sums[part - 1]);
            part &= part - 1;
        }
        self.sums.push(sum);
    }

    /// Removes the last weight.
    pub(super) fn pop(&mut self) {
        self.sums.pop();
    }

    /// Changes the weight at `index` from `old` to `new`.
    pub(super) fn change(&mut self, index: usize, old: u64, new: u64) {
        let mut position = index + 1;
        while let Some(sum) = self.sums.get_mut(position - 1) {
            *sum = sum.wrapping_sub(old).wrapping_add(new);
            position += position & position.wrapping_neg();
        }
    }

    /// The index that owns unit number `unit`, which must be below the sum of all weights: the
    /// first one with more than `unit` units up to and including it.
    pub(super) fn index_of(&self, mut unit: u64) -> usize {
        let mut index = 0;
        let mut step = (self.sums.len() + 1).next_power_of_two() / 2;
        while step > 0 {
            if let Some(sum) = self.sums.get(index + step - 1)
                && *sum <= unit
            {
                unit -= sum;
                index += step;
            }
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
