//! Messages to bytes: each message's fields, written once for counting and once for real.

use std::time::Duration;

use sastrugi_types::{
    Id, RequestId,
    message::{Chits, EngineType, Gossip, Payload, Request, Response},
};

use super::{
    BloomFilter, ClaimedIpPort, Client, GetPeerList, Handshake, Message, PeerList, Ping, WireError,
    wire::{Encode, Sink, Size},
};

/// What the last field of a claim holds; nobody reads it any more.
const TX_ID: Id = Id::EMPTY;

/// The serialized message.
pub(super) fn encode(message: &Message) -> Result<Vec<u8>, WireError> {
    let op = message.op();
    if let Message::Chain { payload: Payload::MalformedResponse { .. }, .. } = message {
        return Err(WireError::NoEncoding { op });
    }
    let mut size = Size::default();
    size.message(op.field(), message);
    let mut bytes = Vec::with_capacity(size.0);
    bytes.message(op.field(), message);
    Ok(bytes)
}

impl Encode for Message {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        match self {
            Self::Ping(Ping { uptime }) => sink.number(1, u64::from(*uptime)),
            Self::Pong => (),
            Self::Handshake(handshake) => handshake.fields(sink),
            Self::GetPeerList(request) => request.fields(sink),
            Self::PeerList(PeerList { claimed_ip_ports }) => {
                for claim in claimed_ip_ports {
                    sink.message(1, claim);
                }
            }
            Self::Chain { chain, payload } => {
                sink.id(1, chain);
                payload.fields(sink);
            }
        }
    }
}

impl Encode for Handshake {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.number(1, u64::from(self.network_id));
        sink.number(2, self.my_time);
        sink.bytes(3, &self.ip_addr);
        sink.number(4, u64::from(self.ip_port));
        sink.number(5, self.upgrade_time);
        sink.number(6, self.ip_signing_time);
        sink.bytes(7, &self.ip_node_id_sig);
        self.tracked_subnets.iter().for_each(|subnet| sink.element(8, subnet));
        if let Some(client) = &self.client {
            sink.message(9, client);
        }
        sink.packed(10, self.supported_acps.iter().copied().map(u64::from));
        sink.packed(11, self.objected_acps.iter().copied().map(u64::from));
        if let Some(filter) = &self.known_peers {
            sink.message(12, filter);
        }
        sink.bytes(13, &self.ip_bls_sig);
        sink.number(14, u64::from(self.all_subnets));
    }
}

impl Encode for Client {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.bytes(1, self.name.as_bytes());
        sink.number(2, u64::from(self.major));
        sink.number(3, u64::from(self.minor));
        sink.number(4, u64::from(self.patch));
    }
}

impl Encode for BloomFilter {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.bytes(1, &self.filter);
        sink.bytes(2, &self.salt);
    }
}

impl Encode for GetPeerList {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        if let Some(filter) = &self.known_peers {
            sink.message(1, filter);
        }
        sink.number(2, u64::from(self.all_subnets));
    }
}

impl Encode for ClaimedIpPort {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        sink.bytes(1, &self.x509_certificate);
        sink.bytes(2, &self.ip_addr);
        sink.number(3, u64::from(self.ip_port));
        sink.number(4, self.timestamp);
        sink.bytes(5, &self.signature);
        sink.id(6, &TX_ID);
    }
}

impl Encode for Payload {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        match self {
            Self::Request { id: RequestId(id), deadline, request } => {
                sink.number(2, u64::from(*id));
                sink.number(3, deadline_nanos(*deadline));
                request.fields(sink);
            }
            Self::Response { id: RequestId(id), response } => {
                sink.number(2, u64::from(*id));
                response.fields(sink);
            }
            Self::MalformedResponse { id: RequestId(id), .. } => sink.number(2, u64::from(*id)),
            Self::Gossip(Gossip::App { bytes }) => sink.bytes(2, bytes),
            Self::Gossip(Gossip::Simplex { bytes }) => sink.raw(bytes),
        }
    }
}

impl Encode for Request {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        match self {
            Self::GetStateSummaryFrontier | Self::GetAcceptedFrontier => (),
            Self::GetAcceptedStateSummary { heights } => sink.packed(4, heights.iter().copied()),
            Self::GetAccepted { containers } => containers.iter().for_each(|id| sink.id(4, id)),
            Self::GetAncestors { container, engine_type } => {
                sink.id(4, container);
                sink.number(5, engine_number(*engine_type));
            }
            Self::Get { container } => sink.id(4, container),
            Self::PushQuery { container, requested_height } => {
                sink.bytes(4, container);
                sink.number(6, *requested_height);
            }
            Self::PullQuery { container, requested_height } => {
                sink.id(4, container);
                sink.number(6, *requested_height);
            }
            Self::App { bytes } => sink.bytes(4, bytes),
        }
    }
}

impl Encode for Response {
    fn fields<S: Sink + ?Sized>(&self, sink: &mut S) {
        match self {
            Self::StateSummaryFrontier { summary: bytes }
            | Self::Put { container: bytes }
            | Self::App { bytes } => sink.bytes(3, bytes),
            Self::AcceptedStateSummary { summaries: ids } | Self::Accepted { containers: ids } => {
                for id in ids {
                    sink.id(3, id);
                }
            }
            Self::AcceptedFrontier { container } => sink.id(3, container),
            Self::Ancestors { containers } => {
                for container in containers {
                    sink.element(3, container);
                }
            }
            Self::Chits(Chits { preferred, preferred_at_height, accepted, accepted_height }) => {
                sink.id(3, preferred);
                sink.id(4, accepted);
                sink.id(5, preferred_at_height);
                sink.number(6, *accepted_height);
            }
            Self::AppError { code, message } => {
                sink.number(3, u64::from(zigzag(*code)));
                sink.bytes(4, message.as_bytes());
            }
        }
    }
}

/// A deadline longer than the wire can say becomes the longest that is not read as negative.
fn deadline_nanos(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos()).unwrap_or(i64::MAX as u64)
}

const fn engine_number(engine_type: EngineType) -> u64 {
    match engine_type {
        EngineType::Unspecified => 0,
        EngineType::Dag => 1,
        EngineType::Chain => 2,
    }
}

/// Signed to unsigned, so that small negative numbers stay short.
const fn zigzag(number: i32) -> u32 {
    ((number << 1) ^ (number >> 31)) as u32
}
