//! The network against a real AvalancheGo node, whose program `AVALANCHEGO_PATH` names.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what is not as expected must fail the test, and a skipped test must say so"
)]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sastrugi_conformance::cases;
use sastrugi_crypto::{Identity, bls};
use sastrugi_net::{HealthLimits, Inbox, Membership, Network, NetworkConfig, NetworkParts, Permit};
use sastrugi_types::{
    Id, NodeId, RequestId, WallTime,
    message::{Inbound, Outbound, Payload, Request, Response},
    sampler::Mt19937_64,
    version::Application,
};
use sastrugi_wire::{
    peer::Registration,
    throttle::{Stake, Stakes},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const NETWORK_ID: u32 = 1337;
/// The P-Chain.
const CHAIN: Id = Id::EMPTY;
/// Against hanging.
const LIMIT: Duration = Duration::from_mins(1);
/// Three rounds of pings.
const STAY: Duration = Duration::from_secs(70);

/// A running node, killed when dropped.
struct LiveNode {
    process: Child,
    http: SocketAddr,
    staking: SocketAddr,
    _directory: tempfile::TempDir,
}

impl LiveNode {
    /// Starts a node, and waits until it runs the P-Chain.
    fn start(program: &Path) -> Self {
        let mut node = Self::spawn(program, None, None);
        let asked = json!({"chain": "P"});
        wait_for("bootstrapping", || {
            assert_eq!(node.process.try_wait().unwrap(), None, "the node ended");
            let answer = node.call("info.isBootstrapped", &asked)?;
            (answer["isBootstrapped"] == true).then_some(())
        });
        node
    }

    /// Starts a node with the certificate and key of these files, which begins by dialling the
    /// beacon. Without them it makes its own, and dials nobody.
    fn spawn(program: &Path, identity: Option<&StakerFiles>, beacon: Option<&Network>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [http, staking] = [free_address(), free_address()];
        let path = directory.path().display();
        std::fs::create_dir(directory.path().join("plugins")).unwrap();
        let arguments = format!(
            "--network-id={NETWORK_ID} --data-dir={path} --plugin-dir={path}/plugins \
             --public-ip=127.0.0.1 --staking-host=127.0.0.1 --staking-port={} \
             --http-host=127.0.0.1 --http-port={} --bootstrap-ips={} --bootstrap-ids={} \
             --sybil-protection-enabled=false --health-check-frequency=1s --fd-limit=8192 \
             --log-display-level=off --log-level=info \
             --system-tracker-disk-required-available-space-percentage=0 \
             --system-tracker-disk-warning-available-space-percentage=0",
            staking.port(),
            http.port(),
            beacon.map(|beacon| beacon.address().to_string()).unwrap_or_default(),
            beacon.map(|beacon| beacon.node().to_string()).unwrap_or_default(),
        );
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        if let Some(StakerFiles { certificate, key }) = identity {
            for (name, text) in [("staker.crt", certificate), ("staker.key", key)] {
                std::fs::write(directory.path().join(name), text).unwrap();
            }
            command.arg(format!("--staking-tls-cert-file={path}/staker.crt"));
            command.arg(format!("--staking-tls-key-file={path}/staker.key"));
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { process, http, staking, _directory: directory }
    }

    /// A call of the API `info`; nothing while the node does not answer.
    fn call(&self, method: &str, params: &Value) -> Option<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "POST /ext/info HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            self.http,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, answer) = answer.split_once("\r\n\r\n")?;
        let answer = &answer[answer.find('{')?..=answer.rfind('}')?];
        let mut answer: Value = serde_json::from_str(answer).ok()?;
        Some(answer["result"].take())
    }

    fn node_id(&self) -> NodeId {
        let answer = self.call("info.getNodeID", &json!({})).unwrap();
        answer["nodeID"].as_str().unwrap().parse().unwrap()
    }

    /// What the node tells of a peer.
    fn peer(&self, node: NodeId) -> Option<Value> {
        let answer = self.call("info.peers", &json!({}))?;
        let peers = answer["peers"].as_array().unwrap();
        peers.iter().find(|peer| peer["nodeID"] == node.to_string()).cloned()
    }
}

impl Drop for LiveNode {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not in time: {what}");
        sleep(Duration::from_millis(10));
    }
}

#[derive(Default)]
struct Diary {
    messages: Mutex<Vec<Inbound>>,
    disconnections: Mutex<usize>,
}

impl Inbox for Diary {
    fn connected(&self, _node: NodeId, application: &Application, subnets: &BTreeSet<Id>) {
        assert_eq!(application.name, "avalanchego");
        assert_eq!(subnets, &BTreeSet::from([Id::EMPTY]));
    }

    fn disconnected(&self, _node: NodeId) {
        *self.disconnections.lock() += 1;
    }

    fn inbound(&self, message: Inbound, _permit: Permit) {
        self.messages.lock().push(message);
    }
}

impl Diary {
    fn response(&self, id: RequestId) -> Option<Response> {
        let messages = self.messages.lock();
        messages.iter().find_map(|message| match &message.payload {
            Payload::Response { id: of, response } if *of == id && message.chain == CHAIN => {
                Some(response.clone())
            }
            _ => None,
        })
    }
}

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

struct Asker<'a> {
    network: &'a Network,
    diary: &'a Diary,
    node: NodeId,
    last_id: RequestId,
}

impl Asker<'_> {
    fn ask(&mut self, request: Request) -> Response {
        self.last_id = self.last_id.next();
        let (id, deadline) = (self.last_id, Duration::from_secs(5));
        let payload = Payload::Request { id, deadline, request };
        let to = BTreeSet::from([self.node]);
        let sent = self.network.send(&Outbound { chain: CHAIN, payload }, &to, Id::EMPTY);
        assert_eq!(sent, to);
        wait_for("an answer", || self.diary.response(id))
    }

    /// Asks for the last accepted block, its bytes, and a vote on it.
    fn ask_all(&mut self) {
        let Response::AcceptedFrontier { container } = self.ask(Request::GetAcceptedFrontier)
        else {
            panic!("no frontier")
        };
        let Response::Put { container: bytes } = self.ask(Request::Get { container }) else {
            panic!("no block")
        };
        assert_eq!(Id(sastrugi_types::hash::sha256(&bytes)), container);
        let query = Request::PullQuery { container, requested_height: 0 };
        let Response::Chits(chits) = self.ask(query) else { panic!("no chits") };
        assert_eq!((chits.preferred, chits.accepted), (container, container));
    }
}

/// The texts of a certificate file and its key file.
struct StakerFiles {
    certificate: String,
    key: String,
}

impl StakerFiles {
    fn identity(&self) -> Identity {
        Identity::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// The two first stakers of upstream's local network: RSA keys, certificates of X.509 version 1.
fn local_stakers() -> [StakerFiles; 2] {
    let mut files = Vec::new();
    for mut case in cases("staking") {
        let (kind, name): (String, String) = (case.take("kind"), case.take("name"));
        if kind == "pem" && name.starts_with("local staker") {
            let (certificate, key) = (case.take("cert_pem"), case.take("key_pem"));
            files.push(StakerFiles { certificate, key });
        }
    }
    files.truncate(2);
    files.try_into().ok().unwrap()
}

fn new_identity() -> Identity {
    let now = WallTime::from_unix_secs(1_700_000_000);
    Identity::generate(&mut |bytes| bytes.fill(1), now).unwrap()
}

fn start_network(runtime: &Runtime, identity: Identity, diary: &Arc<Diary>) -> Network {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let parts = NetworkParts {
        identity: Arc::new(identity),
        bls: Arc::new(bls::SecretKey::generate(&[1; 32]).unwrap()),
        membership: Arc::new(Nobody),
        inbox: Arc::clone(diary) as _,
        random: Box::new(Mt19937_64::new(1)),
        runtime: runtime.handle().clone(),
    };
    Network::start(NetworkConfig::of_network(NETWORK_ID, listen, listen.ip()), parts).unwrap()
}

fn program() -> Option<PathBuf> {
    let program = std::env::var_os("AVALANCHEGO_PATH").map(PathBuf::from);
    if program.is_none() {
        println!("SKIPPED: AVALANCHEGO_PATH is not set, nothing was tried against a real node");
    }
    program
}

#[test]
fn a_real_node_takes_us_for_a_peer() {
    let Some(program) = program() else { return };
    let live = LiveNode::start(&program);
    let runtime = Runtime::new().unwrap();
    let diary = Arc::new(Diary::default());
    let network = start_network(&runtime, new_identity(), &diary);
    let node = live.node_id();
    network.track(node, live.staking);
    wait_for("the handshake", || network.is_connected(node).then_some(()));
    let since = Instant::now();

    let listed = wait_for("being listed", || live.peer(network.node()));
    assert_eq!(listed["publicIP"], network.address().to_string());
    assert_eq!(listed["version"], "avalanchego/1.14.2");
    let [peer] = &network.peers()[..] else { panic!("one peer") };
    assert_eq!((peer.address, peer.info.public_ip), (live.staking, live.staking));

    let mut asker = Asker { network: &network, diary: &diary, node, last_id: RequestId(0) };
    asker.ask_all();
    sleep(STAY.saturating_sub(since.elapsed()));
    asker.ask_all();
    assert!(live.peer(network.node()).is_some());
    assert_eq!(*diary.disconnections.lock(), 0);
    assert_eq!(network.health().faults(&HealthLimits::default()), []);
    let stats = network.stats();
    assert_eq!((stats.times_connected, stats.msgs_failed_to_parse), (1, 0));
    assert!(stats.round_trip.count >= 3, "{stats:?}");
    for message in &stats.messages {
        let sent = message.sent + message.sent_compressed;
        let received = message.received + message.received_compressed;
        println!("{:<22} sent {sent:>3} received {received:>3}", message.op.label());
    }
    network.close();
    wait_for("being forgotten", || live.peer(network.node()).is_none().then_some(()));
}

#[test]
fn nodes_with_old_certificates_meet_whoever_dials() {
    let Some(program) = program() else { return };
    for they_dial in [false, true] {
        let [theirs, ours] = local_stakers();
        let (runtime, diary) = (Runtime::new().unwrap(), Arc::new(Diary::default()));
        let network = start_network(&runtime, ours.identity(), &diary);
        let beacon = they_dial.then_some(&network);
        let live = LiveNode::spawn(&program, Some(&theirs), beacon);
        let node = theirs.identity().node_id();
        if !they_dial {
            network.track(node, live.staking);
        }
        wait_for("the handshake", || network.is_connected(node).then_some(()));
        wait_for("the node's own view", || live.peer(network.node()));
        let ingress = network.health().ingress_connection_count;
        assert_eq!(ingress, usize::from(they_dial));
    }
}
