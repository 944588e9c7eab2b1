//! Connections to other nodes: TLS identity, dialling, listening, and the driver of the peer
//! machines of [`sastrugi_wire::peer`].
//!
//! [`Network::start`] listens; [`Network::track`] names nodes to dial. What peers say goes to an
//! [`Inbox`], who validates is asked of a [`Membership`], and [`Network::send`] and
//! [`Network::gossip`] queue messages and say at once for whom. All I/O runs on tasks of a tokio
//! runtime that the caller brings; several networks of one process may share it.
//!
//! ```text
//!   listen ──> upgrade ──┐                       ┌─ reader ──> peer machine ──> Inbox
//!                        ├─> registry, connection │                 │
//!   dial ────> upgrade ──┘                       └─ writer <── outbox <── send, gossip
//! ```
//!
//! The first connection with a node stays, and a later one is closed. When two nodes dial each
//! other at the same moment each may close the other's connection; then one of them dials again at
//! once.
//!
//! No address is learned from peers, and none is told: peers are those that the caller names and
//! those that come.

mod admission;
mod bucket;
mod caller;
mod clock;
mod config;
mod connection;
mod counters;
mod dial;
mod health;
mod listen;
mod network;
mod registry;
mod sample;
mod shared;
mod stats;
mod surroundings;
mod tasks;
mod tls;
mod upgrade;

pub use admission::Permit;
pub use caller::{Inbox, Membership};
pub use config::{AcceptConfig, DialConfig, InboundLimits, NetworkConfig};
pub use health::{Health, HealthFault, HealthLimits};
pub use network::{ConnectedPeer, Network, NetworkParts, StartError};
pub use sample::Recipients;
pub use stats::{NodeUptime, OpStats, Stats, Sum, ThrottleStats};
pub use tls::Tls;

#[cfg(test)]
mod tests;
