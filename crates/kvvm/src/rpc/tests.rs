use std::sync::Arc;

use sastrugi_types::Id;
use sastrugi_vm::{
    http::HttpRequest,
    testkit::{Setup, TestNode},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    Genesis, Kvvm, Target, Transaction,
    client::{self, ClientError, Key, delete, put},
    genesis::Entry,
};

fn key() -> Key {
    Key::from_seed(&[1; 32])
}

fn node() -> TestNode {
    let entry = Entry {
        account: key().account(),
        key: Hex("from genesis".into()),
        value: Hex("here".into()),
    };
    let genesis = Genesis { timestamp_ms: Decimal(5), entries: vec![entry] };
    let setup = Setup::new(|| Arc::new(Kvvm::new()), genesis.to_json());
    let config = r#"{"stateHistory": 2, "stateSyncSummaries": 0}"#;
    TestNode::start(Setup { config: config.into(), ..setup }).unwrap()
}

fn ask<A: Serialize, R: DeserializeOwned>(
    node: &TestNode,
    method: &str,
    args: A,
) -> Result<R, ClientError> {
    let response = node.post("/rpc", &client::call(method, &args)).unwrap();
    assert_eq!(response.status, 200);
    client::answer(&response.body)
}

fn target(node: &TestNode) -> Target {
    ask(node, "kv.chain", ()).unwrap()
}

fn sign(node: &TestNode, nonce: u64, operations: Vec<crate::Operation>) -> Transaction {
    key().sign(target(node), nonce, operations).unwrap()
}

fn issue(node: &TestNode, transaction: &Transaction) -> Result<TxId, ClientError> {
    let response = node.post("/rpc", &client::issue_call(transaction)).unwrap();
    client::answer(&response.body)
}

fn write(node: &TestNode, nonce: u64, operations: Vec<crate::Operation>) -> Id {
    let transaction = sign(node, nonce, operations);
    issue(node, &transaction).unwrap();
    node.build_and_accept().unwrap();
    transaction.id()
}

fn get(node: &TestNode, key: &'static str, height: Option<u64>) -> Result<GetReply, ClientError> {
    let args = GetArgs {
        account: self::key().account(),
        key: Hex(key.into()),
        height: height.map(Decimal),
        proof: true,
    };
    let reply: GetReply = ask(node, "kv.get", &args)?;
    assert!(reply.is_proven(args.account, key.as_bytes()));
    let other = GetReply { value: Some(Hex("another value".into())), ..reply.clone() };
    assert!(!other.is_proven(args.account, key.as_bytes()));
    Ok(reply)
}

#[test]
fn values_and_their_past_are_proven() {
    let node = node();
    let found = get(&node, "from genesis", None).unwrap();
    assert_eq!((found.value, found.block.height), (Some(Hex("here".into())), Decimal(0)));
    write(&node, 0, vec![put("a", "1")]);
    write(&node, 1, vec![put("a", "2"), delete("from genesis")]);
    write(&node, 2, vec![delete("a")]);
    let value = |height| get(&node, "a", height).map(|reply| reply.value);
    assert_eq!(value(None).unwrap(), None);
    assert_eq!(value(Some(3)).unwrap(), None);
    assert_eq!(value(Some(2)).unwrap(), Some(Hex("2".into())));
    assert_eq!(value(Some(1)).unwrap(), Some(Hex("1".into())));
    assert!(value(Some(0)).is_err(), "the settings keep two old states");
    assert!(value(Some(4)).is_err(), "there is no such height");
}

#[test]
fn what_is_not_committed_is_not_seen() {
    let node = node();
    let transaction = sign(&node, 0, vec![put("a", "1")]);
    let status =
        || -> TxStatus { ask(&node, "kv.getTxStatus", TxId { tx_id: transaction.id() }).unwrap() };
    let value = || get(&node, "a", None).unwrap().value;
    assert_eq!(status(), TxStatus::Unknown);
    issue(&node, &transaction).unwrap();
    assert_eq!(status(), TxStatus::Pending);
    let block = node.build().unwrap();
    assert_eq!(status(), TxStatus::Processing);
    node.vm.accept(block.id).unwrap();
    assert_eq!((status(), value()), (TxStatus::Processing, None), "accepted, not committed");
    node.commit().unwrap();
    assert_eq!(status(), TxStatus::Accepted { height: Decimal(1) });
    assert_eq!(value(), Some(Hex("1".into())));
}

#[test]
fn ranges_come_in_pages() {
    let node = node();
    let puts = (0..10).map(|number| put(format!("k{number}"), format!("v{number}"))).collect();
    write(&node, 0, puts);
    let page = |start: Hex, limit| -> RangeReply {
        let limit = Some(Decimal(limit));
        ask(&node, "kv.range", RangeArgs { account: key().account(), start, limit }).unwrap()
    };
    let mut start = Some(Hex("k".into()));
    let mut entries = Vec::new();
    while let Some(from) = start {
        let page = page(from, 4);
        assert!(page.entries.len() <= 4);
        assert_eq!(page.block.height, Decimal(1));
        entries.extend(page.entries);
        start = page.next;
    }
    let expected: Vec<_> = (0..10)
        .map(|number| RangeEntry {
            key: Hex(format!("k{number}").into()),
            value: Hex(format!("v{number}").into()),
        })
        .collect();
    assert_eq!(entries, expected);
    let all = page(Hex::default(), u64::MAX);
    assert_eq!((all.entries.len(), all.next), (11, None));
    assert_eq!(page(Hex("k9\0".into()), 1).entries, []);
    let none =
        RangeArgs { account: key().account(), start: Hex::default(), limit: Some(Decimal(0)) };
    assert!(ask::<_, RangeReply>(&node, "kv.range", none).is_err());
}

#[test]
fn a_page_has_a_size() {
    let node = node();
    let large = vec![7; crate::transaction::VALUE_BYTES_MAX];
    for nonce in 0..22 {
        let puts = (0..3).map(|number| put(format!("{nonce:02}{number}"), large.clone()));
        write(&node, nonce, puts.collect());
    }
    let args = RangeArgs { account: key().account(), start: Hex::default(), limit: None };
    let page: RangeReply = ask(&node, "kv.range", args).unwrap();
    let size_bytes: usize =
        page.entries.iter().map(|entry| entry.key.0.len() + entry.value.0.len()).sum();
    assert!(size_bytes <= RANGE_BYTES_MAX && size_bytes > RANGE_BYTES_MAX - (20 << 10));
    assert!(page.next.is_some());
}

#[test]
fn transactions_are_refused_with_a_reason() {
    let node = node();
    let refusal = |transaction: &Transaction| issue(&node, transaction).unwrap_err().to_string();
    let elsewhere = Target { network_id: 9, ..target(&node) };
    let foreign = key().sign(elsewhere, 0, vec![delete("k")]).unwrap();
    assert!(refusal(&foreign).contains("another chain"));
    let mut forged = sign(&node, 0, vec![delete("k")]).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert!(refusal(&Transaction::decode(forged.into()).unwrap()).contains("signature"));
    assert!(refusal(&sign(&node, 64, vec![delete("k")])).contains("too high"));
    let id = write(&node, 0, vec![put("a", "1")]);
    assert!(refusal(&sign(&node, 0, vec![put("a", "1")])).contains("used before"));

    let waiting = sign(&node, 1, vec![put("a", "2")]);
    assert_ne!(issue(&node, &waiting).unwrap().tx_id, id);
    assert_eq!(issue(&node, &waiting).unwrap().tx_id, waiting.id(), "once more is fine");
    assert!(refusal(&sign(&node, 1, vec![put("a", "3")])).contains("nonce 1 waits"));
    for args in [
        json!({ "tx": "0x00", "encoding": "hexnc" }),
        json!({ "tx": "zz" }),
        json!({ "tx": "0x", "encoding": "json" }),
        json!({}),
    ] {
        assert!(ask::<_, TxId>(&node, "kv.issueTx", args).is_err());
    }
}

#[test]
fn accounts_and_chains_are_described() {
    let node = node();
    let account = || -> AccountReply {
        ask(&node, "kv.account", AccountArgs { account: key().account() }).unwrap()
    };
    assert_eq!(account(), AccountReply { nonce: Decimal(0), next_nonce: Decimal(0) });
    write(&node, 0, vec![put("a", "1")]);
    issue(&node, &sign(&node, 1, vec![put("a", "2")])).unwrap();
    assert_eq!(account(), AccountReply { nonce: Decimal(1), next_nonce: Decimal(2) });
    assert_eq!(account().next(), 2);
    let chain: Value = ask(&node, "kv.chain", ()).unwrap();
    assert_eq!(chain["networkID"], "12345");
    assert_eq!(chain["chainID"], Id([0xc4; 32]).to_string());
}

#[test]
fn blocks_are_given_in_every_form() {
    let node = node();
    let tx_id = write(&node, 0, vec![put("a", "1"), delete("b")]);
    let last: BlockInfo = ask(&node, "kv.lastAccepted", ()).unwrap();
    assert_eq!(last.height, Decimal(1));
    let args = |encoding| GetBlockArgs { height: Some(Decimal(1)), encoding, block_id: None };
    let BlockReply::Json { block, .. } = ask(&node, "kv.getBlock", args(Encoding::Json)).unwrap()
    else {
        panic!("the content was asked for");
    };
    assert_eq!((block.block, block.txs[0].tx_id), (last.clone(), tx_id));
    let operations = json!([
        { "type": "put", "key": "0x61", "value": "0x31" },
        { "type": "delete", "key": "0x62" },
    ]);
    assert_eq!(serde_json::to_value(&block.txs[0].operations).unwrap(), operations);

    let by_id = GetBlockArgs { block_id: Some(last.block_id), ..GetBlockArgs::default() };
    let BlockReply::Bytes { block, encoding } = ask(&node, "kv.getBlock", &by_id).unwrap() else {
        panic!("the bytes were asked for");
    };
    let bytes = encoding.decode(&block).unwrap();
    assert_eq!(Block::decode(bytes.into()).unwrap().id(), last.block_id);
    for wrong in [
        GetBlockArgs::default(),
        GetBlockArgs { height: Some(Decimal(1)), ..by_id },
        GetBlockArgs { height: Some(Decimal(2)), ..GetBlockArgs::default() },
    ] {
        assert!(ask::<_, BlockReply>(&node, "kv.getBlock", wrong).is_err());
    }
}

#[test]
fn the_envelope_is_that_of_upstream() {
    let node = node();
    let handler = Arc::clone(&node.vm.create_handlers().unwrap()["/rpc"]);
    let serve = |method: &str, content_type: &str, body: &str| {
        let response = handler.serve(HttpRequest {
            method: method.to_owned(),
            path: String::new(),
            query: String::new(),
            headers: [("content-type".to_owned(), content_type.to_owned())].into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        });
        (response.status, String::from_utf8(response.body.to_vec()).unwrap())
    };
    let call = client::call("kv.chain", &());
    assert_eq!(serve("GET", "", "").0, 405);
    assert_eq!(serve("POST", "text/plain", &call).0, 415);
    assert_eq!(serve("POST", "", &call).0, 415);
    assert_eq!(serve("POST", "application/json; charset=utf-8", &call).0, 200);
    let code = |body: &str| {
        let (status, body) = serve("POST", "application/json", body);
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).unwrap();
        body["error"]["code"].as_i64()
    };
    assert_eq!(code("{"), Some(-32_700));
    assert_eq!(code("[]"), Some(-32_600));
    assert_eq!(code(r#"{"jsonrpc": "1.0", "id": 1, "method": "kv.chain"}"#), Some(-32_600));
    assert_eq!(code(r#"{"jsonrpc": "2.0", "id": 1}"#), Some(-32_600));
    assert_eq!(code(r#"{"jsonrpc": "2.0", "id": 1, "method": "kv.none"}"#), Some(-32_000));
    assert_eq!(code(r#"{"jsonrpc": "2.0", "id": 1, "method": "kv.get"}"#), Some(-32_000));
    let two = r#"{"jsonrpc": "2.0", "id": 1, "method": "kv.chain", "params": [{}, {}]}"#;
    assert_eq!(code(two), Some(-32_000));
    let one = r#"{"jsonrpc": "2.0", "id": 1, "method": "kv.chain", "params": [{}]}"#;
    assert_eq!(code(one), None);
    let silent = r#"{"jsonrpc": "2.0", "method": "kv.chain"}"#;
    assert_eq!(serve("POST", "application/json", silent), (200, String::new()));
}
