//! Nodes over loopback, all on one runtime, and an inbox that writes down what it hears.

mod loopback;
mod raw_peer;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    thread::sleep,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_crypto::{Identity, bls};
use sastrugi_types::{
    Id, NodeId, WallTime,
    message::{Gossip, Inbound, Outbound, Payload},
    sampler::{Mt19937_64, Source as _},
    version::Application,
};
use sastrugi_wire::{
    peer::Registration,
    throttle::{Stake, Stakes},
};
use tokio::runtime::Runtime;

use crate::{Inbox, Membership, Network, NetworkConfig, NetworkParts, Permit, StartError};

const NETWORK_ID: u32 = 1337;
const CHAIN: Id = Id([7; 32]);
/// Against hanging; nothing should take a tenth of it.
const LIMIT: Duration = Duration::from_mins(1);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What an inbox heard.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Connected(NodeId, BTreeSet<Id>),
    Disconnected(NodeId),
    Message(Inbound),
}

#[derive(Default)]
struct Diary {
    heard: Mutex<Vec<Heard>>,
    /// Permits of messages, when they are kept.
    kept: Mutex<Option<Vec<Permit>>>,
}

impl Inbox for Diary {
    fn connected(&self, node: NodeId, application: &Application, subnets: &BTreeSet<Id>) {
        assert_eq!(application.to_string(), "avalanchego/1.14.2");
        self.heard.lock().push(Heard::Connected(node, subnets.clone()));
    }

    fn disconnected(&self, node: NodeId) {
        self.heard.lock().push(Heard::Disconnected(node));
    }

    fn inbound(&self, message: Inbound, permit: Permit) {
        self.heard.lock().push(Heard::Message(message));
        if let Some(kept) = &mut *self.kept.lock() {
            kept.push(permit);
        }
    }
}

impl Diary {
    fn messages(&self) -> Vec<Inbound> {
        let heard = self.heard.lock();
        let messages = heard.iter().filter_map(|heard| match heard {
            Heard::Message(message) => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    }

    fn count(&self, wanted: &Heard) -> usize {
        self.heard.lock().iter().filter(|heard| *heard == wanted).count()
    }
}

/// Some validate, and nobody has stake.
#[derive(Default)]
struct Members(BTreeSet<NodeId>);

impl Stakes for Members {
    fn stake(&self, _node: NodeId) -> Stake {
        Stake::default()
    }
}

impl Membership for Members {
    fn is_validator(&self, _subnet: Id, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    fn validators(&self, _subnet: Id) -> usize {
        self.0.len()
    }

    fn registration(&self, _node: NodeId) -> Option<Registration> {
        None
    }
}

struct Node {
    network: Network,
    diary: Arc<Diary>,
}

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut |bytes| bytes.fill(seed), WallTime::from_unix_secs(1_700_000_000))
        .unwrap()
}

fn config() -> NetworkConfig {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = NetworkConfig::of_network(NETWORK_ID, listen, listen.ip());
    config.dial.delay_initial = Duration::from_millis(20);
    config.dial.delay_max = Duration::from_millis(500);
    config
}

fn parts(seed: u8, members: Members, diary: &Arc<Diary>) -> NetworkParts {
    NetworkParts {
        identity: Arc::new(identity(seed)),
        bls: Arc::new(bls::SecretKey::generate(&[seed; 32]).unwrap()),
        membership: Arc::new(members),
        inbox: Arc::clone(diary) as _,
        random: Box::new(Mt19937_64::new(seed.into())),
        runtime: RUNTIME.handle().clone(),
    }
}

impl Node {
    fn try_start(seed: u8, config: NetworkConfig) -> Result<Self, StartError> {
        let diary = Arc::default();
        let network = Network::start(config, parts(seed, Members::default(), &diary))?;
        Ok(Self { network, diary })
    }

    fn start(seed: u8) -> Self {
        Self::try_start(seed, config()).unwrap()
    }

    fn id(&self) -> NodeId {
        self.network.node()
    }

    /// Dials another node.
    fn track(&self, other: &Self) {
        self.network.track(other.id(), other.network.address());
    }

    fn send(&self, to: &Self, bytes: impl Into<Bytes>) -> bool {
        let nodes = BTreeSet::from([to.id()]);
        self.network.send(&gossip(bytes), &nodes, Id::EMPTY) == nodes
    }
}

/// Bytes that do not become fewer.
fn incompressible(words: usize) -> Vec<u8> {
    let mut random = Mt19937_64::new(1);
    (0..words).flat_map(|_| random.next_u64().to_le_bytes()).collect()
}

/// A message with these bytes in it.
fn gossip(bytes: impl Into<Bytes>) -> Outbound {
    let payload = Payload::Gossip(Gossip::App { bytes: bytes.into() });
    Outbound { chain: CHAIN, payload }
}

fn from(node: &Node, message: Outbound) -> Inbound {
    Inbound { from: node.id(), chain: message.chain, payload: message.payload }
}

/// Waits until both ends of a connection are ready.
fn await_connection(one: &Node, other: &Node) {
    await_true("connected", || {
        one.network.is_connected(other.id()) && other.network.is_connected(one.id())
    });
}

fn await_true(what: &str, mut condition: impl FnMut() -> bool) {
    await_some(what, || condition().then_some(()));
}

fn await_some<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not in time: {what}");
        sleep(Duration::from_millis(2));
    }
}
