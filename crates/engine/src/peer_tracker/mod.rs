//! Which peers serve requests well. Upstream: `network/p2p/peer_tracker.go`.
//!
//! The tracker chooses whom to ask for blocks, by the bandwidth that earlier answers were
//! measured with. It is shared between threads and never calls out.
//!
//! # Specification
//! A connected peer is *untried* until a request goes to it, and *tried* from then on. A tried peer
//! is *responsive* when its last request was answered, and *idle* from an answer or failure to the
//! next request. Its bandwidth is the average of its answers, with a half-life of 5 minutes; a
//! failure counts as 0.
//!
//! * Upon [`PeerTracker::select_peer`]:
//!   1. an untried peer, while fewer than 20 are responsive; with more, with the probability
//!      e^(−0.1 · responsive);
//!   2. else, in 4 of 5 cases, the idle peer of the highest bandwidth, and otherwise any responsive
//!      one;
//!   3. when there is none of these, any tried peer, or nobody.
//! * Upon [`PeerTracker::register_request`]: the peer is tried and no longer idle.
//! * Upon [`PeerTracker::register_response`] and [`PeerTracker::register_failure`]: the bandwidth is
//!   taken and the peer is idle, unless it was not tried (it has left meanwhile).
//! * Upon [`PeerTracker::disconnected`]: all is forgotten.
//!
//! "Any" is uniform, where upstream leaves it to the order of a map. Among idle peers of equal
//! bandwidth the one idle for longest is chosen.
//!
//! Deviation: this node itself is never tracked; upstream tracks it once a request goes to it,
//! and may choose it from then on.

mod pool;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_types::{
    IdBuildHasher, Instant, NodeId, NodeMap, average::Averager, sampler::Source, version::Version,
};

use self::pool::Pool;

/// Half-life of bandwidths.
const HALF_LIFE: Duration = Duration::from_mins(5);
/// With fewer responsive peers, untried ones come first.
const RESPONSIVE_MIN: usize = 20;
/// How fast the wish for untried peers falls with the number of responsive ones.
const UNTRIED_FACTOR: f64 = 0.1;
/// How often a responsive peer is chosen without regard to its bandwidth.
const RANDOM_PROBABILITY: f64 = 0.2;
/// Peers known at most; further ones are not chosen.
const PEERS_MAX: usize = 65_536;

/// Settings of a [`PeerTracker`].
#[derive(Clone, Debug)]
pub struct PeerTrackerConfig {
    /// This node, which is never tracked.
    pub own: NodeId,
    /// Nodes whose connections are not heard of.
    pub ignored: BTreeSet<NodeId>,
    /// Peers of older software are not heard of.
    pub minimum_version: Option<Version>,
    /// Makes the places of nodes in tables unpredictable to peers.
    pub hash_seed: u64,
}

/// Chooses peers for requests. See the [module](self).
#[doc(alias = "NewPeerTracker")]
pub struct PeerTracker {
    config: PeerTrackerConfig,
    state: Mutex<State>,
}

/// What a [`PeerTracker`] knows.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerTrackerSnapshot {
    /// Connected peers that no request went to.
    pub untried: BTreeSet<NodeId>,
    /// Peers that a request went to.
    pub tried: BTreeSet<NodeId>,
    /// Peers that answered their last request.
    pub responsive: BTreeSet<NodeId>,
    /// The idle peer of the highest bandwidth.
    pub best: Option<NodeId>,
    /// Average bandwidth of all answers and failures, in bytes per second.
    pub average_bandwidth: f64,
}

struct State {
    untried: Pool,
    tried: Pool,
    responsive: Pool,
    measured: NodeMap<Measured>,
    /// Idle peers, the best one first.
    idle: BTreeMap<Rank, NodeId>,
    /// Number of the answer or failure taken last.
    latest: u64,
    average: Averager,
    source: Box<dyn Source + Send>,
}

struct Measured {
    bandwidth: Averager,
    /// The place among the idle peers, if it is one.
    rank: Option<Rank>,
}

/// Bandwidth, then the number of the answer or failure that made the peer idle.
///
/// Bandwidths are finite and not negative; such floats are ordered as their bits are.
type Rank = (Reverse<u64>, u64);

impl PeerTracker {
    /// A tracker without peers. All randomness comes from `source`.
    pub fn new(config: PeerTrackerConfig, source: Box<dyn Source + Send>, now: Instant) -> Self {
        let hasher = IdBuildHasher::new(config.hash_seed);
        let state = State {
            untried: Pool::new(hasher),
            tried: Pool::new(hasher),
            responsive: Pool::new(hasher),
            measured: NodeMap::with_hasher(hasher),
            idle: BTreeMap::new(),
            latest: 0,
            average: Averager::new(0.0, HALF_LIFE, now),
            source,
        };
        Self { config, state: Mutex::new(state) }
    }

    /// A peer became usable.
    pub fn connected(&self, node: NodeId, version: Version) {
        let Self { config, state } = self;
        let is_old = config.minimum_version.is_some_and(|minimum| version < minimum);
        if is_old || node == config.own || config.ignored.contains(&node) {
            return;
        }
        let untried = &mut state.lock().untried;
        if untried.len() < PEERS_MAX {
            untried.insert(node);
        }
    }

    /// A peer is no longer usable.
    pub fn disconnected(&self, node: NodeId) {
        let state = &mut *self.state.lock();
        state.untried.remove(node);
        state.tried.remove(node);
        state.responsive.remove(node);
        state.take_from_idle(node);
        state.measured.remove(&node);
    }

    /// The peer to ask next; `None` when nobody is connected. The choice changes nothing: say with
    /// [`Self::register_request`] that a request was sent.
    #[doc(alias = "SelectPeer")]
    pub fn select_peer(&self) -> Option<NodeId> {
        let State { untried, tried, responsive, idle, source, .. } = &mut *self.state.lock();
        if prefers_untried(untried, responsive, source)
            && let Some(node) = untried.sample(source)
        {
            return Some(node);
        }
        let chosen = if fraction(source) > RANDOM_PROBABILITY {
            idle.values().next().copied()
        } else {
            responsive.sample(source)
        };
        chosen.or_else(|| tried.sample(source))
    }

    /// A request went to the node.
    #[doc(alias = "RegisterRequest")]
    pub fn register_request(&self, node: NodeId) {
        let state = &mut *self.state.lock();
        state.untried.remove(node);
        state.take_from_idle(node);
        if node != self.config.own && state.tried.len() < PEERS_MAX {
            state.tried.insert(node);
        }
    }

    /// The node answered with that many bytes per second.
    #[doc(alias = "RegisterResponse")]
    pub fn register_response(&self, node: NodeId, bandwidth: f64, now: Instant) {
        let bandwidth = if bandwidth.is_finite() { bandwidth.max(0.0) } else { 0.0 };
        let state = &mut *self.state.lock();
        if state.measure(node, bandwidth, now) {
            state.responsive.insert(node);
        }
    }

    /// The node failed to answer, or its answer was of no use.
    #[doc(alias = "RegisterFailure")]
    pub fn register_failure(&self, node: NodeId, now: Instant) {
        let state = &mut *self.state.lock();
        if state.measure(node, 0.0, now) {
            state.responsive.remove(node);
        }
    }

    /// The number of connected peers; one that connected again after a request went to it counts
    /// twice until the next request, as upstream counts it.
    #[doc(alias = "Size")]
    pub fn len(&self) -> usize {
        let state = self.state.lock();
        state.untried.len() + state.tried.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The average bandwidth of a node that was measured, in bytes per second.
    pub fn bandwidth(&self, node: NodeId) -> Option<f64> {
        self.state.lock().measured.get(&node).map(|measured| measured.bandwidth.read())
    }

    /// All that is known, for people and metrics.
    pub fn snapshot(&self) -> PeerTrackerSnapshot {
        let state = self.state.lock();
        PeerTrackerSnapshot {
            untried: state.untried.nodes(),
            tried: state.tried.nodes(),
            responsive: state.responsive.nodes(),
            best: state.idle.values().next().copied(),
            average_bandwidth: state.average.read(),
        }
    }
}

impl State {
    /// Takes a bandwidth and makes the node idle. False, with no change, if it was not tried.
    fn measure(&mut self, node: NodeId, bandwidth: f64, now: Instant) -> bool {
        if !self.tried.contains(node) {
            return false;
        }
        self.take_from_idle(node);
        self.latest += 1;
        let measured = self
            .measured
            .entry(node)
            .and_modify(|measured| measured.bandwidth.observe(bandwidth, now))
            .or_insert_with(|| Measured {
                bandwidth: Averager::new(bandwidth, HALF_LIFE, now),
                rank: None,
            });
        let rank = (Reverse(measured.bandwidth.read().to_bits()), self.latest);
        measured.rank = Some(rank);
        self.idle.insert(rank, node);
        self.average.observe(bandwidth, now);
        true
    }

    fn take_from_idle(&mut self, node: NodeId) {
        if let Some(measured) = self.measured.get_mut(&node)
            && let Some(rank) = measured.rank.take()
        {
            self.idle.remove(&rank);
        }
    }
}

fn prefers_untried(untried: &Pool, responsive: &Pool, source: &mut dyn Source) -> bool {
    let responsive = responsive.len();
    responsive < RESPONSIVE_MIN
        || untried.len() > 0 && fraction(source) < (-UNTRIED_FACTOR * responsive as f64).exp()
}

/// A uniform number, at least 0 and below 1.
fn fraction(source: &mut dyn Source) -> f64 {
    const BITS: u32 = f64::MANTISSA_DIGITS;
    (source.next_u64() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}

impl fmt::Debug for PeerTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTracker").field("peers", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
