//! Bootstrapping: fetching and executing the blocks accepted while the node was away.

pub mod eta;
pub mod interval;
