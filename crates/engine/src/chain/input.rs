//! What a chain hears.

use bytes::Bytes;
use sastrugi_types::{
    Instant, NodeId, RequestId,
    message::{Gossip, Request, Response, ResponseOp},
    version::Application,
};
use sastrugi_vm::Message;

/// One thing a chain hears; requests and responses are decoded and matched already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A node asks.
    Request {
        /// Who asks.
        from: NodeId,
        /// The asker's number.
        id: RequestId,
        /// After this instant nobody waits for the answer.
        expires: Instant,
        /// What is asked.
        request: Request,
    },
    /// The answer to an outstanding request of this chain.
    Response {
        /// Who answers.
        from: NodeId,
        /// This chain's number.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// An outstanding request of this chain ends without an answer.
    Failed {
        /// Who was asked.
        from: NodeId,
        /// This chain's number.
        id: RequestId,
        /// The kind of answer that will not come.
        op: ResponseOp,
    },
    /// Somebody says something and expects no answer.
    Gossip {
        /// Who says it.
        from: NodeId,
        /// What is said.
        gossip: Gossip,
    },
    /// A node became usable.
    Connected {
        /// The node; this one is announced too.
        node: NodeId,
        /// The version it runs.
        version: Application,
    },
    /// A node is no longer usable.
    Disconnected {
        /// The node.
        node: NodeId,
    },
    /// The VM signals.
    Notify(Message),
}

/// Which of a chain's two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Worked in order by the thread that owns the chain.
    Sync,
    /// App messages, worked by a small pool beside the chain, in no particular order.
    App,
}

impl Input {
    /// The queue this belongs to.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Request { request: Request::App { .. }, .. }
            | Self::Response {
                response: Response::App { .. } | Response::AppError { .. }, ..
            }
            | Self::Failed { op: ResponseOp::App, .. }
            | Self::Gossip { gossip: Gossip::App { .. }, .. } => Lane::App,
            _ => Lane::Sync,
        }
    }

    /// Whether this may be dropped without breaking a promise: nobody counts on requests and
    /// gossip of others, but each own request ends in exactly one outcome.
    pub const fn is_refusable(&self) -> bool {
        matches!(self, Self::Request { .. } | Self::Gossip { .. })
    }

    /// The last instant at which this is worth handling; `None` for what never expires.
    pub const fn expires(&self) -> Option<Instant> {
        match self {
            Self::Request { expires, .. } => Some(*expires),
            _ => None,
        }
    }

    /// The memory this occupies in a queue, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.payload_bytes()
    }

    /// The name in logs and metric labels.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Request { request, .. } => request.label(),
            Self::Response { response, .. } => response.label(),
            Self::Failed { op, .. } => op.failure_label(),
            Self::Gossip { gossip: Gossip::App { .. }, .. } => "app_gossip",
            Self::Gossip { gossip: Gossip::Simplex { .. }, .. } => "simplex",
            Self::Connected { .. } => "connected",
            Self::Disconnected { .. } => "disconnected",
            Self::Notify(_) => "notify",
        }
    }

    /// The node this came from or is about, if any.
    pub const fn node(&self) -> Option<NodeId> {
        match self {
            Self::Request { from: node, .. }
            | Self::Response { from: node, .. }
            | Self::Failed { from: node, .. }
            | Self::Gossip { from: node, .. }
            | Self::Connected { node, .. }
            | Self::Disconnected { node } => Some(*node),
            Self::Notify(_) => None,
        }
    }

    fn payload_bytes(&self) -> usize {
        match self {
            Self::Request { request, .. } => request_bytes(request),
            Self::Response { response, .. } => response_bytes(response),
            Self::Gossip { gossip: Gossip::App { bytes } | Gossip::Simplex { bytes }, .. } => {
                bytes.len()
            }
            Self::Connected { version, .. } => version.name.len(),
            Self::Failed { .. } | Self::Disconnected { .. } | Self::Notify(_) => 0,
        }
    }
}

fn request_bytes(request: &Request) -> usize {
    match request {
        Request::GetAcceptedStateSummary { heights } => size_of_val(heights.as_slice()),
        Request::GetAccepted { containers } => size_of_val(containers.as_slice()),
        Request::PushQuery { container: bytes, .. } | Request::App { bytes } => bytes.len(),
        Request::GetStateSummaryFrontier
        | Request::GetAcceptedFrontier
        | Request::GetAncestors { .. }
        | Request::Get { .. }
        | Request::PullQuery { .. } => 0,
    }
}

fn response_bytes(response: &Response) -> usize {
    match response {
        Response::StateSummaryFrontier { summary: bytes }
        | Response::Put { container: bytes }
        | Response::App { bytes } => bytes.len(),
        Response::AcceptedStateSummary { summaries: ids }
        | Response::Accepted { containers: ids } => size_of_val(ids.as_slice()),
        Response::Ancestors { containers } => {
            size_of_val(containers.as_slice()) + containers.iter().map(Bytes::len).sum::<usize>()
        }
        Response::AppError { message, .. } => message.len(),
        Response::AcceptedFrontier { .. } | Response::Chits(_) => 0,
    }
}
