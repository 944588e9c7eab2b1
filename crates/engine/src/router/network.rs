//! Where messages leave.

use sastrugi_types::{Id, message::Outbound};
use sastrugi_vm::SendConfig;

use crate::common::NodeSet;

/// The network as senders see it. It is called without any lock of the router, and must neither
/// block nor call back into the sender.
pub trait Network: Send + Sync {
    /// Enqueues a message to each of these nodes that is connected and allowed in the subnet, and
    /// says to whom it was enqueued. A message that cannot be encoded is sent to nobody.
    fn send(&self, message: &Outbound, to: &NodeSet, subnet: Id) -> NodeSet;

    /// Enqueues gossip to the nodes that `config` means, and says to whom it was enqueued. This
    /// node is never among them.
    fn gossip(&self, message: &Outbound, config: &SendConfig, subnet: Id) -> NodeSet;
}
