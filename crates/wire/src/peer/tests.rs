//! The machine by itself, two machines against each other, and hostile input.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use proptest::prelude::*;
use sastrugi_crypto::{Identity, Signer, bls};
use sastrugi_types::{
    RequestId,
    message::{Chits, Payload, Response},
    version::Version,
};

use super::*;
use crate::{
    Codec, Compression, frame,
    message::{BloomFilter, ClaimedIpPort, Client},
    signed_ip::{IpSigner, SignedIp},
    throttle::{OutboundLimits, OutboundThrottler, Stake, Stakes},
};

const START: WallTime = WallTime::from_unix_secs(1_770_000_000);
const NETWORK_ID: u32 = 12_345;

fn at(seconds: f64) -> Now {
    let passed = Duration::from_secs_f64(seconds);
    Now { instant: Instant::ZERO + passed, wall: START + passed }
}

/// A network that says yes to everything and writes down what happens.
#[derive(Debug, Default)]
struct Recorder {
    facts: Vec<Fact>,
    events: Vec<&'static str>,
    inbound: Vec<Inbound>,
    is_refused: bool,
    registration: Option<Registration>,
}

impl Network for Recorder {
    fn allows(&mut self, _: NodeId) -> bool {
        !self.is_refused
    }

    fn known_peers(&mut self) -> BloomFilter {
        empty_filter()
    }

    fn is_validator(&self) -> bool {
        false
    }

    fn registration(&self, _: NodeId) -> Option<Registration> {
        self.registration
    }

    fn uptime(&mut self, _: NodeId) -> Option<f64> {
        Some(0.5)
    }

    fn peers(&mut self, _: PeersRequest<'_>) -> Vec<ClaimedIp> {
        Vec::new()
    }

    fn track(&mut self, _: Vec<ClaimedIp>) -> Result<(), TrackError> {
        self.events.push("track");
        Ok(())
    }

    fn connected(&mut self, _: &Remote) {
        self.events.push("connected");
    }

    fn disconnected(&mut self, _: NodeId, _: bool) {
        self.events.push("disconnected");
    }

    fn inbound(&mut self, message: Inbound) {
        self.events.push("inbound");
        self.inbound.push(message);
    }

    fn observe(&mut self, fact: Fact) {
        self.facts.push(fact);
    }
}

fn empty_filter() -> BloomFilter {
    let filter = Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    BloomFilter { filter, salt: Bytes::new() }
}

#[derive(Debug)]
struct NoStake;

impl Stakes for NoStake {
    fn stake(&self, _: NodeId) -> Stake {
        Stake::default()
    }
}

/// A node with its keys.
struct Node {
    identity: Arc<Identity>,
    ip: SignedIp,
}

impl Node {
    fn new(seed: u8) -> Self {
        let identity = Identity::generate(&mut |bytes| bytes.fill(seed), START).unwrap();
        let identity = Arc::new(identity);
        let bls = Arc::new(bls::SecretKey::generate(&[seed; 32]).unwrap());
        let mut signer = IpSigner::new(Arc::clone(&identity) as Arc<dyn Signer>, bls);
        let ip = signer.signed_ip(([9, 9, 9, seed], 9651).into(), START).unwrap();
        Self { identity, ip }
    }

    fn certificate(&self) -> Certificate {
        self.identity.certificate().clone()
    }

    /// A handshake of this node that is acceptable at the start.
    fn handshake(&self) -> Handshake {
        handshake::greet(&config(), &self.ip, START, empty_filter(), false)
    }
}

fn config() -> PeerConfig {
    PeerConfig::of_network(NETWORK_ID)
}

/// A peer under test, its network and its throttler.
struct Bench {
    peer: Peer,
    network: Recorder,
    throttler: Arc<Mutex<OutboundThrottler>>,
}

const LIMITS: OutboundLimits = OutboundLimits {
    validator_bytes: 0,
    at_large_bytes: 64 << 10,
    node_at_large_bytes_max: 32 << 10,
};

impl Bench {
    /// `us` has a connection from `remote`.
    fn new(us: &Node, remote: &Node, config: PeerConfig) -> Self {
        let throttler = Arc::new(Mutex::new(OutboundThrottler::new(LIMITS)));
        let node = remote.identity.node_id();
        let outbox = Outbox::new(node, Arc::clone(&throttler), Arc::new(NoStake));
        let mut network = Recorder::default();
        let peer = Peer::start(
            Arc::new(config),
            remote.certificate(),
            Direction::Ingress,
            outbox,
            &us.ip,
            at(0.0),
            &mut network,
        );
        Self { peer, network, throttler }
    }

    fn receive(&mut self, now: Now, message: &Message) {
        let message = Codec::default().encode(message, Compression::None).unwrap();
        self.peer.handle_bytes(now, &framed(&message), &mut self.network);
    }

    fn timeout(&mut self, now: Now) {
        self.peer.handle_timeout(now, &mut self.network);
    }

    fn sent(&mut self, now: Now) -> Vec<Op> {
        let ops = std::iter::from_fn(|| self.peer.poll_output(now)).map(|it| it.op).collect();
        self.peer.handle_flushed();
        ops
    }

    /// Brings a fresh peer to a stage.
    fn advance_to(&mut self, stage: Stage, remote: &Node) {
        if stage >= Stage::Greeted {
            self.receive(at(0.0), &Message::Handshake(Box::new(remote.handshake())));
        }
        if stage == Stage::Ready {
            self.receive(at(0.0), &Message::PeerList(PeerList::default()));
        }
        assert_eq!(self.peer.stage(), stage);
        self.sent(at(0.0));
    }
}

fn framed(message: &Encoded) -> Vec<u8> {
    let mut bytes = frame::header(message.bytes.len()).unwrap().to_vec();
    bytes.extend_from_slice(&message.bytes);
    bytes
}

fn chits() -> Message {
    let response = Response::Chits(Chits::default());
    let payload = Payload::Response { id: RequestId(7), response };
    Message::Chain { chain: Id([1; 32]), payload }
}

fn get_peer_list() -> Message {
    Message::GetPeerList(GetPeerList { known_peers: Some(empty_filter()), all_subnets: false })
}

/// Stage, message; stage afterwards, what is sent, what the network hears, what is reported.
type Row = (Stage, Message, Stage, Vec<Op>, Vec<&'static str>, Option<Fact>);

#[test]
fn each_message_in_each_stage() {
    use Stage::{Greeted, Ready, Started};

    let (us, remote) = (Node::new(1), Node::new(2));
    let handshake = Message::Handshake(Box::new(remote.handshake()));
    let peer_list = Message::PeerList(PeerList::default());
    let ping = |uptime| Message::Ping(Ping { uptime });
    let dropped = |op| Some(Fact::Dropped { op, reason: DropReason::NotReady });
    let closing = |reason| Some(Fact::Closing(reason));
    let rows: Vec<Row> = vec![
        (Started, handshake.clone(), Greeted, vec![Op::PeerList], vec![], None),
        (
            Greeted,
            handshake.clone(),
            Greeted,
            vec![],
            vec!["disconnected"],
            closing(CloseReason::SecondHandshake),
        ),
        (
            Ready,
            handshake,
            Ready,
            vec![],
            vec!["disconnected"],
            closing(CloseReason::SecondHandshake),
        ),
        (Started, peer_list.clone(), Started, vec![], vec![], None),
        (Greeted, peer_list.clone(), Ready, vec![], vec!["connected", "track"], None),
        (Ready, peer_list, Ready, vec![], vec!["track"], None),
        (Started, get_peer_list(), Started, vec![], vec![], dropped(Op::GetPeerList)),
        (Greeted, get_peer_list(), Greeted, vec![], vec![], dropped(Op::GetPeerList)),
        (Ready, get_peer_list(), Ready, vec![], vec![], Some(Fact::NothingToTell)),
        (Started, ping(100), Started, vec![Op::Pong], vec![], None),
        (Greeted, ping(100), Greeted, vec![Op::Pong], vec![], None),
        (Ready, ping(101), Ready, vec![], vec!["disconnected"], closing(CloseReason::Uptime(101))),
        (
            Started,
            Message::Pong,
            Started,
            vec![],
            vec!["disconnected"],
            closing(CloseReason::UnexpectedPong),
        ),
        (Started, chits(), Started, vec![], vec![], dropped(Op::Chits)),
        (Greeted, chits(), Greeted, vec![], vec![], dropped(Op::Chits)),
        (Ready, chits(), Ready, vec![], vec!["inbound"], None),
    ];
    for (before, message, after, sent, events, fact) in rows {
        let mut bench = Bench::new(&us, &remote, config());
        bench.advance_to(before, &remote);
        bench.network = Recorder::default();
        bench.receive(at(1.0), &message);
        let row = format!("{before:?} {:?}", message.op());
        assert_eq!(bench.peer.stage(), after, "{row}");
        assert_eq!(bench.sent(at(1.0)), sent, "{row}");
        assert_eq!(bench.network.events, events, "{row}");
        bench.network.facts.retain(|it| {
            !matches!(it, Fact::Received { .. } | Fact::ClockSkew(_) | Fact::RoundTrip(_))
        });
        assert_eq!(bench.network.facts, Vec::from_iter(fact), "{row}");
    }
}

#[test]
fn a_peer_that_never_becomes_ready_is_closed() {
    let (us, remote) = (Node::new(1), Node::new(2));
    for (stage, is_closed) in [(Stage::Greeted, true), (Stage::Ready, false)] {
        let mut bench = Bench::new(&us, &remote, config());
        bench.advance_to(stage, &remote);
        bench.receive(at(20.0), &Message::Ping(Ping::default()));
        bench.sent(at(20.0));
        assert!(bench.peer.poll_timeout() <= Some(at(30.0).instant));
        bench.timeout(at(30.0));
        let closed = bench.peer.closed().is_some_and(|it| *it == CloseReason::ReadyTimeout);
        assert_eq!(closed, is_closed, "{stage:?}");
    }
}

#[test]
fn waiting_for_the_throttle_does_not_count_as_silence() {
    let (us, remote) = (Node::new(1), Node::new(2));
    let mut bench = Bench::new(&us, &remote, PeerConfig { ready_timeout: None, ..config() });
    bench.sent(at(0.0));
    let ping = Codec::default().encode(&Message::Ping(Ping::default()), Compression::None);
    let bytes = framed(&ping.unwrap());
    let (header, body) = bytes.split_at(frame::HEADER_BYTES);
    let Bench { peer, network, .. } = &mut bench;
    assert_eq!(peer.handle_length(&mut &header[..2], network), None);
    assert_eq!(peer.handle_length(&mut &header[2..], network), Some(body.len()));
    assert!(!peer.handle_body(at(1.0), &mut &body[..], network), "not admitted");
    peer.handle_timeout(at(100.0), network);
    assert_eq!(peer.closed(), None);
    peer.handle_admission(at(100.0));
    assert!(!peer.handle_body(at(129.0), &mut &body[..1], network));
    assert!(peer.handle_body(at(129.0), &mut &body[1..], network));
    assert_eq!(peer.last_received(), at(129.0).wall);
    peer.handle_timeout(at(158.9), network);
    assert_eq!(peer.closed(), None);
    peer.handle_timeout(at(159.0), network);
    assert_eq!(peer.closed(), Some(&CloseReason::ReadTimeout(Part::Length)));
}

#[test]
fn a_late_driver_skips_pings_and_keeps_the_beat() {
    let (us, remote) = (Node::new(1), Node::new(2));
    let mut bench = Bench::new(&us, &remote, PeerConfig { ready_timeout: None, ..config() });
    bench.sent(at(0.0));
    bench.receive(at(60.0), &Message::Ping(Ping::default()));
    bench.timeout(at(70.0));
    assert_eq!(bench.sent(at(70.0)), [Op::Pong, Op::Ping]);
    assert_eq!(bench.peer.poll_timeout(), Some(at(90.0).instant));
}

#[test]
fn the_version_and_the_key_of_a_validator_are_checked_at_each_ping() {
    let (us, remote) = (Node::new(1), Node::new(2));
    let key = |seed| bls::SecretKey::generate(&[seed; 32]).unwrap().public_key();
    let mut bench = Bench::new(&us, &remote, config());
    bench.advance_to(Stage::Ready, &remote);
    bench.network.registration = Some(Registration { tx: Id([1; 32]), key: Some(key(2)) });
    bench.timeout(at(22.5));
    assert_eq!(bench.peer.verified_registration(), Id([1; 32]));
    assert_eq!(bench.sent(at(22.5)), [Op::Ping]);
    bench.receive(at(22.6), &Message::Pong);
    assert!(bench.network.facts.contains(&Fact::RoundTrip(Duration::from_millis(100))));
    bench.network.registration = Some(Registration { tx: Id([2; 32]), key: Some(key(3)) });
    bench.timeout(at(45.0));
    assert_eq!(bench.peer.closed(), Some(&CloseReason::BlsSignature));

    let mut old = remote.handshake();
    old.client = Some(Client { name: "x".into(), major: 1, minor: 13, patch: 9 });
    let mut bench = Bench::new(&us, &remote, config());
    bench.receive(at(0.0), &Message::Handshake(Box::new(old)));
    assert_eq!(bench.peer.closed(), Some(&CloseReason::Version(Version::new(1, 13, 9))));
    assert_eq!(bench.peer.remote(), None);
}

#[test]
fn what_waits_is_released_when_the_peer_ends_or_is_dropped() {
    let (us, remote) = (Node::new(1), Node::new(2));
    for is_dropped in [false, true] {
        let mut bench = Bench::new(&us, &remote, config());
        for _ in 0..10 {
            bench.receive(at(0.0), &Message::Ping(Ping::default()));
        }
        let full = LIMITS.at_large_bytes;
        assert!(bench.throttler.lock().at_large_bytes_left() < full);
        let outbox = bench.peer.outbox().clone();
        if is_dropped {
            drop(bench.peer);
        } else {
            bench.peer.shut_down(&mut bench.network);
            let abandoned = Fact::SendFailed { op: Op::Pong, reason: Refusal::Abandoned };
            assert_eq!(bench.network.facts.iter().filter(|it| **it == abandoned).count(), 10);
        }
        assert_eq!(bench.throttler.lock().at_large_bytes_left(), full);
        let pong = Codec::default().encode(&Message::Pong, Compression::None).unwrap();
        assert_eq!(outbox.push(pong), Err(Refusal::Closed));
    }
}

#[test]
fn a_peer_that_takes_nothing_cannot_fill_the_memory() {
    let (us, remote) = (Node::new(1), Node::new(2));
    let mut bench = Bench::new(&us, &remote, config());
    let ping = Codec::default().encode(&Message::Ping(Ping::default()), Compression::None);
    let bytes = framed(&ping.unwrap()).repeat(100_000);
    bench.peer.handle_bytes(at(0.0), &bytes, &mut bench.network);
    assert_eq!(bench.peer.closed(), None);
    let refused = Fact::SendFailed { op: Op::Pong, reason: Refusal::Throttled };
    assert!(bench.network.facts.contains(&refused));
    let left = bench.throttler.lock().at_large_bytes_left();
    assert_eq!(left, LIMITS.at_large_bytes - LIMITS.node_at_large_bytes_max);
    let waiting = bench.sent(at(0.0)).len() as u64;
    assert_eq!(waiting, 1 + LIMITS.node_at_large_bytes_max / 2, "handshake and pongs");
}

#[test]
fn the_outbox_refuses_what_fits_no_frame_and_too_many_frames() {
    let (us, remote) = (Node::new(1), Node::new(2));
    let bench = Bench::new(&us, &remote, config());
    let message = |length| Encoded {
        bytes: vec![0; length].into(),
        op: Op::AppGossip,
        bytes_saved: 0,
        bypass_throttling: true,
    };
    let outbox = bench.peer.outbox();
    assert_eq!(outbox.push(message(frame::MESSAGE_BYTES_MAX + 1)), Err(Refusal::TooLarge));
    for _ in 0..FRAMES_MAX {
        assert_eq!(outbox.push(message(1)), Ok(()));
    }
    assert_eq!(outbox.push(message(1)), Err(Refusal::Throttled));
}

#[test]
fn settings_that_every_peer_would_refuse_are_found() {
    let check = |change: fn(&mut PeerConfig)| {
        let mut config = config();
        change(&mut config);
        config.check()
    };
    assert_eq!(check(|_| ()), Ok(()));
    assert_eq!(
        check(|it| it.tracked_subnets = (1..=17).map(|byte| Id([byte; 32])).collect()),
        Err(PeerConfigError::TrackedSubnets(17))
    );
    assert_eq!(
        check(|it| it.tracked_subnets = [Id::EMPTY].into()),
        Err(PeerConfigError::PrimaryNetwork)
    );
    assert_eq!(check(|it| it.ping_period = it.timeout), Err(PeerConfigError::PingPeriod));
    assert_eq!(
        check(|it| (it.supported_acps, it.objected_acps) = (vec![7, 8], vec![8])),
        Err(PeerConfigError::Acp(8))
    );
}

/// Two machines on one wire.
fn exchange(benches: &mut [Bench; 2], now: Now) {
    let mut wire: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
    loop {
        for (from, bench) in benches.iter_mut().enumerate() {
            while let Some(message) = bench.peer.poll_output(now) {
                wire.push_back((1 - from, framed(&message)));
            }
            bench.peer.handle_flushed();
        }
        let Some((to, bytes)) = wire.pop_front() else { return };
        let Bench { peer, network, .. } = &mut benches[to];
        peer.handle_bytes(now, &bytes, network);
    }
}

#[test]
fn two_peers_become_ready_and_stay_so_for_an_hour() {
    let (a, b) = (Node::new(1), Node::new(2));
    let mut benches = [Bench::new(&a, &b, config()), Bench::new(&b, &a, config())];
    exchange(&mut benches, at(0.0));
    for bench in &mut benches {
        assert_eq!(bench.network.events, ["connected", "track"]);
        let message = Codec::default().encode(&chits(), Compression::None).unwrap();
        assert!(bench.peer.send(message, &mut bench.network));
    }
    let mut now = at(0.0);
    while now.instant < at(3_600.0).instant {
        exchange(&mut benches, now);
        let next = benches.iter().filter_map(|it| it.peer.poll_timeout()).min().unwrap();
        now = Now { instant: next, wall: START + (next - Instant::ZERO) };
        for bench in &mut benches {
            bench.timeout(now);
        }
    }
    for bench in &benches {
        assert_eq!(bench.peer.closed(), None);
        assert_eq!(bench.peer.observed_uptime(), 50);
        assert_eq!(bench.network.inbound.len(), 1);
        assert_eq!(bench.peer.info().map(|info| info.observed_uptime), Some(50));
    }
    let [first, mut second] = benches;
    second.peer.handle_end(&mut second.network);
    assert_eq!(second.peer.closed(), Some(&CloseReason::Ended(Part::Length)));
    assert!(first.peer.counts_as_ingress() && !second.peer.counts_as_ingress());
}

/// What a hostile world does to a peer.
#[derive(Clone, Debug)]
enum Deed {
    Bytes(Vec<u8>),
    Message(Box<Message>),
    Time(u16),
    Write,
    Send,
    Refuse,
}

fn messages() -> impl Strategy<Value = Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let claim =
        (bytes(), bytes(), any::<u32>()).prop_map(|(x509_certificate, ip_addr, ip_port)| {
            ClaimedIpPort { x509_certificate, ip_addr, ip_port, ..ClaimedIpPort::default() }
        });
    let certified = any::<u32>().prop_map(|ip_port| ClaimedIpPort {
        x509_certificate: Bytes::copy_from_slice(Node::new(3).certificate().der()),
        ip_addr: Bytes::from_static(&[1, 2, 3, 4]),
        ip_port,
        ..ClaimedIpPort::default()
    });
    let filter = (bytes(), bytes()).prop_map(|(filter, salt)| BloomFilter { filter, salt });
    let twisted = (0..8_usize, bytes(), any::<u64>()).prop_map(|(which, bytes, number)| {
        let mut handshake = Node::new(2).handshake();
        match which {
            0 => handshake.my_time = number,
            1 => handshake.ip_addr = bytes,
            2 => handshake.ip_port = number as u32,
            3 => handshake.ip_signing_time = number,
            4 => handshake.tracked_subnets = vec![bytes],
            5 => handshake.ip_bls_sig = bytes,
            6 => handshake.known_peers = Some(BloomFilter { filter: bytes, ..empty_filter() }),
            _ => handshake.client = None,
        }
        Message::Handshake(Box::new(handshake))
    });
    prop_oneof![
        any::<u32>().prop_map(|uptime| Message::Ping(Ping { uptime: uptime % 128 })),
        Just(Message::Ping(Ping { uptime: 1 })),
        Just(Message::Pong),
        Just(Message::Handshake(Box::new(Node::new(2).handshake()))),
        Just(Message::Handshake(Box::new(Node::new(2).handshake()))),
        twisted,
        Just(Message::PeerList(PeerList::default())),
        prop::collection::vec(prop_oneof![claim, certified], 0..3)
            .prop_map(|claimed_ip_ports| Message::PeerList(PeerList { claimed_ip_ports })),
        Just(get_peer_list()),
        prop::option::of(filter).prop_map(|known_peers| {
            Message::GetPeerList(GetPeerList { known_peers, all_subnets: true })
        }),
        Just(chits()),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Deed::Bytes),
        1 => Just(Deed::Bytes(vec![0, 0, 0])),
        6 => messages().prop_map(|it| Deed::Message(Box::new(it))),
        2 => any::<u16>().prop_map(Deed::Time),
        2 => Just(Deed::Write),
        1 => Just(Deed::Send),
        1 => Just(Deed::Refuse),
    ];
    prop::collection::vec(deed, 0..40)
}

fn check_invariants(bench: &Bench) {
    let events = &bench.network.events;
    let connected = events.iter().position(|it| *it == "connected");
    let disconnected = events.iter().position(|it| *it == "disconnected");
    for (index, event) in events.iter().enumerate() {
        match *event {
            "connected" => assert_eq!(Some(index), connected, "once"),
            "disconnected" => assert_eq!(index, events.len() - 1, "last"),
            _ => assert!(connected.is_some_and(|it| it < index), "before connected"),
        }
    }
    assert_eq!(disconnected.is_some(), bench.peer.closed().is_some());
    let closings = bench.network.facts.iter().filter(|it| matches!(it, Fact::Closing(_)));
    assert_eq!(closings.count(), usize::from(disconnected.is_some()));
    assert_eq!(bench.peer.poll_timeout().is_none(), disconnected.is_some());
    assert_eq!(bench.peer.info().is_some(), connected.is_some());
    let held = LIMITS.at_large_bytes - bench.throttler.lock().at_large_bytes_left();
    assert!(held <= LIMITS.node_at_large_bytes_max);
    assert!(bench.peer.closed().is_none() || held == 0, "closed and holds {held} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_panics_or_breaks_an_invariant(deeds in deeds(), pieces in 1..50_usize) {
        let (us, remote) = (Node::new(1), Node::new(2));
        let mut bench = Bench::new(&us, &remote, config());
        let mut seconds = 0.0;
        for deed in deeds {
            let now = at(seconds);
            match deed {
                Deed::Bytes(bytes) => {
                    bench.peer.handle_bytes(now, &bytes, &mut bench.network);
                }
                Deed::Message(message) => {
                    let message = Codec::default().encode(&message, Compression::Zstd).unwrap();
                    for piece in framed(&message).chunks(pieces) {
                        bench.peer.handle_bytes(now, piece, &mut bench.network);
                    }
                }
                Deed::Time(tenths) => {
                    seconds += f64::from(tenths % 150) / 10.0;
                    bench.timeout(at(seconds));
                }
                Deed::Write => {
                    bench.sent(now);
                }
                Deed::Send => {
                    let message = Codec::default().encode(&chits(), Compression::Zstd).unwrap();
                    bench.peer.send(message, &mut bench.network);
                }
                Deed::Refuse => bench.network.is_refused = true,
            }
            check_invariants(&bench);
        }
    }
}
