//! Five nodes, each a router and a chain, on a network in memory: no threads, no clock, one seed.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    chain::{
        Chain, ChainConfig, ChainParts, ChangeNotifier, Fact, Gears, Inbox, InboxLimits, Output,
        Permit, Uncommitted,
    },
    common::{Halter, NodeSet, PreemptionSignal, Progress, StateSyncing, Traced, tracker::Peers},
    getter::GetterConfig,
    router::{AdmitAll, Network, Port, Route, Router, RouterConfig, SharedRouter},
    snowman::{Config, Snowman},
    testing::{ManualClock, TestVm, test_block},
    validators::{SubnetSampler, Validator, Validators},
};
use sastrugi_types::{
    Id, Instant, NodeId,
    message::{Inbound, Outbound},
    sampler::Mt19937,
    version::Application,
};
use sastrugi_vm::{Block, Clock, Events, SendConfig};

const CHAIN: Id = Id([1; 32]);
const SUBNET: Id = Id::EMPTY;
const NODES: u8 = 5;

fn node_id(index: u8) -> NodeId {
    NodeId([index + 1; 20])
}

/// The messages under way, by the time they arrive.
#[derive(Default)]
struct Wire {
    under_way: Mutex<BTreeMap<(Instant, u64), (NodeId, Inbound)>>,
    sent: AtomicU64,
    /// Its links lose everything.
    cut_off: Mutex<Option<NodeId>>,
}

/// One node's end of the wire.
struct Link {
    node: NodeId,
    wire: Arc<Wire>,
    clock: Arc<ManualClock>,
}

impl Network for Link {
    fn send(&self, message: &Outbound, to: &NodeSet, _subnet: Id) -> NodeSet {
        let cut_off = *self.wire.cut_off.lock();
        for target in to {
            let number = self.wire.sent.fetch_add(1, Ordering::Relaxed);
            if cut_off == Some(self.node) || cut_off == Some(*target) {
                continue;
            }
            let delay = Duration::from_millis(5 + number * 7 % 11);
            let Outbound { chain, payload } = message.clone();
            let arrival = (self.clock.now() + delay, number);
            let inbound = Inbound { from: self.node, chain, payload };
            self.wire.under_way.lock().insert(arrival, (*target, inbound));
        }
        to.clone()
    }

    fn gossip(&self, message: &Outbound, config: &SendConfig, subnet: Id) -> NodeSet {
        self.send(message, &config.node_ids, subnet)
    }
}

/// Writes down what happens in a chain.
struct Notes(Arc<Mutex<Vec<String>>>, Arc<ManualClock>);

impl Output for Notes {
    fn observe(&mut self, fact: Fact<'_>) {
        let text = match fact {
            Fact::Accepted(block) => format!("accepted {} {}", block.height, block.id),
            Fact::GearChanged(gear) => format!("gear {gear:?}"),
            Fact::StateChanged(state) => state.name().to_owned(),
            Fact::Stopped(why) => format!("stopped {why:?}"),
        };
        self.0.lock().push(format!("{} {text}", self.1.now().0));
    }
}

struct Node {
    id: NodeId,
    router: SharedRouter,
    chain: Chain,
    vm: Arc<TestVm>,
    events: Events,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Node {
    fn new(index: u8, wire: &Arc<Wire>, clock: &Arc<ManualClock>, genesis: &Block) -> Self {
        let (id, seed) = (node_id(index), u64::from(index));
        let version = Application { name: "test".into(), major: 1, ..Application::default() };
        let config = RouterConfig::new(id, version.clone(), seed);
        let router = Arc::new(Mutex::new(Router::new(config, Instant::ZERO).unwrap()));
        let inbox = Arc::new(Inbox::new(InboxLimits::default(), Halter::default()));
        let (route_inbox, admission) = (inbox.clone(), Arc::new(AdmitAll));
        let route = Route { subnet: SUBNET, inbox: route_inbox, admission };
        router.lock().add_chain(CHAIN, route);
        for peer in (0..NODES).map(node_id).filter(|peer| *peer != id) {
            router.lock().connected(peer, &version, SUBNET);
        }
        let validators = Arc::new(Validators::new(seed));
        let peers = Arc::new(Peers::new(seed));
        validators.register_set_listener(SUBNET, peers.clone());
        for node in (0..NODES).map(node_id) {
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight: 100 };
            validators.add_staker(SUBNET, validator).unwrap();
        }
        let test_vm = TestVm::new(genesis.clone());
        let vm = Arc::new(ChangeNotifier::new(test_vm.clone()));
        let gear = Snowman::new(Config {
            subnet: SUBNET,
            node: id,
            vm: vm.clone(),
            clock: clock.clone(),
            getter: GetterConfig::default(),
            params: Parameters::default(),
            validators: validators.clone(),
            peers: peers.clone(),
            state_syncing: StateSyncing::default(),
            partial_sync: false,
            hash_seed: seed,
        })
        .unwrap();
        let link = Arc::new(Link { node: id, wire: wire.clone(), clock: clock.clone() });
        let port = Port::new(CHAIN, SUBNET, router.clone(), link, clock.clone());
        let source = Box::new(Mt19937::new(seed));
        let (events, notes) = (Events::default(), Arc::new(Mutex::new(Vec::new())));
        let chain = Chain::new(ChainParts {
            id: CHAIN,
            config: ChainConfig::default(),
            vm,
            events: events.clone(),
            gears: Gears::only(Box::new(Traced::new(gear))),
            inbox,
            sender: Arc::new(port),
            sampler: Box::new(SubnetSampler::new(validators, SUBNET, peers.clone(), source)),
            peers,
            peer_tracker: None,
            preemption: PreemptionSignal::default(),
            commit: Box::new(Uncommitted),
            output: Box::new(Notes(notes.clone(), clock.clone())),
        });
        Self { id, router, chain, vm: test_vm, events, notes }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let router = self.router.lock().poll_timeout();
        [router, self.chain.poll_timeout()].into_iter().flatten().min()
    }

    fn run(&mut self, clock: &ManualClock) {
        let now = clock.now();
        self.router.lock().handle_timeout(now);
        for job in std::iter::from_fn(|| self.chain.app_jobs().next(now)) {
            job.run();
        }
        while self.chain.turn(now, clock.wall()) == Progress::More {}
    }
}

struct World {
    clock: Arc<ManualClock>,
    wire: Arc<Wire>,
    nodes: Vec<Node>,
    genesis: Block,
}

impl World {
    fn new() -> Self {
        let (clock, wire) = (Arc::new(ManualClock::default()), Arc::new(Wire::default()));
        let genesis = test_block(Id::EMPTY, 0, 100);
        let mut nodes: Vec<_> =
            (0..NODES).map(|index| Node::new(index, &wire, &clock, &genesis)).collect();
        for node in &mut nodes {
            node.chain.start(clock.now(), clock.wall());
        }
        Self { clock, wire, nodes, genesis }
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            for node in &mut self.nodes {
                node.run(&self.clock);
            }
            let arrival = self.wire.under_way.lock().keys().next().map(|(arrival, _)| *arrival);
            let timeouts = self.nodes.iter().filter_map(Node::poll_timeout);
            let Some(next) = timeouts.chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            self.clock.set(next.max(self.clock.now()));
            self.deliver();
        }
        self.clock.set(end);
    }

    fn deliver(&self) {
        let now = self.clock.now();
        loop {
            let Some(entry) = self.wire.under_way.lock().pop_first() else { return };
            if entry.0.0 > now {
                self.wire.under_way.lock().insert(entry.0, entry.1);
                return;
            }
            let (to, message) = entry.1;
            let node = self.nodes.iter().find(|node| node.id == to).unwrap();
            node.router.lock().inbound(now, message, Permit::NONE);
        }
    }

    /// A node has one block to build, of so many bytes, on the last accepted one.
    fn build(&self, index: usize, bytes: usize) {
        let node = &self.nodes[index];
        let height = node.vm.accepted().len() as u64;
        let parent = node.vm.accepted().pop().unwrap();
        node.vm.set_to_build(vec![test_block(parent, height, bytes)]);
        node.events.set_pending_txs(true);
    }

    fn accepted(&self, index: usize) -> Vec<Id> {
        self.nodes[index].vm.accepted()
    }

    /// What everybody wrote down, and how many messages it took.
    fn trace(&self) -> (Vec<Vec<String>>, u64) {
        let notes = self.nodes.iter().map(|node| node.notes.lock().clone()).collect();
        (notes, self.wire.sent.load(Ordering::Relaxed))
    }
}

fn seconds(seconds: u64) -> Instant {
    Instant(seconds * 1_000_000_000)
}

/// Two nodes build on genesis at the same time.
fn conflict() -> World {
    let mut world = World::new();
    world.build(0, 200);
    world.build(1, 300);
    world.run_until(seconds(20));
    for node in &world.nodes {
        node.events.set_pending_txs(false);
    }
    world
}

#[test]
fn five_chains_agree_on_one_of_two_blocks() {
    let mut world = conflict();
    let genesis = world.genesis.id;
    let rivals = [200, 300].map(|bytes| test_block(genesis, 1, bytes).id);
    let accepted = world.accepted(0);
    assert_eq!((accepted.len(), accepted[0]), (2, genesis));
    assert!(rivals.contains(&accepted[1]));
    for index in 0..usize::from(NODES) {
        assert_eq!(world.accepted(index), accepted);
        let rejected = world.nodes[index].vm.rejected();
        assert!(rejected.iter().all(|id| rivals.contains(id) && *id != accepted[1]));
    }
    world.run_until(seconds(60));
    for node in &mut world.nodes {
        let health = node.chain.health(world.clock.now(), world.clock.wall());
        assert!(health.is_healthy(), "{:?}", health.causes);
        let stats = node.router.lock().stats();
        assert_eq!((stats.timed_out, stats.malformed, stats.dropped_unknown_chain), (0, 0, 0));
    }
}

#[test]
fn the_same_run_twice_is_the_same_run() {
    let trace = conflict().trace();
    assert!(trace.1 > 100);
    assert_eq!(trace, conflict().trace());
}

#[test]
fn four_go_on_without_the_fifth_which_catches_up_later() {
    let mut world = World::new();
    *world.wire.cut_off.lock() = Some(node_id(4));
    world.build(0, 200);
    world.run_until(seconds(120));
    let accepted = world.accepted(0);
    assert_eq!(accepted.len(), 2);
    assert_eq!(world.accepted(3), accepted);
    assert_eq!(world.accepted(4).len(), 1);
    assert!(world.nodes[0].router.lock().stats().timed_out > 0);
    *world.wire.cut_off.lock() = None;
    world.nodes[0].events.set_pending_txs(false);
    world.run_until(seconds(240));
    assert_eq!(world.accepted(4), accepted, "the pull of the frontier tells it");
    for node in &world.nodes {
        assert!(node.router.lock().outstanding() < 10);
    }
}

#[test]
fn shutting_a_router_down_ends_its_chain() {
    let mut world = World::new();
    world.nodes[2].router.lock().shutdown();
    world.build(0, 200);
    world.run_until(seconds(600));
    assert!(world.nodes[2].chain.is_stopped());
    assert!(matches!(world.nodes[2].chain.outcome(), Some(Ok(()))));
    assert_eq!(world.accepted(0).len(), 2);
}
