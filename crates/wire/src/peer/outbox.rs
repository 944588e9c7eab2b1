//! What waits to be sent to one peer.
//!
//! * Upon a push: if the connection is open and the throttler has room for the bytes, the message
//!   is queued behind all others, else it is refused, and nothing is kept.
//! * Upon a pop: the oldest message leaves, and its bytes go back to the throttler.
//! * Upon closing: all that waits is abandoned and released; each later push is refused.
//!
//! Invariants: first in, first out. Each accepted message leaves once, by a pop or by closing. A
//! lock is only held inside a call, and no other code is called under it, so that any thread may
//! push at any time: in the order of locks the outbox comes last, with the throttler behind it.
//!
//! Upstream: `network/peer/message_queue.go`. There the queue has no bound but the throttler;
//! here also [`FRAMES_MAX`], since small messages cost more memory than their bytes.

use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;
use sastrugi_types::NodeId;

use super::Refusal;
use crate::{
    Encoded, Op,
    frame::MESSAGE_BYTES_MAX,
    throttle::{Account, OutboundThrottler, Stakes},
};

/// Most messages that may wait for one peer.
pub const FRAMES_MAX: usize = 1 << 16;

/// The sending side of a connection. Clones are the same outbox.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    node: NodeId,
    stakes: Arc<dyn Stakes>,
    throttler: Arc<Mutex<OutboundThrottler>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    is_closed: bool,
    account: Account,
    waiting: VecDeque<Encoded>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl Outbox {
    /// An open and empty outbox for `node`, over the throttler that all peers share.
    pub fn new(
        node: NodeId,
        throttler: Arc<Mutex<OutboundThrottler>>,
        stakes: Arc<dyn Stakes>,
    ) -> Self {
        Self(Arc::new(Shared { node, stakes, throttler, queue: Mutex::default() }))
    }

    /// Queues a message, unless it cannot be sent. After a push that was accepted the driver
    /// wakes whoever writes to the connection.
    pub fn push(&self, message: Encoded) -> Result<(), Refusal> {
        if message.bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let stake = self.0.stakes.stake(self.0.node);
        let queue = &mut *self.0.queue.lock();
        if queue.is_closed {
            return Err(Refusal::Closed);
        }
        if queue.waiting.len() >= FRAMES_MAX {
            return Err(Refusal::Throttled);
        }
        let bytes = message.bytes.len() as u64;
        if !message.bypass_throttling
            && !self.0.throttler.lock().acquire(&mut queue.account, bytes, stake)
        {
            return Err(Refusal::Throttled);
        }
        queue.waiting.push_back(message);
        Ok(())
    }

    /// Takes the oldest message.
    pub(super) fn pop(&self) -> Option<Encoded> {
        let queue = &mut *self.0.queue.lock();
        let message = queue.waiting.pop_front()?;
        self.release(&mut queue.account, &message);
        Some(message)
    }

    /// Refuses all that comes from now on. Gives what was waiting, oldest first.
    pub(super) fn close(&self) -> Vec<Op> {
        let queue = &mut *self.0.queue.lock();
        queue.is_closed = true;
        let waiting = std::mem::take(&mut queue.waiting);
        for message in &waiting {
            self.release(&mut queue.account, message);
        }
        waiting.into_iter().map(|message| message.op).collect()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.queue.lock().waiting.is_empty()
    }

    /// Whether the connection is closed.
    pub fn is_closed(&self) -> bool {
        self.0.queue.lock().is_closed
    }

    /// The peer it belongs to.
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    fn release(&self, account: &mut Account, message: &Encoded) {
        if !message.bypass_throttling {
            self.0.throttler.lock().release(account, message.bytes.len() as u64);
        }
    }
}
