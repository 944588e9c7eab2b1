//! What the gear is built from.

use std::{fmt, sync::Arc};

use sastrugi_consensus::snowball::Parameters;
use sastrugi_types::{Id, NodeId};
use sastrugi_vm::{ChainVm, Clock};

use crate::{
    common::{StateSyncing, tracker::Peers},
    getter::GetterConfig,
    validators::Validators,
};

/// What a [`Snowman`](super::Snowman) is built from. Upstream: `snow/engine/snowman/config.go`.
#[derive(Clone)]
pub struct Config {
    /// The subnet that validates the chain.
    pub subnet: Id,
    /// This node.
    pub node: NodeId,
    /// The chain's VM. The gear does not touch it before it is started.
    pub vm: Arc<dyn ChainVm>,
    /// Measures how long it takes to collect blocks for others.
    pub clock: Arc<dyn Clock>,
    /// Bounds of what is served.
    pub getter: GetterConfig,
    /// Parameters of the network.
    pub params: Parameters,
    /// The current validators. The gear listens to its subnet's.
    pub validators: Arc<Validators>,
    /// Who of them is connected; the chain tells it, and registers it with `validators`.
    pub peers: Arc<Peers>,
    /// Set while the VM syncs its state: the gear then only votes for what is accepted.
    pub state_syncing: StateSyncing,
    /// This node follows only part of the network and must not vote for what it cannot verify: it
    /// only votes for what is accepted.
    pub partial_sync: bool,
    /// Makes the places of IDs in tables unpredictable to peers.
    pub hash_seed: u64,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("subnet", &self.subnet)
            .field("node", &self.node)
            .field("params", &self.params)
            .field("partial_sync", &self.partial_sync)
            .finish_non_exhaustive()
    }
}
