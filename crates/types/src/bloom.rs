//! The bloom filter in which nodes tell each other what they already know.
//!
//! A filter of `k` seeds and `n` bytes sets `k` bits per key. The first hash is the start of
//! SHA-256(key ‖ salt); for each seed in order it is rotated left by 17 and xored with the seed, and
//! its remainder by `8n` names the bit, least significant first. Serialized: `k` as one byte, the
//! seeds in 8 bytes each, the bytes. Upstream: `utils/bloom/*.go`.

use std::f64::consts::LN_2;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use thiserror::Error;

use crate::{hash::sha256_parts, sampler::Source};

/// The most seeds a filter may have.
pub const HASHES_MAX: usize = 16;

/// A size that stands for "unlimited".
const UNLIMITED: usize = i64::MAX as usize;
const SEED_BYTES: usize = 8;
const ROTATION: u32 = 17;

/// Why there is no such filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BloomError {
    /// There are no bytes at all.
    #[error("invalid num hashes")]
    Empty,
    /// There is no seed.
    #[error("too few hashes")]
    TooFewHashes,
    /// There are more than [`HASHES_MAX`] seeds.
    #[error("too many hashes")]
    TooManyHashes,
    /// There is no byte of bits.
    #[error("too few entries")]
    TooFewEntries,
}

/// The hash under which a key enters a filter. `salt` differs from filter to filter, so that nobody
/// can choose a key that is missed by all of them.
pub fn hash(key: &[u8], salt: &[u8]) -> u64 {
    let digest = sha256_parts(&[key, salt]);
    let (words, _) = digest.as_chunks::<8>();
    u64::from_be_bytes(words[0])
}

/// How many seeds and bytes a filter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Number of seeds.
    pub hashes: usize,
    /// Number of bytes.
    pub entries_bytes: usize,
}

impl Parameters {
    /// The smallest filter in which, after `count` keys, a foreign key is found with the given
    /// probability. Probabilities of 0 and below ask for 2⁶³ − 1 bytes.
    pub fn optimal(count: usize, false_positive: f64) -> Self {
        let entries_bytes = Self::optimal_bytes(count, false_positive);
        let per_key = 8.0 * entries_bytes as f64 * LN_2 / count as f64;
        let hashes = if count == 0 { HASHES_MAX } else { saturate(per_key.ceil()) };
        Self { hashes: hashes.clamp(1, HASHES_MAX), entries_bytes }
    }

    fn optimal_bytes(count: usize, false_positive: f64) -> usize {
        if count == 0 || false_positive >= 1.0 {
            return 1;
        }
        if false_positive <= 0.0 {
            return UNLIMITED;
        }
        let bits = -(count as f64) * false_positive.ln() / (LN_2 * LN_2);
        saturate((bits + 7.0) / 8.0).max(1)
    }

    /// How many keys a filter may hold until a foreign key is found with the given probability.
    /// Probabilities of 1 and above are never reached: 2⁶³ − 1 keys.
    pub fn count_max(self, false_positive: f64) -> usize {
        if self.hashes == 0 || self.entries_bytes == 0 || false_positive <= 0.0 {
            return 0;
        }
        if false_positive >= 1.0 {
            return UNLIMITED;
        }
        let share = 1.0 / self.hashes as f64;
        let clear = 1.0 - false_positive.powf(share);
        saturate((-clear.ln() * 8.0 * self.entries_bytes as f64 * share).ceil())
    }

    fn check(self) -> Result<(), BloomError> {
        check_entries(self.entries_bytes)?;
        check_hashes(self.hashes)
    }
}

fn check_hashes(hashes: usize) -> Result<(), BloomError> {
    match hashes {
        0 => Err(BloomError::TooFewHashes),
        1..=HASHES_MAX => Ok(()),
        _ => Err(BloomError::TooManyHashes),
    }
}

fn check_entries(entries_bytes: usize) -> Result<(), BloomError> {
    if entries_bytes == 0 { Err(BloomError::TooFewEntries) } else { Ok(()) }
}

fn saturate(number: f64) -> usize {
    (number as usize).min(UNLIMITED)
}

type Seeds = SmallVec<[u64; HASHES_MAX]>;

/// A filter to fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    seeds: Seeds,
    entries: Vec<u8>,
    count: usize,
}

impl Filter {
    /// An empty filter with random seeds.
    ///
    /// # Errors
    /// [`BloomError`] if there are too few or too many hashes or entries.
    pub fn new<S: Source + ?Sized>(
        parameters: Parameters,
        source: &mut S,
    ) -> Result<Self, BloomError> {
        parameters.check()?;
        let seeds: Seeds = (0..parameters.hashes).map(|_| source.next_u64()).collect();
        Self::with_seeds(&seeds, parameters.entries_bytes)
    }

    /// An empty filter with the given seeds.
    ///
    /// # Errors
    /// [`BloomError`] if there are too few or too many hashes or entries.
    pub fn with_seeds(seeds: &[u64], entries_bytes: usize) -> Result<Self, BloomError> {
        Parameters { hashes: seeds.len(), entries_bytes }.check()?;
        Ok(Self { seeds: seeds.into(), entries: vec![0; entries_bytes], count: 0 })
    }

    /// Adds a key by its [`hash`]. Returns whether it was new: whether a bit changed.
    pub fn add(&mut self, hash: u64) -> bool {
        let mut is_new = false;
        for (byte, mask) in positions(&self.seeds, self.entries.len(), hash) {
            is_new |= self.entries[byte] & mask == 0;
            self.entries[byte] |= mask;
        }
        self.count += usize::from(is_new);
        is_new
    }

    /// Whether the key with this [`hash`] was added, or seems so.
    pub fn contains(&self, hash: u64) -> bool {
        contains(&self.seeds, &self.entries, hash)
    }

    /// Number of keys that were new when they were added.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Number of seeds and bytes.
    pub fn parameters(&self) -> Parameters {
        Parameters { hashes: self.seeds.len(), entries_bytes: self.entries.len() }
    }

    /// The serialized filter.
    pub fn to_bytes(&self) -> Vec<u8> {
        serialize(&self.seeds, &self.entries)
    }
}

/// A filter that a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFilter {
    seeds: Seeds,
    entries: Bytes,
}

impl ReadFilter {
    /// The smallest filter in which nothing is found.
    pub fn empty() -> Self {
        Self { seeds: smallvec![0], entries: Bytes::from_static(&[0]) }
    }

    /// The smallest filter in which everything is found.
    pub fn full() -> Self {
        Self { seeds: smallvec![0], entries: Bytes::from_static(&[0xff]) }
    }

    /// Reads a serialized filter without copying its bits.
    ///
    /// # Errors
    /// [`BloomError`]
    pub fn parse(mut bytes: Bytes) -> Result<Self, BloomError> {
        let hashes = usize::from(*bytes.first().ok_or(BloomError::Empty)?);
        let seeds_end = 1 + hashes * SEED_BYTES;
        check_hashes(hashes)?;
        check_entries(bytes.len().saturating_sub(seeds_end))?;
        let entries = bytes.split_off(seeds_end);
        let (seeds, _) = bytes[1..].as_chunks::<SEED_BYTES>();
        let seeds = seeds.iter().map(|seed| u64::from_be_bytes(*seed)).collect();
        Ok(Self { seeds, entries })
    }

    /// Whether the key with this [`hash`] was added, or seems so.
    pub fn contains(&self, hash: u64) -> bool {
        contains(&self.seeds, &self.entries, hash)
    }

    /// The serialized filter.
    pub fn to_bytes(&self) -> Vec<u8> {
        serialize(&self.seeds, &self.entries)
    }

    /// Number of seeds and bytes.
    pub fn parameters(&self) -> Parameters {
        Parameters { hashes: self.seeds.len(), entries_bytes: self.entries.len() }
    }
}

fn serialize(seeds: &[u64], entries: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + seeds.len() * SEED_BYTES + entries.len());
    bytes.push(seeds.len() as u8);
    bytes.extend(seeds.iter().flat_map(|seed| seed.to_be_bytes()));
    bytes.extend_from_slice(entries);
    bytes
}

fn contains(seeds: &[u64], entries: &[u8], hash: u64) -> bool {
    positions(seeds, entries.len(), hash).all(|(byte, mask)| entries[byte] & mask != 0)
}

/// Byte and mask of each bit of a key.
fn positions(
    seeds: &[u64],
    entries_bytes: usize,
    hash: u64,
) -> impl Iterator<Item = (usize, u8)> + '_ {
    let bits = 8 * entries_bytes as u64;
    seeds.iter().scan(hash, move |hash, seed| {
        *hash = hash.rotate_left(ROTATION) ^ seed;
        let bit = *hash % bits;
        Some(((bit / 8) as usize, 1 << (bit % 8)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::Mt19937_64;

    #[test]
    fn about_as_many_foreign_keys_are_found_as_asked_for() {
        let parameters = Parameters::optimal(1000, 0.01);
        let mut source = Mt19937_64::new(1);
        let mut filter = Filter::new(parameters, &mut source).unwrap();
        for _ in 0..1000 {
            filter.add(source.next_u64());
        }
        let found = (0..10_000).filter(|_| filter.contains(source.next_u64())).count();
        assert!((50..200).contains(&found), "{found} of 10000");
    }

    #[test]
    fn the_two_constant_filters() {
        let [empty, full] = [ReadFilter::empty(), ReadFilter::full()];
        assert!((0..100).all(|hash| full.contains(hash) && !empty.contains(hash)));
    }

    proptest! {
        #[test]
        fn what_was_added_is_found_after_reading(
            seeds in prop::collection::vec(any::<u64>(), 1..=HASHES_MAX),
            entries_bytes in 1usize..100,
            hashes: Vec<u64>,
        ) {
            let mut filter = Filter::with_seeds(&seeds, entries_bytes).unwrap();
            for hash in &hashes {
                filter.add(*hash);
            }
            let read = ReadFilter::parse(filter.to_bytes().into()).unwrap();
            prop_assert_eq!(read.parameters(), filter.parameters());
            prop_assert!(hashes.iter().all(|hash| read.contains(*hash) && filter.contains(*hash)));
            prop_assert!(hashes.iter().all(|hash| !filter.add(*hash)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, hash: u64) {
            if let Ok(filter) = ReadFilter::parse(bytes.into()) {
                filter.contains(hash);
            }
        }
    }
}
