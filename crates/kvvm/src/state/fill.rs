//! A new generation, filled range by range.
//!
//! The tree is cut at its first nibble into sixteen [`Lane`]s, which are filled beside each other,
//! each from left to right. What comes in are verified ranges. Of each entry the value, its place
//! in the index and the nodes of the tree that can no longer change are written at once; the nodes
//! above the last leaf of the lane, still open, stay in the lane. The lane itself is written with
//! them, so that a batch holds a range and the place to go on at, and nothing is ever done twice.
//!
//! When all lanes are full, [`close`] joins them below the root.

use borsh::{BorshDeserialize, BorshSerialize};
use jmt::KeyHash;
use sastrugi_vm::db::{Batch, DbError};

use super::{
    Entry, Root, StateError, Store, index,
    proof::EMPTY_HASH,
    range::{Leaf, Path},
    tree::{self, ChildRecord, NodeRecord, Slots},
    versions,
};

/// How many lanes there are: the children of the root.
pub(crate) const LANES: u8 = 16;

const LANE_TAG: u8 = b'm';

/// The part of the tree below one child of the root, as far as it is filled.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Lane {
    nibble: u8,
    /// The first path that is not filled; `None` if the lane is full.
    next: Option<Path>,
    /// The last leaf. It is not written before it is known how deep it stands.
    last: Option<Leaf>,
    /// The inner nodes above the last leaf, from the one below the root on: what is left of the way
    /// to that leaf.
    open: Vec<Slots>,
    entries: u64,
    size_bytes: u64,
}

/// What stands at the top of a full lane.
enum Top {
    Empty,
    /// The only leaf: it may stand higher, if it is the only one of the whole tree.
    Leaf(Leaf),
    Inner(ChildRecord),
}

/// Writes the nodes of one version.
struct Nodes<'a> {
    store: Store<'a>,
    batch: &'a mut Batch,
    height: u64,
}

impl Nodes<'_> {
    /// Writes a node that stands on the way to a path, `depth` nibbles below the root.
    fn put(&mut self, path: &Path, depth: usize, node: &NodeRecord) -> Result<(), StateError> {
        let nibbles: Vec<u8> = (0..depth).map(|at| nibble(path, at)).collect();
        tree::put_node(self.store, self.batch, self.height, &nibbles, node)
    }

    fn leaf(&mut self, leaf: &Leaf, depth: usize) -> Result<ChildRecord, StateError> {
        self.put(&leaf.path, depth, &NodeRecord::Leaf(*leaf))?;
        Ok(ChildRecord::leaf(leaf, self.height))
    }

    fn inner(
        &mut self,
        path: &Path,
        depth: usize,
        slots: Slots,
    ) -> Result<ChildRecord, StateError> {
        let child = ChildRecord::inner(&slots, self.height);
        self.put(path, depth, &NodeRecord::inner(slots))?;
        Ok(child)
    }
}

impl Lane {
    /// An empty lane.
    pub(crate) const fn new(nibble: u8) -> Self {
        let mut first = [0; 32];
        first[0] = nibble << 4;
        Self { nibble, next: Some(first), last: None, open: Vec::new(), entries: 0, size_bytes: 0 }
    }

    /// Reads the lane as it was last written, if it ever was.
    pub(crate) fn load(store: Store<'_>, nibble: u8) -> Result<Self, DbError> {
        let Some(bytes) = store.get(&[LANE_TAG, nibble])? else { return Ok(Self::new(nibble)) };
        borsh::from_slice(&bytes).map_err(|error| DbError::Corrupt(format!("lane: {error}")))
    }

    /// The range that is missing, `None` if the lane is full.
    pub(crate) fn missing(&self) -> Option<(Path, Path)> {
        let mut last = [0xff; 32];
        last[0] = self.nibble << 4 | 0x0f;
        Some((self.next?, last))
    }

    /// The number of entries filled in.
    pub(crate) const fn entries(&self) -> u64 {
        self.entries
    }

    /// The sum of the lengths of their keys and values, in bytes.
    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The filled part, from 0 to 1. Paths are hashes, so it is about the part of the entries too.
    pub(crate) fn filled(&self) -> f64 {
        let Some(next) = self.next else { return 1.0 };
        let position = next[1..5]
            .iter()
            .fold(u64::from(next[0] & 0x0f), |sum, byte| sum << 8 | u64::from(*byte));
        position as f64 / (1_u64 << 36) as f64
    }

    /// Adds the entries of a verified range that begins where the lane goes on, and writes all of
    /// it, with the lane. `next` is where it goes on afterwards, `None` if the range reached the
    /// end of the lane.
    pub(crate) fn fill(
        &mut self,
        store: Store<'_>,
        batch: &mut Batch,
        height: u64,
        range: impl IntoIterator<Item = (Leaf, Entry)>,
        next: Option<Path>,
    ) -> Result<(), StateError> {
        for (leaf, Entry { account, key, value }) in range {
            let hash = KeyHash(leaf.path);
            versions::put_entry(store, batch, hash, height, account, &key, &value);
            index::update(store, batch, account, &key, true);
            self.push(&mut Nodes { store, batch, height }, leaf)?;
            self.entries += 1;
            self.size_bytes += (key.len() + value.len()) as u64;
        }
        self.next = next;
        store.put(batch, &[LANE_TAG, self.nibble], tree::encode(self)?);
        Ok(())
    }

    /// Adds a leaf to the right of all others.
    fn push(&mut self, nodes: &mut Nodes<'_>, leaf: Leaf) -> Result<(), StateError> {
        if let Some(last) = self.last.replace(leaf) {
            let shared =
                (0..64).take_while(|at| nibble(&last.path, *at) == nibble(&leaf.path, *at));
            let shared = shared.count();
            if self.open.len() < shared {
                self.open.resize(shared, Slots::default());
            }
            self.settle(nodes, &last, shared)?;
        }
        Ok(())
    }

    /// Writes a leaf below the lowest open node, and the open nodes below a depth, which get no
    /// more children.
    fn settle(
        &mut self,
        nodes: &mut Nodes<'_>,
        leaf: &Leaf,
        depth: usize,
    ) -> Result<(), StateError> {
        let mut child = nodes.leaf(leaf, self.open.len() + 1)?;
        loop {
            let above = self.open.len();
            let Some(lowest) = self.open.last_mut() else { break };
            lowest[usize::from(nibble(&leaf.path, above))] = Some(child);
            if above <= depth {
                break;
            }
            let slots = self.open.pop().unwrap_or_default();
            child = nodes.inner(&leaf.path, above, slots)?;
        }
        Ok(())
    }

    /// Writes what is still open.
    fn finish(mut self, nodes: &mut Nodes<'_>) -> Result<Top, StateError> {
        let Some(last) = self.last else { return Ok(Top::Empty) };
        if self.open.is_empty() {
            return Ok(Top::Leaf(last));
        }
        self.settle(nodes, &last, 1)?;
        let slots = self.open.pop().unwrap_or_default();
        Ok(Top::Inner(nodes.inner(&last.path, 1, slots)?))
    }
}

/// Joins the full lanes, all sixteen in order: writes the rest of the tree, removes the lanes, and
/// makes the version readable. Gives the root.
pub(crate) fn close(
    store: Store<'_>,
    batch: &mut Batch,
    height: u64,
    lanes: Vec<Lane>,
) -> Result<Root, StateError> {
    debug_assert!(lanes.iter().all(|lane| lane.next.is_none()), "a lane is not full");
    for lane in &lanes {
        store.delete(batch, &[LANE_TAG, lane.nibble]);
    }
    versions::put_oldest(store, batch, height);
    let nodes = &mut Nodes { store, batch, height };
    let tops: Result<Vec<Top>, _> = lanes.into_iter().map(|lane| lane.finish(nodes)).collect();
    let tops = tops?;
    let mut leaves = tops.iter().filter(|top| !matches!(top, Top::Empty));
    let root = match (leaves.next(), leaves.next()) {
        (None, _) => {
            nodes.put(&[0; 32], 0, &NodeRecord::Null)?;
            EMPTY_HASH
        }
        (Some(Top::Leaf(leaf)), None) => nodes.leaf(leaf, 0)?.hash,
        _ => {
            let mut slots = Slots::default();
            for (slot, top) in slots.iter_mut().zip(&tops) {
                *slot = match top {
                    Top::Empty => None,
                    Top::Leaf(leaf) => Some(nodes.leaf(leaf, 1)?),
                    Top::Inner(child) => Some(*child),
                };
            }
            nodes.inner(&[0; 32], 0, slots)?.hash
        }
    };
    Ok(Root(root))
}

/// The nibbles of a path from the top.
const fn nibble(path: &Path, at: usize) -> u8 {
    let byte = path[at / 2];
    if at.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
}

/// The path after one, `None` after the last.
pub(crate) fn after(path: &Path) -> Option<Path> {
    let mut next = *path;
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
