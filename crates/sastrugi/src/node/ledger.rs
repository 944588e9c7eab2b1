//! What stands behind each accepted block: one batch with all the VM and the engine wrote about it.
//!
//! # Durability
//!
//! * In normal operation each accepted block is one synced batch: what was answered to anybody is on
//!   the disk.
//! * Before that, while the chain catches up, batches are handed to the system and not waited for.
//!   They survive the end of the process. What survives a power cut is a prefix of them, because the
//!   store's journal keeps their order; the chain then catches up from there.
//! * Upon a change of state, and each [`SYNC_PERIOD_BLOCKS`] blocks, everything before is synced.

use std::sync::Arc;

use sastrugi_engine::{
    chain::{Commit, Noted, Repair, repair},
    common::{Fatal, Handled},
};
use sastrugi_types::Id;
use sastrugi_vm::{
    Block, ChainVm, State,
    db::{Database, DbError, Durability, PrefixDb, VersionedDb},
};

/// Where the engine's records are in the chain's part of the database.
const ENGINE_PREFIX: &[u8] = b"engine";
/// The engine's record of the last accepted block: its ID and its height.
const LAST_ACCEPTED_KEY: &[u8] = b"lastAccepted";
/// Length of an ID.
const ID_BYTES: usize = size_of::<Id>();
/// While catching up a power cut loses no more than so many blocks.
const SYNC_PERIOD_BLOCKS: u32 = 1024;

/// Commits what the VM and the engine write.
pub(super) struct Ledger {
    layer: Arc<VersionedDb>,
    engine: PrefixDb,
    state: State,
    /// Blocks that were not synced yet.
    unsynced: u32,
}

impl Ledger {
    /// The ledger of a chain whose VM writes into `layer`.
    pub(super) fn new(layer: Arc<VersionedDb>, chain: Id) -> Self {
        let base: Arc<dyn Database> = layer.clone();
        let engine = PrefixDb::new(base, &chain.0).child(ENGINE_PREFIX);
        Self { layer, engine, state: State::Initializing, unsynced: 0 }
    }

    /// Makes the engine agree with the VM on the last accepted block, before the chain starts. They
    /// commit together, so as a rule they do; but a VM that jumps to a recent state, or that commits
    /// on its own, may be ahead or behind.
    ///
    /// # Errors
    /// The two do not belong together; says what to do.
    pub(super) fn settle(&self, vm: &dyn ChainVm) -> Result<Repair, String> {
        let noted = self.noted().map_err(|error| error.to_string())?;
        let repair = repair(vm, noted).map_err(|error| error.to_string())?;
        if let Some(last) = repair.to_note() {
            self.note(last)
                .and_then(|()| self.layer.commit(Durability::Synced))
                .map_err(|error| error.to_string())?;
        }
        Ok(repair)
    }

    /// The engine's record of the last accepted block. One of another length is none.
    fn noted(&self) -> Result<Option<Noted>, DbError> {
        let record = self.engine.get(LAST_ACCEPTED_KEY)?;
        Ok(record.and_then(|record| {
            let (id, height) = record.split_first_chunk::<ID_BYTES>()?;
            Some((Id(*id), u64::from_be_bytes(height.try_into().ok()?)))
        }))
    }

    fn note(&self, (id, height): Noted) -> Result<(), DbError> {
        let mut record = id.0.to_vec();
        record.extend_from_slice(&height.to_be_bytes());
        self.engine.put(LAST_ACCEPTED_KEY, &record)
    }

    fn write(&mut self, durability: Durability) -> Handled {
        if durability == Durability::Synced {
            self.unsynced = 0;
        }
        self.layer.commit(durability).map_err(Fatal::from)
    }
}

impl Commit for Ledger {
    fn commit(&mut self, block: &Block) -> Handled {
        self.note((block.id, block.height))?;
        self.unsynced += 1;
        let is_due = self.state == State::NormalOp || self.unsynced >= SYNC_PERIOD_BLOCKS;
        self.write(if is_due { Durability::Synced } else { Durability::Buffered })
    }

    fn written(&mut self) -> Handled {
        self.write(Durability::Buffered)
    }

    fn state_changed(&mut self, state: State) -> Handled {
        self.state = state;
        self.write(Durability::Synced)
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use sastrugi_types::WallTime;
    use sastrugi_vm::db::{Batch, DbError, MemoryDb, Pairs};

    use super::*;

    /// Notes how durable each batch was asked to be, and how many changes it had.
    #[derive(Default)]
    struct Noting {
        inner: MemoryDb,
        batches: Mutex<Vec<(Durability, usize)>>,
    }

    impl Noting {
        fn take(&self) -> Vec<(Durability, usize)> {
            std::mem::take(&mut self.batches.lock())
        }
    }

    impl Database for Noting {
        fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, DbError> {
            self.inner.get(key)
        }

        fn write(&self, batch: &Batch, durability: Durability) -> Result<(), DbError> {
            self.batches.lock().push((durability, batch.changes().len()));
            self.inner.write(batch, durability)
        }

        fn iterate<'a>(&'a self, prefix: &[u8], start: &[u8]) -> Result<Pairs<'a>, DbError> {
            self.inner.iterate(prefix, start)
        }

        fn compact(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<(), DbError> {
            self.inner.compact(start, end)
        }

        fn close(&self) -> Result<(), DbError> {
            self.inner.close()
        }
    }

    struct Desk {
        disk: Arc<Noting>,
        layer: Arc<VersionedDb>,
        ledger: Ledger,
    }

    impl Desk {
        fn new() -> Self {
            let disk = Arc::new(Noting::default());
            let layer = Arc::new(VersionedDb::new(disk.clone()));
            Self { disk, ledger: Ledger::new(layer.clone(), Id([1; 32])), layer }
        }

        /// Accepts a block with one change of the VM.
        fn accept(&mut self, height: u64) {
            self.layer.put(b"vm", &height.to_be_bytes()).unwrap();
            let (id, parent) = (Id([height as u8; 32]), Id::EMPTY);
            let bytes = bytes::Bytes::new();
            let block = Block { id, parent, height, timestamp: WallTime::UNIX_EPOCH, bytes };
            self.ledger.accepting(&block).unwrap();
            self.ledger.commit(&block).unwrap();
        }
    }

    #[test]
    fn a_block_of_normal_operation_is_one_synced_batch() {
        let mut desk = Desk::new();
        desk.ledger.state_changed(State::NormalOp).unwrap();
        desk.disk.take();
        desk.accept(1);
        desk.accept(2);
        assert_eq!(desk.disk.take(), [(Durability::Synced, 2); 2]);
    }

    #[test]
    fn while_catching_up_only_some_blocks_are_waited_for() {
        for state in [State::Bootstrapping, State::StateSyncing] {
            let mut desk = Desk::new();
            desk.ledger.state_changed(state).unwrap();
            assert_eq!(desk.disk.take(), [(Durability::Synced, 0)]);
            (1..=2 * u64::from(SYNC_PERIOD_BLOCKS)).for_each(|height| desk.accept(height));
            let batches = desk.disk.take();
            assert!(batches.iter().all(|(_, changes)| *changes == 2), "one batch for each block");
            let synced = |(at, (durability, _)): (usize, &(Durability, usize))| {
                (*durability == Durability::Synced).then_some(at + 1)
            };
            let synced: Vec<usize> = batches.iter().enumerate().filter_map(synced).collect();
            assert_eq!(synced, [1024, 2048]);
            desk.accept(2049);
            desk.ledger.state_changed(State::NormalOp).unwrap();
            assert_eq!(desk.disk.take(), [(Durability::Buffered, 2), (Durability::Synced, 0)]);
        }
    }

    #[test]
    fn a_step_of_a_syncing_vm_is_one_batch() {
        let mut desk = Desk::new();
        desk.ledger.state_changed(State::StateSyncing).unwrap();
        desk.disk.take();
        desk.layer.put(b"range", b"1").unwrap();
        desk.layer.put(b"cursor", b"1").unwrap();
        desk.ledger.written().unwrap();
        assert_eq!(desk.disk.take(), [(Durability::Buffered, 2)]);
        assert_eq!(desk.layer.changed_keys(), 0);
    }
}
