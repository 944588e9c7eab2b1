//! Whole ranges of the tree, proven against its root.
//!
//! A [`Range`] holds every entry whose path lies between two paths, both included, and the steps of
//! a proof that there is no other. The proof walks the binary tree from the root, left before
//! right, and says at each place it comes to what stands there. Where a place is inside the range
//! as a whole it says nothing and goes no further: the entries themselves give the hash. Else one
//! [`Step`] says it:
//!
//! * outside the range as a whole: the hash of what is there,
//! * across an end of the range: an inner node, whose left and right place follow; or the end of
//!   the way, at the one entry of the range below this place or, if there is none, at nothing; or a
//!   leaf that lies outside the range.
//!
//! Whoever knows the root computes it anew from entries and steps ([`Range::verify`]). The hashes
//! of leaves, inner nodes and empty places cannot be mistaken for each other, and a leaf's hash
//! contains its path. So what gives the right root is the tree itself, and the part of it inside
//! the range is made of these entries and no others.

use std::slice;

use borsh::{BorshDeserialize, BorshSerialize};
use jmt::KeyHash;
use sastrugi_types::hash::sha256;

use super::{
    Entry, Root, StateError, Store, key_hash,
    proof::{EMPTY_HASH, bit, inner_hash, leaf_hash},
    tree::{self, ChildRecord, NodeRecord, slots_hash},
    versions,
};

/// The place of a key in the tree: SHA-256(account ‖ key). Ranges count in these.
pub(crate) type Path = [u8; 32];

/// The most steps of a proof: at each depth an inner node and what is beside it, for either end.
pub(crate) const STEPS_MAX: usize = 4 * 256 + 4;

/// Says what stands at a place. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Outside the range: the hash of what is there.
    Outside([u8; 32]),
    /// Across an end: an inner node.
    Inner,
    /// Across an end: the one entry of the range below this place, or nothing.
    End,
    /// Across an end: a leaf outside the range.
    Foreign(Leaf),
}

/// The entries of a range in ascending order of their paths, and the proof that they are all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) entries: Vec<Entry>,
    pub(crate) steps: Vec<Step>,
}

/// What the tree keeps of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Leaf {
    pub(crate) path: Path,
    pub(crate) value_hash: [u8; 32],
}

/// Why a range is not what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    /// The entries do not ascend.
    #[error("the entries do not ascend")]
    Order,
    /// An entry is outside the range.
    #[error("an entry is outside the range")]
    Outside,
    /// The steps do not fit the range.
    #[error("the proof does not fit the range")]
    Shape,
    /// The root is another one.
    #[error("the proof leads to another root")]
    Root,
}

impl Leaf {
    pub(super) fn hash(&self) -> [u8; 32] {
        leaf_hash(&self.path, &self.value_hash)
    }
}

impl Entry {
    /// Where the tree keeps it.
    pub(crate) fn path(&self) -> Path {
        key_hash(self.account, &self.key).0
    }
}

impl Range {
    /// Reads the entries from `first` on, up to `last` or the first that does not fit, from a stored
    /// version. `fits` is asked about each in turn; the first is taken whatever it says. Gives them
    /// and the path up to which the range goes.
    pub(crate) fn read(
        store: Store<'_>,
        height: u64,
        first: Path,
        last: Path,
        mut fits: impl FnMut(&Entry) -> bool,
    ) -> Result<(Self, Path), StateError> {
        let mut entries = Vec::new();
        let mut span = Span { first, last };
        let mut before = first;
        for path in Leaves::new(store, height, &span) {
            let path = path?;
            let missing = || StateError::Corrupt("a leaf has no value".to_owned());
            let entry = versions::entry(store, KeyHash(path), height)?.ok_or_else(missing)?;
            if !fits(&entry) && !entries.is_empty() {
                span.last = before;
                break;
            }
            before = path;
            entries.push(entry);
        }
        let mut prover = Prover { store, span, steps: Vec::new() };
        prover.node(&tree::node_at(store, height, &[])?, &Place::ROOT, &[])?;
        Ok((Self { entries, steps: prover.steps }, prover.span.last))
    }

    /// Checks that these are all entries from `first` to `last` in the state with this root, and
    /// gives their leaves.
    pub(crate) fn verify(
        &self,
        root: Root,
        first: Path,
        last: Path,
    ) -> Result<Vec<Leaf>, RangeError> {
        let leaf = |entry: &Entry| Leaf { path: entry.path(), value_hash: sha256(&entry.value) };
        let leaves: Vec<Leaf> = self.entries.iter().map(leaf).collect();
        if !leaves.is_sorted_by(|a, b| a.path < b.path) {
            return Err(RangeError::Order);
        }
        let ends = leaves.first().into_iter().chain(leaves.last());
        if ends.into_iter().any(|leaf| leaf.path < first || leaf.path > last) {
            return Err(RangeError::Outside);
        }
        let mut verifier = Verifier { span: Span { first, last }, steps: self.steps.iter() };
        let hash = verifier.hash(&Place::ROOT, &leaves)?;
        if verifier.steps.next().is_some() {
            return Err(RangeError::Shape);
        }
        if hash == root.0 { Ok(leaves) } else { Err(RangeError::Root) }
    }
}

/// A place in the binary tree: the first bits of a path.
#[derive(Clone)]
struct Place {
    bits: Path,
    depth: usize,
}

impl Place {
    const ROOT: Self = Self { bits: [0; 32], depth: 0 };

    /// The place that a node of the tree, named by its nibbles, stands at.
    fn of_node(nibbles: &[u8]) -> Self {
        let mut place = Self::ROOT;
        for (byte, pair) in place.bits.iter_mut().zip(nibbles.chunks(2)) {
            *byte = pair[0] << 4 | pair.get(1).unwrap_or(&0);
        }
        place.depth = 4 * nibbles.len();
        place
    }

    /// The place one deeper, left or right. There is none below depth 256.
    fn child(&self, is_right: bool) -> Option<Self> {
        let mut child = self.clone();
        *child.bits.get_mut(self.depth / 8)? |= u8::from(is_right) << (7 - self.depth % 8);
        child.depth += 1;
        Some(child)
    }

    /// The last path below this place.
    fn last(&self) -> Path {
        let mut last = self.bits;
        let (whole, rest) = (self.depth / 8, self.depth % 8);
        if let Some(byte) = last.get_mut(whole) {
            *byte |= 0xff >> rest;
            last[whole + 1..].fill(0xff);
        }
        last
    }
}

/// Where a place lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
    Across,
}

/// The paths from the first to the last, both included.
struct Span {
    first: Path,
    last: Path,
}

impl Span {
    fn contains(&self, path: &Path) -> bool {
        self.first <= *path && *path <= self.last
    }

    fn side(&self, place: &Place) -> Side {
        let (low, high) = (place.bits, place.last());
        if high < self.first || low > self.last {
            Side::Outside
        } else if self.first <= low && high <= self.last {
            Side::Inside
        } else {
            Side::Across
        }
    }
}

/// Computes the root from entries and steps.
struct Verifier<'a> {
    span: Span,
    steps: slice::Iter<'a, Step>,
}

impl Verifier<'_> {
    /// The hash of what stands at a place, given the leaves of the range below it.
    fn hash(&mut self, place: &Place, leaves: &[Leaf]) -> Result<[u8; 32], RangeError> {
        let side = self.span.side(place);
        if side == Side::Inside {
            return Ok(subtree_hash(leaves, place.depth));
        }
        match (side, self.steps.next(), leaves) {
            (Side::Outside, Some(Step::Outside(hash)), _) => Ok(*hash),
            (Side::Across, Some(Step::End), [] | [_]) => Ok(subtree_hash(leaves, place.depth)),
            (Side::Across, Some(Step::Foreign(leaf)), [])
                if (place.bits..=place.last()).contains(&leaf.path)
                    && !self.span.contains(&leaf.path) =>
            {
                Ok(leaf.hash())
            }
            (Side::Across, Some(Step::Inner), _) => {
                let middle = leaves.partition_point(|leaf| !bit(&leaf.path, place.depth));
                let (left, right) = leaves.split_at(middle);
                let child = |is_right| place.child(is_right).ok_or(RangeError::Shape);
                let left = self.hash(&child(false)?, left)?;
                Ok(inner_hash(&left, &self.hash(&child(true)?, right)?))
            }
            _ => Err(RangeError::Shape),
        }
    }
}

/// The hash of a place whose leaves are all known.
fn subtree_hash(leaves: &[Leaf], depth: usize) -> [u8; 32] {
    match leaves {
        [] => EMPTY_HASH,
        [leaf] => leaf.hash(),
        _ => {
            let middle = leaves.partition_point(|leaf| !bit(&leaf.path, depth));
            let (left, right) = leaves.split_at(middle);
            inner_hash(&subtree_hash(left, depth + 1), &subtree_hash(right, depth + 1))
        }
    }
}

/// Walks the stored tree and notes the steps.
struct Prover<'a> {
    store: Store<'a>,
    span: Span,
    steps: Vec<Step>,
}

impl Prover<'_> {
    fn node(&mut self, node: &NodeRecord, place: &Place, nibbles: &[u8]) -> Result<(), StateError> {
        match node {
            NodeRecord::Inner { children, .. } => self.slots(&**children, 0, place, nibbles),
            NodeRecord::Leaf(leaf) => {
                if self.span.side(place) == Side::Across {
                    let is_inside = self.span.contains(&leaf.path);
                    self.steps.push(if is_inside { Step::End } else { Step::Foreign(*leaf) });
                }
                Ok(())
            }
            NodeRecord::Null => {
                if self.span.side(place) == Side::Across {
                    self.steps.push(Step::End);
                }
                Ok(())
            }
        }
    }

    /// A node of the tree is four levels of the binary one: `slots` are those of its children that
    /// are below a place, the first of them the one with this nibble.
    fn slots(
        &mut self,
        slots: &[Option<ChildRecord>],
        nibble: u8,
        place: &Place,
        nibbles: &[u8],
    ) -> Result<(), StateError> {
        match self.span.side(place) {
            Side::Inside => return Ok(()),
            Side::Outside => {
                self.steps.push(Step::Outside(slots_hash(slots)));
                return Ok(());
            }
            Side::Across => {}
        }
        let mut present = (nibble..).zip(slots).filter_map(|(at, slot)| Some((at, slot.as_ref()?)));
        match (present.next(), present.next()) {
            (None, _) => self.steps.push(Step::End),
            (Some((at, child)), None) if child.is_leaf() || slots.len() == 1 => {
                let nibbles = [nibbles, &[at]].concat();
                let node = tree::node_at(self.store, child.version, &nibbles)?;
                self.node(&node, place, &nibbles)?;
            }
            _ => {
                self.steps.push(Step::Inner);
                let (left, right) = slots.split_at(slots.len() / 2);
                let below = |is_right| {
                    let too_deep = || StateError::Corrupt("the tree is too deep".to_owned());
                    place.child(is_right).ok_or_else(too_deep)
                };
                self.slots(left, nibble, &below(false)?, nibbles)?;
                self.slots(right, nibble + left.len() as u8, &below(true)?, nibbles)?;
            }
        }
        Ok(())
    }
}

/// The paths of the leaves of a stored version in ascending order.
struct Leaves<'a> {
    store: Store<'a>,
    span: &'a Span,
    /// The nodes still to be looked at, the next one last: their versions and nibbles.
    nodes: Vec<(u64, Vec<u8>)>,
}

impl<'a> Leaves<'a> {
    fn new(store: Store<'a>, height: u64, span: &'a Span) -> Self {
        Self { store, span, nodes: vec![(height, Vec::new())] }
    }

    fn look(&mut self, version: u64, nibbles: &[u8]) -> Result<Option<Path>, StateError> {
        match tree::node_at(self.store, version, nibbles)? {
            NodeRecord::Null => {}
            NodeRecord::Leaf(Leaf { path, .. }) => {
                return Ok(self.span.contains(&path).then_some(path));
            }
            NodeRecord::Inner { children, .. } => {
                for (nibble, child) in (0_u8..16).zip(&*children).rev() {
                    let Some(child) = child else { continue };
                    let nibbles = [nibbles, &[nibble]].concat();
                    if self.span.side(&Place::of_node(&nibbles)) != Side::Outside {
                        self.nodes.push((child.version, nibbles));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Leaves<'_> {
    type Item = Result<Path, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (version, nibbles) = self.nodes.pop()?;
            if let Some(found) = self.look(version, &nibbles).transpose() {
                return Some(found);
            }
        }
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
