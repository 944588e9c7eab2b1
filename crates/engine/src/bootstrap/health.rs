//! How the gear is, and why it gets no further.

use sastrugi_types::Instant;
use sastrugi_vm::Health;
use serde_json::json;

use super::{Bootstrapper, Hardest, Phase};

/// From so many failures on, a missing block is a cause of ill health.
const FAILURES_MIN: u32 = 3;
/// From so many rounds without a result on, they are.
const EMPTY_ROUNDS_MIN: u32 = 3;

impl Bootstrapper {
    pub(super) fn check_health(&self, now: Instant) -> Health {
        let progress = self.progress(now);
        let vm = self.config.vm.health();
        let mut causes: Vec<String> = self.obstacle(&progress.phase).into_iter().collect();
        causes.extend(vm.causes);
        let details = json!({
            "consensus": {},
            "vm": vm.details,
            "bootstrap": progress.to_json(),
        });
        Health { details, causes }
    }

    /// What keeps the gear from getting further.
    fn obstacle(&self, phase: &Phase) -> Option<String> {
        match phase {
            Phase::WaitingForBeacons { connected_weight, needed_weight } => Some(format!(
                "bootstrapping waits for beacons: weight {connected_weight} is connected, \
                 {needed_weight} is needed"
            )),
            _ if self.empty_rounds >= EMPTY_ROUNDS_MIN => Some(format!(
                "bootstrapping gets no further: the beacons agree on no accepted block, {} times",
                self.empty_rounds
            )),
            Phase::Fetching { hardest: Some(Hardest { block, failures }), .. }
                if *failures >= FAILURES_MIN =>
            {
                let peers = self.config.peers.len();
                Some(format!(
                    "bootstrapping gets no further: {failures} requests for block {block} failed, \
                     {peers} peers are connected"
                ))
            }
            _ => None,
        }
    }
}
