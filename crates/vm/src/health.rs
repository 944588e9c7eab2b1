//! How a part of the system says how it is.

use serde_json::Value;

/// The answer of a health check: details for people and tools, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Anything that can be JSON.
    pub details: Value,
    /// Each cause of ill health in one sentence; empty means healthy.
    pub causes: Vec<String>,
}

impl Health {
    /// Healthy, with details.
    pub const fn well(details: Value) -> Self {
        Self { details, causes: Vec::new() }
    }

    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.causes.is_empty()
    }
}

/// Something that can say how it is. Must not block for long.
pub trait HealthChecker {
    /// Checks now.
    fn health(&self) -> Health;
}
