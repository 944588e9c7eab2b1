//! Why a message cannot be read or written.

use thiserror::Error;

use crate::Op;

/// Why a message cannot be read or written. A frame that cannot be read is dropped; the
/// connection stays.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// The bytes are not protobuf, or not of this schema.
    #[error("malformed protobuf")]
    Protobuf,
    /// No member of the outer message is set that may stand there.
    #[error("unknown message type")]
    UnknownType,
    /// The compressed content cannot be restored.
    #[error("cannot decompress: {0}")]
    Zstd(&'static str),
    /// The content is larger than a message may be.
    #[error("more than {max_bytes} bytes of content")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The message was read, but a field makes it useless. Upstream counts it as received and
    /// drops it later.
    #[error("{}: {field}", .op.label())]
    Invalid {
        /// What the message is for.
        op: Op,
        /// What is wrong with it.
        field: InvalidField,
    },
    /// The message only exists inside this node.
    #[error("{} has no encoding", .op.label())]
    NoEncoding {
        /// What the message stands for.
        op: Op,
    },
}

impl WireError {
    /// Whether nothing at all was understood, so that the frame does not count as a sign of
    /// life.
    pub const fn is_parse_failure(&self) -> bool {
        !matches!(self, Self::Invalid { .. })
    }
}

/// A field that makes a message useless.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidField {
    /// The chain's ID has another length than 32 bytes.
    #[error("chain ID of {0} bytes")]
    ChainId(usize),
    /// The ID of a container asked for has another length than 32 bytes.
    #[error("container ID of {0} bytes")]
    ContainerId(usize),
}
