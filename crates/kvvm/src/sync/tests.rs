use std::{cell::RefCell, rc::Rc, sync::OnceLock};

use proptest::{collection::vec, prelude::*};
use sastrugi_types::{Id, version::Application};
use sastrugi_vm::{
    Block as VmBlock, State, StateSummary, StateSyncMode, StateSyncableVm,
    db::MemoryDb,
    testkit::{Sent, Setup, TestClock, TestNode},
};

use super::{message::ANSWER_BYTES_MAX, *};
use crate::{
    Genesis, Kvvm, Target,
    api::{BlockReply, GetArgs, GetBlockArgs, GetReply, Hex, TxId, TxStatus},
    block::Block,
    blocks,
    client::{self, Key, delete, put},
    json::Decimal,
    state::range::Range,
    transaction::Transaction,
};

const CLIENT: NodeId = NodeId([0xc1; 20]);
const TARGET: Target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };
const INTERVAL: u64 = 16;
/// The chain ends some blocks above its last summary.
const SUMMARY_HEIGHT: u64 = 3 * INTERVAL;
const HEIGHT: u64 = SUMMARY_HEIGHT + 5;
const CONFIG: &str = r#"{
    "stateSyncSummaryInterval": 16, "stateSyncSummaries": 2, "stateHistory": 1,
    "stateSyncMinBlocks": 1, "stateSyncRangeBytes": 800
}"#;

fn setup(gear: State) -> Setup {
    let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
    Setup { config: CONFIG.into(), gear, ..setup }
}

fn sign(owner: u8, nonce: u64, operations: Vec<crate::Operation>) -> Transaction {
    Key::from_seed(&[owner; 32]).sign(TARGET, nonce, operations).unwrap()
}

fn issue(node: &TestNode, transaction: &Transaction) {
    let answer = node.post("/rpc", &client::issue_call(transaction)).unwrap();
    client::answer::<TxId>(&answer.body).unwrap();
}

/// Four accounts set and remove keys, some 700 of which stay.
fn add_block(node: &TestNode, height: u64) {
    for owner in 1..5 {
        let operations = (0..25_u64).map(|number| {
            let key = ((height * 25 + number) % 200).to_be_bytes().to_vec();
            if (height + number).is_multiple_of(9) {
                delete(key)
            } else {
                put(key, height.to_string())
            }
        });
        issue(node, &sign(owner, height - 1, operations.collect()));
    }
    node.build_and_accept().unwrap();
}

/// A disk with the whole chain.
fn disk() -> MemoryDb {
    static DISK: OnceLock<MemoryDb> = OnceLock::new();
    let make = || {
        let node = TestNode::start(setup(State::NormalOp)).unwrap();
        (1..=HEIGHT).for_each(|height| add_block(&node, height));
        node.disk().reopen()
    };
    DISK.get_or_init(make).reopen()
}

fn server() -> TestNode {
    TestNode::start_on(setup(State::NormalOp), disk(), Arc::new(TestClock::default())).unwrap()
}

fn summary(server: &TestNode) -> StateSummary {
    let summary = ability(server).last_summary().unwrap().unwrap();
    assert_eq!(summary.height, SUMMARY_HEIGHT);
    summary
}

fn ability(node: &TestNode) -> &dyn StateSyncableVm {
    node.vm.state_sync().unwrap()
}

/// What becomes of a request.
#[derive(Clone, Debug)]
enum Outcome {
    Answer(Bytes),
    Error(AppError),
}

/// Changes what a peer says.
type Behaviour = Box<dyn FnMut(&RangeRequest, Outcome) -> Outcome>;

struct TestPeer {
    id: NodeId,
    node: Rc<TestNode>,
    behaviour: Behaviour,
    asked: usize,
}

/// Peers of one client.
#[derive(Default)]
struct Net {
    peers: Vec<TestPeer>,
    requests: usize,
}

/// A chain asks what is due a little after it looked at its clock.
fn check_due_stands_still(client: &TestNode) {
    let looked = client.clock.now();
    client.clock.advance(Duration::from_nanos(1));
    if let Some(due) = client.vm.poll_timeout() {
        assert!(due <= looked || client.clock.now() < due, "{due:?} moves with the clock");
    }
}

impl Net {
    fn honest(count: u8) -> Self {
        let mut net = Self::default();
        (0..count).for_each(|_| net.add(|_, outcome| outcome));
        net
    }

    fn add(&mut self, behaviour: impl FnMut(&RangeRequest, Outcome) -> Outcome + 'static) {
        let id = NodeId([self.peers.len() as u8 + 1; 20]);
        let node = match self.peers.first() {
            Some(peer) => Rc::clone(&peer.node),
            None => Rc::new(server()),
        };
        self.peers.push(TestPeer { id, node, behaviour: Box::new(behaviour), asked: 0 });
    }

    fn server(&self) -> &TestNode {
        &self.peers[0].node
    }

    fn connect(&self, client: &TestNode) {
        for peer in &self.peers {
            client.vm.connected(peer.id, &Application::default()).unwrap();
        }
    }

    /// A node that begins to jump.
    fn client(&self) -> TestNode {
        let client = TestNode::start(setup(State::StateSyncing)).unwrap();
        self.begin(&client);
        client
    }

    fn begin(&self, client: &TestNode) {
        self.connect(client);
        let mode = ability(client).accept_summary(&summary(self.server())).unwrap();
        assert_eq!(mode, StateSyncMode::Static);
    }

    /// Lets every request that is out have its outcome. Gives how many there were.
    fn deliver(&mut self, client: &TestNode) -> usize {
        let sent = client.sender.take();
        let requests = sent.len();
        assert!(requests <= usize::from(LANES));
        let mut busy: BTreeSet<NodeId> = BTreeSet::new();
        for sent in sent {
            let Sent::Request(nodes, number, bytes) = sent else { panic!("{sent:?}") };
            let node = *nodes.first().unwrap();
            assert!(nodes.len() == 1 && busy.insert(node), "one request per peer");
            let outcome = self.outcome(node, &bytes);
            match outcome {
                Outcome::Answer(bytes) => client.vm.app_response(node, number, bytes).unwrap(),
                Outcome::Error(error) => {
                    client.vm.app_request_failed(node, number, &error).unwrap();
                }
            }
        }
        self.requests += requests;
        requests
    }

    fn outcome(&mut self, node: NodeId, bytes: &Bytes) -> Outcome {
        let peer = self.peers.iter_mut().find(|peer| peer.id == node).unwrap();
        peer.asked += 1;
        peer.node.vm.app_request(CLIENT, RequestId(1), Instant::MAX, bytes.clone()).unwrap();
        let outcome = match peer.node.sender.take().pop().unwrap() {
            Sent::Response(CLIENT, _, bytes) => Outcome::Answer(bytes),
            Sent::Error(CLIENT, _, error) => Outcome::Error(error),
            other => panic!("{other:?}"),
        };
        (peer.behaviour)(&RangeRequest::decode(bytes.clone()).unwrap(), outcome)
    }

    /// One round: messages, commits and what is due. Whether the sync is over. Fails when the disk
    /// does.
    fn round(&mut self, client: &TestNode) -> Result<bool, VmError> {
        let requests = self.deliver(client);
        client.commit_written()?;
        let pause = if requests == 0 { Duration::from_millis(250) } else { Duration::ZERO };
        client.advance(pause)?;
        client.commit_written()?;
        check_due_stands_still(client);
        Ok(client.events.take_state_sync_done())
    }

    fn finish(&mut self, client: &TestNode) {
        for _ in 0..20_000 {
            if self.round(client).unwrap() {
                assert!(!client.events.is_state_sync_done());
                return;
            }
        }
        panic!("the sync does not end: {:?}", client.vm.health());
    }

    /// As [`Self::check_landed`], but most times no block is executed: that is what takes long.
    fn check_landed_quickly(&self, client: &TestNode, turn: usize) {
        if turn.is_multiple_of(5) {
            return self.check_landed(client);
        }
        let landed = self.server().vm.block_id_at_height(SUMMARY_HEIGHT).unwrap();
        assert_eq!(Some(client.vm.last_accepted().unwrap()), landed);
        assert_eq!(&entries(client, SUMMARY_HEIGHT), expected(SUMMARY_HEIGHT));
        clean(client, 1);
    }

    /// The client has the summary's state, whole, and can execute the blocks above.
    fn check_landed(&self, client: &TestNode) {
        let server = self.server();
        let landed = server.vm.block_id_at_height(SUMMARY_HEIGHT).unwrap();
        assert_eq!(Some(client.vm.last_accepted().unwrap()), landed);
        assert_eq!(client.vm.block_id_at_height(SUMMARY_HEIGHT).unwrap(), landed);
        assert_eq!(client.vm.block_id_at_height(SUMMARY_HEIGHT - 1).unwrap(), None);
        assert_eq!(ability(client).ongoing_summary().unwrap(), None);
        assert_eq!(&entries(client, SUMMARY_HEIGHT), expected(SUMMARY_HEIGHT));
        follow(client, server, SUMMARY_HEIGHT);
        assert_eq!(&entries(client, HEIGHT), expected(HEIGHT));
        for owner in 1..5 {
            let account = Key::from_seed(&[owner; 32]).account();
            let args = crate::api::RangeArgs { account, start: Hex::default(), limit: None };
            let ask = |node| ask::<_, crate::api::RangeReply>(node, "kv.range", &args).unwrap();
            assert_eq!(ask(client), ask(server));
        }
        clean(client, 1);
    }
}

fn ask<A: serde::Serialize, R: serde::de::DeserializeOwned>(
    node: &TestNode,
    method: &str,
    args: &A,
) -> Result<R, String> {
    let answer = node.post("/rpc", &client::call(method, args)).unwrap();
    client::answer(&answer.body).map_err(|error| error.to_string())
}

/// All of a state.
fn entries(node: &TestNode, height: u64) -> Vec<Entry> {
    let disk = node.disk();
    let generation = blocks::last(disk).unwrap().unwrap().generation;
    let store = Store::new(disk, generation);
    Range::read(store, height, [0; 32], [0xff; 32], |_| true).unwrap().0.entries
}

/// What the server holds at a height.
fn expected(height: u64) -> &'static Vec<Entry> {
    static EXPECTED: OnceLock<BTreeMap<u64, Vec<Entry>>> = OnceLock::new();
    let read = || {
        let server = server();
        [SUMMARY_HEIGHT, HEIGHT].map(|height| (height, entries(&server, height))).into()
    };
    &EXPECTED.get_or_init(read)[&height]
}

/// Executes the server's blocks above a height.
fn follow(client: &TestNode, server: &TestNode, above: u64) {
    client.vm.set_state(State::Bootstrapping).unwrap();
    for height in above + 1..=HEIGHT {
        let id = server.vm.block_id_at_height(height).unwrap().unwrap();
        let VmBlock { bytes, .. } = server.vm.get_block(id).unwrap().unwrap();
        let block = client.vm.parse_block(bytes).unwrap();
        client.vm.verify(&block, None).unwrap();
        client.accept(id).unwrap();
    }
    assert_eq!(client.vm.last_accepted().unwrap(), server.vm.last_accepted().unwrap());
}

/// After a while nothing is left of any generation but this one.
fn clean(client: &TestNode, generation: u32) {
    client.advance(Duration::from_secs(10)).unwrap();
    client.commit().unwrap();
    let disk = client.disk();
    assert_eq!(blocks::last(disk).unwrap().unwrap().generation, Generation(generation));
    for other in (0..5).filter(|other| *other != generation) {
        let store = Store::new(disk, Generation(other));
        assert_eq!(store.iterate(&[], &[]).unwrap().count(), 0, "of generation {other}");
    }
    assert_eq!(journal::ongoing(disk), Ok(None));
    assert_eq!(journal::has_removals(disk), Ok(false));
    assert_eq!(client.vm.poll_timeout(), None);
}

fn details(client: &TestNode) -> serde_json::Value {
    client.vm.health().details["stateSync"].clone()
}

#[test]
fn an_empty_node_jumps() {
    let mut net = Net::honest(4);
    let client = net.client();
    net.finish(&client);
    assert!(net.requests > 2 * 16, "several ranges per lane: {}", net.requests);
    assert_eq!(details(&client), format!("jumped to height {SUMMARY_HEIGHT}"));
    assert!(client.vm.health().is_healthy());
    net.check_landed(&client);
}

#[test]
fn one_peer_is_enough() {
    let mut net = Net::honest(1);
    let client = net.client();
    net.finish(&client);
    net.check_landed(&client);
}

type Change = fn(&mut RangeAnswer);

/// Everything a peer may say that is not true.
fn lies() -> Vec<(&'static str, Behaviour)> {
    let mut lies = altered_ranges();
    lies.extend(no_ranges());
    lies.push((
        "a range nobody asked for",
        instead(|asked, _| {
            let mut first = asked.first;
            first[0] ^= 0x10;
            (asked.height, first, [0xff; 32], 0)
        }),
    ));
    lies.push((
        "the state of another height",
        instead(|asked, most| (asked.height + 1, asked.first, asked.last, most)),
    ));
    lies
}

/// Answers with a true range of something else: a height, two paths, and the most entries.
fn instead(what: fn(&RangeRequest, usize) -> (u64, Path, Path, usize)) -> Behaviour {
    let server = server();
    Box::new(move |asked, _| {
        let store = Store::new(server.disk(), Generation(0));
        let (height, first, last, most) = what(asked, usize::MAX);
        let mut taken = 0;
        let fits = |_: &Entry| {
            taken += 1;
            taken <= most
        };
        let (range, covered) = Range::read(store, height, first, last, fits).unwrap();
        let is_whole = covered == asked.last;
        Outcome::Answer(RangeAnswer { range, is_whole }.encode())
    })
}

fn changed(change: Change) -> Behaviour {
    Box::new(move |_, outcome| {
        let Outcome::Answer(bytes) = outcome else { return outcome };
        let mut answer = RangeAnswer::decode(bytes).unwrap();
        if answer.range.entries.len() < 2 {
            // Too little to lie about.
            return Outcome::Answer(Bytes::new());
        }
        change(&mut answer);
        Outcome::Answer(answer.encode())
    })
}

fn altered_ranges() -> Vec<(&'static str, Behaviour)> {
    vec![
        ("an entry is left out", changed(|answer| drop(answer.range.entries.remove(0)))),
        ("the last entry is left out", changed(|answer| drop(answer.range.entries.pop()))),
        (
            "a value is altered",
            changed(|answer| answer.range.entries[0].value = Bytes::from_static(b"mine")),
        ),
        (
            "an entry is added",
            changed(|answer| {
                let mut entry = answer.range.entries[0].clone();
                entry.key = Bytes::from_static(b"new");
                answer.range.entries.push(entry);
                answer.range.entries.sort_by_key(Entry::path);
            }),
        ),
        ("wrong order", changed(|answer| answer.range.entries.reverse())),
        (
            "an entry twice",
            changed(|answer| answer.range.entries.insert(0, answer.range.entries[0].clone())),
        ),
        ("no proof", changed(|answer| answer.range.steps.clear())),
        ("nothing", changed(|answer| *answer = RangeAnswer { is_whole: true, ..empty() })),
        ("it says it is whole", changed(|answer| answer.is_whole = !answer.is_whole)),
    ]
}

fn no_ranges() -> Vec<(&'static str, Behaviour)> {
    let bytes = |make: fn(Bytes) -> Bytes| -> Behaviour {
        Box::new(move |_, outcome| match outcome {
            Outcome::Answer(bytes) => Outcome::Answer(make(bytes)),
            error @ Outcome::Error(_) => error,
        })
    };
    vec![
        ("nothing, and more to come", bytes(|_| empty().encode())),
        ("no bytes", bytes(|_| Bytes::new())),
        ("garbage", bytes(|bytes| Bytes::from(vec![0xaa; bytes.len()]))),
        ("cut short", bytes(|bytes| bytes.slice(..bytes.len() - 1))),
        ("one byte more", bytes(|bytes| Bytes::from([&bytes[..], &[0]].concat()))),
        ("oversize", bytes(|_| Bytes::from(vec![0; ANSWER_BYTES_MAX + 1]))),
    ]
}

fn empty() -> RangeAnswer {
    RangeAnswer { range: Range::default(), is_whole: false }
}

#[test]
fn liars_are_charged_and_others_asked() {
    for (what, behaviour) in lies() {
        let mut net = Net::honest(2);
        net.add(behaviour);
        let client = net.client();
        net.finish(&client);
        assert_eq!(net.peers[2].asked, 1, "{what}: not asked again");
        net.check_landed(&client);
    }
}

#[test]
fn answers_that_fail_go_elsewhere_too() {
    let errors = [AppError::TIMEOUT, AppError::UNDEFINED, UNAVAILABLE, BUSY];
    for error in errors {
        let mut net = Net::honest(2);
        let failure = error.clone();
        net.add(move |_, _| Outcome::Error(failure.clone()));
        let client = net.client();
        net.finish(&client);
        let health = client.vm.health();
        assert!(net.peers[2].asked >= 1, "{error}: {health:?}");
        assert!(net.peers[2].asked < 12, "{error}: {} times", net.peers[2].asked);
        net.check_landed(&client);
    }
}

#[test]
fn a_liar_is_asked_again_after_a_while() {
    let mut net = Net::default();
    let mut answers = 0;
    net.add(move |_, outcome| {
        answers += 1;
        if answers <= 2 { Outcome::Answer(Bytes::new()) } else { outcome }
    });
    let client = net.client();
    net.deliver(&client);
    assert_eq!(details(&client)["wrongAnswers"], 1);
    client.advance(Duration::from_mins(2) - Duration::from_millis(1)).unwrap();
    assert_eq!(net.deliver(&client), 0);
    client.advance(Duration::from_millis(1)).unwrap();
    assert_eq!(net.deliver(&client), 1);
    client.vm.disconnected(NodeId([1; 20])).unwrap();
    net.connect(&client);
    client.advance(Duration::from_mins(4) - Duration::from_millis(1)).unwrap();
    assert_eq!(net.deliver(&client), 0, "longer now, whether it reconnects or not");
    net.finish(&client);
    net.check_landed(&client);
}

#[test]
fn nothing_a_peer_says_unasked_matters() {
    let mut net = Net::honest(2);
    let client = net.client();
    let answer = |node, number, bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        client.vm.app_response(node, RequestId(number), bytes).unwrap();
        client.vm.app_request_failed(node, RequestId(number), &UNAVAILABLE).unwrap();
    };
    for number in 0..200 {
        answer(NodeId([9; 20]), number, b"who is this?");
        answer(NodeId([1; 20]), number | 1 << 20, b"what was that?");
    }
    assert_eq!(details(&client)["wrongAnswers"], 0);
    assert_eq!(details(&client)["outstandingRequests"], 2);
    net.finish(&client);
    answer(NodeId([1; 20]), 1, b"late");
    net.check_landed(&client);
}

#[test]
fn without_peers_it_waits_and_says_so() {
    let mut net = Net::honest(2);
    let client = TestNode::start(setup(State::StateSyncing)).unwrap();
    ability(&client).accept_summary(&summary(net.server())).unwrap();
    client.advance(Duration::from_hours(1)).unwrap();
    assert!(!client.events.is_state_sync_done(), "it waits for somebody to ask");
    let health = client.vm.health();
    assert!(health.causes[0].contains("of 0 connected peers"), "{health:?}");
    net.connect(&client);
    net.round(&client).unwrap();
    assert!(client.vm.health().is_healthy());
    net.finish(&client);
    net.check_landed(&client);
}

/// The old state answers, and bootstrapping begins where the node was.
fn check_given_up(net: &Net, client: &TestNode, why: &str) {
    let outcome = details(client);
    assert!(outcome.as_str().unwrap().contains(why), "{outcome}");
    assert!(client.vm.health().is_healthy());
    assert_eq!(ability(client).ongoing_summary().unwrap(), None);
    assert_eq!(
        client.vm.block_id_at_height(0).unwrap().unwrap(),
        client.vm.last_accepted().unwrap()
    );
    follow(client, net.server(), 0);
    clean(client, 0);
    assert_eq!(&entries(client, HEIGHT), expected(HEIGHT));
}

#[test]
fn a_state_that_nobody_has_is_given_up() {
    let mut net = Net::default();
    let has_state = Rc::new(RefCell::new(true));
    for _ in 0..3 {
        let has_state = Rc::clone(&has_state);
        net.add(
            move |_, outcome| {
                if *has_state.borrow() { outcome } else { Outcome::Error(UNAVAILABLE) }
            },
        );
    }
    let client = net.client();
    (0..5).for_each(|_| assert!(!net.round(&client).unwrap()));
    *has_state.borrow_mut() = false;
    let begun = client.clock.now();
    net.finish(&client);
    let waited = client.clock.now().since(begun);
    assert!(waited >= LACKING_MAX && waited < 2 * LACKING_MAX, "{waited:?}");
    assert!(net.requests < 100, "it asks now and then: {}", net.requests);
    check_given_up(&net, &client, "no peer has the state any more");
}

#[test]
fn one_that_still_has_the_state_is_enough() {
    let mut net = Net::honest(1);
    net.add(|_, _| Outcome::Error(UNAVAILABLE));
    net.add(|_, _| Outcome::Error(UNAVAILABLE));
    let client = net.client();
    net.finish(&client);
    net.check_landed(&client);
}

#[test]
fn silence_is_given_up_in_the_end() {
    let mut net = Net::default();
    net.add(|_, _| Outcome::Error(AppError::TIMEOUT));
    net.add(|_, _| Outcome::Error(UNAVAILABLE));
    let client = net.client();
    let begun = client.clock.now();
    for _ in 0..2000 {
        net.round(&client).unwrap();
    }
    let health = client.vm.health();
    assert!(
        health.causes[0].contains("of 2 connected peers 1 do not have the state"),
        "{health:?}"
    );
    net.finish(&client);
    assert_eq!(client.clock.now().since(begun).as_secs(), 900);
    check_given_up(&net, &client, "no peer served the state");
}

#[test]
fn it_does_not_jump_backwards_or_a_short_way() {
    let server = server();
    let skipped = |node: &TestNode, summary: &StateSummary| {
        let mode = ability(node).accept_summary(summary).unwrap();
        assert_eq!(mode, StateSyncMode::Skipped);
        assert_eq!(ability(node).ongoing_summary().unwrap(), None);
        assert_eq!(node.vm.poll_timeout(), None);
    };
    skipped(&server, &summary(&server));
    let near = |config: &'static str| {
        let setup = Setup { config: config.into(), ..setup(State::StateSyncing) };
        TestNode::start(setup).unwrap()
    };
    skipped(&near(r#"{"stateSyncMinBlocks": 49}"#), &summary(&server));
    let node = near(r#"{"stateSyncMinBlocks": 48, "stateSyncEnabled": true}"#);
    assert!(ability(&node).state_sync_enabled().unwrap());
    let mode = ability(&node).accept_summary(&summary(&server)).unwrap();
    assert_eq!(mode, StateSyncMode::Static);
    assert!(!ability(&server).state_sync_enabled().unwrap(), "it serves all the same");
}

#[test]
fn a_young_chain_names_genesis() {
    let node = TestNode::start(setup(State::NormalOp)).unwrap();
    for height in 1..INTERVAL {
        let genesis = ability(&node).summary_at(0).unwrap().unwrap();
        assert_eq!(ability(&node).last_summary().unwrap(), Some(genesis.clone()));
        let fresh = TestNode::start(setup(State::StateSyncing)).unwrap();
        let genesis = ability(&fresh).parse_summary(genesis.bytes).unwrap();
        assert_eq!(ability(&fresh).accept_summary(&genesis).unwrap(), StateSyncMode::Skipped);
        add_block(&node, height);
    }
    add_block(&node, INTERVAL);
    assert_eq!(ability(&node).last_summary().unwrap().unwrap().height, INTERVAL);
}

#[test]
fn states_are_served_until_they_are_forgotten() {
    let node = server();
    let heights = |node: &TestNode| -> Vec<u64> {
        (1..=HEIGHT).filter(|height| ability(node).summary_at(*height).unwrap().is_some()).collect()
    };
    // Two intervals below the last block.
    assert_eq!(heights(&node), (HEIGHT - 2 * INTERVAL..=HEIGHT).collect::<Vec<_>>());
    let none = r#"{"stateSyncSummaryInterval": 16, "stateSyncSummaries": 0, "stateHistory": 1}"#;
    let setup = Setup { config: none.into(), ..setup(State::NormalOp) };
    let node = TestNode::start_on(setup, disk(), Arc::new(TestClock::default())).unwrap();
    let forgotten = |node: &TestNode| ability(node).last_summary().unwrap().unwrap().height == 0;
    for height in HEIGHT + 1..HEIGHT + 40 {
        add_block(&node, height);
        let age = height % INTERVAL;
        assert!(height < HEIGHT + 32 || forgotten(&node) == (age > 1), "{height}");
    }
}

#[test]
fn a_chain_that_comes_as_far_by_itself_does_not_jump() {
    let mut net = Net::honest(2);
    let client = net.client();
    // An engine that does not wait would do this.
    for height in 1..=SUMMARY_HEIGHT {
        let id = net.server().vm.block_id_at_height(height).unwrap().unwrap();
        let block = net.server().vm.get_block(id).unwrap().unwrap();
        client.vm.verify(&block, None).unwrap();
        client.accept(id).unwrap();
    }
    net.finish(&client);
    let id = net.server().vm.block_id_at_height(SUMMARY_HEIGHT).unwrap().unwrap();
    assert_eq!(client.vm.last_accepted().unwrap(), id);
    clean(&client, 0);
}

#[test]
fn leaving_drops_what_was_begun() {
    let mut net = Net::honest(2);
    let client = net.client();
    (0..5).for_each(|_| assert!(!net.round(&client).unwrap()));
    // The node is started again without the wish to sync.
    let disk = client.disk().reopen();
    let client =
        TestNode::start_on(setup(State::Bootstrapping), disk, Arc::clone(&client.clock)).unwrap();
    assert_eq!(ability(&client).ongoing_summary().unwrap(), None);
    assert!(!client.events.is_state_sync_done(), "nobody waits for it");
    check_given_up(&net, &client, "the engine went on without it");
}

#[test]
fn removal_goes_on_after_a_restart() {
    let mut net = Net::honest(2);
    let client = net.client();
    net.finish(&client);
    let disk = client.disk().reopen();
    let removals = |disk: &MemoryDb| journal::has_removals(disk).unwrap();
    assert!(removals(&disk), "the state of genesis is still there");
    let client =
        TestNode::start_on(setup(State::Bootstrapping), disk, Arc::clone(&client.clock)).unwrap();
    net.check_landed(&client);
}

#[test]
fn reads_answer_from_the_old_state_until_the_jump() {
    let mut net = Net::honest(2);
    let client = net.client();
    let account = Key::from_seed(&[1; 32]).account();
    let key = Hex(Bytes::copy_from_slice(&100_u64.to_be_bytes()));
    let get = |node: &TestNode, height: Option<u64>| {
        let (key, height) = (key.clone(), height.map(Decimal));
        ask::<_, GetReply>(node, "kv.get", &GetArgs { account, key, height, proof: true })
    };
    let block = |height| GetBlockArgs { height: Some(Decimal(height)), ..Default::default() };
    while !net.round(&client).unwrap() {
        let reply = get(&client, None).unwrap();
        if reply.block.height == Decimal(0) {
            assert!(reply.is_proven(account, &key.0) && reply.value.is_none());
        }
    }
    let reply = get(&client, None).unwrap();
    assert_eq!(reply.block.height, Decimal(SUMMARY_HEIGHT));
    assert_eq!(Ok(&reply), get(net.server(), Some(SUMMARY_HEIGHT)).as_ref());
    assert!(reply.value.is_some() && reply.is_proven(account, &key.0));
    let missing = "block 47 is not on this node: state sync took it from height 0 to height 48";
    assert!(get(&client, Some(47)).unwrap_err().contains(missing));
    let not_there = ask::<_, BlockReply>(&client, "kv.getBlock", &block(47)).unwrap_err();
    assert!(not_there.contains(missing), "{not_there}");
    let gone = get(&client, Some(0)).unwrap_err();
    assert!(gone.contains("the state of height 0 is not available"), "{gone}");
    ask::<_, BlockReply>(&client, "kv.getBlock", &block(0)).unwrap();
    ask::<_, BlockReply>(&client, "kv.getBlock", &block(SUMMARY_HEIGHT)).unwrap();
    let above = ask::<_, BlockReply>(&client, "kv.getBlock", &block(49)).unwrap_err();
    assert!(above.contains("no block was accepted at height 49"), "{above}");
}

#[test]
fn waiting_transactions_follow_the_jump() {
    let mut net = Net::honest(2);
    let client = net.client();
    // The chain has used the nonces below the summary's height.
    let (old, next) = (sign(1, 0, vec![put("k", "v")]), sign(1, SUMMARY_HEIGHT, vec![delete("k")]));
    issue(&client, &old);
    issue(&client, &next);
    client.sender.take();
    net.connect(&client);
    let client = {
        // The gossip is gone with the messages; begin anew.
        let client = client.crash().unwrap();
        net.begin(&client);
        issue(&client, &old);
        issue(&client, &next);
        client
    };
    let pushes = |sent: &Sent| !matches!(sent, Sent::Gossip(..));
    let requests: Vec<Sent> = client.sender.take().into_iter().filter(pushes).collect();
    for sent in requests {
        let Sent::Request(nodes, number, bytes) = sent else { panic!("{sent:?}") };
        let node = *nodes.first().unwrap();
        let Outcome::Answer(bytes) = net.outcome(node, &bytes) else { panic!("served") };
        client.vm.app_response(node, number, bytes).unwrap();
    }
    net.finish(&client);
    let status = |transaction: &Transaction| {
        ask::<_, TxStatus>(&client, "kv.getTxStatus", &TxId { tx_id: transaction.id() }).unwrap()
    };
    assert!(matches!(status(&old), TxStatus::Dropped { .. }), "{:?}", status(&old));
    assert_eq!(status(&next), TxStatus::Pending);
    client.vm.set_state(State::Bootstrapping).unwrap();
    client.vm.set_state(State::NormalOp).unwrap();
    let built = client.build_and_accept().unwrap();
    assert_eq!(Block::decode(built.bytes).unwrap().transactions(), [next]);
}

#[test]
fn progress_is_shown() {
    let mut net = Net::honest(4);
    let client = net.client();
    assert_eq!(details(&client)["filledPercent"], 0.0);
    let mut before = 0.0;
    loop {
        client.clock.advance(Duration::from_millis(100));
        if net.round(&client).unwrap() {
            break;
        }
        let details = details(&client);
        let filled = details["filledPercent"].as_f64().unwrap();
        assert!(filled > before && filled <= 100.0, "{details}");
        assert!(details["receivedBytesPerSecond"].as_u64().unwrap() > 0);
        assert!(details["remainingSeconds"].is_u64(), "{details}");
        assert_eq!(details["outstandingRequests"].as_u64(), Some(client_requests(&details)));
        before = filled;
    }
}

fn client_requests(details: &serde_json::Value) -> u64 {
    let idle = 16 - details["lanesFull"].as_u64().unwrap();
    details["peers"]["connected"].as_u64().unwrap().min(idle)
}

/// A range that arrives makes one batch; each of them may be the last that a crash leaves.
#[test]
fn a_crash_at_every_write_is_survived() {
    let mut net = Net::honest(3);
    let whole = net.client();
    net.finish(&whole);
    whole.advance(Duration::from_secs(1)).unwrap();
    whole.commit_written().unwrap();
    let (written, requests) = (whole.disk().unsynced_batches(), net.requests);
    assert!(written > 15, "{written}");
    for survivors in 0..=written {
        let disk = whole.disk().after_crash(survivors);
        let client =
            TestNode::start_on(setup(State::StateSyncing), disk, Arc::clone(&whole.clock)).unwrap();
        let mut net = Net::honest(3);
        let is_landed = client.vm.block_id_at_height(SUMMARY_HEIGHT).unwrap().is_some();
        if is_landed {
            assert_eq!(ability(&client).ongoing_summary().unwrap(), None);
        } else {
            let ongoing = ability(&client).ongoing_summary().unwrap();
            assert_eq!(ongoing.is_some(), survivors > 0);
            assert!(ongoing.is_none_or(|ongoing| ongoing == summary(net.server())));
            net.begin(&client);
            net.finish(&client);
            // Each batch but the first, the last and the removals holds three ranges.
            let had = 3 * survivors.saturating_sub(1);
            assert!(net.requests <= (requests - had.min(requests)) + 3, "{survivors}: refetched");
        }
        net.check_landed_quickly(&client, survivors);
    }
}

/// The same, but the disk refuses a write, and the node falls over it.
#[test]
fn a_disk_that_fails_at_every_write_is_survived() {
    for writes in 0.. {
        let mut net = Net::honest(3);
        let client = net.client();
        client.disk().fail_writes_after(writes);
        let mut ended = Ok(false);
        while ended.as_ref().is_ok_and(|is_done| !is_done) {
            ended = net.round(&client);
        }
        let disk = client.disk().reopen();
        if ended.is_ok() {
            net.check_landed(
                &TestNode::start_on(setup(State::StateSyncing), disk, Arc::clone(&client.clock))
                    .unwrap(),
            );
            return;
        }
        let client =
            TestNode::start_on(setup(State::StateSyncing), disk, Arc::clone(&client.clock))
                .unwrap();
        if client.vm.block_id_at_height(SUMMARY_HEIGHT).unwrap().is_none() {
            net.begin(&client);
            net.finish(&client);
        }
        net.check_landed_quickly(&client, writes as usize);
    }
}

/// What a peer does about its next request.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Honest,
    Silent,
    Busy,
    Lacking,
    Wrong(usize),
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Honest),
        1 => Just(Mood::Silent),
        2 => Just(Mood::Busy),
        1 => Just(Mood::Lacking),
        1 => any::<usize>().prop_map(Mood::Wrong),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever peers do, as long as one is honest, and however often the node dies.
    #[test]
    fn it_always_arrives(
        moods in vec(vec(mood(), 1..20), 1..5),
        crashes in vec((0..12_usize, 0..4_usize), 0..5),
    ) {
        let mut net = Net::honest(1);
        for moods in moods {
            let mut moods = moods.into_iter().cycle();
            let mut lies = lies();
            net.add(move |asked, outcome| match moods.next().unwrap() {
                Mood::Honest => outcome,
                Mood::Silent => Outcome::Error(AppError::TIMEOUT),
                Mood::Busy => Outcome::Error(BUSY),
                Mood::Lacking => Outcome::Error(UNAVAILABLE),
                Mood::Wrong(lie) => {
                    let lie = lie % lies.len();
                    (lies[lie].1)(asked, outcome)
                }
            });
        }
        let mut client = net.client();
        client.commit_written().unwrap();
        let mut is_done = false;
        for (rounds, lost) in crashes {
            for _ in 0..rounds {
                is_done = is_done || net.round(&client).unwrap();
            }
            if is_done {
                break;
            }
            let survivors = client.disk().unsynced_batches().saturating_sub(lost);
            let disk = client.disk().after_crash(survivors);
            let clock = Arc::clone(&client.clock);
            client = TestNode::start_on(setup(State::StateSyncing), disk, clock).unwrap();
            net.begin(&client);
            client.commit_written().unwrap();
        }
        if !is_done {
            net.finish(&client);
        }
        net.check_landed(&client);
    }
}
