//! Rules that upstream's traces do not show, and hostile beacons.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, NodeId, WallTime, version::Application};
use sastrugi_vm::{Block, State, StateSummary, StateSyncMode};

use super::*;
use crate::{
    common::{
        AcceptedStateSummaryHandler, Engine, InternalHandler, Message, StateSummaryFrontierHandler,
        StateSyncer as _, StateSyncing,
        tracker::{Peers, Startup},
    },
    getter::GetterConfig,
    testing::{
        ManualClock, RecordingSender, Script, Sent, Surroundings, TestSummaries, TestVm,
        test_block, test_summary,
    },
    validators::{Validator, Validators},
};

const SUBNET: Id = Id([7; 32]);
const WALL: WallTime = WallTime::UNIX_EPOCH;

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

fn block(height: u64, length: usize) -> Block {
    test_block(Id([9; 32]), height, length)
}

/// Something asked of beacons.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Frontier(Vec<u8>, u32),
    Votes(Vec<u8>, u32, Vec<u64>),
}

type Said = Arc<Mutex<Vec<Asked>>>;

struct Fixture {
    gear: StateSyncer,
    vm: Arc<TestVm>,
    around: Surroundings<RecordingSender, Script, Script>,
    state_syncing: StateSyncing,
    said: Said,
    finished: Option<RequestId>,
}

fn numbers(nodes: &BTreeSet<NodeId>) -> Vec<u8> {
    nodes.iter().map(|node| node.0[0]).collect()
}

impl Fixture {
    /// Beacon `i` has weight `weights[i]`; the samples come from `drawn` in order.
    fn new(weights: &[u64], drawn: &[&[u8]], mode: StateSyncMode) -> Self {
        let validators = Arc::new(Validators::new(1));
        let total: u64 = weights.iter().sum();
        let startup = Arc::new(Startup::new(Peers::new(2), total / 2));
        validators.register_set_listener(SUBNET, startup.clone());
        for (index, weight) in weights.iter().enumerate() {
            let beacon = Validator {
                node: node(index as u8),
                public_key: None,
                tx: Id::EMPTY,
                weight: *weight,
            };
            validators.add_staker(SUBNET, beacon).unwrap();
        }
        let vm = TestVm::new(block(0, 40));
        vm.set_summaries(TestSummaries { enabled: true, every: 10, mode, ongoing: None });
        let samples = drawn.iter().map(|drawn| drawn.iter().map(|number| node(*number)).collect());
        let said = Said::default();
        let heard = said.clone();
        let sender = RecordingSender::new(move |sent| match sent {
            Sent::GetStateSummaryFrontier(nodes, request) => {
                heard.lock().push(Asked::Frontier(numbers(nodes), request.0));
            }
            Sent::GetAcceptedStateSummary(nodes, request, heights) => {
                heard.lock().push(Asked::Votes(numbers(nodes), request.0, heights));
            }
            other => panic!("{other:?}"),
        });
        let state_syncing = StateSyncing::default();
        let gear = StateSyncer::new(Config {
            subnet: SUBNET,
            vm: vm.clone(),
            clock: Arc::new(ManualClock::default()),
            getter: GetterConfig::default(),
            beacons: Beacons::new(validators, SUBNET, 20).unwrap(),
            sampler: Box::new(Script { samples: samples.collect(), ..Script::default() }),
            startup,
            state_syncing: state_syncing.clone(),
        });
        let around = Surroundings::new(sender, Script::default(), Script::default());
        Self { gear, vm, around, state_syncing, said, finished: None }
    }

    /// A fixture whose first attempt has begun.
    fn begun(weights: &[u64], drawn: &[&[u8]], mode: StateSyncMode) -> Self {
        let mut fixture = Self::new(weights, drawn, mode);
        fixture.start();
        for number in 0..weights.len() as u8 {
            fixture.connect(number);
        }
        fixture
    }

    fn call(
        &mut self,
        call: impl FnOnce(&mut StateSyncer, &mut crate::common::Cx<'_>) -> crate::common::Handled,
    ) {
        let mut cx = self.around.cx();
        call(&mut self.gear, &mut cx).unwrap();
        if let Some(last) = cx.finished() {
            assert_eq!(self.finished, None, "finished twice");
            self.finished = Some(last);
        }
    }

    fn start(&mut self) {
        self.call(|gear, cx| gear.start(cx, RequestId(0)));
    }

    fn connect(&mut self, number: u8) {
        self.call(|gear, cx| gear.connected(cx, node(number), &Application::default()));
    }

    fn shows(&mut self, number: u8, bytes: &Bytes) {
        let request = self.gear.last_request();
        let bytes = bytes.clone();
        self.call(|gear, cx| gear.state_summary_frontier(cx, node(number), request, bytes));
    }

    fn shows_nothing(&mut self, number: u8) {
        let request = self.gear.last_request();
        self.call(|gear, cx| gear.get_state_summary_frontier_failed(cx, node(number), request));
    }

    /// The wake-up is due after so much time.
    fn pauses(&mut self, pause: Duration) {
        assert_eq!(self.said(), []);
        assert_eq!(self.gear.progress().phase, Phase::Pausing);
        assert_eq!(self.around.timer.poll_timeout(), Some(Instant::ZERO + pause));
        assert!(self.around.timer.handle_timeout(Instant::MAX));
        self.call(Engine::timeout);
    }

    fn votes(&mut self, number: u8, ids: &[Id]) {
        let request = self.gear.last_request();
        let ids = ids.iter().copied().collect();
        self.call(|gear, cx| gear.accepted_state_summary(cx, node(number), request, ids));
    }

    fn votes_not(&mut self, number: u8) {
        let request = self.gear.last_request();
        self.call(|gear, cx| gear.get_accepted_state_summary_failed(cx, node(number), request));
    }

    fn said(&self) -> Vec<Asked> {
        std::mem::take(&mut self.said.lock())
    }

    fn causes(&mut self) -> Vec<String> {
        self.gear.health(Instant::ZERO, WALL).causes
    }

    fn set_ongoing(&self, ongoing: Option<StateSummary>) {
        let mode = StateSyncMode::Skipped;
        self.vm.set_summaries(TestSummaries { enabled: true, every: 10, mode, ongoing });
    }
}

#[test]
fn a_vm_without_summaries_or_without_the_wish_is_not_synced() {
    let mut fixture = Fixture::new(&[1], &[&[0]], StateSyncMode::Static);
    assert!(fixture.gear.is_enabled().unwrap());
    fixture.vm.set_summaries(TestSummaries {
        enabled: false,
        every: 1,
        mode: StateSyncMode::Static,
        ongoing: None,
    });
    assert!(!fixture.gear.is_enabled().unwrap());
    fixture.gear.config.vm = TestVm::new(block(0, 40));
    assert!(!fixture.gear.is_enabled().unwrap());
    fixture.start();
    fixture.connect(0);
    assert_eq!(fixture.finished, Some(RequestId(0)), "started all the same, it hands over");
}

#[test]
fn nothing_happens_before_enough_beacons_are_connected_and_health_says_so() {
    let mut fixture = Fixture::new(&[10, 10, 10, 10], &[&[0, 1]], StateSyncMode::Static);
    fixture.start();
    assert_eq!(fixture.around.acceptor.states, [State::StateSyncing]);
    fixture.connect(0);
    assert!(!fixture.gear.has_begun());
    let text = "waiting for beacons to state sync from: 10 of 20 units of weight connected";
    assert_eq!(fixture.causes(), [text]);
    assert_eq!(fixture.gear.progress().to_string(), text);
    fixture.connect(3);
    assert_eq!(fixture.said(), [Asked::Frontier(vec![0, 1], 1)]);
    assert_eq!(fixture.causes(), [""; 0]);
    fixture.call(|gear, cx| gear.disconnected(cx, node(3)));
    fixture.connect(3);
    assert_eq!(fixture.said(), [], "it begins once");
}

#[test]
fn a_static_sync_waits_for_the_signal_and_keeps_no_bytes() {
    let mut fixture = Fixture::begun(&[1, 1, 1], &[&[0]], StateSyncMode::Static);
    let summary = test_summary(&block(10, 1000));
    fixture.shows(0, &summary.bytes);
    assert_eq!(
        fixture.gear.progress().to_string(),
        "asking beacons which state summaries they accepted: 0 of 3 answered"
    );
    for voter in 0..3 {
        fixture.votes(voter, &[summary.id]);
    }
    assert_eq!(fixture.vm.accepted_summaries(), [10]);
    assert!(fixture.state_syncing.is_set());
    assert_eq!(fixture.finished, None);
    assert_eq!(fixture.gear.progress().phase, Phase::Syncing { summary: summary.id, height: 10 });
    let kept: usize =
        fixture.gear.attempt.candidates.values().map(|kept| kept.summary.bytes.len()).sum();
    assert_eq!(kept, 0);
    fixture.call(|gear, cx| gear.notify(cx, Message::PendingTxs));
    assert_eq!(fixture.finished, None);
    fixture.call(|gear, cx| gear.notify(cx, Message::StateSyncDone));
    assert_eq!(fixture.finished, Some(RequestId(2)));
    assert!(!fixture.state_syncing.is_set());
    assert_eq!(fixture.gear.progress().phase, Phase::Finished);
}

#[test]
fn each_mode_goes_on_its_own_way() {
    for (mode, syncing, finished) in [
        (StateSyncMode::Skipped, false, true),
        (StateSyncMode::Static, true, false),
        (StateSyncMode::Dynamic, true, true),
        (StateSyncMode::Unknown(9), false, true),
    ] {
        let mut fixture = Fixture::begun(&[1], &[&[0]], mode);
        let summary = test_summary(&block(10, 50));
        fixture.shows(0, &summary.bytes);
        fixture.votes(0, &[summary.id]);
        assert_eq!(fixture.state_syncing.is_set(), syncing, "{mode:?}");
        assert_eq!(fixture.finished.is_some(), finished, "{mode:?}");
    }
}

#[test]
fn failed_seeders_are_weighed_as_they_were_drawn() {
    // Two units drawn of a heavy and a light beacon; the heavy one fails. Upstream would subtract
    // its weight of 100 from the 2 units drawn.
    let mut fixture = Fixture::begun(&[100, 1, 1], &[&[0, 1], &[1, 2]], StateSyncMode::Static);
    fixture.said();
    fixture.shows_nothing(0);
    fixture.shows(1, &Bytes::new());
    fixture.pauses(PAUSE_MIN);
    assert_eq!(fixture.said(), [Asked::Frontier(vec![1, 2], 2)], "half is not enough: anew");
    assert_eq!(fixture.causes(), [""; 0], "once is no cause yet");
    assert_eq!(fixture.gear.stats().malformed, 1);
    fixture.shows(1, &Bytes::new());
    fixture.shows(2, &Bytes::new());
    assert_eq!(fixture.said(), [Asked::Votes(vec![0, 1, 2], 3, vec![])]);
    for voter in 0..3 {
        fixture.votes(voter, &[Id([1; 32])]);
    }
    assert_eq!(fixture.finished, Some(RequestId(3)), "nobody has a summary");
}

#[test]
fn without_votes_it_begins_anew_and_says_so() {
    let mut fixture = Fixture::begun(&[10, 10, 10], &[&[0]], StateSyncMode::Static);
    fixture.shows(0, &block(10, 50).bytes);
    fixture.said();
    fixture.votes(0, &[block(10, 50).id]);
    fixture.votes_not(1);
    fixture.votes_not(2);
    fixture.pauses(PAUSE_MIN);
    assert_eq!(fixture.said(), [Asked::Frontier(vec![0], 3)]);
    let progress = fixture.gear.progress();
    assert_eq!(progress.restarted, Some(RestartReason::FewVotes { voted: 10, alpha: 16 }));
    assert_eq!(
        progress.to_string(),
        "asking beacons for their last state summary: 0 of 1 answered (attempt 2)"
    );
}

#[test]
fn attempt_after_attempt_in_vain_is_a_cause_of_ill_health() {
    let mut fixture = Fixture::begun(&[10, 10], &[&[0, 1]], StateSyncMode::Static);
    for doublings in 0..7 {
        let is_ill = doublings >= 3;
        assert_eq!(!fixture.causes().is_empty(), is_ill);
        fixture.said();
        fixture.shows_nothing(0);
        fixture.shows_nothing(1);
        // Nothing that comes now counts.
        fixture.shows_nothing(1);
        fixture.votes_not(1);
        fixture.pauses(PAUSE_MAX.min(PAUSE_MIN * 2_u32.pow(doublings)));
    }
    let reason = "only 0 of 2 units of beacon weight drawn said what their last state summary is";
    let text = format!("state sync was in vain 7 times, last because {reason}");
    assert_eq!(fixture.causes(), [text]);
    assert_eq!(
        fixture.gear.health(Instant::ZERO, WALL).details["stateSync"],
        serde_json::json!({
            "phase": "askingFrontier",
            "answered": 0,
            "failed": 0,
            "asked": 2,
            "restarts": 7,
            "restarted": reason,
        })
    );
}

#[test]
fn a_liar_below_the_threshold_changes_nothing() {
    let mut fixture = Fixture::begun(&[10, 10, 10], &[&[0, 1, 2]], StateSyncMode::Skipped);
    let (honest, lie) = (test_summary(&block(10, 50)), test_summary(&block(1_000_000, 50)));
    fixture.shows(0, &honest.bytes);
    fixture.shows(1, &lie.bytes);
    fixture.shows(2, &honest.bytes);
    fixture.votes(0, &[honest.id]);
    fixture.votes(1, &[lie.id, honest.id, Id([3; 32])]);
    fixture.votes(1, &[lie.id]);
    fixture.votes(2, &[honest.id]);
    assert_eq!(fixture.vm.accepted_summaries(), [10]);
}

#[test]
fn an_interrupted_sync_goes_on_while_its_summary_stands_and_is_forgotten_with_it() {
    let (old, new) = (test_summary(&block(10, 50)), test_summary(&block(20, 50)));
    for stands in [true, false] {
        let mut fixture = Fixture::new(&[1, 1], &[&[0], &[1]], StateSyncMode::Skipped);
        fixture.set_ongoing(Some(old.clone()));
        fixture.start();
        fixture.connect(0);
        fixture.said();
        if stands {
            fixture.shows(0, &new.bytes);
            assert_eq!(fixture.said(), [Asked::Votes(vec![0, 1], 2, vec![10, 20])]);
            fixture.votes(0, &[old.id, new.id]);
            fixture.votes(1, &[old.id, new.id]);
            assert_eq!(fixture.vm.accepted_summaries(), [10], "not the higher one");
            continue;
        }
        fixture.set_ongoing(None);
        fixture.shows_nothing(0);
        fixture.pauses(PAUSE_MIN);
        assert_eq!(fixture.said(), [Asked::Frontier(vec![1], 2)]);
        fixture.shows(1, &old.bytes);
        fixture.votes(0, &[old.id]);
        fixture.votes(1, &[old.id]);
        assert_eq!(fixture.vm.accepted_summaries(), [10]);
        assert_eq!(fixture.gear.attempt.ongoing, None);
    }
}

#[test]
fn among_the_highest_the_heavier_wins_then_the_smaller_id() {
    let mut summaries = [10, 11, 12].map(|length| test_summary(&block(30, 40 + length)));
    summaries.sort_by_key(|summary| summary.id);
    let mut attempt = Attempt::new(&[], Vec::new());
    for summary in summaries.iter().rev() {
        attempt.see(summary.clone());
    }
    assert_eq!(attempt.preferred(), Some(&summaries[0]));
    attempt.vote(&BTreeSet::from([summaries[1].id, summaries[2].id]), 1);
    assert_eq!(attempt.preferred(), Some(&summaries[1]));
    attempt.vote(&BTreeSet::from([summaries[2].id]), u64::MAX);
    assert_eq!(attempt.preferred(), Some(&summaries[2]));
    assert_eq!(attempt.weights().find(|(id, _)| *id == summaries[2].id).unwrap().1, u64::MAX);
}

#[test]
fn at_most_fifty_are_asked_at_a_time() {
    let weights = [1; 120];
    let drawn: Vec<u8> = (0..120).collect();
    let mut fixture = Fixture::begun(&weights, &[&drawn], StateSyncMode::Static);
    let asked = |fixture: &Fixture| -> usize {
        fixture
            .said()
            .iter()
            .map(|asked| match asked {
                Asked::Frontier(nodes, _) | Asked::Votes(nodes, ..) => nodes.len(),
            })
            .sum()
    };
    assert_eq!(asked(&fixture), OUTSTANDING_MAX);
    for seeder in 0..120 {
        assert!(fixture.gear.attempt().seeders().pending().contains(&node(seeder)));
        assert!(fixture.gear.attempt().seeders().pending().len() <= OUTSTANDING_MAX);
        fixture.shows(seeder, &Bytes::new());
    }
    assert_eq!(asked(&fixture), 70 + OUTSTANDING_MAX);
    for voter in 0..120 {
        fixture.votes(voter, &[]);
    }
    assert_eq!(asked(&fixture), 70);
    assert_eq!(fixture.finished, Some(RequestId(2)));
}

#[test]
fn huge_summaries_of_many_beacons_do_not_fill_the_memory() {
    let weights = [1; 60];
    let drawn: Vec<u8> = (0..60).collect();
    let mut fixture = Fixture::begun(&weights, &[&drawn], StateSyncMode::Static);
    let size = 2 * 1024 * 1024;
    for seeder in 0..60 {
        fixture.shows(seeder, &block(u64::from(seeder) + 1, size).bytes);
    }
    assert_eq!(fixture.gear.stats().summaries, 32);
    assert_eq!(fixture.gear.stats().oversized, 28);
    assert_eq!(fixture.gear.attempt().weights().count(), 32);
}

#[test]
fn answers_of_others_with_other_numbers_and_of_another_kind_mean_nothing() {
    let mut fixture = Fixture::begun(&[1, 1, 1], &[&[0, 1]], StateSyncMode::Static);
    fixture.said();
    let summary = test_summary(&block(10, 50));
    fixture.shows(2, &summary.bytes);
    fixture.votes(0, &[summary.id]);
    let (late, bytes) = (RequestId(7), summary.bytes.clone());
    fixture.call(|gear, cx| gear.state_summary_frontier(cx, node(0), late, bytes));
    fixture.call(|gear, cx| gear.get_state_summary_frontier_failed(cx, node(0), late));
    fixture.call(|gear, cx| gear.get_accepted_state_summary_failed(cx, node(0), late));
    assert_eq!(fixture.said(), []);
    assert_eq!(fixture.gear.attempt().weights().count(), 0);
    assert_eq!(fixture.gear.attempt().seeders().pending().len(), 2);
}

#[test]
fn weight_that_shrank_is_drawn_as_far_as_it_goes_and_none_ends_it() {
    let mut fixture = Fixture::new(&[10, 10], &[&[]], StateSyncMode::Static);
    for number in 0..2 {
        let validators = &fixture.gear.config.beacons.validators;
        validators.remove_weight(SUBNET, node(number), 10).unwrap();
    }
    fixture.start();
    fixture.connect(0);
    assert_eq!(fixture.finished, None, "too little weight is connected");
    let startup = &fixture.gear.config.startup;
    assert!(!startup.should_start());
    fixture.gear.config.startup = Arc::new(Startup::new(Peers::new(1), 0));
    fixture.connect(1);
    assert_eq!(fixture.finished, Some(RequestId(0)));
}

#[test]
fn listed_beacons_weigh_the_same_and_are_listed_once() {
    let nodes: Vec<NodeId> = (0..5).map(node).collect();
    let beacons = Beacons::listed(&nodes, SUBNET, 20, 1).unwrap();
    assert_eq!((beacons.sample_size, beacons.alpha), (5, 3));
    let twice = [node(1), node(1)];
    assert!(Beacons::listed(&twice, SUBNET, 20, 1).is_err());
}
