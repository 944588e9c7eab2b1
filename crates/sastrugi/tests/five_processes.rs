//! Five nodes, each a process of its own, talk over TLS on the loopback. One is told to stop and one
//! is killed, and each comes back.
//!
//! With one of five nodes away a poll of 20 votes still succeeds four times in five: the network is
//! slower and not stalled.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here fails the test")]
#![expect(clippy::print_stdout, reason = "times are shown, not asserted")]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/program.rs"]
mod program;

use std::{collections::BTreeSet, ops::Range, time::Instant};

use rustix::process::Signal;
use sastrugi::{
    client::KvClient,
    description::SnowParameters,
    kvvm::{
        api::{BlockInfo, BlockReply, Decimal, GetArgs, GetBlockArgs, GetReply, Hex, TxStatus},
        client::{Key, put},
    },
    network::layout::{CHAIN_NAME, NetworkDir, Plan},
    node::ProcessContext,
    types::{Id, formatting::Encoding},
};

use ports::Ports;
use program::{Program, until};

const NODES: usize = 5;
/// Writes while a node is away.
const WRITES: u64 = 6;
/// A node that is away catches up while it misses fewer blocks.
const MISSED_MAX: u64 = 20;

#[test]
fn nodes_that_stop_or_die_catch_up_and_all_agree_on_every_block() {
    let mut network = Network::start();
    network.write(0, 0..3);

    network.stop(2);
    network.write_without(2, 0, 3..3 + WRITES);
    network.restart(2);
    network.write(2, 20..22);

    network.kill(4);
    network.write_without(4, 1, 30..30 + WRITES);
    network.restart(4);
    network.write(4, 40..42);

    let blocks = network.block_ids(0);
    for node in 1..NODES {
        assert_eq!(network.block_ids(node), blocks, "node {node}");
    }
    let different: BTreeSet<&Id> = blocks.iter().collect();
    assert_eq!(different.len(), blocks.len());
    network.stop_all();
}

/// Five nodes, what was written to them, and who runs.
struct Network {
    programs: Vec<Option<Program>>,
    place: NetworkDir,
    key: Key,
    written: Vec<u64>,
    folder: tempfile::TempDir,
    _ports: Ports,
}

impl Network {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::take();
        let plan = Plan {
            nodes: NODES,
            http_port: Some(ports.first()),
            parameters: SnowParameters::default(),
        };
        let place = NetworkDir::create(&folder.path().join("network"), &plan).unwrap();
        let mut network = Self {
            programs: (0..NODES).map(|_| None).collect(),
            place,
            key: Key::from_seed(&[7; 32]),
            written: Vec::new(),
            folder,
            _ports: ports,
        };
        let start = Instant::now();
        (0..NODES).for_each(|node| network.launch(node));
        (0..NODES).for_each(|node| network.wait_until_healthy(node));
        println!("healthy after {:?}", start.elapsed());
        network
    }

    fn launch(&mut self, node: usize) {
        let flags = self.place.node_dir(node).unwrap().join("flags.json");
        let home = self.folder.path().join(format!("home{node}"));
        let flags = flags.to_str().unwrap();
        let program = Program::start(&home, &["node", "--config-file", flags]);
        self.programs[node] = Some(program);
    }

    fn wait_until_healthy(&mut self, node: usize) {
        let program = self.programs[node].as_mut().unwrap();
        let file = self.place.node_dir(node).unwrap().join("process.json");
        until("a node is healthy", || {
            program.assert_runs();
            let url = ProcessContext::read(&file).unwrap()?.uri;
            ureq::get(format!("{url}/ext/health")).call().ok()
        });
    }

    /// Tells a node to stop; it does so cleanly.
    fn stop(&mut self, node: usize) {
        let ended = self.programs[node].take().unwrap().stop(Signal::TERM);
        assert!(ended.assert_success().stdout.contains("node stopped"), "{ended:?}");
        assert!(!self.place.node_dir(node).unwrap().join("process.json").exists());
    }

    /// Ends a node without telling it.
    fn kill(&mut self, node: usize) {
        let ended = self.programs[node].take().unwrap().stop(Signal::KILL);
        assert_eq!(ended.status.code(), None);
        assert!(self.place.node_dir(node).unwrap().join("process.json").exists());
        assert!(self.place.process(node).unwrap().is_none(), "the process is gone");
    }

    fn stop_all(mut self) {
        (0..NODES).for_each(|node| self.stop(node));
    }

    /// Starts a node again. It reaches the others' height without a further write, and has every
    /// value.
    fn restart(&mut self, node: usize) {
        let start = Instant::now();
        self.launch(node);
        self.wait_until_healthy(node);
        let other = (node + 1) % NODES;
        let height = self.height(other);
        until("a node catches up", || (self.height(node) >= height).then_some(()));
        println!("node {node} is back and caught up after {:?}", start.elapsed());
        for number in self.written.clone() {
            self.wait_for_value(node, number);
        }
    }

    fn client(&self, node: usize) -> KvClient {
        let process = self.place.process(node).unwrap().unwrap();
        KvClient::new(&process.uri, CHAIN_NAME)
    }

    /// Writes through a node, one after the other, and reads through all that run.
    fn write(&mut self, node: usize, numbers: Range<u64>) {
        let client = self.client(node);
        for number in numbers {
            let start = Instant::now();
            let nonce = client.next_nonce(self.key.account()).unwrap();
            let operation = put(name(number), value(number));
            let transaction =
                self.key.sign(client.target().unwrap(), nonce, vec![operation]).unwrap();
            let id = client.issue(&transaction).unwrap();
            let Decimal(height) = until("a write is final", || match client.status(id).unwrap() {
                TxStatus::Accepted { height } => Some(height),
                TxStatus::Dropped { reason } => panic!("{id} was dropped: {reason}"),
                _ => None,
            });
            println!("write {number} is final at height {height} after {:?}", start.elapsed());
            self.written.push(number);
            let running = (0..NODES).filter(|node| self.programs[*node].is_some());
            running.for_each(|node| self.wait_for_value(node, number));
        }
    }

    /// Writes while a node is away, and no more than it can catch up with.
    fn write_without(&mut self, away: usize, node: usize, numbers: Range<u64>) {
        assert!(self.programs[away].is_none());
        let before = self.height(node);
        self.write(node, numbers);
        let missed = self.height(node) - before;
        assert!((1..MISSED_MAX).contains(&missed), "{missed} blocks");
    }

    fn wait_for_value(&self, node: usize, number: u64) {
        let client = self.client(node);
        let args = GetArgs {
            account: self.key.account(),
            key: Hex(name(number).into()),
            height: None,
            proof: true,
        };
        until("a node knows a value", || {
            let reply: GetReply = client.call("kv.get", &args).unwrap();
            assert!(reply.is_proven(self.key.account(), name(number).as_bytes()));
            reply.value.map(|Hex(found)| assert_eq!(found, value(number).as_bytes()))
        });
    }

    fn height(&self, node: usize) -> u64 {
        let last: BlockInfo = self.client(node).call("kv.lastAccepted", &()).unwrap();
        last.height.0
    }

    /// The IDs of a node's blocks by height, each block extending the former.
    fn block_ids(&self, node: usize) -> Vec<Id> {
        let client = self.client(node);
        let mut ids: Vec<Id> = Vec::new();
        for height in 0..=self.height(node) {
            let args = GetBlockArgs {
                block_id: None,
                height: Some(Decimal(height)),
                encoding: Encoding::Json,
            };
            let reply: BlockReply = client.call("kv.getBlock", &args).unwrap();
            let BlockReply::Json { block, .. } = reply else { panic!("{reply:?}") };
            assert_eq!(block.block.height, Decimal(height));
            assert!(ids.last().is_none_or(|parent| *parent == block.parent_id));
            ids.push(block.block.block_id);
        }
        ids
    }
}

fn name(number: u64) -> String {
    format!("key {number}")
}

fn value(number: u64) -> String {
    format!("value {number}")
}
