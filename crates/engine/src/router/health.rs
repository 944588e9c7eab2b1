//! How the router is. Upstream: `snow/networking/router/health.go`.

use std::time::Duration;

use sastrugi_types::{Instant, time::duration_text};
use sastrugi_vm::Health;
use serde_json::json;

use super::Router;

impl Router {
    /// The age of the oldest outstanding request, zero if there is none.
    pub fn longest_running(&self, now: Instant) -> Duration {
        self.requests.oldest().map_or(Duration::ZERO, |oldest| now - oldest)
    }

    /// Unhealthy when too many requests are outstanding, or one for too long.
    pub fn health(&self, now: Instant) -> Health {
        let count = self.outstanding();
        let age = self.longest_running(now);
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
