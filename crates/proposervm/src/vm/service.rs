//! The JSON-RPC service `proposervm` at [`PATH`], about the next block on the preferred one.
//!
//! | method | result |
//! |---|---|
//! | `proposervm.getProposedHeight` | `{"height"}`: the P-Chain height it would refer to |
//! | `proposervm.getCurrentEpoch` | `{"number", "startTime", "pChainHeight"}`: its epoch |
//!
//! All numbers are strings. Upstream: `vms/proposervm/service.go`. Deviation: its gRPC twin is not
//! served.

use std::sync::Arc;

use sastrugi_vm::{
    ChainContext, Clock,
    http::{HttpHandler, HttpRequest, HttpResponse},
    json_rpc,
};
use serde_json::{Value, json};

use super::{
    Running,
    build::{child_p_chain_height, time_of_child},
    gate::Gate,
};
use crate::verify::Parent;

/// The service's path below the chain's.
pub(super) const PATH: &str = "/proposervm";

/// Serves the methods.
pub(super) struct Service {
    gate: Arc<Gate>,
    context: ChainContext,
    clock: Arc<dyn Clock>,
}

impl Service {
    pub(super) fn new(running: &Running) -> Self {
        Self {
            gate: running.gate.clone(),
            context: running.context.clone(),
            clock: running.clock.clone(),
        }
    }

    fn call(&self, method: &str) -> Result<Value, String> {
        match method {
            "proposervm.getProposedHeight" => self.proposed_height(),
            "proposervm.getCurrentEpoch" => self.current_epoch(),
            _ => Err(format!("rpc: can't find method \"{method}\"")),
        }
    }

    fn proposed_height(&self) -> Result<Value, String> {
        let height = child_p_chain_height(&self.context, &self.preferred()?, self.clock.wall())
            .map_err(|error| format!("failed to get child p-chain height: {error}"))?;
        Ok(json!({ "height": height.to_string() }))
    }

    fn current_epoch(&self) -> Result<Value, String> {
        let parent = self.preferred()?;
        let time = time_of_child(&parent, self.clock.wall());
        let epoch = parent.child_epoch(&self.context.upgrades, time);
        Ok(json!({
            "number": epoch.number.to_string(),
            // As upstream, an unsigned number.
            "startTime": epoch.start_secs.cast_unsigned().to_string(),
            "pChainHeight": epoch.p_chain_height.to_string(),
        }))
    }

    fn preferred(&self) -> Result<Parent, String> {
        let preferred = self.gate.plan().preferred;
        preferred
            .map(|(_, parent)| parent)
            .ok_or_else(|| "failed to get preferred block: not found".to_owned())
    }
}

impl HttpHandler for Service {
    fn serve(&self, request: HttpRequest) -> HttpResponse {
        json_rpc::serve(&request, |method, _params| self.call(method))
    }
}
