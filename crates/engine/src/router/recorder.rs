//! The seat of a recorder in front of the router.

use sastrugi_types::{
    Id, Instant, NodeId, RequestId,
    message::{Inbound, Payload, ResponseOp},
    version::Application,
};

/// A call of the router; the same calls in the same order have the same effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the router's methods")]
pub enum Call<'a> {
    /// [`Router::expect`](super::Router::expect)
    Expect { now: Instant, chain: Id, node: NodeId, id: RequestId, op: ResponseOp },
    /// [`Router::fail`](super::Router::fail)
    Fail { chain: Id, node: NodeId, id: RequestId, op: ResponseOp },
    /// [`Router::inbound`](super::Router::inbound)
    Inbound { now: Instant, message: &'a Inbound },
    /// [`Router::loop_back`](super::Router::loop_back)
    LoopBack { now: Instant, chain: Id, payload: &'a Payload },
    /// [`Router::handle_timeout`](super::Router::handle_timeout)
    Timeout { now: Instant },
    /// [`Router::connected`](super::Router::connected)
    Connected { node: NodeId, version: &'a Application, subnet: Id },
    /// [`Router::disconnected`](super::Router::disconnected)
    Disconnected { node: NodeId },
    /// [`Router::add_chain`](super::Router::add_chain)
    AddChain { id: Id, subnet: Id },
    /// [`Router::remove_chain`](super::Router::remove_chain)
    RemoveChain { id: Id },
    /// [`Router::set_executing`](super::Router::set_executing)
    Executing { id: Id, is_executing: bool },
    /// [`Router::shutdown`](super::Router::shutdown)
    Shutdown,
}

/// Hears everything that reaches a router.
pub trait Recorder: Send {
    /// The router was called, and has not done anything yet. Must not block.
    fn record(&mut self, call: Call<'_>);
}
