//! The authenticated tree: the one place that knows the library.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use jmt::{
    JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version,
    storage::{LeafNode, Node, NodeKey, TreeReader},
};
use sastrugi_vm::db::{Batch, DbError};
use sha2::Digest;

use super::{
    Changes, Layer, Proof, Root, StateError, Store, View, key_hash,
    proof::{EMPTY_HASH, inner_hash},
    range::Leaf,
};
use crate::transaction::Account;

const NODE_TAG: u8 = b'n';

/// SHA-256 as the tree wants it.
pub(super) struct Sha256(sha2::Sha256);

impl SimpleHasher for Sha256 {
    fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

type Tree<'a> = JellyfishMerkleTree<'a, View<'a>, Sha256>;

/// Makes the version `height` of the tree by changing the state of `view`.
pub(super) fn grow(view: &View<'_>, height: u64, changes: Changes) -> Result<Layer, StateError> {
    let values = changes.0.iter().map(|(hash, change)| {
        let value = change.value.as_ref().map(|value| value.to_vec());
        (*hash, value)
    });
    let (root, update) = Tree::new(view).put_value_set(values, height).map_err(from_anyhow)?;
    let nodes: BTreeMap<NodeKey, Node> = update.node_batch.nodes().clone();
    let stale = update.stale_node_index_batch.into_iter().map(|stale| stale.node_key).collect();
    Ok(Layer { height, root: Root(root.0), changes, nodes, stale })
}

/// Proves what a key holds in the state of `view`.
pub(super) fn prove(view: &View<'_>, account: Account, key: &[u8]) -> Result<Proof, StateError> {
    let (_, proof) = Tree::new(view)
        .get_with_proof(key_hash(account, key), view.height())
        .map_err(from_anyhow)?;
    Proof::from_jmt(&proof)
}

/// The record of a node.
pub(super) fn node_record(key: &NodeKey) -> Vec<u8> {
    let nibbles = key.nibble_path().nibbles();
    record_at(key.version(), nibbles.map(|nibble| nibble.as_usize() as u8))
}

fn record_at(version: u64, nibbles: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut record = vec![NODE_TAG];
    record.extend(version.to_be_bytes());
    record.extend(nibbles);
    record
}

/// A stored node as it is written. The library keeps the parts of its own type to itself.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub(super) enum NodeRecord {
    /// The root of an empty tree.
    Null,
    /// Four levels of the binary tree.
    Inner { children: Slots, children_count: u64, leaf_count: u64 },
    /// An entry.
    Leaf(Leaf),
}

/// What a node knows of one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct ChildRecord {
    pub(super) hash: [u8; 32],
    pub(super) version: u64,
    pub(super) kind: ChildKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum ChildKind {
    Leaf,
    Inner { leaf_count: u64 },
}

/// The children of a node, by their nibble.
pub(super) type Slots = Box<[Option<ChildRecord>; 16]>;

impl ChildRecord {
    pub(super) fn leaf(leaf: &Leaf, version: u64) -> Self {
        Self { hash: leaf.hash(), version, kind: ChildKind::Leaf }
    }

    pub(super) fn inner(slots: &Slots, version: u64) -> Self {
        let kind = ChildKind::Inner { leaf_count: leaf_count(&**slots) };
        Self { hash: slots_hash(&**slots), version, kind }
    }

    pub(super) const fn is_leaf(&self) -> bool {
        matches!(self.kind, ChildKind::Leaf)
    }
}

impl NodeRecord {
    pub(super) fn inner(children: Slots) -> Self {
        let children_count = children.iter().flatten().count() as u64;
        let leaf_count = leaf_count(&*children);
        Self::Inner { children, children_count, leaf_count }
    }
}

fn leaf_count(slots: &[Option<ChildRecord>]) -> u64 {
    let count = |child: &ChildRecord| match child.kind {
        ChildKind::Leaf => 1,
        ChildKind::Inner { leaf_count } => leaf_count,
    };
    slots.iter().flatten().map(count).sum()
}

/// The hash of a place of the binary tree, given what is below it at the next nibble.
pub(super) fn slots_hash(slots: &[Option<ChildRecord>]) -> [u8; 32] {
    let mut present = slots.iter().flatten();
    match (present.next(), present.next()) {
        (None, _) => EMPTY_HASH,
        (Some(child), None) if child.is_leaf() || slots.len() == 1 => child.hash,
        _ => {
            let (left, right) = slots.split_at(slots.len() / 2);
            inner_hash(&slots_hash(left), &slots_hash(right))
        }
    }
}

/// Reads the node of a version with these nibbles.
pub(super) fn node_at(
    store: Store<'_>,
    version: u64,
    nibbles: &[u8],
) -> Result<NodeRecord, StateError> {
    let record = store.get(&record_at(version, nibbles.iter().copied()))?;
    let missing = || StateError::Corrupt(format!("node {nibbles:x?} of version {version}"));
    borsh::from_slice(&record.ok_or_else(missing)?)
        .map_err(|error| StateError::Corrupt(error.to_string()))
}

/// Adds a node of a version.
pub(super) fn put_node(
    store: Store<'_>,
    batch: &mut Batch,
    version: u64,
    nibbles: &[u8],
    node: &NodeRecord,
) -> Result<(), StateError> {
    let record = record_at(version, nibbles.iter().copied());
    store.put(batch, &record, encode(node)?);
    Ok(())
}

/// What the record of a node holds.
pub(super) fn encode(node: &impl BorshSerialize) -> Result<Bytes, StateError> {
    borsh::to_vec(node).map(Bytes::from).map_err(|error| StateError::Corrupt(error.to_string()))
}

/// Reads a stored node.
pub(super) fn stored_node(store: Store<'_>, key: &NodeKey) -> Result<Option<Node>, StateError> {
    store
        .get(&node_record(key))?
        .map(|bytes| borsh::from_slice(&bytes))
        .transpose()
        .map_err(|error| StateError::Corrupt(error.to_string()))
}

impl TreeReader for View<'_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.node(key)?)
    }

    fn get_value_option(
        &self,
        version: Version,
        hash: KeyHash,
    ) -> anyhow::Result<Option<OwnedValue>> {
        debug_assert_eq!(version, self.height(), "a view is read at its own height");
        Ok(self.value_of(hash)?.map(Into::into))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("only a restoration asks for the rightmost leaf")
    }
}

fn from_anyhow(error: anyhow::Error) -> StateError {
    match error.downcast::<StateError>() {
        Ok(error) => error,
        Err(error) => match error.downcast::<DbError>() {
            Ok(error) => StateError::Database(error),
            Err(error) => StateError::Corrupt(format!("{error:#}")),
        },
    }
}
