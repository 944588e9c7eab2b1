//! Answers about a peer's last accepted container. Upstream: `snow/engine/common/engine.go`.

use sastrugi_types::{Id, NodeId, RequestId};

use super::{Cx, Handled, no_op::dropped};

/// Hears a peer's last accepted container.
#[doc(alias = "NewNoOpAcceptedFrontierHandler")]
pub trait AcceptedFrontierHandler {
    /// The peer's last accepted container; untrusted.
    #[doc(alias = "AcceptedFrontier")]
    fn accepted_frontier(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _container: Id,
    ) -> Handled {
        dropped("accepted_frontier", from, request)
    }

    /// There will be no answer.
    #[doc(alias = "GetAcceptedFrontierFailed")]
    fn get_accepted_frontier_failed(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        dropped("get_accepted_frontier_failed", from, request)
    }
}
