//! Answers with one container. Upstream: `snow/engine/common/engine.go`.

use bytes::Bytes;
use sastrugi_types::{NodeId, RequestId};

use super::{Cx, Handled, no_op::dropped};

/// Hears a container.
///
/// Both methods must tolerate calls for which there is no request. By the contract of upstream the
/// number 2³² − 1 marks a container nobody asked for; nobody sends such, and the router drops them.
#[doc(alias = "NewNoOpPutHandler")]
pub trait PutHandler {
    /// The container; it may not parse and may be another one than was asked for.
    #[doc(alias = "Put")]
    fn put(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _container: Bytes,
    ) -> Handled {
        dropped("put", from, request)
    }

    /// There will be no answer.
    #[doc(alias = "GetFailed")]
    fn get_failed(&mut self, _cx: &mut Cx<'_>, from: NodeId, request: RequestId) -> Handled {
        dropped("get_failed", from, request)
    }
}
