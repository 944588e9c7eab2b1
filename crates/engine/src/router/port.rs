//! The way out: what a chain's gears and VM send.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{
    Id, NodeId, RequestId,
    message::{Chits, EngineType, Gossip, Outbound, Payload, Request, Response},
};
use sastrugi_vm::{AppError, AppSender, Clock, SendConfig, VmError};

use super::{Network, SharedRouter};
use crate::common::{
    AcceptedSender, AcceptedStateSummarySender, FetchSender, FrontierSender, NodeSet, QuerySender,
    StateSummarySender,
};

/// What becomes of a request to this node itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ToItself {
    LoopedBack,
    FailsAtOnce,
    WaitsForTimeout,
}

/// The sender of one chain, shared by its gears and its VM.
///
/// A port locks the router for each call, never while the network or a VM works.
///
/// * Upon a request to several nodes: it is registered for all of them, this node included; then
///   this node's copy is looped back, and the others leave in one message whose deadline is the
///   current timeout. Nodes the network did not reach fail as the table says.
/// * Upon a response: it leaves, or is looped back when it is for this node.
///
/// | request | to itself | to a node that is not reached |
/// |---|---|---|
/// | summaries, frontier, accepted | looped back | fails at once; upstream waits for the timeout |
/// | `get_ancestors` | waits for the timeout, so that a lonely node does not spin | fails at once |
/// | `get` | fails at once | fails at once |
/// | queries, app requests | looped back | fails at once |
/// | `put`, `ancestors`, gossip | dropped | dropped |
///
/// "At once" means through the chain's inbox, after the call. Upstream:
/// `snow/networking/sender/sender.go`.
pub struct Port {
    chain: Id,
    subnet: Id,
    node: NodeId,
    engine_type: EngineType,
    router: SharedRouter,
    network: Arc<dyn Network>,
    clock: Arc<dyn Clock>,
}

impl Port {
    /// The sender of a linear chain in a subnet.
    pub fn new(
        chain: Id,
        subnet: Id,
        router: SharedRouter,
        network: Arc<dyn Network>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let node = router.lock().node();
        Self { chain, subnet, node, engine_type: EngineType::Chain, router, network, clock }
    }

    fn ask(&self, nodes: &NodeSet, id: RequestId, request: Request, to_itself: ToItself) {
        let op = request.response_op();
        let is_for_itself = nodes.contains(&self.node);
        let payload = {
            let mut router = self.router.lock();
            let now = self.clock.now();
            for node in nodes {
                router.expect(now, self.chain, *node, id, op);
            }
            let payload = Payload::Request { id, deadline: router.timeout(), request };
            if is_for_itself {
                match to_itself {
                    ToItself::LoopedBack => router.loop_back(now, self.chain, payload.clone()),
                    ToItself::FailsAtOnce => router.fail(self.chain, self.node, id, op),
                    ToItself::WaitsForTimeout => {}
                }
            }
            payload
        };
        let message = Outbound { chain: self.chain, payload };
        let without_itself: NodeSet;
        let others = if is_for_itself {
            without_itself = nodes.iter().copied().filter(|node| *node != self.node).collect();
            &without_itself
        } else {
            nodes
        };
        if others.is_empty() {
            return;
        }
        let reached = self.network.send(&message, others, self.subnet);
        if reached.len() < others.len() {
            let mut router = self.router.lock();
            for node in others.difference(&reached) {
                router.fail(self.chain, *node, id, op);
            }
        }
    }

    fn answer(&self, node: NodeId, id: RequestId, response: Response) {
        let payload = Payload::Response { id, response };
        if node == self.node {
            let mut router = self.router.lock();
            router.loop_back(self.clock.now(), self.chain, payload);
        } else {
            self.send(node, payload);
        }
    }

    /// Answers a node, unless it is this one.
    fn answer_others(&self, node: NodeId, id: RequestId, response: Response) {
        if node != self.node {
            self.send(node, Payload::Response { id, response });
        }
    }

    fn send(&self, node: NodeId, payload: Payload) {
        let message = Outbound { chain: self.chain, payload };
        self.network.send(&message, &NodeSet::from([node]), self.subnet);
    }
}

impl StateSummarySender for Port {
    fn send_get_state_summary_frontier(&self, nodes: &NodeSet, request: RequestId) {
        let asked = Request::GetStateSummaryFrontier;
        self.ask(nodes, request, asked, ToItself::LoopedBack);
    }

    fn send_state_summary_frontier(&self, node: NodeId, request: RequestId, summary: Bytes) {
        self.answer(node, request, Response::StateSummaryFrontier { summary });
    }
}

impl AcceptedStateSummarySender for Port {
    fn send_get_accepted_state_summary(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        heights: Vec<u64>,
    ) {
        let asked = Request::GetAcceptedStateSummary { heights };
        self.ask(nodes, request, asked, ToItself::LoopedBack);
    }

    fn send_accepted_state_summary(&self, node: NodeId, request: RequestId, summaries: Vec<Id>) {
        self.answer(node, request, Response::AcceptedStateSummary { summaries });
    }
}

impl FrontierSender for Port {
    fn send_get_accepted_frontier(&self, nodes: &NodeSet, request: RequestId) {
        let asked = Request::GetAcceptedFrontier;
        self.ask(nodes, request, asked, ToItself::LoopedBack);
    }

    fn send_accepted_frontier(&self, node: NodeId, request: RequestId, container: Id) {
        self.answer(node, request, Response::AcceptedFrontier { container });
    }
}

impl AcceptedSender for Port {
    fn send_get_accepted(&self, nodes: &NodeSet, request: RequestId, containers: Vec<Id>) {
        let asked = Request::GetAccepted { containers };
        self.ask(nodes, request, asked, ToItself::LoopedBack);
    }

    fn send_accepted(&self, node: NodeId, request: RequestId, containers: Vec<Id>) {
        self.answer(node, request, Response::Accepted { containers });
    }
}

impl FetchSender for Port {
    fn send_get(&self, node: NodeId, request: RequestId, container: Id) {
        let asked = Request::Get { container };
        let nodes = NodeSet::from([node]);
        self.ask(&nodes, request, asked, ToItself::FailsAtOnce);
    }

    fn send_get_ancestors(&self, node: NodeId, request: RequestId, container: Id) {
        let asked = Request::GetAncestors { container, engine_type: self.engine_type };
        let nodes = NodeSet::from([node]);
        self.ask(&nodes, request, asked, ToItself::WaitsForTimeout);
    }

    fn send_put(&self, node: NodeId, request: RequestId, container: Bytes) {
        self.answer_others(node, request, Response::Put { container });
    }

    fn send_ancestors(&self, node: NodeId, request: RequestId, containers: Vec<Bytes>) {
        self.answer_others(node, request, Response::Ancestors { containers });
    }
}

impl QuerySender for Port {
    fn send_push_query(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        container: Bytes,
        requested_height: u64,
    ) {
        let asked = Request::PushQuery { container, requested_height };
        self.ask(nodes, request, asked, ToItself::LoopedBack);
    }

    fn send_pull_query(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        container: Id,
        requested_height: u64,
    ) {
        let asked = Request::PullQuery { container, requested_height };
        self.ask(nodes, request, asked, ToItself::LoopedBack);
    }

    fn send_chits(&self, node: NodeId, request: RequestId, chits: Chits) {
        self.answer(node, request, Response::Chits(chits));
    }
}

impl AppSender for Port {
    fn send_app_request(
        &self,
        nodes: &NodeSet,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        let asked = Request::App { bytes };
        self.ask(nodes, request, asked, ToItself::LoopedBack);
        Ok(())
    }

    fn send_app_response(
        &self,
        node: NodeId,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        self.answer(node, request, Response::App { bytes });
        Ok(())
    }

    fn send_app_error(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        let message = error.message.clone().into_owned();
        self.answer(node, request, Response::AppError { code: error.code, message });
        Ok(())
    }

    fn send_app_gossip(&self, config: &SendConfig, bytes: Bytes) -> Result<(), VmError> {
        let payload = Payload::Gossip(Gossip::App { bytes });
        self.network.gossip(&Outbound { chain: self.chain, payload }, config, self.subnet);
        Ok(())
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("chain", &self.chain).finish_non_exhaustive()
    }
}
