//! B8: two nodes over loopback, both ends in one process.
//!
//! The reference starts bare peers and sends messages that were encoded once. Here the whole
//! network is at work: each message is encoded when it is sent, nodes are looked up, sends and
//! receipts are counted, and each frame asks for its admission, under limits that are never
//! reached. A handshake includes the start of a network with its socket, and its end.

#![expect(clippy::expect_used, reason = "a benchmark that cannot work must end")]

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use sastrugi_benchkit::{Outcome, SplitMix64, Suite};
use sastrugi_crypto::{Identity, bls};
use sastrugi_net::{Inbox, Membership, Network, NetworkConfig, NetworkParts, Permit};
use sastrugi_types::{
    Id, NodeId, RequestId, WallTime,
    message::{Chits, Inbound, Outbound, Payload, Request, Response},
    sampler::Mt19937_64,
    version::Application,
};
use sastrugi_wire::{
    Codec, Compression, Message,
    peer::Registration,
    throttle::{OutboundLimits, Stake, Stakes},
};
use tokio::runtime::{Handle, Runtime};

const HANDSHAKES: u64 = 200;
const ROUND_TRIPS: usize = 5_000;
const REPS: usize = 7;
const LIMIT: Duration = Duration::from_mins(1);

struct Nobody;

impl Stakes for Nobody {
    fn stake(&self, _node: NodeId) -> Stake {
        Stake::default()
    }
}

impl Membership for Nobody {
    fn is_validator(&self, _subnet: Id, _node: NodeId) -> bool {
        false
    }

    fn validators(&self, _subnet: Id) -> usize {
        0
    }

    fn registration(&self, _node: NodeId) -> Option<Registration> {
        None
    }
}

/// What an end does with messages.
enum Reaction {
    /// Answers each with this.
    Answer(OnceLock<Weak<Network>>, Outbound),
    /// Wakes the benchmark after every so many.
    WakeEvery(u64),
}

/// One end: wakes the benchmark upon connections and as told upon messages.
struct End {
    reaction: Reaction,
    messages: AtomicU64,
    connections: SyncSender<()>,
    woken: SyncSender<()>,
}

impl Inbox for End {
    fn connected(&self, _node: NodeId, _application: &Application, _subnets: &BTreeSet<Id>) {
        let _ = self.connections.try_send(());
    }

    fn disconnected(&self, _node: NodeId) {
        let _ = self.connections.try_send(());
    }

    fn inbound(&self, message: Inbound, _permit: Permit) {
        match &self.reaction {
            Reaction::Answer(network, answer) => {
                if let Some(network) = network.get().and_then(Weak::upgrade) {
                    network.send(answer, &BTreeSet::from([message.from]), Id::EMPTY);
                }
            }
            Reaction::WakeEvery(count) => {
                if (self.messages.fetch_add(1, Relaxed) + 1).is_multiple_of(*count) {
                    let _ = self.woken.try_send(());
                }
            }
        }
    }
}

struct Node {
    network: Arc<Network>,
    end: Arc<End>,
    connections: Receiver<()>,
    woken: Receiver<()>,
}

fn identity(seed: u8) -> Arc<Identity> {
    let now = WallTime::from_unix_secs(1_700_000_000);
    Arc::new(Identity::generate(&mut |bytes| bytes.fill(seed), now).expect("an identity"))
}

/// Limits that are never reached.
fn config() -> NetworkConfig {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = NetworkConfig::of_network(12_345, listen, listen.ip());
    config.peer.compression = Compression::None;
    config.inbound.messages_max = 1 << 20;
    config.inbound.bytes_max = u32::MAX as usize;
    config.inbound.bytes_per_second = u32::MAX;
    config.inbound.burst_bytes = u32::MAX;
    let all = 1 << 40;
    config.outbound =
        OutboundLimits { validator_bytes: all, at_large_bytes: all, node_at_large_bytes_max: all };
    config.dial.per_second = 0;
    config
}

impl Node {
    fn start(identity: &Arc<Identity>, reaction: Reaction, runtime: &Handle) -> Self {
        let (woken_sender, woken) = sync_channel(1);
        let (connections_sender, connections) = sync_channel(16);
        let end = Arc::new(End {
            reaction,
            messages: AtomicU64::new(0),
            connections: connections_sender,
            woken: woken_sender,
        });
        let parts = NetworkParts {
            identity: Arc::clone(identity),
            bls: Arc::new(bls::SecretKey::generate(&[1; 32]).expect("a key")),
            membership: Arc::new(Nobody),
            inbox: Arc::clone(&end) as _,
            random: Box::new(Mt19937_64::new(1)),
            runtime: runtime.clone(),
        };
        let network = Arc::new(Network::start(config(), parts).expect("a network"));
        if let Reaction::Answer(itself, _) = &end.reaction {
            itself.get_or_init(|| Arc::downgrade(&network));
        }
        Self { network, end, connections, woken }
    }

    /// Waits for a connection, or for the end of one.
    fn await_change(&self) {
        self.connections.recv_timeout(LIMIT).expect("a connection begins or ends");
    }
}

/// Two nodes that are connected, of which the first gets this reaction.
struct Link {
    one: Node,
    two: Node,
}

impl Link {
    fn new(bench: &Bench, one: Reaction, two: Reaction) -> Self {
        let [first, second] = &bench.identities;
        let one = Node::start(first, one, bench.runtime.handle());
        let two = Node::start(second, two, bench.runtime.handle());
        one.network.track(two.network.node(), two.network.address());
        one.await_change();
        two.await_change();
        Self { one, two }
    }

    fn close(self) {
        for node in [self.one, self.two] {
            node.network.close();
            assert!(node.network.wait_closed(LIMIT), "closed");
            drop(node.end);
        }
    }
}

struct Bench {
    runtime: Runtime,
    identities: [Arc<Identity>; 2],
    chain: Id,
    block: Id,
}

impl Bench {
    fn message(&self, payload: Payload) -> Outbound {
        Outbound { chain: self.chain, payload }
    }

    fn chits(&self) -> Outbound {
        let chits = Chits {
            preferred: self.block,
            preferred_at_height: self.block,
            accepted: self.block,
            accepted_height: 7,
        };
        self.message(Payload::Response { id: RequestId(1), response: Response::Chits(chits) })
    }

    fn query(&self, request: Request) -> Outbound {
        let deadline = Duration::from_secs(2);
        self.message(Payload::Request { id: RequestId(1), deadline, request })
    }

    fn handshake(&self, suite: &mut Suite) {
        suite.run("B8-handshake", "ns/handshake", REPS, |meter| {
            let [first, second] = &self.identities;
            let handle = self.runtime.handle();
            let two = Node::start(second, Reaction::WakeEvery(1), handle);
            meter.start();
            for _ in 0..HANDSHAKES {
                let one = Node::start(first, Reaction::WakeEvery(1), handle);
                one.network.track(two.network.node(), two.network.address());
                one.await_change();
                two.await_change();
                one.network.close();
                two.await_change();
                assert!(one.network.wait_closed(LIMIT), "closed");
            }
            meter.stop();
            two.network.close();
            Outcome::new(HANDSHAKES, HANDSHAKES)
        });
    }

    fn round_trips(&self, suite: &mut Suite) {
        suite.run("B8-rtt", "ns/roundtrip", REPS, |meter| {
            let answer = Reaction::Answer(OnceLock::new(), self.chits());
            let link = Link::new(self, Reaction::WakeEvery(1), answer);
            let pull = Request::PullQuery { container: self.block, requested_height: 7 };
            let pull = self.query(pull);
            let to = BTreeSet::from([link.two.network.node()]);
            let mut latencies = Vec::with_capacity(ROUND_TRIPS);
            meter.start();
            for _ in 0..ROUND_TRIPS {
                let start = Instant::now();
                link.one.network.send(&pull, &to, Id::EMPTY);
                link.one.woken.recv_timeout(LIMIT).expect("chits");
                latencies.push(start.elapsed().as_nanos() as f64);
            }
            meter.stop();
            link.close();
            latencies.sort_by(f64::total_cmp);
            Outcome::new(ROUND_TRIPS as u64, ROUND_TRIPS as u64)
                .with("p50", latencies[ROUND_TRIPS / 2])
                .with("p99", latencies[ROUND_TRIPS * 99 / 100])
        });
    }

    fn stream(&self, suite: &mut Suite, id: &str, message: &Outbound, count: u64) {
        suite.run(id, "ns/msg", REPS, |meter| {
            let link = Link::new(self, Reaction::WakeEvery(1), Reaction::WakeEvery(count));
            let to = BTreeSet::from([link.two.network.node()]);
            meter.start();
            for _ in 0..count {
                let sent = link.one.network.send(message, &to, Id::EMPTY);
                assert!(!sent.is_empty(), "queued");
            }
            link.two.woken.recv_timeout(LIMIT).expect("the last message");
            meter.stop();
            link.close();
            let encoded =
                Codec::default().encode(&Message::from(message.clone()), Compression::None);
            Outcome::new(count, encoded.expect("a message").bytes.len() as u64)
        });
    }
}

fn main() {
    let mut suite = Suite::from_args();
    let mut rng = SplitMix64::new(8);
    let bench = Bench {
        runtime: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime"),
        identities: [identity(1), identity(2)],
        chain: Id(rng.array()),
        block: Id(rng.array()),
    };
    bench.handshake(&mut suite);
    bench.round_trips(&mut suite);
    bench.stream(&mut suite, "B8-stream-chits", &bench.chits(), 50_000);
    for (name, size, count) in
        [("2k", 2_048, 20_000), ("64k", 65_536, 2_000), ("1600k", 1_638_400, 100)]
    {
        let container = SplitMix64::new(8).bytes(size).into();
        let push = bench.query(Request::PushQuery { container, requested_height: 7 });
        bench.stream(&mut suite, &format!("B8-stream-{name}"), &push, count);
    }
}
