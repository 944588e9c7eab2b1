//! Runs and blocks in the database.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;
use sastrugi_types::Id;
use sastrugi_vm::db::{Batch, Database, Durability, Pairs};

use super::{Added, Interval, IntervalError, Sink, Tree};

/// The first byte of a run's key.
const RUN_MARK: u8 = 0;
/// The first byte of a block's key.
const BLOCK_MARK: u8 = 1;
/// How many entries [`clear`] removes in one batch.
const CLEARED_PER_BATCH_MAX: usize = 4_096;

/// Changes to write as one batch.
#[derive(Debug, Default)]
pub struct Edits {
    batch: Batch,
    /// The run put last; it is not in the batch yet, because the next put often replaces it.
    run: Option<Interval>,
}

impl Edits {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.run.is_none()
    }

    /// The changes so far, to be written as they are; what follows belongs to the next batch.
    #[must_use]
    pub fn take(&mut self) -> Batch {
        self.flush();
        std::mem::take(&mut self.batch)
    }

    fn flush(&mut self) {
        if let Some(run) = self.run.take() {
            self.batch
                .put(key(RUN_MARK, run.upper), Bytes::copy_from_slice(&run.lower.to_be_bytes()));
        }
    }
}

impl Sink for Edits {
    fn put(&mut self, run: Interval) {
        if self.run.is_some_and(|last| last.upper != run.upper) {
            self.flush();
        }
        self.run = Some(run);
    }

    fn delete(&mut self, upper: u64) {
        self.run = self.run.filter(|last| last.upper != upper);
        self.batch.delete(key(RUN_MARK, upper));
    }
}

/// Stores a fetched block, unless its height is accepted or was fetched before. Whether its parent
/// is to be fetched: the block is new, and the height below is neither the last accepted one nor
/// fetched.
#[doc(alias = "Add")]
pub fn add_block(
    edits: &mut Edits,
    tree: &mut Tree,
    last_accepted_height: u64,
    height: u64,
    bytes: Bytes,
) -> bool {
    if height <= last_accepted_height {
        return false;
    }
    let Added::New { joins_below } = tree.add(edits, height) else { return false };
    edits.batch.put(key(BLOCK_MARK, height), bytes);
    !joins_below && height - 1 != last_accepted_height
}

/// Forgets a block and its height; whether the height was there.
#[doc(alias = "Remove")]
pub fn remove_block(edits: &mut Edits, tree: &mut Tree, height: u64) -> bool {
    edits.batch.delete(key(BLOCK_MARK, height));
    tree.remove(edits, height)
}

/// The stored blocks from a height on, lowest first.
///
/// They are those stored now. Holding this while blocks are removed keeps the removed ones alive
/// in most stores, so drop it now and then and continue behind the last height seen.
///
/// # Errors
/// The database fails, also as an item; a key is damaged, as an item. The first error is the last
/// item.
#[doc(alias = "GetBlockIteratorWithStart")]
pub fn blocks(db: &dyn Database, from: u64) -> Result<Blocks<'_>, IntervalError> {
    Ok(Blocks(Some(db.iterate(&[BLOCK_MARK], &key_bytes(BLOCK_MARK, from))?)))
}

/// Heights and bytes of stored blocks. See [`blocks`].
pub struct Blocks<'a>(Option<Pairs<'a>>);

impl fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("is_over", &self.0.is_none()).finish_non_exhaustive()
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<(u64, Bytes), IntervalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.0.as_mut()?.next()?;
        let block = pair
            .map_err(IntervalError::from)
            .and_then(|(key, value)| Ok((height_of(BLOCK_MARK, &key)?, value)));
        if block.is_err() {
            self.0 = None;
        }
        Some(block)
    }
}

/// The blocks to fetch so that one run reaches from the last accepted height to the highest one:
/// the parents of the lowest block of each run. `parent_of` parses a block and names its parent.
///
/// # Errors
/// The database fails, the lowest block of a run is not stored, or `parent_of` fails.
#[doc(alias = "getMissingBlockIDs")]
pub fn missing<E: From<IntervalError>>(
    db: &dyn Database,
    tree: &Tree,
    last_accepted_height: u64,
    mut parent_of: impl FnMut(u64, Bytes) -> Result<Id, E>,
) -> Result<BTreeSet<Id>, E> {
    let mut parents = BTreeSet::new();
    for Interval { lower, .. } in tree.flatten() {
        if lower.saturating_sub(1) <= last_accepted_height {
            continue;
        }
        let block = db.get(&key_bytes(BLOCK_MARK, lower)).map_err(IntervalError::from)?;
        let block = block.ok_or(IntervalError::NoBlock(lower))?;
        parents.insert(parent_of(lower, block)?);
    }
    Ok(parents)
}

/// Removes everything, damaged or not, in batches of bounded size. After a crash in between, what
/// is left is whole if it was, and is still an error if it was one.
///
/// # Errors
/// The database fails.
#[doc(alias = "Clear")]
pub fn clear(db: &dyn Database) -> Result<(), IntervalError> {
    let mut tree = match Tree::load(db) {
        Err(error @ IntervalError::Database(_)) => return Err(error),
        loaded => loaded.unwrap_or_default(),
    };
    // Each batch takes blocks away with their part of the runs. Runs without blocks come last.
    for prefix in [&[BLOCK_MARK][..], &[]] {
        loop {
            let mut edits = Edits::new();
            for pair in db.iterate(prefix, prefix)?.take(CLEARED_PER_BATCH_MAX) {
                let (key, _) = pair?;
                if let Ok(height) = height_of(BLOCK_MARK, &key) {
                    tree.remove(&mut edits, height);
                }
                edits.batch.delete(key);
            }
            if edits.is_empty() {
                break;
            }
            db.write(&edits.take(), Durability::Buffered)?;
        }
    }
    Ok(())
}

/// The stored runs, by their highest height.
pub(super) fn stored_runs(
    db: &dyn Database,
) -> Result<impl Iterator<Item = Result<Interval, IntervalError>> + '_, IntervalError> {
    let pairs = db.iterate(&[RUN_MARK], &[RUN_MARK])?;
    Ok(pairs.map(|pair| {
        let (key, value) = pair?;
        let upper = height_of(RUN_MARK, &key)?;
        let lower = value.as_ref().try_into().map_err(|_| IntervalError::Value { upper })?;
        Ok(Interval { lower: u64::from_be_bytes(lower), upper })
    }))
}

fn key(mark: u8, height: u64) -> Bytes {
    Bytes::copy_from_slice(&key_bytes(mark, height))
}

fn key_bytes(mark: u8, height: u64) -> [u8; 9] {
    let mut key = [mark; 9];
    key[1..].copy_from_slice(&height.to_be_bytes());
    key
}

fn height_of(mark: u8, key: &[u8]) -> Result<u64, IntervalError> {
    let height = key.strip_prefix(&[mark]).and_then(|height| height.try_into().ok());
    height.map(u64::from_be_bytes).ok_or_else(|| IntervalError::Key(key.to_vec()))
}
