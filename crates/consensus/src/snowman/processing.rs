//! The processing blocks in the order they were issued.

use sastrugi_types::WallTime;

use super::Block;

/// What is kept of a block besides its place in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) height: u64,
    pub(super) timestamp: WallTime,
    pub(super) size_bytes: u64,
    pub(super) issued_at: WallTime,
    /// Number of polls before it was issued.
    pub(super) issued_poll: u64,
    older: Option<u32>,
    newer: Option<u32>,
}

impl Record {
    /// The record of a block that was issued at a time and before a poll.
    pub(super) const fn new(block: &Block, issued_at: WallTime, issued_poll: u64) -> Self {
        let Block { height, timestamp, size_bytes, .. } = *block;
        Self { height, timestamp, size_bytes, issued_at, issued_poll, older: None, newer: None }
    }
}

/// Records by block number. Those of processing blocks form a list from the oldest to the newest.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    by_block: Vec<Record>,
    oldest: Option<u32>,
    newest: Option<u32>,
}

impl Records {
    /// Stores the record of a block that is not processing.
    pub(super) fn insert_decided(&mut self, block: u32, record: Record) {
        if let Some(place) = self.by_block.get_mut(block as usize) {
            *place = record;
        } else {
            debug_assert_eq!(block as usize, self.by_block.len());
            self.by_block.push(record);
        }
    }

    /// Stores the record of a block that is processing from now on.
    pub(super) fn insert(&mut self, block: u32, record: Record) {
        self.insert_decided(block, Record { older: self.newest, newer: None, ..record });
        match self.newest.replace(block) {
            Some(older) => self.by_block[older as usize].newer = Some(block),
            None => self.oldest = Some(block),
        }
    }

    /// Notes that a processing block was decided.
    pub(super) fn decide(&mut self, block: u32) {
        let Record { older, newer, .. } = *self.get(block);
        match older {
            Some(older) => self.by_block[older as usize].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.by_block[newer as usize].older = older,
            None => self.newest = older,
        }
    }

    /// The record of a block.
    #[inline]
    pub(super) fn get(&self, block: u32) -> &Record {
        &self.by_block[block as usize]
    }

    /// The record of the block that is processing for longest.
    pub(super) fn oldest(&self) -> Option<&Record> {
        self.oldest.map(|block| self.get(block))
    }
}
