use std::sync::atomic::AtomicU64;

use sastrugi_types::WallTime;
use sastrugi_vm::{
    db::{Batch, Database, Durability, MemoryDb},
    testkit::{Sent, TestSender},
};

use super::*;
use crate::{
    block::{Block, Header},
    blocks,
    state::{Changes, Generation, Layer, Root, Store, View, versions},
    transaction::Account,
};

const PEER: NodeId = NodeId([1; 20]);
const OTHER: NodeId = NodeId([2; 20]);
const ENTRIES: u64 = 200;
/// The heights that are stored: all states from 2 on.
const HEIGHTS: u64 = 4;

/// A clock that moves whenever it is looked at.
#[derive(Debug, Default)]
struct BusyClock {
    nanos: AtomicU64,
    step_nanos: u64,
}

impl Clock for BusyClock {
    fn now(&self) -> Instant {
        Instant(self.nanos.fetch_add(self.step_nanos, Ordering::AcqRel))
    }

    fn wall(&self) -> WallTime {
        WallTime(0)
    }
}

struct Server {
    ranges: RangeServer,
    sender: Arc<TestSender>,
    roots: Vec<Root>,
}

impl Server {
    fn new(step: Duration) -> Self {
        let db = MemoryDb::new();
        let store = Store::new(&db, Generation::default());
        let mut roots = Vec::new();
        for height in 0..HEIGHTS {
            let mut changes = Changes::default();
            for key in 0..ENTRIES {
                let (key, value) = (key.to_be_bytes().to_vec(), height.to_be_bytes().to_vec());
                changes.set(Account([1; 32]), key.into(), Some(value.into()));
            }
            let layer = match height {
                0 => Layer::genesis(store, changes).unwrap(),
                _ => View::stored(store, height - 1).apply(changes).unwrap(),
            };
            let root = layer.root();
            let header =
                Header { parent: sastrugi_types::Id::EMPTY, height, timestamp_ms: 0, root };
            let mut batch = Batch::new();
            versions::store(store, &mut batch, &layer).unwrap();
            blocks::store(&mut batch, &Block::new(header, Vec::new()), Generation::default());
            db.write(&batch, Durability::Buffered).unwrap();
            roots.push(root);
        }
        let mut batch = Batch::new();
        versions::forget(store, &mut batch, 2).unwrap();
        db.write(&batch, Durability::Buffered).unwrap();
        let sender = Arc::new(TestSender::default());
        let clock = BusyClock { nanos: AtomicU64::new(0), step_nanos: step.as_nanos() as u64 };
        let ranges = RangeServer {
            committed: Committed::new(Arc::new(db)),
            clock: Arc::new(clock),
            app_sender: Arc::<TestSender>::clone(&sender),
            is_busy: AtomicBool::new(false),
            turns: Mutex::default(),
        };
        Self { ranges, sender, roots }
    }

    fn request(&self, height: u64) -> RangeRequest {
        let root = self.roots[height as usize];
        RangeRequest { height, root, first: [0; 32], last: [0xff; 32], bytes_max: u32::MAX }
    }

    fn ask(&self, peer: NodeId, request: &RangeRequest) -> Result<RangeAnswer, i32> {
        self.ranges.answer(peer, RequestId(7), request.encode());
        match &self.sender.take()[..] {
            [Sent::Response(to, RequestId(7), bytes)] if *to == peer => {
                Ok(RangeAnswer::decode(bytes.clone()).unwrap())
            }
            [Sent::Error(to, RequestId(7), error)] if *to == peer => Err(error.code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn serves_what_is_stored_and_nothing_else() {
    let server = Server::new(Duration::ZERO);
    for height in 2..HEIGHTS {
        let request = server.request(height);
        let answer = server.ask(PEER, &request).unwrap();
        assert!(answer.is_whole);
        assert_eq!(answer.range.entries.len() as u64, ENTRIES);
        answer.range.verify(request.root, request.first, request.last).unwrap();
    }
    assert_eq!(server.ask(PEER, &server.request(1)), Err(2), "forgotten");
    let later = RangeRequest { height: HEIGHTS, ..server.request(2) };
    assert_eq!(server.ask(PEER, &later), Err(2), "not yet there");
    let other = RangeRequest { height: 3, ..server.request(2) };
    assert_eq!(server.ask(PEER, &other), Err(2), "another root");
    let backwards = RangeRequest { first: [1; 32], last: [0; 32], ..server.request(2) };
    assert_eq!(server.ask(PEER, &backwards), Err(1));
}

#[test]
fn answers_are_as_long_as_wanted() {
    let server = Server::new(Duration::ZERO);
    for bytes_max in [0, 1, 100, 1000, 8000] {
        let request = RangeRequest { bytes_max, ..server.request(3) };
        let answer = server.ask(PEER, &request).unwrap();
        let size: usize = answer.range.entries.iter().map(entry_bytes).sum();
        assert!(!answer.is_whole && !answer.range.entries.is_empty());
        assert!(size <= bytes_max as usize || answer.range.entries.len() == 1, "{size}");
        assert!(size + 100 > bytes_max as usize);
        let covered = answer.range.entries.last().unwrap().path();
        answer.range.verify(request.root, request.first, covered).unwrap();
    }
}

#[test]
fn one_at_a_time() {
    let server = Server::new(Duration::ZERO);
    let slot = Slot::take(&server.ranges.is_busy).unwrap();
    assert_eq!(server.ask(PEER, &server.request(3)), Err(3));
    drop(slot);
    server.ask(PEER, &server.request(3)).unwrap();
    server.ask(PEER, &server.request(3)).unwrap();
    assert_eq!(server.ask(PEER, &server.request(1)), Err(2));
    server.ask(PEER, &server.request(3)).unwrap();
}

#[test]
fn a_slow_disk_holds_nobody_up() {
    let server = Server::new(Duration::from_millis(1));
    let request = server.request(3);
    let answer = server.ask(PEER, &request).unwrap();
    let read = answer.range.entries.len();
    assert!((40..60).contains(&read) && !answer.is_whole, "{read} entries in 50 ms");
    let covered = answer.range.entries.last().unwrap().path();
    answer.range.verify(request.root, request.first, covered).unwrap();
    assert_eq!(server.ask(PEER, &request), Err(3), "others come first");
    server.ask(OTHER, &request).unwrap();
    server.ask(PEER, &request).unwrap();
}

#[test]
fn turns_do_not_pile_up() {
    let server = Server::new(Duration::from_millis(1));
    for number in 0..TURNS_MAX as u64 + 100 {
        let mut peer = [3; 20];
        peer[..8].copy_from_slice(&number.to_be_bytes());
        let request = RangeRequest { bytes_max: 1, ..server.request(3) };
        server.ask(NodeId(peer), &request).unwrap();
    }
    assert!(server.ranges.turns.lock().len() <= TURNS_MAX);
}
