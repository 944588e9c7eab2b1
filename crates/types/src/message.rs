//! The abstract message set: what nodes say to each other about one chain, after decoding.
//!
//! `engine` speaks these types and `wire` maps protobuf to and from them, so neither needs the
//! other. Upstream: `message/ops.go`, `proto/p2p/p2p.proto`.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{Id, NodeId};

/// A caller's number for a request, unique per node while the request is outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

impl RequestId {
    /// The number after this one; wraps at 2³².
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which family of gears a message is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineType {
    /// The family in charge of the chain at the moment.
    #[default]
    Unspecified = 0,
    /// The DAG gears (once "Avalanche").
    Dag = 1,
    /// The gears of a linear chain (once "Snowman").
    Chain = 2,
}

impl EngineType {
    /// Reads the wire's number; unknown numbers count as unspecified.
    pub const fn from_wire(number: i32) -> Self {
        match number {
            1 => Self::Dag,
            2 => Self::Chain,
            _ => Self::Unspecified,
        }
    }
}

/// A reply to a query: what the sender prefers and what it has accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chits {
    /// The sender's preference.
    pub preferred: Id,
    /// The sender's preferred block at the height the query asked for.
    pub preferred_at_height: Id,
    /// The sender's last accepted block.
    pub accepted: Id,
    /// The height of `accepted`.
    pub accepted_height: u64,
}

/// What one node asks of another. Each request has exactly one kind of [`Response`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the most recent state summary.
    GetStateSummaryFrontier,
    /// Asks for the IDs of the summaries at these heights.
    GetAcceptedStateSummary {
        /// Heights in the order sent, duplicates included.
        heights: Vec<u64>,
    },
    /// Asks for the last accepted container.
    GetAcceptedFrontier,
    /// Asks which of these containers are accepted.
    GetAccepted {
        /// Containers in the order sent, duplicates included.
        containers: Vec<Id>,
    },
    /// Asks for a container and as many of its ancestors as fit.
    GetAncestors {
        /// The youngest container wanted.
        container: Id,
        /// The gear family that should answer.
        engine_type: EngineType,
    },
    /// Asks for one container.
    Get {
        /// The container wanted.
        container: Id,
    },
    /// Asks for a vote and brings the container.
    PushQuery {
        /// The container's bytes, not yet parsed.
        container: Bytes,
        /// The height at which the asker wants to know the preference.
        requested_height: u64,
    },
    /// Asks for a vote and names the container.
    PullQuery {
        /// The container asked about.
        container: Id,
        /// The height at which the asker wants to know the preference.
        requested_height: u64,
    },
    /// Asks the VM something.
    App {
        /// The VM's own bytes.
        bytes: Bytes,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answers [`Request::GetStateSummaryFrontier`].
    StateSummaryFrontier {
        /// The summary's bytes, not yet parsed.
        summary: Bytes,
    },
    /// Answers [`Request::GetAcceptedStateSummary`].
    AcceptedStateSummary {
        /// Summary IDs in the order sent, duplicates included.
        summaries: Vec<Id>,
    },
    /// Answers [`Request::GetAcceptedFrontier`].
    AcceptedFrontier {
        /// The last accepted container.
        container: Id,
    },
    /// Answers [`Request::GetAccepted`].
    Accepted {
        /// Containers in the order sent, duplicates included.
        containers: Vec<Id>,
    },
    /// Answers [`Request::GetAncestors`].
    Ancestors {
        /// Containers, youngest first, not yet parsed.
        containers: Vec<Bytes>,
    },
    /// Answers [`Request::Get`].
    Put {
        /// The container's bytes, not yet parsed.
        container: Bytes,
    },
    /// Answers [`Request::PushQuery`] and [`Request::PullQuery`].
    Chits(Chits),
    /// Answers [`Request::App`].
    App {
        /// The VM's own bytes.
        bytes: Bytes,
    },
    /// Answers [`Request::App`] with a failure the VM defined.
    AppError {
        /// Positive codes belong to VMs, the others to the platform.
        code: i32,
        /// Text for people.
        message: String,
    },
}

/// The kind of response that clears a request. Part of the key of an outstanding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseOp {
    /// Clears [`Request::GetStateSummaryFrontier`].
    StateSummaryFrontier,
    /// Clears [`Request::GetAcceptedStateSummary`].
    AcceptedStateSummary,
    /// Clears [`Request::GetAcceptedFrontier`].
    AcceptedFrontier,
    /// Clears [`Request::GetAccepted`].
    Accepted,
    /// Clears [`Request::GetAncestors`].
    Ancestors,
    /// Clears [`Request::Get`].
    Put,
    /// Clears both queries.
    Chits,
    /// Clears [`Request::App`]; an app error counts as one.
    App,
}

impl Request {
    /// The kind of response that clears this request.
    pub const fn response_op(&self) -> ResponseOp {
        match self {
            Self::GetStateSummaryFrontier => ResponseOp::StateSummaryFrontier,
            Self::GetAcceptedStateSummary { .. } => ResponseOp::AcceptedStateSummary,
            Self::GetAcceptedFrontier => ResponseOp::AcceptedFrontier,
            Self::GetAccepted { .. } => ResponseOp::Accepted,
            Self::GetAncestors { .. } => ResponseOp::Ancestors,
            Self::Get { .. } => ResponseOp::Put,
            Self::PushQuery { .. } | Self::PullQuery { .. } => ResponseOp::Chits,
            Self::App { .. } => ResponseOp::App,
        }
    }

    /// The name in logs and metric labels.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::GetStateSummaryFrontier => "get_state_summary_frontier",
            Self::GetAcceptedStateSummary { .. } => "get_accepted_state_summary",
            Self::GetAcceptedFrontier => "get_accepted_frontier",
            Self::GetAccepted { .. } => "get_accepted",
            Self::GetAncestors { .. } => "get_ancestors",
            Self::Get { .. } => "get",
            Self::PushQuery { .. } => "push_query",
            Self::PullQuery { .. } => "pull_query",
            Self::App { .. } => "app_request",
        }
    }
}

impl Response {
    /// The kind of this response; an app error is of the kind [`ResponseOp::App`].
    pub const fn op(&self) -> ResponseOp {
        match self {
            Self::StateSummaryFrontier { .. } => ResponseOp::StateSummaryFrontier,
            Self::AcceptedStateSummary { .. } => ResponseOp::AcceptedStateSummary,
            Self::AcceptedFrontier { .. } => ResponseOp::AcceptedFrontier,
            Self::Accepted { .. } => ResponseOp::Accepted,
            Self::Ancestors { .. } => ResponseOp::Ancestors,
            Self::Put { .. } => ResponseOp::Put,
            Self::Chits(_) => ResponseOp::Chits,
            Self::App { .. } | Self::AppError { .. } => ResponseOp::App,
        }
    }

    /// The name in logs and metric labels.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::AppError { .. } => "app_error",
            other => other.op().label(),
        }
    }
}

impl ResponseOp {
    /// The name of the response in logs and metric labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::StateSummaryFrontier => "state_summary_frontier",
            Self::AcceptedStateSummary => "accepted_state_summary",
            Self::AcceptedFrontier => "accepted_frontier",
            Self::Accepted => "accepted",
            Self::Ancestors => "ancestors",
            Self::Put => "put",
            Self::Chits => "chits",
            Self::App => "app_response",
        }
    }

    /// The name of the failure that stands in for the response in logs and metric labels.
    pub const fn failure_label(self) -> &'static str {
        match self {
            Self::StateSummaryFrontier => "get_state_summary_frontier_failed",
            Self::AcceptedStateSummary => "get_accepted_state_summary_failed",
            Self::AcceptedFrontier => "get_accepted_frontier_failed",
            Self::Accepted => "get_accepted_failed",
            Self::Ancestors => "get_ancestors_failed",
            Self::Put => "get_failed",
            Self::Chits => "query_failed",
            Self::App => "app_error",
        }
    }
}

/// What is said without expecting an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gossip {
    /// The VM's own bytes.
    App {
        /// The VM's own bytes.
        bytes: Bytes,
    },
    /// A message of the Simplex protocol, encoded.
    Simplex {
        /// The encoded message.
        bytes: Bytes,
    },
}

/// The part of a message that follows the chain's ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A request, and how long its sender will wait.
    Request {
        /// The sender's number for it.
        id: RequestId,
        /// How long the sender waits for the answer, as it says itself: any 64-bit number of
        /// nanoseconds. See [`effective_deadline`].
        deadline: Duration,
        /// What is asked.
        request: Request,
    },
    /// A response to the request of the same number.
    Response {
        /// The asker's number.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// A response whose fields could not be read. Only decoders make it: the request it belongs
    /// to is over, so the asker must hear of the failure.
    MalformedResponse {
        /// The asker's number.
        id: RequestId,
        /// What the response claimed to be.
        op: ResponseOp,
    },
    /// Gossip.
    Gossip(Gossip),
}

impl Payload {
    /// The name in logs and metric labels.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Request { request, .. } => request.label(),
            Self::Response { response, .. } => response.label(),
            Self::MalformedResponse { op, .. } => op.label(),
            Self::Gossip(Gossip::App { .. }) => "app_gossip",
            Self::Gossip(Gossip::Simplex { .. }) => "simplex",
        }
    }
}

/// A message about one chain, to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The chain it is about.
    pub chain: Id,
    /// What is said.
    pub payload: Payload,
}

/// A message about one chain, as received from a peer (or from the node itself).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Who said it; the connection proved it.
    pub from: NodeId,
    /// The chain it is about.
    pub chain: Id,
    /// What is said.
    pub payload: Payload,
}

/// How long after its receipt a request is still worth answering, or `None` when it arrives
/// expired.
///
/// A peer's deadline counts at most `max`. Upstream reads the number as signed, so one above
/// 2⁶³ − 1 ns is negative: the message is born expired. Upstream: `message/messages.go`.
pub fn effective_deadline(deadline: Duration, max: Duration) -> Option<Duration> {
    let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
    i64::try_from(nanos).is_ok().then(|| deadline.min(max))
}
