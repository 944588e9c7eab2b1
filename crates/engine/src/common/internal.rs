//! What the node itself tells a gear. Upstream: `snow/engine/common/engine.go`.

use sastrugi_types::{NodeId, version::Application};

use super::{Cx, Handled, Message};

/// Hears what happens inside the node.
///
/// `connected` and `disconnected` are upstream's embedded `validators.Connector`.
#[doc(alias = "NewNoOpInternalHandler")]
pub trait InternalHandler {
    /// A peer, or this node itself, became usable for this chain.
    #[doc(alias = "Connected")]
    fn connected(&mut self, _cx: &mut Cx<'_>, node: NodeId, _version: &Application) -> Handled {
        tracing::debug!(%node, reason = "unhandled by this gear", "dropping connected");
        Ok(())
    }

    /// A peer is no longer usable.
    #[doc(alias = "Disconnected")]
    fn disconnected(&mut self, _cx: &mut Cx<'_>, node: NodeId) -> Handled {
        tracing::debug!(%node, reason = "unhandled by this gear", "dropping disconnected");
        Ok(())
    }

    /// The regular tick, by default every 100 ms: spread or ask for the accepted frontier.
    #[doc(alias = "Gossip")]
    fn gossip(&mut self, _cx: &mut Cx<'_>) -> Handled {
        Ok(())
    }

    /// The node exits. Called once, after the last message, on the gear in charge, which shuts the
    /// VM down.
    #[doc(alias = "Shutdown")]
    fn shutdown(&mut self, _cx: &mut Cx<'_>) -> Handled {
        Ok(())
    }

    /// The VM signals.
    #[doc(alias = "Notify")]
    fn notify(&mut self, _cx: &mut Cx<'_>, message: Message) -> Handled {
        tracing::debug!(%message, reason = "unhandled by this gear", "dropping notify");
        Ok(())
    }
}
