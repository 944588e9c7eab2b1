//! B5: the blocks kept while bootstrapping, on the node's own store.
//!
//! The ids are the reference's, which keeps them in goleveldb; here it is fjall. Neither side
//! waits for the disk, and both write their journal.

#![expect(clippy::expect_used, reason = "a workload that fails measures nothing")]

#[path = "../../engine/benches/b5/blocks.rs"]
mod blocks;

use sastrugi::database::DiskDatabase;
use sastrugi_benchkit::Suite;

fn main() {
    let mut suite = Suite::from_args();
    blocks::run(&mut suite, "leveldb", 200_000, || {
        let folder = tempfile::tempdir().expect("a folder");
        let db = DiskDatabase::open(folder.path()).expect("an empty store");
        (db, folder)
    });
}
