//! What the node around the network brings.

use std::{collections::BTreeSet, fmt};

use sastrugi_types::{Id, NodeId, message::Inbound, version::Application};
use sastrugi_wire::{peer::Registration, throttle::Stakes};

use crate::admission::Permit;

/// Where everything goes that peers say. Called on network threads: no call may block, run a
/// gear, or ask the network for its [peers](crate::Network::peers). Sending is fine.
///
/// For each node `connected` and `disconnected` alternate, and messages come only between the
/// two, in the order in which they arrived.
pub trait Inbox: Send + Sync {
    /// A node finished its handshake. `subnets` are those it tracks and this node tracks too, the
    /// primary network (the empty ID) always among them.
    fn connected(&self, node: NodeId, application: &Application, subnets: &BTreeSet<Id>);

    /// The node left.
    fn disconnected(&self, node: NodeId);

    /// A message about a chain. The permit is dropped when it is done with, whatever became of it.
    fn inbound(&self, message: Inbound, permit: Permit);
}

/// Who validates, as far as the node knows, and who may hear of a subnet.
///
/// Called on any thread, with no lock of the network held except that of one connection.
pub trait Membership: Stakes {
    /// Whether a node validates a subnet.
    fn is_validator(&self, subnet: Id, node: NodeId) -> bool;

    /// How many validators a subnet has.
    fn validators(&self, subnet: Id) -> usize;

    /// Whether messages of a subnet may go to a node. Upstream: `subnets.Allower`.
    fn is_allowed(&self, subnet: Id, node: NodeId) -> bool {
        let _ = (subnet, node);
        true
    }

    /// How a node is registered as a validator of the primary network.
    fn registration(&self, node: NodeId) -> Option<Registration>;

    /// The part of the time that a validator of the primary network was up, from 0 to 1. `None`
    /// if nobody knows.
    fn uptime(&self, node: NodeId) -> Option<f64> {
        let _ = node;
        None
    }
}

impl fmt::Debug for dyn Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl fmt::Debug for dyn Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Membership")
    }
}
