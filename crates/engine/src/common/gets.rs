//! Requests that a node answers in every gear.
//!
//! Any node may ask at any time. What cannot be answered is dropped without a word; the peer's own
//! timeout ends it. Nothing here may wait for the network.
//! Upstream: `snow/engine/common/engine.go`.

use std::collections::BTreeSet;

use sastrugi_types::{Id, NodeId, RequestId};

use super::{Cx, Handled};

/// Serves the most recent state summary.
pub trait GetStateSummaryFrontierHandler {
    /// Answer with the bytes of the last summary.
    #[doc(alias = "GetStateSummaryFrontier")]
    fn get_state_summary_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled;
}

/// Serves summary IDs by height.
pub trait GetAcceptedStateSummaryHandler {
    /// Answer with the IDs of the summaries at these heights; unknown heights are left out.
    #[doc(alias = "GetAcceptedStateSummary")]
    fn get_accepted_state_summary(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        heights: BTreeSet<u64>,
    ) -> Handled;
}

/// Serves the last accepted container.
pub trait GetAcceptedFrontierHandler {
    /// Answer with its ID.
    #[doc(alias = "GetAcceptedFrontier")]
    fn get_accepted_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled;
}

/// Says which containers are accepted.
pub trait GetAcceptedHandler {
    /// Answer with the accepted ones among these, possibly none.
    #[doc(alias = "GetAccepted")]
    fn get_accepted(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: BTreeSet<Id>,
    ) -> Handled;
}

/// Serves a container and its ancestors.
pub trait GetAncestorsHandler {
    /// Answer with the container, its parent and so on, as far as count, size and time allow.
    #[doc(alias = "GetAncestors")]
    fn get_ancestors(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
    ) -> Handled;
}

/// Serves one container.
pub trait GetHandler {
    /// Answer with its bytes.
    #[doc(alias = "Get")]
    fn get(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId, container: Id) -> Handled;
}

/// Everything a node serves in every gear.
pub trait AllGetsServer:
    GetStateSummaryFrontierHandler
    + GetAcceptedStateSummaryHandler
    + GetAcceptedFrontierHandler
    + GetAcceptedHandler
    + GetAncestorsHandler
    + GetHandler
{
}

impl<T> AllGetsServer for T where
    T: GetStateSummaryFrontierHandler
        + GetAcceptedStateSummaryHandler
        + GetAcceptedFrontierHandler
        + GetAcceptedHandler
        + GetAncestorsHandler
        + GetHandler
        + ?Sized
{
}
