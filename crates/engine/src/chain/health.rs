//! How a chain is. Upstream: `snow/networking/handler/health.go`.

use std::collections::BTreeSet;

use sastrugi_types::{Instant, NodeId, WallTime};
use sastrugi_vm::Health;
use serde_json::json;

use super::{Chain, guard::guarded};

/// Beyond what is needed to make progress, so much of the weight should be connected.
const CONNECTED_BUFFER: f64 = 0.2;

/// The least part of the weight that must be connected for a chain to be healthy: what a successful
/// poll needs (`alpha_confidence` of `k`) and a fifth of the rest. Upstream:
/// `Parameters.MinPercentConnectedHealthy`.
pub fn connected_fraction_min(alpha_confidence: u32, k: u32) -> f64 {
    let needed = f64::from(alpha_confidence) / f64::from(k.max(1));
    needed * (1.0 - CONNECTED_BUFFER) + CONNECTED_BUFFER
}

impl Chain {
    /// How the gear, its VM and the chain's connections are. Answers after the chain stopped, too.
    pub fn health(&mut self, now: Instant, wall: WallTime) -> Health {
        let gear = self.gears.get_mut(self.gear);
        let engine = guarded(|| Ok(gear.health(now, wall))).unwrap_or_else(|panic| Health {
            causes: vec![panic.to_string()],
            ..Health::default()
        });
        let networking = self.networking_health();
        let mut causes: Vec<String> =
            engine.causes.into_iter().map(|cause| format!("engine: {cause}")).collect();
        causes.extend(networking.causes.into_iter().map(|cause| format!("networking: {cause}")));
        if let Some(Err(fatal)) = self.outcome() {
            causes.push(format!("the chain stopped: {fatal}"));
        }
        let details = json!({"engine": engine.details, "networking": networking.details});
        Health { details, causes }
    }

    fn networking_health(&self) -> Health {
        let fraction = self.peers.connected_fraction();
        let connected = self.peers.connected_validators();
        let disconnected: BTreeSet<NodeId> =
            self.peers.validators().difference(&connected).copied().collect();
        let names: Vec<String> = disconnected.iter().map(NodeId::to_string).collect();
        let details = json!({"percentConnected": fraction, "disconnectedValidators": names});
        let min = self.config.connected_fraction_min;
        let causes = min.filter(|min| fraction < *min).map(|min| {
            let (is, needed) = (fraction * 100.0, min * 100.0);
            format!("connected to {is:.2}% of the network stake, {needed:.2}% are required")
        });
        Health { details, causes: causes.into_iter().collect() }
    }
}
