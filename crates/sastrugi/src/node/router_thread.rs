//! The thread that ends requests whose time is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use sastrugi_engine::router::SharedRouter;
use sastrugi_vm::Clock;

use crate::error::StartError;

/// Runs until it is stopped.
#[derive(Debug)]
pub(super) struct RouterThread {
    is_stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl RouterThread {
    /// Starts the thread. No request times out sooner than `shortest` after it was made, so the
    /// thread may sleep for half of that without looking.
    pub(super) fn spawn(
        router: SharedRouter,
        clock: Arc<dyn Clock>,
        shortest: Duration,
    ) -> Result<Self, StartError> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = is_stopping.clone();
        let sleep_max = shortest / 2;
        let run = move || {
            while !stop.load(Ordering::Acquire) {
                let now = clock.now();
                let next = {
                    let mut router = router.lock();
                    router.handle_timeout(now);
                    router.poll_timeout()
                };
                let sleep = next.map_or(sleep_max, |due| due.since(clock.now()));
                if !sleep.is_zero() {
                    thread::park_timeout(sleep.min(sleep_max));
                }
            }
        };
        let thread = thread::Builder::new()
            .name("router".into())
            .spawn(run)
            .map_err(|error| StartError::Other(format!("cannot start a thread: {error}")))?;
        Ok(Self { is_stopping, thread })
    }

    /// Stops the thread and waits for it.
    pub(super) fn stop(self) {
        self.is_stopping.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the router's thread panicked");
        }
    }
}
