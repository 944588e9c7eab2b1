//! The chain as it must be: blocks as the network gives them over HTTP, executed one by one from
//! genesis by a VM in memory.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use sastrugi::{
    client::KvClient,
    description::NetworkDescription,
    kvvm::{
        Account, Block, Kvvm, Transaction,
        api::{
            BlockInfo, BlockReply, Decimal, GetArgs, GetBlockArgs, GetReply, Hex, RangeArgs,
            RangeEntry, RangeReply,
        },
        client,
    },
    types::{Id, formatting::Encoding},
    vm::{
        State,
        db::MemoryDb,
        testkit::{Setup, TestClock, TestNode},
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// See the module.
pub(crate) struct Reference {
    node: TestNode,
    blocks: Vec<Block>,
}

impl Reference {
    /// The chain with nothing but genesis.
    pub(crate) fn of(description: &NetworkDescription) -> Self {
        let mut setup = setup(description);
        setup.config = Bytes::from_static(br#"{"stateHistory": null}"#);
        // In this gear blocks of any time are verified.
        setup.gear = State::Bootstrapping;
        let clock = Arc::new(TestClock::default());
        let node = TestNode::start_on(setup, MemoryDb::new(), clock).unwrap();
        let genesis = node.vm.get_block(node.vm.last_accepted().unwrap()).unwrap().unwrap();
        Self { node, blocks: vec![Block::decode(genesis.bytes).unwrap()] }
    }

    /// Executes what a node has accepted, up to a height at least.
    pub(crate) fn follow(&mut self, client: &KvClient, height: u64) {
        while self.height() < height {
            let block = block_at(client, self.height() + 1);
            let parsed = self.node.vm.parse_block(block.bytes().clone()).unwrap();
            self.node.vm.verify(&parsed, None).unwrap();
            self.node.accept(parsed.id).unwrap();
            self.blocks.push(block);
        }
    }

    /// How far the chain is executed.
    pub(crate) const fn height(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The block at a height.
    pub(crate) fn id(&self, height: u64) -> Id {
        self.blocks[height as usize].id()
    }

    /// A key that the block at a height, above genesis, changes.
    pub(crate) fn changed(&self, height: u64) -> (Account, Bytes) {
        let transaction = &self.blocks[height as usize].transactions()[0];
        (transaction.account(), transaction.operations()[0].key().clone())
    }

    /// What a key holds in the state after the block at a height.
    pub(crate) fn value(&self, account: Account, key: Bytes, height: u64) -> Option<Hex> {
        get(&self.node, account, key, height).value
    }

    /// A node that has accepted just what was executed here has the same state: its root, its
    /// entries, and the way from the one to the others.
    pub(crate) fn assert_same_state(&self, client: &KvClient) {
        let own: BlockInfo = ask(&self.node, "kv.lastAccepted", &());
        let told: BlockInfo = client.call("kv.lastAccepted", &()).unwrap();
        assert_eq!(told, own, "the last accepted block and its root");
        let accounts: BTreeSet<Account> = self
            .blocks
            .iter()
            .flat_map(|block| block.transactions().iter().map(Transaction::account))
            .collect();
        for account in accounts {
            let theirs = entries(account, |args| client.call("kv.range", args).unwrap());
            let ours = entries(account, |args| ask(&self.node, "kv.range", args));
            assert_eq!(theirs, ours, "entries of {account:?}");
            let Some(RangeEntry { key: Hex(key), .. }) = ours.first() else { continue };
            let args = get_args(account, key.clone(), own.height.0);
            let reply: GetReply = client.call("kv.get", &args).unwrap();
            assert!(reply.is_proven(account, key), "{account:?} {key:?}");
        }
    }
}

/// What a node in memory needs to run the chain of a local network.
pub(crate) fn setup(description: &NetworkDescription) -> Setup {
    let (_, chain) = description.chains().next().unwrap();
    let mut setup = Setup::new(|| Arc::new(Kvvm::new()), chain.genesis_bytes().unwrap());
    setup.network_id = description.network_id;
    setup.chain_id = chain.id;
    setup
}

/// Asks a node for a block it has accepted.
pub(crate) fn block_at(client: &KvClient, height: u64) -> Block {
    let args =
        GetBlockArgs { block_id: None, height: Some(Decimal(height)), encoding: Encoding::HexNc };
    let reply: BlockReply = client.call("kv.getBlock", &args).unwrap();
    let BlockReply::Bytes { block, .. } = reply else { panic!("{reply:?}") };
    let block = Block::decode(const_hex::decode(block).unwrap().into()).unwrap();
    assert_eq!(block.height(), height);
    block
}

/// Asks a node in memory for a key with its proof.
pub(crate) fn get(node: &TestNode, account: Account, key: Bytes, height: u64) -> GetReply {
    ask(node, "kv.get", &get_args(account, key, height))
}

fn get_args(account: Account, key: Bytes, height: u64) -> GetArgs {
    GetArgs { account, key: Hex(key), height: Some(Decimal(height)), proof: true }
}

fn ask<A: Serialize, R: DeserializeOwned>(node: &TestNode, method: &str, args: &A) -> R {
    let answer = node.post("/rpc", &client::call(method, args)).unwrap();
    client::answer(&answer.body).unwrap()
}

/// All entries of an account, page by page.
fn entries(account: Account, page: impl Fn(&RangeArgs) -> RangeReply) -> Vec<RangeEntry> {
    let mut entries = Vec::new();
    let mut start = Some(Hex::default());
    while let Some(from) = start {
        let reply = page(&RangeArgs { account, start: from, limit: None });
        entries.extend(reply.entries);
        start = reply.next;
    }
    entries
}
