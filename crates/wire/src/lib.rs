//! The p2p protocol: messages, frames, handshake and peer as a machine without I/O.

pub mod message;
pub mod op;

pub use message::{Message, WireError};
pub use op::Op;
