//! Replays `traces/peer.jsonl`: one peer, the other end of its connection scripted.
//!
//! Differences from upstream that the traces show and that are meant: what a failed handshake
//! leaves behind is not compared, since nothing is left.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trace that is not as expected must fail the test"
)]

#[path = "p2p/fields.rs"]
mod fields;
#[path = "peer/identity.rs"]
mod identity;
#[path = "peer/log.rs"]
mod log;
#[path = "peer/network.rs"]
mod network;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_conformance::{Fields, traces};
use sastrugi_crypto::{Certificate, Identity, Signer, bls};
use sastrugi_types::{
    Id, Instant, NodeId, WallTime,
    version::{Application, Compatibility},
};
use sastrugi_wire::{
    Codec, Encoded, Op, Peer,
    message::BloomFilter,
    peer::{Direction, Now, Outbox, PeerConfig, Stage},
    signed_ip::{ClaimedIp, IpClaim, IpSigner, address_from_wire, address_to_16},
    throttle::{OutboundLimits, OutboundThrottler, Stake, Stakes},
};
use serde_json::{Map, Value};

use network::{Scripted, reencode, registration};

#[test]
fn peer() {
    let mut traces = traces("peer").into_iter();
    let mut head = traces.next().unwrap();
    assert_eq!(head.take::<String>("kind"), "head");
    head.skip("seed");
    let identities = Rc::new(Identities::read(head.list("identities")));
    let defaults: Map<String, Value> = head.take("defaults");
    head.finish();
    let mut replayed = 0;
    for trace in traces {
        replay(trace, &defaults, &identities);
        replayed += 1;
    }
    assert!(replayed > 300, "{replayed}");
}

fn replay(mut trace: Fields, defaults: &Map<String, Value>, identities: &Rc<Identities>) {
    assert_eq!(trace.take::<String>("kind"), "trace");
    trace.skip("name");
    let name = trace.name.clone();
    let mut config = defaults.clone();
    config.extend(trace.take::<Map<String, Value>>("config"));
    let steps = trace.list("steps");
    let mut run = Run::start(&name, Fields::of(&name, Value::Object(config)), &steps, identities);
    for step in steps {
        run.step(step);
    }
    let reads = run.remote_reads;
    let closed_at_ms: Option<u64> = trace.maybe("closed_at_ms");
    assert_eq!(run.closed_at_ms.filter(|_| reads), closed_at_ms, "{name}");
    run.check_peer(trace.nested("peer"));
    trace.finish();
}

/// The named identities of the head.
#[derive(Debug)]
pub(crate) struct Identities(BTreeMap<String, (Arc<Identity>, Arc<bls::SecretKey>)>);

impl Identities {
    fn read(list: Vec<Fields>) -> Self {
        Self(list.into_iter().map(Self::read_one).collect())
    }

    fn read_one(mut it: Fields) -> (String, (Arc<Identity>, Arc<bls::SecretKey>)) {
        let key: String = it.take("tls_key");
        let identity = identity::from_der_and_pem(&it.bytes("cert"), &key);
        let secret = bls::SecretKey::from_bytes(&it.bytes("bls_secret_key")).unwrap();
        assert_eq!(secret.public_key().to_compressed()[..], it.bytes("bls_public_key"));
        assert_eq!(identity.node_id().0[..], it.bytes("node_id"));
        let name = it.take("name");
        it.finish();
        (name, (Arc::new(identity), Arc::new(secret)))
    }

    fn certificate(&self, name: &str) -> &Certificate {
        self.0[name].0.certificate()
    }

    pub(crate) fn node(&self, name: &str) -> NodeId {
        self.certificate(name).node_id()
    }

    /// A claim to be told, as the traces write it.
    pub(crate) fn claim(&self, mut it: Fields) -> ClaimedIp {
        let node: String = it.take("node");
        let claimed = ClaimedIp {
            certificate: self.certificate(&node).clone(),
            claim: claim(&mut it),
            tls_signature: it.bytes("signature").into(),
        };
        assert_eq!(claimed.gossip_id().0[..], it.bytes("gossip_id"), "{}", it.name);
        it.finish();
        claimed
    }

    /// Fails unless a claim that was told is this one. A node without a name comes
    /// with ID and certificate.
    pub(crate) fn check_claim(&self, told: &ClaimedIp, mut it: Fields) {
        let node: String = it.take("node");
        if let Some((identity, _)) = self.0.get(&node) {
            assert_eq!(told.certificate, *identity.certificate(), "{}", it.name);
        } else {
            assert_eq!(const_hex::encode(told.node_id().0), node, "{}", it.name);
            assert_eq!(told.certificate.der(), it.bytes("cert"), "{}", it.name);
        }
        assert_eq!(told.claim, claim(&mut it), "{}", it.name);
        assert_eq!(told.tls_signature, it.bytes("signature"), "{}", it.name);
        assert_eq!(told.gossip_id().0[..], it.bytes("gossip_id"), "{}", it.name);
        it.finish();
    }
}

/// The part of a claim that is signed.
fn claim(it: &mut Fields) -> IpClaim {
    let address = address(&it.bytes("addr"), it.take("port"));
    IpClaim { address, timestamp: it.u64("timestamp") }
}

fn address(sixteen: &[u8], port: u16) -> SocketAddr {
    SocketAddr::new(address_from_wire(sixteen).unwrap(), port)
}

#[derive(Debug)]
struct NoStake;

impl Stakes for NoStake {
    fn stake(&self, _: NodeId) -> Stake {
        Stake::default()
    }
}

/// One trace on its way.
struct Run {
    network: Scripted,
    peer: Option<Peer>,
    prepared: Option<Prepared>,
    outbox: Outbox,
    is_beacon: bool,
    remote_reads: bool,
    start: WallTime,
    now_ms: u64,
    closed_at_ms: Option<u64>,
    out: Vec<(u64, Encoded)>,
    state: Map<String, Value>,
}

/// What starting the peer takes.
struct Prepared {
    config: PeerConfig,
    direction: Direction,
    address: SocketAddr,
}

impl Run {
    fn start(name: &str, mut it: Fields, steps: &[Fields], identities: &Rc<Identities>) -> Self {
        let start = WallTime(it.take::<String>("start_ns").parse().unwrap());
        let direction = if it.take("ingress") { Direction::Ingress } else { Direction::Egress };
        let own: [u8; 16] = it.bytes("my_addr").try_into().unwrap();
        let own = IpAddr::from(Ipv6Addr::from(own));
        let own = if sends_as_16(steps) { own } else { own.to_canonical() };
        let address = SocketAddr::new(own, it.take("my_port"));
        let limits: [String; 3] = it.take("out_limits");
        let [validator_bytes, at_large_bytes, node_at_large_bytes_max] =
            limits.map(|text| text.parse().unwrap());
        let limits = OutboundLimits { validator_bytes, at_large_bytes, node_at_large_bytes_max };
        let throttler = Arc::new(Mutex::new(OutboundThrottler::new(limits)));
        let network = Scripted {
            identities: Rc::clone(identities),
            now_ms: 0,
            allow: it.take("allow"),
            known: BloomFilter {
                filter: it.bytes("known_filter").into(),
                salt: it.bytes("known_salt").into(),
            },
            we_validate: it.take("we_validate"),
            registration: registration(it.take("remote_validator")),
            uptime: Some(it.take("uptime")),
            peers_reply: claims(it.list("peers_reply"), identities),
            track_error: it.take("track_error"),
            calls: Vec::new(),
            facts: Vec::new(),
        };
        let mut run = Self {
            network,
            peer: None,
            prepared: None,
            outbox: Outbox::new(identities.node("remote"), throttler, Arc::new(NoStake)),
            is_beacon: it.take("remote_beacon"),
            remote_reads: it.take("remote_reads"),
            start,
            now_ms: 0,
            closed_at_ms: None,
            out: Vec::new(),
            state: Map::new(),
        };
        if it.take("uptime_error") {
            run.network.uptime = None;
        }
        run.prepared = Some(Prepared { config: config(&mut it), direction, address });
        assert!(it.keys().is_empty(), "{name}: unread {:?}", it.keys());
        run
    }

    fn now(&self) -> Now {
        let passed = Duration::from_millis(self.now_ms);
        Now { instant: Instant::ZERO + passed, wall: self.start + passed }
    }

    fn peer(&mut self) -> (&mut Peer, &mut Scripted) {
        (self.peer.as_mut().unwrap(), &mut self.network)
    }

    fn step(&mut self, mut step: Fields) {
        let name = step.name.clone();
        step.skip("note");
        match step.take::<String>("do").as_str() {
            "start" => self.begin(),
            "bytes" => {
                let (bytes, now) = (step.bytes("bytes"), self.now());
                let (peer, network) = self.peer();
                peer.handle_bytes(now, &bytes, network);
            }
            "advance" => self.advance(step.take("ms")),
            "send" => self.send(&mut step),
            "get_peer_list" => {
                let (peer, network) = self.peer();
                peer.send_get_peer_list(network);
            }
            "set" => self.set(step.take::<String>("key").as_str(), step.take("value")),
            "start_close" => {
                let (peer, network) = self.peer();
                peer.shut_down(network);
            }
            "remote_close" => {
                let (peer, network) = self.peer();
                peer.handle_end(network);
            }
            other => panic!("{name}: unknown step {other}"),
        }
        self.drain();
        assert_eq!(self.now_ms, step.take::<u64>("now_ms"), "{name}");
        self.check_results(&mut step);
        step.finish();
    }

    fn begin(&mut self) {
        let Prepared { config, direction, address } = self.prepared.take().unwrap();
        let identities = Rc::clone(&self.network.identities);
        let (tls, bls) = identities.0["me"].clone();
        let now = self.now();
        let ip = IpSigner::new(tls, bls).signed_ip(address, now.wall).unwrap();
        let certificate = identities.certificate("remote").clone();
        self.peer = Some(Peer::start(
            Arc::new(config),
            certificate,
            direction,
            self.outbox.clone(),
            &ip,
            now,
            &mut self.network,
        ));
        if !self.remote_reads {
            // Upstream's buffered writer takes the handshake and then waits for the remote.
            assert!(self.peer.as_mut().unwrap().poll_output(now).is_some());
        }
    }

    fn advance(&mut self, ms: u64) {
        let target = self.now_ms + ms;
        loop {
            let (peer, _) = self.peer();
            let next = peer.poll_timeout().map(|at| at.0.div_ceil(1_000_000));
            let Some(next) = next.filter(|next| *next <= target) else { break };
            self.now_ms = next;
            self.network.now_ms = next;
            let now = self.now();
            let (peer, network) = self.peer();
            peer.handle_timeout(now, network);
            self.drain();
        }
        self.now_ms = target;
        self.network.now_ms = target;
    }

    fn send(&mut self, step: &mut Fields) {
        let op: String = step.take("op");
        let op = Op::ALL.into_iter().find(|it| it.label() == op).unwrap();
        let bypass_throttling = step.take("bypass_throttling");
        let bytes = Bytes::from(step.bytes("message"));
        let message = Encoded { bytes, op, bytes_saved: 0, bypass_throttling };
        let (peer, network) = self.peer();
        let accepted = peer.send(message, network);
        assert_eq!(accepted, step.take::<bool>("accepted"), "{}", step.name);
    }

    fn set(&mut self, key: &str, value: Value) {
        match key {
            "allow" => self.network.allow = value.as_bool().unwrap(),
            "we_validate" => self.network.we_validate = value.as_bool().unwrap(),
            "remote_validator" => self.network.registration = registration(value),
            "known" => {
                let [filter, salt]: [String; 2] = serde_json::from_value(value).unwrap();
                let [filter, salt] = [filter, salt].map(|it| const_hex::decode(it).unwrap().into());
                self.network.known = BloomFilter { filter, salt };
            }
            "peers_reply" => {
                let list: Vec<Value> = serde_json::from_value(value).unwrap();
                let list = list.into_iter().map(|it| Fields::of("claim", it)).collect();
                self.network.peers_reply = claims(list, &self.network.identities);
            }
            other => panic!("unknown setting {other}"),
        }
    }

    /// The remote takes what there is, and it is noted when the peer closed.
    fn drain(&mut self) {
        let now = self.now();
        if self.remote_reads {
            let peer = self.peer.as_mut().unwrap();
            while let Some(message) = peer.poll_output(now) {
                self.out.push((self.now_ms, message));
            }
            peer.handle_flushed();
        }
        if self.peer.as_ref().unwrap().closed().is_some() {
            self.closed_at_ms.get_or_insert(self.now_ms);
        }
    }

    fn check_results(&mut self, step: &mut Fields) {
        let name = step.name.clone();
        let out = std::mem::take(&mut self.out);
        let expected = step.list("out");
        assert_eq!(out.len(), expected.len(), "{name}: {out:?}");
        for ((at_ms, message), expected) in out.into_iter().zip(expected) {
            check_output(at_ms, &message, expected);
        }
        let calls = std::mem::take(&mut self.network.calls);
        let expected = step.list("calls");
        assert_eq!(calls.len(), expected.len(), "{name}: {calls:?}");
        for ((at_ms, call), expected) in calls.into_iter().zip(expected) {
            call.check(at_ms, expected, &self.network.identities);
        }
        let mut facts = std::mem::take(&mut self.network.facts);
        facts.retain(|(_, fact)| log::has_entry(fact));
        let expected = step.list("log");
        assert_eq!(facts.len(), expected.len(), "{name}: {facts:?} against {expected:?}");
        for ((at_ms, fact), expected) in facts.into_iter().zip(expected) {
            log::check(&fact, self.is_beacon, at_ms, expected);
        }
        self.state.extend(step.or_default::<Map<String, Value>>("state"));
        assert_eq!(self.state(), self.state, "{name}");
    }

    fn state(&self) -> Map<String, Value> {
        let peer = self.peer.as_ref().unwrap();
        let is_closed = peer.closed().is_some();
        let state = serde_json::json!({
            "closed": is_closed,
            "closing": is_closed && peer.outbox().is_closed(),
            "got_handshake": peer.stage() >= Stage::Greeted,
            "ingress_count": u32::from(peer.counts_as_ingress()),
            "last_received": peer.last_received().unix_secs().to_string(),
            "last_sent": peer.last_sent().unix_secs().to_string(),
            "observed_uptime": peer.observed_uptime(),
            "ping_outstanding": peer.is_ping_outstanding(),
            "ready": peer.stage() == Stage::Ready,
        });
        let Value::Object(state) = state else { unreachable!() };
        state
    }

    fn check_peer(&self, mut it: Fields) {
        let peer = self.peer.as_ref().unwrap();
        let tx = Id(it.bytes("verified_bls_tx").try_into().unwrap());
        assert_eq!(peer.verified_registration(), tx, "{}", it.name);
        let info_version: Option<String> = it.maybe("info_version");
        let info = peer.info().map(|info| info.application.to_string());
        assert_eq!(info, info_version, "{}", it.name);
        let keys =
            ["ip", "version", "upgrade_time", "tracked_subnets", "supported_acps", "objected_acps"];
        let Some(remote) = peer.remote() else {
            assert_eq!(peer.stage(), Stage::Started, "{}", it.name);
            for key in keys {
                it.skip(key);
            }
            return it.finish();
        };
        let mut ip = it.nested("ip");
        let claim = remote.ip.claim;
        assert_eq!(address_to_16(claim.address.ip())[..], ip.bytes("addr"), "{}", it.name);
        assert_eq!(claim.address.port(), ip.take::<u16>("port"), "{}", it.name);
        assert_eq!(claim.address.to_string(), ip.take::<String>("text"), "{}", it.name);
        assert_eq!(claim.timestamp, ip.u64("timestamp"), "{}", it.name);
        ip.finish();
        assert_eq!(remote.application, application(it.nested("version")), "{}", it.name);
        assert_eq!(remote.upgrade_time, it.u64("upgrade_time"), "{}", it.name);
        assert_eq!(remote.tracked_subnets, ids(it.take("tracked_subnets")), "{}", it.name);
        assert_eq!(remote.supported_acps, it.take("supported_acps"), "{}", it.name);
        assert_eq!(remote.objected_acps, it.take("objected_acps"), "{}", it.name);
        it.finish();
    }
}

/// Tag of the member of the outer message that holds compressed content.
const ZSTD: u8 = 2 << 3 | 2;

fn check_output(at_ms: u64, message: &Encoded, mut it: Fields) {
    let name = it.name.clone();
    assert_eq!(at_ms, it.take::<u64>("at_ms"), "{name}: {message:?}");
    assert_eq!(message.op.label(), it.take::<String>("op"), "{name}");
    assert_eq!(message.bytes[0] == ZSTD, it.take::<bool>("zstd"), "{name}");
    let decoded = Codec::default().decode(&message.bytes).unwrap().message;
    let expected = fields::message(message.op.label(), it.nested("fields"));
    assert_eq!(reencode(&decoded), expected, "{name}");
    it.finish();
}

/// Whether the own address, which the traces give in 16 bytes, was not unmapped before.
fn sends_as_16(steps: &[Fields]) -> bool {
    let mut first = steps[0].clone();
    let mut out = first.list("out");
    out.first_mut().is_some_and(|it| it.nested("fields").bytes("ip_addr").len() == 16)
}

fn config(it: &mut Fields) -> PeerConfig {
    let current = application(it.nested("version"));
    let compatibility = Compatibility {
        current: current.version(),
        minimum_before: application(it.nested("min_before_upgrade")).version(),
        minimum_after: application(it.nested("min_after_upgrade")).version(),
        upgrade_time: WallTime::from_unix_secs(it.u64("upgrade_time") as i64),
    };
    let config = PeerConfig {
        network_id: it.take("network_id"),
        client_name: current.name,
        compatibility,
        tracked_subnets: ids(it.take("my_subnets")),
        supported_acps: it.take("supported_acps"),
        objected_acps: it.take("objected_acps"),
        current_acps: it.take("current_acps"),
        connect_to_all_validators: it.take("connect_to_all"),
        ping_period: Duration::from_millis(it.take("ping_ms")),
        timeout: Duration::from_millis(it.take("timeout_ms")),
        ready_timeout: None,
        clock_difference_max: Duration::from_millis(it.take("max_clock_diff_ms")),
        ..PeerConfig::of_network(1)
    };
    assert_eq!(config.check(), Ok(()));
    config
}

fn application(mut it: Fields) -> Application {
    let (major, minor, patch) = (it.take("major"), it.take("minor"), it.take("patch"));
    let application = Application { name: it.take("name"), major, minor, patch };
    it.finish();
    application
}

fn claims(list: Vec<Fields>, identities: &Identities) -> Vec<ClaimedIp> {
    list.into_iter().map(|it| identities.claim(it)).collect()
}

fn ids(list: Vec<String>) -> BTreeSet<Id> {
    list.into_iter().map(|hex| Id(const_hex::decode(hex).unwrap().try_into().unwrap())).collect()
}
