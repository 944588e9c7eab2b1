//! A span around each call of a gear.
//!
//! Upstream: `traced_engine.go`, `traced_bootstrapable_engine.go` and `traced_state_syncer.go` in
//! `snow/engine/common`.
//! The names of spans and fields are upstream's, so that dashboards keep working.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{
    Id, Instant, NodeId, RequestId, WallTime, message::Chits, version::Application,
};
use sastrugi_vm::{Health, VmError};

use super::{
    AcceptedFrontierHandler, AcceptedHandler, AcceptedStateSummaryHandler, AncestorsHandler,
    AppError, AppGossipHandler, AppHandler, AppRequestHandler, AppResponseHandler,
    BootstrapableEngine, ChitsHandler, Cx, Engine, Fatal, GetAcceptedFrontierHandler,
    GetAcceptedHandler, GetAcceptedStateSummaryHandler, GetAncestorsHandler, GetHandler,
    GetStateSummaryFrontierHandler, Handled, Handler, InternalHandler, Message, Progress,
    PutHandler, QueryHandler, StateSummaryFrontierHandler, StateSyncer,
};

/// Opens a span named as upstream's and calls inside it.
macro_rules! in_span {
    ($name:literal $(, $field:ident = $value:expr)*; $call:expr) => {{
        let span = tracing::debug_span!($name $(, $field = $value)*);
        let _entered = span.enter();
        $call
    }};
}

/// Likewise, with the node and the number of a request.
macro_rules! in_request_span {
    ($name:literal, $node:ident, $request:ident $(, $field:ident = $value:expr)*; $call:expr) => {
        in_span!(
            $name, nodeID = display($node), requestID = $request.0 $(, $field = $value)*; $call
        )
    };
}

/// A gear with a span around each call; what the gear does and returns is not changed.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "TraceEngine")]
#[doc(alias = "TraceBootstrapableEngine")]
#[doc(alias = "TraceStateSyncer")]
pub struct Traced<E>(E);

impl<E> Traced<E> {
    /// Traces a gear.
    pub const fn new(gear: E) -> Self {
        Self(gear)
    }

    /// The gear itself.
    pub const fn inner(&self) -> &E {
        &self.0
    }
}

impl<E: GetStateSummaryFrontierHandler> GetStateSummaryFrontierHandler for Traced<E> {
    fn get_state_summary_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetStateSummaryFrontier", from, request;
            self.0.get_state_summary_frontier(cx, from, request)
        )
    }
}

impl<E: GetAcceptedStateSummaryHandler> GetAcceptedStateSummaryHandler for Traced<E> {
    fn get_accepted_state_summary(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        heights: BTreeSet<u64>,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAcceptedStateSummary", from, request, numHeights = heights.len();
            self.0.get_accepted_state_summary(cx, from, request, heights)
        )
    }
}

impl<E: GetAcceptedFrontierHandler> GetAcceptedFrontierHandler for Traced<E> {
    fn get_accepted_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAcceptedFrontier", from, request;
            self.0.get_accepted_frontier(cx, from, request)
        )
    }
}

impl<E: GetAcceptedHandler> GetAcceptedHandler for Traced<E> {
    fn get_accepted(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: BTreeSet<Id>,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAccepted", from, request, numContainerIDs = containers.len();
            self.0.get_accepted(cx, from, request, containers)
        )
    }
}

impl<E: GetAncestorsHandler> GetAncestorsHandler for Traced<E> {
    fn get_ancestors(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAncestors", from, request, containerID = display(container);
            self.0.get_ancestors(cx, from, request, container)
        )
    }
}

impl<E: GetHandler> GetHandler for Traced<E> {
    fn get(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId, container: Id) -> Handled {
        in_request_span!(
            "tracedEngine.Get", from, request, containerID = display(container);
            self.0.get(cx, from, request, container)
        )
    }
}

impl<E: StateSummaryFrontierHandler> StateSummaryFrontierHandler for Traced<E> {
    fn state_summary_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        summary: Bytes,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.StateSummaryFrontier", from, request, summaryLen = summary.len();
            self.0.state_summary_frontier(cx, from, request, summary)
        )
    }

    fn get_state_summary_frontier_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetStateSummaryFrontierFailed", from, request;
            self.0.get_state_summary_frontier_failed(cx, from, request)
        )
    }
}

impl<E: AcceptedStateSummaryHandler> AcceptedStateSummaryHandler for Traced<E> {
    fn accepted_state_summary(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        summaries: BTreeSet<Id>,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.AcceptedStateSummary", from, request, numSummaryIDs = summaries.len();
            self.0.accepted_state_summary(cx, from, request, summaries)
        )
    }

    fn get_accepted_state_summary_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAcceptedStateSummaryFailed", from, request;
            self.0.get_accepted_state_summary_failed(cx, from, request)
        )
    }
}

impl<E: AcceptedFrontierHandler> AcceptedFrontierHandler for Traced<E> {
    fn accepted_frontier(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.AcceptedFrontier", from, request, containerID = display(container);
            self.0.accepted_frontier(cx, from, request, container)
        )
    }

    fn get_accepted_frontier_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAcceptedFrontierFailed", from, request;
            self.0.get_accepted_frontier_failed(cx, from, request)
        )
    }
}

impl<E: AcceptedHandler> AcceptedHandler for Traced<E> {
    fn accepted(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: BTreeSet<Id>,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.Accepted", from, request, numContainerIDs = containers.len();
            self.0.accepted(cx, from, request, containers)
        )
    }

    fn get_accepted_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAcceptedFailed", from, request;
            self.0.get_accepted_failed(cx, from, request)
        )
    }
}

impl<E: AncestorsHandler> AncestorsHandler for Traced<E> {
    fn ancestors(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        containers: Vec<Bytes>,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.Ancestors", from, request, numContainers = containers.len();
            self.0.ancestors(cx, from, request, containers)
        )
    }

    fn get_ancestors_failed(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.GetAncestorsFailed", from, request;
            self.0.get_ancestors_failed(cx, from, request)
        )
    }
}

impl<E: PutHandler> PutHandler for Traced<E> {
    fn put(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Bytes,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.Put", from, request, containerLen = container.len();
            self.0.put(cx, from, request, container)
        )
    }

    fn get_failed(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId) -> Handled {
        in_request_span!(
            "tracedEngine.GetFailed", from, request;
            self.0.get_failed(cx, from, request)
        )
    }
}

impl<E: QueryHandler> QueryHandler for Traced<E> {
    fn pull_query(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Id,
        requested_height: u64,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.PullQuery", from, request, containerID = display(container),
            requestedHeight = requested_height;
            self.0.pull_query(cx, from, request, container, requested_height)
        )
    }

    fn push_query(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        container: Bytes,
        requested_height: u64,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.PushQuery", from, request, containerLen = container.len(),
            requestedHeight = requested_height;
            self.0.push_query(cx, from, request, container, requested_height)
        )
    }
}

impl<E: ChitsHandler> ChitsHandler for Traced<E> {
    fn chits(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        request: RequestId,
        chits: Chits,
    ) -> Handled {
        in_request_span!(
            "tracedEngine.Chits", from, request,
            preferredID = display(chits.preferred),
            preferredIDAtHeight = display(chits.preferred_at_height),
            acceptedID = display(chits.accepted),
            acceptedHeight = chits.accepted_height;
            self.0.chits(cx, from, request, chits)
        )
    }

    fn query_failed(&mut self, cx: &mut Cx<'_>, from: NodeId, request: RequestId) -> Handled {
        in_request_span!(
            "tracedEngine.QueryFailed", from, request;
            self.0.query_failed(cx, from, request)
        )
    }
}

impl<E: InternalHandler> InternalHandler for Traced<E> {
    fn connected(&mut self, cx: &mut Cx<'_>, node: NodeId, version: &Application) -> Handled {
        in_span!(
            "tracedEngine.Connected", nodeID = display(node), version = debug(version);
            self.0.connected(cx, node, version)
        )
    }

    fn disconnected(&mut self, cx: &mut Cx<'_>, node: NodeId) -> Handled {
        in_span!("tracedEngine.Disconnected", nodeID = display(node); self.0.disconnected(cx, node))
    }

    fn gossip(&mut self, cx: &mut Cx<'_>) -> Handled {
        in_span!("tracedEngine.Gossip"; self.0.gossip(cx))
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> Handled {
        in_span!("tracedEngine.Shutdown"; self.0.shutdown(cx))
    }

    fn notify(&mut self, cx: &mut Cx<'_>, message: Message) -> Handled {
        in_span!("tracedEngine.Notify", message = display(message); self.0.notify(cx, message))
    }
}

impl<E: Handler> Handler for Traced<E> {
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync> {
        Arc::new(TracedApp(self.0.app()))
    }
}

impl<E: Engine> Engine for Traced<E> {
    fn start(&mut self, cx: &mut Cx<'_>, start_request: RequestId) -> Handled {
        in_span!(
            "tracedEngine.Start", requestID = start_request.0; self.0.start(cx, start_request)
        )
    }

    fn work(&mut self, cx: &mut Cx<'_>) -> Result<Progress, Fatal> {
        self.0.work(cx)
    }

    fn timeout(&mut self, cx: &mut Cx<'_>) -> Handled {
        in_span!("tracedEngine.Timeout"; self.0.timeout(cx))
    }

    fn health(&mut self, now: Instant, wall: WallTime) -> Health {
        in_span!("tracedEngine.HealthCheck"; self.0.health(now, wall))
    }
}

impl<E: BootstrapableEngine> BootstrapableEngine for Traced<E> {
    fn clear(&mut self) -> Handled {
        in_span!("tracedBootstrapableEngine.Clear"; self.0.clear())
    }
}

impl<E: StateSyncer> StateSyncer for Traced<E> {
    fn is_enabled(&mut self) -> Result<bool, Fatal> {
        in_span!("tracedStateSyncer.IsEnabled"; self.0.is_enabled())
    }
}

/// The app handler of a traced gear.
struct TracedApp(Arc<dyn AppHandler + Send + Sync>);

impl AppRequestHandler for TracedApp {
    fn app_request(
        &self,
        from: NodeId,
        request: RequestId,
        deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        in_request_span!(
            "tracedEngine.AppRequest", from, request, requestLen = bytes.len();
            self.0.app_request(from, request, deadline, bytes)
        )
    }
}

impl AppResponseHandler for TracedApp {
    fn app_response(&self, from: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError> {
        in_request_span!(
            "tracedEngine.AppResponse", from, request, responseLen = bytes.len();
            self.0.app_response(from, request, bytes)
        )
    }

    fn app_request_failed(
        &self,
        from: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        in_request_span!(
            "tracedEngine.AppRequestFailed", from, request;
            self.0.app_request_failed(from, request, error)
        )
    }
}

impl AppGossipHandler for TracedApp {
    fn app_gossip(&self, from: NodeId, bytes: Bytes) -> Result<(), VmError> {
        in_span!(
            "tracedEngine.AppGossip", nodeID = display(from), gossipLen = bytes.len();
            self.0.app_gossip(from, bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use parking_lot::Mutex;
    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id as SpanId, Record},
    };

    use super::*;
    use crate::{
        common::NoOp,
        testing::{RecordingSender, Script, Surroundings},
    };

    /// Writes down the spans that are opened.
    #[derive(Clone, Default)]
    struct Spans(Arc<Mutex<Vec<String>>>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }

    impl Subscriber for Spans {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.is_span()
        }

        fn new_span(&self, span: &Attributes<'_>) -> SpanId {
            let mut text = Text(span.metadata().name().to_owned());
            span.record(&mut text);
            self.0.lock().push(text.0);
            SpanId::from_u64(1)
        }

        fn record(&self, _: &SpanId, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &SpanId, _: &SpanId) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &SpanId) {}
        fn exit(&self, _: &SpanId) {}
    }

    #[test]
    fn each_call_has_a_span_with_upstreams_names() {
        let spans = Spans::default();
        let node = NodeId::default();
        let mut around =
            Surroundings::new(RecordingSender::new(|_| ()), Script::default(), Script::default());
        let mut gear = Traced::new(NoOp);
        tracing::subscriber::with_default(spans.clone(), || {
            let mut cx = around.cx();
            gear.put(&mut cx, node, RequestId(3), Bytes::from("abc")).unwrap();
            gear.pull_query(&mut cx, node, RequestId(4), Id::EMPTY, 9).unwrap();
            gear.gossip(&mut cx).unwrap();
            TracedApp(Arc::new(NoOp)).app_gossip(node, Bytes::from("ab")).unwrap();
        });
        let id = Id::EMPTY;
        let expected = [
            format!("tracedEngine.Put nodeID={node} requestID=3 containerLen=3"),
            format!(
                "tracedEngine.PullQuery nodeID={node} requestID=4 containerID={id} requestedHeight=9"
            ),
            "tracedEngine.Gossip".to_owned(),
            format!("tracedEngine.AppGossip nodeID={node} gossipLen=2"),
        ];
        assert_eq!(*spans.0.lock(), expected);
    }
}
