//! How fast accepted blocks are executed one after another, as while bootstrapping: parse, verify,
//! accept, commit. And how fast a history is made.

#![expect(clippy::unwrap_used, reason = "a workload that fails measures nothing")]

use std::sync::Arc;

use sastrugi_benchkit::{Outcome, Suite};
use sastrugi_kvvm::{
    Genesis, Kvvm, Target, Transaction,
    client::{Key, put},
    history::History,
};
use sastrugi_types::Id;
use sastrugi_vm::{
    Block, State,
    db::MemoryDb,
    testkit::{Setup, TestNode},
};

const BLOCKS: u64 = 5000;
const ACCOUNTS: u64 = 64;
const TARGET: Target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };
const MADE_AT_MS: u64 = 1_600_000_000_000;

/// The transactions of a chain, block by block.
fn transactions(per_block: u64) -> Vec<Vec<Transaction>> {
    let keys: Vec<Key> = (0..ACCOUNTS).map(|owner| Key::from_seed(&[owner as u8; 32])).collect();
    let transaction = |number: u64| {
        let (owner, nonce) = (number % ACCOUNTS, number / ACCOUNTS);
        let put = put(format!("key {}", nonce % 256), vec![number as u8; 50]);
        keys[owner as usize].sign(TARGET, nonce, vec![put]).unwrap()
    };
    (0..BLOCKS)
        .map(|block| (0..per_block).map(|at| transaction(block * per_block + at)).collect())
        .collect()
}

fn make(transactions: Vec<Vec<Transaction>>) -> Vec<Block> {
    let genesis = Genesis::default().to_json();
    let mut history = History::open(Arc::new(MemoryDb::new()), genesis.as_bytes(), TARGET).unwrap();
    transactions
        .into_iter()
        .map(|transactions| history.append(MADE_AT_MS, transactions).unwrap())
        .collect()
}

fn main() {
    let mut suite = Suite::from_args();
    for per_block in [1, 5] {
        suite.run(&format!("kvvm-make/{per_block}tx"), "ns/block", 5, |meter| {
            let transactions = transactions(per_block);
            meter.start();
            let blocks = make(transactions);
            meter.stop();
            Outcome::new(BLOCKS, blocks.len() as u64)
        });
        suite.run(&format!("kvvm-execute/{per_block}tx"), "ns/block", 5, |meter| {
            let blocks = make(transactions(per_block));
            let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
            let node = TestNode::start(Setup { gear: State::Bootstrapping, ..setup }).unwrap();
            meter.start();
            for block in &blocks {
                let parsed = node.vm.parse_block(block.bytes.clone()).unwrap();
                node.vm.verify(&parsed, None).unwrap();
                node.accept(parsed.id).unwrap();
            }
            meter.stop();
            assert_eq!(node.vm.last_accepted().unwrap(), blocks[blocks.len() - 1].id);
            Outcome::new(BLOCKS, BLOCKS)
        });
    }
}
