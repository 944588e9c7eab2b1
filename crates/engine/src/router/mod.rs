//! The router: which message is for which chain, and which answer was asked for.
//!
//! One [`Router`] per node, behind one mutex. It never blocks and never calls a VM or a gear; what
//! it has to say to a chain goes into the chain's [`Inbox`]. Lock order: chain → router → inbox.
//!
//! # Specification
//!
//! A request is outstanding under the key (node, chain, request ID, kind of response).
//!
//! * Upon [`Router::expect`]: the request is outstanding until its response comes or its timeout
//!   ends. Its latency counts for the timeout of later ones, unless it went to this node itself or
//!   asks for a `put` (others could make this node ask, and stall). A live request of the same key
//!   is replaced.
//! * Upon a message of a peer ([`Router::inbound`]): it is dropped and counted if the router is
//!   closing, the chain is unknown, or the chain does not admit the node. A pending request is not
//!   touched by any of these.
//! * Upon a request or gossip: it is dropped while the chain [executes](Router::set_executing), or
//!   when its deadline is negative in upstream's reading. Else the chain gets it, to be answered
//!   within the deadline the peer stated, at most [`RouterConfig::request_lifetime_max`].
//! * Upon a response: it is dropped while the chain executes, and its request goes on. Without an
//!   outstanding request it is dropped, silently: late, repeated and unsolicited responses are
//!   nobody's fault. Else the request is over, and the chain gets the response unless it was told
//!   of an early failure.
//! * Upon an `app_error`: as a response, but executing does not matter.
//! * Upon a malformed response: as a response, but the chain gets the failure.
//! * Upon [`Router::fail`] (an early failure: the request could not be sent): the chain gets the
//!   failure if it was not told yet. The request stays outstanding, so that a late response or the
//!   timeout still counts as latency.
//! * Upon the end of a timeout: the request is over, and the chain gets the failure if it was not
//!   told yet.
//! * Upon a message of this node to itself ([`Router::loop_back`]): as from a peer, but admission
//!   does not matter and the deadline is not bounded. An `app_error` to itself counts as an early
//!   failure.
//!
//! So the chain hears of each request exactly once:
//!
//! | after registration | the chain hears | the request ends with |
//! |---|---|---|
//! | a response in time | the response | the response |
//! | nothing | the failure | the timeout |
//! | early failure, later a response | the failure | the response |
//! | early failure, no response | the failure | the timeout |
//! | a remote `app_error` | that error | the `app_error` |
//! | a response while executing | the failure | the timeout |
//! | an `app_error` to itself | that error | the timeout |
//!
//! Two exceptions, as upstream: a request registered while the router closes or for a chain it
//! does not know is dropped. So a chain is added before its VM may speak.
//!
//! * Upon [`Router::connected`]: the node uses this subnet; its chains hear of it. A node's
//!   first subnet is the primary network. Without sybil protection all chains hear of
//!   the primary network and none of another subnet.
//! * Upon [`Router::disconnected`]: the chains that heard of the node hear that it left.
//! * Upon [`Router::add_chain`]: the chain hears of each known peer, this node included.
//! * Upon [`Router::remove_chain`]: it is told to stop and its requests are released.
//! * Upon [`Router::shutdown`]: every chain is told to stop; nothing is delivered any more.
//!
//! # Deviations from upstream
//!
//! A removed chain's requests are released; upstream lets them wait for ever. Messages to itself
//! and early failures are delivered in the order they happen. A request that arrives expired is
//! dropped before the queue. Chits to itself carry their real height.
//!
//! # Seats
//!
//! The bench list takes its seat in [`Router::inbound`] (a response is a success), in
//! [`Router::handle_timeout`] (a timeout of anything but an app request, from another node, is a
//! failure) and in `announce`, which a benched node is kept from. A [`Recorder`] hears everything
//! that reaches the router. Upstream: `snow/networking/router/chain_router.go`.
//!
//! # Driving order
//!
//! Lock, read the clock, call, unlock: so `now` never goes backwards. After each
//! [`Router::expect`] that made [`Router::poll_timeout`] earlier, and at that instant, somebody
//! calls [`Router::handle_timeout`]. Being late by a fraction of the shortest timeout (2 s) is
//! harmless, so production asks for the next instant a few times per second instead of being woken.

mod adaptive_timeout;
mod health;
mod network;
mod port;
mod recorder;
mod requests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_types::{
    Id, Instant, NodeId, RequestId,
    message::{Inbound, Payload, Request, Response, ResponseOp, effective_deadline},
    version::Application,
};

pub use adaptive_timeout::{AdaptiveTimeout, AdaptiveTimeoutConfig, Ticket, TimeoutConfigError};
pub use network::Network;
pub use port::Port;
pub use recorder::{Call, Recorder};

use crate::chain::{Inbox, Input, Permit};
use requests::{Ended, Key, Requests};

/// A router as its users hold it.
pub type SharedRouter = Arc<Mutex<Router>>;

/// What a router is made with.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// This node.
    pub node: NodeId,
    /// The version this node runs.
    pub version: Application,
    /// The subnets this node follows; the primary network is always one.
    pub tracked_subnets: BTreeSet<Id>,
    /// Whether chains hear only of nodes that follow their subnet.
    pub sybil_protection: bool,
    /// How timeouts adapt.
    pub timeouts: AdaptiveTimeoutConfig,
    /// No request of a peer is worth answering for longer.
    pub request_lifetime_max: Duration,
    /// More outstanding requests are unhealthy.
    pub healthy_outstanding_max: usize,
    /// A request outstanding for longer is unhealthy.
    pub healthy_age_max: Duration,
    /// Seeds the request table's hash.
    pub seed: u64,
}

impl RouterConfig {
    /// The defaults of a node.
    pub fn new(node: NodeId, version: Application, seed: u64) -> Self {
        Self {
            node,
            version,
            tracked_subnets: BTreeSet::new(),
            sybil_protection: true,
            timeouts: AdaptiveTimeoutConfig::default(),
            request_lifetime_max: Duration::from_secs(10),
            healthy_outstanding_max: 1024,
            healthy_age_max: Duration::from_mins(5),
            seed,
        }
    }
}

/// Whose messages a chain hears. Messages of this node to itself are always heard.
pub trait Admission: Send + Sync {
    /// Whether the chain hears this node. Must not block.
    fn admits(&self, node: NodeId) -> bool;
}

/// Every node is heard.
#[derive(Clone, Copy, Debug)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn admits(&self, _node: NodeId) -> bool {
        true
    }
}

/// A chain as the router sees it.
#[derive(Clone)]
pub struct Route {
    /// The subnet that validates the chain.
    pub subnet: Id,
    /// Where its messages go.
    pub inbox: Arc<Inbox>,
    /// Whose messages it hears.
    pub admission: Arc<dyn Admission>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("subnet", &self.subnet).finish_non_exhaustive()
    }
}

/// What the router has counted. Every message it drops is in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests registered.
    pub registered: u64,
    /// Responses, errors among them, that ended a request.
    pub answered: u64,
    /// Requests ended by their timeout.
    pub timed_out: u64,
    /// Failures delivered because a request could not be sent.
    pub failed_early: u64,
    /// Responses that could not be read.
    pub malformed: u64,
    /// Dropped: a response nobody waits for.
    pub dropped_unrequested: u64,
    /// Dropped: a chain that is not here.
    pub dropped_unknown_chain: u64,
    /// Dropped: a node the chain does not admit.
    pub dropped_unadmitted: u64,
    /// Dropped: the chain executes fetched containers.
    pub dropped_executing: u64,
    /// Dropped: a request that was expired when it arrived.
    pub dropped_expired: u64,
    /// Dropped: the router closes.
    pub dropped_closing: u64,
    /// Requests released because their chain was removed.
    pub released: u64,
}

struct Chain {
    route: Route,
    is_executing: bool,
}

struct Peer {
    version: Application,
    subnets: BTreeSet<Id>,
}

/// Finds the chain for each message and the request for each response.
pub struct Router {
    config: RouterConfig,
    requests: Requests,
    chains: BTreeMap<Id, Chain>,
    peers: BTreeMap<NodeId, Peer>,
    is_closing: bool,
    recorder: Option<Box<dyn Recorder>>,
    stats: Stats,
}

impl Router {
    /// A router without chains that knows one peer: this node.
    pub fn new(config: RouterConfig, now: Instant) -> Result<Self, TimeoutConfigError> {
        let requests = Requests::new(config.timeouts, config.seed, now)?;
        let mut subnets = config.tracked_subnets.clone();
        subnets.insert(Id::EMPTY);
        let this_node = Peer { version: config.version.clone(), subnets };
        let peers = BTreeMap::from([(config.node, this_node)]);
        Ok(Self {
            config,
            requests,
            chains: BTreeMap::new(),
            peers,
            is_closing: false,
            recorder: None,
            stats: Stats::default(),
        })
    }

    /// From here on `recorder` hears each call before it has any effect.
    pub fn record(&mut self, recorder: Box<dyn Recorder>) {
        self.recorder = Some(recorder);
    }

    /// This node.
    pub const fn node(&self) -> NodeId {
        self.config.node
    }

    /// How long a request sent now may take.
    pub const fn timeout(&self) -> Duration {
        self.requests.timer().timeout()
    }

    /// Number of outstanding requests.
    pub const fn outstanding(&self) -> usize {
        self.requests.timer().len()
    }

    /// The average latency that timeouts follow, in nanoseconds.
    pub fn average_latency_nanos(&self) -> f64 {
        self.requests.timer().average_latency_nanos()
    }

    /// What was counted.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Registers a request that is about to be sent.
    pub fn expect(&mut self, now: Instant, chain: Id, node: NodeId, id: RequestId, op: ResponseOp) {
        self.tell_recorder(|| Call::Expect { now, chain, node, id, op });
        if self.is_closing {
            self.stats.dropped_closing += 1;
        } else if self.chains.contains_key(&chain) {
            let is_measured = node != self.config.node && op != ResponseOp::Put;
            self.requests.register(now, Key { node, chain, id, op }, is_measured);
            self.stats.registered += 1;
        } else {
            self.stats.dropped_unknown_chain += 1;
        }
    }

    /// An outstanding request could not be sent: its chain hears that it failed.
    pub fn fail(&mut self, chain: Id, node: NodeId, id: RequestId, op: ResponseOp) {
        self.tell_recorder(|| Call::Fail { chain, node, id, op });
        let key = Key { node, chain, id, op };
        if !self.is_closing && self.requests.tell(&key) {
            self.stats.failed_early += 1;
            self.deliver(chain, Input::Failed { from: node, id, op }, Permit::NONE);
        }
    }

    /// A peer's message came. `permit` is given back when it is done.
    pub fn inbound(&mut self, now: Instant, message: Inbound, permit: Permit) {
        self.tell_recorder(|| Call::Inbound { now, message: &message });
        let Inbound { from, chain, payload } = message;
        if self.is_closing {
            self.stats.dropped_closing += 1;
            return;
        }
        let Some(Chain { route, is_executing }) = self.chains.get(&chain) else {
            self.stats.dropped_unknown_chain += 1;
            return;
        };
        if !route.admission.admits(from) {
            self.stats.dropped_unadmitted += 1;
            return;
        }
        if *is_executing && is_dropped_while_executing(&payload) {
            self.stats.dropped_executing += 1;
            return;
        }
        let input = match payload {
            Payload::Request { id, deadline, request } => {
                self.admit(now, from, id, deadline, request)
            }
            Payload::Response { id, response } => self
                .answer(now, chain, from, id, response.op())
                .then_some(Input::Response { from, id, response }),
            Payload::MalformedResponse { id, op } => {
                self.stats.malformed += 1;
                self.answer(now, chain, from, id, op).then_some(Input::Failed { from, id, op })
            }
            Payload::Gossip(gossip) => Some(Input::Gossip { from, gossip }),
        };
        if let Some(input) = input {
            self.deliver(chain, input, permit);
        }
    }

    /// This node says something to itself.
    pub fn loop_back(&mut self, now: Instant, chain: Id, payload: Payload) {
        self.tell_recorder(|| Call::LoopBack { now, chain, payload: &payload });
        let from = self.config.node;
        if self.is_closing {
            self.stats.dropped_closing += 1;
            return;
        }
        let Some(of_chain) = self.chains.get(&chain) else {
            self.stats.dropped_unknown_chain += 1;
            return;
        };
        if of_chain.is_executing && is_dropped_while_executing(&payload) {
            self.stats.dropped_executing += 1;
            return;
        }
        let input = match payload {
            Payload::Request { id, deadline, request } => {
                Some(Input::Request { from, id, expires: now + deadline, request })
            }
            Payload::Response { id, response: response @ Response::AppError { .. } } => {
                let key = Key { node: from, chain, id, op: ResponseOp::App };
                self.requests.tell(&key).then_some(Input::Response { from, id, response })
            }
            Payload::Response { id, response } => self
                .answer(now, chain, from, id, response.op())
                .then_some(Input::Response { from, id, response }),
            Payload::MalformedResponse { .. } => None,
            Payload::Gossip(gossip) => Some(Input::Gossip { from, gossip }),
        };
        if let Some(input) = input {
            self.deliver(chain, input, Permit::NONE);
        }
    }

    /// When [`Router::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.requests.timer().poll_timeout()
    }

    /// Ends the requests whose timeout is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tell_recorder(|| Call::Timeout { now });
        while let Some(Ended { key: Key { node, chain, id, op }, was_told }) =
            self.requests.pop_due(now)
        {
            self.stats.timed_out += 1;
            if !was_told {
                self.deliver(chain, Input::Failed { from: node, id, op }, Permit::NONE);
            }
        }
    }

    /// A node uses a subnet that this node follows too; it is said first of the primary network.
    pub fn connected(&mut self, node: NodeId, version: &Application, subnet: Id) {
        self.tell_recorder(|| Call::Connected { node, version, subnet });
        let new = || Peer { version: version.clone(), subnets: BTreeSet::new() };
        let peer = self.peers.entry(node).or_insert_with(new);
        if !peer.subnets.insert(subnet) {
            return;
        }
        let is_for = |chain: &Chain| {
            if self.config.sybil_protection {
                chain.route.subnet == subnet
            } else {
                subnet == Id::EMPTY
            }
        };
        for chain in self.chains.values().filter(|chain| is_for(chain)) {
            announce(chain, Input::Connected { node, version: version.clone() });
        }
    }

    /// A node left.
    pub fn disconnected(&mut self, node: NodeId) {
        self.tell_recorder(|| Call::Disconnected { node });
        let Some(peer) = self.peers.remove(&node) else { return };
        for chain in self.chains.values().filter(|chain| self.is_shown(&peer, chain)) {
            announce(chain, Input::Disconnected { node });
        }
    }

    /// A chain is here. Its inbox hears of all peers at once; a chain of that ID that was here
    /// before is removed.
    pub fn add_chain(&mut self, id: Id, route: Route) {
        self.tell_recorder(|| Call::AddChain { id, subnet: route.subnet });
        self.remove(id);
        if self.is_closing {
            route.inbox.stop(Ok(()));
            return;
        }
        let chain = Chain { route, is_executing: false };
        for (node, peer) in self.peers.iter().filter(|(_, peer)| self.is_shown(peer, &chain)) {
            announce(&chain, Input::Connected { node: *node, version: peer.version.clone() });
        }
        self.chains.insert(id, chain);
    }

    /// A chain is gone, or shall go: it is told to stop, and its requests are released. Whoever
    /// needs the chain's end waits for its owner.
    pub fn remove_chain(&mut self, id: Id) {
        self.tell_recorder(|| Call::RemoveChain { id });
        self.remove(id);
    }

    /// Whether a chain executes fetched containers and hears nothing but failures meanwhile.
    pub fn set_executing(&mut self, id: Id, is_executing: bool) {
        self.tell_recorder(|| Call::Executing { id, is_executing });
        if let Some(chain) = self.chains.get_mut(&id) {
            chain.is_executing = is_executing;
        }
    }

    /// Tells every chain to stop and delivers nothing any more. Repeating it changes nothing.
    pub fn shutdown(&mut self) {
        self.tell_recorder(|| Call::Shutdown);
        self.is_closing = true;
        while let Some((&id, _)) = self.chains.first_key_value() {
            self.remove(id);
        }
    }

    /// Ends the request a response belongs to; whether the chain should hear the response.
    fn answer(
        &mut self,
        now: Instant,
        chain: Id,
        node: NodeId,
        id: RequestId,
        op: ResponseOp,
    ) -> bool {
        match self.requests.end(now, &Key { node, chain, id, op }) {
            None => {
                self.stats.dropped_unrequested += 1;
                false
            }
            Some(ended) => {
                self.stats.answered += 1;
                !ended.was_told
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        from: NodeId,
        id: RequestId,
        deadline: Duration,
        request: Request,
    ) -> Option<Input> {
        let Some(lifetime) = effective_deadline(deadline, self.config.request_lifetime_max) else {
            self.stats.dropped_expired += 1;
            return None;
        };
        Some(Input::Request { from, id, expires: now + lifetime, request })
    }

    fn deliver(&self, chain: Id, input: Input, permit: Permit) {
        if let Some(chain) = self.chains.get(&chain) {
            // The inbox counts what it refuses.
            let _ = chain.route.inbox.push(input, permit);
        }
    }

    /// Whether a chain hears of a peer.
    fn is_shown(&self, peer: &Peer, chain: &Chain) -> bool {
        !self.config.sybil_protection || peer.subnets.contains(&chain.route.subnet)
    }

    fn remove(&mut self, id: Id) {
        if let Some(chain) = self.chains.remove(&id) {
            chain.route.inbox.stop(Ok(()));
            self.stats.released += self.requests.forget_chain(id) as u64;
        }
    }

    fn tell_recorder<'a>(&mut self, call: impl FnOnce() -> Call<'a>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(call());
        }
    }
}

/// Failures are heard while executing, an `app_error` among them.
const fn is_dropped_while_executing(payload: &Payload) -> bool {
    !matches!(payload, Payload::Response { response: Response::AppError { .. }, .. })
}

/// Tells a chain of a peer, whether it admits it or not.
fn announce(chain: &Chain, input: Input) {
    // Refused only if the chain stops.
    let _ = chain.route.inbox.push(input, Permit::NONE);
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("node", &self.config.node)
            .field("outstanding", &self.outstanding())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
