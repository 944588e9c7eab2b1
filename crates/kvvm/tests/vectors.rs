//! The bytes of transactions, blocks, genesis, roots, summaries and ranges, fixed in `testdata/vectors.json`.
//!
//! Set `KVVM_BLESS=1` to write the file anew after a deliberate change of the format.

#![expect(clippy::unwrap_used, reason = "a call that must succeed fails the test")]

use std::{env, fs, path::Path, sync::Arc};

use bytes::Bytes;
use sastrugi_kvvm::{
    Block, Genesis, Kvvm, Operation, Summary, Target, Transaction,
    api::{Decimal, Hex, OperationJson, TxJson},
    client::{self, Key, delete, put},
    genesis::Entry,
};
use sastrugi_types::{Id, Instant, NodeId, RequestId};
use sastrugi_vm::{
    StateSummary,
    testkit::{Sent, Setup, TestNode},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    target: Target,
    genesis: Genesis,
    transactions: Vec<TransactionVector>,
    blocks: Vec<BlockVector>,
    summaries: Vec<SummaryVector>,
    ranges: Vec<RangeVector>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SummaryVector {
    id: Id,
    height: Decimal,
    bytes: Hex,
}

/// What a node answers to a request for a part of its state.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeVector {
    height: Decimal,
    first: Hex,
    last: Hex,
    #[serde(rename = "bytesMax")]
    bytes_max: u32,
    request: Hex,
    answer: Hex,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TransactionVector {
    seed: Hex,
    #[serde(flatten)]
    content: TxJson,
    bytes: Hex,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockVector {
    id: Id,
    parent: Id,
    height: Decimal,
    #[serde(rename = "timestampMs")]
    timestamp_ms: Decimal,
    root: Hex,
    txs: Vec<Id>,
    bytes: Hex,
}

const TARGET: Target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };

/// What happens in each block: who signs with which nonce, and what.
fn story() -> Vec<Vec<(u8, u64, Vec<Operation>)>> {
    vec![
        vec![
            (1, 0, vec![put("colour", "blue"), put("empty", ""), delete("greeting")]),
            (2, 0, vec![put("colour", "red")]),
        ],
        vec![(1, 1, vec![delete("colour"), put("long", vec![0xab; 300])])],
        vec![(2, 1, vec![delete("colour")]), (1, 2, vec![delete("empty"), delete("long")])],
    ]
}

fn genesis() -> Genesis {
    let entry = |owner: u8, key: &'static str, value: &'static str| Entry {
        account: Key::from_seed(&[owner; 32]).account(),
        key: Hex(key.into()),
        value: Hex(value.into()),
    };
    Genesis {
        timestamp_ms: Decimal(1_789_999_999_000),
        entries: vec![entry(1, "greeting", "hello"), entry(2, "greeting", "good day")],
    }
}

fn block_vector(block: &sastrugi_vm::Block) -> BlockVector {
    let content = Block::decode(block.bytes.clone()).unwrap();
    BlockVector {
        id: content.id(),
        parent: content.parent(),
        height: Decimal(content.height()),
        timestamp_ms: Decimal(content.timestamp_ms()),
        root: Hex(content.root().0.to_vec().into()),
        txs: content.transactions().iter().map(Transaction::id).collect(),
        bytes: Hex(content.bytes().clone()),
    }
}

/// A request for the entries from one path to another.
fn range_request(block: &BlockVector, first: [u8; 32], last: [u8; 32], bytes_max: u32) -> Bytes {
    let (height, root) = (block.height.0.to_be_bytes(), &block.root.0);
    let kind = [0, 1];
    [&kind[..], &height, root, &first, &last, &bytes_max.to_be_bytes()].concat().into()
}

fn answer(node: &TestNode, request: &Bytes) -> Bytes {
    let peer = NodeId([7; 20]);
    node.sender.take();
    node.vm.app_request(peer, RequestId(1), Instant::MAX, request.clone()).unwrap();
    let sent = node.sender.take();
    let answer = sent.iter().find_map(|sent| match sent {
        Sent::Response(to, RequestId(1), bytes) if *to == peer => Some(bytes.clone()),
        _ => None,
    });
    answer.unwrap()
}

/// Ranges of the state after a block: all of it, a lane, one that ends early, and a gap.
fn ranges(node: &TestNode, block: &BlockVector) -> Vec<RangeVector> {
    let path = |byte: u8, rest: u8| {
        let mut path = [rest; 32];
        path[0] = byte;
        path
    };
    let parts = [
        (path(0, 0), path(0xff, 0xff), 1 << 18),
        (path(0x80, 0), path(0x8f, 0xff), 1 << 18),
        (path(0x30, 0), path(0xff, 0xff), 100),
        (path(0x01, 0), path(0x01, 0xff), 1 << 18),
    ];
    let vector = |(first, last, bytes_max)| {
        let request = range_request(block, first, last, bytes_max);
        RangeVector {
            height: block.height,
            first: Hex(first.to_vec().into()),
            last: Hex(last.to_vec().into()),
            bytes_max,
            answer: Hex(answer(node, &request)),
            request: Hex(request),
        }
    };
    parts.map(vector).into()
}

fn summaries(node: &TestNode, heights: u64) -> Vec<SummaryVector> {
    let ability = node.vm.state_sync().unwrap();
    let vector = |height| {
        let StateSummary { id, height, bytes } = ability.summary_at(height).unwrap().unwrap();
        SummaryVector { id, height: Decimal(height), bytes: Hex(bytes) }
    };
    (1..heights).map(vector).collect()
}

fn make() -> Vectors {
    let node = TestNode::start(Setup::new(|| Arc::new(Kvvm::new()), genesis().to_json())).unwrap();
    let first = node.vm.get_block(node.vm.last_accepted().unwrap()).unwrap().unwrap();
    let mut blocks = vec![block_vector(&first)];
    let mut transactions = Vec::new();
    for block in story() {
        for (owner, nonce, operations) in block {
            let seed = [owner; 32];
            let transaction = Key::from_seed(&seed).sign(TARGET, nonce, operations).unwrap();
            node.post("/rpc", &client::issue_call(&transaction)).unwrap();
            transactions.push(TransactionVector {
                seed: Hex(seed.to_vec().into()),
                content: TxJson::from(&transaction),
                bytes: Hex(transaction.bytes().clone()),
            });
        }
        blocks.push(block_vector(&node.build_and_accept().unwrap()));
    }
    let summaries = summaries(&node, blocks.len() as u64);
    let ranges = ranges(&node, &blocks[1]);
    Vectors { target: TARGET, genesis: genesis(), transactions, blocks, summaries, ranges }
}

fn stored() -> Vectors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors.json");
    if env::var_os("KVVM_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&make()).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn what_is_made_has_these_bytes() {
    assert_eq!(make(), stored());
}

#[test]
fn these_bytes_are_read_and_accepted() {
    let vectors = stored();
    for vector in &vectors.transactions {
        let transaction = Transaction::decode(vector.bytes.0.clone()).unwrap();
        transaction.verify_signature().unwrap();
        assert_eq!(TxJson::from(&transaction), vector.content);
        assert_eq!(transaction.unsigned().target, vectors.target);
        let key = Key::from_seed(vector.seed.0[..].try_into().unwrap());
        let operations =
            vector.content.operations.iter().map(|operation| match operation.clone() {
                OperationJson::Put { key: Hex(key), value: Hex(value) } => put(key, value),
                OperationJson::Delete { key: Hex(key) } => delete(key),
            });
        let nonce = vector.content.nonce.0;
        let signed = key.sign(vectors.target, nonce, operations.collect()).unwrap();
        assert_eq!(signed, transaction);
    }
    let setup = Setup::new(|| Arc::new(Kvvm::new()), vectors.genesis.to_json());
    let node = TestNode::start(setup).unwrap();
    assert_eq!(node.vm.last_accepted().unwrap(), vectors.blocks[0].id);
    for vector in &vectors.blocks {
        let block = node.vm.parse_block(vector.bytes.0.clone()).unwrap();
        assert_eq!(&block_vector(&block), vector);
        if block.height > 0 {
            node.vm.verify(&block, None).unwrap();
            node.accept(block.id).unwrap();
        }
    }
    assert_eq!(summaries(&node, vectors.blocks.len() as u64), vectors.summaries);
    for vector in &vectors.summaries {
        let summary = Summary::decode(vector.bytes.0.clone()).unwrap();
        assert_eq!((summary.id(), summary.block().height()), (vector.id, vector.height.0));
        assert_eq!(summary.block().id(), vectors.blocks[vector.height.0 as usize].id);
    }
    for vector in &vectors.ranges {
        assert_eq!(answer(&node, &vector.request.0), vector.answer.0);
    }
}
