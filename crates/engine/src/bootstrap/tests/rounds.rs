//! Beginning, polls, further rounds, waiting for the subnet.

use super::*;

#[test]
fn the_constructor_touches_neither_vm_nor_database() {
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let db = MemoryDb::new();
    db.close().unwrap();
    let setting = Setting { db: Arc::new(db), ..Setting::new(&[1]) };
    let mut fixture = Fixture::on(&setting, vm.clone(), Script::default());
    assert_eq!(fixture.phase(), Phase::NotStarted);
    assert_eq!(*vm.calls.lock(), [""; 0]);
    assert!(fixture.call(|gear, cx| gear.start(cx, RequestId(0))).is_err(), "then it does");
}

#[test]
fn the_state_is_set_before_the_last_accepted_block_is_read() {
    let blocks = chain(3, 50);
    let ahead = TestVm::new(genesis());
    for block in &blocks[1..] {
        let vm: &dyn sastrugi_vm::ChainVm = &*ahead;
        vm.verify(block, None).unwrap();
        vm.accept(block.id).unwrap();
    }
    let vm = WatchedVm::new(ahead);
    *vm.rollback.lock() = Some(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&Setting::new(&[1]), vm.clone(), Script::default());
    fixture.start();
    assert_eq!(fixture.around.acceptor.states, [State::Bootstrapping]);
    assert_eq!(vm.calls.lock()[..2], ["set_state", "last_accepted"]);
    fixture.connect(1);
    fixture.agree_on(1, blocks[1].id);
    let wanted = fixture.asked().pop();
    assert_eq!(wanted, Some(Asked::Ancestors(1, 2, blocks[1].id)), "it is not here any more");
}

#[test]
fn the_first_round_waits_for_enough_weight_and_no_later_one_does() {
    let (mut fixture, _) = Fixture::new(&[1, 1, 1, 1]);
    fixture.start();
    fixture.connect(1);
    fixture.connect(2);
    assert_eq!(fixture.asked(), []);
    assert_eq!(fixture.phase(), Phase::WaitingForBeacons { connected_weight: 2, needed_weight: 3 });
    let causes = ["bootstrapping waits for beacons: weight 2 is connected, 3 is needed"];
    assert_eq!(fixture.causes(), causes);
    fixture.connect(3);
    assert_eq!(fixture.asked(), [Asked::Frontier(vec![1, 2, 3, 4], 1)]);
    assert_eq!(fixture.causes(), [""; 0]);
    fixture.call(|gear, cx| gear.disconnected(cx, node(3))).unwrap();
    fixture.connect(3);
    assert_eq!(fixture.asked(), [], "it begins once");
}

#[test]
fn beacons_that_connected_to_the_gear_before_count() {
    let (mut fixture, _) = Fixture::new(&[1]);
    fixture.gear.config.startup.connected(node(1));
    fixture.start();
    assert_eq!(fixture.asked(), [Asked::Frontier(vec![1], 1)]);
}

#[test]
fn answers_before_the_first_round_are_nothing() {
    let (mut fixture, vm) = Fixture::new(&[1]);
    fixture.start();
    let id = genesis().id;
    fixture.frontier(1, 0, id);
    fixture.frontier_failed(1, 0);
    fixture.accepted(1, 0, &[id]);
    fixture.accepted_failed(1, 0);
    fixture.ancestors(1, 0, &[&genesis()]);
    fixture.ancestors_failed(1, 0);
    fixture.work_off().unwrap();
    assert_eq!((fixture.asked(), fixture.finished), (vec![], None));
    assert_eq!(vm.inner().accepted(), [id]);
}

#[test]
fn a_node_that_is_up_to_date_is_finished_at_once() {
    let (mut fixture, _) = Fixture::started(&[1, 1]);
    fixture.agree_on(1, genesis().id);
    assert_eq!(fixture.finished, None, "executing is long work, even if it is nothing");
    fixture.work_off().unwrap();
    assert_eq!(fixture.finished, Some(RequestId(1)));
    assert_eq!(fixture.phase(), Phase::Finished);
    assert_eq!(fixture.bootstrapped.load(Ordering::Relaxed), 1);
    assert!(fixture.subnet.is_bootstrapped());
}

#[test]
fn without_beacons_there_is_nothing_to_ask() {
    let (mut fixture, _) = Fixture::new(&[]);
    fixture.start();
    fixture.work_off().unwrap();
    assert_eq!(fixture.asked(), []);
    assert_eq!(fixture.finished, Some(RequestId(0)));
}

#[test]
fn a_sample_is_asked_for_the_frontier_and_everybody_what_is_accepted() {
    let setting = Setting { sample_size: 2, ..Setting::new(&[1; 5]) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm, Script::default());
    fixture.start();
    fixture.connect_all(&setting.weights);
    let Asked::Frontier(sample, 1) = &fixture.asked()[0] else { panic!() };
    assert_eq!(sample.len(), 2);
    assert_eq!(fixture.phase(), Phase::AskingFrontier { answered: 0, asked: 2 });
    let id = chain(1, 50)[1].id;
    fixture.frontier(sample[0], 1, id);
    fixture.frontier_failed(sample[1], 1);
    assert_eq!(fixture.asked(), [Asked::Accepted(vec![1, 2, 3, 4, 5], 1, vec![id])]);
    fixture.accepted(1, 1, &[id]);
    assert_eq!(fixture.phase(), Phase::AskingAccepted { answered: 1, asked: 5 });
}

#[test]
fn at_most_50_beacons_are_asked_at_a_time() {
    let (mut fixture, _) = Fixture::started(&[1; 60]);
    assert_eq!(fixture.asked(), [Asked::Frontier((1..=50).collect(), 1)]);
    fixture.frontier(7, 1, genesis().id);
    assert_eq!(fixture.asked(), [Asked::Frontier(vec![51], 1)]);
    for from in (1..=60).filter(|from| *from != 7) {
        fixture.frontier_failed(from, 1);
    }
    let asked = fixture.asked();
    assert_eq!(asked.last(), Some(&Asked::Accepted((1..=50).collect(), 1, vec![genesis().id])));
}

#[test]
fn weights_that_overflow_stop_the_chain() {
    let (mut fixture, _) = Fixture::new(&[u64::MAX, 1]);
    fixture.start();
    fixture.gear.config.startup.connected(node(1));
    let version = Application::default();
    let result = fixture.call(|gear, cx| gear.connected(cx, node(1), &version));
    assert_eq!(result.unwrap_err().to_string(), "the beacons' total weight overflows");
}

#[test]
fn lying_beacons_below_half_of_the_weight_change_nothing() {
    let (blocks, lies) = (chain(2, 50), chain(9, 60));
    let (mut fixture, vm) = Fixture::started(&[1, 1, 1]);
    fixture.asked();
    fixture.frontier(1, 1, lies[9].id);
    fixture.frontier(2, 1, blocks[2].id);
    fixture.frontier(3, 1, blocks[2].id);
    fixture.accepted(1, 1, &[lies[9].id, lies[8].id]);
    fixture.accepted(2, 1, &[blocks[2].id]);
    fixture.accepted(3, 1, &[blocks[2].id]);
    let [_, Asked::Ancestors(from, 2, id)] = fixture.asked()[..] else { panic!() };
    assert_eq!(id, blocks[2].id);
    fixture.ancestors(from, 2, &[&blocks[2], &blocks[1]]);
    fixture.work_off().unwrap();
    assert_eq!(vm.inner().accepted().last(), Some(&blocks[2].id));
}

#[test]
fn what_half_of_the_weight_says_is_not_accepted() {
    let lies = chain(9, 60);
    let (mut fixture, _) = Fixture::started(&[1, 1]);
    fixture.asked();
    fixture.frontier(1, 1, lies[9].id);
    fixture.frontier(2, 1, genesis().id);
    fixture.accepted(1, 1, &[lies[9].id]);
    fixture.accepted(2, 1, &[genesis().id]);
    assert!(fixture.gear.is_backing_off());
    assert!(fixture.gear.missing().is_empty());
}

#[test]
fn blocks_nobody_was_asked_about_are_not_fetched() {
    let lies = chain(9, 60);
    let (mut fixture, _) = Fixture::started(&[1]);
    fixture.frontier(1, 1, genesis().id);
    fixture.accepted(1, 1, &[lies[9].id, genesis().id]);
    fixture.work_off().unwrap();
    assert_eq!(fixture.finished, Some(RequestId(1)));
    assert_eq!(fixture.gear.stats().requests, 0);
}

#[test]
fn answers_of_strangers_and_second_answers_are_nothing() {
    let lies = chain(9, 60);
    let (mut fixture, _) = Fixture::started(&[1, 1]);
    fixture.frontier(77, 1, lies[9].id);
    fixture.frontier(1, 1, genesis().id);
    fixture.frontier(1, 1, lies[9].id);
    fixture.accepted(1, 1, &[lies[9].id]);
    fixture.frontier(2, 2, lies[9].id);
    fixture.frontier(2, 1, genesis().id);
    let asked = fixture.asked();
    assert_eq!(asked.last(), Some(&Asked::Accepted(vec![1, 2], 1, vec![genesis().id])));
    fixture.accepted(77, 1, &[]);
    fixture.accepted(1, 1, &[genesis().id]);
    fixture.accepted(1, 1, &[]);
    fixture.accepted(2, 1, &[genesis().id]);
    fixture.work_off().unwrap();
    assert_eq!(fixture.finished, Some(RequestId(1)));
}

#[test]
fn rounds_without_a_result_are_repeated_with_growing_pauses() {
    let (mut fixture, _) = Fixture::started(&[1]);
    let mut longest = Duration::from_millis(500);
    for request in 1..=8 {
        assert_eq!(fixture.asked(), [Asked::Frontier(vec![1], request)]);
        fixture.frontier_failed(1, request);
        assert_eq!(fixture.asked(), [Asked::Accepted(vec![1], request, vec![])]);
        fixture.accepted_failed(1, request);
        assert_eq!(fixture.phase(), Phase::BackingOff { rounds: request });
        assert_eq!(fixture.causes().len(), usize::from(request >= 3));
        let pause = fixture.around.timer.poll_timeout().unwrap() - fixture.around.now;
        assert!(longest / 2 <= pause && pause <= longest, "{pause:?} of {longest:?}");
        longest = (2 * longest).min(Duration::from_secs(10));
        // Late answers do not shorten the pause.
        fixture.frontier(1, request, genesis().id);
        fixture.accepted(1, request, &[genesis().id]);
        fixture.wake();
    }
    assert_eq!(fixture.gear.stats().rounds, 9);
    fixture.agree_on(9, genesis().id);
    assert_eq!(fixture.causes(), [""; 0]);
    fixture.work_off().unwrap();
    assert_eq!(fixture.finished, Some(RequestId(9)));
}

#[test]
fn a_chain_that_caught_up_waits_for_the_subnet_and_keeps_up_meanwhile() {
    let blocks = chain(1, 50);
    let (mut fixture, vm) = Fixture::started(&[1]);
    fixture.subnet.add_chain(OTHER_CHAIN);
    fixture.agree_on(1, genesis().id);
    fixture.work_off().unwrap();
    assert_eq!(fixture.phase(), Phase::WaitingForSubnet);
    assert_eq!(fixture.finished, None);
    let pause = fixture.around.timer.poll_timeout().unwrap() - fixture.around.now;
    assert_eq!(pause, Duration::from_secs(10));
    // Once more, with a block that came meanwhile.
    fixture.asked();
    fixture.wake();
    assert_eq!(fixture.asked(), [Asked::Frontier(vec![1], 2)]);
    fixture.agree_on(2, blocks[1].id);
    fixture.ancestors(1, 3, &[&blocks[1]]);
    fixture.work_off().unwrap();
    assert_eq!(vm.inner().accepted(), [blocks[0].id, blocks[1].id]);
    assert!(fixture.gear.is_waiting_for_subnet());
    // Then the others are done, too.
    fixture.subnet.bootstrapped(OTHER_CHAIN);
    fixture.wake();
    assert_eq!(fixture.finished, Some(RequestId(3)));
    assert_eq!(fixture.bootstrapped.load(Ordering::Relaxed), 1, "it is called once");
}

#[test]
fn a_wake_up_nobody_waits_for_is_nothing() {
    let (mut fixture, _) = Fixture::started(&[1]);
    fixture.asked();
    fixture.call(Engine::timeout).unwrap();
    assert_eq!((fixture.asked(), fixture.finished), (vec![], None));
}

#[test]
fn rounds_are_repeated_while_they_execute_less_than_half_of_the_one_before() {
    let blocks = chain(12, 50);
    let (mut fixture, vm) = Fixture::started(&[1]);
    let mut request = 1;
    for (tip, is_last) in [(8, false), (11, false), (12, true)] {
        fixture.asked();
        fixture.agree_on(request, blocks[tip].id);
        if let Some(Asked::Ancestors(1, fetched_with, _)) = fixture.asked().pop() {
            let branch: Vec<_> = blocks[1..=tip].iter().rev().collect();
            fixture.ancestors(1, fetched_with, &branch);
        }
        fixture.work_off().unwrap();
        assert_eq!(vm.inner().accepted().len(), tip + 1);
        assert_eq!(fixture.finished.is_some(), is_last, "up to {tip}");
        request = fixture.gear.last_request().0;
    }
    assert_eq!(fixture.gear.stats().accepted, 12);
    assert_eq!(fixture.gear.stats().rounds, 3);
}

#[test]
fn notifications_gossip_and_shutdown() {
    let (mut fixture, vm) = Fixture::started(&[1]);
    fixture.asked();
    fixture.state_syncing.set(true);
    fixture.call(|gear, cx| gear.notify(cx, Message::PendingTxs)).unwrap();
    assert!(fixture.state_syncing.is_set());
    fixture.call(|gear, cx| gear.notify(cx, Message::StateSyncDone)).unwrap();
    assert!(!fixture.state_syncing.is_set());
    fixture.call(InternalHandler::gossip).unwrap();
    assert_eq!(fixture.asked(), []);
    vm.causes.lock().push("the VM is ill".into());
    assert_eq!(fixture.causes(), ["the VM is ill"]);
    fixture.call(InternalHandler::shutdown).unwrap();
    assert_eq!(vm.calls.lock().last(), Some(&"shutdown"));
}
