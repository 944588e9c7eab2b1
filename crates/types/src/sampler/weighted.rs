//! Sampling in proportion to weights.

use super::{SampleError, Source, Uniform};

/// Maps each unit of weight to the index that owns it.
///
/// Every node must map alike, so the order of owners is upstream's: that of a binary heap walked
/// from the root, left before right. Its elements are sorted by falling weight, then rising index,
/// and each knows the weight of its whole subtree.
///
/// Upstream walks the heap at each draw. Here the walk is done once, and a guide to the units makes
/// a draw take constant time where weights are alike (logarithmic time at worst).
#[derive(Clone, Debug, Default)]
pub struct WeightedHeap {
    /// Weight and index of each element in heap order, see [`rank`].
    ranks: Vec<u128>,
    /// The weight of each element's subtree.
    subtree_weights: Vec<u64>,
    /// The owners in the order of their units; those of weight 0 are left out.
    owners: Vec<Owner>,
    /// For each bucket of 2^`bucket_bits` units the position of the first unit's owner, and at the
    /// end the last owner.
    guide: Vec<u32>,
    bucket_bits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    /// The first unit behind its own.
    end: u64,
    index: usize,
}

/// One number for an element, so that sorting compares numbers: the complement of its weight, and
/// its index.
const fn rank(weight: u64, index: usize) -> u128 {
    ((!weight as u128) << 64) | index as u128
}

const fn weight_of(rank: u128) -> u64 {
    !((rank >> 64) as u64)
}

const fn index_of(rank: u128) -> usize {
    rank as u64 as usize
}

impl WeightedHeap {
    /// A heap of `weights`, where an index is a position in the iterator.
    ///
    /// # Errors
    /// [`SampleError::WeightOverflow`]
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Result<Self, SampleError> {
        let mut heap = Self::default();
        heap.set_weights(weights)?;
        Ok(heap)
    }

    /// Replaces all weights and keeps the memory.
    ///
    /// # Errors
    /// [`SampleError::WeightOverflow`]; the heap is then empty.
    pub fn set_weights(
        &mut self,
        weights: impl IntoIterator<Item = u64>,
    ) -> Result<(), SampleError> {
        self.ranks.clear();
        self.owners.clear();
        let weights = weights.into_iter().enumerate();
        self.ranks.extend(weights.map(|(index, weight)| rank(weight, index)));
        self.ranks.sort_unstable();
        let result = self.add_up();
        if result.is_err() {
            self.ranks.clear();
            self.subtree_weights.clear();
        }
        self.list_owners(0, 0);
        self.guide_to_owners();
        result
    }

    fn add_up(&mut self) -> Result<(), SampleError> {
        let sums = &mut self.subtree_weights;
        sums.clear();
        sums.extend(self.ranks.iter().map(|rank| weight_of(*rank)));
        for child in (1..sums.len()).rev() {
            let weight = sums[child];
            let sum = &mut sums[(child - 1) / 2];
            *sum = sum.checked_add(weight).ok_or(SampleError::WeightOverflow)?;
        }
        Ok(())
    }

    /// Lists the owners of the subtree at a position, which comes after `end` units. Recursion goes
    /// no deeper than the heap: the bits of a position bound it.
    fn list_owners(&mut self, mut position: usize, mut end: u64) -> u64 {
        // Below an element of weight 0 there are only such.
        while let Some(rank) = self.ranks.get(position).filter(|rank| weight_of(**rank) > 0) {
            end += weight_of(*rank);
            self.owners.push(Owner { end, index: index_of(*rank) });
            let (left, right) = (2 * position + 1, 2 * position + 2);
            if right < self.ranks.len() {
                end = self.list_owners(left, end);
                position = right;
            } else {
                position = left;
            }
        }
        end
    }

    fn guide_to_owners(&mut self) {
        self.guide.clear();
        let Some(last) = self.owners.len().checked_sub(1) else { return };
        let unit_bits = u64::BITS - (self.total_weight() - 1).leading_zeros();
        let guide_bits = usize::BITS - last.leading_zeros();
        self.bucket_bits = unit_bits.saturating_sub(guide_bits).min(u64::BITS - 1);
        let mut bucket = 0;
        for (position, owner) in (0u32..).zip(&self.owners) {
            // The bucket of its last unit: it owns the first unit of each one up to there that none
            // before it owns.
            let last_bucket = (owner.end - 1) >> self.bucket_bits;
            if last_bucket >= bucket {
                let count = (last_bucket + 1 - bucket) as usize;
                self.guide.extend(std::iter::repeat_n(position, count));
                bucket = last_bucket + 1;
            }
        }
        self.guide.push(last as u32);
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u64 {
        self.subtree_weights.first().copied().unwrap_or_default()
    }

    /// The index that owns unit number `unit`; none if there are not so many units. Indices of
    /// weight 0 own nothing.
    #[inline]
    pub fn index_of(&self, unit: u64) -> Option<usize> {
        if unit >= self.total_weight() {
            return None;
        }
        let bucket = (unit >> self.bucket_bits) as usize;
        let (first, last) = (self.guide[bucket], self.guide[bucket + 1]);
        let owners = &self.owners[first as usize..=last as usize];
        let position = owners.partition_point(|owner| owner.end <= unit);
        owners.get(position).map(|owner| owner.index)
    }

    /// The elements in heap order: weight, weight of the subtree, index.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = (u64, u64, usize)> + '_ {
        let elements = self.ranks.iter().zip(&self.subtree_weights);
        elements.map(|(rank, subtree_weight)| (weight_of(*rank), *subtree_weight, index_of(*rank)))
    }
}

/// Draws units of weight without replacement. An index comes up to as many times as it has units.
#[derive(Clone, Debug)]
pub struct WeightedWithoutReplacement {
    heap: WeightedHeap,
    units: Uniform,
}

impl WeightedWithoutReplacement {
    /// A sampler of `weights`, where an index is a position in the iterator.
    ///
    /// # Errors
    /// [`SampleError::WeightOverflow`]
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Result<Self, SampleError> {
        let heap = WeightedHeap::new(weights)?;
        let units = Uniform::new(heap.total_weight());
        Ok(Self { heap, units })
    }

    /// Replaces all weights and keeps the memory.
    ///
    /// # Errors
    /// [`SampleError::WeightOverflow`]; there is then nothing to sample.
    pub fn set_weights(
        &mut self,
        weights: impl IntoIterator<Item = u64>,
    ) -> Result<(), SampleError> {
        let result = self.heap.set_weights(weights);
        self.units.set_length(self.heap.total_weight());
        result
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u64 {
        self.heap.total_weight()
    }

    /// Puts all units back and draws `count` of them; their indices go into `out`, which is cleared
    /// first.
    ///
    /// # Errors
    /// [`SampleError::NotEnough`] when `count` is above the total weight. `out` is then empty.
    pub fn sample<S: Source + ?Sized>(
        &mut self,
        source: &mut S,
        count: usize,
        out: &mut Vec<usize>,
    ) -> Result<(), SampleError> {
        sample_units(&mut self.units, source, count, out, |unit| self.heap.index_of(unit))
    }
}

/// Draws units without replacement and turns each into its owner.
pub(super) fn sample_units<S: Source + ?Sized>(
    units: &mut Uniform,
    source: &mut S,
    count: usize,
    out: &mut Vec<usize>,
    owner: impl Fn(u64) -> Option<usize>,
) -> Result<(), SampleError> {
    units.reset();
    out.clear();
    for _ in 0..count {
        let Some(index) = units.next(source).and_then(&owner) else {
            out.clear();
            return Err(SampleError::NotEnough);
        };
        out.push(index);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::Mt19937_64;

    #[test]
    fn the_heap_of_the_reference_example() {
        let heap = WeightedHeap::new([2, 2, 1, 3, 3, 1, 3]).unwrap();
        let order: Vec<_> = heap.elements().map(|(_, _, index)| index).collect();
        assert_eq!(order, [3, 4, 6, 0, 1, 2, 5]);
        let owners: Vec<_> = (0..=15).map(|unit| heap.index_of(unit)).collect();
        let expected = [3, 3, 3, 4, 4, 4, 0, 0, 1, 1, 6, 6, 6, 2, 5].map(Some);
        assert_eq!(owners[..15], expected);
        assert_eq!(owners[15], None);
    }

    proptest! {
        #[test]
        fn the_guide_finds_what_a_walk_through_the_heap_finds(
            weights in prop::collection::vec(
                prop_oneof![0u64..4, 0u64..1000, any::<u64>().prop_map(|weight| weight >> 8)],
                0..60,
            ),
            units: Vec<u64>,
        ) {
            let heap = WeightedHeap::new(weights).unwrap();
            let edges = heap.owners.iter().flat_map(|owner| [owner.end - 1, owner.end]);
            let total = heap.total_weight().max(1);
            for unit in edges.chain(units.into_iter().map(|unit| unit % total)) {
                prop_assert_eq!(heap.index_of(unit), walk(&heap, unit), "{}", unit);
            }
        }
    }

    /// The rule of upstream.
    fn walk(heap: &WeightedHeap, mut unit: u64) -> Option<usize> {
        if unit >= heap.total_weight() {
            return None;
        }
        let mut position = 0;
        loop {
            let weight = weight_of(heap.ranks[position]);
            if unit < weight {
                return Some(index_of(heap.ranks[position]));
            }
            unit -= weight;
            position = 2 * position + 1;
            let left = heap.subtree_weights[position];
            if unit >= left {
                unit -= left;
                position += 1;
            }
        }
    }

    #[test]
    fn weights_may_not_overflow() {
        let mut heap = WeightedHeap::new([1]).unwrap();
        assert_eq!(heap.set_weights([u64::MAX, 1]), Err(SampleError::WeightOverflow));
        assert_eq!(heap.total_weight(), 0);
        assert!(WeightedHeap::new([u64::MAX, 0]).is_ok());
    }

    #[test]
    fn each_index_comes_as_often_as_its_weight() {
        let mut sampler = WeightedWithoutReplacement::new([2, 0, 3]).unwrap();
        let mut out = Vec::new();
        sampler.sample(&mut Mt19937_64::new(9), 5, &mut out).unwrap();
        out.sort_unstable();
        assert_eq!(out, [0, 0, 2, 2, 2]);
        let result = sampler.sample(&mut Mt19937_64::new(9), 6, &mut out);
        assert_eq!((result, out), (Err(SampleError::NotEnough), vec![]));
    }
}
