//! Answers about state summaries. Upstream: `snow/engine/common/engine.go`.

use std::collections::BTreeSet;

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId};

use super::{Cx, Handled, no_op::dropped};

/// Hears a peer's most recent state summary. A gear that takes no default ignores it.
#[doc(alias = "NewNoOpStateSummaryFrontierHandler")]
pub trait StateSummaryFrontierHandler {
    /// The peer's summary; the bytes are untrusted and may not parse.
    #[doc(alias = "StateSummaryFrontier")]
    fn state_summary_frontier(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _summary: Bytes,
    ) -> Handled {
        dropped("state_summary_frontier", from, request)
    }

    /// There will be no answer.
    #[doc(alias = "GetStateSummaryFrontierFailed")]
    fn get_state_summary_frontier_failed(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        dropped("get_state_summary_frontier_failed", from, request)
    }
}

/// Hears which summaries a peer has accepted.
#[doc(alias = "NewNoOpAcceptedStateSummaryHandler")]
pub trait AcceptedStateSummaryHandler {
    /// The peer's IDs; they need not belong to the heights that were asked for.
    #[doc(alias = "AcceptedStateSummary")]
    fn accepted_state_summary(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _summaries: BTreeSet<Id>,
    ) -> Handled {
        dropped("accepted_state_summary", from, request)
    }

    /// There will be no answer.
    #[doc(alias = "GetAcceptedStateSummaryFailed")]
    fn get_accepted_state_summary_failed(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        dropped("get_accepted_state_summary_failed", from, request)
    }
}
