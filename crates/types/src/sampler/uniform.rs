//! Sampling without replacement from `0..length`.

use super::{SampleError, Source, uniform_inclusive};

/// Draws different numbers of `0..length`, each rest equally likely: a Fisher–Yates shuffle that
/// stores only what it moved.
///
/// A draw costs constant time and memory, whatever the length (a sum of weights may be near 2⁶⁴).
/// Once the largest sample was taken, no further one allocates.
#[derive(Clone, Debug)]
pub struct Uniform {
    length: u64,
    drawn: u64,
    moved: MovedNumbers,
}

impl Uniform {
    /// A sampler of `0..length`.
    pub fn new(length: u64) -> Self {
        Self { length, drawn: 0, moved: MovedNumbers::default() }
    }

    /// Starts again with another length.
    pub fn set_length(&mut self, length: u64) {
        self.length = length;
        self.reset();
    }

    /// Puts all drawn numbers back.
    pub fn reset(&mut self) {
        self.drawn = 0;
        self.moved.clear();
    }

    /// Draws one more number; none once all were drawn.
    #[inline]
    pub fn next<S: Source + ?Sized>(&mut self, source: &mut S) -> Option<u64> {
        let left = self.length.checked_sub(self.drawn).filter(|left| *left > 0)?;
        let slot = uniform_inclusive(source, left - 1) + self.drawn;
        let first = self.moved.get(self.drawn);
        self.drawn += 1;
        Some(self.moved.replace(slot, first))
    }

    /// Puts all numbers back and draws `count` of them into `out`, which is cleared first.
    ///
    /// # Errors
    /// [`SampleError::NotEnough`] when `count` is above the length. `out` is then empty, and as
    /// many numbers were taken from the source as upstream takes.
    pub fn sample<S: Source + ?Sized>(
        &mut self,
        source: &mut S,
        count: usize,
        out: &mut Vec<u64>,
    ) -> Result<(), SampleError> {
        self.reset();
        out.clear();
        for _ in 0..count {
            let Some(number) = self.next(source) else {
                out.clear();
                return Err(SampleError::NotEnough);
            };
            out.push(number);
        }
        Ok(())
    }
}

/// Which number stands in which slot, where that is not the slot's own: a hash table with linear
/// probing that is emptied by changing the generation.
#[derive(Clone, Debug, Default)]
struct MovedNumbers {
    entries: Vec<Entry>,
    used: usize,
    generation: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    generation: u64,
    slot: u64,
    number: u64,
}

const ENTRIES_MIN: usize = 256;

impl MovedNumbers {
    fn clear(&mut self) {
        self.used = 0;
        self.generation += 1;
    }

    #[inline]
    fn get(&self, slot: u64) -> u64 {
        if self.entries.is_empty() {
            return slot;
        }
        let entry = &self.entries[self.position(slot)];
        if entry.generation == self.generation { entry.number } else { slot }
    }

    /// Puts `number` into `slot` and returns what stood there.
    #[inline]
    fn replace(&mut self, slot: u64, number: u64) -> u64 {
        if 2 * self.used >= self.entries.len() {
            self.grow();
        }
        let position = self.position(slot);
        let generation = self.generation;
        let entry = &mut self.entries[position];
        let replaced = if entry.generation == generation {
            entry.number
        } else {
            self.used += 1;
            slot
        };
        *entry = Entry { generation, slot, number };
        replaced
    }

    /// Where `slot` is, or where it belongs. Slots are drawn at random, or small and consecutive, so
    /// their low bits spread them well.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "which of the two conditions holds cannot be predicted, that one of them does can"
    )]
    #[inline]
    fn position(&self, slot: u64) -> usize {
        let mask = self.entries.len() - 1;
        let mut position = slot as usize & mask;
        loop {
            let entry = &self.entries[position];
            if (entry.generation != self.generation) | (entry.slot == slot) {
                return position;
            }
            position = (position + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        // Entries of generation 0 are vacant, so the live generation is never 0.
        self.generation = self.generation.max(1);
        let size = (2 * self.entries.len()).max(ENTRIES_MIN);
        let old = std::mem::replace(&mut self.entries, vec![Entry::default(); size]);
        for entry in old.into_iter().filter(|entry| entry.generation == self.generation) {
            let position = self.position(entry.slot);
            self.entries[position] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sampler::Mt19937_64;

    #[test]
    fn all_numbers_come_once() {
        let mut source = Mt19937_64::new(1);
        for length in [1, 2, 63, 64, 65, 1000] {
            let mut uniform = Uniform::new(length);
            let mut out = Vec::new();
            for _ in 0..3 {
                uniform.sample(&mut source, length as usize, &mut out).unwrap();
                let distinct: BTreeSet<_> = out.iter().copied().collect();
                assert_eq!(distinct, (0..length).collect());
                assert_eq!(uniform.next(&mut source), None);
            }
        }
    }

    #[test]
    fn the_longest_range_can_be_sampled() {
        let mut uniform = Uniform::new(u64::MAX);
        let mut out = Vec::new();
        uniform.sample(&mut Mt19937_64::new(2), 10_000, &mut out).unwrap();
        assert_eq!(out.iter().collect::<BTreeSet<_>>().len(), 10_000);
    }

    #[test]
    fn a_sample_that_is_too_large_leaves_nothing() {
        let mut out = vec![1];
        let result = Uniform::new(3).sample(&mut Mt19937_64::new(3), 4, &mut out);
        assert_eq!((result, out), (Err(SampleError::NotEnough), vec![]));
    }
}
