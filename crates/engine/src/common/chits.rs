//! Answers to queries. Upstream: `snow/engine/common/engine.go`.

use sastrugi_types::{NodeId, RequestId, message::Chits};

use super::{Cx, Handled, no_op::dropped};

/// Hears the answers to this node's queries.
#[doc(alias = "NewNoOpChitsHandler")]
pub trait ChitsHandler {
    /// The peer's answer. `preferred` should descend from the other two; nobody guarantees it.
    #[doc(alias = "Chits")]
    fn chits(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _chits: Chits,
    ) -> Handled {
        dropped("chits", from, request)
    }

    /// There will be no answer, or the one that came could not be read.
    #[doc(alias = "QueryFailed")]
    fn query_failed(&mut self, _cx: &mut Cx<'_>, from: NodeId, request: RequestId) -> Handled {
        dropped("query_failed", from, request)
    }
}
