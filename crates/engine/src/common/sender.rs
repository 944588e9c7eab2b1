//! What a gear can say. Upstream: `snow/engine/common/sender.go`.
//!
//! Sending never blocks and never fails visibly. Each request is registered before it leaves, and
//! ends in exactly one call of the gear: the response or its failure. What a gear sends to its own
//! node comes back through the chain's inbox, never inside the call.

use std::collections::BTreeSet;

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId, message::Chits};

use super::AppSender;

/// Nodes a message goes to, in ascending order.
pub type NodeSet = BTreeSet<NodeId>;

/// Asks for state summaries, and answers with them.
pub trait StateSummarySender {
    /// Asks each node for its last summary. An unreachable node fails when the timeout ends.
    #[doc(alias = "SendGetStateSummaryFrontier")]
    fn send_get_state_summary_frontier(&self, nodes: &NodeSet, request: RequestId);
    /// Answers with the last summary.
    #[doc(alias = "SendStateSummaryFrontier")]
    fn send_state_summary_frontier(&self, node: NodeId, request: RequestId, summary: Bytes);
}

/// Asks for the summaries at heights, and answers.
pub trait AcceptedStateSummarySender {
    /// Asks each node for the summaries at these heights.
    #[doc(alias = "SendGetAcceptedStateSummary")]
    fn send_get_accepted_state_summary(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        heights: Vec<u64>,
    );
    /// Answers with their IDs.
    #[doc(alias = "SendAcceptedStateSummary")]
    fn send_accepted_state_summary(&self, node: NodeId, request: RequestId, summaries: Vec<Id>);
}

/// Asks for last accepted containers, and answers.
pub trait FrontierSender {
    /// Asks each node for its last accepted container.
    #[doc(alias = "SendGetAcceptedFrontier")]
    fn send_get_accepted_frontier(&self, nodes: &NodeSet, request: RequestId);
    /// Answers with the last accepted container.
    #[doc(alias = "SendAcceptedFrontier")]
    fn send_accepted_frontier(&self, node: NodeId, request: RequestId, container: Id);
}

/// Asks which containers are accepted, and answers.
pub trait AcceptedSender {
    /// Asks each node which of these it has accepted.
    #[doc(alias = "SendGetAccepted")]
    fn send_get_accepted(&self, nodes: &NodeSet, request: RequestId, containers: Vec<Id>);
    /// Answers with the accepted ones.
    #[doc(alias = "SendAccepted")]
    fn send_accepted(&self, node: NodeId, request: RequestId, containers: Vec<Id>);
}

/// Asks for containers, and answers.
pub trait FetchSender {
    /// Asks for one container. To an unreachable node, and to this node itself, it fails at once.
    #[doc(alias = "SendGet")]
    fn send_get(&self, node: NodeId, request: RequestId, container: Id);
    /// Asks for a container and its ancestors. To this node itself nothing is sent, and the failure
    /// comes when the timeout ends.
    #[doc(alias = "SendGetAncestors")]
    fn send_get_ancestors(&self, node: NodeId, request: RequestId, container: Id);
    /// Answers with one container.
    #[doc(alias = "SendPut")]
    fn send_put(&self, node: NodeId, request: RequestId, container: Bytes);
    /// Answers with containers, youngest first.
    #[doc(alias = "SendAncestors")]
    fn send_ancestors(&self, node: NodeId, request: RequestId, containers: Vec<Bytes>);
}

/// Queries, and answers queries.
pub trait QuerySender {
    /// Queries each node about a container and brings it. Unreachable nodes fail at once.
    #[doc(alias = "SendPushQuery")]
    fn send_push_query(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        container: Bytes,
        requested_height: u64,
    );
    /// Queries each node about a container by name. Unreachable nodes fail at once.
    #[doc(alias = "SendPullQuery")]
    fn send_pull_query(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        container: Id,
        requested_height: u64,
    );
    /// Answers a query.
    #[doc(alias = "SendChits")]
    fn send_chits(&self, node: NodeId, request: RequestId, chits: Chits);
}

/// Everything a gear and its VM can say.
pub trait Sender:
    StateSummarySender
    + AcceptedStateSummarySender
    + FrontierSender
    + AcceptedSender
    + FetchSender
    + QuerySender
    + AppSender
{
}

impl<T> Sender for T where
    T: StateSummarySender
        + AcceptedStateSummarySender
        + FrontierSender
        + AcceptedSender
        + FetchSender
        + QuerySender
        + AppSender
        + ?Sized
{
}
