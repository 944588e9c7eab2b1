//! The two queues in front of a chain, and the one thing of a chain that other threads hold.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use sastrugi_types::Instant;

use super::{Input, Lane};
use crate::common::{Haltable, Halter, Handled};

/// Bounds of an [`Inbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxLimits {
    /// Requests and gossip waiting in the sync queue.
    pub sync_requests_max: usize,
    /// Bytes in the sync queue above which requests are refused.
    pub sync_bytes_max: usize,
    /// Requests and gossip waiting in the app queue.
    pub app_requests_max: usize,
    /// Bytes in the app queue above which requests are refused.
    pub app_bytes_max: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            sync_requests_max: 1 << 16,
            sync_bytes_max: 64 << 20,
            app_requests_max: 1 << 16,
            app_bytes_max: 64 << 20,
        }
    }
}

/// Why an inbox did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full, and this could be refused.
    #[error("the queue is full")]
    Full,
    /// The chain stops.
    #[error("the chain stops")]
    Stopped,
}

/// What a message holds of its sender's share of the node, given back by dropping it.
#[derive(Default)]
pub struct Permit(Option<Box<dyn Any + Send>>);

impl Permit {
    /// A message that holds nothing.
    pub const NONE: Self = Self(None);

    /// Holds `share` until the message is done.
    pub fn new(share: impl Any + Send) -> Self {
        Self(Some(Box::new(share)))
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.0.is_some()).finish()
    }
}

/// What a queue hands out.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub input: Input,
    /// Held until the message was handled.
    pub permit: Permit,
}

/// What one queue has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxStats {
    /// Messages waiting now.
    pub waiting: usize,
    /// The memory they occupy, in bytes.
    pub waiting_bytes: usize,
    /// Requests and gossip among them.
    pub waiting_requests: usize,
    /// Requests and gossip refused because the queue was full.
    pub refused: u64,
    /// Requests that expired before they were handled.
    pub expired: u64,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

struct Queue {
    entries: VecDeque<Delivery>,
    requests_max: usize,
    bytes_max: usize,
    is_closed: bool,
    wake: Option<Wake>,
    stats: InboxStats,
}

impl Queue {
    const fn new(requests_max: usize, bytes_max: usize) -> Self {
        let stats = InboxStats {
            waiting: 0,
            waiting_bytes: 0,
            waiting_requests: 0,
            refused: 0,
            expired: 0,
        };
        let entries = VecDeque::new();
        Self { entries, requests_max, bytes_max, is_closed: false, wake: None, stats }
    }

    /// Counts an input in, unless it is refused.
    fn admit(&mut self, input: &Input) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Stopped);
        }
        let bytes = self.stats.waiting_bytes + input.size_bytes();
        if input.is_refusable() {
            if self.stats.waiting_requests >= self.requests_max || bytes > self.bytes_max {
                self.stats.refused += 1;
                return Err(Refused::Full);
            }
            self.stats.waiting_requests += 1;
        }
        self.stats.waiting_bytes = bytes;
        self.stats.waiting += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.entries.pop_front()?;
        self.stats.waiting -= 1;
        self.stats.waiting_bytes -= delivery.input.size_bytes();
        self.stats.waiting_requests -= usize::from(delivery.input.is_refusable());
        Some(delivery)
    }

    fn close(&mut self) -> VecDeque<Delivery> {
        self.is_closed = true;
        self.stats.waiting = 0;
        self.stats.waiting_bytes = 0;
        self.stats.waiting_requests = 0;
        std::mem::take(&mut self.entries)
    }
}

/// The two queues in front of a chain. Shared by the router, the senders, the chain and whoever
/// stops it.
///
/// * Pushing never blocks. The queues are leaves of the lock order: nothing is called while one is
///   locked.
/// * A queue has a bound on what it holds, in bytes, and on the number of requests and gossip in
///   it. Upon a request or gossip beyond a bound: it is refused and counted. Responses, failures
///   and what the node itself says are always taken; their number is bounded by that of the
///   chain's own requests and of its peers.
/// * Upon popping: what expired meanwhile (`now > expires`) is counted and dropped.
/// * Upon [`Inbox::stop`]: both queues drop what they hold and take nothing any more, the halter is
///   halted, and the chain ends when its owner next looks. The first reason counts.
/// * What a message holds of its sender's share of the node, its [`Permit`], is given back when
///   the message was handled, refused, expired or dropped, whichever happens.
///
/// A queue is first in, first out. The queue that is fair to peers by their use of the processor
/// takes its seat in `Queue::pop`. Upstream: `snow/networking/handler/message_queue.go`.
pub struct Inbox {
    sync: Mutex<Queue>,
    app: Mutex<Queue>,
    halter: Halter,
    stop: Mutex<Stop>,
    is_stopped: AtomicBool,
}

/// Why the chain stops, until its owner takes it.
#[derive(Default)]
enum Stop {
    #[default]
    No,
    Asked(Handled),
    Taken,
}

impl Inbox {
    /// Empty queues of a chain whose long work watches `halter`.
    pub fn new(limits: InboxLimits, halter: Halter) -> Self {
        Self {
            sync: Mutex::new(Queue::new(limits.sync_requests_max, limits.sync_bytes_max)),
            app: Mutex::new(Queue::new(limits.app_requests_max, limits.app_bytes_max)),
            halter,
            stop: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Appends to the queue the input belongs to.
    pub fn push(&self, input: Input, permit: Permit) -> Result<(), Refused> {
        let lane = input.lane();
        let wake = {
            let mut queue = self.queue(lane).lock();
            queue.admit(&input)?;
            let wakes = queue.entries.is_empty() || lane == Lane::App;
            queue.entries.push_back(Delivery { input, permit });
            if wakes { queue.wake.clone() } else { None }
        };
        if let Some(wake) = wake {
            wake();
        }
        Ok(())
    }

    /// Takes the next message that has not expired.
    pub fn pop(&self, lane: Lane, now: Instant) -> Option<Delivery> {
        loop {
            let delivery = {
                let mut queue = self.queue(lane).lock();
                let delivery = queue.pop()?;
                if delivery.input.expires().is_none_or(|expires| now <= expires) {
                    return Some(delivery);
                }
                queue.stats.expired += 1;
                delivery
            };
            drop(delivery);
        }
    }

    /// Calls `wake` on the pushing thread when somebody who waits must look again: for the sync
    /// queue when it was empty, for the app queue at each message; for both upon a stop; for the
    /// sync queue also upon [`Inbox::wake`]. It must not block, and may come without reason.
    pub fn on_wake(&self, lane: Lane, wake: impl Fn() + Send + Sync + 'static) {
        self.queue(lane).lock().wake = Some(Arc::new(wake));
    }

    /// Wakes the thread that owns the chain: something beside the queue changed.
    pub fn wake(&self) {
        self.wake_lane(Lane::Sync);
    }

    /// Stops the chain; `Err` says what broke. Repeating it changes nothing. Never blocks, and may
    /// come before the chain starts. Upstream: `Stop` and `StopWithError` of the handler.
    pub fn stop(&self, why: Handled) {
        {
            let mut stop = self.stop.lock();
            if !matches!(*stop, Stop::No) {
                return;
            }
            *stop = Stop::Asked(why);
            self.is_stopped.store(true, Ordering::Release);
        }
        self.halter.halt();
        for lane in [Lane::Sync, Lane::App] {
            let dropped = self.queue(lane).lock().close();
            drop(dropped);
            self.wake_lane(lane);
        }
    }

    /// Whether the chain was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// What long work watches.
    pub const fn halter(&self) -> &Halter {
        &self.halter
    }

    /// Whether nothing waits in the queue.
    pub fn is_empty(&self, lane: Lane) -> bool {
        self.queue(lane).lock().entries.is_empty()
    }

    /// What the queue has counted.
    pub fn stats(&self, lane: Lane) -> InboxStats {
        self.queue(lane).lock().stats
    }

    /// The reason to stop, given once.
    pub(super) fn take_stop(&self) -> Option<Handled> {
        let mut stop = self.stop.lock();
        if !matches!(*stop, Stop::Asked(_)) {
            return None;
        }
        match std::mem::replace(&mut *stop, Stop::Taken) {
            Stop::Asked(why) => Some(why),
            Stop::No | Stop::Taken => None,
        }
    }

    fn wake_lane(&self, lane: Lane) {
        let wake = self.queue(lane).lock().wake.clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    const fn queue(&self, lane: Lane) -> &Mutex<Queue> {
        match lane {
            Lane::Sync => &self.sync,
            Lane::App => &self.app,
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("sync", &self.stats(Lane::Sync))
            .field("app", &self.stats(Lane::App))
            .field("is_stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
