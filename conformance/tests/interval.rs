//! Replays `traces/interval.jsonl`: the heights fetched while bootstrapping, and how they are kept.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a trace that is not as expected must fail the test"
)]

use bytes::Bytes;
use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_engine::bootstrap::interval::{Edits, Tree, add_block, remove_block};
use sastrugi_vm::db::{Database, Durability, MemoryDb};

#[derive(Default)]
struct Machine {
    db: MemoryDb,
    tree: Tree,
    /// What was stored and which runs there were after the step before.
    stored: Vec<(String, String)>,
    runs: Vec<(u64, u64)>,
}

impl Machine {
    fn step(&mut self, op: &mut Fields) {
        let mut edits = Edits::new();
        let height = op.take("h");
        let tree = &mut self.tree;
        let kind: String = op.take("op");
        let out = match kind.as_str() {
            "add" => {
                tree.add(&mut edits, height);
                None
            }
            "remove" => {
                tree.remove(&mut edits, height);
                None
            }
            "contains" => Some(tree.contains(height)),
            "block" => {
                let (accepted, bytes) = (op.or_default("la"), Bytes::from(op.bytes("x")));
                Some(add_block(&mut edits, tree, accepted, height, bytes))
            }
            "removeBlock" => {
                remove_block(&mut edits, tree, height);
                None
            }
            "reload" => {
                self.tree = Tree::load(&self.db).unwrap();
                None
            }
            kind => panic!("{}: op {kind}", op.name),
        };
        self.db.write(&edits.take(), Durability::Buffered).unwrap();
        assert_eq!(out, op.maybe("out"), "{}: out", op.name);
        self.compare(op, kind == "reload");
    }

    /// Runs are listed after a change and a reload, what is stored after a change.
    fn compare(&mut self, op: &mut Fields, is_reload: bool) {
        assert_eq!(self.tree.len(), op.u64("len"), "{}: len", op.name);
        let runs = self.tree.flatten().iter().map(|run| (run.lower, run.upper)).collect();
        let stored = self.db.iterate(b"", b"").unwrap().map(|pair| {
            let (key, value) = pair.unwrap();
            (const_hex::encode(key), const_hex::encode(value))
        });
        let stored = stored.collect();
        let listed = op.maybe("intervals");
        assert!(listed.is_some() || !is_reload, "{}: no intervals", op.name);
        assert_eq!(&runs, listed.as_ref().unwrap_or(&self.runs), "{}: intervals", op.name);
        let written = op.maybe("db");
        assert_eq!(&stored, written.as_ref().unwrap_or(&self.stored), "{}: db", op.name);
        (self.runs, self.stored) = (runs, stored);
    }
}

#[test]
fn interval() {
    let exceptions = exceptions();
    for mut trace in traces("interval") {
        assert!(!exceptions.contains_key(&*trace.name), "{} has no exception", trace.name);
        let mut machine = Machine::default();
        for mut op in trace.list("ops") {
            machine.step(&mut op);
            op.finish();
        }
        trace.skip("name");
        trace.finish();
    }
}
