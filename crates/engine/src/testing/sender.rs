//! A sender that hands everything to a closure.

use std::fmt;

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId, message::Chits};
use sastrugi_vm::VmError;

use crate::common::{
    AcceptedSender, AcceptedStateSummarySender, AppError, AppSender, FetchSender, FrontierSender,
    NodeSet, QuerySender, SendConfig, StateSummarySender,
};

/// Something a gear or its VM said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent<'a> {
    /// [`StateSummarySender::send_get_state_summary_frontier`]
    GetStateSummaryFrontier(&'a NodeSet, RequestId),
    /// [`StateSummarySender::send_state_summary_frontier`]
    StateSummaryFrontier(NodeId, RequestId, Bytes),
    /// [`AcceptedStateSummarySender::send_get_accepted_state_summary`]
    GetAcceptedStateSummary(&'a NodeSet, RequestId, Vec<u64>),
    /// [`AcceptedStateSummarySender::send_accepted_state_summary`]
    AcceptedStateSummary(NodeId, RequestId, Vec<Id>),
    /// [`FrontierSender::send_get_accepted_frontier`]
    GetAcceptedFrontier(&'a NodeSet, RequestId),
    /// [`FrontierSender::send_accepted_frontier`]
    AcceptedFrontier(NodeId, RequestId, Id),
    /// [`AcceptedSender::send_get_accepted`]
    GetAccepted(&'a NodeSet, RequestId, Vec<Id>),
    /// [`AcceptedSender::send_accepted`]
    Accepted(NodeId, RequestId, Vec<Id>),
    /// [`FetchSender::send_get`]
    Get(NodeId, RequestId, Id),
    /// [`FetchSender::send_get_ancestors`]
    GetAncestors(NodeId, RequestId, Id),
    /// [`FetchSender::send_put`]
    Put(NodeId, RequestId, Bytes),
    /// [`FetchSender::send_ancestors`]
    Ancestors(NodeId, RequestId, Vec<Bytes>),
    /// [`QuerySender::send_push_query`]
    PushQuery(&'a NodeSet, RequestId, Bytes, u64),
    /// [`QuerySender::send_pull_query`]
    PullQuery(&'a NodeSet, RequestId, Id, u64),
    /// [`QuerySender::send_chits`]
    Chits(NodeId, RequestId, Chits),
    /// [`AppSender::send_app_request`]
    AppRequest(&'a NodeSet, RequestId, Bytes),
    /// [`AppSender::send_app_response`]
    AppResponse(NodeId, RequestId, Bytes),
    /// [`AppSender::send_app_error`]
    AppError(NodeId, RequestId, AppError),
    /// [`AppSender::send_app_gossip`]
    AppGossip(SendConfig, Bytes),
}

/// Hands everything that is sent to a closure. Upstream: `commonmock.Sender`, `enginetest.Sender`.
#[doc(alias = "commonmock")]
#[doc(alias = "MockSender")]
#[doc(alias = "enginetest")]
pub struct RecordingSender(Box<dyn Fn(Sent<'_>) + Send + Sync>);

impl RecordingSender {
    /// A sender that calls `record` with everything, at once.
    pub fn new(record: impl Fn(Sent<'_>) + Send + Sync + 'static) -> Self {
        Self(Box::new(record))
    }
}

impl fmt::Debug for RecordingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingSender").finish_non_exhaustive()
    }
}

impl StateSummarySender for RecordingSender {
    fn send_get_state_summary_frontier(&self, nodes: &NodeSet, request: RequestId) {
        (self.0)(Sent::GetStateSummaryFrontier(nodes, request));
    }

    fn send_state_summary_frontier(&self, node: NodeId, request: RequestId, summary: Bytes) {
        (self.0)(Sent::StateSummaryFrontier(node, request, summary));
    }
}

impl AcceptedStateSummarySender for RecordingSender {
    fn send_get_accepted_state_summary(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        heights: Vec<u64>,
    ) {
        (self.0)(Sent::GetAcceptedStateSummary(nodes, request, heights));
    }

    fn send_accepted_state_summary(&self, node: NodeId, request: RequestId, summaries: Vec<Id>) {
        (self.0)(Sent::AcceptedStateSummary(node, request, summaries));
    }
}

impl FrontierSender for RecordingSender {
    fn send_get_accepted_frontier(&self, nodes: &NodeSet, request: RequestId) {
        (self.0)(Sent::GetAcceptedFrontier(nodes, request));
    }

    fn send_accepted_frontier(&self, node: NodeId, request: RequestId, container: Id) {
        (self.0)(Sent::AcceptedFrontier(node, request, container));
    }
}

impl AcceptedSender for RecordingSender {
    fn send_get_accepted(&self, nodes: &NodeSet, request: RequestId, containers: Vec<Id>) {
        (self.0)(Sent::GetAccepted(nodes, request, containers));
    }

    fn send_accepted(&self, node: NodeId, request: RequestId, containers: Vec<Id>) {
        (self.0)(Sent::Accepted(node, request, containers));
    }
}

impl FetchSender for RecordingSender {
    fn send_get(&self, node: NodeId, request: RequestId, container: Id) {
        (self.0)(Sent::Get(node, request, container));
    }

    fn send_get_ancestors(&self, node: NodeId, request: RequestId, container: Id) {
        (self.0)(Sent::GetAncestors(node, request, container));
    }

    fn send_put(&self, node: NodeId, request: RequestId, container: Bytes) {
        (self.0)(Sent::Put(node, request, container));
    }

    fn send_ancestors(&self, node: NodeId, request: RequestId, containers: Vec<Bytes>) {
        (self.0)(Sent::Ancestors(node, request, containers));
    }
}

impl QuerySender for RecordingSender {
    fn send_push_query(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        container: Bytes,
        requested_height: u64,
    ) {
        (self.0)(Sent::PushQuery(nodes, request, container, requested_height));
    }

    fn send_pull_query(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        container: Id,
        requested_height: u64,
    ) {
        (self.0)(Sent::PullQuery(nodes, request, container, requested_height));
    }

    fn send_chits(&self, node: NodeId, request: RequestId, chits: Chits) {
        (self.0)(Sent::Chits(node, request, chits));
    }
}

impl AppSender for RecordingSender {
    fn send_app_request(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        (self.0)(Sent::AppRequest(nodes, request, bytes));
        Ok(())
    }

    fn send_app_response(
        &self,
        node: NodeId,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        (self.0)(Sent::AppResponse(node, request, bytes));
        Ok(())
    }

    fn send_app_error(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        (self.0)(Sent::AppError(node, request, error.clone()));
        Ok(())
    }

    fn send_app_gossip(&self, config: &SendConfig, bytes: Bytes) -> Result<(), VmError> {
        (self.0)(Sent::AppGossip(config.clone(), bytes));
        Ok(())
    }
}
