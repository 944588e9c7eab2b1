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
    id::ID_BYTES,
    message::{Chits, EngineType, Gossip, Payload, Request, Response, ResponseOp},
};

use super::{
    Decoded, InvalidField, Message, WireError, network, simplex,
    wire::{Reader, Value, numbers},
};
use crate::Op;

/// The member that holds a compressed message.
pub(super) const COMPRESSED: u32 = 2;

/// Containers kept of a response. Bootstrapping reads 2,000 of them, and a frame with more than
/// this is full of containers too short to be any; each would take sixteen times its bytes.
const CONTAINERS_MAX: usize = 65_536;

/// Reads one frame. `decompress` is asked only if the frame is compressed.
pub(super) fn decode(
    frame: &Bytes,
    decompress: impl FnOnce(&[u8]) -> Result<Vec<u8>, WireError>,
) -> Result<Decoded, WireError> {
    let member = last_member(frame)?.ok_or(WireError::UnknownType)?;
    let op = match member.kind {
        Kind::Op(op) => op,
        Kind::Compressed if member.body.is_empty() => return Err(WireError::UnknownType),
        Kind::Compressed => {
            let content = Bytes::from(decompress(member.body)?);
            let bytes_saved = content.len() as i64 - frame.len() as i64;
            return match last_member(&content)? {
                Some(inner @ Member { kind: Kind::Op(op), .. }) => {
                    Ok(Decoded { message: inner.read(op, &content)?, bytes_saved })
                }
                _ => Err(WireError::UnknownType),
            };
        }
    };
    Ok(Decoded { message: member.read(op, frame)?, bytes_saved: 0 })
}

/// What a member of the outer message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Compressed,
    Op(Op),
}

/// A member of the outer message.
struct Member<'a> {
    kind: Kind,
    body: &'a [u8],
    /// The body together with the pieces that stood before it.
    merged: Option<Bytes>,
}

impl Member<'_> {
    /// Reads the message, whose bytes lie in `outer`.
    fn read(&self, op: Op, outer: &Bytes) -> Result<Message, WireError> {
        match &self.merged {
            None => read(op, Body { home: outer, bytes: self.body }),
            Some(pieces) => read(op, Body { home: pieces, bytes: pieces }),
        }
    }

    /// Fails if this piece is malformed, whatever it says.
    fn check(&self, outer: &Bytes) -> Result<(), WireError> {
        let Kind::Op(op) = self.kind else { return Ok(()) };
        match read(op, Body { home: outer, bytes: self.body }) {
            Err(error) if error.is_parse_failure() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Walks an outer message to the member that was set last.
fn last_member(outer: &Bytes) -> Result<Option<Member<'_>>, WireError> {
    let mut reader = Reader::new(outer);
    let mut last: Option<Member<'_>> = None;
    let mut pieces: Option<Vec<u8>> = None;
    while let Some((field, value)) = reader.field()? {
        let Value::Bytes(body) = value else { continue };
        let kind = match Op::of_field(field) {
            Some(op) => Kind::Op(op),
            None if field == COMPRESSED => Kind::Compressed,
            None => continue,
        };
        if let Some(before) = &last {
            before.check(outer)?;
            if before.kind == kind && kind != Kind::Compressed {
                pieces.get_or_insert_with(|| before.body.to_vec()).extend_from_slice(body);
            } else {
                pieces = None;
            }
        }
        last = Some(Member { kind, body, merged: None });
    }
    if let (Some(member), Some(pieces)) = (&mut last, pieces) {
        member.check(outer)?;
        member.merged = Some(pieces.into());
    }
    Ok(last)
}

/// The bytes of a message, and where they lie.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    home: &'a Bytes,
    bytes: &'a [u8],
}

impl<'a> Body<'a> {
    pub(super) const fn reader(self) -> Reader<'a> {
        Reader::new(self.bytes)
    }

    /// A part of the body, not copied.
    pub(super) fn part(self, bytes: &'a [u8]) -> Bytes {
        self.home.slice_ref(bytes)
    }
}

/// Reads a message of a known kind.
fn read(op: Op, body: Body<'_>) -> Result<Message, WireError> {
    match op {
        Op::Ping => network::ping(body.reader()).map(Message::Ping),
        Op::Pong => network::pong(body.reader()).map(|()| Message::Pong),
        Op::Handshake => network::handshake(body).map(Box::new).map(Message::Handshake),
        Op::GetPeerList => network::get_peer_list(body).map(Message::GetPeerList),
        Op::PeerList => network::peer_list(body).map(Message::PeerList),
        Op::AppGossip => app_gossip(body),
        Op::Simplex => {
            let (chain, bytes) = simplex::split(body.reader())?;
            let payload = Payload::Gossip(Gossip::Simplex { bytes });
            Ok(Message::Chain { chain: Id(*chain_id(op, chain)?), payload })
        }
        _ => match response_op(op) {
            Some(kind) => read_response(op, kind, body),
            None => read_request(op, body),
        },
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

fn app_gossip(body: Body<'_>) -> Result<Message, WireError> {
    let (mut chain, mut bytes) = (&[][..], &[][..]);
    let mut reader = body.reader();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(it)) => chain = it,
            (2, Value::Bytes(it)) => bytes = it,
            _ => (),
        }
    }
    let chain = Id(*chain_id(Op::AppGossip, chain)?);
    Ok(Message::Chain { chain, payload: Payload::Gossip(Gossip::App { bytes: body.part(bytes) }) })
}

/// The fields of any request. Those of the same number have the same meaning in each kind, save
/// the fourth.
#[derive(Clone, Copy, Default)]
struct RequestFields<'a> {
    chain: &'a [u8],
    id: u32,
    deadline: u64,
    /// The fourth: a container, its ID, or a VM's own bytes.
    bytes: &'a [u8],
    engine_type: i32,
    requested_height: u64,
}

impl<'a> RequestFields<'a> {
    /// Walks the fields. The fourth is shown to `list`, too.
    #[inline]
    fn read(
        body: Body<'a>,
        mut list: impl FnMut(Value<'a>) -> Result<(), WireError>,
    ) -> Result<Self, WireError> {
        let mut fields = Self::default();
        let mut reader = body.reader();
        while let Some((field, value)) = reader.field()? {
            match (field, value) {
                (1, Value::Bytes(it)) => fields.chain = it,
                (2, Value::Varint(it)) => fields.id = it as u32,
                (3, Value::Varint(it)) => fields.deadline = it,
                (4, value) => {
                    list(value)?;
                    if let Value::Bytes(it) = value {
                        fields.bytes = it;
                    }
                }
                (5, Value::Varint(it)) => fields.engine_type = it as i32,
                (6, Value::Varint(it)) => fields.requested_height = it,
                _ => (),
            }
        }
        Ok(fields)
    }

    fn message(self, op: Op, request: Request) -> Result<Message, WireError> {
        let chain = chain_id(op, self.chain)?;
        let (id, deadline) = (RequestId(self.id), Duration::from_nanos(self.deadline));
        let payload = Payload::Request { id, deadline, request };
        Ok(Message::Chain { chain: Id(*chain), payload })
    }
}

fn read_request(op: Op, body: Body<'_>) -> Result<Message, WireError> {
    match op {
        Op::GetAcceptedStateSummary => {
            let mut heights = Vec::new();
            let list = |value| numbers(value, &mut heights, usize::MAX, |height| height);
            let fields = RequestFields::read(body, list)?;
            return fields.message(op, Request::GetAcceptedStateSummary { heights });
        }
        Op::GetAccepted => {
            let mut ids = Ids::default();
            let fields = RequestFields::read(body, |value| {
                if let Value::Bytes(it) = value {
                    ids.push(it);
                }
                Ok(())
            })?;
            let chain = chain_id(op, fields.chain).map(|_| ());
            let fault = ids.fault.map(|field| WireError::Invalid { op, field });
            chain.and(fault.map_or(Ok(()), Err))?;
            return fields.message(op, Request::GetAccepted { containers: ids.good });
        }
        _ => {}
    }
    let fields = RequestFields::read(body, |_| Ok(()))?;
    chain_id(op, fields.chain)?;
    let container = || {
        let id = container_id(fields.bytes).map_err(|field| WireError::Invalid { op, field })?;
        Ok(Id(*id))
    };
    let requested_height = fields.requested_height;
    let request = match op {
        Op::GetStateSummaryFrontier => Request::GetStateSummaryFrontier,
        Op::GetAcceptedFrontier => Request::GetAcceptedFrontier,
        Op::GetAncestors => {
            let engine_type = EngineType::from_wire(fields.engine_type);
            Request::GetAncestors { container: container()?, engine_type }
        }
        Op::Get => Request::Get { container: container()? },
        Op::PullQuery => Request::PullQuery { container: container()?, requested_height },
        Op::PushQuery => {
            Request::PushQuery { container: body.part(fields.bytes), requested_height }
        }
        Op::AppRequest => Request::App { bytes: body.part(fields.bytes) },
        _ => return Err(WireError::UnknownType),
    };
    fields.message(op, request)
}

/// The fields of any response. What each holds depends on the kind.
#[derive(Clone, Copy, Default)]
struct ResponseFields<'a> {
    chain: &'a [u8],
    id: u32,
    third: &'a [u8],
    /// The third, where it is a number.
    code: i32,
    fourth: &'a [u8],
    fifth: &'a [u8],
    sixth: u64,
}

impl<'a> ResponseFields<'a> {
    /// Walks the fields. The third is shown to `list`, too.
    #[inline]
    fn read(op: Op, body: Body<'a>, mut list: impl FnMut(&'a [u8])) -> Result<Self, WireError> {
        let mut fields = Self::default();
        let mut reader = body.reader();
        while let Some((field, value)) = reader.field()? {
            match (field, value) {
                (1, Value::Bytes(it)) => fields.chain = it,
                (2, Value::Varint(it)) => fields.id = it as u32,
                (3, Value::Varint(it)) => fields.code = unzigzag(it as u32),
                (3, Value::Bytes(it)) => {
                    list(it);
                    fields.third = it;
                }
                (4, Value::Bytes(it)) if op == Op::AppError => fields.fourth = text(it)?.as_bytes(),
                (4, Value::Bytes(it)) => fields.fourth = it,
                (5, Value::Bytes(it)) => fields.fifth = it,
                (6, Value::Varint(it)) => fields.sixth = it,
                _ => (),
            }
        }
        Ok(fields)
    }

    /// The message. A response that cannot be read still ends the request it answers.
    fn message(
        self,
        op: Op,
        kind: ResponseOp,
        response: Option<Response>,
    ) -> Result<Message, WireError> {
        let chain = Id(*chain_id(op, self.chain)?);
        let id = RequestId(self.id);
        let payload = match response {
            Some(response) => Payload::Response { id, response },
            None => Payload::MalformedResponse { id, op: kind },
        };
        Ok(Message::Chain { chain, payload })
    }

    fn chits(&self) -> Option<Response> {
        let id = |bytes| container_id(bytes).ok().map(|id| Id(*id));
        Some(Response::Chits(Chits {
            preferred: id(self.third)?,
            accepted: id(self.fourth)?,
            preferred_at_height: id(self.fifth)?,
            accepted_height: self.sixth,
        }))
    }
}

fn read_response(op: Op, kind: ResponseOp, body: Body<'_>) -> Result<Message, WireError> {
    match op {
        Op::AcceptedStateSummary | Op::Accepted => {
            let mut ids = Ids::default();
            let fields = ResponseFields::read(op, body, |it| ids.push(it))?;
            let response = match (op, ids.fault) {
                (_, Some(_)) => None,
                (Op::Accepted, _) => Some(Response::Accepted { containers: ids.good }),
                _ => Some(Response::AcceptedStateSummary { summaries: ids.good }),
            };
            return fields.message(op, kind, response);
        }
        Op::Ancestors => {
            let mut containers = Vec::new();
            let fields = ResponseFields::read(op, body, |it| {
                if containers.len() < CONTAINERS_MAX {
                    containers.push(body.part(it));
                }
            })?;
            return fields.message(op, kind, Some(Response::Ancestors { containers }));
        }
        _ => {}
    }
    let fields = ResponseFields::read(op, body, |_| ())?;
    chain_id(op, fields.chain)?;
    let response = match op {
        Op::Chits => fields.chits(),
        Op::AcceptedFrontier => container_id(fields.third)
            .ok()
            .map(|id| Response::AcceptedFrontier { container: Id(*id) }),
        Op::StateSummaryFrontier => {
            Some(Response::StateSummaryFrontier { summary: body.part(fields.third) })
        }
        Op::Put => Some(Response::Put { container: body.part(fields.third) }),
        Op::AppResponse => Some(Response::App { bytes: body.part(fields.third) }),
        _ => {
            let message = text(fields.fourth)?.to_owned();
            Some(Response::AppError { code: fields.code, message })
        }
    };
    fields.message(op, kind, response)
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
            Ok(id) => self.good.push(Id(*id)),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
    }
}

fn chain_id(op: Op, bytes: &[u8]) -> Result<&[u8; ID_BYTES], WireError> {
    let field = InvalidField::ChainId(bytes.len());
    bytes.try_into().map_err(|_| WireError::Invalid { op, field })
}

fn container_id(bytes: &[u8]) -> Result<&[u8; ID_BYTES], InvalidField> {
    bytes.try_into().map_err(|_| InvalidField::ContainerId(bytes.len()))
}

/// Text, which must be UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError::Protobuf)
}

/// Undoes the encoding that keeps small negative numbers short.
const fn unzigzag(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}
