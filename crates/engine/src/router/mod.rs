//! The router.

mod adaptive_timeout;

pub use adaptive_timeout::{AdaptiveTimeout, AdaptiveTimeoutConfig, Ticket, TimeoutConfigError};
