//! Who is reachable.

use sastrugi_types::{NodeId, version::Application};

use crate::VmError;

/// Hears which peers became usable or unusable for the chain, this node included.
///
/// A benched peer is reported as disconnected. Calls alternate per peer, beginning with connected.
/// An error stops the chain. Upstream: `snow/validators/connector.go`.
pub trait Connector {
    /// The peer became usable; it runs this version.
    fn connected(&self, node: NodeId, version: &Application) -> Result<(), VmError>;
    /// The peer is no longer usable.
    fn disconnected(&self, node: NodeId) -> Result<(), VmError>;
}
