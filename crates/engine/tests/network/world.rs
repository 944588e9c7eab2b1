//! Nodes, the messages between them, and the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_engine::{
    chain::Permit,
    common::NodeSet,
    router::Network,
    testing::{ManualClock, TestVm, test_block},
};
use sastrugi_types::{
    Id, Instant, NodeId,
    message::{Inbound, Outbound, Payload, Response},
};
use sastrugi_vm::{Block, ChainVm as _, Clock, SendConfig, db::MemoryDb};

use crate::node::{Follows, Node};
pub(crate) use crate::node::{NODES, node_id};

/// What a liar makes of its answers.
pub(crate) type Lie = Arc<dyn Fn(&mut Response) + Send + Sync>;

/// The messages under way, by the time they arrive.
#[derive(Default)]
pub(crate) struct Wire {
    under_way: Mutex<BTreeMap<(Instant, u64), (NodeId, Inbound)>>,
    pub(crate) sent: AtomicU64,
    /// Its links lose everything.
    pub(crate) cut_off: Mutex<Option<NodeId>>,
    /// Who is connected to whom, both ways.
    connected: Mutex<BTreeSet<(NodeId, NodeId)>>,
    lies: Mutex<BTreeMap<NodeId, Lie>>,
}

/// One node's end of the wire.
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) wire: Arc<Wire>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Network for Link {
    fn send(&self, message: &Outbound, to: &NodeSet, _subnet: Id) -> NodeSet {
        let cut_off = *self.wire.cut_off.lock();
        let is_connected = |to: &&NodeId| self.wire.connected.lock().contains(&(self.node, **to));
        let reached: NodeSet = to.iter().filter(is_connected).copied().collect();
        for target in &reached {
            let number = self.wire.sent.fetch_add(1, Ordering::Relaxed);
            if cut_off == Some(self.node) || cut_off == Some(*target) {
                continue;
            }
            let delay = Duration::from_millis(5 + number * 7 % 11);
            let Outbound { chain, mut payload } = message.clone();
            if let (Payload::Response { response, .. }, Some(lie)) =
                (&mut payload, self.wire.lies.lock().get(&self.node))
            {
                lie(response);
            }
            let arrival = (self.clock.now() + delay, number);
            let inbound = Inbound { from: self.node, chain, payload };
            self.wire.under_way.lock().insert(arrival, (*target, inbound));
        }
        reached
    }

    fn gossip(&self, message: &Outbound, config: &SendConfig, subnet: Id) -> NodeSet {
        self.send(message, &config.node_ids, subnet)
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) genesis: Block,
}

pub(crate) fn genesis() -> Block {
    test_block(Id::EMPTY, 0, 100)
}

/// So many blocks on genesis; `bytes` tells chains apart.
pub(crate) fn history(blocks: u64, bytes: usize) -> Vec<Block> {
    let mut parent = genesis().id;
    let block = |height| {
        let block = test_block(parent, height, bytes);
        parent = block.id;
        block
    };
    (1..=blocks).map(block).collect()
}

/// A VM that has accepted these blocks.
pub(crate) fn vm_at(history: &[Block]) -> Arc<TestVm> {
    let vm = TestVm::new(genesis());
    for block in history {
        vm.verify(block, None).unwrap();
        vm.accept(block.id).unwrap();
    }
    vm
}

impl World {
    /// Nodes 0 to `running` vote on top of this history and are connected to each other.
    pub(crate) fn new(running: u8, history: &[Block]) -> Self {
        let (clock, wire) = (Arc::new(ManualClock::default()), Arc::new(Wire::default()));
        let mut world = Self { clock, wire, nodes: Vec::new(), genesis: genesis() };
        for index in 0..running {
            world.add(index, vm_at(history), MemoryDb::new(), Follows::Votes);
            for peer in 0..index {
                world.connect(index, peer);
            }
        }
        for index in 0..running {
            world.start(index);
        }
        world
    }

    /// A node that is not connected and not started.
    pub(crate) fn add(&mut self, index: u8, vm: Arc<TestVm>, db: MemoryDb, follows: Follows) {
        let link =
            Link { node: node_id(index), wire: self.wire.clone(), clock: self.clock.clone() };
        self.nodes.push(Node::new(index, link, vm, db, follows));
    }

    /// Adds a node, connects it to these others, and starts it.
    pub(crate) fn join(&mut self, index: u8, vm: Arc<TestVm>, follows: Follows, peers: &[u8]) {
        self.join_again(index, (vm, MemoryDb::new()), follows, peers);
    }

    /// The same with what a killed node has left.
    pub(crate) fn join_again(
        &mut self,
        index: u8,
        (vm, db): (Arc<TestVm>, MemoryDb),
        follows: Follows,
        peers: &[u8],
    ) {
        self.add(index, vm, db, follows);
        for peer in peers {
            self.connect(index, *peer);
        }
        self.start(index);
    }

    /// The node ends without any notice. Its VM and its database are left.
    pub(crate) fn kill(&mut self, index: u8) -> (Arc<TestVm>, MemoryDb) {
        let position = self.position(index);
        let node = self.nodes.remove(position);
        for other in &self.nodes {
            let mut connected = self.wire.connected.lock();
            connected.remove(&(node.id, other.id));
            connected.remove(&(other.id, node.id));
            other.router.lock().disconnected(node.id);
        }
        (node.vm.clone(), node.db.clone())
    }

    pub(crate) fn connect(&self, one: u8, other: u8) {
        for (from, to) in [(one, other), (other, one)] {
            self.wire.connected.lock().insert((node_id(from), node_id(to)));
            self.node(from).connected(node_id(to));
        }
    }

    pub(crate) fn start(&mut self, index: u8) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.node_mut(index).chain.start(now, wall);
    }

    pub(crate) fn lie(&self, index: u8, lie: impl Fn(&mut Response) + Send + Sync + 'static) {
        self.wire.lies.lock().insert(node_id(index), Arc::new(lie));
    }

    fn position(&self, index: u8) -> usize {
        self.nodes.iter().position(|node| node.id == node_id(index)).unwrap()
    }

    pub(crate) fn node(&self, index: u8) -> &Node {
        &self.nodes[self.position(index)]
    }

    pub(crate) fn node_mut(&mut self, index: u8) -> &mut Node {
        let position = self.position(index);
        &mut self.nodes[position]
    }

    pub(crate) fn run_until(&mut self, end: Instant) {
        loop {
            for node in &mut self.nodes {
                node.run(&self.clock);
            }
            let arrival = self.wire.under_way.lock().keys().next().map(|(arrival, _)| *arrival);
            let timeouts = self.nodes.iter().filter_map(Node::poll_timeout);
            let Some(next) = timeouts.chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            self.clock.set(next.max(self.clock.now()));
            self.deliver();
        }
        self.clock.set(end);
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        self.run_until(self.clock.now() + span);
    }

    fn deliver(&self) {
        let now = self.clock.now();
        loop {
            let Some(entry) = self.wire.under_way.lock().pop_first() else { return };
            if entry.0.0 > now {
                self.wire.under_way.lock().insert(entry.0, entry.1);
                return;
            }
            let (to, message) = entry.1;
            if let Some(node) = self.nodes.iter().find(|node| node.id == to) {
                node.router.lock().inbound(now, message, Permit::NONE);
            }
        }
    }

    /// A node has one block to build, of so many bytes, on the last accepted one.
    pub(crate) fn build(&self, index: u8, bytes: usize) {
        let node = self.node(index);
        let height = node.vm.accepted().len() as u64;
        let parent = node.vm.accepted().pop().unwrap();
        node.vm.set_to_build(vec![test_block(parent, height, bytes)]);
        node.events.set_pending_txs(true);
    }

    /// A node builds a block, which the network has a second to accept.
    pub(crate) fn build_one(&mut self, index: u8) {
        self.build(index, 100);
        self.run(Duration::from_secs(1));
        self.node(index).events.set_pending_txs(false);
    }

    pub(crate) fn accepted(&self, index: u8) -> Vec<Id> {
        self.node(index).vm.accepted()
    }

    pub(crate) fn causes(&mut self, index: u8) -> Vec<String> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.node_mut(index).chain.health(now, wall).causes
    }
}
