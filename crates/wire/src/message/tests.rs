//! The codec against the generated types, and against bytes of all kinds.

use std::time::Duration;

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use prost::Message as _;
use sastrugi_types::{
    Id, RequestId,
    message::{Chits, EngineType, Gossip, Payload, Request, Response, ResponseOp},
};

use super::*;
use crate::{Compression, generated::p2p};

fn bytes() -> impl Strategy<Value = Bytes> + Clone {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = Id> + Clone {
    any::<[u8; 32]>().prop_map(Id)
}

fn ids() -> impl Strategy<Value = Vec<Id>> + Clone {
    vec(id(), 0..5)
}

fn request() -> impl Strategy<Value = Request> {
    let engine_type =
        prop_oneof![Just(EngineType::Unspecified), Just(EngineType::Dag), Just(EngineType::Chain)];
    prop_oneof![
        Just(Request::GetStateSummaryFrontier),
        vec(any::<u64>(), 0..9).prop_map(|heights| Request::GetAcceptedStateSummary { heights }),
        Just(Request::GetAcceptedFrontier),
        ids().prop_map(|containers| Request::GetAccepted { containers }),
        (id(), engine_type)
            .prop_map(|(container, engine_type)| Request::GetAncestors { container, engine_type }),
        id().prop_map(|container| Request::Get { container }),
        (bytes(), any::<u64>()).prop_map(|(container, requested_height)| Request::PushQuery {
            container,
            requested_height
        }),
        (id(), any::<u64>()).prop_map(|(container, requested_height)| Request::PullQuery {
            container,
            requested_height
        }),
        bytes().prop_map(|bytes| Request::App { bytes }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        bytes().prop_map(|summary| Response::StateSummaryFrontier { summary }),
        ids().prop_map(|summaries| Response::AcceptedStateSummary { summaries }),
        id().prop_map(|container| Response::AcceptedFrontier { container }),
        ids().prop_map(|containers| Response::Accepted { containers }),
        vec(bytes(), 0..5).prop_map(|containers| Response::Ancestors { containers }),
        bytes().prop_map(|container| Response::Put { container }),
        (id(), id(), id(), any::<u64>()).prop_map(
            |(preferred, preferred_at_height, accepted, accepted_height)| {
                Response::Chits(Chits { preferred, preferred_at_height, accepted, accepted_height })
            }
        ),
        bytes().prop_map(|bytes| Response::App { bytes }),
        (any::<i32>(), ".{0,40}").prop_map(|(code, message)| Response::AppError { code, message }),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (any::<u32>(), any::<u64>(), request()).prop_map(|(id, deadline, request)| {
            let deadline = Duration::from_nanos(deadline);
            Payload::Request { id: RequestId(id), deadline, request }
        }),
        (any::<u32>(), response())
            .prop_map(|(id, response)| Payload::Response { id: RequestId(id), response }),
        bytes().prop_map(|bytes| Payload::Gossip(Gossip::App { bytes })),
    ]
}

fn bloom_filter() -> impl Strategy<Value = Option<BloomFilter>> {
    option::of((bytes(), bytes()).prop_map(|(filter, salt)| BloomFilter { filter, salt }))
}

fn client() -> impl Strategy<Value = Option<Client>> {
    option::of((".{0,20}", any::<[u32; 3]>()).prop_map(|(name, [major, minor, patch])| Client {
        name,
        major,
        minor,
        patch,
    }))
}

fn handshake() -> impl Strategy<Value = Handshake> {
    let numbers = (any::<u32>(), any::<u32>(), any::<[u64; 3]>());
    let acps = (vec(any::<u32>(), 0..5), vec(any::<u32>(), 0..5));
    let strings = (bytes(), bytes(), bytes(), vec(bytes(), 0..5));
    (numbers, strings, acps, client(), bloom_filter(), any::<bool>()).prop_map(
        |(numbers, strings, acps, client, known_peers, all_subnets)| Handshake {
            network_id: numbers.0,
            my_time: numbers.2[0],
            ip_addr: strings.0,
            ip_port: numbers.1,
            upgrade_time: numbers.2[1],
            ip_signing_time: numbers.2[2],
            ip_node_id_sig: strings.1,
            tracked_subnets: strings.3,
            client,
            supported_acps: acps.0,
            objected_acps: acps.1,
            known_peers,
            ip_bls_sig: strings.2,
            all_subnets,
        },
    )
}

fn claim() -> impl Strategy<Value = ClaimedIpPort> {
    (bytes(), bytes(), any::<u32>(), any::<u64>(), bytes()).prop_map(
        |(x509_certificate, ip_addr, ip_port, timestamp, signature)| ClaimedIpPort {
            x509_certificate,
            ip_addr,
            ip_port,
            timestamp,
            signature,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => any::<u32>().prop_map(|uptime| Message::Ping(Ping { uptime })),
        1 => Just(Message::Pong),
        2 => handshake().prop_map(Box::new).prop_map(Message::Handshake),
        1 => (bloom_filter(), any::<bool>()).prop_map(|(known_peers, all_subnets)| {
            Message::GetPeerList(GetPeerList { known_peers, all_subnets })
        }),
        1 => vec(claim(), 0..4).prop_map(|claimed_ip_ports| {
            Message::PeerList(PeerList { claimed_ip_ports })
        }),
        10 => (id(), payload()).prop_map(|(chain, payload)| Message::Chain { chain, payload }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_sent_is_received(message in message()) {
        let codec = Codec::default();
        for compression in [Compression::None, Compression::Zstd] {
            let encoded = codec.encode(&message, compression).unwrap();
            let decoded = codec.decode(&encoded.bytes).unwrap();
            prop_assert_eq!(&decoded.message, &message);
            prop_assert_eq!(decoded.bytes_saved, encoded.bytes_saved);
            prop_assert_eq!(encoded.op, message.op());
        }
    }

    #[test]
    fn the_generated_types_write_the_same_bytes(message in message()) {
        let ours = Codec::default().encode(&message, Compression::None).unwrap().bytes;
        let theirs = p2p::Message::decode(ours.clone()).unwrap().encode_to_vec();
        prop_assert_eq!(ours, theirs);
    }

    /// Everything the generated decoder takes, ours takes; and nothing makes it panic.
    #[test]
    fn damaged_bytes_are_read_or_refused(
        message in message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
        pack in any::<bool>(),
    ) {
        let codec = Codec::default();
        let compression = if pack { Compression::Zstd } else { Compression::None };
        let mut bytes = codec.encode(&message, compression).unwrap().bytes.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 20));
        let bytes = Bytes::from(bytes);
        let theirs = p2p::Message::decode(bytes.clone());
        let ours = codec.decode(&bytes);
        let is_compressed = matches!(
            &theirs,
            Ok(p2p::Message { message: Some(p2p::message::Message::CompressedZstd(_)) })
        );
        if let (Ok(theirs), false) = (theirs, is_compressed) {
            match ours {
                Err(WireError::UnknownType) => prop_assert!(theirs.message.is_none()),
                Err(error) => prop_assert!(!error.is_parse_failure(), "{error}"),
                Ok(_) => prop_assert!(theirs.message.is_some()),
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(field in 0_u32..40, body in vec(any::<u8>(), 0..300)) {
        let codec = Codec::default();
        let mut framed = Vec::new();
        wire::Sink::element(&mut framed, field, &body);
        drop(codec.decode(&framed.into()));
        drop(codec.decode(&body.into()));
    }
}

const CHAIN: Id = Id([9; 32]);

fn with_chain(mut member: p2p::message::Message) -> Bytes {
    if let p2p::message::Message::Chits(chits) = &mut member {
        chits.chain_id = Bytes::copy_from_slice(&CHAIN.0);
    }
    p2p::Message { message: Some(member) }.encode_to_vec().into()
}

#[test]
fn containers_are_slices_of_the_frame() {
    let container = Bytes::from(vec![3; 1_000]);
    let payload = Payload::Response { id: RequestId(1), response: Response::Put { container } };
    let codec = Codec::default();
    let frame = codec.encode(&Message::Chain { chain: CHAIN, payload }, Compression::None).unwrap();
    let decoded = codec.decode(&frame.bytes).unwrap().message;
    let Message::Chain {
        payload: Payload::Response { response: Response::Put { container }, .. },
        ..
    } = decoded
    else {
        panic!("{decoded:?}")
    };
    assert!(frame.bytes.as_ptr_range().contains(&container.as_ptr()));
}

#[test]
fn a_response_with_a_bad_id_names_the_request_it_ends() {
    let chits = p2p::Chits { request_id: 5, ..Default::default() };
    let frame = with_chain(p2p::message::Message::Chits(chits));
    let payload = Payload::MalformedResponse { id: RequestId(5), op: ResponseOp::Chits };
    let message = Message::Chain { chain: CHAIN, payload };
    let codec = Codec::default();
    assert_eq!(codec.decode(&frame).unwrap().message, message);
    let refusal = codec.encode(&message, Compression::None);
    assert_eq!(refusal, Err(WireError::NoEncoding { op: Op::Chits }));
}

#[test]
fn a_request_with_a_bad_id_is_refused_after_its_chain() {
    let get = |chain: &'static [u8]| {
        let get = p2p::Get {
            chain_id: Bytes::from_static(chain),
            container_id: Bytes::from_static(b"short"),
            ..Default::default()
        };
        with_chain(p2p::message::Message::Get(get))
    };
    let codec = Codec::default();
    for (chain, field) in
        [(&[1; 32][..], InvalidField::ContainerId(5)), (&[1; 31], InvalidField::ChainId(31))]
    {
        let refusal = codec.decode(&get(chain)).unwrap_err();
        assert_eq!(refusal, WireError::Invalid { op: Op::Get, field });
        assert!(!refusal.is_parse_failure());
    }
}

#[test]
fn lists_of_the_handshake_are_cut_where_the_rest_can_only_be_a_fault() {
    let mut body = Vec::new();
    for _ in 0..100_000 {
        wire::Sink::element(&mut body, 8, &[]);
        wire::Sink::tag(&mut body, 10, 0);
        wire::Sink::varint(&mut body, 1);
    }
    let mut frame = Vec::new();
    wire::Sink::element(&mut frame, Op::Handshake.field(), &body);
    let decoded = Codec::default().decode(&frame.into()).unwrap().message;
    let Message::Handshake(handshake) = decoded else { panic!("{decoded:?}") };
    assert_eq!((handshake.tracked_subnets.len(), handshake.supported_acps.len()), (64, 16_384));
}

#[test]
fn empty_containers_take_bounded_memory() {
    let ancestors = p2p::Ancestors {
        chain_id: Bytes::copy_from_slice(&CHAIN.0),
        containers: vec![Bytes::new(); 100_000],
        ..Default::default()
    };
    let frame = with_chain(p2p::message::Message::Ancestors(ancestors));
    let decoded = Codec::default().decode(&frame).unwrap().message;
    let Message::Chain {
        payload: Payload::Response { response: Response::Ancestors { containers }, .. },
        ..
    } = decoded
    else {
        panic!("{decoded:?}")
    };
    assert_eq!(containers.len(), 65_536);
}

#[test]
fn a_simplex_message_survives_and_loses_what_its_schema_does_not_know() {
    let vote = p2p::Vote { block_header: None, signature: Some(p2p::Signature::default()) };
    let plain =
        p2p::Simplex { chain_id: Bytes::new(), message: Some(p2p::simplex::Message::Vote(vote)) };
    let mut odd = plain.encode_to_vec();
    wire::Sink::number(&mut odd, 3, 7);
    wire::Sink::element(&mut odd, 99, b"unknown");
    wire::Sink::id(&mut odd, 1, &CHAIN);
    let mut frame = Vec::new();
    wire::Sink::element(&mut frame, Op::Simplex.field(), &odd);

    let codec = Codec::default();
    let decoded = codec.decode(&frame.into()).unwrap().message;
    let payload = Payload::Gossip(Gossip::Simplex { bytes: plain.encode_to_vec().into() });
    assert_eq!(decoded, Message::Chain { chain: CHAIN, payload });
    let again = codec.encode(&decoded, Compression::Zstd).unwrap();
    assert_eq!(codec.decode(&again.bytes).unwrap().message, decoded);
}

#[test]
fn numbers_count_their_bytes_right() {
    for bits in 0..64 {
        for number in [1_u64 << bits, (1_u64 << bits) - 1] {
            let (mut size, mut written) = (wire::Size::default(), Vec::new());
            wire::Sink::varint(&mut size, number);
            wire::Sink::varint(&mut written, number);
            assert_eq!(size.0, written.len(), "{number}");
            assert_eq!(wire::Reader::new(&written).varint(), Ok(number));
        }
    }
}
