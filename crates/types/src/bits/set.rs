//! Sets of small numbers. Upstream: `utils/set/{bits,bits_64}.go`.

use std::fmt;

/// A set of numbers, stored as the bits of one large number. Its memory grows with the largest
/// member, so bound members that come from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BitSet {
    /// Least significant word first; the last one is not 0.
    words: Vec<u64>,
}

impl BitSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Reads a big-endian number. Leading zeros are ignored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes
            .rchunks(8)
            .map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        Self { words: words.collect() }.trimmed()
    }

    /// The big-endian number without leading zeros; nothing for the empty set.
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = self.words.iter().rev().flat_map(|word| word.to_be_bytes());
        all.skip_while(|byte| *byte == 0).collect()
    }

    /// Adds a member.
    pub fn add(&mut self, member: usize) {
        let word = member / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (member % 64);
    }

    /// Removes a member.
    pub fn remove(&mut self, member: usize) {
        if let Some(word) = self.words.get_mut(member / 64) {
            *word &= !(1 << (member % 64));
            self.trim();
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: usize) -> bool {
        self.words.get(member / 64).is_some_and(|word| word >> (member % 64) & 1 == 1)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no member.
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The largest member plus one; 0 for the empty set.
    pub fn bit_len(&self) -> usize {
        self.words.last().map_or(0, |last| 64 * self.words.len() - last.leading_zeros() as usize)
    }

    /// The members in rising order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 64 * index + bit)
        })
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.words.clear();
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// What is in this set but not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    fn combine(&self, other: &Self, operation: impl Fn(u64, u64) -> u64) -> Self {
        let word = |set: &Self, index| set.words.get(index).copied().unwrap_or_default();
        let words = (0..self.words.len().max(other.words.len()))
            .map(|index| operation(word(self, index), word(other, index)));
        Self { words: words.collect() }.trimmed()
    }

    fn trimmed(mut self) -> Self {
        self.trim();
        self
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

impl FromIterator<usize> for BitSet {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        let mut set = Self::new();
        for member in members {
            set.add(member);
        }
        set
    }
}

/// The bytes in hexadecimal.
impl fmt::Display for BitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.to_bytes()))
    }
}

/// A set of numbers below 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BitSet64(pub u64);

impl BitSet64 {
    /// Adds a member; numbers above 63 are ignored.
    pub const fn add(&mut self, member: u32) {
        self.0 |= Self::bit(member);
    }

    /// Removes a member.
    pub const fn remove(&mut self, member: u32) {
        self.0 &= !Self::bit(member);
    }

    /// Whether `member` is in the set.
    pub const fn contains(self, member: u32) -> bool {
        self.0 & Self::bit(member) != 0
    }

    /// Number of members.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set but not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn bit(member: u32) -> u64 {
        if member < 64 { 1 << member } else { 0 }
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for BitSet64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bit_set_is_a_set(
            a in prop::collection::btree_set(0usize..300, 0..40),
            b in prop::collection::btree_set(0usize..300, 0..40),
        ) {
            let [x, y]: [BitSet; 2] = [&a, &b].map(|set| set.iter().copied().collect());
            let members = |set: BitSet| set.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.bit_len(), a.last().map_or(0, |last| last + 1));
            prop_assert_eq!(members(x.union(&y)), &a | &b);
            prop_assert_eq!(members(x.intersection(&y)), &a & &b);
            prop_assert_eq!(members(x.difference(&y)), &a - &b);
            let mut rest = x.clone();
            for member in &b {
                rest.remove(*member);
            }
            prop_assert_eq!(&rest, &x.difference(&y));
            prop_assert_eq!(BitSet::from_bytes(&x.to_bytes()), x);
        }

        #[test]
        fn bytes_lose_only_leading_zeros(bytes: Vec<u8>) {
            let kept: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            prop_assert_eq!(BitSet::from_bytes(&bytes).to_bytes(), kept);
        }
    }

    #[test]
    fn a_small_set_ignores_what_it_cannot_hold() {
        let mut set = BitSet64::default();
        set.add(64);
        assert!(set.is_empty());
        set.add(63);
        set.remove(64);
        assert!(set.contains(63) && !set.contains(64));
    }
}
