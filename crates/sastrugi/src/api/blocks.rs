//! `GET /ext/bc/<chain>`: what a chain is, for people and scripts.

use sastrugi_vm::http::{HttpRequest, HttpResponse};
use serde_json::json;

use super::json;
use crate::node::{CatchingUp, ChainEntry};

/// Answers a plain request for the chain itself; anything else belongs to the VM.
pub(super) fn serve(
    chain: &ChainEntry,
    extension: &str,
    request: &HttpRequest,
) -> Option<HttpResponse> {
    let has_own = chain.handlers.contains_key("");
    if request.method != "GET" || has_own || !matches!(extension, "" | "/") {
        return None;
    }
    let picture = chain.view.look();
    let extensions: Vec<&String> = chain.handlers.keys().collect();
    let figures = &picture.snowman;
    Some(json(
        200,
        &json!({
            "blockchainID": chain.id.to_string(),
            "name": chain.name,
            "subnetID": chain.subnet.to_string(),
            "vmID": chain.vm_id.to_string(),
            "state": picture.state.name(),
            "healthy": picture.health.is_healthy(),
            "lastAcceptedID": picture.last_accepted.0.to_string(),
            "lastAcceptedHeight": picture.last_accepted.1,
            "processingBlocks": figures.processing,
            "catchingUp": picture.catching_up.as_ref().map(CatchingUp::to_json),
            "handlers": extensions,
        }),
    ))
}
