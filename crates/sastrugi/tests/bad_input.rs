//! What is wrong is refused: by the command with one line that says what and where, and without
//! writing anything; by the API with an error, and without harm to the node.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/program.rs"]
mod program;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::process::Signal;
use sastrugi::{
    client::KvClient,
    database::DiskDatabase,
    description::SnowParameters,
    identity::NodeIdentity,
    kvvm::{
        Transaction,
        api::{GetArgs, GetReply, Hex, IssueTxArgs, TxId, TxStatus},
        client::{Key, put},
    },
    network::layout::{CHAIN_NAME, DESCRIPTION_FILE, NetworkDir, Plan},
    types::formatting::Encoding,
};
use serde_json::{Value, json};

use ports::Ports;
use program::{LIMIT, Program, until};

/// Largest network description, in bytes.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 20;
/// Largest body the API reads, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The ID of some node, once and twice.
const NODE: &str = "NodeID-111111111111111111116DBWJs";
const TWICE: &str = "NodeID-111111111111111111116DBWJs,NodeID-111111111111111111116DBWJs";

/// A network of two nodes that never ran.
struct Desk {
    network: NetworkDir,
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::take();
        let plan = Plan {
            nodes: 2,
            http_port: Some(ports.first()),
            parameters: SnowParameters::default(),
        };
        let network = NetworkDir::create(&folder.path().join("network"), &plan).unwrap();
        Self { network, folder, ports }
    }

    fn place(&self) -> &str {
        self.network.path.to_str().unwrap()
    }

    fn node(&self) -> PathBuf {
        self.network.node_dir(0).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn describe(&self, pointer: &str, value: Value) {
        edit(&self.network.path.join(DESCRIPTION_FILE), pointer, value);
    }

    fn unset_flag(&self, name: &str) {
        let file = self.node().join("flags.json");
        let mut flags: BTreeMap<String, String> =
            serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        flags.remove(name).unwrap();
        fs::write(file, json!(flags).to_string()).unwrap();
    }

    fn set_flag(&self, name: &str, value: &str) {
        edit(&self.node().join("flags.json"), &format!("/{name}"), json!(value));
    }

    /// Runs the command: it fails with one line that holds the texts, and writes nothing.
    fn refuse(&self, arguments: &[&str], texts: &[&str]) {
        let before = self.listing();
        let ended = Program::start(&self.home(), arguments).end();
        let fault = format!("{arguments:?}: {ended:?}");
        assert!(ended.status.code().is_some_and(|code| code != 0), "{fault}");
        assert_eq!(ended.stderr.lines().count(), 1, "{fault}");
        assert!(ended.stderr.starts_with("sastrugi: "), "{fault}");
        assert!(ended.stdout.is_empty() || ended.stdout.contains("FATAL"), "{fault}");
        for text in texts {
            assert!(ended.stderr.contains(text), "{text:?} is not said: {fault}");
        }
        assert_eq!(self.listing(), before, "{fault}");
    }

    /// The same for the first node.
    fn refuse_node(&self, more: &[&str], texts: &[&str]) {
        let flags = self.node().join("flags.json");
        let arguments = ["node", "--config-file", flags.to_str().unwrap()];
        self.refuse(&[&arguments, more].concat(), texts);
    }

    fn refuse_network(&self, more: &[&str], texts: &[&str]) {
        self.refuse(&[&["network", "--data-dir", self.place()], more].concat(), texts);
    }

    fn refuse_kv(&self, arguments: &[&str], texts: &[&str]) {
        self.refuse(&[&["kv"], arguments, &["--data-dir", self.place()]].concat(), texts);
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Every file with its size and time, but for what the command printed and what the store does
    /// within its own folder. A log that is there may grow.
    fn listing(&self) -> BTreeMap<PathBuf, Option<(u64, SystemTime)>> {
        let mut listing = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
                let name = name.to_str().unwrap();
                if name.starts_with("stdout") || name.starts_with("stderr") || path == self.home() {
                    folders.extend(path.is_dir().then(|| path.clone()));
                    continue;
                }
                let data = fs::metadata(&path).unwrap();
                let has_content = data.is_file() && name != "main.log";
                listing.insert(
                    path.clone(),
                    has_content.then(|| (data.len(), data.modified().unwrap())),
                );
                if data.is_dir() && name != "db" {
                    folders.push(path);
                }
            }
        }
        listing
    }

    /// Runs the first node until it says that it started, and stops it.
    fn run_node_once(&self) {
        let node = self.launch_node();
        node.stop(Signal::TERM).assert_success();
    }

    fn launch_node(&self) -> Program {
        let flags = self.node().join("flags.json");
        let arguments = ["node", "--config-file", flags.to_str().unwrap()];
        let mut node = Program::start(&self.home(), &arguments);
        until("the node starts", || {
            node.assert_runs();
            self.node().join("process.json").exists().then_some(())
        });
        node
    }
}

/// Changes a member of a JSON file.
fn edit(file: &Path, pointer: &str, value: Value) {
    let mut content: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    content.pointer_mut(parent).unwrap()[name] = value;
    fs::write(file, content.to_string()).unwrap();
}

#[test]
fn a_network_file_must_be_there_and_right() {
    let desk = Desk::new();
    let wrong = |text: &[u8]| desk.write("wrong.json", text);
    desk.refuse(&["node"], &["--network-file", "sastrugi network"]);
    let missing = desk.folder.path().join("missing.json");
    let missing = missing.to_str().unwrap();
    desk.refuse_node(&["--network-file", missing], &["missing.json: No such file"]);
    desk.refuse_node(&["--network-file", desk.place()], &["network: Is a directory"]);
    for (text, texts) in [
        (&b"garbage"[..], ["wrong.json: not a network description", "line 1"]),
        (b"", ["wrong.json: not a network description", "line 1"]),
        (b"\xff\xfe", ["wrong.json", "UTF-8"]),
        (br#"{"version": 1, "#, ["wrong.json: not a network description", "line 1"]),
        (
            br#"{"version": 1, "networkID": 1, "subnets": [], "peeers": []}"#,
            ["unknown field `peeers`", "`peers`"],
        ),
        (
            br#"{"version": 2, "networkID": 1, "subnets": []}"#,
            ["version 2 is not known", "wrong.json"],
        ),
        (br#"{"version": 1, "networkID": 1}"#, ["missing field `subnets`", "wrong.json"]),
    ] {
        desk.refuse_node(&["--network-file", &wrong(text)], &texts);
    }
    let large = wrong(b"");
    fs::File::options()
        .write(true)
        .open(&large)
        .unwrap()
        .set_len(DESCRIPTION_BYTES_MAX + 1)
        .unwrap();
    desk.refuse_node(&["--network-file", &large], &["wrong.json: is too large"]);
}

#[test]
fn what_a_network_file_says_must_make_sense() {
    let node = NODE;
    let light = |node: &str| json!([{ "nodeID": node, "weight": 19 }]);
    let twice = json!([{ "nodeID": node, "weight": 20 }, { "nodeID": node, "weight": 20 }]);
    let id = "11111111111111111111111111111111LpoYY";
    for (pointer, value, texts) in [
        ("/subnets/0/validators", light(node), vec!["weigh 19 together", "k = 20", "lower k"]),
        ("/subnets/0/validators", json!([]), vec!["weigh 0 together"]),
        ("/subnets/0/validators", twice, vec!["validators[1].nodeID", "listed twice"]),
        ("/subnets/0/validators/1/weight", json!(0), vec!["validators[1].weight", "above zero"]),
        ("/subnets/0/validators/0/weight", json!(u64::MAX), vec!["validators[1].weight", "2^64"]),
        ("/subnets/0/validators/0/publicKey", json!("0x00"), vec!["validators[0].publicKey"]),
        ("/subnets/0/validators/0/nodeID", json!("NodeID-1"), vec!["sastrugi.json", "line 1"]),
        ("/subnets/0/config/consensusParameters", json!({ "k": 10 }), vec!["subnet", "k"]),
        ("/subnets/0/chains/0/genesis", json!("xyz"), vec!["chains[0].genesis", "hex"]),
        ("/subnets/0/chains/0/genesis", json!("7b"), vec!["chain kv", "genesis"]),
        ("/subnets/0/chains/0/config", json!("{\"a\":1}"), vec!["chain kv", "unknown field `a`"]),
        ("/subnets/0/chains/0/vmID", json!(id), vec!["chain kv", "no virtual machine", "kvvm"]),
        ("/peers/0/stakingAddress", json!("here"), vec!["peers[0].stakingAddress", "ip:port"]),
        ("/networkID", json!(77), vec!["--network-id is 88888", "network 77"]),
        ("/networkID", json!(5), vec!["upgrades", "network 5 are fixed"]),
        ("/upgrades/etnaTime", json!("9999-12-02T00:00:00Z"), vec!["Etna", "but Fortuna"]),
        ("/upgrades/etnaTime", json!("soon"), vec!["sastrugi.json", "\"soon\" is not a time"]),
        ("/pChain/minimumHeight", json!(1), vec!["pChain.minimumHeight", "currentHeight"]),
    ] {
        let desk = Desk::new();
        desk.describe(pointer, value);
        desk.refuse_node(&[], &texts);
    }
}

#[test]
fn ports_must_be_free() {
    let desk = Desk::new();
    let (http, staking) = (desk.ports.first(), desk.ports.first() + 1);
    for (port, flag) in [(http, "--http-port"), (staking, "--staking-port")] {
        let _busy = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let place = format!("127.0.0.1:{port}");
        desk.refuse_node(&[], &[&place, "in use", "choose another", flag]);
        let asked = http.to_string();
        let new = desk.folder.path().join("new");
        let new = ["network", "--data-dir", new.to_str().unwrap(), "--http-port", &asked];
        desk.refuse(&new, &[&place, "in use", "choose another with --http-port"]);
        desk.refuse_network(&["--http-port", &asked], &[&place, "in use", "--http-port"]);
        desk.refuse_network(&["--fresh", "--http-port", &asked], &[&place, "in use"]);
    }
}

#[test]
fn keys_must_belong_together() {
    let desk = Desk::new();
    let flags = desk.network.flags(1).unwrap();
    desk.set_flag("staking-tls-key-file-content", &flags["staking-tls-key-file-content"]);
    desk.refuse_node(&[], &["does not belong to the certificate", "give the pair"]);
    desk.set_flag("staking-tls-key-file-content", "garbage!");
    desk.refuse_node(&[], &["--staking-tls-key-file-content: not base64"]);
    desk.set_flag("staking-tls-key-file-content", "Z2FyYmFnZQ==");
    desk.refuse_node(&[], &["the content given by flag"]);

    let desk = Desk::new();
    for name in ["cert", "key"] {
        desk.unset_flag(&format!("staking-tls-{name}-file-content"));
    }
    let staking = desk.node().join("staking");
    NodeIdentity::in_folder(&desk.node()).unwrap();
    fs::remove_file(staking.join("staker.key")).unwrap();
    desk.refuse_node(&[], &["staker.key: there is no such file", "staker.crt exists"]);
    fs::write(staking.join("staker.key"), "garbage").unwrap();
    desk.refuse_node(&[], &["staker.crt"]);

    let desk = Desk::new();
    desk.set_flag("staking-signer-key-file-content", "AAAA");
    desk.refuse_node(&[], &["BLS secret key of 32 bytes"]);
    let missing = desk.folder.path().join("missing.key");
    desk.unset_flag("staking-signer-key-file-content");
    let arguments = ["--staking-signer-key-file", missing.to_str().unwrap()];
    desk.refuse_node(&arguments, &["missing.key: there is no such file"]);
}

#[test]
fn new_keys_are_not_written_by_a_start_that_fails() {
    let desk = Desk::new();
    for name in ["tls-cert", "tls-key", "signer-key"] {
        desk.unset_flag(&format!("staking-{name}-file-content"));
    }
    desk.refuse_node(&["--snow-sample-size", "300", "--snow-quorum-size", "299"], &["k = 300"]);
    assert!(!desk.node().join("staking").exists());
    desk.run_node_once();
    assert!(desk.node().join("staking").join("staker.key").exists());
}

#[test]
fn a_damaged_database_is_not_opened() {
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 7] = [
        (|db| fs::write(db.join("version"), "garbage").unwrap(), "db: the database is damaged"),
        (|db| fs::remove_file(db.join("version")).unwrap(), "db: the database is damaged"),
        (|db| cut(&db.join("0.jnl")), "db: the database is damaged"),
        (
            |db| fs::write(db.join("keyspaces/0/current"), "garbage").unwrap(),
            "db: the database is damaged",
        ),
        (
            |db| {
                fs::remove_dir_all(db).unwrap();
                fs::create_dir(db).unwrap();
                fs::write(db.join("0.jnl"), "garbage").unwrap();
            },
            "db: the database is damaged",
        ),
        (|db| fs::write(db.join("seal"), "garbage").unwrap(), "db: the database is damaged"),
        (
            |db| {
                fs::remove_dir_all(db).unwrap();
                fs::write(db, "garbage").unwrap();
            },
            "db: is a file",
        ),
    ];
    for (damage, text) in damages {
        let desk = Desk::new();
        desk.run_node_once();
        damage(&desk.node().join("db"));
        desk.refuse_node(&[], &[text]);
        let log = fs::read_to_string(desk.node().join("logs").join("main.log")).unwrap();
        assert!(log.contains("FATAL failed to initialize node"), "{log}");
    }
}

/// Leaves half of what a file holds before its zeros.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(path, &bytes[..end / 2]).unwrap();
}

#[test]
fn a_database_and_a_network_are_used_once_at_a_time() {
    let desk = Desk::new();
    let db = desk.node().join("db");
    let database = DiskDatabase::open(&db).unwrap();
    desk.refuse_node(&[], &["db: the database is in use by another process", "stop that node"]);
    drop(database);

    let node = desk.launch_node();
    let other = desk.ports.first() + 8;
    let (other, next) = (other.to_string(), (other + 1).to_string());
    let ports = ["--http-port", &other, "--staking-port", &next];
    desk.refuse_node(&ports, &["db: the database is in use by another process"]);
    desk.refuse_network(&[], &["node 0 runs already", "stop it first"]);
    desk.refuse_network(&["--fresh"], &["node 0 runs already"]);
    node.stop(Signal::TERM).assert_success();
}

#[test]
fn flags_are_known_and_have_values_that_make_sense() {
    let desk = Desk::new();
    for (arguments, texts) in [
        (&["--http-prot", "1"][..], &["no flag --http-prot", "did you mean --http-port?"][..]),
        (&["--snow-sample-sise=3"], &["did you mean --snow-sample-size?"]),
        (&["--sybil-protection-enabled=false"], &["is gone", "sampling"]),
        (&["stray"], &["stray", "sastrugi node --help"]),
        (&["--http-port"], &["--http-port", "value is required"]),
        (&["--http-port", "many"], &["--http-port", "\"many\" is not a number"]),
        (&["--http-port", "-1"], &["--http-port", "\"-1\" is not a number"]),
        (&["--http-port", "65536"], &["--http-port: ports end at 65535"]),
        (&["--http-host", "here"], &["--http-host: \"here\" is not an IP address"]),
        (&["--public-ip", "here"], &["--public-ip: \"here\""]),
        (&["--api-info-enabled=maybe"], &["--api-info-enabled", "true or false"]),
        (&["--network-initial-timeout", "5"], &["--network-initial-timeout", "such as 30s"]),
        (&["--network-initial-timeout", "1s"], &["--network-minimum-timeout must be at most"]),
        (&["--network-ping-frequency", "0s"], &["--network-ping-frequency must be above zero"]),
        (&["--network-timeout-coefficient", "0.5"], &["must be at least 1"]),
        (&["--network-compression-type", "gzip"], &["\"gzip\" is neither zstd nor none"]),
        (&["--snow-sample-size", "0"], &["--snow-", "k"]),
        (&["--snow-quorum-size", "21"], &["--snow-"]),
        (&["--log-level", "loud"], &["--log-level: there is no level \"loud\""]),
        (&["--log-display-level", "loud"], &["--log-display-level: there is no level"]),
        (&["--log-format", "pretty"], &["--log-format: \"pretty\" is not"]),
        (&["--network-id", "mainnet"], &["--network-id is 1", "describes network 88888"]),
        (&["--network-id", "here"], &["--network-id"]),
        (&["--track-subnets", "here"], &["--track-subnets: \"here\""]),
        (&["--track-subnets", "11111111111111111111111111111111LpoYY"], &["describes no subnet"]),
        (&["--bootstrap-ips", "127.0.0.1:1"], &["names 1 peers", "one ID for each address"]),
        (&["--bootstrap-ips", "here", "--bootstrap-ids", "NodeID-1"], &["\"here\" is not ip:port"]),
        (&["--state-sync-ids", NODE], &["--state-sync-ips names 0 peers and --state-sync-ids 1"]),
        (
            &["--bootstrap-ips", "127.0.0.1:1,127.0.0.1:2", "--bootstrap-ids", TWICE],
            &["--bootstrap-ids", "listed twice"],
        ),
        (&["--bootstrap-ancestors-max-containers-sent", "0"], &["must be above zero"]),
        (&["--bootstrap-max-time-get-ancestors", "soon"], &["such as 30s"]),
        (&["--state-sync-enabled=maybe"], &["--state-sync-enabled", "true or false"]),
        (&["--version", "--version-json"], &["not both"]),
    ] {
        desk.refuse_node(arguments, texts);
    }
    for (content, texts) in [
        ("[]", ["flags.json: not a JSON object", "sequence"]),
        (r#"{"http-prot": 1}"#, ["flags.json: there is no flag --http-prot", "--http-port?"]),
        (r#"{"http-port": [1]}"#, ["flags.json: --http-port", "is not a number"]),
    ] {
        let file = desk.write("flags.json", content.as_bytes());
        desk.refuse(&["node", "--config-file", &file], &texts);
    }
    desk.refuse(&["node", "--config-file", "missing.json"], &["missing.json: No such file"]);
    desk.refuse(&["nettwork"], &["'nettwork'", "'network'"]);
}

#[test]
fn the_network_command_checks_what_it_is_asked_for() {
    let desk = Desk::new();
    let new = desk.folder.path().join("new");
    let new = new.to_str().unwrap();
    for (arguments, texts) in [
        (&["--nodes", "0"][..], &["--nodes: between 1 and 100"][..]),
        (&["--nodes", "101"], &["--nodes: between 1 and 100"]),
        (&["--nodes", "five"], &["'five'", "'--nodes <NUMBER>'", "sastrugi network --help"]),
        (&["--load", "0"], &["--load: the rate must be above zero"]),
        (&["--load", "nan"], &["--load: the rate must be above zero"]),
        (&["--loda", "5"], &["'--loda'", "'--load'"]),
        (&["add-node"], &["add-node", "--help"]),
        (&["--duration", "nan"], &["--duration: NaN seconds"]),
        (&["--http-port", "0"], &["'--http-port <PORT>'"]),
        (&["--http-port", "65535"], &["--http-port: ports end at 65535"]),
        (&["--snow-sample-size", "many"], &["--snow-sample-size", "is not a number"]),
        (&["--snow-quorum-size", "5"], &["--snow-"]),
        (
            &["--nodes", "1", "--snow-sample-size", "200", "--snow-quorum-size", "199"],
            &["weigh 100 together", "k = 200"],
        ),
    ] {
        desk.refuse(&[&["network", "--data-dir", new], arguments].concat(), texts);
    }
    desk.refuse_network(&["--nodes", "3"], &["has 2 validators", "--fresh"]);
    desk.refuse_network(&["--snow-sample-size", "300", "--snow-quorum-size", "299"], &["k = 300"]);
    fs::write(desk.network.path.join(DESCRIPTION_FILE), "garbage").unwrap();
    desk.refuse_network(&[], &["sastrugi.json: not a network description"]);
}

#[test]
fn the_kv_command_says_what_it_does_not_find() {
    let desk = Desk::new();
    let nowhere = desk.folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    desk.refuse(&["kv", "get", "a", "--data-dir", nowhere], &["no network", "sastrugi network"]);
    desk.refuse(&["kv", "get", "a"], &["latest: there is no network"]);
    desk.refuse_kv(&["get", "a"], &["node 0 of", "does not run", "sastrugi network"]);
    desk.refuse_kv(&["get", "a", "--node", "2"], &["there is no node 2", "0 to 1"]);
    desk.refuse_kv(&["get"], &["required", "KEY", "sastrugi kv --help"]);
    desk.refuse_kv(&["put", "a", "b", "--wait=-1"], &["--wait: -1 seconds"]);
    let closed = format!("http://127.0.0.1:{}", desk.ports.first());
    let account = format!("0x{}/key", "00".repeat(32));
    desk.refuse_kv(&["get", &account, "--url", &closed], &[&closed, "is the node running?"]);
    desk.refuse_kv(&["get", &account, "--url", "here"], &["here"]);
    desk.refuse_kv(&["put", "a", "b", "--url", &closed], &[&closed, "is the node running?"]);
    desk.refuse_kv(&["get", "a", "--url", "x", "--node", "1"], &["--node", "--url"]);
    desk.refuse_kv(&["status", "garbage", "--url", &closed], &["\"garbage\" is no transaction"]);
    let file = desk.write("key.json", b"garbage");
    desk.refuse_kv(&["account", "--url", &closed, "--key-file", &file], &["key.json"]);
    let file = desk.write("key.json", &[b'0'; 5000]);
    desk.refuse_kv(&["account", "--url", &closed, "--key-file", &file], &["key.json: is too long"]);

    let network = Served::start();
    let key = desk.write("key.json", "07".repeat(32).as_bytes());
    let url = ["--url", &network.url, "--key-file", &key];
    let with = |arguments: &[&str]| -> Vec<String> {
        [&["kv"], arguments, &url].concat().into_iter().map(str::to_owned).collect()
    };
    for (arguments, texts) in [
        (with(&["get", "a", "--chain", "nothing"]), ["/ext/bc/nothing/rpc", "no such chain"]),
        (with(&["range", "--limit", "0"]), ["kv/rpc", "limit must be at least 1"]),
        (with(&["put", "", "b"]), ["key", "1"]),
        (with(&["put", &"k".repeat(257), "b"]), ["key", "256"]),
        (with(&["put", "a", &"v".repeat(16385)]), ["value", "16384"]),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        desk.refuse(&arguments, &texts);
    }
}

/// A network of one node that serves its API.
struct Served {
    url: String,
    address: String,
    program: Program,
    _folder: tempfile::TempDir,
    _ports: Ports,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::take();
        let (place, port) = (folder.path().join("network"), ports.first().to_string());
        let arguments = ["network", "--nodes", "1", "--http-port", &port, "--data-dir"];
        let arguments = [&arguments, &[place.to_str().unwrap()][..]].concat();
        let mut program = Program::start(&folder.path().join("home"), &arguments);
        until("the network is healthy", || {
            program.assert_runs();
            program.stdout().contains("1 of 1 nodes healthy").then_some(())
        });
        let address = format!("127.0.0.1:{port}");
        Self { url: format!("http://{address}"), address, program, _folder: folder, _ports: ports }
    }

    fn client(&self) -> KvClient {
        KvClient::new(&self.url, CHAIN_NAME)
    }

    /// Sends bytes and returns the status of the answer.
    fn status(&self, request: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        let answer = std::str::from_utf8(&answer).unwrap();
        answer.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
    }
}

#[test]
fn bad_transactions_are_answered_with_an_error() {
    let served = Served::start();
    let client = served.client();
    let key = Key::from_seed(&[7; 32]);
    let target = client.target().unwrap();
    let sign = |nonce, value: &'static str| key.sign(target, nonce, vec![put("key", value)]);
    let good = sign(0, "first").unwrap();
    let refuse = |tx: String, text: &str| {
        let args = IssueTxArgs { tx, encoding: Encoding::HexNc };
        let error = client.call::<_, TxId>("kv.issueTx", &args).unwrap_err().to_string();
        assert!(error.contains(text), "{text:?} is not said: {error}");
    };
    let hex = |bytes: &[u8]| format!("0x{}", const_hex::encode(bytes));
    let changed = |at: usize| {
        let mut bytes = good.bytes().to_vec();
        bytes[at] ^= 1;
        hex(&bytes)
    };
    let last = good.bytes().len() - 1;
    refuse("garbage".into(), "0x");
    refuse("0xgarbage".into(), "invalid hexadecimal digits");
    refuse(hex(b""), "the bytes end too early");
    refuse(hex(b"garbage"), "unknown codec version");
    refuse(hex(&vec![0; 100_000]), "transaction");
    refuse(hex(&good.bytes()[..last]), "the bytes end too early");
    refuse(changed(last), "the signature is wrong");
    let mut other = target;
    other.network_id += 1;
    let foreign = key.sign(other, 0, vec![put("key", "value")]).unwrap();
    refuse(hex(foreign.bytes()), "for another chain");

    let accept = |transaction: &Transaction| {
        let id = client.issue(transaction).unwrap();
        until("it is accepted", || {
            matches!(client.status(id).unwrap(), TxStatus::Accepted { .. }).then_some(())
        });
    };
    accept(&good);
    refuse(hex(good.bytes()), "the nonce 0 was used before, the next is 1");
    refuse(hex(sign(0, "again").unwrap().bytes()), "the nonce 0 was used before");
    accept(&sign(1, "second").unwrap());
    let args =
        GetArgs { account: key.account(), key: Hex("key".into()), height: None, proof: false };
    let reply: GetReply = client.call("kv.get", &args).unwrap();
    assert_eq!(reply.value, Some(Hex("second".into())));
    assert_eq!(reply.block.height.0, 2);
    served.program.stop(Signal::INT).assert_success();
}

#[test]
fn bad_requests_are_answered_with_their_status() {
    let served = Served::start();
    let rpc = "/ext/bc/kv/rpc";
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"kv.lastAccepted","params":{}}"#;
    let post = |path: &str, host: &str, content_type: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let json = "application/json";
    let here = served.address.as_str();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {here}\r\n\r\n");
    let large = format!(
        "POST {rpc} HTTP/1.1\r\nHost: {here}\r\nContent-Type: {json}\r\nContent-Length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    let chunked = format!(
        "POST {rpc} HTTP/1.1\r\nHost: {here}\r\nContent-Type: {json}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}",
        BODY_BYTES_MAX + 1,
        " ".repeat(BODY_BYTES_MAX + 1)
    );
    let headers = format!(
        "GET /ext/health HTTP/1.1\r\nHost: {here}\r\nX-Long: {}\r\n\r\n",
        "x".repeat(40 << 10)
    );
    for (request, status) in [
        (post(rpc, here, json, call), 200),
        (post(rpc, "localhost:1", "application/json; charset=utf-8", call), 200),
        (post(rpc, "evil.example", json, call), 403),
        (post(rpc, "127.0.0.1.evil.example:9650", json, call), 403),
        (post(rpc, here, "text/plain", call), 415),
        (post(rpc, here, "application/jsonp", call), 415),
        (post("/ext/info", here, "text/plain", call), 415),
        (get(rpc), 405),
        (get("/ext/info"), 405),
        (post("/ext/health/health", here, json, "{}"), 405),
        (large, 413),
        (chunked, 413),
        (headers, 431),
        (get("/"), 404),
        (get("/ext"), 404),
        (get("/ext/bc/nothing/rpc"), 404),
        (get("/ext/bc/kv/nothing"), 404),
        (get("/ext/health/nothing"), 404),
        (get("/ext/info/../health"), 404),
        ("garbage\r\n\r\n".into(), 400),
        (get("/ext/health"), 200),
    ] {
        let start: String = request.chars().take(200).collect();
        assert_eq!(served.status(request.as_bytes()), status, "{start}");
    }
    served.program.stop(Signal::INT).assert_success();
}

#[test]
fn calls_that_are_none_are_answered_with_an_error() {
    let served = Served::start();
    for body in ["garbage", "[]", "{}", r#"{"jsonrpc":"1.0","id":1,"method":"kv.chain"}"#] {
        let answer = ureq::post(format!("{}/ext/bc/kv/rpc", served.url))
            .header("content-type", "application/json")
            .send(body)
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"]["code"].as_i64().unwrap() < 0, "{answer}");
    }
    let Err(error) = served.client().call::<_, Value>("kv.nothing", &()) else {
        panic!("there is no such method");
    };
    assert!(error.to_string().contains("can't find method"), "{error}");
    served.program.stop(Signal::INT).assert_success();
}
