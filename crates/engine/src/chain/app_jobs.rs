//! App messages, worked beside the chain.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use sastrugi_types::{
    Instant,
    message::{Gossip, Request, Response},
};
use sastrugi_vm::{AppError, AppHandler, Vm, VmError};

use super::{ChangeNotifier, Delivery, Inbox, Input, Lane, Permit, guard::guarded};
use crate::common::Fatal;

type SharedAppHandler = Arc<dyn AppHandler + Send + Sync>;

/// Hands out app messages as jobs. Clones share one queue.
///
/// The driver runs jobs on a few threads; a simulation runs them as events. They touch the VM
/// alone, which is shared.
///
/// * No job is given out before the chain started, nor after it was told to stop.
/// * Upon an error or a panic in a job: the chain stops.
/// * The gear is not shut down while a job is out. A job that is dropped without being run counts
///   as done.
///
/// Upstream: the async dispatcher of `snow/networking/handler/handler.go`.
#[derive(Clone)]
pub struct AppJobs(Arc<Shared>);

struct Shared {
    inbox: Arc<Inbox>,
    vm: Arc<ChangeNotifier>,
    handler: Mutex<Option<SharedAppHandler>>,
    /// Jobs that are out.
    running: AtomicUsize,
    /// When the chain will look at its VM again, in nanoseconds.
    next_look: AtomicU64,
}

impl AppJobs {
    pub(super) fn new(inbox: Arc<Inbox>, vm: Arc<ChangeNotifier>) -> Self {
        Self(Arc::new(Shared {
            inbox,
            vm,
            handler: Mutex::new(None),
            running: AtomicUsize::new(0),
            next_look: AtomicU64::new(u64::MAX),
        }))
    }

    /// The next message that has not expired. Run it, on any thread.
    pub fn next(&self, now: Instant) -> Option<AppJob> {
        let handler = self.0.handler.lock().clone()?;
        // Counted before it is taken: a stop empties the queue first and counts then.
        let running = Running::new(self.0.clone());
        let Delivery { input, permit } = self.0.inbox.pop(Lane::App, now)?;
        Some(AppJob { input, handler, running, permit })
    }

    /// Works a message on the chain's own thread.
    pub(super) fn run_here(&self, input: Input) {
        let handler = self.0.handler.lock().clone();
        if let Some(handler) = handler {
            let running = Running::new(self.0.clone());
            AppJob { input, handler, running, permit: Permit::NONE }.run();
        }
    }

    /// A gear took charge; it hears app messages from here on.
    pub(super) fn hand_to(&self, handler: SharedAppHandler) {
        *self.0.handler.lock() = Some(handler);
    }

    /// Whether no job is out.
    pub(super) fn are_done(&self) -> bool {
        self.0.running.load(Ordering::SeqCst) == 0
    }

    /// The chain will look at its VM again then.
    pub(super) fn publish_next_look(&self, at: Option<Instant>) {
        self.0.next_look.store(at.unwrap_or(Instant::MAX).0, Ordering::Release);
    }
}

impl fmt::Debug for AppJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.0.running.load(Ordering::SeqCst);
        f.debug_struct("AppJobs").field("running", &running).finish_non_exhaustive()
    }
}

/// Counts a job as long as it is out.
struct Running(Arc<Shared>);

impl Running {
    fn new(shared: Arc<Shared>) -> Self {
        shared.running.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let was_last = self.0.running.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.0.inbox.is_stopped() {
            self.0.inbox.wake();
        }
    }
}

/// One app message for the VM.
pub struct AppJob {
    input: Input,
    handler: SharedAppHandler,
    running: Running,
    permit: Permit,
}

impl AppJob {
    /// The message.
    pub const fn input(&self) -> &Input {
        &self.input
    }

    /// Lets the VM hear the message. What goes wrong stops the chain.
    pub fn run(self) {
        let Self { input, handler, running, permit } = self;
        let shared = &running.0;
        let label = input.label();
        let done = guarded(|| run(&*handler, input).map_err(Fatal::vm(label)));
        drop(permit);
        if let Err(fatal) = done {
            shared.inbox.stop(Err(fatal));
        }
        let next = guarded(|| Ok(shared.vm.poll_timeout())).unwrap_or_default();
        if next.is_some_and(|next| next.0 < shared.next_look.load(Ordering::Acquire)) {
            shared.inbox.wake();
        }
    }
}

fn run(handler: &dyn AppHandler, input: Input) -> Result<(), VmError> {
    match input {
        Input::Request { from, id, expires, request: Request::App { bytes } } => {
            handler.app_request(from, id, expires, bytes)
        }
        Input::Response { from, id, response: Response::App { bytes } } => {
            handler.app_response(from, id, bytes)
        }
        Input::Response { from, id, response: Response::AppError { code, message } } => {
            handler.app_request_failed(from, id, &AppError { code, message: message.into() })
        }
        Input::Failed { from, id, .. } => handler.app_request_failed(from, id, &AppError::TIMEOUT),
        Input::Gossip { from, gossip: Gossip::App { bytes } } => handler.app_gossip(from, bytes),
        other => {
            debug_assert_eq!(other.lane(), Lane::App, "{other:?} is no app message");
            Ok(())
        }
    }
}

impl fmt::Debug for AppJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppJob").field("input", &self.input).finish_non_exhaustive()
    }
}
