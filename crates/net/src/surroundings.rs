//! What a peer machine asks of the network around it, and where its reports go.

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, bloom::ReadFilter, message::Inbound};
use sastrugi_wire::{
    handshake::{Remote, SALT_BYTES_MAX},
    message::BloomFilter,
    peer::{Attention, Fact, Network as PeerNetwork, Now, PeersRequest, Registration, TrackError},
    signed_ip::ClaimedIp,
};
use tracing::{debug, error, info, trace, warn};

use crate::{admission::Permit, shared::Shared};

/// The network, for the time of one call to the machine of one peer.
pub(crate) struct Surroundings<'a> {
    shared: &'a Shared,
    node: NodeId,
    /// What the frame holds that the call handles.
    permit: Option<&'a mut Option<Permit>>,
}

impl<'a> Surroundings<'a> {
    pub(crate) const fn new(shared: &'a Shared, node: NodeId) -> Self {
        Self { shared, node, permit: None }
    }

    /// Lends the permit of a frame. A message about a chain takes it along.
    pub(crate) const fn lend(&mut self, permit: &'a mut Option<Permit>) {
        self.permit = Some(permit);
    }

    pub(crate) fn now(&self) -> Now {
        self.shared.clock.now()
    }
}

impl PeerNetwork for Surroundings<'_> {
    fn allows(&mut self, node: NodeId) -> bool {
        self.shared.allows(node)
    }

    /// No claims are known, since none are looked for.
    fn known_peers(&mut self) -> BloomFilter {
        BloomFilter {
            filter: ReadFilter::empty().to_bytes().into(),
            salt: Bytes::from_static(&[0; SALT_BYTES_MAX]),
        }
    }

    fn is_validator(&self) -> bool {
        self.shared.membership.is_validator(Id::EMPTY, self.shared.node)
    }

    fn registration(&self, node: NodeId) -> Option<Registration> {
        self.shared.membership.registration(node)
    }

    fn uptime(&mut self, node: NodeId) -> Option<f64> {
        self.shared.membership.uptime(node)
    }

    fn peers(&mut self, _request: PeersRequest<'_>) -> Vec<ClaimedIp> {
        Vec::new()
    }

    fn track(&mut self, _claims: Vec<ClaimedIp>) -> Result<(), TrackError> {
        Ok(())
    }

    fn connected(&mut self, remote: &Remote) {
        self.shared.handle_connected(remote);
    }

    fn disconnected(&mut self, node: NodeId, was_ready: bool) {
        self.shared.handle_disconnected(node, was_ready);
    }

    fn inbound(&mut self, message: Inbound) {
        let permit = self.permit.as_mut().and_then(|permit| permit.take());
        self.shared.inbox.inbound(message, permit.unwrap_or_default());
    }

    fn observe(&mut self, fact: Fact) {
        self.shared.counters.observe(&fact, self.shared.clock.instant());
        log(self.node, &fact, self.shared.config.beacons.contains(&self.node));
    }
}

fn log(node: NodeId, fact: &Fact, is_beacon: bool) {
    match fact.attention(is_beacon) {
        Attention::Trace => trace!(%node, ?fact, "peer"),
        Attention::Debug => debug!(%node, ?fact, "peer"),
        Attention::Info => info!(%node, ?fact, "peer"),
        Attention::Warn => warn!(%node, ?fact, "peer"),
        Attention::Error => error!(%node, ?fact, "peer"),
    }
}
