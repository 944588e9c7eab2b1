//! How the router is. Upstream: `snow/networking/router/health.go`.

use sastrugi_types::{Instant, time::duration_text};
use sastrugi_vm::Health;
use serde_json::json;

use super::Router;

impl Router {
    /// Unhealthy when too many requests are outstanding, or one for too long.
    pub fn health(&self, now: Instant) -> Health {
        let count = self.outstanding();
        let age = self.requests.oldest().map_or_else(Default::default, |oldest| now - oldest);
        let mut causes = Vec::new();
        if count > self.config.healthy_outstanding_max {
            let max = self.config.healthy_outstanding_max;
            causes.push(format!("number of outstanding requests {count} > {max}"));
        }
        if age > self.config.healthy_age_max {
            let (age, max) = (duration_text(age), duration_text(self.config.healthy_age_max));
            causes.push(format!("duration of longest request {age} > {max}"));
        }
        let details =
            json!({"outstandingRequests": count, "longestRunningRequest": duration_text(age)});
        Health { details, causes }
    }
}
