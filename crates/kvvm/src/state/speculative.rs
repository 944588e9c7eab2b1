//! States that are not stored yet.

use std::collections::BTreeMap;

use bytes::Bytes;
use jmt::{
    KeyHash,
    storage::{Node, NodeKey},
};

use super::{Changes, NONCE_KEY, Proof, Root, StateError, Store, key_hash, tree, versions};
use crate::transaction::Account;

/// What one block changes.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(super) height: u64,
    pub(super) root: Root,
    pub(super) changes: Changes,
    /// The nodes of the tree that this height makes.
    pub(super) nodes: BTreeMap<NodeKey, Node>,
    /// The nodes that this height needs no more.
    pub(super) stale: Vec<NodeKey>,
}

/// A state: a stored version, and above it layers, the lowest first, each one height higher.
pub(crate) struct View<'a> {
    store: Store<'a>,
    stored_height: u64,
    layers: Vec<&'a Layer>,
}

impl Layer {
    /// Makes the state a chain begins with.
    pub(crate) fn genesis(store: Store<'_>, changes: Changes) -> Result<Self, StateError> {
        tree::grow(&View::stored(store, 0), 0, changes)
    }

    /// The root of the state after the block.
    pub(crate) const fn root(&self) -> Root {
        self.root
    }
}

impl<'a> View<'a> {
    /// The stored version of a height.
    pub(crate) const fn stored(store: Store<'a>, height: u64) -> Self {
        Self { store, stored_height: height, layers: Vec::new() }
    }

    /// The state after some processing blocks that follow the stored height, lowest first.
    pub(crate) fn above(store: Store<'a>, height: u64, layers: Vec<&'a Layer>) -> Self {
        debug_assert!(
            layers.iter().zip(1..).all(|(layer, above)| layer.height == height + above),
            "layers follow each other"
        );
        Self { store, stored_height: height, layers }
    }

    /// The height of this state.
    pub(crate) fn height(&self) -> u64 {
        self.stored_height + self.layers.len() as u64
    }

    /// What a key holds.
    pub(crate) fn value(&self, account: Account, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.value_of(key_hash(account, key))
    }

    /// The number of the account's transactions up to here: the nonce of its next one.
    pub(crate) fn nonce(&self, account: Account) -> Result<u64, StateError> {
        let Some(value) = self.value(account, &NONCE_KEY)? else { return Ok(0) };
        let bytes = value[..].try_into();
        bytes
            .map(u64::from_be_bytes)
            .map_err(|_| StateError::Corrupt(format!("nonce of {account}")))
    }

    /// What a block that changes this state leads to.
    pub(crate) fn apply(&self, changes: Changes) -> Result<Layer, StateError> {
        tree::grow(self, self.height() + 1, changes)
    }

    /// Proves what a key holds.
    pub(crate) fn prove(&self, account: Account, key: &[u8]) -> Result<Proof, StateError> {
        tree::prove(self, account, key)
    }

    /// Checks that the stored version is there. Others may drop it while it is read, so whoever
    /// reads beside the engine asks when done: if it is there now, it was there all the time.
    pub(crate) fn confirm(&self) -> Result<(), StateError> {
        let is_there =
            versions::oldest(self.store)?.is_some_and(|oldest| oldest <= self.stored_height);
        if is_there { Ok(()) } else { Err(StateError::Unavailable(self.stored_height)) }
    }

    pub(super) fn value_of(&self, hash: KeyHash) -> Result<Option<Bytes>, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.changes.get(hash)) {
            Some(value) => Ok(value.clone()),
            None => versions::value(self.store, hash, self.stored_height),
        }
    }

    pub(super) fn node(&self, key: &NodeKey) -> Result<Option<Node>, StateError> {
        match key.version().checked_sub(self.stored_height) {
            Some(above @ 1..) => {
                let layer = usize::try_from(above - 1).ok().and_then(|at| self.layers.get(at));
                Ok(layer.and_then(|layer| layer.nodes.get(key)).cloned())
            }
            _ => tree::stored_node(self.store, key),
        }
    }
}
