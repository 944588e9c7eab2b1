//! What a node that was killed has on its disk. A copy is looked at, so that the node itself finds
//! everything as it left it.

use std::{fs, path::Path, sync::Arc};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use sastrugi::{
    database::DiskDatabase,
    description::NetworkDescription,
    engine::bootstrap::interval::{self, Tree},
    kvvm::Block,
    types::Id,
    vm::{
        State,
        db::{Batch, Database, Durability, MemoryDb, PrefixDb},
        testkit::{TestClock, TestNode},
    },
};

use crate::reference::{self, Reference};

/// So many keys of the state are compared, each with its proof.
const KEYS: usize = 24;
/// Length of an ID.
const ID_BYTES: usize = size_of::<Id>();

/// See the module.
pub(crate) struct Disk {
    node: TestNode,
    /// The engine's record of the last accepted block.
    noted: Option<(Id, u64)>,
    /// Blocks that were fetched and not yet executed, by height.
    fetched: Vec<(u64, Id)>,
    last: Id,
    height: u64,
}

impl Disk {
    /// Looks at the data of a node that does not run; there may be none yet.
    pub(crate) fn of(data_dir: &Path, description: &NetworkDescription) -> Self {
        let memory = MemoryDb::new();
        let (mut noted, mut fetched) = (None, Vec::new());
        let db = data_dir.join("db");
        if db.exists() {
            let folder = tempfile::tempdir().unwrap();
            copy(&db, folder.path());
            let disk = DiskDatabase::open(folder.path()).unwrap();
            let (_, chain) = description.chains().next().unwrap();
            let chain = PrefixDb::new(Arc::new(disk.clone()), &chain.id.0);
            load(&chain.child(b"vm"), &memory);
            noted = read_noted(&chain.child(b"engine"));
            fetched = read_fetched(&chain.child(b"interval_bs"));
            disk.close().unwrap();
        }
        let mut setup = reference::setup(description);
        setup.gear = State::Initializing;
        let node = TestNode::start_on(setup, memory, Arc::new(TestClock::default())).unwrap();
        let last = node.vm.last_accepted().unwrap();
        let height = node.vm.get_block(last).unwrap().unwrap().height;
        Self { node, noted, fetched, last, height }
    }

    /// The height of the last accepted block.
    pub(crate) const fn height(&self) -> u64 {
        self.height
    }

    /// Blocks that were fetched and not yet executed.
    pub(crate) const fn fetched(&self) -> usize {
        self.fetched.len()
    }

    /// All that is here is right, and nothing is half there. If the node may jump, it lands on
    /// multiples of `jumps`.
    pub(crate) fn check(&self, reference: &Reference, jumps: Option<u64>, rng: &mut ChaCha8Rng) {
        let is_landing =
            |height: u64| jumps.is_some_and(|interval| height.is_multiple_of(interval));
        assert_eq!(self.last, reference.id(self.height), "height {}", self.height);
        match self.noted {
            None => assert!(self.height == 0 || is_landing(self.height), "nothing is noted"),
            Some(noted) if noted == (self.last, self.height) => {}
            Some((id, height)) => {
                assert!(
                    height < self.height && is_landing(self.height),
                    "the VM is at height {}, {height} is noted",
                    self.height
                );
                assert_eq!(id, reference.id(height));
            }
        }
        let mut was_there = true;
        for height in 0..=self.height {
            let found = self.node.vm.block_id_at_height(height).unwrap();
            if let Some(id) = found {
                assert_eq!(id, reference.id(height), "height {height}");
                assert!(self.node.vm.get_block(id).unwrap().is_some(), "height {height}");
                assert!(was_there || is_landing(height), "no block before height {height}");
            }
            was_there = found.is_some();
        }
        for (height, id) in &self.fetched {
            assert!(*height > reference.height() || reference.id(*height) == *id, "{height}");
        }
        for _ in 0..if self.height == 0 { 0 } else { KEYS } {
            let (account, key) = reference.changed(rng.random_range(1..=self.height));
            let reply = reference::get(&self.node, account, key.clone(), self.height);
            assert!(reply.is_proven(account, &key), "height {}", self.height);
            assert_eq!(reply.value, reference.value(account, key, self.height));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

fn load(from: &dyn Database, to: &MemoryDb) {
    let mut batch = Batch::new();
    for pair in from.iterate(&[], &[]).unwrap() {
        let (key, value) = pair.unwrap();
        batch.put(key, value);
    }
    to.write(&batch, Durability::Buffered).unwrap();
}

fn read_noted(engine: &dyn Database) -> Option<(Id, u64)> {
    let record = engine.get(b"lastAccepted").unwrap()?;
    let (id, height) = record.split_first_chunk::<ID_BYTES>().unwrap();
    Some((Id(*id), u64::from_be_bytes(height.try_into().unwrap())))
}

/// The fetched blocks. The tree names those that are there.
fn read_fetched(intervals: &dyn Database) -> Vec<(u64, Id)> {
    let tree = Tree::load(intervals).unwrap();
    let blocks: Vec<(u64, Id)> = interval::blocks(intervals, 0)
        .unwrap()
        .map(Result::unwrap)
        .filter(|(height, _)| tree.contains(*height))
        .map(|(height, bytes)| (height, Block::decode(bytes).unwrap().id()))
        .collect();
    assert_eq!(blocks.len() as u64, tree.len(), "fetched blocks that are named and not there");
    blocks
}
