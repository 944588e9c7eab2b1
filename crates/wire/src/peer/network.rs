//! What a peer asks of the network around it, and what it tells it.

use std::collections::BTreeSet;

use sastrugi_crypto::bls;
use sastrugi_types::{Id, NodeId, bloom::ReadFilter, message::Inbound};

use super::{Fact, TrackError};
use crate::{handshake::Remote, message::BloomFilter, signed_ip::ClaimedIp};

/// The network as one peer sees it: the sink of everything that does not go to the connection.
///
/// All calls come from inside a call to the peer, at once and in order. None of them may call
/// the peer back; pushing into an [`Outbox`](super::Outbox) is fine.
pub trait Network {
    /// Whether a connection to `node` is still desired. Asked before each ping.
    fn allows(&mut self, node: NodeId) -> bool;

    /// A filter of all claims the node knows, for handshakes and requests.
    fn known_peers(&mut self) -> BloomFilter;

    /// Whether this node is a validator of the primary network; if so it asks for the validators
    /// of all subnets.
    fn is_validator(&self) -> bool;

    /// How `node` is registered as a validator of the primary network, as far as this node knows.
    fn registration(&self, node: NodeId) -> Option<Registration>;

    /// The part of the time that `node` was up, from 0 to 1; `None` if not known.
    fn uptime(&mut self, node: NodeId) -> Option<f64>;

    /// Claims to tell a peer: of nodes it asks for and does not know yet.
    fn peers(&mut self, request: PeersRequest<'_>) -> Vec<ClaimedIp>;

    /// Claims that a peer told. An error closes that peer.
    fn track(&mut self, claims: Vec<ClaimedIp>) -> Result<(), TrackError>;

    /// The peer became ready: from now on messages about chains flow.
    fn connected(&mut self, remote: &Remote);

    /// The peer is closed. Called once for each peer, whether or not it was ready; nothing comes
    /// from this peer afterwards.
    fn disconnected(&mut self, node: NodeId, was_ready: bool);

    /// A message about a chain. Only comes between `connected` and `disconnected`, in the order
    /// in which it arrived.
    fn inbound(&mut self, message: Inbound);

    /// Something worth counting or logging.
    fn observe(&mut self, fact: Fact);
}

/// How a node is registered as a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The transaction that made it one.
    pub tx: Id,
    /// The BLS key it registered, if any.
    pub key: Option<bls::PublicKey>,
}

/// What a peer wants to be told.
#[derive(Clone, Copy, Debug)]
pub struct PeersRequest<'a> {
    /// The peer. It is not told about itself.
    pub node: NodeId,
    /// The subnets it tracks, the primary network always among them.
    pub subnets: &'a BTreeSet<Id>,
    /// Whether it wants validators of all subnets.
    pub all_subnets: bool,
    /// The gossip IDs it knows already.
    pub known: &'a ReadFilter,
    /// What they are hashed with.
    pub salt: &'a [u8],
}
