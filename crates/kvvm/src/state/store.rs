//! The records of one generation of the state.

use bytes::Bytes;
use sastrugi_vm::db::{Batch, Database, DbError};

/// In front of every record of the state, followed by the generation.
const STATE_TAG: u8 = b'g';
/// The length of what stands before a record, in bytes.
const PREFIX_BYTES: usize = 1 + 4;

/// Counts the states that were begun from nothing: by genesis, and by each jump.
///
/// A jump fills the next generation while the current one goes on to be read, and then one record
/// says which is current. Generations do not share records, so an old or a half filled one is
/// removed without looking at any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u32);

/// A generation in the database.
#[derive(Clone, Copy)]
pub(crate) struct Store<'a> {
    db: &'a dyn Database,
    generation: Generation,
}

impl<'a> Store<'a> {
    pub(crate) const fn new(db: &'a dyn Database, generation: Generation) -> Self {
        Self { db, generation }
    }

    pub(crate) fn get(&self, record: &[u8]) -> Result<Option<Bytes>, DbError> {
        self.db.get(&self.full(record))
    }

    pub(crate) fn put(&self, batch: &mut Batch, record: &[u8], value: impl Into<Bytes>) {
        batch.put(self.full(record), value);
    }

    pub(crate) fn delete(&self, batch: &mut Batch, record: &[u8]) {
        batch.delete(self.full(record));
    }

    /// The records with a prefix, from `start` on.
    pub(crate) fn iterate(
        &self,
        prefix: &[u8],
        start: &[u8],
    ) -> Result<impl Iterator<Item = Result<(Bytes, Bytes), DbError>> + 'a, DbError> {
        let pairs = self.db.iterate(&self.full(prefix), &self.full(start))?;
        Ok(pairs.map(|pair| pair.map(|(record, value)| (record.slice(PREFIX_BYTES..), value))))
    }

    /// Removes some of the records, at most `max`. Gives how many; 0 if none are left.
    pub(crate) fn remove_some(&self, batch: &mut Batch, max: usize) -> Result<usize, DbError> {
        let mut removed = 0;
        for pair in self.db.iterate(&self.full(&[]), &[])?.take(max) {
            batch.delete(pair?.0);
            removed += 1;
        }
        Ok(removed)
    }

    fn full(&self, record: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(PREFIX_BYTES + record.len());
        full.push(STATE_TAG);
        full.extend(self.generation.0.to_be_bytes());
        full.extend_from_slice(record);
        full
    }
}
