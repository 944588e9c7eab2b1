//! Answers with a container and its ancestors. Upstream: `snow/engine/common/engine.go`.

use bytes::Bytes;
use sastrugi_types::{NodeId, RequestId};

use super::{Cx, Handled, no_op::dropped};

/// Hears a container and its ancestors.
#[doc(alias = "NewNoOpAncestorsHandler")]
pub trait AncestorsHandler {
    /// The first should be the container asked for, each next one a parent of an earlier one; a
    /// peer may send anything. Empty means the peer cannot help.
    #[doc(alias = "Ancestors")]
    fn ancestors(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        _containers: Vec<Bytes>,
    ) -> Handled {
        dropped("ancestors", from, request)
    }

    /// There will be no answer.
    #[doc(alias = "GetAncestorsFailed")]
    fn get_ancestors_failed(
        &mut self,
        _cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        dropped("get_ancestors_failed", from, request)
    }
}
