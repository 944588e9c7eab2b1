//! What peers can do to a node: nothing but waste a bounded amount of its time.

#![expect(clippy::unwrap_used, reason = "a call that must succeed fails the test")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sastrugi_kvvm::{
    Genesis, Kvvm, Target, Transaction,
    api::{TxId, TxStatus},
    client::{self, Key},
};
use sastrugi_types::{Id, Instant, NodeId, RequestId, version::Application};
use sastrugi_vm::{
    HealthChecker, State,
    testkit::{Sent, Setup, TestNode},
};

const PEER: NodeId = NodeId([7; 20]);

fn node(config: &'static str) -> TestNode {
    let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
    let node = TestNode::start(Setup { config: config.into(), ..setup }).unwrap();
    node.vm.connected(PEER, &Application::default()).unwrap();
    node
}

fn transaction(owner: u32, nonce: u64) -> Transaction {
    let mut seed = [1; 32];
    seed[..4].copy_from_slice(&owner.to_be_bytes());
    let target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };
    Key::from_seed(&seed).sign(target, nonce, vec![client::put("k", "v")]).unwrap()
}

fn gossip(transactions: &[Bytes]) -> Bytes {
    let mut out = vec![0, 0];
    out.extend((transactions.len() as u16).to_be_bytes());
    for transaction in transactions {
        out.extend((transaction.len() as u32).to_be_bytes());
        out.extend(transaction);
    }
    out.into()
}

fn status(node: &TestNode, id: Id) -> TxStatus {
    let call = client::call("kv.getTxStatus", &TxId { tx_id: id });
    client::answer(&node.post("/rpc", &call).unwrap().body).unwrap()
}

fn waiting(node: &TestNode) -> u64 {
    node.vm.health().details["mempoolTxs"].as_u64().unwrap()
}

#[test]
fn a_transaction_travels_by_push() {
    let (here, there) = (node(""), node(""));
    let transaction = transaction(1, 0);
    here.post("/rpc", &client::issue_call(&transaction)).unwrap();
    let sent = here.sender.take();
    let [Sent::Gossip(config, bytes)] = &sent[..] else { panic!("one push: {sent:?}") };
    assert_eq!(config.peers, 16);
    there.vm.app_gossip(PEER, bytes.clone()).unwrap();
    assert_eq!(status(&there, transaction.id()), TxStatus::Pending);
    assert!(!there.events.pending_txs(), "where it was issued comes first");
    there.advance(Duration::from_millis(499)).unwrap();
    assert!(!there.events.pending_txs());
    there.advance(Duration::from_millis(1)).unwrap();
    assert!(there.events.pending_txs());
    there.build_and_accept().unwrap();
    assert!(there.sender.take().iter().all(|sent| !matches!(sent, Sent::Gossip(..))));
}

#[test]
fn a_transaction_travels_by_pull() {
    let (here, there) = (node(""), node(""));
    let (known, missing) = (transaction(1, 0), transaction(2, 0));
    for transaction in [&known, &missing] {
        here.post("/rpc", &client::issue_call(transaction)).unwrap();
    }
    there.vm.app_gossip(PEER, gossip(&[known.bytes().clone()])).unwrap();
    here.sender.take();
    there.advance(Duration::ZERO).unwrap();
    let sent = there.sender.take();
    let [Sent::Request(nodes, request, pull)] = &sent[..] else { panic!("one pull: {sent:?}") };
    assert!(nodes.contains(&PEER));

    here.vm.app_request(PEER, *request, Instant::MAX, pull.clone()).unwrap();
    let sent = here.sender.take();
    let [Sent::Response(PEER, answered, list)] = &sent[..] else { panic!("one answer: {sent:?}") };
    assert_eq!((answered, list), (request, &gossip(&[missing.bytes().clone()])));
    there.vm.app_response(PEER, *request, list.clone()).unwrap();
    assert_eq!(status(&there, missing.id()), TxStatus::Pending);

    here.vm.app_request(PEER, RequestId(9), Instant::MAX, pull.clone()).unwrap();
    assert_eq!(here.sender.take(), [Sent::Response(PEER, RequestId(9), gossip(&[]))], "too soon");
    here.vm.app_request(PEER, RequestId(9), Instant::MAX, Bytes::new()).unwrap();
    assert!(matches!(here.sender.take()[..], [Sent::Error(PEER, RequestId(9), _)]));
}

#[test]
fn bad_gossip_leaves_nothing() {
    let node = node("");
    let mut forged = transaction(1, 0).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let elsewhere = Target { network_id: 1, chain_id: Id([0xc4; 32]) };
    let foreign = Key::from_seed(&[1; 32]).sign(elsewhere, 0, vec![client::delete("k")]).unwrap();
    let good = transaction(2, 0);
    let list = [
        forged.into(),
        foreign.bytes().clone(),
        transaction(3, 1000).bytes().clone(),
        Bytes::new(),
        Bytes::from(vec![0; 200]),
        good.bytes().clone(),
        good.bytes().clone(),
    ];
    node.vm.app_gossip(PEER, gossip(&list)).unwrap();
    assert_eq!(waiting(&node), 1, "the good one is not lost among the bad");
    let many = vec![transaction(4, 0).bytes().clone(); 65];
    node.vm.app_gossip(PEER, gossip(&many)).unwrap();
    assert_eq!(waiting(&node), 1, "a message with too many is refused as a whole");
}

#[test]
fn the_mempool_does_not_grow() {
    let node = node(r#"{"mempoolTxs": 10, "mempoolTxsPerAccount": 3}"#);
    for owner in 0..20 {
        let list: Vec<_> = (0..5).map(|nonce| transaction(owner, nonce).bytes().clone()).collect();
        node.vm.app_gossip(PEER, gossip(&list)).unwrap();
    }
    assert_eq!(waiting(&node), 10);
    node.advance(Duration::from_secs(1)).unwrap();
    while node.events.pending_txs() {
        node.build_and_accept().unwrap();
    }
    assert_eq!(waiting(&node), 0);
    node.vm.app_gossip(PEER, gossip(&[transaction(19, 0).bytes().clone()])).unwrap();
    assert_eq!(waiting(&node), 1, "there is room again");
}

#[test]
fn signatures_are_checked_unless_the_network_has_accepted_the_block() {
    let author = node("");
    author.post("/rpc", &client::issue_call(&transaction(1, 0))).unwrap();
    let block = author.build().unwrap();
    let changed = |at: usize| {
        let mut bytes = block.bytes.to_vec();
        bytes[at] ^= 1;
        author.vm.parse_block(bytes.into()).unwrap()
    };
    // The last byte of the only transaction's signature, and the first of the root.
    let (forged, other_root) = (changed(block.bytes.len() - 1), changed(50));
    let node = node("");
    let refusal = |block| node.vm.verify(block, None).unwrap_err().to_string();
    assert!(refusal(&forged).contains("signature"), "{}", refusal(&forged));
    node.vm.set_state(State::StateSyncing).unwrap();
    assert!(refusal(&forged).contains("signature"));
    node.vm.set_state(State::Bootstrapping).unwrap();
    assert!(refusal(&other_root).contains("the root is"), "{}", refusal(&other_root));
    node.vm.verify(&forged, None).unwrap();
    node.vm.reject(forged.id).unwrap();
}

#[test]
fn a_shut_down_vm_says_so() {
    let node = node("");
    node.vm.shutdown().unwrap();
    assert!(node.vm.build_block(None).is_err());
    assert!(!node.vm.health().is_healthy());
    assert_eq!(node.vm.poll_timeout(), None);
    assert!(!Kvvm::new().health().is_healthy());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_is_an_error(messages in vec(vec(any::<u8>(), 0..100), 1..20), headed: bool) {
        let node = node("");
        for (message, number) in messages.into_iter().zip(0..) {
            let head: &[u8] = if headed { &[0, 0, 0, 1] } else { &[] };
            let bytes = Bytes::from([head, &message].concat());
            let request = RequestId(number);
            node.vm.app_gossip(PEER, bytes.clone()).unwrap();
            node.vm.app_request(PEER, request, Instant::MAX, bytes.clone()).unwrap();
            node.vm.app_response(PEER, request, bytes).unwrap();
        }
        prop_assert_eq!(waiting(&node), 0);
    }

    #[test]
    fn no_call_panics(method in "kv\\.[a-zA-Z]{0,12}", params in "\\PC{0,40}", body in "\\PC{0,40}") {
        let node = node("");
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        node.post("/rpc", &call).unwrap();
        node.post("/rpc", &body).unwrap();
    }
}
