//! Identifiers, encodings, samplers and the abstract message set of the Avalanche protocol.
//!
//! Everything here is pure: no clock, no randomness of its own, no I/O.

pub mod id;
pub mod message;
pub mod time;
pub mod version;

pub use id::{Id, NodeId, ShortId};
pub use message::RequestId;
pub use time::{Instant, WallTime};
