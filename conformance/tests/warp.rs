//! Warp messages, payloads, canonical sets and their signatures. The messages between the P-Chain
//! and L1s come with the P-Chain.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a case that is not as expected must fail the test"
)]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sastrugi_conformance::{Fields, cases};
use sastrugi_crypto::bls::{BlsError, PublicKey, SecretKey};
use sastrugi_types::{Id, NodeId, codec::CodecError};
use sastrugi_vm::{
    validators::ValidatorOutput,
    warp::{
        AddressedCall, BitSetSignature, CanonicalSet, CanonicalSetError, LocalSigner, Message,
        Payload, PayloadError, SignError, Signer as _, UnsignedMessage, VerifyError, verify_weight,
    },
};

#[test]
fn warp() {
    let mut sets = BTreeMap::new();
    for mut case in cases("warp") {
        let name: String = case.take("name");
        match case.take::<String>("kind").as_str() {
            "unsigned" => unsigned(&mut case),
            "parse_unsigned" => parse_unsigned(&mut case),
            "parse_message" => parse_message(&mut case),
            "num_signers" => num_signers(&mut case),
            "flatten" => {
                if let Some(set) = flatten(&mut case) {
                    sets.insert(name, set);
                }
            }
            "verify" => verify(&mut case, &sets),
            "verify_weight" => weight(&mut case),
            "payload" => payload(&mut case),
            "parse_payload" => parse_payload(&mut case),
            "signer" => signer(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.finish();
    }
}

fn id(case: &mut Fields, key: &str) -> Id {
    Id(case.bytes(key).try_into().unwrap())
}

/// Compares an error with upstream's text, of which ours is a part.
fn expect_error<E: std::fmt::Display>(case: &Fields, found: Option<&E>, expected: Option<&str>) {
    let found = found.map(ToString::to_string);
    let same = match (&found, expected) {
        (Some(found), Some(expected)) => expected.contains(found),
        (found, expected) => found.is_none() && expected.is_none(),
    };
    assert!(same, "{}: {found:?} instead of {expected:?}", case.name);
}

/// Takes `error` and compares it; gives the value if there is to be one.
fn checked<T, E: std::fmt::Display>(case: &mut Fields, result: Result<T, E>) -> Option<T> {
    let expected: Option<String> = case.maybe("error");
    expect_error(case, result.as_ref().err(), expected.as_deref());
    result.ok()
}

/// As [`checked`], and `ok` must say the same.
fn checked_ok<T, E: std::fmt::Display>(case: &mut Fields, result: Result<T, E>) -> Option<T> {
    let ok: bool = case.take("ok");
    assert_eq!(result.is_ok(), ok, "{}", case.name);
    checked(case, result)
}

fn unsigned(case: &mut Fields) {
    let network_id = case.take("network_id");
    let chain = id(case, "source_chain_id");
    let message = UnsignedMessage::new(network_id, chain, &case.bytes("payload")).unwrap();
    assert_eq!(message.bytes(), &case.bytes("bytes"), "{}", case.name);
    assert_eq!(message.id(), id(case, "id"), "{}", case.name);
}

fn same_unsigned(case: &mut Fields, message: &UnsignedMessage) {
    assert_eq!(message.network_id(), case.take::<u32>("network_id"), "{}", case.name);
    assert_eq!(message.source_chain_id(), id(case, "source_chain_id"), "{}", case.name);
    assert_eq!(message.payload(), case.bytes("payload"), "{}", case.name);
    assert_eq!(message.id(), id(case, "id"), "{}", case.name);
}

fn parse_unsigned(case: &mut Fields) {
    let parsed = UnsignedMessage::parse(case.bytes("bytes").into());
    if let Some(message) = checked_ok(case, parsed) {
        same_unsigned(case, &message);
    }
}

fn parse_message(case: &mut Fields) {
    let bytes = Bytes::from(case.bytes("bytes"));
    if let Some(message) = checked_ok(case, Message::parse(&bytes)) {
        same_unsigned(case, &message.unsigned);
        assert_eq!(message.unsigned.bytes(), &case.bytes("unsigned_bytes"), "{}", case.name);
        assert_eq!(message.signature.signers, case.bytes("signers"), "{}", case.name);
        assert_eq!(message.signature.signature, *case.bytes("signature"), "{}", case.name);
        assert_eq!(message.to_bytes().unwrap(), bytes, "{}", case.name);
    }
}

fn num_signers(case: &mut Fields) {
    let signers = case.bytes("signers").into();
    let signature = BitSetSignature { signers, signature: [0; 96] };
    let count = checked(case, signature.num_signers());
    let expected: usize = case.take("count");
    assert_eq!(count.unwrap_or(0), expected, "{}", case.name);
}

/// A validator set out of the list of a case.
fn validators(case: &mut Fields) -> BTreeMap<NodeId, ValidatorOutput> {
    let list = case.list("validators").into_iter();
    list.map(|mut fields| {
        let node = NodeId(fields.bytes("node_id").try_into().unwrap());
        let key = fields.bytes("public_key");
        let secret = fields.bytes("secret_key");
        let public_key = (!key.is_empty()).then(|| {
            let key = PublicKey::from_compressed(&key).unwrap();
            assert_eq!(SecretKey::from_bytes(&secret).unwrap().public_key(), key);
            Bytes::copy_from_slice(&key.to_uncompressed())
        });
        let weight = fields.u64("weight");
        fields.finish();
        (node, ValidatorOutput { node, public_key, weight })
    })
    .collect()
}

fn flatten(case: &mut Fields) -> Option<CanonicalSet> {
    let result = CanonicalSet::new(&validators(case));
    let expected: Option<String> = case.maybe("error");
    let found = result.as_ref().err().map(|error| match error {
        CanonicalSetError::Overflow => "overflow",
        CanonicalSetError::PublicKey { .. } => "public key",
    });
    assert_eq!(found, expected.as_deref(), "{}", case.name);
    let set = result.ok()?;
    let canonical = case.list("canonical");
    assert_eq!(set.validators.len(), canonical.len(), "{}", case.name);
    for (validator, mut fields) in set.validators.iter().zip(canonical) {
        let key = validator.public_key;
        assert_eq!(key.to_compressed(), *fields.bytes("public_key"), "{}", case.name);
        let uncompressed = fields.bytes("public_key_uncompressed");
        assert_eq!(key.to_uncompressed(), *uncompressed, "{}", case.name);
        assert_eq!(validator.weight, fields.u64("weight"), "{}", case.name);
        let mut nodes: Vec<NodeId> = fields
            .take::<Vec<String>>("node_ids")
            .iter()
            .map(|node| NodeId(const_hex::decode_to_array(node).unwrap()))
            .collect();
        nodes.sort();
        assert_eq!(validator.nodes, nodes, "{}", case.name);
        fields.finish();
    }
    assert_eq!(set.total_weight, case.u64("total_weight"), "{}", case.name);
    same_json(case, &set);
    Some(set)
}

/// Node IDs of one key stand in any order.
fn same_json(case: &mut Fields, set: &CanonicalSet) {
    let json: String = case.take("json");
    let mut read: CanonicalSet = serde_json::from_str(&json).unwrap();
    for validator in &mut read.validators {
        validator.nodes.sort();
    }
    assert_eq!(&read, set, "{}", case.name);
    let written = serde_json::to_string(set).unwrap();
    let nodes_apart = |text: &str| {
        let mut parts: Vec<_> = text.split(['[', ']', ',']).map(str::to_owned).collect();
        parts.sort();
        parts
    };
    assert_eq!(nodes_apart(&written), nodes_apart(&json), "{}", case.name);
    if set.validators.iter().all(|validator| validator.nodes.len() == 1) {
        assert_eq!(written, json, "{}", case.name);
    }
}

/// Upstream's class of the error.
fn class(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::WrongNetwork => "wrong networkID",
        VerifyError::InvalidBitSet => "bitset is invalid",
        VerifyError::UnknownValidator { .. } => "unknown validator",
        VerifyError::InsufficientWeight { .. } => "signature weight is insufficient",
        VerifyError::SignatureEncoding(_) => "failed to parse signature",
        VerifyError::NoSigners => "no public keys",
        VerifyError::InvalidSignature => "signature is invalid",
    }
}

fn verify(case: &mut Fields, sets: &BTreeMap<String, CanonicalSet>) {
    let set = &sets[&case.take::<String>("set")];
    let network_id = case.take("network_id");
    let (num, den) = (case.u64("quorum_num"), case.u64("quorum_den"));
    let bytes = Bytes::from(case.bytes("message"));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.signature.signers, case.bytes("signers"), "{}", case.name);
    assert_eq!(message.signature.signature, *case.bytes("signature"), "{}", case.name);
    let result = message.signature.verify(&message.unsigned, network_id, set, num, den);
    let ok: bool = case.take("ok");
    assert_eq!(result.is_ok(), ok, "{}", case.name);
    let expected: Option<String> = case.maybe("class");
    assert_eq!(result.as_ref().err().map(class), expected.as_deref(), "{}", case.name);
    let expected: Option<String> = case.maybe("error");
    let text = result.err().map(|error| match error {
        VerifyError::UnknownValidator { index, count } => {
            format!("unknown validator: NumIndices ({index}) >= NumFilteredValidators ({count})")
        }
        VerifyError::SignatureEncoding(BlsError::SignatureEncoding) => {
            "failed to parse signature: couldn't decompress signature".into()
        }
        error => error.to_string(),
    });
    assert_eq!(text, expected, "{}", case.name);
}

fn weight(case: &mut Fields) {
    let (signed, total) = (case.u64("signature_weight"), case.u64("total_weight"));
    let (num, den) = (case.u64("quorum_num"), case.u64("quorum_den"));
    checked_ok(case, verify_weight(signed, total, num, den));
}

/// Takes a payload out of the fields of a case.
fn take_payload(case: &mut Fields) -> Payload {
    match case.take::<String>("type").as_str() {
        "Hash" => Payload::Hash(id(case, "hash")),
        "AddressedCall" => Payload::AddressedCall(AddressedCall {
            source_address: case.bytes("source_address").into(),
            payload: case.bytes("payload").into(),
        }),
        other => panic!("{}: type {other}", case.name),
    }
}

fn payload(case: &mut Fields) {
    let payload = take_payload(case);
    if let Some(bytes) = checked(case, payload.to_bytes()) {
        assert_eq!(bytes, case.bytes("bytes"), "{}", case.name);
    }
}

fn parse_payload(case: &mut Fields) {
    let bytes = Bytes::from(case.bytes("bytes"));
    let parsed = Payload::parse(&bytes);
    let oversized = parsed == Err(CodecError::TooLarge);
    assert_eq!(oversized, bytes.len() > sastrugi_vm::warp::PAYLOAD_BYTES_MAX, "{}", case.name);
    if let Some(payload) = checked_ok(case, parsed) {
        assert_eq!(payload, take_payload(case), "{}", case.name);
    }
    let as_hash: Option<String> = case.maybe("as_hash_error");
    let found: Option<PayloadError> = Payload::parse_hash(&bytes).err();
    expect_error(case, found.as_ref(), as_hash.as_deref());
    let as_call: Option<String> = case.maybe("as_addressed_call_error");
    let found = Payload::parse_addressed_call(&bytes).err();
    expect_error(case, found.as_ref(), as_call.as_deref());
}

fn signer(case: &mut Fields) {
    let key = SecretKey::from_bytes(&case.bytes("secret_key")).unwrap();
    let (network_id, chain) = (case.take("network_id"), id(case, "chain_id"));
    let message = UnsignedMessage::parse(case.bytes("message").into()).unwrap();
    let signed = LocalSigner::new(Arc::new(key), network_id, chain).sign(&message);
    assert!(!matches!(signed, Err(SignError::Other(_))), "{}", case.name);
    let signature = checked(case, signed).map(|signature| signature.to_bytes().to_vec());
    assert_eq!(signature.unwrap_or_default(), case.bytes("signature"), "{}", case.name);
}
