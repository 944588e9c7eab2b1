//! Queries of peers. Upstream: `snow/engine/common/engine.go`.

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, RequestId};

use super::{Cx, Handled, no_op::dropped};

/// Answers queries.
///
/// The answer, [`Chits`](sastrugi_types::message::Chits), says what is preferred *before* the
/// queried container is looked at, and leaves before it is parsed; then the container is issued if
/// possible. Only the consensus engine answers; the other gears drop queries.
#[doc(alias = "NewNoOpQueryHandler")]
pub trait QueryHandler {
    /// A query that names a container.
    #[doc(alias = "PullQuery")]
    fn pull_query(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _container: Id,
        _requested_height: u64,
    ) -> Handled {
        dropped("pull_query", from, request)
    }

    /// A query that brings a container. It may be garbage; the answer leaves all the same.
    #[doc(alias = "PushQuery")]
    fn push_query(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _container: Bytes,
        _requested_height: u64,
    ) -> Handled {
        dropped("push_query", from, request)
    }
}
