//! What a VM tells its engine.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

/// A signal of the VM to the engine. Upstream: `snow/engine/common/message.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Transactions wait: the engine eventually calls `build_block` at least once after this.
    /// Several of these between two builds may be served by one build.
    PendingTxs,
    /// The VM finished the state summary it accepted.
    StateSyncDone,
    /// A number this version does not know: logged and ignored, never an error.
    Unknown(u32),
}

impl Message {
    /// The number used between processes.
    pub const fn number(self) -> u32 {
        match self {
            Self::PendingTxs => 1,
            Self::StateSyncDone => 2,
            Self::Unknown(number) => number,
        }
    }
}

impl From<u32> for Message {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::PendingTxs,
            2 => Self::StateSyncDone,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PendingTxs => f.write_str("Pending Transactions"),
            Self::StateSyncDone => f.write_str("State Sync Done"),
            Self::Unknown(number) => write!(f, "Unknown Message: {number}"),
        }
    }
}

/// The VM's way to tell the engine something: one slot for each kind of event.
///
/// The slots are levels, not edges: [`Events::set_pending_txs`] stays set for as long as
/// transactions wait, whatever the engine did meanwhile. The chain looks at the slots when it is
/// woken and again after each call that may have changed the VM's mind (a build, a new preference,
/// a new state). Setting never blocks and may happen on any thread.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Slots>>);

type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Slots {
    pending_txs: bool,
    state_sync_done: bool,
    written: bool,
    wake: Option<Wake>,
}

impl Events {
    /// Calls `wake` whenever a slot becomes set, on the thread that set it. It must not block and
    /// must not call back into this object.
    pub fn on_change(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.0.lock().wake = Some(Arc::new(wake));
    }

    /// Says whether transactions wait that a block could be built from now.
    pub fn set_pending_txs(&self, pending: bool) {
        let wake = {
            let mut slots = self.0.lock();
            let raised = pending && !slots.pending_txs;
            slots.pending_txs = pending;
            if raised { slots.wake.clone() } else { None }
        };
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Wakes the chain without changing a slot, so that it asks for [`crate::Vm::poll_timeout`]
    /// again: for a VM whose next timeout has moved while it handled a message or an HTTP call.
    pub fn wake(&self) {
        let wake = self.0.lock().wake.clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Says that the accepted state summary is complete.
    pub fn set_state_sync_done(&self) {
        let wake = {
            let mut slots = self.0.lock();
            slots.state_sync_done = true;
            slots.wake.clone()
        };
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Says that something was written to [`VmInit::db`](crate::VmInit) outside the calls after
    /// which the chain commits anyway. The chain commits between messages, soon after this, and
    /// before it hears of any other slot.
    ///
    /// Whoever writes so may be on any thread. Each step that must not be torn is one
    /// [`Batch`](crate::db::Batch): the chain may commit between any two.
    pub fn set_written(&self) {
        let wake = {
            let mut slots = self.0.lock();
            let raised = !std::mem::replace(&mut slots.written, true);
            if raised { slots.wake.clone() } else { None }
        };
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Whether something written waits to be committed.
    pub fn is_written(&self) -> bool {
        self.0.lock().written
    }

    /// Takes the signal that something was written. To be taken before the commit, so that a write
    /// during it is not lost.
    pub fn take_written(&self) -> bool {
        std::mem::take(&mut self.0.lock().written)
    }

    /// Whether transactions wait.
    pub fn pending_txs(&self) -> bool {
        self.0.lock().pending_txs
    }

    /// Whether the signal that state sync is done waits to be taken.
    pub fn is_state_sync_done(&self) -> bool {
        self.0.lock().state_sync_done
    }

    /// Takes the signal that state sync is done; it is given once.
    pub fn take_state_sync_done(&self) -> bool {
        std::mem::take(&mut self.0.lock().state_sync_done)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.0.lock();
        f.debug_struct("Events")
            .field("pending_txs", &slots.pending_txs)
            .field("state_sync_done", &slots.state_sync_done)
            .field("written", &slots.written)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_was_written_wakes_once_until_it_is_taken() {
        let events = Events::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        events.on_change(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert!(!events.take_written());
        events.set_written();
        events.set_written();
        assert!(events.is_written());
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(events.take_written());
        assert!(!events.is_written() && !events.take_written());
        events.set_written();
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }
}
