//! What happens on a connection and is worth counting or logging, and why connections end.

use std::time::Duration;

use sastrugi_types::version::Version;
use thiserror::Error;

use crate::{
    Op, WireError,
    frame::FrameTooLarge,
    handshake::{FilterFault, HandshakeFault},
    message::InvalidField,
    signed_ip::ClaimFault,
};

/// Something that happened. One enum feeds metrics, logs and the laboratory.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A message arrived and was understood.
    Received {
        /// What it is for.
        op: Op,
        /// Length of the body of its frame.
        bytes: usize,
        /// How many bytes compression saved; negative if it cost some.
        bytes_saved: i64,
    },
    /// A frame was not understood. The connection stays.
    Unparsable(WireError),
    /// A message was understood and dropped. The connection stays.
    Dropped {
        /// What it is for.
        op: Op,
        /// Why.
        reason: DropReason,
    },
    /// The clocks are this many seconds apart. Counted for each handshake.
    ClockSkew(f64),
    /// The peer runs a newer version than this node.
    NewerVersion(Version),
    /// The peer asked for claims, and there is none to tell.
    NothingToTell,
    /// A ping goes out with uptime 0, since nobody knows the peer's uptime.
    UptimeUnknown,
    /// A ping was answered after this time.
    RoundTrip(Duration),
    /// A message will not be sent.
    SendFailed {
        /// What it is for.
        op: Op,
        /// Why.
        reason: Refusal,
    },
    /// The connection ends. Comes once.
    Closing(CloseReason),
}

/// How much attention a fact deserves in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// Happens with each message.
    Trace,
    /// Happens with peers of all kinds.
    Debug,
    /// Worth reading.
    Info,
    /// The operator should do something.
    Warn,
    /// This node does something wrong.
    Error,
}

impl Fact {
    /// How much attention it deserves when the peer is a beacon, or is none.
    ///
    /// That a beacon refuses our clock or runs a newer version says something about this node.
    pub const fn attention(&self, is_beacon: bool) -> Attention {
        match self {
            Self::Closing(reason) => reason.attention(is_beacon),
            Self::NewerVersion(_) if is_beacon => Attention::Info,
            Self::NewerVersion(_)
            | Self::Dropped { .. }
            | Self::NothingToTell
            | Self::UptimeUnknown
            | Self::SendFailed { .. } => Attention::Debug,
            Self::Received { .. }
            | Self::Unparsable(_)
            | Self::ClockSkew(_)
            | Self::RoundTrip(_) => Attention::Trace,
        }
    }
}

/// Why a message that was understood goes no further.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DropReason {
    /// The peer is not ready.
    #[error("the handshake is not finished")]
    NotReady,
    /// A field makes it useless.
    #[error(transparent)]
    Invalid(#[from] InvalidField),
}

/// Why a message will not be sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// Too many bytes or frames wait for this peer, or for all of them.
    #[error("too much is waiting to be sent")]
    Throttled,
    /// It is longer than a frame may be.
    #[error("larger than a frame")]
    TooLarge,
    /// It waited when the connection was closed.
    #[error("the connection was closed before it was sent")]
    Abandoned,
}

/// What a connection was reading when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The length of a frame.
    Length,
    /// The body of a frame.
    Body,
}

/// Why a connection ends. There is no way to tell the peer.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CloseReason {
    /// Nothing complete arrived for too long.
    #[error("timeout while reading a {0:?}")]
    ReadTimeout(Part),
    /// The peer takes nothing any more.
    #[error("timeout while writing")]
    WriteTimeout,
    /// The peer did not become ready in time. Upstream waits for ever.
    #[error("the handshake took too long")]
    ReadyTimeout,
    /// The peer closed the connection, or it broke.
    #[error("connection ended while reading a {0:?}")]
    Ended(Part),
    /// A frame announced itself that is longer than allowed.
    #[error(transparent)]
    Frame(#[from] FrameTooLarge),
    /// A ping claims more than 100 % uptime.
    #[error("ping with an uptime of {0} %")]
    Uptime(u32),
    /// A pong without a ping outstanding.
    #[error("unexpected pong")]
    UnexpectedPong,
    /// A second handshake.
    #[error("already received a handshake")]
    SecondHandshake,
    /// The handshake is not acceptable.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeFault),
    /// The peer's version is not, or not any more, compatible.
    #[error("version {0} is not compatible")]
    Version(Version),
    /// A validator's claim is not signed by the BLS key it registered.
    #[error("invalid BLS signature")]
    BlsSignature,
    /// A request for claims comes without a usable filter.
    #[error("request for peers: {0}")]
    GetPeerList(#[from] FilterFault),
    /// A claim that cannot even be read.
    #[error("peer list: {0}")]
    PeerList(#[from] ClaimFault),
    /// The network refused a claim.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// The network does not want the connection any more.
    #[error("the connection is no longer desired")]
    NotAllowed,
    /// This node's own claim has port 0.
    #[error("the node's own address has port 0")]
    OwnPort,
    /// A message of this node cannot be built.
    #[error("cannot build a message: {0}")]
    CannotBuild(WireError),
    /// This node closes the connection.
    #[error("closed by this node")]
    Shutdown,
}

impl CloseReason {
    const fn attention(&self, is_beacon: bool) -> Attention {
        match self {
            Self::OwnPort | Self::CannotBuild(_) => Attention::Error,
            Self::Handshake(HandshakeFault::Clock { .. } | HandshakeFault::Claim(_))
                if is_beacon =>
            {
                Attention::Warn
            }
            Self::ReadTimeout(_)
            | Self::WriteTimeout
            | Self::Ended(_)
            | Self::Frame(_)
            | Self::Shutdown => Attention::Trace,
            _ => Attention::Debug,
        }
    }
}

/// The network's reason to refuse claims that a peer told.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("claim refused: {0}")]
pub struct TrackError(pub String);
