//! A long history of a key-value chain, made in memory and written to the databases of nodes.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use sastrugi::{
    database::DiskDatabase,
    description::NetworkDescription,
    kvvm::{Account, Genesis, Kvvm, Target, client, client::Key},
    types::Id,
    vm::{
        Block,
        db::{Batch, Database, Durability, PrefixDb},
        testkit::{Setup, TestNode},
    },
};

/// Accounts that take turns.
const ACCOUNTS: u64 = 64;
/// Keys each account writes, over and over.
const KEYS: u64 = 64;
/// A batch written to a disk is no larger.
const BATCH_BYTES: usize = 4 << 20;

/// A chain of blocks with one transaction each.
pub(crate) struct History {
    node: TestNode,
    target: Target,
    keys: Vec<Key>,
    last: Option<Block>,
    height: u64,
}

impl History {
    /// The chain of a local network, with nothing but its genesis.
    pub(crate) fn of(description: &NetworkDescription) -> Self {
        let (_, chain) = description.chains().next().unwrap();
        let genesis = chain.genesis_bytes().unwrap();
        Genesis::parse(&genesis).unwrap();
        let mut setup = Setup::new(|| Arc::new(Kvvm::new()), genesis);
        setup.network_id = description.network_id;
        setup.chain_id = chain.id;
        let target = Target { network_id: setup.network_id, chain_id: setup.chain_id };
        let keys = (0..ACCOUNTS).map(|owner| Key::from_seed(&[owner as u8 + 1; 32])).collect();
        Self { node: TestNode::start(setup).unwrap(), target, keys, last: None, height: 0 }
    }

    /// Accepts blocks up to a height.
    pub(crate) fn grow(&mut self, height: u64) {
        while self.height < height {
            let (owner, nonce) = (self.height % ACCOUNTS, self.height / ACCOUNTS);
            let name = format!("key {}", nonce % KEYS);
            let value = format!("the value of height {:>12}, and some more bytes", self.height + 1);
            let key = &self.keys[owner as usize];
            let transaction = key.sign(self.target, nonce, vec![client::put(name, value)]).unwrap();
            let answer = self.node.post("/rpc", &client::issue_call(&transaction)).unwrap();
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            let block = self.node.build_and_accept().unwrap();
            self.height = block.height;
            self.last = Some(block);
        }
    }

    /// An account that takes part, and a nonce it has not used.
    pub(crate) fn account(&self) -> Account {
        self.keys[0].account()
    }

    /// Writes the chain as it is now into the database of a node that does not run.
    pub(crate) fn write_to(&self, folder: &Path) {
        let disk = DiskDatabase::open(&folder.join("db")).unwrap();
        let base: Arc<dyn Database> = Arc::new(disk.clone());
        let chain = PrefixDb::new(base, &self.target.chain_id.0);
        let vm = chain.child(b"vm");
        let mut batch = Batch::new();
        for pair in self.node.disk().iterate(&[], &[]).unwrap() {
            let (key, value) = pair.unwrap();
            batch.put(key, value);
            if batch.size_bytes() >= BATCH_BYTES {
                vm.write(&batch, Durability::Buffered).unwrap();
                batch.clear();
            }
        }
        vm.write(&batch, Durability::Synced).unwrap();
        if let Some(Block { id: Id(id), height, .. }) = &self.last {
            let record = [&id[..], &height.to_be_bytes()].concat();
            chain.child(b"engine").put(b"lastAccepted", &Bytes::from(record)).unwrap();
        }
        disk.close().unwrap();
    }
}
