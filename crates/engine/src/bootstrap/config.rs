//! What the gear is built from.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{Id, NodeId, sampler::Source};
use sastrugi_vm::{Block, ChainVm, Clock, VmError, db::Database};

use crate::{
    common::{BootstrapTracker, StateSyncing, tracker::Startup},
    getter::GetterConfig,
    peer_tracker::PeerTracker,
    validators::Validators,
};

/// How many blocks of one answer are looked at (`bootstrap-ancestors-max-containers-received`).
pub const ANCESTORS_RECEIVED_MAX: usize = 2000;

/// Reads blocks that are known to be accepted, so that a wrapper around the VM need not check
/// their signatures. Upstream: `NonVerifyingParse`.
#[doc(alias = "NonVerifyingParse")]
pub trait TrustedParser: Send + Sync {
    /// Reads a block; the same as [`ChainVm::parse_block`] for every accepted one.
    fn parse_trusted(&self, bytes: Bytes) -> Result<Block, VmError>;
}

/// What a [`Bootstrapper`](super::Bootstrapper) is built from. Upstream:
/// `snow/engine/snowman/bootstrap/config.go`.
pub struct Config {
    /// The chain.
    pub chain: Id,
    /// The subnet that validates the chain; the beacons are listed under it.
    pub subnet: Id,
    /// This node.
    pub node: NodeId,
    /// The chain's VM. The gear does not touch it before it is started.
    pub vm: Arc<dyn ChainVm>,
    /// Measures how long served blocks take to collect, and slices of executing.
    pub clock: Arc<dyn Clock>,
    /// Bounds of what is served.
    pub getter: GetterConfig,
    /// Keeps fetched blocks, and belongs to the gear alone. Its batches are buffered: what survives a
    /// crash must be a prefix of what was written to it and by accepted blocks.
    pub db: Arc<dyn Database>,
    /// Who is asked what the network has accepted.
    pub beacons: Arc<Validators>,
    /// How many units of the beacons' weight are drawn for the frontier.
    pub sample_size: usize,
    /// Says when enough beacons were connected. The gear in charge tells it of connections.
    pub startup: Arc<Startup>,
    /// The progress of the subnet's chains. It knows this chain already.
    pub tracker: Arc<dyn BootstrapTracker>,
    /// Chooses whom to fetch from. The chain tells it of connections.
    pub peers: Arc<PeerTracker>,
    /// How many blocks of one answer are looked at, [`ANCESTORS_RECEIVED_MAX`] as a rule.
    pub ancestors_max: usize,
    /// Set while the VM syncs its state beside this gear.
    pub state_syncing: StateSyncing,
    /// Blocks known to be accepted. Many of them make fetching parallel.
    pub checkpoints: Vec<Id>,
    /// Reads blocks that were fetched before; without one the VM does.
    pub trusted_parser: Option<Arc<dyn TrustedParser>>,
    /// Called once, when the chain has caught up for the first time.
    pub bootstrapped: Option<Box<dyn FnOnce() + Send>>,
    /// Draws beacons and the lengths of pauses.
    pub source: Box<dyn Source + Send>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("chain", &self.chain)
            .field("subnet", &self.subnet)
            .field("node", &self.node)
            .field("sample_size", &self.sample_size)
            .field("ancestors_max", &self.ancestors_max)
            .field("checkpoints", &self.checkpoints.len())
            .finish_non_exhaustive()
    }
}
