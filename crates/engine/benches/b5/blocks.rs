//! The bookkeeping of fetched blocks, on any store.
//!
//! The stored result is the reference's after every batch. Within a batch the reference writes a
//! run at each of its blocks, ours only as it is at the end.

use bytes::Bytes;
use sastrugi_benchkit::{Meter, Outcome, SplitMix64, Suite};
use sastrugi_engine::bootstrap::interval::{Edits, Tree, add_block, blocks, remove_block};
use sastrugi_vm::db::{Database, DbError, Durability};

const BLOCK_BYTES: usize = 500;
const ADDED_PER_BATCH: u64 = 2_000;
const REMOVED_PER_BATCH: u64 = 64;
const READ_PER_ITERATOR: u64 = 1_024;

/// Runs `B5-blocks-add-…` with 200,000 blocks and `B5-blocks-execute-…` with `executed`. `open`
/// makes an empty store; what it returns beside is kept until the store is closed.
pub(crate) fn run<D: Database, K>(
    suite: &mut Suite,
    kind: &str,
    executed: u64,
    open: impl Fn() -> (D, K) + Copy,
) {
    suite.run(&format!("B5-blocks-add-{kind}"), "ns/block", 3, |meter| {
        let (db, _keep) = open();
        add(meter, &db, 200_000).expect("the store works")
    });
    suite.run(&format!("B5-blocks-execute-{kind}"), "ns/block", 3, |meter| {
        let (db, _keep) = open();
        add(&mut Meter::default(), &db, executed).expect("the store works");
        execute(meter, &db, executed).expect("the store works")
    });
}

/// Adds blocks from `count` down to 1.
fn add(meter: &mut Meter, db: &impl Database, count: u64) -> Result<Outcome, DbError> {
    let bytes = Bytes::from(SplitMix64::new(5).bytes(BLOCK_BYTES));
    let (mut tree, mut edits) = (Tree::new(), Edits::new());
    meter.start();
    for height in (1..=count).rev() {
        add_block(&mut edits, &mut tree, 0, height, bytes.clone());
        if (height - 1) % ADDED_PER_BATCH == 0 {
            db.write(&edits.take(), Durability::Buffered)?;
        }
    }
    meter.stop();
    Ok(Outcome::new(count, tree.len()))
}

/// Reads the blocks from 1 to `count` and removes them.
fn execute(meter: &mut Meter, db: &dyn Database, count: u64) -> Result<Outcome, DbError> {
    let mut tree = Tree::load(db).expect("what was added");
    let (mut edits, mut sum, mut done) = (Edits::new(), 0, 0);
    meter.start();
    while done < count {
        let slice = blocks(db, done + 1).expect("an iterator").take(READ_PER_ITERATOR as usize);
        for block in slice {
            let (height, bytes) = block.expect("a block");
            sum += bytes.len() as u64;
            done += 1;
            remove_block(&mut edits, &mut tree, height);
            if done % REMOVED_PER_BATCH == 0 {
                db.write(&edits.take(), Durability::Buffered)?;
            }
        }
        db.write(&edits.take(), Durability::Buffered)?;
    }
    meter.stop();
    Ok(Outcome::new(count, sum ^ tree.len() ^ done))
}
