//! The network around the peer: answers as the trace says, and writes down what it is told.

use std::{collections::BTreeSet, rc::Rc};

use bytes::Bytes;
use prost::Message as _;
use sastrugi_conformance::Fields;
use sastrugi_crypto::bls;
use sastrugi_types::{
    Id, NodeId,
    bloom::ReadFilter,
    message::{Inbound, Payload, effective_deadline},
};
use sastrugi_wire::{
    Codec, Compression, Message, Op,
    generated::p2p,
    handshake::Remote,
    message::{BloomFilter, InvalidField},
    peer::{DropReason, Fact, Network, PeersRequest, Refusal, Registration, TrackError},
    signed_ip::ClaimedIp,
};

use super::{Identities, fields};

/// A request's deadline counts no more than this. Upstream: `network-maximum-inbound-timeout`.
const DEADLINE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// A call of the peer, as the traces list them.
#[derive(Debug)]
pub(crate) enum Call {
    KnownPeers,
    AllowConnection(bool),
    Connected,
    Disconnected,
    Peers { subnets: BTreeSet<Id>, all_subnets: bool, known: ReadFilter, salt: Vec<u8> },
    Track { claims: Vec<ClaimedIp>, fails: bool },
    Router(Routed),
    SendFailed(Op),
}

/// What became of a message about a chain.
#[derive(Debug)]
pub(crate) enum Routed {
    /// Handed on.
    Whole { op: Op, message: Box<p2p::Message>, expires_in_ns: Option<i64> },
    /// Handed on as a response that cannot be read.
    Malformed(Op),
    /// Dropped by us at once, by upstream's router later.
    Invalid(Op, InvalidField),
}

/// The scripted network.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub identities: Rc<Identities>,
    pub now_ms: u64,
    pub allow: bool,
    pub known: BloomFilter,
    pub we_validate: bool,
    pub registration: Option<Registration>,
    pub uptime: Option<f64>,
    pub peers_reply: Vec<ClaimedIp>,
    pub track_error: bool,
    /// Calls since the last look, each with its time in ms.
    pub calls: Vec<(u64, Call)>,
    /// Facts since the last look, each with its time in ms.
    pub facts: Vec<(u64, Fact)>,
}

impl Scripted {
    fn call(&mut self, call: Call) {
        self.calls.push((self.now_ms, call));
    }
}

impl Network for Scripted {
    fn allows(&mut self, node: NodeId) -> bool {
        assert_eq!(node, self.identities.node("remote"));
        self.call(Call::AllowConnection(self.allow));
        self.allow
    }

    fn known_peers(&mut self) -> BloomFilter {
        self.call(Call::KnownPeers);
        self.known.clone()
    }

    fn is_validator(&self) -> bool {
        self.we_validate
    }

    fn registration(&self, node: NodeId) -> Option<Registration> {
        assert_eq!(node, self.identities.node("remote"));
        self.registration
    }

    fn uptime(&mut self, node: NodeId) -> Option<f64> {
        assert_eq!(node, self.identities.node("remote"));
        self.uptime
    }

    fn peers(&mut self, request: PeersRequest<'_>) -> Vec<ClaimedIp> {
        assert_eq!(request.node, self.identities.node("remote"));
        self.call(Call::Peers {
            subnets: request.subnets.clone(),
            all_subnets: request.all_subnets,
            known: request.known.clone(),
            salt: request.salt.to_vec(),
        });
        self.peers_reply.clone()
    }

    fn track(&mut self, claims: Vec<ClaimedIp>) -> Result<(), TrackError> {
        self.call(Call::Track { claims, fails: self.track_error });
        if self.track_error { Err(TrackError("scripted".into())) } else { Ok(()) }
    }

    fn connected(&mut self, remote: &Remote) {
        assert_eq!(remote.node, self.identities.node("remote"));
        self.call(Call::Connected);
    }

    fn disconnected(&mut self, node: NodeId, was_ready: bool) {
        assert_eq!(node, self.identities.node("remote"));
        let _ = was_ready;
        self.call(Call::Disconnected);
    }

    fn inbound(&mut self, message: Inbound) {
        assert_eq!(message.from, self.identities.node("remote"));
        self.call(Call::Router(routed(message)));
    }

    fn observe(&mut self, fact: Fact) {
        match &fact {
            Fact::SendFailed { op, .. } => self.call(Call::SendFailed(*op)),
            Fact::Dropped { op, reason: DropReason::Invalid(field) } => {
                self.call(Call::Router(Routed::Invalid(*op, *field)));
            }
            _ => (),
        }
        self.facts.push((self.now_ms, fact));
    }
}

impl Call {
    /// Fails unless this is the call that upstream made.
    pub(crate) fn check(&self, at_ms: u64, mut it: Fields, identities: &Identities) {
        let name = it.name.clone();
        assert_eq!(at_ms, it.take::<u64>("at_ms"), "{name}: {self:?}");
        let expected: String = it.take("call");
        assert_eq!(self.name(), expected, "{name}: {self:?}");
        match self {
            Self::KnownPeers | Self::Connected | Self::Disconnected => (),
            Self::AllowConnection(result) => assert_eq!(*result, it.take::<bool>("result")),
            Self::Peers { subnets, all_subnets, known, salt } => {
                let sent: BTreeSet<String> = it.take("subnets");
                let subnets: BTreeSet<_> = subnets.iter().map(|it| format!("{it:?}")).collect();
                assert_eq!(subnets, sent, "{name}");
                assert_eq!(*all_subnets, it.take::<bool>("all_subnets"), "{name}");
                let filter = ReadFilter::parse(it.bytes("filter").into());
                assert_eq!(Ok(known.clone()), filter, "{name}");
                assert_eq!(*salt, it.bytes("salt"), "{name}");
            }
            Self::Track { claims, fails } => {
                assert_eq!(*fails, it.take::<bool>("fails"), "{name}");
                let expected = it.list("claims");
                assert_eq!(claims.len(), expected.len(), "{name}");
                for (told, expected) in claims.iter().zip(expected) {
                    identities.check_claim(told, expected);
                }
            }
            Self::Router(routed) => routed.check(&mut it),
            Self::SendFailed(op) => assert_eq!(op.label(), it.take::<String>("op"), "{name}"),
        }
        it.finish();
    }

    fn name(&self) -> &'static str {
        match self {
            Self::KnownPeers => "known_peers",
            Self::AllowConnection(_) => "allow_connection",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Peers { .. } => "peers",
            Self::Track { .. } => "track",
            Self::Router(_) => "router",
            Self::SendFailed(_) => "send_failed",
        }
    }
}

impl Routed {
    fn check(&self, it: &mut Fields) {
        let op: String = it.take("op");
        let mut inner = it.nested("fields");
        let expires: Option<String> = it.maybe("expires_in_ns");
        let expires: Option<i64> = expires.map(|text| text.parse().unwrap());
        match self {
            Self::Whole { op: ours, message, expires_in_ns } => {
                assert_eq!(ours.label(), op, "{}", it.name);
                // Upstream hands on what has expired already; here that is the router's question.
                assert_eq!(*expires_in_ns, expires.filter(|ns| *ns >= 0), "{}", it.name);
                assert_eq!(**message, fields::message(&op, inner), "{}", it.name);
            }
            Self::Malformed(ours) => {
                assert_eq!((ours.label(), expires), (op.as_str(), None), "{}", it.name);
                let sent = fields::message(&op, inner);
                let read = Codec::default().decode(&sent.encode_to_vec().into()).unwrap().message;
                let is_malformed = matches!(
                    read,
                    Message::Chain { payload: Payload::MalformedResponse { .. }, .. }
                );
                assert!(is_malformed, "{}: {read:?}", it.name);
            }
            Self::Invalid(ours, field) => {
                assert_eq!(ours.label(), op, "{}", it.name);
                let length = match field {
                    InvalidField::ChainId(length) => {
                        assert_eq!(inner.bytes("chain_id").len(), *length, "{}", it.name);
                        *length
                    }
                    InvalidField::ContainerId(length) => {
                        let mut ids: Vec<String> = inner.or_default("container_ids");
                        ids.extend(inner.maybe::<String>("container_id"));
                        assert!(ids.iter().any(|id| id.len() == 2 * length), "{}", it.name);
                        *length
                    }
                };
                assert_ne!(length, 32, "{}", it.name);
            }
        }
    }
}

fn routed(Inbound { chain, payload, .. }: Inbound) -> Routed {
    if let Payload::MalformedResponse { op, .. } = payload {
        return Routed::Malformed(op.into());
    }
    let expires_in_ns = match &payload {
        Payload::Request { deadline, .. } => effective_deadline(*deadline, DEADLINE_MAX),
        _ => None,
    };
    let message = Message::Chain { chain, payload };
    let op = message.op();
    Routed::Whole {
        op,
        message: Box::new(reencode(&message)),
        expires_in_ns: expires_in_ns.map(|span| span.as_nanos() as i64),
    }
}

/// A message with all fields of the schema.
pub(crate) fn reencode(message: &Message) -> p2p::Message {
    let bytes: Bytes = Codec::default().encode(message, Compression::None).unwrap().bytes;
    p2p::Message::decode(bytes).unwrap()
}

/// A validator's registration, or null.
pub(crate) fn registration(value: serde_json::Value) -> Option<Registration> {
    if value.is_null() {
        return None;
    }
    let mut it = Fields::of("remote_validator", value);
    let key: Option<String> = it.maybe("bls_public_key");
    let key =
        key.map(|hex| bls::PublicKey::from_compressed(&const_hex::decode(hex).unwrap()).unwrap());
    let tx = Id(it.bytes("tx_id").try_into().unwrap());
    // Only the throttler asks for weights, and with limits that leave validators nothing.
    it.skip("weight");
    it.finish();
    Some(Registration { tx, key })
}

/// Whether upstream logs the refusal of a message: not when it was waiting.
pub(crate) fn is_logged(reason: Refusal) -> bool {
    reason != Refusal::Abandoned
}
