//! Random histories of a chain with forks, rejections, restarts and crashes, against a map.

#![expect(clippy::unwrap_used, reason = "a call that must succeed fails the test")]

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use sastrugi_kvvm::{
    Block as KvBlock, Genesis, Kvvm, Operation, Target, Transaction,
    api::{GetArgs, GetReply, Hex, RangeArgs, RangeReply},
    client::{self, Key},
};
use sastrugi_vm::{
    Block,
    testkit::{Setup, TestNode},
};

const ACCOUNTS: u8 = 3;
const KEYS: u8 = 6;

/// What one account wants to change: a value, or nothing, for each of some keys.
type Wish = (u8, Vec<(u8, Option<u8>)>);

#[derive(Clone, Debug)]
enum Event {
    /// One branch above the last accepted block for each list; one of them is accepted, up to a
    /// length, and everything else is rejected.
    Fork {
        branches: Vec<Vec<Vec<Wish>>>,
        winner: usize,
        length: usize,
    },
    Restart,
    /// A crash after a block was accepted and before it was committed.
    Crash(Vec<Wish>),
}

/// What the chain should hold at some block.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    nonces: BTreeMap<u8, u64>,
    entries: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
}

struct World {
    node: TestNode,
    target: Target,
    accepted: Model,
    blocks: Vec<Block>,
}

fn key_of(owner: u8) -> Key {
    Key::from_seed(&[owner + 1; 32])
}

impl Model {
    fn sign(&mut self, target: Target, (owner, changes): &Wish) -> Transaction {
        let nonce = self.nonces.entry(*owner).or_default();
        let mut operations: BTreeMap<u8, Operation> = BTreeMap::new();
        for (key, value) in changes {
            let operation = match value {
                Some(value) => client::put(vec![*key], vec![*value; usize::from(*value % 4)]),
                None => client::delete(vec![*key]),
            };
            operations.insert(*key, operation);
        }
        let operations = operations.into_values().collect();
        let transaction = key_of(*owner).sign(target, *nonce, operations).unwrap();
        *nonce += 1;
        for operation in transaction.operations() {
            let entry = (*owner, operation.key().to_vec());
            match operation {
                Operation::Put { value, .. } => self.entries.insert(entry, value.to_vec()),
                Operation::Delete { .. } => self.entries.remove(&entry),
            };
        }
        transaction
    }
}

impl World {
    fn new() -> Self {
        let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
        let target = Target { network_id: setup.network_id, chain_id: setup.chain_id };
        let node = TestNode::start(setup).unwrap();
        Self { node, target, accepted: Model::default(), blocks: Vec::new() }
    }

    /// A verified block on `parent` with these transactions, made by another node.
    fn block(&self, path: &[Block], model: &mut Model, wishes: &[Wish]) -> Block {
        let author =
            TestNode::start(Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json()))
                .unwrap();
        for block in self.blocks.iter().chain(path) {
            author.vm.verify(block, None).unwrap();
            author.accept(block.id).unwrap();
        }
        author.vm.set_preference(author.vm.last_accepted().unwrap()).unwrap();
        for wish in wishes {
            let transaction = model.sign(self.target, wish);
            issue(&author, &transaction);
        }
        let block = author.vm.build_block(None).unwrap();
        let transactions = KvBlock::decode(block.bytes.clone()).unwrap().transactions().len();
        assert_eq!(transactions, wishes.len());
        block
    }

    fn fork(&mut self, branches: &[Vec<Vec<Wish>>], winner: usize, length: usize) {
        let winner = winner % branches.len();
        let mut candidates: Vec<Vec<(Block, Model)>> = Vec::new();
        for branch in branches {
            let mut model = self.accepted.clone();
            let mut path: Vec<(Block, Model)> = Vec::new();
            for wishes in branch {
                let blocks: Vec<Block> = path.iter().map(|(block, _)| block.clone()).collect();
                let block = self.block(&blocks, &mut model, wishes);
                path.push((block, model.clone()));
            }
            candidates.push(path);
        }
        // All of them are processing at once, verified side by side.
        let depth = candidates.iter().map(Vec::len).max().unwrap_or(0);
        let mut processing: BTreeMap<_, Block> = BTreeMap::new();
        for level in 0..depth {
            for (block, _) in candidates.iter().filter_map(|branch| branch.get(level)) {
                if processing.insert(block.id, block.clone()).is_none() {
                    self.node.vm.verify(block, None).unwrap();
                    self.node.vm.set_preference(block.id).unwrap();
                }
            }
        }
        let winners = &candidates[winner][..length.min(candidates[winner].len())];
        for (block, model) in winners {
            self.node.accept(block.id).unwrap();
            processing.remove(&block.id);
            self.blocks.push(block.clone());
            self.accepted = model.clone();
        }
        let mut rejected: Vec<Block> = processing.into_values().collect();
        rejected.sort_by_key(|block| block.height);
        for block in rejected {
            self.node.vm.reject(block.id).unwrap();
        }
        let last = self.node.vm.last_accepted().unwrap();
        self.node.vm.set_preference(last).unwrap();
    }

    fn crash(mut self, wishes: &[Wish]) -> Self {
        let block = self.block(&[], &mut self.accepted.clone(), wishes);
        self.node.vm.verify(&block, None).unwrap();
        self.node.vm.accept(block.id).unwrap();
        self.node = self.node.crash().unwrap();
        self
    }

    fn check(&self) {
        for owner in 0..ACCOUNTS {
            let account = key_of(owner).account();
            let range: RangeReply = ask(
                &self.node,
                "kv.range",
                &RangeArgs { account, start: Hex::default(), limit: None },
            );
            assert_eq!(range.block.height.0, self.blocks.len() as u64);
            let found: Vec<_> = range
                .entries
                .into_iter()
                .map(|entry| ((owner, entry.key.0.to_vec()), entry.value.0.to_vec()))
                .collect();
            let mine = self.accepted.entries.range((owner, vec![])..(owner + 1, vec![]));
            let expected: Vec<_> = mine.map(|(key, value)| (key.clone(), value.clone())).collect();
            assert_eq!(found, expected);
            for key in 0..KEYS {
                let key = vec![key];
                let args =
                    GetArgs { account, key: Hex(key.clone().into()), height: None, proof: true };
                let reply: GetReply = ask(&self.node, "kv.get", &args);
                assert!(reply.is_proven(account, &key));
                let value = reply.value.map(|Hex(value)| value.to_vec());
                assert_eq!(value.as_ref(), self.accepted.entries.get(&(owner, key)));
            }
        }
    }
}

fn issue(node: &TestNode, transaction: &Transaction) {
    let answer = node.post("/rpc", &client::issue_call(transaction)).unwrap();
    client::answer::<sastrugi_kvvm::api::TxId>(&answer.body).unwrap();
}

fn ask<A: serde::Serialize, R: serde::de::DeserializeOwned>(
    node: &TestNode,
    method: &str,
    args: &A,
) -> R {
    client::answer(&node.post("/rpc", &client::call(method, args)).unwrap().body).unwrap()
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let changes = vec((0..KEYS, proptest::option::weighted(0.6, any::<u8>())), 1..5);
    vec((0..ACCOUNTS, changes), 1..4)
}

fn event() -> impl Strategy<Value = Event> {
    let branches = vec(vec(wishes(), 1..4), 1..4);
    prop_oneof![
        6 => (branches, any::<usize>(), 0..4_usize)
            .prop_map(|(branches, winner, length)| Event::Fork { branches, winner, length }),
        1 => Just(Event::Restart),
        1 => wishes().prop_map(Event::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_chain_holds_what_its_accepted_transactions_say(events in vec(event(), 1..8)) {
        let mut world = World::new();
        for event in &events {
            match event {
                Event::Fork { branches, winner, length } => world.fork(branches, *winner, *length),
                Event::Restart => world.node = world.node.restart().unwrap(),
                Event::Crash(wishes) => world = world.crash(wishes),
            }
            world.check();
        }
        // Another node that hears of the accepted blocks only comes to the same end: each block's
        // root was checked on the way.
        let fresh = World::new();
        for block in &world.blocks {
            fresh.node.vm.verify(&fresh.node.vm.parse_block(block.bytes.clone()).unwrap(), None).unwrap();
            fresh.node.accept(block.id).unwrap();
        }
        World { node: fresh.node, ..world }.check();
    }
}
