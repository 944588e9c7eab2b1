//! A long history of a key-value chain, made in memory and written to the databases of nodes.

use std::{path::Path, sync::Arc};

use sastrugi::{
    database::DiskDatabase,
    description::NetworkDescription,
    kvvm::{Target, client, client::Key, history},
    types::Id,
    vm::{
        Block,
        db::{Batch, Database, Durability, MemoryDb, PrefixDb},
    },
};

/// Accounts that take turns.
const ACCOUNTS: u64 = 64;
/// Keys each account writes, over and over.
const KEYS: u64 = 64;
/// When the blocks were made: before anybody's today, in milliseconds since the Unix epoch.
const MADE_AT_MS: u64 = 1_600_000_000_000;
/// A batch written to a disk is no larger.
const BATCH_BYTES: usize = 4 << 20;

/// A chain of blocks with one transaction each.
pub(crate) struct History {
    chain: history::History,
    disk: MemoryDb,
    target: Target,
    keys: Vec<Key>,
}

impl History {
    /// The chain of a local network, with nothing but its genesis.
    pub(crate) fn of(description: &NetworkDescription) -> Self {
        let (_, chain) = description.chains().next().unwrap();
        let target = Target { network_id: description.network_id, chain_id: chain.id };
        let disk = MemoryDb::new();
        let genesis = chain.genesis_bytes().unwrap();
        let chain = history::History::open(Arc::new(disk.clone()), &genesis, target).unwrap();
        let keys = (0..ACCOUNTS).map(|owner| Key::from_seed(&[owner as u8 + 1; 32])).collect();
        Self { chain, disk, target, keys }
    }

    /// Accepts blocks up to a height.
    pub(crate) fn grow(&mut self, height: u64) {
        for parent in self.chain.last_accepted().height..height {
            let (owner, nonce) = (parent % ACCOUNTS, parent / ACCOUNTS);
            let name = format!("key {}", nonce % KEYS);
            let value = format!("the value of height {:>12}, and some more bytes", parent + 1);
            let key = &self.keys[owner as usize];
            let transaction = key.sign(self.target, nonce, vec![client::put(name, value)]).unwrap();
            self.chain.append(MADE_AT_MS, vec![transaction]).unwrap();
        }
    }

    /// Writes the chain as it is now into the database of a node that does not run.
    pub(crate) fn write_to(&self, folder: &Path) {
        let disk = DiskDatabase::open(&folder.join("db")).unwrap();
        let base: Arc<dyn Database> = Arc::new(disk.clone());
        let chain = PrefixDb::new(base, &self.target.chain_id.0);
        let vm = chain.child(b"vm");
        let mut batch = Batch::new();
        for pair in self.disk.iterate(&[], &[]).unwrap() {
            let (key, value) = pair.unwrap();
            batch.put(key, value);
            if batch.size_bytes() >= BATCH_BYTES {
                vm.write(&batch, Durability::Buffered).unwrap();
                batch.clear();
            }
        }
        vm.write(&batch, Durability::Synced).unwrap();
        let Block { id: Id(id), height, .. } = self.chain.last_accepted();
        let record = [&id[..], &height.to_be_bytes()].concat();
        chain.child(b"engine").put(b"lastAccepted", &record).unwrap();
        disk.close().unwrap();
    }
}
