//! Replays `bytes/proposervm.json`: outer blocks, headers, summaries, epochs and the state on disk.
//! The arithmetic of ACP-226 comes with the EVM.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a case that is not as expected must fail the test"
)]

#[path = "peer/identity.rs"]
mod identity;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sastrugi_conformance::{Fields, cases};
use sastrugi_crypto::{Identity, Signer, staking::CertificateError};
use sastrugi_proposervm::{
    Epoch, OuterBlock, PostForkBlock, PostForkOption,
    block::{BlockError, BlockTemplate},
    header::{HEADER_BYTES, Header},
    state::State,
    summary::Summary,
};
use sastrugi_types::{Id, NodeId, WallTime, codec::CodecError, upgrade::UpgradeSchedule};
use sastrugi_vm::db::{MemoryDb, SharedDatabase};

#[test]
fn proposervm() {
    let fixtures = fixtures();
    let mut state = StateReplay::new();
    for mut case in cases("proposervm") {
        let kind: String = case.take("kind");
        case.skip("name");
        match kind.as_str() {
            "build" => build(&mut case, &fixtures),
            "parse" => parse(&mut case),
            "build_time" => build_time(&mut case),
            "header" => header(&mut case),
            "parse_header" => parse_header(&mut case),
            "summary" => summary(&mut case),
            "parse_summary" => parse_summary(&mut case),
            "state" => state.replay(&mut case),
            "epoch" => epoch(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.finish();
    }
}

/// Upstream's stakers, whose key files the family `staking` holds.
fn fixtures() -> Vec<Identity> {
    let mut fixtures = Vec::new();
    for mut case in cases("staking") {
        if case.take::<String>("kind") == "pem" {
            let certificate: String = case.take("cert_pem");
            let key: String = case.take("key_pem");
            fixtures.push(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap());
        }
    }
    fixtures
}

fn id(case: &mut Fields, key: &str) -> Id {
    Id(case.bytes(key).try_into().unwrap())
}

fn i64(case: &mut Fields, key: &str) -> i64 {
    case.take::<String>(key).parse().unwrap()
}

fn epoch_of(mut fields: Fields) -> Epoch {
    let epoch = Epoch {
        p_chain_height: fields.u64("p_chain_height"),
        number: fields.u64("number"),
        start_secs: i64(&mut fields, "start_time"),
    };
    fields.finish();
    epoch
}

/// Upstream's zero node ID stands for no proposer.
fn proposer(case: &mut Fields) -> Option<NodeId> {
    let node = NodeId(case.bytes("proposer").try_into().unwrap());
    (node != NodeId([0; 20])).then_some(node)
}

const BLOCK_TYPES: [(&str, u8); 3] = [("block", 0), ("option", 1), ("granite", 2)];

/// The fields of a block against those of the case.
fn compare(case: &mut Fields, block: &OuterBlock) {
    let form: String = case.take("form");
    let (_, number) = BLOCK_TYPES.iter().find(|(name, _)| *name == form).unwrap();
    assert_eq!(block.bytes()[..6], [0, 0, 0, 0, 0, *number], "{}", case.name);
    assert_eq!(block.id(), id(case, "id"), "{}", case.name);
    assert_eq!(block.parent(), id(case, "parent_id"), "{}", case.name);
    assert_eq!(block.inner(), case.bytes("inner"), "{}", case.name);
    assert_eq!(block.as_block().is_none(), form == "option", "{}", case.name);
    let Some(block) = block.as_block() else { return };
    assert_eq!(block.timestamp_secs(), i64(case, "timestamp"), "{}", case.name);
    assert_eq!(block.p_chain_height(), case.u64("p_chain_height"), "{}", case.name);
    assert_eq!(block.epoch(), epoch_of(case.nested("epoch")), "{}", case.name);
    assert_eq!(block.proposer(), proposer(case), "{}", case.name);
}

fn build(case: &mut Fields, fixtures: &[Identity]) {
    let chain = id(case, "chain_id");
    let bytes = Bytes::from(case.bytes("bytes"));
    let read = OuterBlock::parse(bytes.clone(), chain).unwrap();
    match &read {
        OuterBlock::Option(option) => {
            assert_eq!(PostForkOption::new(option.parent(), &option.inner()).unwrap(), *option);
        }
        OuterBlock::Block(block) => build_block(case, fixtures, chain, block),
    }
    compare(case, &read);
}

fn build_block(case: &mut Fields, fixtures: &[Identity], chain: Id, expected: &PostForkBlock) {
    let inner = expected.inner();
    let template = BlockTemplate {
        parent: expected.parent(),
        timestamp_secs: expected.timestamp_secs(),
        p_chain_height: expected.p_chain_height(),
        epoch: expected.epoch(),
        inner: &inner,
    };
    let Some(key) = case.maybe::<String>("key") else {
        assert_eq!(template.unsigned().unwrap(), *expected, "{}", case.name);
        return;
    };
    let der = case.bytes("cert");
    let fixture = fixtures.iter().find(|it| it.certificate().der() == der);
    let pem = if key.starts_with("-----BEGIN") {
        key
    } else {
        fixture.unwrap_or_else(|| panic!("{}: no {key}", case.name)).private_key_pem()
    };
    let signer = identity::from_der_and_pem(&der, &pem);
    let built = template.signed(chain, &signer).unwrap();
    let header = Header { chain, parent: built.parent(), block: built.id() }.to_bytes();
    assert_eq!(header[..], case.bytes("signed_header"), "{}", case.name);
    assert_eq!((built.id(), built.proposer()), (expected.id(), expected.proposer()));
    if case.take("signature_deterministic") {
        assert_eq!(built, *expected, "{}", case.name);
    } else {
        // Upstream's signature is random: ours is as good.
        let read = OuterBlock::parse(built.bytes().clone(), chain).unwrap();
        assert_eq!(read, built.into(), "{}", case.name);
    }
}

fn parse(case: &mut Fields) {
    let chain = id(case, "chain_id");
    let bytes = Bytes::from(case.bytes("bytes"));
    let unverified = OuterBlock::parse_without_verification(bytes.clone());
    let verified = OuterBlock::parse(bytes.clone(), chain);
    let parse_error: Option<String> = case.maybe("parse_error");
    let verify_error: Option<String> = case.maybe("verify_error");

    let text = |error: &BlockError| upstream_text(*error, parse_error.as_deref());
    assert_eq!(unverified.as_ref().err().map(text), parse_error, "{}", case.name);
    let expected = parse_error.clone().or(verify_error);
    assert_eq!(verified.as_ref().err().map(text), expected, "{}", case.name);
    let Ok(block) = unverified else { return };
    assert_eq!(*block.bytes(), bytes, "{}", case.name);
    compare(case, &block);
    if let Ok(verified) = verified {
        assert_eq!(verified, block, "{}", case.name);
    }
}

/// Upstream's text of an error. What it says of numbers and places, ours does not, is taken from
/// the text that is expected.
fn upstream_text(error: BlockError, expected: Option<&str>) -> String {
    match error {
        BlockError::Codec(error) => codec_text(error, expected),
        BlockError::Certificate(CertificateError::TooLarge) => {
            "invalid certificate: staking: certificate length is greater than 2048".into()
        }
        BlockError::Certificate(CertificateError::MalformedCertificate) => {
            "invalid certificate: staking: malformed certificate".into()
        }
        BlockError::MissingEpoch => "epoch must be provided after granite".into(),
        BlockError::UnexpectedSignature => "signature provided when none was expected".into(),
        BlockError::InvalidSignature => "staking: ECDSA verification failure".into(),
        BlockError::Certificate(_) | BlockError::Signing(_) => error.to_string(),
    }
}

/// The expected text, if the stable part of upstream's text of this error is in it.
fn codec_text(error: CodecError, expected: Option<&str>) -> String {
    let text = error.to_string();
    expected.filter(|expected| expected.contains(&text)).map_or(text, str::to_owned)
}

fn build_time(case: &mut Fields) {
    let time = WallTime(i64(case, "unix_ns"));
    let template = BlockTemplate {
        parent: Id::EMPTY,
        timestamp_secs: time.unix_secs(),
        p_chain_height: 0,
        epoch: Epoch::NONE,
        inner: &[],
    };
    let bytes = Bytes::from(case.bytes("bytes"));
    let read = OuterBlock::parse(bytes.clone(), Id::EMPTY).unwrap();
    let read = read.as_block().unwrap();
    let inner = read.inner();
    let template =
        BlockTemplate { p_chain_height: read.p_chain_height(), inner: &inner, ..template };
    assert_eq!(*template.unsigned().unwrap().bytes(), bytes, "{}", case.name);
    let timestamp = i64(case, "timestamp");
    assert_eq!(template.timestamp_secs, timestamp, "{}", case.name);
    assert_eq!(read.timestamp(), WallTime::from_unix_secs(timestamp), "{}", case.name);
}

fn header(case: &mut Fields) {
    let header = Header {
        chain: id(case, "chain_id"),
        parent: id(case, "parent_id"),
        block: id(case, "body_id"),
    };
    let bytes = case.bytes("bytes");
    assert_eq!(header.to_bytes()[..], bytes, "{}", case.name);
    assert_eq!(Header::parse(&bytes), Ok(header), "{}", case.name);
}

fn parse_header(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    let expected: Option<String> = case.maybe("error");
    match Header::parse(&bytes) {
        Ok(header) => {
            assert_eq!((&header.to_bytes()[..], expected), (&bytes[..], None), "{}", case.name);
            assert_eq!(bytes.len(), HEADER_BYTES);
        }
        Err(error) => assert_eq!(Some(codec_text(error, expected.as_deref())), expected),
    }
}

fn compare_summary(case: &mut Fields, summary: &Summary) {
    assert_eq!(summary.id(), id(case, "id"), "{}", case.name);
    assert_eq!(summary.fork_height(), case.u64("fork_height"), "{}", case.name);
    assert_eq!(*summary.block(), case.bytes("block"), "{}", case.name);
    assert_eq!(*summary.inner(), case.bytes("inner_summary"), "{}", case.name);
}

fn summary(case: &mut Fields) {
    let bytes = Bytes::from(case.bytes("bytes"));
    let read = Summary::parse(bytes.clone()).unwrap();
    let built = Summary::new(read.fork_height(), read.block(), read.inner()).unwrap();
    assert_eq!((built.bytes(), &built), (&bytes, &read), "{}", case.name);
    compare_summary(case, &read);
}

fn parse_summary(case: &mut Fields) {
    let bytes = Bytes::from(case.bytes("bytes"));
    let expected: Option<String> = case.maybe("error");
    match Summary::parse(bytes.clone()) {
        Ok(summary) => {
            assert_eq!((summary.bytes(), expected), (&bytes, None), "{}", case.name);
            compare_summary(case, &summary);
        }
        Err(error) => {
            assert_eq!(Some(codec_text(error, expected.as_deref())), expected, "{}", case.name);
        }
    }
}

fn epoch(case: &mut Fields) {
    let mut upgrades = UpgradeSchedule::of_network(1);
    upgrades.granite_time = WallTime::from_unix_secs(i64(case, "granite_time")).into();
    upgrades.granite_epoch_duration = Duration::from_nanos(case.u64("epoch_duration_ns"));
    let child = Epoch::of_child(
        &upgrades,
        case.u64("parent_p_chain_height"),
        epoch_of(case.nested("parent_epoch")),
        WallTime(i64(case, "parent_time_ns")),
        WallTime(i64(case, "child_time_ns")),
    );
    assert_eq!(child, epoch_of(case.nested("epoch")), "{}", case.name);
}

/// The state after each case, which goes on from the one before.
struct StateReplay {
    db: SharedDatabase,
    state: State,
}

impl StateReplay {
    fn new() -> Self {
        let db: SharedDatabase = Arc::new(MemoryDb::new());
        Self { state: State::new(&db, 0), db }
    }

    fn replay(&mut self, case: &mut Fields) {
        for op in case.or_default::<Vec<Vec<String>>>("ops") {
            let op: Vec<_> = op.iter().map(String::as_str).collect();
            self.apply(&op);
        }
        self.compare_database(case);
        // What the caches know is what the database knows.
        compare_answers(&mut case.clone(), &self.state);
        self.state = State::new(&self.db, 1);
        compare_answers(case, &self.state);
    }

    fn apply(&self, op: &[&str]) {
        let number = |text: &str| text.parse().unwrap();
        let id = |text: &str| Id(const_hex::decode_to_array(text).unwrap());
        match op {
            ["put_block", bytes] => {
                let bytes = Bytes::from(const_hex::decode(bytes).unwrap());
                let block = OuterBlock::parse_without_verification(bytes).unwrap();
                self.state.put_block(&block).unwrap();
                assert_eq!(self.state.block(block.id()), Ok(Some(block.clone())));
                assert_eq!(State::new(&self.db, 2).block(block.id()), Ok(Some(block)));
            }
            ["delete_block", block] => {
                self.state.delete_block(id(block)).unwrap();
                assert_eq!(self.state.block(id(block)), Ok(None));
            }
            ["set_last_accepted", block] => self.state.set_last_accepted(id(block)).unwrap(),
            ["delete_last_accepted"] => self.state.delete_last_accepted().unwrap(),
            ["set_fork_height", height] => self.state.set_fork_height(number(height)).unwrap(),
            ["set_block_id_at_height", height, block] => {
                self.state.set_block_id_at_height(number(height), id(block)).unwrap();
                assert_eq!(self.state.block_id_at_height(number(height)), Ok(Some(id(block))));
            }
            ["delete_block_id_at_height", height] => {
                self.state.delete_block_id_at_height(number(height)).unwrap();
                assert_eq!(self.state.block_id_at_height(number(height)), Ok(None));
            }
            op => panic!("{op:?}"),
        }
    }

    fn compare_database(&self, case: &mut Fields) {
        let pairs = self.db.iterate(b"", b"").unwrap();
        let pairs: Vec<_> = pairs
            .map(|pair| pair.map(|(key, value)| [const_hex::encode(key), const_hex::encode(value)]))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(pairs, case.or_default::<Vec<[String; 2]>>("database"), "{}", case.name);
    }
}

fn compare_answers(case: &mut Fields, state: &State) {
    let last_accepted = state.last_accepted().unwrap();
    assert_eq!(last_accepted.unwrap_or_default(), id(case, "last_accepted"));
    let fork = state.fork_height().unwrap();
    assert_eq!(fork.unwrap_or_default(), case.u64("fork_height"));
    let minimum = state.minimum_height().unwrap();
    assert_eq!(minimum.unwrap_or_default(), case.u64("minimum_height"));
    for (key, found) in [
        ("last_accepted_error", last_accepted.is_some()),
        ("fork_height_error", fork.is_some()),
        ("minimum_height_error", minimum.is_some()),
    ] {
        let error: Option<String> = case.maybe(key);
        assert_eq!(error.as_deref(), (!found).then_some("not found"), "{}", case.name);
    }
}
