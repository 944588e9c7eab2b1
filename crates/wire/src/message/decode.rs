//! Bytes to messages, without copying what the message carries.
//!
//! Upon a frame: find the member of the outer message that was set last. If it is the compressed
//! one, restore its content and do the same once more, where it may not be compressed again. Then
//! read the member. Every member is checked for being well formed, also one that another
//! replaced. A member that stands several times in a row is merged, which for protobuf means
//! reading the pieces as one.

use std::time::Duration;

use bytes::Bytes;
use sastrugi_types::{
    Id, RequestId,
    message::{Chits, EngineType, Gossip, Payload, Request, Response, ResponseOp},
};

use super::{
    Decoded, InvalidField, Message, WireError, network, simplex,
    wire::{Reader, Value, numbers},
};
use crate::Op;

/// The member that holds a compressed message.
pub(super) const COMPRESSED: u32 = 2;

/// Reads one frame. `decompress` is asked only if the frame is compressed.
pub(super) fn decode(
    frame: &Bytes,
    decompress: impl FnOnce(&[u8]) -> Result<Vec<u8>, WireError>,
) -> Result<Decoded, WireError> {
    match last_member(frame)? {
        Some(Member { field: COMPRESSED, body }) if !body.is_empty() => {
            let content = Bytes::from(decompress(&body)?);
            let member = last_member(&content)?.filter(|member| member.field != COMPRESSED);
            let bytes_saved = content.len() as i64 - frame.len() as i64;
            let message = member.ok_or(WireError::UnknownType)?.read()?;
            Ok(Decoded { message, bytes_saved })
        }
        Some(member) if member.field != COMPRESSED => {
            Ok(Decoded { message: member.read()?, bytes_saved: 0 })
        }
        _ => Err(WireError::UnknownType),
    }
}

/// The member of an outer message that counts.
struct Member {
    field: u32,
    body: Bytes,
}

impl Member {
    fn read(&self) -> Result<Message, WireError> {
        Op::of_field(self.field).ok_or(WireError::UnknownType).and_then(|op| read(op, &self.body))
    }

    /// Fails if the body is malformed, whatever it says.
    fn check(&self) -> Result<(), WireError> {
        match self.read() {
            Err(error) if self.field != COMPRESSED && error.is_parse_failure() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Walks an outer message to the member that was set last.
fn last_member(outer: &Bytes) -> Result<Option<Member>, WireError> {
    let mut reader = Reader::new(outer);
    let mut last: Option<Member> = None;
    let mut merged: Option<Vec<u8>> = None;
    while let Some((field, value)) = reader.field()? {
        let Value::Bytes(body) = value else { continue };
        if field != COMPRESSED && Op::of_field(field).is_none() {
            continue;
        }
        if let Some(before) = &last {
            before.check()?;
            if before.field == field && field != COMPRESSED {
                merged.get_or_insert_with(|| before.body.to_vec()).extend_from_slice(body);
            } else {
                merged = None;
            }
        }
        last = Some(Member { field, body: outer.slice_ref(body) });
    }
    if let (Some(member), Some(pieces)) = (&mut last, merged) {
        member.check()?;
        member.body = Bytes::from(pieces);
    }
    Ok(last)
}

/// Reads a message of a known kind.
fn read(op: Op, body: &Bytes) -> Result<Message, WireError> {
    match op {
        Op::Ping => network::ping(body).map(Message::Ping),
        Op::Pong => network::pong(body).map(|()| Message::Pong),
        Op::Handshake => network::handshake(body).map(Box::new).map(Message::Handshake),
        Op::GetPeerList => network::get_peer_list(body).map(Message::GetPeerList),
        Op::PeerList => network::peer_list(body).map(Message::PeerList),
        Op::AppGossip => app_gossip(body),
        Op::Simplex => {
            let (chain, bytes) = simplex::split(body)?;
            about(op, chain, Payload::Gossip(Gossip::Simplex { bytes }))
        }
        _ => response_op(op).map_or_else(|| request(op, body), |kind| response(op, kind, body)),
    }
}

/// What a response answers, or `None` for everything else.
const fn response_op(op: Op) -> Option<ResponseOp> {
    Some(match op {
        Op::StateSummaryFrontier => ResponseOp::StateSummaryFrontier,
        Op::AcceptedStateSummary => ResponseOp::AcceptedStateSummary,
        Op::AcceptedFrontier => ResponseOp::AcceptedFrontier,
        Op::Accepted => ResponseOp::Accepted,
        Op::Ancestors => ResponseOp::Ancestors,
        Op::Put => ResponseOp::Put,
        Op::Chits => ResponseOp::Chits,
        Op::AppResponse | Op::AppError => ResponseOp::App,
        _ => return None,
    })
}

/// Names the chain of a payload.
fn about(op: Op, chain: &[u8], payload: Payload) -> Result<Message, WireError> {
    match chain.try_into() {
        Ok(chain) => Ok(Message::Chain { chain: Id(chain), payload }),
        Err(_) => Err(WireError::Invalid { op, field: InvalidField::ChainId(chain.len()) }),
    }
}

fn app_gossip(body: &Bytes) -> Result<Message, WireError> {
    let (mut chain, mut bytes) = (&[][..], &[][..]);
    let mut reader = Reader::new(body);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(it)) => chain = it,
            (2, Value::Bytes(it)) => bytes = it,
            _ => (),
        }
    }
    let bytes = body.slice_ref(bytes);
    about(Op::AppGossip, chain, Payload::Gossip(Gossip::App { bytes }))
}

/// Reads any request: their fields of the same number have the same meaning, save the fourth.
fn request(op: Op, body: &Bytes) -> Result<Message, WireError> {
    let (mut chain, mut id, mut deadline) = (&[][..], 0, 0);
    let (mut bytes, mut ids, mut heights) = (&[][..], Ids::default(), Vec::new());
    let (mut engine_type, mut requested_height) = (0, 0);
    let mut reader = Reader::new(body);
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (1, Value::Bytes(it)) => chain = it,
            (2, Value::Varint(it)) => id = it as u32,
            (3, Value::Varint(it)) => deadline = it,
            (4, _) if op == Op::GetAcceptedStateSummary => {
                numbers(value, &mut heights, usize::MAX, |height| height)?;
            }
            (4, Value::Bytes(it)) if op == Op::GetAccepted => ids.push(it),
            (4, Value::Bytes(it)) => bytes = it,
            (5, Value::Varint(it)) => engine_type = it as i32,
            (6, Value::Varint(it)) => requested_height = it,
            _ => (),
        }
    }
    let container = || container_id(bytes);
    let request = match op {
        Op::GetStateSummaryFrontier => Ok(Request::GetStateSummaryFrontier),
        Op::GetAcceptedStateSummary => Ok(Request::GetAcceptedStateSummary { heights }),
        Op::GetAcceptedFrontier => Ok(Request::GetAcceptedFrontier),
        Op::GetAccepted => ids.all().map(|containers| Request::GetAccepted { containers }),
        Op::GetAncestors => container().map(|container| {
            let engine_type = EngineType::from_wire(engine_type);
            Request::GetAncestors { container, engine_type }
        }),
        Op::Get => container().map(|container| Request::Get { container }),
        Op::PullQuery => {
            container().map(|container| Request::PullQuery { container, requested_height })
        }
        Op::PushQuery => {
            Ok(Request::PushQuery { container: body.slice_ref(bytes), requested_height })
        }
        Op::AppRequest => Ok(Request::App { bytes: body.slice_ref(bytes) }),
        _ => return Err(WireError::UnknownType),
    };
    // A bad chain ID is reported before a bad container ID.
    let deadline = Duration::from_nanos(deadline);
    let nothing = Request::GetAcceptedFrontier;
    let (request, fault) = request.map_or_else(|fault| (nothing, Some(fault)), |it| (it, None));
    let message = about(op, chain, Payload::Request { id: RequestId(id), deadline, request })?;
    fault.map_or(Ok(message), |field| Err(WireError::Invalid { op, field }))
}

/// Reads any response: each field is an ID, bytes or a number, and its meaning depends on the
/// kind. One with a bad ID still ends the request it answers.
fn response(op: Op, kind: ResponseOp, body: &Bytes) -> Result<Message, WireError> {
    let (mut chain, mut id, mut code, mut number) = (&[][..], 0, 0, 0);
    let (mut third, mut fourth, mut fifth) = (&[][..], &[][..], &[][..]);
    let (mut ids, mut containers) = (Ids::default(), Vec::new());
    let mut reader = Reader::new(body);
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (1, Value::Bytes(it)) => chain = it,
            (2, Value::Varint(it)) => id = it as u32,
            (3, Value::Varint(it)) => code = unzigzag(it as u32),
            (3, Value::Bytes(it)) => match op {
                Op::AcceptedStateSummary | Op::Accepted => ids.push(it),
                Op::Ancestors => containers.push(body.slice_ref(it)),
                _ => third = it,
            },
            (4, Value::Bytes(it)) if op == Op::AppError => fourth = text(it)?.as_bytes(),
            (4, Value::Bytes(it)) => fourth = it,
            (5, Value::Bytes(it)) => fifth = it,
            (6, Value::Varint(it)) => number = it,
            _ => (),
        }
    }
    let response = match op {
        Op::StateSummaryFrontier => {
            Ok(Response::StateSummaryFrontier { summary: body.slice_ref(third) })
        }
        Op::Put => Ok(Response::Put { container: body.slice_ref(third) }),
        Op::AppResponse => Ok(Response::App { bytes: body.slice_ref(third) }),
        Op::AcceptedStateSummary => {
            ids.all().map(|summaries| Response::AcceptedStateSummary { summaries })
        }
        Op::Accepted => ids.all().map(|containers| Response::Accepted { containers }),
        Op::AcceptedFrontier => {
            container_id(third).map(|container| Response::AcceptedFrontier { container })
        }
        Op::Ancestors => Ok(Response::Ancestors { containers }),
        Op::Chits => chits(third, fourth, fifth, number).map(Response::Chits),
        _ => Ok(Response::AppError { code, message: text(fourth)?.to_owned() }),
    };
    let id = RequestId(id);
    let payload = match response {
        Ok(response) => Payload::Response { id, response },
        Err(_) => Payload::MalformedResponse { id, op: kind },
    };
    about(op, chain, payload)
}

fn chits(
    preferred: &[u8],
    accepted: &[u8],
    preferred_at_height: &[u8],
    accepted_height: u64,
) -> Result<Chits, InvalidField> {
    Ok(Chits {
        preferred: container_id(preferred)?,
        preferred_at_height: container_id(preferred_at_height)?,
        accepted: container_id(accepted)?,
        accepted_height,
    })
}

/// A list of IDs, as long as every one of them is good.
#[derive(Default)]
struct Ids {
    good: Vec<Id>,
    fault: Option<InvalidField>,
}

impl Ids {
    fn push(&mut self, bytes: &[u8]) {
        match container_id(bytes) {
            Ok(id) => self.good.push(id),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
    }

    fn all(self) -> Result<Vec<Id>, InvalidField> {
        self.fault.map_or(Ok(self.good), Err)
    }
}

fn container_id(bytes: &[u8]) -> Result<Id, InvalidField> {
    bytes.try_into().map(Id).map_err(|_| InvalidField::ContainerId(bytes.len()))
}

/// Text, which must be UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError::Protobuf)
}

/// Undoes the encoding that keeps small negative numbers short.
const fn unzigzag(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}
