//! The stop flag of long work.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Something that can be told to stop, once and for good, from any thread.
pub trait Haltable: Send + Sync {
    /// Stops; repeating it changes nothing.
    #[doc(alias = "Halt")]
    fn halt(&self);
    /// Whether it was told to stop. Takes no lock.
    #[doc(alias = "Halted")]
    fn halted(&self) -> bool;
}

/// The flag behind [`Haltable`]: the only thing threads share with a gear. Clones are the same
/// flag. Upstream: `snow/engine/common/halter.go`.
#[derive(Clone, Debug, Default)]
pub struct Halter(Arc<AtomicBool>);

impl Haltable for Halter {
    fn halt(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn halted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
