//! A chain.

mod inbox;
mod input;

pub use inbox::{Delivery, Inbox, InboxLimits, InboxStats, Permit, Refused};
pub use input::{Input, Lane};
