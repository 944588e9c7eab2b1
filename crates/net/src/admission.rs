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

use std::sync::Arc;

use sastrugi_types::Instant;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::{bucket::Bucket, clock::Clock, config::InboundLimits};

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
    pub(crate) async fn admit(&self, length: usize, clock: Clock) -> Permit {
        let message = acquire(&self.messages, 1).await;
        let wait = self.bandwidth.take(length, clock.instant());
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let bytes = acquire(&self.bytes, length as u32).await;
        Permit { _message: message, _bytes: bytes }
    }
}

/// Nobody closes the semaphores, so there is always a permit.
async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_many_owned(permits).await.ok()
}
