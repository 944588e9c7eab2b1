//! The 256 bits of an ID, as the snowball tree reads them, and sets stored as bits.
//!
//! Bit `i` of an ID is bit `i mod 8`, least significant first, of byte `i / 8`. Upstream:
//! `ids/bits.go`.

mod set;

pub use set::{BitSet, BitSet64};

use crate::Id;

/// Number of bits of an [`Id`].
pub const ID_BITS: usize = 256;

/// Bit `index` of `id` as an index: 0 or 1. Bits past the end are 0.
pub fn bit(id: &Id, index: usize) -> usize {
    id.0.get(index / 8).map_or(0, |byte| usize::from(byte >> (index % 8) & 1))
}

/// Whether `a` and `b` agree on the bits `start..stop`. True for an empty range; false for a range
/// that goes past the last bit.
pub fn equal_subset(start: usize, stop: usize, a: &Id, b: &Id) -> bool {
    start >= stop || (stop <= ID_BITS && first_difference(start, stop, a, b).is_none())
}

/// The lowest bit of `start..stop` on which `a` and `b` differ. None for an empty range and for one
/// that goes past the last bit.
pub fn first_difference(start: usize, stop: usize, a: &Id, b: &Id) -> Option<usize> {
    if start >= stop || stop > ID_BITS {
        return None;
    }
    let mut below_start = start % 64;
    for word in start / 64..=(stop - 1) / 64 {
        let different = (word_of(a, word) ^ word_of(b, word)) >> below_start << below_start;
        if different != 0 {
            let index = 64 * word + different.trailing_zeros() as usize;
            return (index < stop).then_some(index);
        }
        below_start = 0;
    }
    None
}

/// Bits `64 · word` and the 63 after it, the first one least significant.
fn word_of(id: &Id, word: usize) -> u64 {
    let (words, _) = id.0.as_chunks::<8>();
    u64::from_le_bytes(words[word])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: usize, value: u8) -> Id {
        let mut id = Id::EMPTY;
        id.0[byte] = value;
        id
    }

    #[test]
    fn bits_count_from_the_least_significant_of_the_first_byte() {
        for (byte, value, expected) in [(0, 0x01, 0), (0, 0x02, 1), (0, 0x80, 7), (1, 0x01, 8)] {
            let id = id(byte, value);
            assert_eq!(first_difference(0, ID_BITS, &id, &Id::EMPTY), Some(expected));
            assert_eq!(bit(&id, expected), 1);
        }
        assert_eq!(bit(&Id([0xff; 32]), ID_BITS), 0);
    }

    #[test]
    fn a_range_ends_before_its_stop() {
        let (a, b) = (Id::EMPTY, id(8, 0x10)); // differ at bit 68
        assert!(equal_subset(0, 68, &a, &b));
        assert!(!equal_subset(0, 69, &a, &b));
        assert!(equal_subset(69, ID_BITS, &a, &b));
        assert_eq!(first_difference(3, 68, &a, &b), None);
        assert_eq!(first_difference(68, 69, &a, &b), Some(68));
    }

    #[test]
    fn a_range_past_the_end_is_unequal_and_has_no_difference() {
        let (a, b) = (Id::EMPTY, id(0, 1));
        assert!(!equal_subset(0, ID_BITS + 1, &a, &a));
        assert_eq!(first_difference(0, ID_BITS + 1, &a, &b), None);
        assert!(equal_subset(ID_BITS + 1, ID_BITS + 1, &a, &b));
    }
}
