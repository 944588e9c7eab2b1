//! How much one peer may make the node work on.
//!
//! Asked between the length and the body of each frame, in this order: messages that are not done
//! with, bytes per second, bytes that are not done with. While it makes the reader wait nothing is
//! read from that peer, and its read deadline does not run.
//!
//! Deviation: upstream divides all bytes among the nodes by stake, and also looks at processor and
//! disk. Here each peer has its own part, whatever its stake.
//!
//! Upstream: `network/throttling/inbound_msg_throttler.go`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use sastrugi_types::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    bucket::{Bucket, pause},
    clock::Clock,
    config::InboundLimits,
    stats::{Sum, ThrottleStats},
};

/// What a message holds of its sender's part. Dropping it gives that back: to be done when the
/// message was handled, or was dropped on the way.
#[derive(Debug, Default)]
pub struct Permit {
    _message: Option<OwnedSemaphorePermit>,
    _bytes: Option<OwnedSemaphorePermit>,
}

/// The part of one connection.
#[derive(Debug)]
pub(crate) struct Admission {
    messages: Arc<Semaphore>,
    bandwidth: Bucket,
    bytes: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(limits: InboundLimits, now: Instant) -> Self {
        let limits = limits.raised();
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(u32::MAX as usize)));
        Self {
            messages: semaphore(limits.messages_max),
            bandwidth: Bucket::new(limits.bytes_per_second, limits.burst_bytes, now),
            bytes: semaphore(limits.bytes_max),
        }
    }

    /// Waits until a body of `length` bytes may be read.
    pub(crate) async fn admit(&self, length: usize, clock: Clock, waits: &Waits) -> Permit {
        let message = waits.messages.time(clock, acquire(&self.messages, 1)).await;
        let wait = self.bandwidth.take(length, clock.instant());
        waits.bandwidth.time(clock, pause(wait)).await;
        let bytes = waits.bytes.time(clock, acquire(&self.bytes, length as u32)).await;
        Permit { _message: message, _bytes: bytes }
    }
}

/// Nobody closes the semaphores, so there is always a permit.
async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_many_owned(permits).await.ok()
}

/// How long all readers together waited.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    pub(crate) messages: Wait,
    pub(crate) bandwidth: Wait,
    pub(crate) bytes: Wait,
}

/// One cause of waiting.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    waits: AtomicU64,
    nanos: AtomicU64,
    waiting: AtomicU64,
}

impl Wait {
    async fn time<T>(&self, clock: Clock, awaited: impl Future<Output = T>) -> T {
        let start = clock.instant();
        let waiting = Waiting::begin(&self.waiting);
        let output = awaited.await;
        drop(waiting);
        self.waits.fetch_add(1, Relaxed);
        self.nanos.fetch_add((clock.instant() - start).as_nanos() as u64, Relaxed);
        output
    }

    pub(crate) fn stats(&self) -> ThrottleStats {
        ThrottleStats {
            acquire_latency_nanos: Sum {
                count: self.waits.load(Relaxed),
                sum: self.nanos.load(Relaxed) as f64,
            },
            awaiting_acquire: self.waiting.load(Relaxed),
        }
    }
}

/// Counts who waits, also when the waiting is given up.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
