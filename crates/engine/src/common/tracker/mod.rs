//! Who is connected, who validates, and what validators last accepted.
//!
//! Trackers are told by two sides: the validator set (as [`SetListener`]s) and the chain, which
//! says who is connected. They are shared between threads and never call out.
//! Upstream: `snow/engine/common/tracker`.

mod accepted;
mod peers;
mod startup;

pub use accepted::Accepted;
pub use peers::Peers;
pub use startup::Startup;

#[doc(inline)]
pub use crate::validators::SetListener;
