//! The p2p protocol: messages, frames, handshake and peer as a machine without I/O.
