//! From an input to the handler it is for. Upstream: `snow/networking/handler/handler.go`.

use sastrugi_types::{
    NodeId, RequestId,
    message::{EngineType, Request, Response, ResponseOp},
};

use super::Input;
use crate::common::{Cx, Engine, Handled};

/// Calls the handler of a sync input. App messages never come here.
pub(super) fn dispatch(gear: &mut dyn Engine, cx: &mut Cx<'_>, input: Input) -> Handled {
    match input {
        Input::Request { from, id, request, .. } => dispatch_request(gear, cx, from, id, request),
        Input::Response { from, id, response } => dispatch_response(gear, cx, from, id, response),
        Input::Failed { from, id, op } => dispatch_failure(gear, cx, from, id, op),
        Input::Gossip { from, .. } => {
            tracing::debug!(node = %from, reason = "no gear speaks it", "dropping simplex");
            Ok(())
        }
        Input::Connected { node, version } => gear.connected(cx, node, &version),
        Input::Disconnected { node } => gear.disconnected(cx, node),
        Input::Notify(message) => gear.notify(cx, message),
    }
}

fn dispatch_request(
    gear: &mut dyn Engine,
    cx: &mut Cx<'_>,
    from: NodeId,
    id: RequestId,
    request: Request,
) -> Handled {
    match request {
        Request::GetStateSummaryFrontier => gear.get_state_summary_frontier(cx, from, id),
        Request::GetAcceptedStateSummary { heights } => {
            gear.get_accepted_state_summary(cx, from, id, heights.into_iter().collect())
        }
        Request::GetAcceptedFrontier => gear.get_accepted_frontier(cx, from, id),
        Request::GetAccepted { containers } => {
            gear.get_accepted(cx, from, id, containers.into_iter().collect())
        }
        Request::GetAncestors { engine_type: EngineType::Dag, .. } => {
            tracing::debug!(node = %from, request = %id, reason = "no such gear", "dropping request");
            Ok(())
        }
        Request::GetAncestors { container, .. } => gear.get_ancestors(cx, from, id, container),
        Request::Get { container } => gear.get(cx, from, id, container),
        Request::PushQuery { container, requested_height } => {
            gear.push_query(cx, from, id, container, requested_height)
        }
        Request::PullQuery { container, requested_height } => {
            gear.pull_query(cx, from, id, container, requested_height)
        }
        Request::App { .. } => Ok(()),
    }
}

fn dispatch_response(
    gear: &mut dyn Engine,
    cx: &mut Cx<'_>,
    from: NodeId,
    id: RequestId,
    response: Response,
) -> Handled {
    match response {
        Response::StateSummaryFrontier { summary } => {
            gear.state_summary_frontier(cx, from, id, summary)
        }
        Response::AcceptedStateSummary { summaries } => {
            gear.accepted_state_summary(cx, from, id, summaries.into_iter().collect())
        }
        Response::AcceptedFrontier { container } => gear.accepted_frontier(cx, from, id, container),
        Response::Accepted { containers } => {
            gear.accepted(cx, from, id, containers.into_iter().collect())
        }
        Response::Ancestors { containers } => gear.ancestors(cx, from, id, containers),
        Response::Put { container } => gear.put(cx, from, id, container),
        Response::Chits(chits) => gear.chits(cx, from, id, chits),
        Response::App { .. } | Response::AppError { .. } => Ok(()),
    }
}

fn dispatch_failure(
    gear: &mut dyn Engine,
    cx: &mut Cx<'_>,
    from: NodeId,
    id: RequestId,
    op: ResponseOp,
) -> Handled {
    match op {
        ResponseOp::StateSummaryFrontier => gear.get_state_summary_frontier_failed(cx, from, id),
        ResponseOp::AcceptedStateSummary => gear.get_accepted_state_summary_failed(cx, from, id),
        ResponseOp::AcceptedFrontier => gear.get_accepted_frontier_failed(cx, from, id),
        ResponseOp::Accepted => gear.get_accepted_failed(cx, from, id),
        ResponseOp::Ancestors => gear.get_ancestors_failed(cx, from, id),
        ResponseOp::Put => gear.get_failed(cx, from, id),
        ResponseOp::Chits => gear.query_failed(cx, from, id),
        ResponseOp::App => Ok(()),
    }
}
