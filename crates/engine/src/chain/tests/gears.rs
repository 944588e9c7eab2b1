//! Which gear takes charge when.

use super::*;

/// How a gear before the consensus gear behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Absent,
    /// A state syncer that does not want to sync.
    Disabled,
    /// It is finished before it has begun.
    FinishesInStart,
    /// It is finished in this call.
    FinishesIn(&'static str),
}

const CALLS: [&str; 5] = ["work", "get", "notify", "timeout", "gossip"];

fn parts() -> Vec<Part> {
    let mut parts = vec![Part::Absent, Part::FinishesInStart];
    parts.extend(CALLS.map(Part::FinishesIn));
    parts
}

/// Lets the gear in charge hear the call.
fn make(chain: &mut Chain, call: &str, now: Instant) {
    match call {
        "work" => drop(chain.work(now, WALL)),
        "get" => chain.handle(now, WALL, get()),
        "notify" => {
            chain.events.set_state_sync_done();
            chain.handle_timeout(now, WALL);
        }
        "timeout" => chain.handle_timeout(now + TICK / 2, WALL),
        "gossip" => {
            chain.next_gossip = Some(now);
            chain.handle_timeout(now, WALL);
        }
        other => panic!("no call {other}"),
    }
}

struct Stage {
    chain: Chain,
    log: Log,
    parts: [(Gear, &'static str, Part); 2],
}

impl Stage {
    fn new(syncer: Part, bootstrapper: Part) -> Self {
        let log = Log::default();
        let parts = [
            (Gear::StateSyncer, "syncer", syncer),
            (Gear::Bootstrapper, "bootstrapper", bootstrapper),
        ];
        let gear = |name, part| (part != Part::Absent).then(|| TestGear::new(name, &log));
        let gears = Gears {
            state_syncer: gear("syncer", syncer).map(|gear| Box::new(gear) as _),
            bootstrapper: gear("bootstrapper", bootstrapper).map(|gear| Box::new(gear) as _),
            snowman: Box::new(TestGear::new("snowman", &log)),
        };
        if syncer != Part::Disabled {
            log.react("is_enabled", Reaction::Yes);
        }
        for (number, (_, name, part)) in (1..).zip(parts) {
            let call = match part {
                Part::FinishesInStart => "start",
                Part::FinishesIn(call) => call,
                Part::Absent | Part::Disabled => continue,
            };
            log.react(&format!("{name}.{call}"), Reaction::Finish(RequestId(number)));
            if call == "timeout" {
                log.react(&format!("{name}.start"), Reaction::WakeAfter(TICK / 2));
            }
        }
        Self { chain: fixture_of(gears, &log), log, parts }
    }

    /// Starts, and makes each gear that waits for a call hear it. The gears in the order they must
    /// take charge, and the number each must begin after.
    fn run(&mut self) -> (Vec<Gear>, Vec<String>) {
        self.chain.start(NOW, WALL);
        self.chain.next_gossip = None;
        let (mut order, mut starts, mut last) = (Vec::new(), Vec::new(), 0);
        for (number, (gear, name, part)) in (1..).zip(self.parts) {
            if matches!(part, Part::Absent | Part::Disabled) {
                continue;
            }
            order.push(gear);
            starts.push(format!("{name}.start {last}"));
            last = number;
            if let Part::FinishesIn(call) = part {
                assert_eq!(self.chain.gear(), gear, "{:?}", self.parts);
                assert!(self.chain.gear_ref::<TestGear>().is_some_and(|gear| gear.is(name)));
                make(&mut self.chain, call, NOW + TICK * number);
            }
        }
        order.push(Gear::Snowman);
        starts.push(format!("snowman.start {last}"));
        (order, starts)
    }
}

fn gears_in(facts: &[String]) -> Vec<String> {
    facts.iter().filter(|fact| fact.starts_with("gear ")).cloned().collect()
}

#[test]
fn gears_take_charge_in_order_however_they_finish() {
    let mut syncers = parts();
    syncers.push(Part::Disabled);
    for syncer in syncers {
        for bootstrapper in parts() {
            let mut stage = Stage::new(syncer, bootstrapper);
            let (order, starts) = stage.run();
            let place = format!("{syncer:?} {bootstrapper:?}");
            assert_eq!(outcome(&stage.chain), "runs", "{place}");
            assert_eq!(stage.chain.gear(), Gear::Snowman, "{place}");
            assert!(order.is_sorted_by(|one, next| one < next));
            let expected: Vec<String> = order.iter().map(|gear| format!("gear {gear:?}")).collect();
            assert_eq!(gears_in(&stage.log.facts()), expected, "{place}");
            let calls = stage.log.take();
            let made: Vec<_> = calls.iter().filter(|call| call.contains(".start ")).collect();
            assert_eq!(made, starts.iter().collect::<Vec<_>>(), "{place}");
            let cleared = calls.iter().filter(|call| *call == "clear").count();
            let clears = order[0] == Gear::StateSyncer && bootstrapper != Part::Absent;
            assert_eq!(cleared, usize::from(clears), "{place}");
        }
    }
}

#[test]
fn the_consensus_gear_is_the_last_one() {
    for call in CALLS.into_iter().chain(["start"]) {
        let (mut chain, log) = fixture();
        log.react("snowman.start", Reaction::WakeAfter(TICK / 2));
        log.react(&format!("snowman.{call}"), Reaction::Finish(RequestId(1)));
        chain.start(NOW, WALL);
        if call != "start" {
            make(&mut chain, call, NOW);
        }
        assert_eq!(outcome(&chain), "the consensus gear said it is finished", "{call}");
        assert_eq!(gears_in(&log.facts()), ["gear Snowman"]);
    }
}

#[test]
fn a_gear_that_fails_while_it_finishes_is_not_followed() {
    let mut stage = Stage::new(Part::Absent, Part::FinishesInStart);
    stage.log.react("snowman.start", Reaction::Fail);
    stage.chain.start(NOW, WALL);
    assert_eq!(outcome(&stage.chain), "start fails");
    assert_eq!(stage.log.facts(), ["gear Bootstrapper", "gear Snowman", "stopped: start fails"]);
    assert_eq!(stage.chain.gear(), Gear::Snowman, "which was shut down");
}

#[test]
fn each_gear_can_be_looked_at_whoever_is_in_charge() {
    let mut stage = Stage::new(Part::FinishesInStart, Part::FinishesIn("get"));
    stage.run();
    let chain = &stage.chain;
    for (gear, name) in [
        (Gear::StateSyncer, "syncer"),
        (Gear::Bootstrapper, "bootstrapper"),
        (Gear::Snowman, "snowman"),
    ] {
        assert!(chain.gear_as::<TestGear>(gear).is_some_and(|gear| gear.is(name)));
    }
    assert!(chain.consensus_gear::<TestGear>().is_some());
    assert!(chain.consensus_gear::<crate::snowman::Snowman>().is_none(), "of another type");
    assert!(fixture().0.gear_as::<TestGear>(Gear::Bootstrapper).is_none(), "absent");
}

#[test]
fn whichever_gear_is_in_charge_hears_that_state_sync_is_done() {
    let mut stage = Stage::new(Part::FinishesIn("get"), Part::FinishesIn("get"));
    stage.chain.start(NOW, WALL);
    for gear in [Gear::StateSyncer, Gear::Bootstrapper, Gear::Snowman] {
        assert_eq!(stage.chain.gear(), gear);
        stage.log.take();
        stage.chain.events.set_state_sync_done();
        stage.chain.handle_timeout(NOW, WALL);
        assert_eq!(stage.log.take(), ["notify State Sync Done"]);
        stage.chain.handle(NOW, WALL, get());
    }
    assert_eq!(outcome(&stage.chain), "runs");
}

#[test]
fn what_a_vm_wrote_beside_blocks_is_committed_before_the_gear_hears_that_it_is_done() {
    let (mut chain, log) = fixture();
    chain.start(NOW, WALL);
    log.take();
    let woken = count_wakes(chain.inbox());
    chain.events.set_written();
    chain.events.set_state_sync_done();
    assert!(woken() > 0);
    assert_eq!(chain.poll_timeout(), Some(Instant::ZERO));
    chain.handle_timeout(NOW, WALL);
    assert_eq!(log.take(), ["commit written", "notify State Sync Done"]);
    chain.handle_timeout(NOW, WALL);
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(chain.stats().written, 1);
    log.react("commit written", Reaction::Fail);
    chain.events.set_written();
    assert_eq!(chain.turn(NOW, WALL), Progress::More);
    assert_eq!(outcome(&chain), "commit written fails");
}

#[test]
fn a_state_that_cannot_be_committed_stops_the_chain() {
    let (mut chain, log) = fixture();
    log.react("snowman.start", Reaction::Accept);
    log.react("commit state", Reaction::Fail);
    chain.start(NOW, WALL);
    assert_eq!(outcome(&chain), "commit state fails");
    assert_eq!(chain.state(), State::Initializing);
    assert!(!log.take().contains(&"vm accepts 1".to_owned()));
}

#[test]
fn nobody_hears_anything_before_the_start_and_nothing_is_lost() {
    let (mut chain, log) = fixture();
    let connected = Input::Connected { node: NODE, version: Application::default() };
    chain.inbox().push(connected, Permit::NONE).unwrap();
    chain.inbox().push(get(), Permit::NONE).unwrap();
    chain.events.set_written();
    assert_eq!(chain.turn(NOW, WALL), Progress::Idle);
    assert_eq!(chain.poll_timeout(), None);
    chain.handle_timeout(NOW, WALL);
    chain.work(NOW, WALL);
    assert_eq!(log.take(), [""; 0]);
    assert!(log.peer_tracker.is_empty());
    chain.start(NOW, WALL);
    while chain.turn(NOW, WALL) == Progress::More {}
    let calls = log.take();
    assert_eq!(calls, ["snowman.start 0", "commit written", "connected 0 1", "get"]);
    chain.handle(NOW, WALL, Input::Disconnected { node: NODE });
    assert_eq!(log.take(), ["disconnected 0 0"]);
}
