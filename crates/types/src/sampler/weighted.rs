//! Sampling in proportion to weights.

use super::{SampleError, Source, Uniform};

/// Maps each unit of weight to the index that owns it.
///
/// A binary heap by weight, in which heavy indices are found early. Every node must build the same
/// heap, because it decides which index a unit belongs to: elements are sorted by falling weight,
/// then rising index, and each knows the weight of its whole subtree.
#[derive(Clone, Debug, Default)]
pub struct WeightedHeap {
    elements: Vec<Element>,
}

#[derive(Clone, Copy, Debug)]
struct Element {
    weight: u64,
    subtree_weight: u64,
    index: usize,
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
        self.elements.clear();
        let weights = weights.into_iter().enumerate();
        self.elements.extend(weights.map(|(index, weight)| Element {
            weight,
            subtree_weight: weight,
            index,
        }));
        self.elements.sort_unstable_by(|a, b| b.weight.cmp(&a.weight).then(a.index.cmp(&b.index)));
        for child in (1..self.elements.len()).rev() {
            let weight = self.elements[child].subtree_weight;
            let parent = &mut self.elements[(child - 1) / 2];
            let Some(sum) = parent.subtree_weight.checked_add(weight) else {
                self.elements.clear();
                return Err(SampleError::WeightOverflow);
            };
            parent.subtree_weight = sum;
        }
        Ok(())
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u64 {
        self.elements.first().map_or(0, |root| root.subtree_weight)
    }

    /// The index that owns unit number `unit`; none if there are not so many units. Indices of
    /// weight 0 own nothing.
    pub fn index_of(&self, mut unit: u64) -> Option<usize> {
        if unit >= self.total_weight() {
            return None;
        }
        let mut position = 0;
        loop {
            let element = self.elements.get(position)?;
            if unit < element.weight {
                return Some(element.index);
            }
            unit -= element.weight;
            position = 2 * position + 1;
            let left = self.elements.get(position)?;
            if unit >= left.subtree_weight {
                unit -= left.subtree_weight;
                position += 1;
            }
        }
    }

    /// The elements in heap order: weight, weight of the subtree, index.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = (u64, u64, usize)> + '_ {
        self.elements.iter().map(|element| (element.weight, element.subtree_weight, element.index))
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
        self.units.reset();
        out.clear();
        for _ in 0..count {
            let drawn = self.units.next(source).and_then(|unit| self.heap.index_of(unit));
            let Some(index) = drawn else {
                out.clear();
                return Err(SampleError::NotEnough);
            };
            out.push(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
