//! The p2p protocol: messages, frames, handshake and peer as a machine without I/O.

pub mod compress;
pub mod frame;
pub mod generated;
pub mod handshake;
pub mod message;
pub mod op;
pub mod peer;
pub mod signed_ip;
pub mod throttle;

pub use compress::{Compression, Compressor};
pub use message::{Codec, Decoded, Encoded, Message, WireError};
pub use op::Op;
pub use peer::Peer;
