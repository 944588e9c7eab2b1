//! Cryptographic hashes, and the keyed hasher of maps whose keys are identifiers.
//!
//! Upstream: `utils/hashing/hashing.go`. The keyed hasher has no counterpart there.

use std::hash::{BuildHasher, Hasher};

use ripemd::Ripemd160;
use sha2::{Digest, Sha256};

use crate::id::{ID_BYTES, Id, NodeId, SHORT_ID_BYTES};

/// Length of the checksum that CB58 and the `hex` encoding append, in bytes.
pub const CHECKSUM_BYTES: usize = 4;

/// The SHA-256 of `bytes`. The ID of a container is the SHA-256 of its bytes.
pub fn sha256(bytes: &[u8]) -> [u8; ID_BYTES] {
    Sha256::digest(bytes).into()
}

/// The SHA-256 of the concatenation of `parts`.
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; ID_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The RIPEMD-160 of `bytes`.
pub fn ripemd160(bytes: &[u8]) -> [u8; SHORT_ID_BYTES] {
    Ripemd160::digest(bytes).into()
}

/// The RIPEMD-160 of the SHA-256 of `bytes`: turns a public key into its address and a staking
/// certificate into its node ID.
pub fn address_hash(bytes: &[u8]) -> [u8; SHORT_ID_BYTES] {
    ripemd160(&sha256(bytes))
}

/// The last [`CHECKSUM_BYTES`] bytes of the SHA-256 of `bytes`.
pub fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [.., a, b, c, d] = sha256(bytes);
    [a, b, c, d]
}

/// A map keyed by container, chain or subnet IDs. Never iterate it for output: its order depends
/// on the seed.
pub type IdMap<V> = hashbrown::HashMap<Id, V, IdBuildHasher>;
/// A set of container, chain or subnet IDs. Never iterate it for output.
pub type IdSet = hashbrown::HashSet<Id, IdBuildHasher>;
/// A map keyed by node IDs. Never iterate it for output.
pub type NodeMap<V> = hashbrown::HashMap<NodeId, V, IdBuildHasher>;
/// A set of node IDs. Never iterate it for output.
pub type NodeSet = hashbrown::HashSet<NodeId, IdBuildHasher>;

/// Makes [`IdHasher`]s that share a secret seed.
///
/// The seed is an argument, and there is no default: the production node takes it from the
/// operating system, the laboratory from its run's seed.
#[derive(Clone, Copy, Debug)]
pub struct IdBuildHasher {
    keys: [u64; 2],
}

impl IdBuildHasher {
    /// A hasher whose results nobody can predict without `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { keys: [scramble(seed), scramble(seed ^ GOLDEN_RATIO)] }
    }
}

impl BuildHasher for IdBuildHasher {
    type Hasher = IdHasher;

    #[inline]
    fn build_hasher(&self) -> IdHasher {
        IdHasher { keys: self.keys, state: self.keys[1] }
    }
}

/// A quick keyed hasher for identifiers and tuples of them.
///
/// Each 16 bytes cost one 64 × 64 → 128 bit multiplication. Every byte counts, because peers may
/// name any 32 bytes as a container ID. It resists collisions made without knowing the seed; it is
/// no cryptographic hash.
#[derive(Clone, Debug)]
pub struct IdHasher {
    keys: [u64; 2],
    state: u64,
}

impl IdHasher {
    #[inline]
    fn mix(&mut self, low: u64, high: u64) {
        let product = u128::from(low ^ self.state) * u128::from(high ^ self.keys[0]);
        self.state = (product as u64) ^ ((product >> 64) as u64) ^ self.keys[1];
    }
}

impl Hasher for IdHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            let word = u128::from_le_bytes(*block);
            self.mix(word as u64, (word >> 64) as u64);
        }
        if !rest.is_empty() {
            let mut block = [0; 16];
            block[..rest.len()].copy_from_slice(rest);
            let word = u128::from_le_bytes(block);
            self.mix(word as u64, (word >> 64) as u64);
        }
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.mix(number, GOLDEN_RATIO);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection after which every input bit reaches every output bit (the finalizer of
/// `SplitMix64`).
const fn scramble(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(GOLDEN_RATIO);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_parts_hash_like_their_concatenation() {
        assert_eq!(sha256_parts(&[b"ava", b"", b"lanche"]), sha256(b"avalanche"));
    }

    #[test]
    fn the_seed_decides_the_hash() {
        let id = Id([7; 32]);
        let hash = |seed| IdBuildHasher::new(seed).hash_one(id);
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }

    #[test]
    fn every_byte_counts() {
        let build = IdBuildHasher::new(3);
        let ids = (0..32).flat_map(|byte| {
            (1..=255).map(move |value| {
                let mut id = Id::EMPTY;
                id.0[byte] = value;
                id
            })
        });
        let hashes: BTreeSet<u64> = ids.map(|id| build.hash_one(id)).collect();
        assert_eq!(hashes.len(), 32 * 255);
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash % 4096).collect();
        assert!(low.len() > 3200, "low bits spread over {} of 4096 buckets", low.len());
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 52).collect();
        assert!(high.len() > 3200, "high bits spread over {} of 4096 buckets", high.len());
    }

    #[test]
    fn tuples_are_hashed_in_order() {
        let build = IdBuildHasher::new(3);
        let (a, b) = (NodeId([1; 20]), NodeId([2; 20]));
        assert_ne!(build.hash_one((a, b)), build.hash_one((b, a)));
        assert_ne!(build.hash_one((a, 1u32)), build.hash_one((a, 2u32)));
    }
}
