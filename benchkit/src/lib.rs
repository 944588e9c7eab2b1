//! Runs the benchmark workloads that AvalancheGo and Sastrugi share, and prints one JSON line for
//! each.
//!
//! A benchmark target is a `main` that makes a [`Suite`] and runs its workloads:
//!
//! ```ignore
//! fn main() {
//!     let mut suite = Suite::from_args();
//!     suite.run("B0-nothing", "ns/op", 9, |meter| {
//!         meter.start();
//!         meter.stop();
//!         Outcome::new(1, 0)
//!     });
//! }
//! ```
//!
//! Arguments: any words select the workloads whose id contains one of them; `--exact` asks for
//! equal ids; `--short` makes one repetition; `--reps n` so many; `--criterion` measures with
//! criterion instead, which keeps reports and compares with its last run. Without the `--bench`
//! that `cargo bench` passes (so under `cargo test`) the mode is short.
//!
//! All heap allocations of such a program are counted: this package brings its global allocator.

mod allocator;
mod clock;
mod figures;
mod rng;
mod suite;

pub use allocator::CountingAllocator;
pub use figures::Figures;
pub use rng::SplitMix64;
pub use suite::{Meter, Outcome, Suite, be8};
