//! The common interfaces of all gears: AvalancheGo's package `snow/engine/common`, name for name.
//!
//! # The two directions
//!
//! What reaches a gear are calls of its [`Handler`]; what leaves it are calls of a [`Sender`]. A
//! gear touches nothing else but itself, its VM and the [`Cx`] of the call. Output leaves at once,
//! while the handler still runs.
//!
//! # Requests
//!
//! A request is known by the node it went to, its [`RequestId`](sastrugi_types::RequestId) and the
//! kind of response that clears it. Each request ends in exactly one call: the response or its
//! `…_failed` twin. Numbers begin after the one given to [`Engine::start`], grow by one before
//! use, and wrap.
//!
//! # Errors
//!
//! `Err(`[`Fatal`]`)` stops the chain. Nothing a peer does is an error: it is logged and dropped.
//!
//! # Where to find an upstream name
//!
//! The search box of this documentation knows every upstream name in its Go spelling.

mod accepted;
mod ancestors;
mod bootstrap;
mod chits;
mod cx;
mod engine;
mod error;
mod frontier;
mod gets;
mod halter;
mod handler;
mod internal;
mod no_op;
mod put;
mod query;
mod request;
mod sender;
mod state_syncer;
mod state_syncing;
mod summary;
mod timer;
mod traced;
pub mod tracker;

pub use accepted::AcceptedHandler;
pub use ancestors::AncestorsHandler;
pub use bootstrap::{BootstrapTracker, BootstrapableEngine};
pub use chits::ChitsHandler;
pub use cx::{Acceptor, Cx, SampleError, Sampler};
pub use engine::{Engine, Progress};
pub use error::{Fatal, Handled};
pub use frontier::AcceptedFrontierHandler;
pub use gets::{
    AllGetsServer, GetAcceptedFrontierHandler, GetAcceptedHandler, GetAcceptedStateSummaryHandler,
    GetAncestorsHandler, GetHandler, GetStateSummaryFrontierHandler,
};
pub use halter::{Haltable, Halter};
pub use handler::Handler;
pub use internal::InternalHandler;
pub use no_op::NoOp;
pub use put::PutHandler;
pub use query::QueryHandler;
pub use request::Request;
pub use sender::{
    AcceptedSender, AcceptedStateSummarySender, FetchSender, FrontierSender, NodeSet, QuerySender,
    Sender, StateSummarySender,
};
pub use state_syncer::StateSyncer;
pub use state_syncing::StateSyncing;
pub use summary::{AcceptedStateSummaryHandler, StateSummaryFrontierHandler};
pub use timer::{PreemptionSignal, TimeoutRegistrar, TimeoutScheduler};
pub use traced::Traced;

#[doc(inline)]
pub use sastrugi_vm::{
    AppError, AppGossipHandler, AppHandler, AppRequestHandler, AppResponseHandler, AppSender, Fx,
    Message, SendConfig, Vm,
};
