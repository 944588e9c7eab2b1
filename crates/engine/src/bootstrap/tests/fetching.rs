//! Fetching, from peers that answer anything.

use super::*;

/// A gear that knows block 9 is accepted and has asked for it. Who was asked, and the number.
fn fetching(weights: &[u64]) -> (Fixture, Arc<WatchedVm>, Vec<Block>, u8, u32) {
    let blocks = chain(9, 50);
    let (mut fixture, vm) = Fixture::started(weights);
    fixture.agree_on(1, blocks[9].id);
    let Some(Asked::Ancestors(from, request, id)) = fixture.asked().pop() else { panic!() };
    assert_eq!(id, blocks[9].id);
    (fixture, vm, blocks, from, request)
}

fn branch(blocks: &[Block]) -> Vec<&Block> {
    blocks.iter().rev().collect()
}

fn heights(fixture: &Fixture) -> Vec<(u64, u64)> {
    fixture.gear.fetched().flatten().into_iter().map(|run| (run.lower, run.upper)).collect()
}

/// The answer is a failure: the peer is charged, another one is asked for the same block with a new
/// number, and nothing is stored.
fn is_refused(answer: impl FnOnce(&[Block]) -> Vec<Bytes>) {
    let (mut fixture, _, blocks, from, request) = fetching(&[1, 1]);
    fixture.pass(Duration::from_secs(1));
    fixture.containers(from, request, answer(&blocks));
    assert_eq!(fixture.peers.bandwidth(node(from)), Some(0.0));
    assert!(fixture.peers.snapshot().responsive.is_empty());
    assert_eq!(fixture.asked_ancestors(), (3 - from, request + 1, blocks[9].id));
    assert_eq!(heights(&fixture), []);
    assert_eq!(fixture.gear.stats().answers_refused, 1);
    assert_eq!(fixture.gear.missing(), &BTreeSet::from([blocks[9].id]));
    // The other one has it: nothing was lost.
    fixture.ancestors(3 - from, request + 1, &branch(&blocks[1..]));
    assert_eq!(heights(&fixture), [(1, 9)]);
}

#[test]
fn an_empty_answer_is_refused() {
    is_refused(|_| vec![]);
}

#[test]
fn an_answer_that_does_not_begin_with_the_wanted_block_is_refused() {
    is_refused(|blocks| vec![blocks[8].bytes.clone(), blocks[9].bytes.clone()]);
    is_refused(|_| vec![chain(9, 60)[9].bytes.clone()]);
}

#[test]
fn an_answer_with_a_block_that_does_not_parse_is_refused() {
    is_refused(|_| vec![Bytes::from_static(b"garbage")]);
    is_refused(|blocks| vec![blocks[9].bytes.clone(), Bytes::new()]);
}

#[test]
fn a_failed_request_goes_elsewhere() {
    let (mut fixture, _, blocks, from, request) = fetching(&[1, 1]);
    fixture.ancestors_failed(from, request);
    assert_eq!(fixture.peers.bandwidth(node(from)), Some(0.0));
    assert_eq!(fixture.asked_ancestors(), (3 - from, request + 1, blocks[9].id));
    fixture.ancestors_failed(from, request);
    assert_eq!(fixture.asked(), [], "that was known");
}

#[test]
fn answers_nobody_asked_for_are_nothing() {
    let (mut fixture, vm, blocks, from, request) = fetching(&[1, 1]);
    let before = vm.calls.lock().len();
    for (node, number) in [(3 - from, request), (from, request + 1), (77, request)] {
        fixture.ancestors(node, number, &branch(&blocks[1..]));
        fixture.ancestors_failed(node, number);
    }
    assert_eq!((fixture.asked(), heights(&fixture)), (vec![], vec![]));
    assert_eq!(vm.calls.lock().len(), before, "nothing was even read");
    assert_eq!(fixture.peers.bandwidth(node(3 - from)), None);
}

#[test]
fn only_so_many_blocks_of_an_answer_are_looked_at() {
    let blocks = chain(9, 50);
    let setting = Setting { ancestors_max: 3, ..Setting::new(&[1]) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm, Script::default());
    fixture.start();
    fixture.connect(1);
    fixture.agree_on(1, blocks[9].id);
    let mut containers: Vec<_> = branch(&blocks[7..]).iter().map(|b| b.bytes.clone()).collect();
    containers.extend(vec![Bytes::from_static(b"garbage"); 5000]);
    fixture.containers(1, 2, containers);
    assert_eq!(heights(&fixture), [(7, 9)]);
    assert_eq!(fixture.gear.missing(), &BTreeSet::from([blocks[6].id]));
}

#[test]
fn the_order_behind_the_first_block_is_free_and_strangers_are_ignored() {
    let (mut fixture, vm, blocks, from, request) = fetching(&[1]);
    let lies = chain(9, 60);
    let answer = [
        &blocks[9], &blocks[6], &lies[9], &blocks[8], &blocks[8], &lies[3], &blocks[7], &blocks[4],
    ];
    fixture.ancestors(from, request, &answer);
    assert_eq!(heights(&fixture), [(6, 9)], "block 4 does not hang together with it");
    assert_eq!(fixture.asked_ancestors(), (1, request + 1, blocks[5].id));
    fixture.ancestors(1, request + 1, &branch(&blocks[..6]));
    fixture.work_off().unwrap();
    assert_eq!(vm.inner().accepted().len(), 10);
    assert_eq!(fixture.gear.stats().fetched, 9, "genesis was here");
}

#[test]
fn bandwidth_is_measured_in_bytes_per_second() {
    let (mut fixture, _, blocks, from, request) = fetching(&[1]);
    fixture.pass(Duration::from_millis(500));
    fixture.ancestors(from, request, &branch(&blocks[8..]));
    let bandwidth = fixture.peers.bandwidth(node(from)).unwrap();
    assert!((bandwidth - 200.0).abs() < 0.01, "{bandwidth}");
    assert_eq!(fixture.gear.stats().received_bytes, 100);
    // Within the same instant it is finite.
    fixture.ancestors(from, request + 1, &[&blocks[7]]);
    assert!(fixture.peers.bandwidth(node(from)).unwrap().is_finite());
}

#[test]
fn a_vm_that_reads_many_blocks_at_once_is_asked_to() {
    let (mut fixture, vm, blocks, from, request) = fetching(&[1]);
    *vm.is_batched.lock() = true;
    fixture.containers(from, request, vec![]);
    assert!(!vm.calls.lock().contains(&"parse_blocks"), "nothing to read");
    let from_now = vm.calls.lock().len();
    fixture.ancestors(1, request + 1, &branch(&blocks[1..]));
    let calls = vm.calls.lock()[from_now..].to_vec();
    assert_eq!(calls.iter().filter(|call| **call == "parse_blocks").count(), 1);
    assert!(!calls.contains(&"parse_block"));
    assert_eq!(heights(&fixture), [(1, 9)]);
}

#[test]
fn without_peers_this_node_itself_is_the_pause() {
    let (mut fixture, _, blocks, from, request) = fetching(&[1]);
    fixture.peers.disconnected(node(from));
    for number in request..request + 3 {
        let last = if number == request { from } else { US.0[0] };
        fixture.ancestors_failed(last, number);
        assert_eq!(fixture.asked_ancestors(), (US.0[0], number + 1, blocks[9].id));
    }
    assert!(fixture.peers.is_empty(), "it does not become a peer");
    let block = blocks[9].id;
    assert_eq!(
        fixture.causes(),
        [format!(
            "bootstrapping gets no further: 3 requests for block {block} failed, 0 peers are \
             connected"
        )]
    );
    fixture.peers.connected(node(from), Version::default());
    fixture.ancestors_failed(US.0[0], request + 3);
    assert_eq!(fixture.asked_ancestors(), (from, request + 4, blocks[9].id));
    fixture.ancestors(from, request + 4, &branch(&blocks[1..]));
    assert_eq!(fixture.causes(), [""; 0], "that is over");
}

#[test]
fn a_block_nobody_has_is_asked_for_with_pauses() {
    let (mut fixture, _, blocks, mut from, mut request) = fetching(&[1, 1, 1]);
    let mut pauses = 0;
    for _ in 0..64 {
        if from == US.0[0] {
            pauses += 1;
            fixture.ancestors_failed(from, request);
        } else {
            fixture.containers(from, request, vec![]);
        }
        (from, request, _) = fixture.asked_ancestors();
    }
    assert_eq!(pauses, 3, "the fourth has begun");
    assert_eq!(from, US.0[0]);
    let Phase::Fetching { hardest, missing: 1, .. } = fixture.phase() else { panic!() };
    assert_eq!(hardest, Some(Hardest { block: blocks[9].id, failures: 64 }));
    let text = fixture.gear.progress(fixture.around.now).to_json().to_string();
    assert!(text.contains(r#""failures":64"#), "{text}");
}

#[test]
fn many_gaps_are_fetched_at_once_each_from_one_peer() {
    let blocks = chain(9, 50);
    let checkpoints = [3, 6, 0].map(|height: usize| blocks[height].id);
    let setting = Setting { checkpoints: checkpoints.to_vec(), ..Setting::new(&[1]) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm.clone(), Script::default());
    fixture.start();
    fixture.connect(1);
    fixture.agree_on(1, blocks[9].id);
    let asked: BTreeSet<_> = fixture.asked()[2..]
        .iter()
        .map(|asked| match asked {
            Asked::Ancestors(1, _, id) => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, [3, 6, 9].map(|height: usize| blocks[height].id).into(), "genesis is here");
    for (request, block) in fixture.gear.outstanding_requests() {
        let height = blocks.iter().position(|known| known.id == block).unwrap();
        fixture.ancestors(1, request.request.0, &branch(&blocks[height - 2..=height]));
    }
    assert_eq!(heights(&fixture), [(1, 9)]);
    assert_eq!(fixture.asked(), []);
    fixture.work_off().unwrap();
    assert_eq!(vm.inner().accepted().len(), 10);
}

#[test]
fn an_accepted_block_that_is_old_is_not_fetched_further() {
    // The VM lost the block's body, say after a state sync, and stands above it.
    let blocks = chain(5, 50);
    let (mut fixture, vm) = Fixture::started(&[1]);
    for block in &blocks[1..] {
        let vm: &dyn sastrugi_vm::ChainVm = &*vm.inner();
        vm.verify(block, None).unwrap();
        vm.accept(block.id).unwrap();
    }
    let fork = chain(4, 60);
    fixture.agree_on(1, fork[4].id);
    fixture.ancestors(1, 2, &branch(&fork[1..]));
    assert_eq!((heights(&fixture), fixture.gear.missing().len()), (vec![], 0));
    fixture.work_off().unwrap();
    assert_eq!(fixture.finished, Some(RequestId(2)));
}

#[test]
fn a_round_forgets_the_requests_of_the_one_before() {
    let blocks = chain(40, 50);
    let setting = Setting { checkpoints: vec![blocks[4].id], ..Setting::new(&[1]) };
    let vm = WatchedVm::new(TestVm::new(genesis()));
    let mut fixture = Fixture::on(&setting, vm.clone(), Script::default());
    fixture.start();
    fixture.connect(1);
    fixture.agree_on(1, blocks[9].id);
    let requests = fixture.gear.outstanding_requests();
    let request_of = |id| requests.iter().find(|(_, block)| *block == id).unwrap().0.request.0;
    let (tip, checkpoint) = (request_of(blocks[9].id), request_of(blocks[4].id));
    // The answer for the tip brings the checkpoint too: its request stays outstanding.
    fixture.ancestors(1, tip, &branch(&blocks[1..10]));
    assert_eq!(fixture.gear.outstanding_requests().len(), 1);
    fixture.asked();
    fixture.work_off().unwrap();
    assert_eq!(fixture.asked(), [Asked::Frontier(vec![1], tip.max(checkpoint) + 1)]);
    assert_eq!(fixture.gear.outstanding_requests(), []);
    fixture.ancestors(1, checkpoint, &branch(&blocks[..4]));
    fixture.ancestors_failed(1, checkpoint);
    assert_eq!(fixture.asked(), [], "a late answer is not known any more");
}

#[test]
fn a_restart_goes_on_with_what_is_on_the_disk() {
    let (mut fixture, vm, blocks, from, request) = fetching(&[1]);
    fixture.ancestors(from, request, &branch(&blocks[6..]));
    assert_eq!(fixture.gear.missing(), &BTreeSet::from([blocks[5].id]));
    let setting = Setting { db: fixture.gear.config.db.clone(), ..Setting::new(&[1]) };
    let mut again = Fixture::on(&setting, vm.clone(), Script::default());
    again.start();
    assert_eq!((heights(&again), again.gear.missing().len()), (vec![(6, 9)], 1));
    assert_eq!(again.asked(), [], "nobody is asked before the beacons were");
    again.connect(1);
    again.agree_on(1, blocks[9].id);
    let asked = again.asked();
    // The tip is asked for again: it may be another one, and its request is the cheapest question.
    assert_eq!(asked.len(), 4);
    for (request, block) in again.gear.outstanding_requests() {
        let height = blocks.iter().position(|known| known.id == block).unwrap();
        again.ancestors(1, request.request.0, &branch(&blocks[1..=height]));
    }
    again.work_off().unwrap();
    assert_eq!(vm.inner().accepted().len(), 10);
}

#[test]
fn clearing_forgets_everything_fetched() {
    let (mut fixture, vm, blocks, from, request) = fetching(&[1]);
    fixture.ancestors(from, request, &branch(&blocks[6..]));
    fixture.gear.clear().unwrap();
    assert_eq!(heights(&fixture), []);
    let setting = Setting { db: fixture.gear.config.db.clone(), ..Setting::new(&[1]) };
    let mut again = Fixture::on(&setting, vm, Script::default());
    again.start();
    assert_eq!((heights(&again), again.gear.missing().len()), (vec![], 0));
}

#[test]
fn progress_of_fetching_for_people() {
    let blocks = chain(60, 50);
    let (mut fixture, _) = Fixture::started(&[1]);
    fixture.agree_on(1, blocks[60].id);
    for (request, block) in (2..).zip(blocks[26..].iter().rev()) {
        fixture.pass(Duration::from_secs(1));
        fixture.ancestors(1, request, &[block]);
    }
    let progress = fixture.gear.progress(fixture.around.now);
    let Phase::Fetching { fetched: 35, total: 60, missing: 1, .. } = progress.phase else {
        panic!("{progress:?}")
    };
    assert_eq!(progress.eta, Some(Duration::from_secs(27)), "25 s and the slowdown");
    assert_eq!(progress.to_string(), "fetching: 35 of 60 blocks, 1/s, 27s left");
    assert_eq!(progress.to_json()["etaSeconds"], 27);
    // When nothing comes any more, it is slower and slower.
    fixture.pass(Duration::from_secs(91));
    let text = fixture.gear.progress(fixture.around.now).to_string();
    assert!(text.starts_with("fetching: 35 of 60 blocks, 0/s"), "{text}");
}
