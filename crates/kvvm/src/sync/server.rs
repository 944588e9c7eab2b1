//! Hands ranges of stored states to other nodes, beside the engine.
//!
//! One range is read at a time, for at most [`READ_TIME_MAX`], so that the threads for messages are
//! never all busy with ranges. A peer waits as long as its last range took before it is served
//! again. Whoever comes too soon hears [`BUSY`] and asks elsewhere or again.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Instant, NodeId, RequestId};
use sastrugi_vm::{AppError, AppSender, Clock, VmInit};

use super::message::{RANGE_BYTES_MAX, RANGE_ENTRIES_MAX, RangeAnswer, RangeRequest, entry_bytes};
use crate::{committed::Committed, intake::MALFORMED};

/// Answers a request about a state that is not, or no longer, there.
pub(super) const UNAVAILABLE: AppError =
    AppError { code: 2, message: Cow::Borrowed("the state is not available") };
/// Answers a request that comes while another is worked on, or too soon.
pub(super) const BUSY: AppError = AppError { code: 3, message: Cow::Borrowed("busy") };

/// The longest time spent on one range.
const READ_TIME_MAX: Duration = Duration::from_millis(50);
/// So many peers' turns are remembered; more than are usually connected.
const TURNS_MAX: usize = 1024;

/// See the module.
pub(crate) struct RangeServer {
    committed: Committed,
    clock: Arc<dyn Clock>,
    app_sender: Arc<dyn AppSender>,
    is_busy: AtomicBool,
    /// When a peer is served again.
    turns: Mutex<BTreeMap<NodeId, Instant>>,
}

impl RangeServer {
    pub(crate) fn new(init: &VmInit) -> Self {
        Self {
            committed: Committed::new(Arc::clone(&init.committed)),
            clock: Arc::clone(&init.clock),
            app_sender: Arc::clone(&init.app_sender),
            is_busy: AtomicBool::new(false),
            turns: Mutex::default(),
        }
    }

    /// Answers a request, always: silence would look like a failure of this node.
    pub(crate) fn answer(&self, node: NodeId, request: RequestId, bytes: Bytes) {
        let answer = match RangeRequest::decode(bytes) {
            Ok(asked) => self.serve(node, &asked),
            Err(error) => {
                tracing::debug!(%node, %error, "malformed request for a range");
                Err(MALFORMED)
            }
        };
        let sent = match answer {
            Ok(answer) => self.app_sender.send_app_response(node, request, answer.encode()),
            Err(error) => self.app_sender.send_app_error(node, request, &error),
        };
        if let Err(error) = sent {
            tracing::debug!(%node, %error, "failed to answer a request for a range");
        }
    }

    fn serve(&self, node: NodeId, asked: &RangeRequest) -> Result<RangeAnswer, AppError> {
        let begun = self.clock.now();
        if self.turns.lock().get(&node).is_some_and(|turn| *turn > begun) {
            return Err(BUSY);
        }
        let _slot = Slot::take(&self.is_busy).ok_or(BUSY)?;
        let bytes_max = RANGE_BYTES_MAX.min(asked.bytes_max as usize);
        let (mut size_bytes, mut entries) = (0, 0);
        let read = self.committed.proven_range(asked, |entry| {
            size_bytes += entry_bytes(entry);
            entries += 1;
            size_bytes <= bytes_max
                && entries <= RANGE_ENTRIES_MAX
                && self.clock.now().since(begun) < READ_TIME_MAX
        });
        self.note_turn(node, begun);
        match read {
            Ok(Some((range, covered))) => {
                Ok(RangeAnswer { range, is_whole: covered == asked.last })
            }
            Ok(None) => Err(UNAVAILABLE),
            Err(error) => {
                tracing::warn!(%error, "failed to read a range");
                Err(UNAVAILABLE)
            }
        }
    }

    fn note_turn(&self, node: NodeId, begun: Instant) {
        let now = self.clock.now();
        let mut turns = self.turns.lock();
        if turns.len() >= TURNS_MAX {
            turns.retain(|_, turn| *turn > now);
        }
        turns.insert(node, now + now.since(begun));
    }
}

/// The right to read a range.
struct Slot<'a>(&'a AtomicBool);

impl<'a> Slot<'a> {
    fn take(is_busy: &'a AtomicBool) -> Option<Self> {
        (!is_busy.swap(true, Ordering::AcqRel)).then_some(Self(is_busy))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
