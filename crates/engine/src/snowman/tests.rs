use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{NodeId, message::Chits};
use sastrugi_vm::Message;
use serde_json::json;

use super::*;
use crate::{
    common::{
        ChitsHandler, Engine, GetHandler, InternalHandler, PutHandler, QueryHandler, StateSyncing,
        tracker::Peers,
    },
    getter::GetterConfig,
    testing::{ManualClock, RecordingSender, Script, Sent, Surroundings, TestVm, test_block},
    validators::{Validator, Validators},
};

const SUBNET: Id = Id([5; 32]);
const US: NodeId = NodeId([9; 20]);
const PEER: NodeId = NodeId([1; 20]);
const OTHER: NodeId = NodeId([2; 20]);

/// What a gear on the test VM says, in words.
type Said = Arc<Mutex<Vec<String>>>;

struct Fixture {
    gear: Snowman,
    vm: Arc<TestVm>,
    around: Surroundings<RecordingSender, Script, Script>,
    said: Said,
    validators: Arc<Validators>,
    peers: Arc<Peers>,
    state_syncing: StateSyncing,
}

fn params() -> Parameters {
    Parameters {
        k: 1,
        alpha_preference: 1,
        alpha_confidence: 1,
        beta: 1,
        concurrent_repolls: 1,
        optimal_processing: 100,
        max_outstanding_items: 10,
        max_item_processing_time: Duration::from_secs(1),
    }
}

fn words(sent: &Sent<'_>) -> String {
    match sent {
        Sent::PushQuery(to, request, bytes, height) => {
            format!("push {} {request} {} bytes {height}", to.len(), bytes.len())
        }
        Sent::PullQuery(to, request, id, height) => {
            format!("pull {} {request} {id:?} {height}", to.len())
        }
        Sent::Chits(to, request, Chits { preferred, preferred_at_height, accepted, .. }) => {
            let ids = [preferred, preferred_at_height, accepted];
            format!("chits {} {request} {ids:?}", to.0[0])
        }
        Sent::Get(to, request, id) => format!("get {} {request} {id:?}", to.0[0]),
        Sent::Put(to, request, bytes) => format!("put {} {request} {} bytes", to.0[0], bytes.len()),
        other => panic!("{other:?}"),
    }
}

fn genesis() -> Block {
    test_block(Id::EMPTY, 0, 0)
}

/// A chain of `count` blocks on genesis, all `length` bytes long.
fn chain(count: u64, length: usize) -> Vec<Block> {
    let mut parent = genesis().id;
    (1..=count)
        .map(|height| {
            let block = test_block(parent, height, length);
            parent = block.id;
            block
        })
        .collect()
}

impl Fixture {
    fn new(params: Parameters) -> Self {
        let vm = TestVm::new(genesis());
        let validators = Arc::new(Validators::new(1));
        let peers = Arc::new(Peers::new(1));
        validators.register_set_listener(SUBNET, peers.clone());
        for node in [PEER, OTHER] {
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight: 1 };
            validators.add_staker(SUBNET, validator).unwrap();
            peers.connected(node);
        }
        let state_syncing = StateSyncing::default();
        let gear = Snowman::new(Config {
            subnet: SUBNET,
            node: US,
            vm: vm.clone(),
            clock: Arc::new(ManualClock::default()),
            getter: GetterConfig::default(),
            params,
            validators: validators.clone(),
            peers: peers.clone(),
            state_syncing: state_syncing.clone(),
            partial_sync: false,
            hash_seed: 1,
        })
        .unwrap();
        let said = Said::default();
        let sender = {
            let said = said.clone();
            RecordingSender::new(move |sent| said.lock().push(words(&sent)))
        };
        let sampler = Script { samples: [vec![PEER]].into(), ..Script::default() };
        let around = Surroundings::new(sender, sampler, Script::default());
        Self { gear, vm, around, said, validators, peers, state_syncing }
    }

    /// A gear in charge, with request number 0.
    fn started() -> Self {
        let mut fixture = Self::new(params());
        fixture.start();
        fixture
    }

    fn start(&mut self) {
        self.gear.start(&mut self.around.cx(), RequestId(0)).unwrap();
        assert_eq!(self.heard(), [""; 0]);
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock())
    }

    fn push_query(&mut self, block: &Block) {
        let bytes = block.bytes.clone();
        self.gear.push_query(&mut self.around.cx(), PEER, RequestId(77), bytes, 1).unwrap();
    }

    fn put(&mut self, request: u32, bytes: &Bytes) {
        let request = RequestId(request);
        self.gear.put(&mut self.around.cx(), PEER, request, bytes.clone()).unwrap();
    }

    fn get_failed(&mut self, request: u32) {
        self.gear.get_failed(&mut self.around.cx(), PEER, RequestId(request)).unwrap();
    }

    fn chits(&mut self, from: NodeId, request: u32, preferred: Id) {
        let chits = Chits {
            preferred,
            preferred_at_height: preferred,
            accepted: genesis().id,
            accepted_height: 0,
        };
        self.gear.chits(&mut self.around.cx(), from, RequestId(request), chits).unwrap();
    }

    fn query_failed(&mut self, from: NodeId, request: u32) {
        self.gear.query_failed(&mut self.around.cx(), from, RequestId(request)).unwrap();
    }

    fn gossip(&mut self) {
        self.gear.gossip(&mut self.around.cx()).unwrap();
    }

    fn pending_txs(&mut self) {
        self.gear.notify(&mut self.around.cx(), Message::PendingTxs).unwrap();
    }

    /// Nothing waits and nothing is asked for.
    fn assert_nothing_left(&self) {
        let Gauges { requests, blocked, blockers, .. } = self.gear.gauges();
        assert_eq!((requests, blocked, blockers), (0, 0, 0));
        assert!(self.gear.work.is_empty());
    }
}

#[test]
fn bad_parameters_make_no_gear() {
    let fixture = Fixture::new(params());
    let config = Config { params: Parameters { k: 0, ..params() }, ..fixture.gear.config };
    assert!(Snowman::new(config).is_err());
}

#[test]
fn the_answer_leaves_before_the_block_is_looked_at() {
    let mut fixture = Fixture::started();
    let id = genesis().id;
    let garbage = Bytes::from_static(b"no block");
    let cx = &mut fixture.around.cx();
    fixture.gear.push_query(cx, PEER, RequestId(3), garbage, 1).unwrap();
    assert_eq!(fixture.heard(), [format!("chits 1 3 {:?}", [id; 3])]);

    let block = &chain(1, 0)[0];
    fixture.push_query(block);
    let heard = fixture.heard();
    assert_eq!(heard[0], format!("chits 1 77 {:?}", [id; 3]), "genesis was preferred");
    assert_eq!(heard[1], format!("pull 1 1 {:?} 1", block.id));
    assert_eq!(fixture.gear.consensus().preference(), block.id);
}

/// Upstream recurses once per block here.
#[test]
fn ten_thousand_pending_blocks_are_issued_in_order_without_recursion() {
    const COUNT: u64 = 10_000;
    let mut fixture = Fixture::started();
    let blocks = chain(COUNT, 0);
    fixture.push_query(blocks.last().unwrap());
    for (request, block) in (1..).zip(blocks[1..blocks.len() - 1].iter().rev()) {
        fixture.put(request, &block.bytes);
    }
    assert_eq!(fixture.gear.gauges().blocked, COUNT as usize - 1);
    assert_eq!(fixture.vm.verified(), 0);
    fixture.heard();

    fixture.put(COUNT as u32 - 1, &blocks[0].bytes);
    assert_eq!(fixture.vm.verified(), COUNT);
    let expected = (COUNT as u32..).zip(&blocks);
    let expected: Vec<_> =
        expected.map(|(request, block)| format!("pull 1 {request} {:?} 1", block.id)).collect();
    assert_eq!(fixture.heard(), expected);

    let tip = blocks.last().unwrap().id;
    fixture.chits(PEER, COUNT as u32, tip);
    assert_eq!(fixture.vm.accepted().len() as u64, COUNT + 1);
    let accepted: Vec<_> = fixture.around.acceptor.accepting.iter().map(|b| b.id).collect();
    assert_eq!(accepted, blocks.iter().map(|b| b.id).collect::<Vec<_>>());
    assert_eq!(fixture.around.acceptor.accepted, fixture.around.acceptor.accepting);
    assert_eq!(fixture.gear.processing.len(), 0);
    fixture.assert_nothing_left();
}

#[test]
fn ten_thousand_pending_blocks_are_given_up_without_recursion() {
    let mut fixture = Fixture::started();
    let blocks = chain(10_000, 0);
    fixture.push_query(blocks.last().unwrap());
    for (request, block) in (1..).zip(blocks[1..blocks.len() - 1].iter().rev()) {
        fixture.put(request, &block.bytes);
    }
    fixture.get_failed(9_999);
    fixture.assert_nothing_left();
    assert_eq!(fixture.gear.gauges().unverified, 0, "their ancestry is unknown");
}

#[test]
fn a_wrong_or_unreadable_block_fails_the_request() {
    for wrong in [Bytes::from_static(b"garbage"), test_block(Id([3; 32]), 9, 0).bytes] {
        let mut fixture = Fixture::started();
        let blocks = chain(3, 0);
        fixture.push_query(&blocks[2]);
        assert_eq!(fixture.heard()[1], format!("get 1 1 {:?}", blocks[1].id));
        let cx = &mut fixture.around.cx();
        fixture.gear.put(cx, OTHER, RequestId(1), Bytes::from_static(b"garbage")).unwrap();
        assert_eq!(fixture.gear.gauges().requests, 1, "the number belongs to another node");
        fixture.put(1, &wrong);
        assert_eq!(fixture.heard(), [""; 0]);
        fixture.assert_nothing_left();
        fixture.push_query(&blocks[2]);
        assert_eq!(fixture.heard()[1], format!("get 1 2 {:?}", blocks[1].id), "asked for again");
    }
}

#[test]
fn a_block_that_comes_another_way_ends_the_request_and_the_late_put_is_harmless() {
    let mut fixture = Fixture::started();
    let blocks = chain(2, 0);
    fixture.push_query(&blocks[1]);
    fixture.push_query(&blocks[0]);
    fixture.assert_nothing_left();
    assert_eq!(fixture.vm.verified(), 2);
    fixture.put(1, &blocks[0].bytes);
    fixture.get_failed(1);
    assert_eq!(fixture.vm.verified(), 2);
    let length = blocks[0].bytes.len() as u64;
    assert_eq!(fixture.gear.stats().useless_put_bytes, length);
}

#[test]
fn votes_find_their_way_through_blocks_that_do_not_verify() {
    let mut fixture = Fixture::started();
    let blocks = chain(4, 0);
    fixture.vm.set_invalid(blocks[1].id, true);
    fixture.push_query(&blocks[0]);
    fixture.push_query(&blocks[1]);
    fixture.push_query(&blocks[2]);
    fixture.push_query(&blocks[3]);
    assert_eq!(fixture.gear.gauges().unverified, 3);
    fixture.chits(PEER, 1, blocks[3].id);
    assert_eq!(fixture.vm.accepted(), [genesis().id, blocks[0].id]);
    assert_eq!(fixture.gear.stats().ancestor_fetches_succeeded, 1);
    // Accepted: what stands on its child may still be issued.
    fixture.vm.set_invalid(blocks[1].id, false);
    fixture.push_query(&blocks[3]);
    assert_eq!(fixture.gear.consensus().preference(), blocks[3].id);
    assert_eq!(fixture.gear.gauges().unverified, 0);
}

#[test]
fn a_vote_waits_for_its_block_and_counts_when_the_block_never_comes() {
    let mut fixture = Fixture::started();
    let blocks = chain(2, 0);
    fixture.push_query(&blocks[0]);
    let unknown = test_block(blocks[0].id, 2, 99).id;
    fixture.chits(PEER, 1, unknown);
    assert_eq!(fixture.gear.polls().len(), 1, "the vote waits");
    assert_eq!(fixture.gear.outstanding_gets().len(), 1);
    fixture.heard();
    fixture.get_failed(2);
    fixture.assert_nothing_left();
    let repoll = format!("pull 1 3 {:?} 1", blocks[0].id);
    assert_eq!(fixture.heard(), [repoll], "the vote was dropped, which ended the poll");
    fixture.query_failed(PEER, 3);
    assert_eq!(fixture.gear.consensus().num_processing(), 1, "genesis is no vote for a block");
}

#[test]
fn one_get_per_block_and_a_second_answer_does_not_count() {
    let mut fixture = Fixture::started();
    let blocks = chain(1, 0);
    fixture.around.sampler.samples = [vec![PEER, OTHER]].into();
    fixture.gear.config.params.k = 2;
    fixture.push_query(&blocks[0]);
    fixture.heard();
    fixture.chits(PEER, 1, Id([4; 32]));
    fixture.chits(OTHER, 1, Id([4; 32]));
    assert_eq!(fixture.heard(), [format!("get 1 2 {:?}", Id([4; 32]))]);
    fixture.get_failed(2);
    assert_eq!(fixture.gear.polls().len(), 1, "both votes were dropped, and a new poll began");
}

#[test]
fn a_query_that_cannot_be_sent_is_sent_by_a_later_tick() {
    let mut fixture = Fixture::started();
    fixture.around.sampler.samples.clear();
    let blocks = chain(1, 0);
    fixture.push_query(&blocks[0]);
    assert_eq!(fixture.heard().len(), 1, "the answer alone");
    fixture.gossip();
    assert_eq!(fixture.heard(), [""; 0]);
    fixture.around.sampler.samples = [vec![PEER]].into();
    fixture.peers.disconnected(PEER);
    fixture.peers.disconnected(OTHER);
    fixture.gossip();
    assert_eq!(fixture.heard(), [""; 0], "too little stake is connected");
    fixture.peers.connected(PEER);
    fixture.peers.connected(OTHER);
    fixture.gossip();
    assert_eq!(fixture.heard(), [format!("pull 1 1 {:?} 1", blocks[0].id)]);
}

#[test]
fn an_idle_gear_asks_one_validator_and_fetches_what_it_names() {
    let mut fixture = Fixture::started();
    fixture.gossip();
    assert_eq!(fixture.heard(), [""; 0]);
    fixture.around.sampler.connected = Some(OTHER);
    fixture.gossip();
    assert_eq!(fixture.heard(), [format!("pull 1 1 {:?} 1", genesis().id)]);
    assert!(fixture.gear.polls().is_empty());
    let block = &chain(1, 0)[0];
    fixture.chits(OTHER, 1, block.id);
    assert_eq!(fixture.heard(), [format!("get 2 2 {:?}", block.id)]);
}

#[test]
fn a_failed_query_counts_as_the_last_word_of_the_node() {
    let mut fixture = Fixture::started();
    let blocks = chain(2, 0);
    let accepted = blocks[0].id;
    let chits = Chits {
        preferred: genesis().id,
        preferred_at_height: genesis().id,
        accepted,
        accepted_height: 1,
    };
    fixture.gear.chits(&mut fixture.around.cx(), PEER, RequestId(50), chits).unwrap();
    fixture.push_query(&blocks[0]);
    fixture.query_failed(PEER, 1);
    assert_eq!(fixture.vm.accepted(), [genesis().id, accepted]);
    let node = PEER;
    fixture.validators.remove_weight(SUBNET, node, 1).unwrap();
    fixture.push_query(&blocks[1]);
    fixture.query_failed(PEER, 2);
    assert_eq!(fixture.vm.accepted().len(), 2, "it is no validator any more");
}

#[test]
fn built_blocks_are_pushed_and_their_number_is_bounded() {
    let mut fixture = Fixture::new(Parameters { optimal_processing: 1, ..params() });
    fixture.start();
    let blocks = chain(3, 1_000);
    fixture.vm.set_to_build(blocks.clone());
    fixture.pending_txs();
    fixture.pending_txs();
    assert_eq!(fixture.heard(), ["push 1 1 1000 bytes 1"]);
    assert_eq!(fixture.gear.owed_builds(), 1);
    fixture.chits(PEER, 1, blocks[0].id);
    assert_eq!(fixture.heard(), ["push 1 2 1000 bytes 2"], "acceptance makes room");
    fixture.chits(PEER, 2, blocks[1].id);
    fixture.vm.set_to_build(Vec::new());
    fixture.pending_txs();
    let Stats { built, builds_failed, issued, issuer_stake, .. } = *fixture.gear.stats();
    assert_eq!((built, builds_failed, issued), (2, 1, [0, 0, 2, 0]));
    assert_eq!(issuer_stake, Tally { count: 2, sum: 0 }, "this node is no validator");
}

#[test]
fn a_sibling_of_the_preference_is_issued_but_not_amplified() {
    let mut fixture = Fixture::started();
    let (first, second) = (test_block(genesis().id, 1, 0), test_block(genesis().id, 1, 50));
    fixture.push_query(&first);
    fixture.push_query(&second);
    let heard = fixture.heard();
    let polls: Vec<_> = heard.iter().filter(|line| line.starts_with("pull")).collect();
    assert_eq!(polls, [&format!("pull 1 1 {:?} 1", first.id)]);
    assert_eq!(fixture.gear.consensus().num_processing(), 2);
    // The vote for the sibling decides against the preference.
    fixture.chits(PEER, 1, second.id);
    assert_eq!(fixture.vm.accepted(), [genesis().id, second.id]);
    assert_eq!(fixture.vm.rejected(), [first.id]);
    let child = test_block(first.id, 2, 0);
    fixture.heard();
    fixture.push_query(&child);
    assert_eq!(fixture.heard().len(), 1, "a child of a rejected block is not fetched for");
    fixture.assert_nothing_left();
}

#[test]
fn blocks_that_would_wait_are_dropped_while_too_many_bytes_wait() {
    let mut fixture = Fixture::started();
    // The bytes are never read, so all blocks can share them.
    let bytes = Bytes::from(vec![0; 64 << 20]);
    for number in 1..=5 {
        let id = Id([number; 32]);
        fixture.gear.pending.insert(Block { id, bytes: bytes.clone(), ..genesis() });
    }
    let blocks = chain(2, 0);
    fixture.push_query(&blocks[1]);
    assert_eq!(fixture.heard().len(), 1, "no request for the parent");
    assert_eq!(fixture.gear.gauges().blocked, 5);
    fixture.push_query(&blocks[0]);
    assert_eq!(fixture.gear.consensus().preference(), blocks[0].id, "this one need not wait");
}

#[test]
fn while_the_state_is_incomplete_only_accepted_blocks_are_named() {
    let mut fixture = Fixture::started();
    let block = &chain(1, 0)[0];
    fixture.push_query(block);
    fixture.state_syncing.set(true);
    fixture.heard();
    fixture.push_query(block);
    assert_eq!(fixture.heard(), [format!("chits 1 77 {:?}", [genesis().id; 3])]);
    fixture.gear.notify(&mut fixture.around.cx(), Message::StateSyncDone).unwrap();
    fixture.push_query(block);
    let expected = [block.id, block.id, genesis().id];
    assert_eq!(fixture.heard(), [format!("chits 1 77 {expected:?}")]);
}

#[test]
fn health_names_consensus_and_vm() {
    let mut fixture = Fixture::started();
    fixture.push_query(&chain(1, 0)[0]);
    let wall = fixture.around.wall + Duration::from_millis(1_500);
    let health = fixture.gear.health(fixture.around.now, wall);
    assert_eq!(health.causes, ["block processing too long: 1.5s > 1s"]);
    let expected = json!({
        "consensus": {
            "processingBlocks": 1,
            "longestProcessingBlock": "1.5s",
            "avgAcceptanceTime": "0s",
            "lastAcceptedID": genesis().id.to_string(),
            "lastAcceptedHeight": 0,
        },
        "vm": "well",
    });
    assert_eq!(health.details, expected);
}

#[test]
fn the_gear_serves_blocks() {
    let mut fixture = Fixture::started();
    let cx = &mut fixture.around.cx();
    fixture.gear.get(cx, PEER, RequestId(4), genesis().id).unwrap();
    fixture.gear.get(cx, PEER, RequestId(5), Id([1; 32])).unwrap();
    assert_eq!(fixture.heard(), ["put 1 4 40 bytes"]);
    assert_eq!(fixture.around.acceptor.states, [sastrugi_vm::State::NormalOp]);
}

/// A VM that breaks stops the chain, and nothing else is asked of it.
#[test]
fn an_acceptor_that_fails_stops_the_chain_before_the_vm_accepts() {
    struct Failing;
    impl crate::common::Acceptor for Failing {
        fn accepting(&mut self, _: &Block) -> crate::common::Handled {
            Err(crate::common::Fatal::Broken("full disk".to_owned()))
        }
        fn accepted(&mut self, _: &Block) -> crate::common::Handled {
            Ok(())
        }
        fn state_changed(&mut self, _: sastrugi_vm::State) -> crate::common::Handled {
            Ok(())
        }
    }
    let mut fixture = Fixture::started();
    let block = &chain(1, 0)[0];
    fixture.push_query(block);
    let sender = RecordingSender::new(|_| {});
    let mut around = Surroundings::new(sender, Script::default(), Failing);
    let chits = Chits { preferred: block.id, preferred_at_height: block.id, ..Chits::default() };
    let result = fixture.gear.chits(&mut around.cx(), PEER, RequestId(1), chits);
    assert_eq!(result.unwrap_err().to_string(), "full disk");
    assert_eq!(fixture.vm.accepted(), [genesis().id]);
}
