//! The chain's rules with a scripted gear, one test per rule.

mod gears;
mod schedules;
mod script;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use sastrugi_types::{
    NodeId,
    message::{Chits, EngineType, Gossip, Request, Response, ResponseOp},
    version::Application,
};
use sastrugi_vm::ChainVm as _;

use super::*;
use crate::common::tracker::SetListener as _;
use script::{Log, Reaction, TestGear, count_wakes, fixture, fixture_of};

const NODE: NodeId = NodeId([1; 20]);
const ID: RequestId = RequestId(7);
const NOW: Instant = Instant(1_000);
const WALL: WallTime = WallTime::UNIX_EPOCH;
const TICK: Duration = Duration::from_millis(100);

fn get() -> Input {
    let request = Request::Get { container: Id::EMPTY };
    Input::Request { from: NODE, id: ID, expires: Instant::MAX, request }
}

fn app_gossip(bytes: &'static str) -> Input {
    Input::Gossip { from: NODE, gossip: Gossip::App { bytes: bytes.into() } }
}

fn outcome(chain: &Chain) -> String {
    match chain.outcome() {
        None => "runs".to_owned(),
        Some(Ok(())) => "ok".to_owned(),
        Some(Err(fatal)) => fatal.to_string(),
    }
}

#[test]
fn each_input_reaches_its_handler() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    log.take();
    let request = |request| Input::Request { from: NODE, id: ID, expires: NOW, request };
    let response = |response| Input::Response { from: NODE, id: ID, response };
    let twice = vec![Id([1; 32]), Id([1; 32])];
    let container = Id::EMPTY;
    let bytes = Bytes::new();
    for (input, expected) in [
        (request(Request::GetStateSummaryFrontier), "get_state_summary_frontier"),
        (
            request(Request::GetAcceptedStateSummary { heights: vec![2, 2, 1] }),
            "get_accepted_state_summary {1, 2}",
        ),
        (request(Request::GetAcceptedFrontier), "get_accepted_frontier"),
        (request(Request::GetAccepted { containers: twice.clone() }), "get_accepted 1"),
        (
            request(Request::GetAncestors { container, engine_type: EngineType::Unspecified }),
            "get_ancestors",
        ),
        (get(), "get"),
        (
            request(Request::PushQuery { container: "b".into(), requested_height: 3 }),
            "push_query 3",
        ),
        (request(Request::PullQuery { container, requested_height: 4 }), "pull_query 4"),
        (
            response(Response::StateSummaryFrontier { summary: bytes.clone() }),
            "state_summary_frontier",
        ),
        (
            response(Response::AcceptedStateSummary { summaries: twice.clone() }),
            "accepted_state_summary 1",
        ),
        (response(Response::AcceptedFrontier { container }), "accepted_frontier"),
        (response(Response::Accepted { containers: twice }), "accepted 1"),
        (response(Response::Ancestors { containers: vec![bytes.clone()] }), "ancestors 1"),
        (response(Response::Put { container: bytes }), "put"),
        (response(Response::Chits(Chits::default())), "chits"),
        (Input::Notify(Message::Unknown(9)), "notify Unknown Message: 9"),
    ] {
        chain.handle(NOW, WALL, input);
        assert_eq!(log.take(), [expected]);
    }
    for op in [
        ResponseOp::StateSummaryFrontier,
        ResponseOp::AcceptedStateSummary,
        ResponseOp::AcceptedFrontier,
        ResponseOp::Accepted,
        ResponseOp::Ancestors,
        ResponseOp::Put,
        ResponseOp::Chits,
    ] {
        chain.handle(NOW, WALL, Input::Failed { from: NODE, id: ID, op });
        assert_eq!(log.take(), [op.failure_label()]);
    }
    let dag = Request::GetAncestors { container, engine_type: EngineType::Dag };
    let simplex = Gossip::Simplex { bytes: Bytes::new() };
    chain.handle(NOW, WALL, request(dag));
    chain.handle(NOW, WALL, Input::Gossip { from: NODE, gossip: simplex });
    assert_eq!(log.take(), [""; 0], "no gear is there for these");
    assert_eq!(outcome(&chain), "runs");
}

#[test]
fn the_tracker_hears_of_connections_before_the_gear() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    chain.peers.added(NODE, None, Id::EMPTY, 10);
    let ill = chain.health(NOW, WALL);
    assert_eq!(ill.details["networking"]["percentConnected"], 0.0);
    assert_eq!(ill.details["networking"]["disconnectedValidators"][0], NODE.to_string());
    assert_eq!(
        ill.causes,
        ["networking: connected to 0.00% of the network stake, 80.00% are required"]
    );
    chain.handle(NOW, WALL, Input::Connected { node: NODE, version: Application::default() });
    assert!(chain.health(NOW, WALL).is_healthy());
    chain.handle(NOW, WALL, Input::Disconnected { node: NODE });
    assert_eq!(log.take(), ["snowman.start 0", "connected 10 1", "disconnected 0 0"]);
}

#[test]
fn gears_follow_each_other_and_continue_the_numbering() {
    let log = Log::default();
    let gears = Gears {
        state_syncer: Some(Box::new(TestGear::new("syncer", &log))),
        bootstrapper: Some(Box::new(TestGear::new("bootstrapper", &log))),
        snowman: Box::new(TestGear::new("snowman", &log)),
    };
    log.react("is_enabled", Reaction::Yes);
    log.react("syncer.work", Reaction::Finish(RequestId(5)));
    log.react("bootstrapper.start", Reaction::Finish(RequestId(9)));
    let mut chain = fixture_of(gears, &log);
    chain.start(NOW, WALL);
    assert_eq!(chain.gear(), Gear::StateSyncer);
    assert_eq!(log.take(), ["is_enabled", "clear", "syncer.start 0"]);
    chain.work(NOW, WALL);
    assert_eq!(chain.gear(), Gear::Snowman);
    assert_eq!(log.take(), ["syncer.work", "bootstrapper.start 5", "snowman.start 9"]);
    chain.inbox().push(app_gossip("x"), Permit::NONE).unwrap();
    chain.app_jobs().next(NOW).unwrap().run();
    assert_eq!(log.take(), ["snowman hears x"]);
    log.react("snowman.work", Reaction::Finish(RequestId(9)));
    chain.work(NOW, WALL);
    assert_eq!(outcome(&chain), "the consensus gear said it is finished");
}

#[test]
fn a_syncer_that_is_not_enabled_is_left_out() {
    let log = Log::default();
    let gears = Gears {
        state_syncer: Some(Box::new(TestGear::new("syncer", &log))),
        bootstrapper: None,
        snowman: Box::new(TestGear::new("snowman", &log)),
    };
    let mut chain = fixture_of(gears, &log);
    chain.start(NOW, WALL);
    chain.start(NOW, WALL);
    assert_eq!(log.take(), ["is_enabled", "snowman.start 0"]);
}

#[test]
fn an_error_in_any_call_stops_the_chain_and_shuts_the_gear_down() {
    for call in ["start", "get", "work", "timeout", "gossip", "notify"] {
        let (mut chain, log) = fixture();
        log.react(&format!("snowman.{call}"), Reaction::Fail);
        log.react("snowman.start", Reaction::WakeAfter(TICK));
        if call == "start" {
            log.react("snowman.start", Reaction::Fail);
        }
        chain.start(NOW, WALL);
        chain.handle(NOW, WALL, get());
        chain.events.set_pending_txs(call == "notify");
        chain.handle_timeout(NOW + TICK, WALL);
        chain.work(NOW, WALL);
        assert_eq!(outcome(&chain), format!("{call} fails"));
        assert!(chain.inbox().is_stopped() && chain.is_stopped());
        assert_eq!(log.take().last().unwrap(), "shutdown", "{call}");
        assert_eq!(log.facts().last().unwrap(), &format!("stopped: {call} fails"));
        chain.handle(NOW, WALL, get());
        chain.start(NOW, WALL);
        assert_eq!(chain.turn(NOW, WALL), Progress::Idle);
        assert_eq!(chain.poll_timeout(), None);
        assert_eq!(log.take(), [""; 0], "a stopped chain does nothing");
        let health = chain.health(NOW, WALL);
        assert_eq!(health.causes.last().unwrap(), &format!("the chain stopped: {call} fails"));
    }
}

#[test]
fn a_panic_stops_the_chain_cleanly() {
    for call in ["start", "get", "work", "shutdown"] {
        let (mut chain, log) = fixture();
        log.react(&format!("snowman.{call}"), Reaction::Panic);
        chain.start(NOW, WALL);
        chain.handle(NOW, WALL, get());
        chain.work(NOW, WALL);
        chain.inbox().stop(Ok(()));
        chain.settle(NOW, WALL);
        assert_eq!(outcome(&chain), format!("panic: {call} panics"));
        assert_eq!(log.take().last().unwrap(), "shutdown");
    }
}

#[test]
fn a_chain_may_be_stopped_before_it_starts() {
    let (mut chain, log) = fixture();
    chain.inbox().clone().stop(Ok(()));
    chain.start(NOW, WALL);
    assert_eq!(log.take(), ["shutdown"]);
    assert_eq!(outcome(&chain), "ok");
}

#[test]
fn the_gear_is_not_shut_down_while_an_app_job_is_out() {
    let (mut chain, log) = fixture();
    let jobs = chain.app_jobs();
    let inbox = chain.inbox().clone();
    for message in ["a", "b", "c"] {
        inbox.push(app_gossip(message), Permit::NONE).unwrap();
    }
    assert!(jobs.next(NOW).is_none(), "not before the start");
    chain.start(NOW, WALL);
    let (first, second) = (jobs.next(NOW).unwrap(), jobs.next(NOW).unwrap());
    inbox.stop(Ok(()));
    assert!(jobs.next(NOW).is_none(), "not after the stop");
    chain.turn(NOW, WALL);
    first.run();
    chain.turn(NOW, WALL);
    assert_eq!(log.take(), ["snowman.start 0", "snowman hears a"]);
    let woken = count_wakes(&inbox);
    drop(second);
    assert_eq!(woken(), 1, "the last job wakes the chain");
    chain.turn(NOW, WALL);
    assert_eq!(log.take(), ["shutdown"]);
}

#[test]
fn an_error_or_a_panic_in_an_app_job_stops_the_chain() {
    for (message, expected) in [("fail", "VM, app_gossip: told to"), ("panic", "panic: app panics")]
    {
        let (mut chain, log) = fixture();
        chain.start(NOW, WALL);
        chain.inbox().push(app_gossip(message), Permit::NONE).unwrap();
        chain.app_jobs().next(NOW).unwrap().run();
        chain.turn(NOW, WALL);
        assert_eq!(outcome(&chain), expected);
        assert_eq!(log.take().last().unwrap(), "shutdown");
    }
}

#[test]
fn app_messages_reach_the_app_handler() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    log.take();
    let bytes = Bytes::from("q");
    let request = Request::App { bytes: bytes.clone() };
    let error = Response::AppError { code: 5, message: "five".into() };
    let expired =
        Input::Request { from: NODE, id: ID, expires: Instant(1), request: request.clone() };
    let inputs = [
        expired,
        Input::Request { from: NODE, id: ID, expires: NOW, request },
        Input::Response { from: NODE, id: ID, response: Response::App { bytes } },
        Input::Response { from: NODE, id: ID, response: error },
        Input::Failed { from: NODE, id: ID, op: ResponseOp::App },
        app_gossip("g"),
    ];
    let expected =
        ["request q until 1000", "response q", "failed 5: five", "failed -1: timed out", "hears g"];
    for input in &inputs {
        chain.inbox().push(input.clone(), Permit::NONE).unwrap();
    }
    assert_eq!(chain.turn(NOW, WALL), Progress::Idle, "not the chain's own work");
    while let Some(job) = chain.app_jobs().next(NOW) {
        assert_eq!(job.input().lane(), Lane::App);
        job.run();
    }
    assert_eq!(log.take(), expected.map(|text| format!("snowman {text}")));
    for input in inputs.into_iter().skip(1) {
        chain.handle(NOW, WALL, input);
    }
    assert_eq!(log.take(), expected.map(|text| format!("snowman {text}")), "or by hand");
}

#[test]
fn accepting_commits_before_anybody_hears_of_it() {
    let (mut chain, log) = fixture();
    log.react("snowman.start", Reaction::Accept);
    chain.start(NOW, WALL);
    assert_eq!(
        log.take(),
        ["snowman.start 0", "commit state 3", "accepting 1", "vm accepts 1", "commit 1"]
    );
    assert_eq!(log.facts(), ["gear Snowman", "state Normal Operations State", "accepted 1"]);
    assert_eq!(chain.state(), State::NormalOp);
    log.react("snowman.work", Reaction::Accept);
    log.react("commit", Reaction::Fail);
    chain.work(NOW, WALL);
    assert_eq!(outcome(&chain), "commit fails");
    assert!(!log.facts().contains(&"accepted 1".to_owned()));
}

#[test]
fn transactions_are_told_once_per_subscription() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    let notified = |chain: &mut Chain, now| {
        log.take();
        while chain.poll_timeout().is_some_and(|due| due <= now) {
            chain.handle_timeout(now, WALL);
        }
        log.take().iter().filter(|call| call.starts_with("notify")).count()
    };
    let vm = chain.vm.clone();
    assert_eq!(notified(&mut chain, NOW), 0);
    chain.events.set_pending_txs(true);
    assert_eq!(notified(&mut chain, NOW), 1);
    assert_eq!(notified(&mut chain, NOW), 0, "once");
    for (change, expected) in [
        (Box::new(|| vm.set_preference(Id([1; 32])).unwrap()) as Box<dyn Fn()>, 1),
        (Box::new(|| vm.set_preference(Id([1; 32])).unwrap()), 0),
        (Box::new(|| vm.set_preference(Id([2; 32])).unwrap()), 1),
        (Box::new(|| vm.set_state(State::NormalOp).unwrap()), 1),
        (Box::new(|| drop(vm.build_block(None).unwrap())), 1),
        (Box::new(|| drop(vm.parse_block(Bytes::new()))), 0),
    ] {
        change();
        chain.handle(NOW, WALL, get());
        assert_eq!(notified(&mut chain, NOW), expected);
    }
    chain.events.set_pending_txs(false);
    vm.set_state(State::NormalOp).unwrap();
    chain.handle(NOW, WALL, get());
    assert_eq!(notified(&mut chain, NOW), 0, "subscribed, but nothing waits");
    chain.events.set_pending_txs(true);
    assert_eq!(notified(&mut chain, NOW), 1);
}

#[test]
fn after_a_failed_build_the_vm_is_asked_a_little_later() {
    let (mut chain, log) = fixture();
    log.react("snowman.notify", Reaction::BuildInVain);
    chain.start(NOW, WALL);
    chain.events.set_pending_txs(true);
    chain.handle_timeout(NOW, WALL);
    assert_eq!(chain.stats().notified, 1);
    assert_eq!(chain.poll_timeout(), Some(NOW + RETRY_AFTER));
    chain.handle_timeout(NOW + RETRY_AFTER, WALL);
    assert_eq!(chain.stats().notified, 2);
}

#[test]
fn finished_state_sync_is_told_once() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    let woken = count_wakes(chain.inbox());
    chain.events.set_state_sync_done();
    assert_eq!((woken(), chain.poll_timeout()), (1, Some(Instant::ZERO)));
    chain.handle_timeout(NOW, WALL);
    chain.handle_timeout(NOW, WALL);
    assert_eq!(log.take(), ["snowman.start 0", "notify State Sync Done"]);
}

#[test]
fn gossip_ticks_keep_their_pace_and_are_not_made_up_for() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    assert_eq!(chain.poll_timeout(), Some(NOW + TICK));
    chain.handle_timeout(NOW + Duration::from_nanos(99_999_999), WALL);
    chain.handle_timeout(NOW + TICK + TICK / 2, WALL);
    assert_eq!(chain.poll_timeout(), Some(NOW + 2 * TICK));
    chain.handle_timeout(NOW + 9 * TICK, WALL);
    assert_eq!(chain.poll_timeout(), Some(NOW + 10 * TICK));
    assert_eq!(log.take(), ["snowman.start 0", "gossip", "gossip"]);
}

#[test]
fn the_wake_up_of_a_gear_ends_with_the_gear() {
    let log = Log::default();
    let gears = Gears {
        state_syncer: None,
        bootstrapper: Some(Box::new(TestGear::new("bootstrapper", &log))),
        snowman: Box::new(TestGear::new("snowman", &log)),
    };
    log.react("bootstrapper.start", Reaction::WakeAfter(TICK / 2));
    let mut chain = fixture_of(gears, &log);
    chain.start(NOW, WALL);
    assert_eq!(chain.poll_timeout(), Some(NOW + TICK / 2));
    chain.handle_timeout(NOW + TICK / 2, WALL);
    assert_eq!(log.take().last().unwrap(), "timeout");
    log.react("bootstrapper.get", Reaction::WakeAfter(TICK / 2));
    chain.handle(NOW, WALL, get());
    log.react("bootstrapper.work", Reaction::Finish(RequestId(3)));
    chain.work(NOW, WALL);
    assert_eq!(chain.poll_timeout(), Some(NOW + TICK));
}

#[test]
fn the_vm_has_its_own_timeout() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    log.set_vm_timeout(Some(NOW + TICK / 2));
    assert_eq!(chain.poll_timeout(), Some(NOW + TICK / 2));
    chain.handle_timeout(NOW, WALL);
    assert_eq!(log.take(), ["snowman.start 0"]);
    chain.handle_timeout(NOW + TICK / 2, WALL);
    assert_eq!(log.take(), ["vm timeout"]);
    let woken = count_wakes(chain.inbox());
    assert_eq!(chain.poll_timeout(), Some(NOW + TICK));
    chain.inbox().push(app_gossip("x"), Permit::NONE).unwrap();
    log.set_vm_timeout(Some(NOW + TICK / 4));
    chain.app_jobs().next(NOW).unwrap().run();
    assert_eq!(woken(), 1, "an app job brought the timeout forward");
}

#[test]
fn a_turn_starves_nothing() {
    let log = Log::default();
    let gears = Gears::only(Box::new(TestGear::new("snowman", &log)));
    let mut chain = fixture_of(gears, &log);
    chain.config.gossip_period = Duration::from_nanos(1);
    log.react("snowman.work", Reaction::Yes);
    chain.start(NOW, WALL);
    for _ in 0..100 {
        chain.inbox().push(get(), Permit::NONE).unwrap();
    }
    let mut now = NOW;
    while !chain.inbox().is_empty(Lane::Sync) {
        now = now + Duration::from_micros(1);
        assert_eq!(chain.turn(now, WALL), Progress::More);
    }
    let calls = log.take();
    let count = |call: &str| calls.iter().filter(|made| *made == call).count();
    assert_eq!((count("get"), count("snowman.work")), (100, 3));
    assert!(count("gossip") >= 100);
}

#[test]
fn an_idle_turn_leaves_nothing_undone() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    chain.inbox().push(get(), Permit::NONE).unwrap();
    chain.events.set_pending_txs(true);
    let mut turns = 0;
    while chain.turn(NOW, WALL) == Progress::More {
        turns += 1;
        assert!(turns < 10, "it never rests");
    }
    let calls: BTreeSet<_> = log.take().into_iter().collect();
    assert!(calls.contains("get") && calls.contains("notify Pending Transactions"));
    assert!(chain.poll_timeout().is_some_and(|due| due > NOW));
    assert!(chain.inbox().is_empty(Lane::Sync));
}

/// Plays recorded calls on a second chain.
struct Twin(Chain);

impl Recorder for Twin {
    fn record(&mut self, now: Instant, wall: WallTime, call: Call<'_>) {
        match call {
            Call::Start => self.0.start(now, wall),
            Call::Handle(input) => self.0.handle(now, wall, input.clone()),
            Call::Work => drop(self.0.work(now, wall)),
            Call::Timeout => self.0.handle_timeout(now, wall),
        }
    }
}

#[test]
fn recorded_calls_repeat_on_a_second_chain() {
    let (mut chain, log) = fixture();
    let (twin, twin_log) = fixture();
    chain.record(Box::new(Twin(twin)));
    chain.start(NOW, WALL);
    for step in 1..100_u32 {
        let now = NOW + step * TICK / 7;
        chain.inbox().push(get(), Permit::NONE).unwrap();
        while chain.turn(now, WALL) == Progress::More {}
    }
    let calls = log.take();
    assert!(calls.len() > 110, "{}", calls.len());
    assert_eq!(calls, twin_log.take());
}
