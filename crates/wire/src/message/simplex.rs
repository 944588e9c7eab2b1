//! Brings a Simplex message into the form that the generated decoder takes.
//!
//! Nothing in this node reads such a message on its way, so it stays encoded. It must still be
//! found malformed or not as upstream finds it, and who decodes it later with
//! [`generated`](crate::generated::p2p::Simplex) must see what upstream sees: fields of an unknown
//! number or of a wrong wire type are left out here, because generated decoders refuse the latter.

use bytes::Bytes;

use super::{
    WireError,
    wire::{Reader, Sink, Value, numbers},
};

/// What the fields of a message hold.
type Schema = &'static [(u32, Kind)];

enum Kind {
    Number,
    Numbers,
    Bytes,
    Message(Schema),
}

const PROTOCOL_METADATA: Schema =
    &[(1, Kind::Number), (2, Kind::Number), (3, Kind::Number), (4, Kind::Number), (5, Kind::Bytes)];
const EMPTY_VOTE_METADATA: Schema = &[(1, Kind::Number), (2, Kind::Number)];
const BLOCK_HEADER: Schema = &[(1, Kind::Message(PROTOCOL_METADATA)), (2, Kind::Bytes)];
const SIGNATURE: Schema = &[(1, Kind::Bytes), (2, Kind::Bytes)];
const VOTE: Schema = &[(1, Kind::Message(BLOCK_HEADER)), (2, Kind::Message(SIGNATURE))];
const EMPTY_VOTE: Schema =
    &[(1, Kind::Message(EMPTY_VOTE_METADATA)), (2, Kind::Message(SIGNATURE))];
const BLOCK_PROPOSAL: Schema = &[(1, Kind::Bytes), (2, Kind::Message(VOTE))];
const QUORUM_CERTIFICATE: Schema = &[(1, Kind::Message(BLOCK_HEADER)), (2, Kind::Bytes)];
const EMPTY_NOTARIZATION: Schema = &[(1, Kind::Message(EMPTY_VOTE_METADATA)), (2, Kind::Bytes)];
const REPLICATION_REQUEST: Schema = &[(1, Kind::Numbers), (2, Kind::Number)];
const REPLICATION_RESPONSE: Schema =
    &[(1, Kind::Message(QUORUM_ROUND)), (2, Kind::Message(QUORUM_ROUND))];
const QUORUM_ROUND: Schema = &[
    (1, Kind::Bytes),
    (2, Kind::Message(QUORUM_CERTIFICATE)),
    (3, Kind::Message(EMPTY_NOTARIZATION)),
    (4, Kind::Message(QUORUM_CERTIFICATE)),
];
const SIMPLEX: Schema = &[
    (1, Kind::Bytes),
    (2, Kind::Message(BLOCK_PROPOSAL)),
    (3, Kind::Message(VOTE)),
    (4, Kind::Message(EMPTY_VOTE)),
    (5, Kind::Message(VOTE)),
    (6, Kind::Message(QUORUM_CERTIFICATE)),
    (7, Kind::Message(EMPTY_NOTARIZATION)),
    (8, Kind::Message(QUORUM_CERTIFICATE)),
    (9, Kind::Message(REPLICATION_REQUEST)),
    (10, Kind::Message(REPLICATION_RESPONSE)),
];

/// Field number of the chain's ID.
const CHAIN_ID: u32 = 1;

/// Splits a message into its chain ID and the rest.
pub(super) fn split(mut reader: Reader<'_>) -> Result<(&[u8], Bytes), WireError> {
    let mut chain = &[][..];
    let mut rest = Vec::new();
    while let Some((field, value)) = reader.field()? {
        match value {
            Value::Bytes(id) if field == CHAIN_ID => chain = id,
            _ => copy(SIMPLEX, field, value, &mut rest)?,
        }
    }
    Ok((chain, rest.into()))
}

/// Copies a message without the fields that its schema does not know.
fn clean(schema: Schema, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut cleaned = Vec::with_capacity(bytes.len());
    let mut reader = Reader::new(bytes);
    while let Some((field, value)) = reader.field()? {
        copy(schema, field, value, &mut cleaned)?;
    }
    Ok(cleaned)
}

fn copy(schema: Schema, field: u32, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    let Some((_, kind)) = schema.iter().find(|(number, _)| *number == field) else {
        return Ok(());
    };
    match (kind, value) {
        (Kind::Number | Kind::Numbers, Value::Varint(number)) => {
            out.tag(field, 0);
            out.varint(number);
        }
        (Kind::Numbers, Value::Bytes(packed)) => {
            numbers(value, &mut Vec::new(), 0, |_| ())?;
            out.element(field, packed);
        }
        (Kind::Bytes, Value::Bytes(bytes)) => out.element(field, bytes),
        (Kind::Message(schema), Value::Bytes(bytes)) => {
            out.element(field, &clean(schema, bytes)?);
        }
        _ => (),
    }
    Ok(())
}
