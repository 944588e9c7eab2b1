//! Five validators with a long history, each a process, and writes that go through all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{JoinHandle, scope, sleep, spawn},
    time::{Duration, Instant},
};

use sastrugi::{
    client::KvClient,
    description::SnowParameters,
    kvvm::client::{Key, put},
    network::layout::{DESCRIPTION_FILE, NetworkDir, Plan},
    types::Id,
};
use serde_json::json;

use crate::{
    history::History,
    node::{Node, path},
    ports::Ports,
    program::until,
    reference::{Reference, block_at},
};

pub(crate) const VALIDATORS: usize = 5;
/// Validators name the states at multiples of this to who jumps.
pub(crate) const SUMMARY_INTERVAL: u64 = 64;
/// Who jumps asks for little at once, so that it takes its time.
const RANGE_BYTES: u64 = 2048;
/// A chain that is quiet for so long has nothing left to accept.
const QUIET: Duration = Duration::from_millis(500);
/// Between two looks at what is asked for.
const STEP: Duration = Duration::from_millis(5);
/// After so many writes an account asks for its nonce.
const NONCE_PERIOD: u64 = 16;

/// See the module.
pub(crate) struct Network {
    pub(crate) place: NetworkDir,
    pub(crate) validators: Vec<Node>,
    load: Load,
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Network {
    /// Makes the network and its history, and starts it.
    pub(crate) fn start(blocks: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::take();
        let plan = Plan {
            nodes: VALIDATORS,
            http_port: Some(ports.first()),
            parameters: SnowParameters::default(),
        };
        let mut place = NetworkDir::create(&folder.path().join("network"), &plan).unwrap();
        let config = json!({
            "stateSyncSummaryInterval": SUMMARY_INTERVAL,
            "stateSyncMinBlocks": SUMMARY_INTERVAL,
            "stateSyncRangeBytes": RANGE_BYTES,
        });
        place.description.subnets[0].chains[0].config = config.to_string();
        place.save().unwrap();
        let mut history = History::of(&place.description);
        history.grow(blocks);
        let validator = |number: usize| {
            let data_dir = place.node_dir(number).unwrap();
            history.write_to(&data_dir);
            let flags = path(&data_dir.join("flags.json"));
            let home = folder.path().join(format!("home{number}"));
            let http = ports.first() + 2 * number as u16;
            Node::new(data_dir, home, http, vec!["node".into(), "--config-file".into(), flags])
        };
        let mut validators: Vec<Node> = (0..VALIDATORS).map(validator).collect();
        validators.iter_mut().for_each(Node::start);
        let clients = validators.iter().map(|node| node.eyes().client().clone()).collect();
        let network = Self { load: Load::start(clients), place, validators, folder, ports };
        until("the network takes part in consensus", || {
            let is_up = |node: &Node| node.eyes().view().is_some_and(|view| view.is_voting);
            network.validators.iter().all(is_up).then_some(())
        });
        network
    }

    /// A node that is not there yet, and will not be a validator.
    pub(crate) fn joiner(&self, name: &str, flags: &[&str]) -> Node {
        let data_dir = self.folder.path().join(name);
        let http = self.ports.first() + 2 * VALIDATORS as u16;
        let (http_port, staking_port) = (http.to_string(), (http + 1).to_string());
        let (description, folder) =
            (path(&self.place.path.join(DESCRIPTION_FILE)), path(&data_dir));
        let mut arguments = vec!["node", "--network-file", &description, "--data-dir", &folder];
        arguments.extend(["--http-port", &http_port, "--staking-port", &staking_port]);
        arguments.extend(["--staking-host", "127.0.0.1", "--public-ip", "127.0.0.1"]);
        arguments.extend(["--network-max-reconnect-delay", "1s"]);
        arguments.extend(flags);
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Node::new(data_dir, self.folder.path().join(format!("home of {name}")), http, arguments)
    }

    /// The height of the highest last accepted block of any validator.
    pub(crate) fn height(&self) -> u64 {
        let heights = self.validators.iter().filter_map(|node| node.eyes().last());
        heights.map(|(height, _)| height).max().unwrap()
    }

    /// Waits until a validator has accepted a block of this height, for a node that was killed may
    /// have been the first, and lets the reference execute what that validator has.
    pub(crate) fn teach(&self, reference: &mut Reference, height: u64) {
        let knows = |node: &&Node| node.eyes().last().is_some_and(|(last, _)| last >= height);
        let node = until("a validator has the block", || self.validators.iter().find(knows));
        reference.follow(node.eyes().client(), height);
    }

    /// Asks for so many writes per second.
    pub(crate) fn load(&self, per_second: u64) {
        self.load.per_second.store(per_second, Ordering::Release);
    }

    /// Waits until nothing more is written, and all validators and this node have accepted the same
    /// block, whose height this gives.
    pub(crate) fn settle(&self, other: &Node) -> u64 {
        self.load(0);
        let mut before: (Option<(u64, Id)>, Instant) = (None, Instant::now());
        until("all nodes have accepted the same", || {
            let last = other.eyes().last();
            let is_same = self.validators.iter().all(|node| node.eyes().last() == last);
            if !is_same || last != before.0 {
                before = (last.filter(|_| is_same), Instant::now());
            }
            before.0.filter(|_| before.1.elapsed() >= QUIET).map(|(height, _)| height)
        })
    }

    /// All validators have the same block at every height.
    pub(crate) fn assert_same_blocks(&self, reference: &Reference) {
        let expected: Vec<Id> = (0..=reference.height()).map(|at| reference.id(at)).collect();
        scope(|threads| {
            for node in &self.validators {
                threads.spawn(|| {
                    let client = node.eyes().client();
                    for (height, id) in expected.iter().enumerate() {
                        assert_eq!(block_at(client, height as u64).id(), *id, "height {height}");
                    }
                });
            }
        });
    }

    /// Tells all validators to stop; they do so cleanly.
    pub(crate) fn end(mut self) {
        self.load.end();
        self.validators.iter_mut().for_each(Node::end);
    }
}

/// Writes through each of some nodes, in turns.
struct Load {
    per_second: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// What `per_second` says when the writing is over.
    const OVER: u64 = u64::MAX;

    fn start(clients: Vec<KvClient>) -> Self {
        let per_second = Arc::new(AtomicU64::new(0));
        let count = clients.len() as u64;
        let start = |(number, client): (usize, KvClient)| {
            let per_second = per_second.clone();
            let key = Key::from_seed(&[200 + number as u8; 32]);
            spawn(move || write(&client, &key, &per_second, count))
        };
        let threads = clients.into_iter().enumerate().map(start).collect();
        Self { per_second, threads }
    }

    fn end(self) {
        self.per_second.store(Self::OVER, Ordering::Release);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Writes one `count`-th of what is asked for. A node that does not answer is asked again later.
fn write(client: &KvClient, key: &Key, per_second: &AtomicU64, count: u64) {
    let (mut nonce, mut number, mut last) = (None, 0_u64, Instant::now());
    loop {
        let rate = per_second.load(Ordering::Acquire);
        if rate == Load::OVER {
            return;
        }
        if rate == 0 || last.elapsed() * (rate as u32) < Duration::from_secs(count) {
            sleep(STEP);
            continue;
        }
        last = Instant::now();
        number += 1;
        if number.is_multiple_of(NONCE_PERIOD) {
            nonce = None;
        }
        nonce = issue(client, key, nonce, number);
    }
}

/// Issues a write and gives the nonce of the next one, if it is known.
fn issue(client: &KvClient, key: &Key, nonce: Option<u64>, number: u64) -> Option<u64> {
    let nonce = match nonce {
        None => client.next_nonce(key.account()).ok()?,
        Some(nonce) => nonce,
    };
    let operation = put(format!("load {}", number % 64), format!("write {number}"));
    let transaction = key.sign(client.target().ok()?, nonce, vec![operation]).unwrap();
    client.issue(&transaction).ok().map(|_| nonce + 1)
}
