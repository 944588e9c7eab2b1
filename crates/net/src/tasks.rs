//! How many tasks of the network are still running.

use std::{sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};

/// Counts tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: Mutex<usize>,
    none: Condvar,
}

/// One running task. Dropping it ends the counting, also when the task is aborted.
#[derive(Debug)]
pub(crate) struct Running(Arc<Count>);

impl Tasks {
    pub(crate) fn enter(&self) -> Running {
        *self.0.running.lock() += 1;
        Running(Arc::clone(&self.0))
    }

    /// Blocks until no task runs. Says false when that takes longer than `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let mut running = self.0.running.lock();
        !self.0.none.wait_while_for(&mut running, |running| *running > 0, limit).timed_out()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.0.running.lock();
        *running -= 1;
        if *running == 0 {
            self.0.none.notify_all();
        }
    }
}
