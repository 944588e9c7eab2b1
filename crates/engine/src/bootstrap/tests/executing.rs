//! Executing in slices, and what comes between them.

use super::*;
use crate::common::GetAncestorsHandler;

/// A gear that has fetched blocks 1 to `count` and begins to execute them.
fn fetched(count: u64) -> (Fixture, Arc<WatchedVm>, Vec<Block>) {
    let blocks = chain(count, 50);
    let (mut fixture, vm) = Fixture::started(&[1]);
    fixture.agree_on(1, blocks[count as usize].id);
    fixture.asked();
    let branch: Vec<_> = blocks[1..].iter().rev().collect();
    fixture.ancestors(1, 2, &branch);
    (fixture, vm, blocks)
}

fn accepted(vm: &WatchedVm) -> u64 {
    vm.inner().accepted().len() as u64 - 1
}

#[test]
fn a_slice_is_bounded_and_the_blocks_come_in_order() {
    let (mut fixture, vm, blocks) = fetched(150);
    assert_eq!(accepted(&vm), 0, "not within the handler");
    for executed in [64, 128] {
        assert_eq!(fixture.work().unwrap(), common::Progress::More);
        assert_eq!(accepted(&vm), executed);
        assert_eq!(fixture.gear.fetched().len(), 150 - executed);
        let Phase::Executing { executed: told, total: 150, .. } = fixture.phase() else { panic!() };
        assert_eq!(told, executed);
    }
    assert_eq!(fixture.work().unwrap(), common::Progress::Idle);
    let ids: Vec<_> = blocks.iter().map(|block| block.id).collect();
    assert_eq!(vm.inner().accepted(), ids);
    assert_eq!(fixture.around.acceptor.accepting, blocks[1..]);
    assert_eq!(fixture.around.acceptor.accepted, blocks[1..]);
    assert_eq!(fixture.gear.stats().accepted, 150);
    assert!(fixture.gear.config.db.iterate(b"", b"").unwrap().next().is_none());
    assert_eq!(fixture.phase(), Phase::AskingFrontier { answered: 0, asked: 1 }, "once more");
}

#[test]
fn large_blocks_and_slow_ones_make_slices_shorter() {
    let blocks = chain(6, SLICE_BYTES_MAX / 2);
    let (mut fixture, vm) = Fixture::started(&[1]);
    fixture.agree_on(1, blocks[6].id);
    fixture.ancestors(1, 2, &blocks[1..].iter().rev().collect::<Vec<_>>());
    fixture.work().unwrap();
    assert_eq!(accepted(&vm), 2);
}

/// Passes while it is looked at.
#[derive(Debug, Default)]
struct PassingClock(ManualClock);

impl sastrugi_vm::Clock for PassingClock {
    fn now(&self) -> Instant {
        self.0.advance(SLICE_TIME_MAX / 5);
        self.0.now()
    }

    fn wall(&self) -> sastrugi_types::WallTime {
        self.0.wall()
    }
}

#[test]
fn a_slice_ends_when_its_time_is_over() {
    let (mut fixture, vm, _) = fetched(20);
    fixture.gear.config.clock = Arc::new(PassingClock::default());
    fixture.work().unwrap();
    assert_eq!(accepted(&vm), 5);
}

#[test]
fn messages_between_slices_are_heard_and_do_no_harm() {
    let blocks = chain(150, 50);
    let setting = Setting { checkpoints: vec![blocks[100].id], ..Setting::new(&[1]) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm.clone(), Script::default());
    fixture.start();
    fixture.connect(1);
    fixture.agree_on(1, blocks[150].id);
    let requests = fixture.gear.outstanding_requests();
    let request_of = |id| requests.iter().find(|(_, block)| *block == id).unwrap().0.request.0;
    let (tip, checkpoint) = (request_of(blocks[150].id), request_of(blocks[100].id));
    fixture.ancestors(1, tip, &blocks[1..].iter().rev().collect::<Vec<_>>());
    fixture.work().unwrap();
    fixture.asked();
    // Answers to polls, also of the current number; connections; a wake-up; an answer that is
    // still outstanding, for a block that is here.
    let last = fixture.gear.last_request().0;
    fixture.frontier(1, last, blocks[150].id);
    fixture.accepted(1, last, &[blocks[150].id]);
    fixture.accepted_failed(1, last);
    fixture.call(Engine::timeout).unwrap();
    fixture.connect(2);
    fixture.call(|gear, cx| gear.disconnected(cx, node(2))).unwrap();
    fixture.ancestors_failed(1, checkpoint);
    fixture.ancestors(1, checkpoint, &[&blocks[100]]);
    assert_eq!(fixture.asked(), [], "what is here is not fetched again");
    assert_eq!(accepted(&vm), 64);
    fixture.work_off().unwrap();
    assert_eq!(accepted(&vm), 150);
}

#[test]
fn an_answer_that_comes_late_stores_nothing() {
    let blocks = chain(150, 50);
    let setting = Setting { checkpoints: vec![blocks[100].id], ..Setting::new(&[1]) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm.clone(), Script::default());
    fixture.start();
    fixture.connect(1);
    fixture.agree_on(1, blocks[150].id);
    let requests = fixture.gear.outstanding_requests();
    let request_of = |id| requests.iter().find(|(_, block)| *block == id).unwrap().0.request.0;
    let branch: Vec<_> = blocks[1..].iter().rev().collect();
    fixture.ancestors(1, request_of(blocks[150].id), &branch);
    fixture.work().unwrap();
    fixture.work().unwrap();
    // Block 100 is executed, and blocks 129 to 150 are not.
    fixture.ancestors(1, request_of(blocks[100].id), &branch[50..]);
    assert_eq!(fixture.gear.fetched().len(), 22);
    fixture.work_off().unwrap();
    assert_eq!(accepted(&vm), 150);
}

#[test]
fn others_are_served_between_slices() {
    let (mut fixture, _, blocks) = fetched(150);
    fixture.work().unwrap();
    let served = Arc::new(Mutex::new(0));
    let count = served.clone();
    fixture.around.sender = RecordingSender::new(move |sent| match sent {
        Sent::Ancestors(_, _, blocks) => *count.lock() = blocks.len(),
        other => panic!("{other:?}"),
    });
    let id = blocks[64].id;
    fixture.call(|gear, cx| gear.get_ancestors(cx, node(9), RequestId(5), id)).unwrap();
    assert_eq!(*served.lock(), 65);
}

#[test]
fn the_halter_ends_it_without_a_word_and_the_rest_stays() {
    let (mut fixture, vm, _) = fetched(150);
    fixture.work().unwrap();
    fixture.around.halter.halt();
    assert_eq!(fixture.work().unwrap(), common::Progress::Idle);
    assert_eq!(accepted(&vm), 64);
    assert_eq!((fixture.asked(), fixture.finished), (vec![], None));
    assert_eq!(fixture.work().unwrap(), common::Progress::Idle);
    let setting = Setting { db: fixture.gear.config.db.clone(), ..Setting::new(&[1]) };
    let mut again = Fixture::on(&setting, vm.clone(), Script::default());
    again.start();
    assert_eq!((again.gear.fetched().len(), again.gear.missing().len()), (86, 0));
    again.connect(1);
    again.agree_on(1, vm.inner().accepted()[64]);
    again.work_off().unwrap();
    assert_eq!(accepted(&vm), 150, "without fetching anything");
    assert_eq!(again.gear.stats().requests, 0);
}

#[test]
fn a_block_the_vm_refuses_stops_the_chain_and_says_why() {
    let (mut fixture, vm, blocks) = fetched(5);
    vm.inner().set_invalid(blocks[4].id, true);
    let text = fixture.work_off().unwrap_err().to_string();
    let [refused, parent] = [4, 3].map(|height: usize| blocks[height].id);
    assert_eq!(
        text,
        format!(
            "block {refused} (height 4, parent {parent}) does not verify in bootstrapping: \
             invalid: told to be; the last accepted block is {parent} (height 3)"
        )
    );
    // The block is still there for a better VM.
    vm.inner().set_invalid(blocks[4].id, false);
    let setting = Setting { db: fixture.gear.config.db.clone(), ..Setting::new(&[1]) };
    let mut again = Fixture::on(&setting, vm.clone(), Script::default());
    again.start();
    again.connect(1);
    again.agree_on(1, parent);
    again.work_off().unwrap();
    assert_eq!(accepted(&vm), 5);
}

#[test]
fn another_genesis_is_recognised() {
    // A majority of the beacons is on another chain than this node.
    let mut foreign = vec![test_block(Id([1; 32]), 0, 40)];
    foreign.push(test_block(foreign[0].id, 1, 40));
    let (mut fixture, vm) = Fixture::started(&[1]);
    fixture.agree_on(1, foreign[1].id);
    fixture.ancestors(1, 2, &[&foreign[1], &foreign[0]]);
    let text = fixture.work_off().unwrap_err().to_string();
    let ending =
        format!("the last accepted block is {}, of another chain than the network's", genesis().id);
    assert!(text.ends_with(&ending), "{text}");
    assert_eq!(accepted(&vm), 0);
}

#[test]
fn a_stored_block_that_does_not_parse_any_more_stops_the_chain() {
    let (mut fixture, _, _) = fetched(3);
    let mut key = vec![1];
    key.extend(2_u64.to_be_bytes());
    fixture.gear.config.db.put(&key, b"garbage").unwrap();
    let text = fixture.work_off().unwrap_err().to_string();
    assert!(text.starts_with("the block fetched at height 2 does not parse"), "{text}");
}

/// Reads stored blocks without the VM.
struct Trusting(Mutex<u32>);

impl TrustedParser for Trusting {
    fn parse_trusted(&self, bytes: Bytes) -> Result<Block, VmError> {
        *self.0.lock() += 1;
        sastrugi_vm::ChainVm::parse_block(&*TestVm::new(genesis()), bytes)
    }
}

#[test]
fn stored_blocks_are_read_by_the_trusted_parser() {
    let (mut fixture, vm, _) = fetched(3);
    let parser = Arc::new(Trusting(Mutex::new(0)));
    fixture.gear.config.trusted_parser = Some(parser.clone());
    vm.calls.lock().clear();
    fixture.work_off().unwrap();
    assert_eq!(*parser.0.lock(), 3);
    assert!(!vm.calls.lock().contains(&"parse_block"));
}

#[test]
fn stray_blocks_and_old_ones_are_only_removed() {
    let (mut fixture, vm, blocks) = fetched(5);
    // A block without a run, as no crash should leave it: its ancestors may be missing.
    let mut key = vec![1];
    key.extend(9_u64.to_be_bytes());
    fixture.gear.config.db.put(&key, &chain(9, 50)[9].bytes).unwrap();
    // The VM has gone on by itself.
    for block in &blocks[1..=2] {
        let vm: &dyn sastrugi_vm::ChainVm = &*vm.inner();
        vm.verify(block, None).unwrap();
        vm.accept(block.id).unwrap();
    }
    fixture.work_off().unwrap();
    assert_eq!(accepted(&vm), 5);
    assert_eq!(fixture.gear.stats().accepted, 3);
    assert!(fixture.gear.config.db.iterate(b"", b"").unwrap().next().is_none());
}

#[test]
fn progress_of_executing_for_people() {
    let (mut fixture, _, _) = fetched(64 * 20);
    for _ in 0..12 {
        fixture.pass(Duration::from_secs(1));
        fixture.work().unwrap();
    }
    let progress = fixture.gear.progress(fixture.around.now);
    let text = "executing: 768 of 1280 blocks, 64/s, 9s left";
    assert_eq!(progress.to_string(), text);
    let json = progress.to_json();
    assert_eq!((&json["phase"], &json["executed"]), (&"executing".into(), &768.into()));
    assert_eq!(
        fixture.gear.health(fixture.around.now, fixture.around.wall).details["bootstrap"],
        json
    );
}
