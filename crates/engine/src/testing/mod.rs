//! Pieces to test and measure gears with: what a gear says is recorded, what it hears is scripted.
//!
//! Upstream keeps the like in `snow/engine/common/commonmock` and `snow/engine/enginetest`. Nothing
//! here is meant for a running node.

mod sender;
mod surroundings;
mod vm;

pub use sender::{RecordingSender, Sent};
pub use surroundings::{ManualClock, Script, Surroundings};
pub use vm::{TestSummaries, TestVm, test_block, test_summary};
