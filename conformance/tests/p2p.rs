//! Replays `bytes/p2p.json`: every message to bytes and back, and what is made of odd bytes.
//!
//! The fields of a case become a generated message. Serialized, it must be read as the same
//! message, or refused for the same reason, as the bytes of the case.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a vector that is not as expected must fail the test"
)]

#[path = "p2p/fields.rs"]
mod fields;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use sastrugi_conformance::{Fields, cases};
use sastrugi_types::message::{Gossip, Payload, effective_deadline};
use sastrugi_wire::{
    Codec, Compression, Message, Op, WireError, frame,
    generated::p2p::{self, message::Message as Member},
    message::InvalidField,
};

/// The clamp the vectors were taken with.
const DEADLINE_MAX: Duration = Duration::from_secs(10);

#[test]
fn p2p() {
    let codec = Codec::default();
    for mut case in cases("p2p") {
        case.skip("name");
        match case.take::<String>("kind").as_str() {
            "outbound" => outbound(&codec, case),
            "outbound_error" => outbound_error(&codec, case),
            "decode" => decode(&codec, case),
            kind => panic!("{}: kind {kind}", case.name),
        }
    }
}

/// A message goes out as the same bytes, and comes in again.
fn outbound(codec: &Codec, mut case: Fields) {
    let name = case.name.clone();
    let bytes = Bytes::from(case.bytes("bytes"));
    let expected = fields::message(&case.take::<String>("op"), case.nested("fields"));
    assert_eq!(expected.encode_to_vec(), bytes, "{name}: the schema");

    let message = codec.decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}")).message;
    assert_eq!(message.op() as u8, case.take::<u8>("op_byte"), "{name}");
    assert_eq!(message.op().is_compressed(), case.take::<bool>("compressed"), "{name}");
    let bypass: bool = case.take("bypass_throttling");
    assert!(message.op() != Op::Handshake || bypass, "{name}");

    let plain = codec.encode(&message, Compression::None).unwrap();
    assert_eq!(plain.bytes, bytes, "{name}");
    assert_eq!((plain.op, plain.bytes_saved), (message.op(), 0), "{name}");
    if message.op() != Op::PeerList {
        assert_eq!(plain.bypass_throttling, bypass, "{name}");
    }
    let mut framed = BytesMut::new();
    frame::write(&plain.bytes, &mut framed).unwrap();
    assert_eq!(framed, case.bytes("frame"), "{name}");

    let packed = codec.encode(&message, Compression::Zstd).unwrap();
    for wire in [packed.bytes.clone(), Bytes::from(case.bytes("wire_zstd"))] {
        let decoded = codec.decode(&wire).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(decoded.message, message, "{name}");
        assert_eq!(decoded.bytes_saved, bytes.len() as i64 - wire.len() as i64, "{name}");
    }
    assert_eq!(packed.bytes_saved, bytes.len() as i64 - packed.bytes.len() as i64, "{name}");
    case.finish();
}

/// What upstream cannot send, neither can we: by its type, or with the same refusal.
fn outbound_error(codec: &Codec, mut case: Fields) {
    let plain_error: Option<String> = case.maybe("plain_error");
    let zstd_error: String = case.take("zstd_error");
    if zstd_error.contains("UTF-8") {
        assert!(plain_error.is_some(), "{}", case.name);
    } else {
        assert_eq!((plain_error, zstd_error.contains("too large")), (None, true), "{}", case.name);
        let bytes = Bytes::from(vec![0; frame::MESSAGE_BYTES_MAX]);
        let message = Message::Chain {
            chain: sastrugi_types::Id([1; 32]),
            payload: Payload::Gossip(Gossip::App { bytes }),
        };
        let plain = codec.encode(&message, Compression::None).unwrap();
        assert!(zstd_error.contains(&format!("({})", plain.bytes.len())), "{}", case.name);
        assert!(frame::header(plain.bytes.len()).is_err());
        let max_bytes = frame::MESSAGE_BYTES_MAX;
        let refusal = codec.encode(&message, Compression::Zstd).unwrap_err();
        assert_eq!(refusal, WireError::TooLarge { max_bytes }, "{}", case.name);
    }
    case.finish();
}

/// Bytes are read or refused like upstream.
fn decode(codec: &Codec, mut case: Fields) {
    let name = case.name.clone();
    let bytes = Bytes::from(case.bytes("bytes"));
    assert_eq!(bytes.len(), case.take::<usize>("length"), "{name}");
    let decoded = codec.decode(&bytes).map(|decoded| decoded.message);
    case.skip("error");
    let class: Option<String> = case.maybe("class");
    if !case.take::<bool>("ok") {
        let error = decoded.expect_err(&name);
        assert_eq!(class_of(&error), class.as_deref(), "{name}: {error}");
        assert!(error.is_parse_failure(), "{name}");
        return case.finish();
    }
    assert_eq!(class, None, "{name}");
    let op: String = case.take("op");
    let expected = fields::message(&op, case.nested("fields"));
    let straight = Bytes::from(expected.encode_to_vec());
    if op != "simplex" || decoded.is_err() {
        assert_eq!(decoded, codec.decode(&straight).map(|it| it.message), "{name}");
    }

    let number = case.take::<u8>("op_byte");
    let (found, chain_fault) = match &decoded {
        Ok(message) => (message.op(), false),
        Err(WireError::Invalid { op, field }) => (*op, matches!(field, InvalidField::ChainId(_))),
        Err(error) => panic!("{name}: {error}"),
    };
    assert!(
        !matches!(&decoded, Ok(Message::Chain { payload: Payload::MalformedResponse { op, .. }, .. })
        if Op::from(*op) != found),
        "{name}"
    );
    assert_eq!((found.label(), found as u8), (op.as_str(), number), "{name}");
    let chain_id_error: Option<String> = case.maybe("chain_id_error");
    assert_eq!(chain_fault, chain_id_error.is_some(), "{name}");

    let deadline: Option<String> = case.maybe("effective_deadline_ns");
    let deadline: Option<i64> = deadline.map(|nanos| nanos.parse().unwrap());
    assert_eq!(deadline_of(&expected).is_some(), deadline.is_some(), "{name}");
    if let Some(nanos) = deadline_of(&expected) {
        let effective = effective_deadline(Duration::from_nanos(nanos), DEADLINE_MAX);
        let effective = effective.map(|span| span.as_nanos() as i64);
        assert_eq!(effective, deadline.filter(|nanos| *nanos >= 0), "{name}");
    }
    if let Ok(message) = &decoded {
        fields_match(codec, &name, message, &expected);
    }
    case.finish();
}

/// The message, sent again, has the fields of the case, save what is not kept.
fn fields_match(codec: &Codec, name: &str, message: &Message, expected: &p2p::Message) {
    if let Message::Chain { payload: Payload::MalformedResponse { .. }, .. } = message {
        return;
    }
    let again = codec.encode(message, Compression::None).unwrap().bytes;
    let mut expected = expected.clone();
    match &mut expected.message {
        Some(Member::GetAncestors(it)) if !(0..=2).contains(&it.engine_type) => it.engine_type = 0,
        Some(Member::PeerList(it)) => {
            it.claimed_ip_ports.iter_mut().for_each(|claim| claim.tx_id = vec![0; 32].into());
        }
        _ => (),
    }
    assert_eq!(p2p::Message::decode(again).unwrap(), expected, "{name}");
}

fn class_of(error: &WireError) -> Option<&'static str> {
    Some(match error {
        WireError::Protobuf => "protobuf",
        WireError::UnknownType => "unknown_type",
        WireError::Zstd(_) => "zstd",
        WireError::TooLarge { .. } => "too_large",
        WireError::Invalid { .. } | WireError::NoEncoding { .. } => return None,
    })
}

fn deadline_of(message: &p2p::Message) -> Option<u64> {
    Some(match message.message.as_ref()? {
        Member::GetStateSummaryFrontier(it) => it.deadline,
        Member::GetAcceptedStateSummary(it) => it.deadline,
        Member::GetAcceptedFrontier(it) => it.deadline,
        Member::GetAccepted(it) => it.deadline,
        Member::GetAncestors(it) => it.deadline,
        Member::Get(it) => it.deadline,
        Member::PushQuery(it) => it.deadline,
        Member::PullQuery(it) => it.deadline,
        Member::AppRequest(it) => it.deadline,
        _ => return None,
    })
}
