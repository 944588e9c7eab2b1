//! One node: a router, a chain with its gears, and a VM that says nothing.

use std::sync::Arc;

use parking_lot::Mutex;
use sastrugi_consensus::snowball::Parameters;
use sastrugi_engine::{
    bootstrap::{self, ANCESTORS_RECEIVED_MAX, Bootstrapper},
    chain::{
        Chain, ChainConfig, ChainParts, ChangeNotifier, Fact, Gears, Inbox, InboxLimits, Output,
        Uncommitted,
    },
    common::{
        BootstrapTracker as _, Halter, Progress, StateSyncing, Traced,
        tracker::{Peers, Startup},
    },
    getter::GetterConfig,
    peer_tracker::{PeerTracker, PeerTrackerConfig},
    router::{AdmitAll, Port, Route, Router, RouterConfig, SharedRouter},
    snowman::{self, Snowman},
    subnet::Subnet,
    syncer::{self, Beacons, StateSyncer},
    testing::{ManualClock, TestVm},
    validators::{SubnetSampler, Validator, Validators},
};
use sastrugi_types::{
    Id, Instant, NodeId,
    sampler::{Mt19937, Mt19937_64},
    version::Application,
};
use sastrugi_vm::{Clock, Events, db::MemoryDb};

use crate::world::Link;

const CHAIN: Id = Id([1; 32]);
const SUBNET: Id = Id::EMPTY;
/// The validators, each with the same weight.
pub(crate) const NODES: u8 = 5;
const WEIGHT: u64 = 100;
/// Who starts needs three quarters of the weight.
const STARTUP_WEIGHT: u64 = (3 * WEIGHT * NODES as u64).div_ceil(4);

pub(crate) fn node_id(index: u8) -> NodeId {
    NodeId([index + 1; 20])
}

/// Which gears a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// It votes from its start on.
    Votes,
    /// It bootstraps first.
    Bootstraps,
    /// It syncs its state if its VM wants to, and then bootstraps.
    Syncs,
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

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) router: SharedRouter,
    pub(crate) chain: Chain,
    pub(crate) vm: Arc<TestVm>,
    pub(crate) db: MemoryDb,
    pub(crate) events: Events,
    pub(crate) state_syncing: StateSyncing,
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
}

/// What the gears of a node share.
struct Parts {
    id: NodeId,
    seed: u64,
    vm: Arc<ChangeNotifier>,
    clock: Arc<ManualClock>,
    db: MemoryDb,
    validators: Arc<Validators>,
    peers: Arc<Peers>,
    startup: Arc<Startup>,
    peer_tracker: Arc<PeerTracker>,
    subnet: Arc<Subnet>,
    state_syncing: StateSyncing,
}

impl Parts {
    fn new(id: NodeId, vm: &Arc<TestVm>, db: &MemoryDb, clock: &Arc<ManualClock>) -> Self {
        let seed = u64::from(id.0[0] - 1);
        let validators = Arc::new(Validators::new(seed));
        let peers = Arc::new(Peers::new(seed));
        let startup = Arc::new(Startup::new(Peers::new(seed), STARTUP_WEIGHT));
        validators.register_set_listener(SUBNET, peers.clone());
        validators.register_set_listener(SUBNET, startup.clone());
        for node in (0..NODES).map(node_id) {
            let validator = Validator { node, public_key: None, tx: Id::EMPTY, weight: WEIGHT };
            validators.add_staker(SUBNET, validator).unwrap();
        }
        let config = PeerTrackerConfig {
            own: id,
            ignored: [id].into(),
            minimum_version: None,
            hash_seed: seed,
        };
        let source = Box::new(Mt19937_64::new(seed));
        let subnet = Arc::new(Subnet::new());
        subnet.add_chain(CHAIN);
        Self {
            id,
            seed,
            vm: Arc::new(ChangeNotifier::new(vm.clone())),
            clock: clock.clone(),
            db: db.clone(),
            validators,
            peers,
            startup,
            peer_tracker: Arc::new(PeerTracker::new(config, source, clock.now())),
            subnet,
            state_syncing: StateSyncing::default(),
        }
    }

    fn sampler(&self) -> SubnetSampler {
        let source = Box::new(Mt19937::new(self.seed));
        SubnetSampler::new(self.validators.clone(), SUBNET, self.peers.clone(), source)
    }

    fn snowman(&self) -> Snowman {
        Snowman::new(snowman::Config {
            subnet: SUBNET,
            node: self.id,
            vm: self.vm.clone(),
            clock: self.clock.clone(),
            getter: GetterConfig::default(),
            params: Parameters::default(),
            validators: self.validators.clone(),
            peers: self.peers.clone(),
            state_syncing: self.state_syncing.clone(),
            partial_sync: false,
            hash_seed: self.seed,
        })
        .unwrap()
    }

    fn bootstrapper(&self) -> Bootstrapper {
        Bootstrapper::new(bootstrap::Config {
            chain: CHAIN,
            subnet: SUBNET,
            node: self.id,
            vm: self.vm.clone(),
            clock: self.clock.clone(),
            getter: GetterConfig::default(),
            db: Arc::new(self.db.clone()),
            beacons: self.validators.clone(),
            sample_size: 20,
            startup: self.startup.clone(),
            tracker: self.subnet.clone(),
            peers: self.peer_tracker.clone(),
            ancestors_max: ANCESTORS_RECEIVED_MAX,
            state_syncing: self.state_syncing.clone(),
            checkpoints: Vec::new(),
            trusted_parser: None,
            bootstrapped: None,
            source: Box::new(Mt19937_64::new(self.seed)),
        })
    }

    fn syncer(&self) -> StateSyncer {
        StateSyncer::new(syncer::Config {
            subnet: SUBNET,
            vm: self.vm.clone(),
            clock: self.clock.clone(),
            getter: GetterConfig::default(),
            beacons: Beacons::new(self.validators.clone(), SUBNET, 20).unwrap(),
            sampler: Box::new(self.sampler()),
            startup: self.startup.clone(),
            state_syncing: self.state_syncing.clone(),
        })
    }

    fn gears(&self, follows: Follows) -> Gears {
        let mut gears = Gears::only(Box::new(Traced::new(self.snowman())));
        if follows != Follows::Votes {
            gears.bootstrapper = Some(Box::new(Traced::new(self.bootstrapper())));
        }
        if follows == Follows::Syncs {
            gears.state_syncer = Some(Box::new(Traced::new(self.syncer())));
        }
        gears
    }
}

fn version() -> Application {
    Application { name: "test".into(), major: 1, ..Application::default() }
}

impl Node {
    pub(crate) fn new(
        index: u8,
        link: Link,
        vm: Arc<TestVm>,
        db: MemoryDb,
        follows: Follows,
    ) -> Self {
        let (id, clock) = (node_id(index), link.clock.clone());
        let parts = Parts::new(id, &vm, &db, &clock);
        let config = RouterConfig::new(id, version(), parts.seed);
        let router = Arc::new(Mutex::new(Router::new(config, clock.now()).unwrap()));
        let inbox = Arc::new(Inbox::new(InboxLimits::default(), Halter::default()));
        let (route_inbox, admission) = (inbox.clone(), Arc::new(AdmitAll));
        let route = Route { subnet: SUBNET, inbox: route_inbox, admission };
        router.lock().add_chain(CHAIN, route);
        let port = Port::new(CHAIN, SUBNET, router.clone(), Arc::new(link), clock.clone());
        let (events, notes) = (Events::default(), Arc::new(Mutex::new(Vec::new())));
        let chain = Chain::new(ChainParts {
            id: CHAIN,
            config: ChainConfig::default(),
            vm: parts.vm.clone(),
            events: events.clone(),
            gears: parts.gears(follows),
            inbox,
            sender: Arc::new(port),
            sampler: Box::new(parts.sampler()),
            peers: parts.peers.clone(),
            peer_tracker: Some(parts.peer_tracker.clone()),
            preemption: parts.subnet.all_bootstrapped(),
            commit: Box::new(Uncommitted),
            output: Box::new(Notes(notes.clone(), clock)),
        });
        let state_syncing = parts.state_syncing;
        Self { id, router, chain, vm, db, events, state_syncing, notes }
    }

    /// A peer is here.
    pub(crate) fn connected(&self, peer: NodeId) {
        self.router.lock().connected(peer, &version(), SUBNET);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let router = self.router.lock().poll_timeout();
        [router, self.chain.poll_timeout()].into_iter().flatten().min()
    }

    pub(crate) fn run(&mut self, clock: &ManualClock) {
        let now = clock.now();
        self.router.lock().handle_timeout(now);
        for job in std::iter::from_fn(|| self.chain.app_jobs().next(now)) {
            job.run();
        }
        while self.chain.turn(now, clock.wall()) == Progress::More {}
    }

    /// The gears that took charge, in order.
    pub(crate) fn gears(&self) -> Vec<String> {
        let notes = self.notes.lock();
        let gears = notes.iter().filter_map(|note| note.split_once(" gear "));
        gears.map(|(_, gear)| gear.to_owned()).collect()
    }

    pub(crate) fn bootstrapper(&self) -> &Bootstrapper {
        let gear =
            self.chain.gear_as::<Traced<Bootstrapper>>(sastrugi_engine::chain::Gear::Bootstrapper);
        gear.unwrap().inner()
    }
}
