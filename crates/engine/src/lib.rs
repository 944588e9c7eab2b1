//! The engine interfaces of Snow consensus, the gears that implement them, and the two machines a
//! node runs: [`chain::Chain`], one per blockchain, and [`router::Router`], one per node.
//!
//! Begin with [`common`]: it holds every name of AvalancheGo's package `snow/engine/common`.

pub mod bootstrap;
pub mod chain;
pub mod common;
pub mod getter;
pub mod peer_tracker;
pub mod router;
pub mod snowman;
pub mod subnet;
pub mod syncer;
pub mod testing;
pub mod validators;
