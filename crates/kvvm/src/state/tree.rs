//! The authenticated tree: the one place that knows the library.

use std::collections::BTreeMap;

use bytes::Bytes;
use jmt::{
    JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version,
    storage::{LeafNode, Node, NodeKey, TreeReader},
};
use sastrugi_vm::db::DbError;
use sha2::Digest;

use super::{Changes, Layer, Proof, Root, StateError, Store, View, key_hash};
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
    let path = key.nibble_path();
    let mut record = vec![NODE_TAG];
    record.extend(key.version().to_be_bytes());
    record.extend(path.nibbles().map(|nibble| nibble.as_usize() as u8));
    record
}

/// What the record of a node holds.
pub(super) fn encode_node(node: &Node) -> Result<Bytes, StateError> {
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
