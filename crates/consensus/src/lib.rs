//! Snow consensus: the snowball family, the Snowman block tree and polls.
//!
//! [`snowball`] decides among IDs; [`snowman`] decides a chain of blocks with one snowball tree per
//! block; [`bootstrap`] finds what the network has decided already. Nothing here
//! knows bytes, a VM, a network or a clock: polls come in as bags of votes, decisions go out, time
//! is an argument.

pub mod bootstrap;
mod slab;
pub mod snowball;
pub mod snowman;
