//! Whom to ask for ranges.
//!
//! A peer is asked one thing at a time. One that fails rests, the longer the more often it fails in
//! a row: a moment if it was busy, seconds if it did not answer or does not have the state. One
//! whose answer was wrong did so on purpose or is broken: it rests for minutes, and reconnecting
//! does not shorten that.

use std::{collections::BTreeMap, time::Duration};

use sastrugi_types::{Instant, NodeId, RequestId};

const BUSY_REST: Duration = Duration::from_millis(20);
const BUSY_REST_MAX: Duration = Duration::from_secs(1);
const SILENT_REST: Duration = Duration::from_secs(1);
const SILENT_REST_MAX: Duration = Duration::from_mins(1);
const LACKING_REST: Duration = Duration::from_secs(5);
const WRONG_REST: Duration = Duration::from_mins(2);
const WRONG_REST_MAX: Duration = Duration::from_hours(2);
/// So many peers whose answers were wrong are remembered.
const CHARGED_MAX: usize = 1024;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The peer has too much to do.
    Busy,
    /// No answer came, or an error that says nothing.
    Silent,
    /// The peer does not have the state.
    Lacking,
    /// The answer was wrong.
    Wrong,
}

#[derive(Debug, Default)]
struct Peer {
    asked: Option<RequestId>,
    rests_until: Option<Instant>,
    failures_in_row: u32,
    lacks_state: bool,
}

#[derive(Clone, Copy, Debug)]
struct Charge {
    faults: u32,
    until: Instant,
}

/// The connected peers, and what is known of them.
#[derive(Debug, Default)]
pub(crate) struct SyncPeers {
    connected: BTreeMap<NodeId, Peer>,
    charged: BTreeMap<NodeId, Charge>,
}

/// How the peers are, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerCounts {
    pub(crate) connected: usize,
    pub(crate) lacking: usize,
    pub(crate) resting: usize,
}

impl SyncPeers {
    pub(crate) fn connected(&mut self, node: NodeId) {
        self.connected.entry(node).or_default();
    }

    pub(crate) fn disconnected(&mut self, node: NodeId) {
        self.connected.remove(&node);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// Forgets what was said about another state.
    pub(crate) fn begin(&mut self) {
        for peer in self.connected.values_mut() {
            *peer = Peer { asked: peer.asked, ..Peer::default() };
        }
    }

    /// A peer that can be asked now.
    pub(crate) fn choose(&self, now: Instant, random: u64) -> Option<NodeId> {
        let free: Vec<NodeId> = self
            .connected
            .iter()
            .filter(|(node, peer)| peer.asked.is_none() && !self.rests(**node, peer, now))
            .map(|(node, _)| *node)
            .collect();
        let chosen = random.checked_rem(free.len() as u64)?;
        free.get(chosen as usize).copied()
    }

    /// When a peer that is not asked anything will have rested, or has.
    pub(crate) fn due(&self) -> Option<Instant> {
        let idle = self.connected.iter().filter(|(_, peer)| peer.asked.is_none());
        idle.map(|(node, peer)| self.rests_until(*node, peer).unwrap_or_default()).min()
    }

    pub(crate) fn asked(&mut self, node: NodeId, request: RequestId) {
        if let Some(peer) = self.connected.get_mut(&node) {
            peer.asked = Some(request);
        }
    }

    /// The request is over.
    pub(crate) fn ended(&mut self, node: NodeId, request: RequestId) {
        if let Some(peer) = self.connected.get_mut(&node).filter(|peer| peer.asked == Some(request))
        {
            peer.asked = None;
        }
    }

    pub(crate) fn succeeded(&mut self, node: NodeId) {
        self.charged.remove(&node);
        if let Some(peer) = self.connected.get_mut(&node) {
            *peer = Peer { asked: peer.asked, ..Peer::default() };
        }
    }

    pub(crate) fn failed(&mut self, node: NodeId, failure: Failure, now: Instant) {
        if failure == Failure::Wrong {
            self.charge(node, now);
        }
        let Some(peer) = self.connected.get_mut(&node) else { return };
        let rest = match failure {
            Failure::Busy => longer(BUSY_REST, peer.failures_in_row, BUSY_REST_MAX),
            Failure::Silent => longer(SILENT_REST, peer.failures_in_row, SILENT_REST_MAX),
            Failure::Lacking => LACKING_REST,
            Failure::Wrong => return,
        };
        peer.lacks_state = failure == Failure::Lacking;
        peer.failures_in_row = peer.failures_in_row.saturating_add(1);
        peer.rests_until = Some(now + rest);
    }

    fn charge(&mut self, node: NodeId, now: Instant) {
        let faults = self.charged.get(&node).map_or(0, |charge| charge.faults);
        let until = now + longer(WRONG_REST, faults, WRONG_REST_MAX);
        self.charged.insert(node, Charge { faults: faults.saturating_add(1), until });
        if self.charged.len() > CHARGED_MAX
            && let Some((first, _)) = self.charged.iter().min_by_key(|(_, charge)| charge.until)
        {
            let first = *first;
            self.charged.remove(&first);
        }
    }

    /// Whether there are peers, and each of them said that it does not have the state.
    pub(crate) fn all_lack_state(&self) -> bool {
        !self.is_empty() && self.connected.values().all(|peer| peer.lacks_state)
    }

    pub(crate) fn counts(&self, now: Instant) -> PeerCounts {
        let peers = || self.connected.iter();
        PeerCounts {
            connected: self.connected.len(),
            lacking: peers().filter(|(_, peer)| peer.lacks_state).count(),
            resting: peers().filter(|(node, peer)| self.rests(**node, peer, now)).count(),
        }
    }

    fn rests_until(&self, node: NodeId, peer: &Peer) -> Option<Instant> {
        let charged_until = self.charged.get(&node).map(|charge| charge.until);
        peer.rests_until.into_iter().chain(charged_until).max()
    }

    fn rests(&self, node: NodeId, peer: &Peer, now: Instant) -> bool {
        self.rests_until(node, peer).is_some_and(|until| until > now)
    }
}

/// Doubled so often, but no longer than the longest.
fn longer(rest: Duration, times: u32, longest: Duration) -> Duration {
    rest.saturating_mul(1 << times.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId([1; 20]);
    const TWO: NodeId = NodeId([2; 20]);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn peers() -> SyncPeers {
        let mut peers = SyncPeers::default();
        peers.connected(ONE);
        peers.connected(TWO);
        peers
    }

    #[test]
    fn a_peer_is_asked_one_thing_at_a_time() {
        let mut peers = peers();
        assert_eq!(SyncPeers::default().choose(at(0), 7), None);
        assert_eq!(peers.choose(at(0), 0), Some(ONE));
        assert_eq!(peers.choose(at(0), 1), Some(TWO));
        peers.asked(ONE, RequestId(1));
        assert_eq!(peers.choose(at(0), 0), Some(TWO));
        peers.asked(TWO, RequestId(3));
        assert_eq!(peers.choose(at(0), 0), None);
        assert_eq!(peers.due(), None);
        peers.ended(ONE, RequestId(9));
        assert_eq!(peers.choose(at(0), 0), None, "that was another request");
        peers.ended(ONE, RequestId(1));
        assert_eq!(peers.choose(at(0), 1), Some(ONE));
        assert_eq!(peers.due(), Some(Instant::ZERO));
        peers.disconnected(ONE);
        assert_eq!(peers.choose(at(0), 0), None);
    }

    #[test]
    fn rests_grow_and_end() {
        let mut peers = peers();
        peers.disconnected(TWO);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            peers.failed(ONE, Failure::Silent, at(0));
            assert_eq!(peers.due(), Some(at(1000 * seconds)));
            assert_eq!(peers.choose(at(1000 * seconds - 1), 0), None);
            assert_eq!(peers.choose(at(1000 * seconds), 0), Some(ONE));
        }
        peers.succeeded(ONE);
        assert_eq!(peers.choose(at(0), 0), Some(ONE));
        peers.failed(ONE, Failure::Busy, at(0));
        assert_eq!(peers.due(), Some(at(20)), "a success is a new beginning");
    }

    #[test]
    fn reconnecting_does_not_wash_off_a_wrong_answer() {
        let mut peers = peers();
        peers.disconnected(TWO);
        peers.failed(ONE, Failure::Wrong, at(0));
        peers.disconnected(ONE);
        peers.connected(ONE);
        peers.begin();
        assert_eq!(peers.choose(at(119_999), 0), None);
        assert_eq!(peers.choose(at(120_000), 0), Some(ONE));
        peers.failed(ONE, Failure::Wrong, at(0));
        assert_eq!(peers.due(), Some(at(240_000)));
        for number in 0..2 * CHARGED_MAX {
            let mut node = [0; 20];
            node[..8].copy_from_slice(&number.to_be_bytes());
            peers.failed(NodeId(node), Failure::Wrong, at(number as u64));
        }
        assert_eq!(peers.charged.len(), CHARGED_MAX);
    }

    #[test]
    fn all_must_say_that_the_state_is_gone() {
        let mut peers = peers();
        assert!(!SyncPeers::default().all_lack_state());
        peers.failed(ONE, Failure::Lacking, at(0));
        assert!(!peers.all_lack_state());
        peers.failed(TWO, Failure::Lacking, at(0));
        assert!(peers.all_lack_state());
        assert_eq!(peers.counts(at(1)), PeerCounts { connected: 2, lacking: 2, resting: 2 });
        peers.failed(TWO, Failure::Silent, at(0));
        assert!(!peers.all_lack_state(), "it said nothing this time");
        peers.failed(TWO, Failure::Lacking, at(0));
        peers.begin();
        assert!(!peers.all_lack_state(), "that was about another state");
    }
}
