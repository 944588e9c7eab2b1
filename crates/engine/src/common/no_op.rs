//! Ignoring messages. Upstream: `snow/engine/common/no_ops_handlers.go`.
//!
//! A gear that ignores a group of messages says so with an empty `impl`: the default bodies log the
//! message and drop it. [`NoOp`] ignores every group.

use bytes::Bytes;
use sastrugi_types::{Instant, NodeId, RequestId};
use sastrugi_vm::VmError;

use super::{
    AcceptedFrontierHandler, AcceptedHandler, AcceptedStateSummaryHandler, AncestorsHandler,
    AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, ChitsHandler, Handled,
    InternalHandler, PutHandler, QueryHandler, StateSummaryFrontierHandler,
};

/// Logs that a message is not for this gear.
#[expect(clippy::unnecessary_wraps, reason = "it is the body of handlers, which can fail")]
pub(super) fn dropped(op: &'static str, from: NodeId, request: RequestId) -> Handled {
    tracing::debug!(op, node = %from, %request, reason = "unhandled by this gear", "dropping request");
    Ok(())
}

/// Ignores every message.
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "NewNoOpAppHandler")]
pub struct NoOp;

impl StateSummaryFrontierHandler for NoOp {}
impl AcceptedStateSummaryHandler for NoOp {}
impl AcceptedFrontierHandler for NoOp {}
impl AcceptedHandler for NoOp {}
impl AncestorsHandler for NoOp {}
impl PutHandler for NoOp {}
impl QueryHandler for NoOp {}
impl ChitsHandler for NoOp {}
impl InternalHandler for NoOp {}

impl AppRequestHandler for NoOp {
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        _deadline: Instant,
        _bytes: Bytes,
    ) -> Result<(), VmError> {
        tracing::debug!(%node, %request, reason = "unhandled by this gear", "dropping app request");
        Ok(())
    }
}

impl AppResponseHandler for NoOp {
    fn app_response(&self, node: NodeId, request: RequestId, _bytes: Bytes) -> Result<(), VmError> {
        tracing::debug!(%node, %request, reason = "unhandled by this gear", "dropping app response");
        Ok(())
    }

    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        tracing::debug!(%node, %request, %error, reason = "unhandled by this gear", "dropping app error");
        Ok(())
    }
}

impl AppGossipHandler for NoOp {
    fn app_gossip(&self, node: NodeId, _bytes: Bytes) -> Result<(), VmError> {
        tracing::debug!(%node, reason = "unhandled by this gear", "dropping app gossip");
        Ok(())
    }
}
