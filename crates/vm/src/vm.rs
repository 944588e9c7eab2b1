//! The VM itself.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{Id, Instant, NodeId, upgrade::UpgradeSchedule};

use crate::{
    AppHandler, AppSender, Clock, Connector, Events, Fx, HealthChecker, Random, VmError,
    db::Database, http::HttpHandler, validators::ValidatorState, warp,
};

/// Which gear works the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// None yet.
    #[default]
    Initializing = 0,
    /// The state syncer.
    StateSyncing = 1,
    /// The bootstrapper. The VM may skip expensive checks.
    Bootstrapping = 2,
    /// The consensus engine.
    NormalOp = 3,
}

impl State {
    /// The name used in logs and by `health`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initializing => "Initializing State",
            Self::StateSyncing => "StateSyncing State",
            Self::Bootstrapping => "Bootstrapping State",
            Self::NormalOp => "Normal Operations State",
        }
    }
}

/// The constants of a chain. Upstream: `snow/context.go`.
#[derive(Clone)]
pub struct ChainContext {
    /// The network the chain belongs to.
    pub network_id: u32,
    /// When the network's rules change.
    pub upgrades: Arc<UpgradeSchedule>,
    /// The subnet that validates the chain.
    pub subnet_id: Id,
    /// The chain.
    pub chain_id: Id,
    /// This node.
    pub node_id: NodeId,
    /// This node's BLS public key, 48 bytes compressed, if it has one.
    pub public_key: Option<Bytes>,
    /// The X-Chain.
    pub x_chain_id: Id,
    /// The C-Chain.
    pub c_chain_id: Id,
    /// The asset AVAX.
    pub avax_asset_id: Id,
    /// A folder for files of this chain.
    pub data_dir: PathBuf,
    /// Validator sets by height.
    pub validators: Arc<dyn ValidatorState>,
}

impl fmt::Debug for ChainContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainContext")
            .field("network_id", &self.network_id)
            .field("subnet_id", &self.subnet_id)
            .field("chain_id", &self.chain_id)
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

/// All a VM gets at its start.
pub struct VmInit {
    /// The chain's constants.
    pub context: ChainContext,
    /// The VM's own database, and the only one it writes. Writes collect in a layer above the
    /// disk; the chain commits them after [`Vm::initialize`], together with its own records after
    /// each [`crate::ChainVm::accept`], and upon [`Events::set_written`], so nothing a VM writes is
    /// ever half there.
    pub db: Arc<dyn Database>,
    /// The same database as it was at the last commit, for the calls that run beside the engine
    /// ([`AppHandler`], HTTP).
    pub committed: Arc<dyn Database>,
    /// The bytes the chain was created with.
    pub genesis: Bytes,
    /// The chain's `upgrade` file.
    pub upgrade: Bytes,
    /// The chain's `config` file.
    pub config: Bytes,
    /// Feature extensions.
    pub fxs: Vec<Fx>,
    /// Messages to other nodes.
    pub app_sender: Arc<dyn AppSender>,
    /// Signals to the engine.
    pub events: Events,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Signs what the chain says to others.
    pub warp_signer: Arc<dyn warp::Signer>,
}

impl fmt::Debug for VmInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmInit").field("context", &self.context).finish_non_exhaustive()
    }
}

/// A virtual machine. Upstream: `snow/engine/common/vm.go`.
///
/// The chain calls these methods one at a time from its own thread. [`AppHandler`] calls,
/// [`HttpHandler`]s and [`HealthChecker::health`] run beside them.
#[doc(alias = "VM")]
pub trait Vm: AppHandler + Connector + HealthChecker + Send + Sync {
    /// Called once, before anything else. An error means there will be no chain.
    #[doc(alias = "Initialize")]
    fn initialize(&self, init: VmInit) -> Result<(), VmError>;

    /// The chain changes gear. An error stops the chain.
    #[doc(alias = "SetState")]
    fn set_state(&self, state: State) -> Result<(), VmError>;

    /// The VM's version, for people.
    #[doc(alias = "Version")]
    fn version(&self) -> Result<String, VmError>;

    /// The VM's HTTP handlers by path below `/ext/bc/<chain>`, such as `/rpc`.
    #[doc(alias = "CreateHandlers")]
    fn create_handlers(&self) -> Result<BTreeMap<String, Arc<dyn HttpHandler>>, VmError> {
        Ok(BTreeMap::new())
    }

    /// When [`Vm::handle_timeout`] is next due, if ever. The chain asks after each call it makes
    /// and whenever it is woken.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due. An error stops the chain.
    fn handle_timeout(&self, _now: Instant) -> Result<(), VmError> {
        Ok(())
    }

    /// The last call. Nothing written after the last commit survives.
    #[doc(alias = "Shutdown")]
    fn shutdown(&self) -> Result<(), VmError>;
}
