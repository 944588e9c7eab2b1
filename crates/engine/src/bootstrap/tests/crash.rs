//! Crashes at every write. A VM's accepts are written as batches into the same database as the
//! fetched blocks, so what survives is a prefix of all batches.

use sastrugi_vm::db::{Batch, Durability, PrefixDb};

use super::*;

const COUNT: u64 = 150;
/// So many blocks come with one answer.
const ANSWER_MAX: usize = 23;
const WEIGHTS: [u64; 3] = [1, 1, 1];

/// Writes each accepted block, once.
struct Ledger(PrefixDb);

impl Ledger {
    fn on(db: &MemoryDb) -> Self {
        Self(PrefixDb::new(Arc::new(db.clone()), b"vm"))
    }

    /// The blocks whose accepts survived, by height.
    fn accepted(&self) -> Vec<Id> {
        let pairs = self.0.iterate(b"", b"").unwrap().map(Result::unwrap);
        let ids: Vec<_> = pairs
            .zip(1_u64..)
            .map(|((height, id), expected)| {
                assert_eq!(height, expected.to_be_bytes()[..], "a gap");
                Id(id.as_ref().try_into().unwrap())
            })
            .collect();
        ids
    }
}

impl Acceptor for Ledger {
    fn accepting(&mut self, _block: &Block) -> Handled {
        Ok(())
    }

    fn accepted(&mut self, block: &Block) -> Handled {
        let key = block.height.to_be_bytes();
        assert!(!self.0.has(&key)?, "block {} was executed twice", block.height);
        let mut batch = Batch::new();
        batch.put(key.to_vec(), block.id.0.to_vec());
        Ok(self.0.write(&batch, Durability::Buffered)?)
    }

    fn state_changed(&mut self, _state: State) -> Handled {
        Ok(())
    }
}

/// A life of the node on what the database holds, until it has caught up or something breaks.
fn live(db: &MemoryDb, blocks: &[Block]) -> Handled {
    let ledger = Ledger::on(db);
    let inner = TestVm::new(genesis());
    for (id, block) in ledger.accepted().into_iter().zip(&blocks[1..]) {
        let vm: &dyn sastrugi_vm::ChainVm = &*inner;
        assert_eq!(id, block.id);
        vm.verify(block, None).unwrap();
        vm.accept(id).unwrap();
    }
    let fetched = PrefixDb::new(Arc::new(db.clone()), b"interval_bs");
    let setting = Setting { db: Arc::new(fetched), ..Setting::new(&WEIGHTS) };
    let mut fixture = Fixture::on(&setting, WatchedVm::new(inner), ledger);
    fixture.call(|gear, cx| gear.start(cx, RequestId(0)))?;
    for number in 1..=WEIGHTS.len() as u8 {
        fixture.peers.connected(node(number), Version::default());
        let version = Application::default();
        fixture.call(|gear, cx| gear.connected(cx, node(number), &version))?;
    }
    while fixture.finished.is_none() {
        for asked in fixture.asked() {
            answer(&mut fixture, blocks, asked)?;
        }
        fixture.work_off()?;
    }
    Ok(())
}

/// An honest network of nodes that have accepted all blocks.
fn answer(fixture: &mut Fixture<Ledger>, blocks: &[Block], asked: Asked) -> Handled {
    match asked {
        Asked::Frontier(nodes, request) => {
            for from in nodes {
                let tip = blocks[blocks.len() - 1].id;
                fixture.call(|gear, cx| {
                    gear.accepted_frontier(cx, node(from), RequestId(request), tip)
                })?;
            }
        }
        Asked::Accepted(nodes, request, ids) => {
            for from in nodes {
                let ids = ids.iter().copied().collect();
                fixture.call(|gear, cx| gear.accepted(cx, node(from), RequestId(request), ids))?;
            }
        }
        Asked::Ancestors(from, request, id) => {
            let height = blocks.iter().position(|block| block.id == id).unwrap();
            let branch = blocks[..=height].iter().rev().take(ANSWER_MAX);
            let branch = branch.map(|block| block.bytes.clone()).collect();
            fixture.call(|gear, cx| gear.ancestors(cx, node(from), RequestId(request), branch))?;
        }
    }
    Ok(())
}

/// The whole chain is accepted and nothing else is left.
fn is_whole(db: &MemoryDb, blocks: &[Block]) {
    let ids: Vec<_> = blocks[1..].iter().map(|block| block.id).collect();
    assert_eq!(Ledger::on(db).accepted(), ids);
    assert_eq!(db.len(), ids.len(), "fetched blocks are left");
}

#[test]
fn a_crash_at_any_write_loses_nothing_and_executes_nothing_twice() {
    let blocks = chain(COUNT, 50);
    let whole = MemoryDb::new();
    live(&whole, &blocks).unwrap();
    is_whole(&whole, &blocks);
    let writes = whole.unsynced_batches() as u64;
    assert!(writes > COUNT + COUNT / ANSWER_MAX as u64, "{writes}");
    for survived in 0..writes {
        let db = MemoryDb::new();
        db.fail_writes_after(survived);
        assert!(live(&db, &blocks).is_err());
        let db = db.reopen();
        live(&db, &blocks).unwrap();
        is_whole(&db, &blocks);
    }
}

#[test]
fn what_a_crash_of_the_machine_takes_back_is_done_again() {
    let blocks = chain(COUNT, 50);
    let db = MemoryDb::new();
    live(&db, &blocks).unwrap();
    // Nothing is synced: the machine may come back with any prefix.
    for survived in (0..db.unsynced_batches()).step_by(3) {
        let db = db.after_crash(survived);
        live(&db, &blocks).unwrap();
        is_whole(&db, &blocks);
    }
}

#[test]
fn lives_of_one_write_each_get_there() {
    let blocks = chain(40, 50);
    let mut db = MemoryDb::new();
    let mut lives = 0;
    loop {
        db.fail_writes_after(1);
        lives += 1;
        assert!(lives < 1000, "it does not get there");
        if live(&db, &blocks).is_ok() {
            break;
        }
        db = db.reopen();
    }
    is_whole(&db, &blocks);
    assert!((40..60).contains(&lives), "{lives} lives for 40 accepts and the writes around them");
}

#[test]
fn a_database_that_cannot_be_read_stops_the_chain_and_harms_nothing() {
    let blocks = chain(20, 50);
    for reads in 0.. {
        let db = MemoryDb::new();
        db.fail_reads_after(reads);
        let is_over = live_with_failing_reads(&db, &blocks);
        db.heal();
        let db = db.reopen();
        live(&db, &blocks).unwrap();
        is_whole(&db, &blocks);
        if is_over {
            break;
        }
    }
}

/// A life whose reads fail some time. Whether it did not come to that.
fn live_with_failing_reads(db: &MemoryDb, blocks: &[Block]) -> bool {
    let fetched = PrefixDb::new(Arc::new(db.clone()), b"interval_bs");
    let setting = Setting { db: Arc::new(fetched), ..Setting::new(&WEIGHTS) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm, Ledger::on(&MemoryDb::new()));
    let mut lived = || -> Handled {
        fixture.call(|gear, cx| gear.start(cx, RequestId(0)))?;
        fixture.connect_all(&WEIGHTS);
        while fixture.finished.is_none() {
            for asked in fixture.asked() {
                answer(&mut fixture, blocks, asked)?;
            }
            fixture.work_off()?;
        }
        Ok(())
    };
    lived().is_ok()
}
