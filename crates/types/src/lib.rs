//! Identifiers, encodings, samplers and the abstract message set of the Avalanche protocol.
//!
//! Everything here is pure: no clock, no randomness of its own, no I/O.

pub mod average;
pub mod bag;
pub mod bits;
pub mod bloom;
pub mod cb58;
pub mod codec;
pub mod formatting;
pub mod hash;
pub mod id;
pub mod json;
pub mod message;
pub mod sampler;
pub mod time;
pub mod upgrade;
pub mod version;

pub use bag::Bag;
pub use hash::{IdBuildHasher, IdMap, IdSet, NodeMap, NodeSet};
pub use id::{Id, NodeId, ShortId};
pub use message::RequestId;
pub use time::{Instant, WallTime};
