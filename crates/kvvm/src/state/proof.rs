//! Proofs that a key holds a value, or nothing, in the state with a root.
//!
//! The tree is binary. A leaf stands at the shortest prefix of its path that it shares with no
//! other leaf. The hashes are
//!
//! * of a leaf, SHA-256 of `"JMT::LeafNode" ‖ path ‖ SHA-256(value)`,
//! * of an inner node, SHA-256 of `"JMT::IntrnalNode" ‖ left ‖ right`,
//! * of an empty place, the bytes `"SPARSE_MERKLE_PLACEHOLDER_HASH__"`.

use borsh::BorshDeserialize;
use bytes::Bytes;
use jmt::proof::{INTERNAL_DOMAIN_SEPARATOR, LEAF_DOMAIN_SEPARATOR, SparseMerkleProof};
use sastrugi_types::hash::{sha256, sha256_parts};
use serde::{Deserialize, Serialize};

use super::{Root, StateError, key_hash, tree::Sha256};
use crate::{json::Hex, transaction::Account};

/// The hash of an empty place, and the root of the empty state.
pub(super) const EMPTY_HASH: [u8; 32] = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";
/// The tree is no deeper.
const DEPTH_MAX: usize = 256;

/// Proves what a key holds. Checked by [`Proof::verify`], which needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The leaf at the place where the key would be: its own, another one, or none.
    pub leaf: Option<ProofLeaf>,
    /// The hashes beside the way from there up to the root.
    pub siblings: Vec<Hex>,
}

/// A leaf of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofLeaf {
    /// SHA-256(account ‖ key), 32 bytes.
    pub key_hash: Hex,
    /// SHA-256(value), 32 bytes.
    pub value_hash: Hex,
}

impl Proof {
    /// Whether the key holds this value, or nothing, in the state with this root.
    pub fn verify(&self, root: Root, account: Account, key: &[u8], value: Option<&[u8]>) -> bool {
        let path = key_hash(account, key).0;
        if self.siblings.len() > DEPTH_MAX || !self.leaf_fits(&path, value) {
            return false;
        }
        let mut hash = self.leaf.as_ref().map_or(EMPTY_HASH, ProofLeaf::hash);
        for (below, Hex(sibling)) in self.siblings.iter().enumerate() {
            let Ok(sibling) = <[u8; 32]>::try_from(&sibling[..]) else { return false };
            let is_right = bit(&path, self.siblings.len() - 1 - below);
            hash = if is_right { inner_hash(&sibling, &hash) } else { inner_hash(&hash, &sibling) };
        }
        hash == root.0
    }

    /// Whether a leaf, or none, at this depth says about the key what it should.
    fn leaf_fits(&self, path: &[u8; 32], value: Option<&[u8]>) -> bool {
        match (&self.leaf, value) {
            (Some(leaf), Some(value)) => {
                leaf.key_hash.0 == path[..] && leaf.value_hash.0 == sha256(value)[..]
            }
            (Some(leaf), None) => {
                let Ok(other) = <[u8; 32]>::try_from(&leaf.key_hash.0[..]) else { return false };
                leaf.value_hash.0.len() == 32
                    && other != *path
                    && (0..self.siblings.len()).all(|depth| bit(&other, depth) == bit(path, depth))
            }
            (None, Some(_)) => false,
            (None, None) => true,
        }
    }

    /// Reads the library's proof, whose parts are hidden, from its serialized form.
    pub(super) fn from_jmt(proof: &SparseMerkleProof<Sha256>) -> Result<Self, StateError> {
        let corrupt = |error: std::io::Error| StateError::Corrupt(error.to_string());
        let bytes = borsh::to_vec(proof).map_err(corrupt)?;
        let parts = JmtProof::try_from_slice(&bytes).map_err(corrupt)?;
        let leaf = parts.leaf.map(|(key_hash, value_hash)| ProofLeaf {
            key_hash: hex(key_hash),
            value_hash: hex(value_hash),
        });
        let siblings = parts.siblings.iter().map(|sibling| hex(sibling.hash())).collect();
        Ok(Self { leaf, siblings })
    }
}

impl ProofLeaf {
    fn hash(&self) -> [u8; 32] {
        leaf_hash(&self.key_hash.0, &self.value_hash.0)
    }
}

#[derive(BorshDeserialize)]
struct JmtProof {
    leaf: Option<([u8; 32], [u8; 32])>,
    siblings: Vec<JmtNode>,
}

#[derive(BorshDeserialize)]
enum JmtNode {
    Empty,
    Inner([u8; 32], [u8; 32]),
    Leaf([u8; 32], [u8; 32]),
}

impl JmtNode {
    fn hash(&self) -> [u8; 32] {
        match self {
            Self::Empty => EMPTY_HASH,
            Self::Inner(left, right) => inner_hash(left, right),
            Self::Leaf(key_hash, value_hash) => leaf_hash(key_hash, value_hash),
        }
    }
}

pub(super) fn leaf_hash(key_hash: &[u8], value_hash: &[u8]) -> [u8; 32] {
    sha256_parts(&[LEAF_DOMAIN_SEPARATOR, key_hash, value_hash])
}

pub(super) fn inner_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256_parts(&[INTERNAL_DOMAIN_SEPARATOR, left, right])
}

pub(super) const fn bit(path: &[u8; 32], depth: usize) -> bool {
    path[depth / 8] >> (7 - depth % 8) & 1 == 1
}

fn hex(hash: [u8; 32]) -> Hex {
    Hex(Bytes::copy_from_slice(&hash))
}
