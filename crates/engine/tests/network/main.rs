//! Nodes in memory, each a router and a chain, on a network of messages under way: no threads, no
//! clock of its own, one seed.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod agreement;
mod catching_up;
mod node;
mod syncing;
mod world;
