use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use sastrugi_crypto::bls;
use sastrugi_types::{Id, NodeId, bits::BitSet, codec::CodecError};

use super::*;
use crate::validators::ValidatorOutput;

const NETWORK: u32 = 88888;
const CHAIN: Id = Id([0xc0; 32]);

fn key(number: u8) -> bls::SecretKey {
    bls::SecretKey::generate(&[number; 32]).unwrap()
}

/// Validators whose keys and weights are given by numbers.
fn validators(keys_and_weights: &[(u8, u64)]) -> BTreeMap<NodeId, ValidatorOutput> {
    let output = |(index, (number, weight)): (usize, &(u8, u64))| {
        let node = NodeId([index as u8; 20]);
        let public_key = Bytes::copy_from_slice(&key(*number).public_key().to_uncompressed());
        (node, ValidatorOutput { node, public_key: Some(public_key), weight: *weight })
    };
    keys_and_weights.iter().enumerate().map(output).collect()
}

fn message() -> UnsignedMessage {
    UnsignedMessage::new(NETWORK, CHAIN, b"a block was accepted").unwrap()
}

/// The signature of the keys of these numbers over `message`.
fn signed(set: &CanonicalSet, numbers: &[u8], message: &UnsignedMessage) -> BitSetSignature {
    let keys = numbers.iter().map(|number| key(*number));
    let (signers, signatures): (BitSet, Vec<_>) = keys
        .map(|key| {
            let public = key.public_key();
            let index = set.validators.iter().position(|one| one.public_key == public).unwrap();
            (index, key.sign(message.bytes()))
        })
        .collect::<Vec<_>>()
        .into_iter()
        .fold((BitSet::new(), Vec::new()), |(mut signers, mut signatures), (index, signature)| {
            signers.add(index);
            signatures.push(signature);
            (signers, signatures)
        });
    BitSetSignature::new(&signers, &bls::Signature::aggregate(&signatures).unwrap())
}

#[test]
fn nodes_that_share_a_key_sign_once_with_their_weight_together() {
    let set = CanonicalSet::new(&validators(&[(1, 10), (2, 20), (1, 5)])).unwrap();
    assert_eq!(set.validators.len(), 2);
    assert_eq!(set.total_weight, 35);
    let message = message();
    let signature = signed(&set, &[1], &message);
    assert_eq!(signature.num_signers(), Ok(1));
    assert_eq!(signature.verify(&message, NETWORK, &set, 15, 35), Ok(()));
    assert_eq!(
        signature.verify(&message, NETWORK, &set, 16, 35),
        Err(VerifyError::InsufficientWeight { signed: 15, total: 35, num: 16, den: 35 })
    );
}

#[test]
fn weight_without_a_key_counts_in_the_total_alone() {
    let mut all = validators(&[(1, 10), (2, 20)]);
    all.get_mut(&NodeId([1; 20])).unwrap().public_key = None;
    let set = CanonicalSet::new(&all).unwrap();
    assert_eq!((set.validators.len(), set.total_weight), (1, 30));
}

#[test]
fn a_key_that_is_none_is_named() {
    for bytes in [vec![], vec![1; 96], vec![0x0a; 95], vec![0xff; 48]] {
        let mut all = validators(&[(1, 10), (2, 20)]);
        all.get_mut(&NodeId([1; 20])).unwrap().public_key = Some(bytes.into());
        let node = NodeId([1; 20]);
        assert_eq!(CanonicalSet::new(&all), Err(CanonicalSetError::PublicKey { node }));
    }
}

#[test]
fn a_wrong_set_whose_weights_overflow_has_no_signers_of_weight() {
    let mut set = CanonicalSet::new(&validators(&[(1, 10), (2, 20)])).unwrap();
    set.validators[0].weight = u64::MAX;
    let message = message();
    let signature = signed(&set, &[1, 2], &message);
    let error = signature.verify(&message, NETWORK, &set, 1, 100).unwrap_err();
    assert!(matches!(error, VerifyError::InsufficientWeight { signed: 0, .. }), "{error}");
}

#[test]
fn keys_that_cancel_out_verify_nothing() {
    // The key of the negated secret: the sign bit of the compressed form.
    let mut bytes = key(1).public_key().to_compressed();
    bytes[0] ^= 0x20;
    let opposite = bls::PublicKey::from_compressed(&bytes).unwrap();
    let mut set = CanonicalSet::new(&validators(&[(1, 10), (2, 20)])).unwrap();
    set.validators[0].public_key = key(1).public_key();
    set.validators[1].public_key = opposite;
    let message = message();
    let mut infinity = [0; bls::SIGNATURE_BYTES];
    infinity[0] = 0xc0;
    let signature = BitSetSignature { signers: Bytes::from_static(&[3]), signature: infinity };
    assert_eq!(signature.verify(&message, NETWORK, &set, 1, 1), Err(VerifyError::InvalidSignature));
}

#[test]
fn many_signers_that_are_not_there_cost_nothing() {
    let set = CanonicalSet::new(&validators(&[(1, 10)])).unwrap();
    let signers = Bytes::from(vec![0xff; 1 << 20]);
    let signature = BitSetSignature { signers, signature: [0; bls::SIGNATURE_BYTES] };
    let unknown = VerifyError::UnknownValidator { index: (8 << 20) - 1, count: 1 };
    assert_eq!(signature.verify(&message(), NETWORK, &set, 1, 2), Err(unknown));
}

#[test]
fn json_of_sets_comes_back() {
    let set = CanonicalSet::new(&validators(&[(1, 10), (2, 20), (1, 5)])).unwrap();
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<CanonicalSet>(&json).unwrap(), set);
    for (json, expected) in
        [("{}", true), (r#"{"validators":null,"totalWeight":null}"#, true)].into_iter().chain([
            (r#"{"validators":[{}]}"#, false),
            (r#"{"validators":[{"publicKey":""}]}"#, false),
            (r#"{"validators":[{"publicKey":"0x00"}]}"#, false),
        ])
    {
        let read = serde_json::from_str::<CanonicalSet>(json);
        assert_eq!(read.is_ok_and(|set| set == CanonicalSet::default()), expected, "{json}");
    }
}

#[test]
fn the_node_signs_for_its_own_chain_alone() {
    let signer = LocalSigner::new(Arc::new(key(1)), NETWORK, CHAIN);
    let message = message();
    let signature = signer.sign(&message).unwrap();
    assert!(key(1).public_key().verify(&signature, message.bytes()));
    let other_chain = UnsignedMessage::new(NETWORK + 1, Id::EMPTY, b"").unwrap();
    assert_eq!(signer.sign(&other_chain), Err(SignError::WrongSourceChain));
    let other_network = UnsignedMessage::new(NETWORK + 1, CHAIN, b"").unwrap();
    assert_eq!(signer.sign(&other_network), Err(SignError::WrongNetwork));
}

#[test]
fn parsed_parts_are_slices() {
    let call = AddressedCall {
        source_address: Bytes::from_static(b"me"),
        payload: Bytes::from_static(b"you"),
    };
    let payload = Payload::AddressedCall(call.clone()).to_bytes().unwrap();
    let bytes = UnsignedMessage::new(NETWORK, CHAIN, &payload).unwrap().bytes().clone();
    let inside = bytes.as_ptr_range();
    let parsed = UnsignedMessage::parse(bytes.clone()).unwrap();
    assert!(inside.contains(&parsed.payload().as_ptr()));
    let found = Payload::parse_addressed_call(&parsed.payload()).unwrap();
    assert_eq!(found, call);
    assert!(inside.contains(&found.source_address.as_ptr()));
    assert_eq!(Payload::parse_hash(&parsed.payload()), Err(PayloadError::WrongType));
}

fn any_message() -> impl Strategy<Value = UnsignedMessage> {
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    (any::<u32>(), any::<[u8; 32]>(), payload).prop_map(|(network, chain, payload)| {
        UnsignedMessage::new(network, Id(chain), &payload).unwrap()
    })
}

fn any_signed() -> impl Strategy<Value = Message> {
    let signers = prop::collection::vec(any::<u8>(), 0..40);
    (any_message(), signers, any::<[u8; 32]>()).prop_map(|(unsigned, signers, part)| {
        let signature = [part, part, part].concat().try_into().unwrap();
        Message { unsigned, signature: BitSetSignature { signers: signers.into(), signature } }
    })
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    let call = (bytes(), bytes()).prop_map(|(source_address, payload)| {
        Payload::AddressedCall(AddressedCall { source_address, payload })
    });
    prop_oneof![any::<[u8; 32]>().prop_map(|hash| Payload::Hash(Id(hash))), call]
}

/// Bytes that are almost an encoding: cut, continued, or with a byte changed.
fn damaged(bytes: &[u8], cut: usize, change: usize, to: u8, more: &[u8]) -> Bytes {
    let mut damaged = bytes[..bytes.len().saturating_sub(cut)].to_vec();
    if let Some(byte) = damaged.get_mut(change) {
        *byte = to;
    }
    damaged.extend_from_slice(more);
    damaged.into()
}

fn damage() -> impl Strategy<Value = (usize, usize, u8, Vec<u8>)> {
    (0..3_usize, 0..300_usize, any::<u8>(), prop::collection::vec(any::<u8>(), 0..3))
}

proptest! {
    #[test]
    fn messages_come_back(message in any_message()) {
        let parsed = UnsignedMessage::parse(message.bytes().clone()).unwrap();
        prop_assert_eq!(parsed.id(), message.id());
        prop_assert_eq!(parsed, message);
    }

    #[test]
    fn signed_messages_come_back(message in any_signed()) {
        let bytes = Bytes::from(message.to_bytes().unwrap());
        let parsed = Message::parse(&bytes).unwrap();
        prop_assert_eq!(&parsed, &message);
        prop_assert_eq!(parsed.id(), message.id());
        // A signed message is no unsigned one.
        prop_assert_eq!(UnsignedMessage::parse(bytes), Err(CodecError::TrailingBytes));
    }

    #[test]
    fn payloads_come_back(payload in any_payload()) {
        let bytes = Bytes::from(payload.to_bytes().unwrap());
        prop_assert_eq!(Payload::parse(&bytes), Ok(payload));
    }

    /// Whatever parses is the one encoding of what it parses to.
    #[test]
    fn there_is_one_encoding(
        message in any_signed(),
        payload in any_payload(),
        (cut, change, to, more) in damage(),
    ) {
        let bytes = damaged(&message.to_bytes().unwrap(), cut, change, to, &more);
        if let Ok(parsed) = Message::parse(&bytes) {
            prop_assert_eq!(parsed.to_bytes().unwrap(), bytes);
        }
        let bytes = damaged(message.unsigned.bytes(), cut, change, to, &more);
        if let Ok(parsed) = UnsignedMessage::parse(bytes.clone()) {
            let Ok(built) = UnsignedMessage::new(
                parsed.network_id(),
                parsed.source_chain_id(),
                &parsed.payload(),
            ) else { panic!("{parsed:?}") };
            prop_assert_eq!(built.bytes(), &bytes);
        }
        let bytes = damaged(&payload.to_bytes().unwrap(), cut, change, to, &more);
        if let Ok(parsed) = Payload::parse(&bytes) {
            prop_assert_eq!(parsed.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let _ = Payload::parse(&bytes);
        let _ = UnsignedMessage::parse(bytes.clone());
        let _ = Message::parse(&bytes);
    }

    #[test]
    fn no_signers_panic(signers: Vec<u8>, num: u64, den: u64) {
        let set = CanonicalSet::new(&validators(&[(1, 10)])).unwrap();
        let signature = BitSetSignature { signers: signers.into(), signature: [0xa0; 96] };
        prop_assert!(signature.verify(&message(), NETWORK, &set, num, den).is_err());
        let _ = signature.num_signers();
    }
}
