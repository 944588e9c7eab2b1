//! Rules that upstream's traces do not show, hostile peers and beacons, slices, and crashes.

mod crash;
mod executing;
mod fetching;
mod random;
mod rounds;
mod vm;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{
    Id, Instant, NodeId, RequestId,
    sampler::Mt19937_64,
    version::{Application, Version},
};
use sastrugi_vm::{
    Block, State,
    db::{Database, MemoryDb},
};

use super::*;
use crate::{
    common::{
        self, AcceptedFrontierHandler, AcceptedHandler, Acceptor, AncestorsHandler,
        BootstrapTracker, BootstrapableEngine, Engine, Haltable, Handled, InternalHandler, Message,
        StateSyncing,
        tracker::{Peers, Startup},
    },
    getter::GetterConfig,
    peer_tracker::{PeerTracker, PeerTrackerConfig},
    subnet::Subnet,
    testing::{ManualClock, RecordingSender, Script, Sent, Surroundings, TestVm, test_block},
    validators::{Validator, Validators},
};
use vm::WatchedVm;

const SUBNET: Id = Id([5; 32]);
const CHAIN: Id = Id([6; 32]);
/// A chain of the same subnet that is still bootstrapping.
const OTHER_CHAIN: Id = Id([7; 32]);
const US: NodeId = NodeId([99; 20]);

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

fn numbers(nodes: &BTreeSet<NodeId>) -> Vec<u8> {
    nodes.iter().map(|node| node.0[0]).collect()
}

fn genesis() -> Block {
    test_block(Id::EMPTY, 0, 0)
}

/// Genesis and `count` blocks on it; the index is the height. `length` tells chains apart.
fn chain(count: u64, length: usize) -> Vec<Block> {
    let mut blocks = vec![genesis()];
    for height in 1..=count {
        let parent = blocks[blocks.len() - 1].id;
        blocks.push(test_block(parent, height, length));
    }
    blocks
}

/// What a gear asked others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Frontier(Vec<u8>, u32),
    Accepted(Vec<u8>, u32, Vec<Id>),
    Ancestors(u8, u32, Id),
}

fn asked(sent: &Sent<'_>) -> Asked {
    match sent {
        Sent::GetAcceptedFrontier(to, request) => Asked::Frontier(numbers(to), request.0),
        Sent::GetAccepted(to, request, ids) => Asked::Accepted(numbers(to), request.0, ids.clone()),
        Sent::GetAncestors(to, request, id) => Asked::Ancestors(to.0[0], request.0, *id),
        other => panic!("{other:?}"),
    }
}

/// What a gear is built on, beside its VM. Clones are the same.
#[derive(Clone)]
struct Setting {
    /// Beacon `i + 1` has the weight at `i`; each is a peer to fetch from.
    weights: Vec<u64>,
    sample_size: usize,
    ancestors_max: usize,
    checkpoints: Vec<Id>,
    db: Arc<dyn Database>,
    seed: u64,
}

impl Setting {
    fn new(weights: &[u64]) -> Self {
        Self {
            weights: weights.to_vec(),
            sample_size: 100,
            ancestors_max: ANCESTORS_RECEIVED_MAX,
            checkpoints: Vec::new(),
            db: Arc::new(MemoryDb::new()),
            seed: 1,
        }
    }
}

struct Fixture<A = Script> {
    gear: Bootstrapper,
    around: Surroundings<RecordingSender, Script, A>,
    said: Arc<Mutex<Vec<Asked>>>,
    peers: Arc<PeerTracker>,
    subnet: Arc<Subnet>,
    state_syncing: StateSyncing,
    bootstrapped: Arc<AtomicU32>,
    finished: Option<RequestId>,
}

impl Fixture {
    /// A gear on a VM that accepted genesis alone, with beacons of these weights.
    fn new(weights: &[u64]) -> (Self, Arc<WatchedVm>) {
        let vm = WatchedVm::new(TestVm::new(genesis()));
        (Self::on(&Setting::new(weights), vm.clone(), Script::default()), vm)
    }

    /// The same in charge, with all beacons connected. The frontier is asked for with number 1.
    fn started(weights: &[u64]) -> (Self, Arc<WatchedVm>) {
        let (mut fixture, vm) = Self::new(weights);
        fixture.start();
        fixture.connect_all(weights);
        (fixture, vm)
    }
}

impl<A: Acceptor> Fixture<A> {
    fn on(setting: &Setting, vm: Arc<WatchedVm>, acceptor: A) -> Self {
        let beacons = Arc::new(Validators::new(1));
        let startup_weight = setting.weights.iter().fold(0, |sum: u64, w| sum.saturating_add(*w));
        let startup = Arc::new(Startup::new(Peers::new(1), startup_weight - startup_weight / 4));
        beacons.register_set_listener(SUBNET, startup.clone());
        for (number, weight) in (1..).zip(&setting.weights) {
            let node = node(number);
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight: *weight };
            beacons.add_staker(SUBNET, validator).unwrap();
        }
        let config = PeerTrackerConfig {
            own: US,
            ignored: BTreeSet::new(),
            minimum_version: None,
            hash_seed: 1,
        };
        let source = Box::new(Mt19937_64::new(setting.seed));
        let peers = Arc::new(PeerTracker::new(config, source, Instant::ZERO));
        let subnet = Arc::new(Subnet::new());
        subnet.add_chain(CHAIN);
        let (state_syncing, bootstrapped) = (StateSyncing::default(), Arc::<AtomicU32>::default());
        let count = bootstrapped.clone();
        let gear = Bootstrapper::new(Config {
            chain: CHAIN,
            subnet: SUBNET,
            node: US,
            vm,
            clock: Arc::new(ManualClock::default()),
            getter: GetterConfig::default(),
            db: setting.db.clone(),
            beacons,
            sample_size: setting.sample_size,
            startup,
            tracker: subnet.clone(),
            peers: peers.clone(),
            ancestors_max: setting.ancestors_max,
            state_syncing: state_syncing.clone(),
            checkpoints: setting.checkpoints.clone(),
            trusted_parser: None,
            bootstrapped: Some(Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })),
            source: Box::new(Mt19937_64::new(setting.seed)),
        });
        let said = Arc::<Mutex<Vec<Asked>>>::default();
        let sender = {
            let said = said.clone();
            RecordingSender::new(move |sent| said.lock().push(asked(&sent)))
        };
        let around = Surroundings::new(sender, Script::default(), acceptor);
        Self { gear, around, said, peers, subnet, state_syncing, bootstrapped, finished: None }
    }

    /// What was asked since the last call.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.said.lock())
    }

    /// The only request for ancestors since the last call.
    fn asked_ancestors(&self) -> (u8, u32, Id) {
        match self.asked()[..] {
            [Asked::Ancestors(node, request, id)] => (node, request, id),
            ref other => panic!("{other:?}"),
        }
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Bootstrapper, &mut common::Cx<'_>) -> Result<T, Fatal>,
    ) -> Result<T, Fatal> {
        let mut cx = self.around.cx();
        let result = call(&mut self.gear, &mut cx);
        self.finished = self.finished.or(cx.finished());
        result
    }

    fn start(&mut self) {
        self.call(|gear, cx| gear.start(cx, RequestId(0))).unwrap();
    }

    fn connect(&mut self, number: u8) {
        self.peers.connected(node(number), Version::default());
        self.call(|gear, cx| gear.connected(cx, node(number), &Application::default())).unwrap();
    }

    fn connect_all(&mut self, weights: &[u64]) {
        for number in 1..=weights.len() as u8 {
            self.connect(number);
        }
    }

    fn frontier(&mut self, from: u8, request: u32, id: Id) {
        let call = |gear: &mut Bootstrapper, cx: &mut common::Cx<'_>| {
            gear.accepted_frontier(cx, node(from), RequestId(request), id)
        };
        self.call(call).unwrap();
    }

    fn frontier_failed(&mut self, from: u8, request: u32) {
        let call = |gear: &mut Bootstrapper, cx: &mut common::Cx<'_>| {
            gear.get_accepted_frontier_failed(cx, node(from), RequestId(request))
        };
        self.call(call).unwrap();
    }

    fn accepted(&mut self, from: u8, request: u32, ids: &[Id]) {
        let ids = ids.iter().copied().collect();
        self.call(|gear, cx| gear.accepted(cx, node(from), RequestId(request), ids)).unwrap();
    }

    fn accepted_failed(&mut self, from: u8, request: u32) {
        let call = |gear: &mut Bootstrapper, cx: &mut common::Cx<'_>| {
            gear.get_accepted_failed(cx, node(from), RequestId(request))
        };
        self.call(call).unwrap();
    }

    fn ancestors(&mut self, from: u8, request: u32, blocks: &[&Block]) {
        let containers = blocks.iter().map(|block| block.bytes.clone()).collect();
        self.containers(from, request, containers);
    }

    fn containers(&mut self, from: u8, request: u32, containers: Vec<Bytes>) {
        let call = |gear: &mut Bootstrapper, cx: &mut common::Cx<'_>| {
            gear.ancestors(cx, node(from), RequestId(request), containers)
        };
        self.call(call).unwrap();
    }

    fn ancestors_failed(&mut self, from: u8, request: u32) {
        let call = |gear: &mut Bootstrapper, cx: &mut common::Cx<'_>| {
            gear.get_ancestors_failed(cx, node(from), RequestId(request))
        };
        self.call(call).unwrap();
    }

    fn work(&mut self) -> Result<common::Progress, Fatal> {
        self.call(Engine::work)
    }

    /// Does all long work.
    fn work_off(&mut self) -> Handled {
        while self.work()? == common::Progress::More {}
        Ok(())
    }

    fn pass(&mut self, span: Duration) {
        self.around.now = self.around.now + span;
    }

    /// The pending wake-up comes when it is due.
    fn wake(&mut self) {
        let due = self.around.timer.poll_timeout().expect("no wake-up is pending");
        self.around.now = self.around.now.max(due);
        assert!(self.around.timer.handle_timeout(self.around.now));
        self.call(Engine::timeout).unwrap();
    }

    /// All beacons agree on the block; it is what the round of this number finds accepted.
    fn agree_on(&mut self, request: u32, id: Id) {
        for from in 1..=255 {
            self.frontier(from, request, id);
        }
        for from in 1..=255 {
            self.accepted(from, request, &[id]);
        }
    }

    fn phase(&self) -> Phase {
        self.gear.progress(self.around.now).phase
    }

    fn causes(&mut self) -> Vec<String> {
        self.gear.health(self.around.now, self.around.wall).causes
    }
}
