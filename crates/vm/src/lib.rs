//! What a virtual machine sees and is.
//!
//! A VM is a synchronous, shared object without a clock, thread or randomness of its own. It gets
//! all of these in [`VmInit`]. The chain that owns it calls it from one thread at a time, except
//! for the [`AppHandler`] and HTTP calls, which run beside everything else. Blocks are plain data
//! ([`Block`]); verdicts are calls on the VM that name the block.
//!
//! Start with [`Vm`] and [`ChainVm`]; the crate `sastrugi-kvvm` is the example to read.

pub mod alias;
pub mod app;
pub mod block;
pub mod block_cache;
pub mod chain_vm;
pub mod connector;
pub mod db;
pub mod environment;
pub mod error;
pub mod event;
pub mod fx;
pub mod health;
pub mod http;
pub mod json_rpc;
pub mod lru;
pub mod state_sync;
pub mod testkit;
pub mod validators;
pub mod vm;
pub mod warp;

pub use app::{
    AppError, AppGossipHandler, AppHandler, AppRequestHandler, AppResponseHandler, AppSender,
    SendConfig,
};
pub use block::{Block, BlockContext};
pub use chain_vm::{BatchedChainVm, ChainVm};
pub use connector::Connector;
pub use environment::{Clock, Random};
pub use error::VmError;
pub use event::{Events, Message};
pub use fx::Fx;
pub use health::{Health, HealthChecker};
pub use state_sync::{StateSummary, StateSyncMode, StateSyncableVm};
pub use vm::{ChainContext, State, Vm, VmInit};
