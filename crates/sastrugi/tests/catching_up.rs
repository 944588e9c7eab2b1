//! Nodes that are behind: what they say while they wait, and how they come to be level.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/program.rs"]
mod program;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use sastrugi::{
    client::KvClient,
    description::{Sampling, SnowParameters, Subnet, Validators},
    kvvm::{
        api::{BlockInfo, TxStatus},
        client::{Key, put},
    },
    network::layout::{CHAIN_NAME, DESCRIPTION_FILE, NetworkDir, Plan},
    node::ProcessContext,
};
use serde_json::{Value, json};

use ports::Ports;
use program::{Program, until};

/// A network whose nodes are processes of their own.
struct Network {
    place: NetworkDir,
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Network {
    /// Makes it with this configuration of its chain.
    fn new(nodes: usize, chain: &Value) -> Self {
        Self::described(nodes, |subnet| subnet.chains[0].config = chain.to_string())
    }

    /// Makes it with changes to the description of its subnet.
    fn described(nodes: usize, change: impl FnOnce(&mut Subnet)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::take();
        let parameters = SnowParameters::default();
        let plan = Plan { nodes, http_port: Some(ports.first()), parameters };
        let mut place = NetworkDir::create(&folder.path().join("network"), &plan).unwrap();
        change(&mut place.description.subnets[0]);
        place.save().unwrap();
        Self { place, folder, ports }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Starts a node and waits until it can be asked.
    fn launch(&self, node: usize) -> (Program, Api) {
        let folder = self.place.node_dir(node).unwrap();
        let flags = folder.join("flags.json");
        self.run(&["--config-file", flags.to_str().unwrap()], &folder)
    }

    fn run(&self, arguments: &[&str], folder: &Path) -> (Program, Api) {
        let mut program = Program::start(&self.home(), &[&["node"], arguments].concat());
        let api = until("the node serves", || {
            program.assert_runs();
            ProcessContext::read(&folder.join("process.json")).unwrap()
        });
        (program, Api(api.uri))
    }

    /// Starts all validators and waits until they are healthy.
    fn launch_all(&self, nodes: usize) -> Vec<(Program, Api)> {
        let programs: Vec<_> = (0..nodes).map(|node| self.launch(node)).collect();
        for (_, api) in &programs {
            api.wait_until_healthy();
        }
        programs
    }
}

/// The API of a node.
struct Api(String);

impl Api {
    fn get(&self, path: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut response =
            ureq::Agent::from(config).get(format!("{}{path}", self.0)).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    fn health(&self) -> (u16, Value) {
        let (status, body) = self.get("/ext/health");
        (status, serde_json::from_str(&body).unwrap())
    }

    fn wait_until_healthy(&self) {
        until("the node is healthy", || (self.health().0 == 200).then_some(()));
    }

    fn info(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut response = ureq::post(format!("{}/ext/info", self.0))
            .header("content-type", "application/json")
            .send(body.to_string())
            .unwrap();
        let answer = response.body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
    }

    /// A metric that is a whole number.
    fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.get("/ext/metrics");
        let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
        let line = line.unwrap_or_else(|| panic!("{name} is missing"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn client(&self) -> KvClient {
        KvClient::new(&self.0, CHAIN_NAME)
    }

    fn height(&self) -> u64 {
        let last: BlockInfo = self.client().call("kv.lastAccepted", &()).unwrap();
        last.height.0
    }

    /// Writes so many times, each in a block of its own, and returns the last height.
    fn write(&self, count: u64) -> u64 {
        let (client, key) = (self.client(), Key::from_seed(&[9; 32]));
        let target = client.target().unwrap();
        let first = client.next_nonce(key.account()).unwrap();
        for nonce in first..first + count {
            let operation = put(format!("key {nonce}"), format!("value {nonce}"));
            let transaction = key.sign(target, nonce, vec![operation]).unwrap();
            let id = client.issue(&transaction).unwrap();
            until("a write is final", || match client.status(id).unwrap() {
                TxStatus::Accepted { .. } => Some(()),
                TxStatus::Dropped { reason } => panic!("{id} was dropped: {reason}"),
                _ => None,
            });
        }
        self.height()
    }
}

/// Ends nodes cleanly.
fn stop(programs: Vec<(Program, Api)>) {
    for (program, _) in programs {
        let ended = program.stop(Signal::TERM);
        assert!(ended.assert_success().stdout.contains("node stopped"), "{ended:?}");
    }
}

#[test]
fn a_node_that_waits_for_beacons_says_so_and_serves_nothing_of_its_chain() {
    let network = Network::new(3, &json!({}));
    let (alone, api) = network.launch(0);
    let wanted = "bootstrapping waits for beacons: weight 100 is connected, 225 is needed";
    let (status, health) = until("the chain says why it waits", || {
        let (status, health) = api.health();
        let cause = health["checks"]["kv"]["error"].as_str()?;
        cause.contains(wanted).then_some((status, health))
    });
    assert_eq!((status, &health["healthy"]), (503, &json!(false)));
    let checks = &health["checks"];
    assert_eq!(checks["bootstrapped"]["error"], "subnets not bootstrapped");
    let progress = &checks["kv"]["message"]["engine"]["bootstrap"];
    assert_eq!(progress["phase"], "waitingForBeacons");
    let chain = json!({"chain": CHAIN_NAME});
    assert_eq!(api.info("info.isBootstrapped", &chain)["isBootstrapped"], false);
    assert_eq!(api.get("/ext/bc/kv/rpc").0, 503);
    let (_, page) = api.get("/ext/bc/kv");
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["catchingUp"]["phase"], "waitingForBeacons");
    assert_eq!(api.metric("avalanche_snowman_bootstrap_finished"), 0);

    let other = network.launch(1);
    let third = network.launch(2);
    api.wait_until_healthy();
    assert_eq!(api.info("info.isBootstrapped", &chain)["isBootstrapped"], true);
    assert_eq!(api.metric("avalanche_snowman_bootstrap_finished"), 1);
    stop(vec![(alone, api), other, third]);
}

#[test]
fn a_node_without_a_place_in_the_network_joins_by_its_description() {
    const WRITES: u64 = 10;
    let network = Network::new(2, &json!({}));
    let validators = network.launch_all(2);
    let written = validators[0].1.write(WRITES);
    let folder = network.folder.path().join("joined");
    let (http, staking) = (network.ports.first() + 8, network.ports.first() + 9);
    let description = network.place.path.join(DESCRIPTION_FILE);
    let (joined, api) = network.run(
        &[
            "--network-file",
            description.to_str().unwrap(),
            "--data-dir",
            folder.to_str().unwrap(),
            "--http-port",
            &http.to_string(),
            "--staking-host",
            "127.0.0.1",
            "--staking-port",
            &staking.to_string(),
        ],
        &folder,
    );
    api.wait_until_healthy();
    assert_eq!(api.height(), written);
    assert_eq!(api.metric("avalanche_snowman_bs_fetched"), written);
    assert_eq!(api.metric("avalanche_snowman_bs_accepted"), written);
    let written = api.write(1);
    until("all follow", || validators.iter().all(|(_, api)| api.height() == written).then_some(()));
    let log = fs::read_to_string(folder.join("logs").join("main.log")).unwrap();
    assert!(log.contains("bootstrapped"), "{log}");
    stop(vec![(joined, api)]);
    stop(validators);
}

#[test]
fn a_chain_with_another_genesis_stops_alone_and_its_node_says_why() {
    let network = Network::new(2, &json!({}));
    let validators = network.launch_all(2);
    validators[0].1.write(2);
    let mut description = network.place.description.clone();
    let genesis = json!({"timestampMs": "7", "entries": []}).to_string();
    description.subnets[0].chains[0].genesis = const_hex::encode(genesis);
    let file = network.folder.path().join("other.json");
    fs::write(&file, json!(description).to_string()).unwrap();
    let folder = network.folder.path().join("other");
    let [http, staking] = [8, 9].map(|offset| (network.ports.first() + offset).to_string());
    let mut arguments = vec!["--network-file", file.to_str().unwrap()];
    arguments.extend(["--data-dir", folder.to_str().unwrap(), "--staking-host", "127.0.0.1"]);
    arguments.extend(["--http-port", &http, "--staking-port", &staking]);
    let (other, api) = network.run(&arguments, &folder);

    let health = until("the node says why its chain stopped", || {
        let (status, health) = api.health();
        let cause = health["checks"]["kv"]["error"].as_str()?.to_owned();
        assert_eq!(status, 503);
        cause.contains("the chain stopped").then_some(cause)
    });
    assert!(health.contains("does not verify in bootstrapping"), "{health}");
    assert!(health.contains("another chain than the network's"), "{health}");
    assert!(api.info("info.getNodeID", &json!({}))["nodeID"].is_string());
    validators[1].1.write(1);
    let ended = other.stop(Signal::TERM);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    stop(validators);
}

#[test]
fn a_node_that_jumps_executes_only_the_rest() {
    const WRITES: u64 = 40;
    let chain = json!({"stateSyncSummaryInterval": 16, "stateSyncMinBlocks": 8});
    let mut network = Network::new(2, &chain);
    let validators = network.launch_all(2);
    let written = validators[0].1.write(WRITES);
    let number = network.place.add_node(None, &[("state-sync-enabled", "true")]).unwrap();
    let (jumped, api) = network.launch(number);
    api.wait_until_healthy();
    assert_eq!(api.height(), written);
    let executed = api.metric("avalanche_snowman_bs_accepted");
    assert!(executed <= 16, "{executed} of {written} blocks were executed");
    stop(vec![(jumped, api)]);

    // It goes on from where it was, and is not far enough behind to jump again.
    let written = validators[1].1.write(3);
    let (jumped, api) = network.launch(number);
    api.wait_until_healthy();
    assert_eq!(api.height(), written);
    assert_eq!(api.metric("avalanche_snowman_bs_accepted"), 3);
    stop(vec![(jumped, api)]);
    stop(validators);
}

#[test]
fn where_every_peer_validates_a_chain_waits_for_peers_and_a_node_alone_for_nobody() {
    let open = |subnet: &mut Subnet| {
        subnet.sampling = Sampling::Connected;
        subnet.validators = Validators::Always(Vec::new());
    };
    let network = Network::described(2, open);
    let (one, api) = network.launch(0);
    until("the chain waits", || {
        let awaited = "weight 0 is connected, 1 is needed";
        api.health().1["checks"]["kv"]["error"].as_str().filter(|error| error.contains(awaited))?;
        Some(())
    });
    let other = network.launch(1);
    for api in [&api, &other.1] {
        api.wait_until_healthy();
    }
    let written = api.write(2);
    until("the other follows", || (other.1.height() == written).then_some(()));
    stop(vec![(one, api), other]);

    let network = Network::described(1, open);
    let (alone, api) = network.launch(0);
    api.wait_until_healthy();
    assert_eq!(api.write(2), 2);
    stop(vec![(alone, api)]);
}

#[test]
fn beacons_of_the_chain_stand_in_for_the_validators() {
    let mut beacon = None;
    let network = Network::described(3, |subnet| {
        let Validators::Always(validators) = &subnet.validators else { panic!("{subnet:?}") };
        beacon = Some(validators[1].node_id);
        subnet.chains[0].beacons = beacon.into_iter().collect();
    });
    let waiting = network.launch(0);
    until("the chain waits", || {
        let awaited = "weight 0 is connected, 1 is needed";
        let (_, health) = waiting.1.health();
        health["checks"]["kv"]["error"].as_str().filter(|error| error.contains(awaited)).map(drop)
    });
    let beacon = network.launch(1);
    let chain = json!({"chain": CHAIN_NAME});
    for (_, api) in [&waiting, &beacon] {
        until("one beacon is enough", || {
            (api.info("info.isBootstrapped", &chain)["isBootstrapped"] == true).then_some(())
        });
    }
    stop(vec![waiting, beacon]);
}
