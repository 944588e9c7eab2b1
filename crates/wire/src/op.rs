//! The operations of the protocol: one per member of the outer message, with what the node needs
//! to know of each before it looks inside.
//!
//! Upstream: `message/ops.go`, `message/outbound_msg_builder.go`.

use sastrugi_types::message::{Gossip, Payload, Request, Response, ResponseOp};

/// What a message is for. The number is upstream's, for traces; it never appears on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the message of the same name")]
pub enum Op {
    Ping = 0,
    Pong = 1,
    Handshake = 2,
    GetPeerList = 3,
    PeerList = 4,
    GetStateSummaryFrontier = 5,
    StateSummaryFrontier = 7,
    GetAcceptedStateSummary = 8,
    AcceptedStateSummary = 10,
    GetAcceptedFrontier = 11,
    AcceptedFrontier = 13,
    GetAccepted = 14,
    Accepted = 16,
    GetAncestors = 17,
    Ancestors = 19,
    Get = 20,
    Put = 22,
    PushQuery = 23,
    PullQuery = 24,
    Chits = 26,
    AppRequest = 27,
    AppError = 28,
    AppResponse = 29,
    AppGossip = 30,
    Simplex = 35,
}

impl Op {
    /// Every operation, in the order of its number.
    pub const ALL: [Self; 25] = [
        Self::Ping,
        Self::Pong,
        Self::Handshake,
        Self::GetPeerList,
        Self::PeerList,
        Self::GetStateSummaryFrontier,
        Self::StateSummaryFrontier,
        Self::GetAcceptedStateSummary,
        Self::AcceptedStateSummary,
        Self::GetAcceptedFrontier,
        Self::AcceptedFrontier,
        Self::GetAccepted,
        Self::Accepted,
        Self::GetAncestors,
        Self::Ancestors,
        Self::Get,
        Self::Put,
        Self::PushQuery,
        Self::PullQuery,
        Self::Chits,
        Self::AppRequest,
        Self::AppError,
        Self::AppResponse,
        Self::AppGossip,
        Self::Simplex,
    ];

    /// The name in logs and metric labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Handshake => "handshake",
            Self::GetPeerList => "get_peerlist",
            Self::PeerList => "peerlist",
            Self::GetStateSummaryFrontier => "get_state_summary_frontier",
            Self::StateSummaryFrontier => "state_summary_frontier",
            Self::GetAcceptedStateSummary => "get_accepted_state_summary",
            Self::AcceptedStateSummary => "accepted_state_summary",
            Self::GetAcceptedFrontier => "get_accepted_frontier",
            Self::AcceptedFrontier => "accepted_frontier",
            Self::GetAccepted => "get_accepted",
            Self::Accepted => "accepted",
            Self::GetAncestors => "get_ancestors",
            Self::Ancestors => "ancestors",
            Self::Get => "get",
            Self::Put => "put",
            Self::PushQuery => "push_query",
            Self::PullQuery => "pull_query",
            Self::Chits => "chits",
            Self::AppRequest => "app_request",
            Self::AppError => "app_error",
            Self::AppResponse => "app_response",
            Self::AppGossip => "app_gossip",
            Self::Simplex => "simplex",
        }
    }

    /// Whether a message of this kind is sent compressed when compression is on. Receivers take
    /// any message either way.
    pub const fn is_compressed(self) -> bool {
        matches!(
            self,
            Self::GetPeerList
                | Self::PeerList
                | Self::StateSummaryFrontier
                | Self::GetAcceptedStateSummary
                | Self::AcceptedStateSummary
                | Self::Ancestors
                | Self::Put
                | Self::PushQuery
                | Self::AppRequest
                | Self::AppError
                | Self::AppResponse
                | Self::AppGossip
                | Self::Simplex
        )
    }

    /// Whether the connection deals with the message itself, so that it never reaches a chain.
    pub const fn is_network(self) -> bool {
        matches!(
            self,
            Self::Ping | Self::Pong | Self::Handshake | Self::GetPeerList | Self::PeerList
        )
    }

    /// Its number among the members of the outer message.
    pub(crate) const fn field(self) -> u32 {
        match self {
            Self::Ping => 11,
            Self::Pong => 12,
            Self::Handshake => 13,
            Self::PeerList => 14,
            Self::GetStateSummaryFrontier => 15,
            Self::StateSummaryFrontier => 16,
            Self::GetAcceptedStateSummary => 17,
            Self::AcceptedStateSummary => 18,
            Self::GetAcceptedFrontier => 19,
            Self::AcceptedFrontier => 20,
            Self::GetAccepted => 21,
            Self::Accepted => 22,
            Self::GetAncestors => 23,
            Self::Ancestors => 24,
            Self::Get => 25,
            Self::Put => 26,
            Self::PushQuery => 27,
            Self::PullQuery => 28,
            Self::Chits => 29,
            Self::AppRequest => 30,
            Self::AppResponse => 31,
            Self::AppGossip => 32,
            Self::AppError => 34,
            Self::GetPeerList => 35,
            Self::Simplex => 36,
        }
    }

    /// The operation of a member of the outer message.
    pub(crate) const fn of_field(field: u32) -> Option<Self> {
        Some(match field {
            11 => Self::Ping,
            12 => Self::Pong,
            13 => Self::Handshake,
            14 => Self::PeerList,
            15 => Self::GetStateSummaryFrontier,
            16 => Self::StateSummaryFrontier,
            17 => Self::GetAcceptedStateSummary,
            18 => Self::AcceptedStateSummary,
            19 => Self::GetAcceptedFrontier,
            20 => Self::AcceptedFrontier,
            21 => Self::GetAccepted,
            22 => Self::Accepted,
            23 => Self::GetAncestors,
            24 => Self::Ancestors,
            25 => Self::Get,
            26 => Self::Put,
            27 => Self::PushQuery,
            28 => Self::PullQuery,
            29 => Self::Chits,
            30 => Self::AppRequest,
            31 => Self::AppResponse,
            32 => Self::AppGossip,
            34 => Self::AppError,
            35 => Self::GetPeerList,
            36 => Self::Simplex,
            _ => return None,
        })
    }
}

impl From<&Request> for Op {
    fn from(request: &Request) -> Self {
        match request {
            Request::GetStateSummaryFrontier => Self::GetStateSummaryFrontier,
            Request::GetAcceptedStateSummary { .. } => Self::GetAcceptedStateSummary,
            Request::GetAcceptedFrontier => Self::GetAcceptedFrontier,
            Request::GetAccepted { .. } => Self::GetAccepted,
            Request::GetAncestors { .. } => Self::GetAncestors,
            Request::Get { .. } => Self::Get,
            Request::PushQuery { .. } => Self::PushQuery,
            Request::PullQuery { .. } => Self::PullQuery,
            Request::App { .. } => Self::AppRequest,
        }
    }
}

impl From<ResponseOp> for Op {
    fn from(op: ResponseOp) -> Self {
        match op {
            ResponseOp::StateSummaryFrontier => Self::StateSummaryFrontier,
            ResponseOp::AcceptedStateSummary => Self::AcceptedStateSummary,
            ResponseOp::AcceptedFrontier => Self::AcceptedFrontier,
            ResponseOp::Accepted => Self::Accepted,
            ResponseOp::Ancestors => Self::Ancestors,
            ResponseOp::Put => Self::Put,
            ResponseOp::Chits => Self::Chits,
            ResponseOp::App => Self::AppResponse,
        }
    }
}

impl From<&Payload> for Op {
    fn from(payload: &Payload) -> Self {
        match payload {
            Payload::Request { request, .. } => request.into(),
            Payload::Response { response: Response::AppError { .. }, .. } => Self::AppError,
            Payload::Response { response, .. } => response.op().into(),
            Payload::MalformedResponse { op, .. } => (*op).into(),
            Payload::Gossip(Gossip::App { .. }) => Self::AppGossip,
            Payload::Gossip(Gossip::Simplex { .. }) => Self::Simplex,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_operations_are_one_to_one() {
        for op in Op::ALL {
            assert_eq!(Op::of_field(op.field()), Some(op));
        }
        assert_eq!((0..64).filter_map(Op::of_field).count(), Op::ALL.len());
        assert!(Op::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
