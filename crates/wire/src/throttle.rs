//! What keeps a peer from taking more than its share. Upstream: `network/throttling`.

pub mod outbound;

pub use outbound::{Account, OutboundLimits, OutboundThrottler, Stake, Stakes};
