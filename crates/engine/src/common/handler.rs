//! Everything a gear can hear. Upstream: `snow/engine/common/engine.go`.

use std::sync::Arc;

use super::{
    AcceptedFrontierHandler, AcceptedHandler, AcceptedStateSummaryHandler, AllGetsServer,
    AncestorsHandler, AppHandler, ChitsHandler, InternalHandler, PutHandler, QueryHandler,
    StateSummaryFrontierHandler,
};

/// The complete message surface of a gear.
///
/// App messages run beside the chain's thread, so a gear gives out the object that hears them: its
/// VM.
pub trait Handler:
    AllGetsServer
    + StateSummaryFrontierHandler
    + AcceptedStateSummaryHandler
    + AcceptedFrontierHandler
    + AcceptedHandler
    + AncestorsHandler
    + PutHandler
    + QueryHandler
    + ChitsHandler
    + InternalHandler
{
    /// Hears the app messages.
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync>;
}
