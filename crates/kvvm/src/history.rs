//! Making a long chain fast, for tests, benchmarks and demonstrations.
//!
//! A [`History`] appends accepted blocks to a chain in a database, without an engine, a mempool, a
//! clock or an API. What it leaves is what a VM leaves that accepted these blocks one by one, so a
//! [`Kvvm`](crate::Kvvm) opens it and goes on.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sastrugi_kvvm::{Genesis, Target, client, history::History};
//! use sastrugi_types::Id;
//! use sastrugi_vm::db::MemoryDb;
//!
//! let target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };
//! let genesis = Genesis::default().to_json();
//! let mut history = History::open(Arc::new(MemoryDb::new()), genesis.as_bytes(), target)?;
//! let key = client::Key::from_seed(&[7; 32]);
//! for nonce in 0..100 {
//!     let put = client::put(format!("key {nonce}"), "value");
//!     let block = history.append(1_600_000_000_000, vec![key.sign(target, nonce, vec![put])?])?;
//!     assert_eq!(block.height, nonce + 1);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{fmt, sync::Arc};

use sastrugi_vm::{VmError, db::Database};

use crate::{
    chain::Chain,
    config::Config,
    genesis::Genesis,
    transaction::{Target, Transaction},
};

/// A chain that grows as it is told. See the module.
pub struct History(Chain);

impl History {
    /// Begins a chain in an empty database, or goes on with one. The database is that of the VM
    /// alone. Each block is one batch, not synced: who wants speed puts a
    /// [`VersionedDb`](sastrugi_vm::db::VersionedDb) above a disk and commits it now and then.
    pub fn open(db: Arc<dyn Database>, genesis: &[u8], target: Target) -> Result<Self, VmError> {
        let genesis = Genesis::parse(genesis)?;
        let changes = genesis.changes()?;
        let kept_states = Config::default().kept_states();
        Ok(Self(Chain::open(db, target, &genesis, changes, kept_states)?))
    }

    /// Accepts a block of these transactions. Their signatures are not checked: a key that signs
    /// does that. The time is in milliseconds since the Unix epoch, and not before the last
    /// block's. An error, if the block would not be valid, changes nothing.
    pub fn append(
        &mut self,
        timestamp_ms: u64,
        transactions: Vec<Transaction>,
    ) -> Result<sastrugi_vm::Block, VmError> {
        Ok(self.0.append(timestamp_ms, transactions)?.to_vm())
    }

    /// The last block.
    pub fn last_accepted(&self) -> sastrugi_vm::Block {
        self.0.last_accepted().to_vm()
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.last_accepted();
        f.debug_struct("History")
            .field("height", &last.height())
            .field("last_accepted", &last.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sastrugi_types::Id;
    use sastrugi_vm::{
        State,
        db::MemoryDb,
        testkit::{Setup, TestClock, TestNode},
    };

    use super::*;
    use crate::{
        Kvvm,
        client::{Key, put},
    };

    const TARGET: Target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };

    fn open(db: &MemoryDb) -> History {
        let genesis = Genesis::default().to_json();
        History::open(Arc::new(db.clone()), genesis.as_bytes(), TARGET).unwrap()
    }

    fn transaction(nonce: u64) -> Transaction {
        Key::from_seed(&[1; 32]).sign(TARGET, nonce, vec![put("k", nonce.to_string())]).unwrap()
    }

    fn node(db: MemoryDb) -> TestNode {
        let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
        let setup = Setup { gear: State::Bootstrapping, ..setup };
        TestNode::start_on(setup, db, Arc::new(TestClock::default())).unwrap()
    }

    #[test]
    fn leaves_what_a_vm_leaves() {
        let db = MemoryDb::new();
        let mut history = open(&db);
        let executed = node(MemoryDb::new());
        for nonce in 0..1100 {
            let block = history.append(nonce, vec![transaction(nonce)]).unwrap();
            let parsed = executed.vm.parse_block(block.bytes.clone()).unwrap();
            assert_eq!(parsed, block);
            executed.vm.verify(&parsed, None).unwrap();
            executed.accept(block.id).unwrap();
        }
        let records = |db: &MemoryDb| -> Vec<_> {
            db.iterate(b"", b"").unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(records(&db), records(executed.disk()));
        let opened = node(db.reopen());
        assert_eq!(opened.vm.last_accepted().unwrap(), history.last_accepted().id);
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let db = MemoryDb::new();
        let mut history = open(&db);
        history.append(7, vec![transaction(0)]).unwrap();
        assert!(history.append(7, vec![transaction(0)]).is_err(), "used");
        assert!(history.append(7, vec![]).is_err(), "empty");
        assert!(history.append(6, vec![transaction(1)]).is_err(), "before the parent");
        assert_eq!(history.last_accepted().height, 1);
        let mut again = open(&db);
        assert_eq!(again.append(7, vec![transaction(1)]).unwrap().height, 2);
    }
}
