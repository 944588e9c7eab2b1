//! Answers about accepted containers. Upstream: `snow/engine/common/engine.go`.

use std::collections::BTreeSet;

use sastrugi_types::{Id, NodeId, RequestId};

use super::{Cx, Handled, no_op::dropped};

/// Hears which containers a peer has accepted.
#[doc(alias = "NewNoOpAcceptedHandler")]
pub trait AcceptedHandler {
    /// The accepted ones; they need not be among those that were asked about.
    #[doc(alias = "Accepted")]
    fn accepted(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _containers: BTreeSet<Id>,
    ) -> Handled {
        dropped("accepted", from, request)
    }

    /// There will be no answer.
    #[doc(alias = "GetAcceptedFailed")]
    fn get_accepted_failed(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        dropped("get_accepted_failed", from, request)
    }
}
