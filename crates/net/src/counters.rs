//! What is counted, from any thread.

use std::{
    array,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_types::{Instant, average::Averager};
use sastrugi_wire::{Encoded, Op, peer::Fact};

use crate::{
    admission::Waits,
    stats::{OpStats, Sum},
    upgrade::UpgradeError,
};

/// Half-life of the rate of sends that fail.
const SEND_FAIL_HALF_LIFE: Duration = Duration::from_secs(10);

/// Plain counters, and what they count is in [`Stats`](crate::Stats).
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) times_connected: AtomicU64,
    pub(crate) times_disconnected: AtomicU64,
    pub(crate) accept_failed: AtomicU64,
    pub(crate) tls_conn_rejected: AtomicU64,
    pub(crate) inbound_allowed: AtomicU64,
    pub(crate) inbound_rate_limited: AtomicU64,
    pub(crate) failed_to_parse: AtomicU64,
    pub(crate) outbound_acquired: AtomicU64,
    pub(crate) outbound_refused: AtomicU64,
    pub(crate) admission: Waits,
    pub(crate) sums: Mutex<Sums>,
    send_fail_rate: Mutex<Averager>,
    last_sent: AtomicU64,
    last_received: AtomicU64,
    by_op: [OpCounters; Op::ALL.len()],
}

/// Sums of what is rarely seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) round_trip_millis: Sum,
    pub(crate) clock_skew_secs: Sum,
}

#[derive(Debug, Default)]
struct OpCounters {
    sent: Direction,
    received: Direction,
    failed_to_send: AtomicU64,
}

#[derive(Debug, Default)]
struct Direction {
    plain: AtomicU64,
    compressed: AtomicU64,
    bytes: AtomicU64,
    bytes_saved: AtomicI64,
}

impl Direction {
    fn count(&self, bytes: usize, bytes_saved: i64) {
        let messages = if bytes_saved == 0 { &self.plain } else { &self.compressed };
        messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.bytes_saved.fetch_add(bytes_saved, Relaxed);
    }
}

impl Counters {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            times_connected: AtomicU64::default(),
            times_disconnected: AtomicU64::default(),
            accept_failed: AtomicU64::default(),
            tls_conn_rejected: AtomicU64::default(),
            inbound_allowed: AtomicU64::default(),
            inbound_rate_limited: AtomicU64::default(),
            failed_to_parse: AtomicU64::default(),
            outbound_acquired: AtomicU64::default(),
            outbound_refused: AtomicU64::default(),
            admission: Waits::default(),
            sums: Mutex::default(),
            send_fail_rate: Mutex::new(Averager::new(0.0, SEND_FAIL_HALF_LIFE, now)),
            last_sent: AtomicU64::default(),
            last_received: AtomicU64::default(),
            by_op: array::from_fn(|_| OpCounters::default()),
        }
    }

    /// A message is about to be written.
    pub(crate) fn sent(&self, message: &Encoded, now: Instant) {
        self.last_sent.store(now.0.max(1), Relaxed);
        self.of(message.op).sent.count(message.bytes.len(), message.bytes_saved);
    }

    /// A message was queued for a node, or refused.
    pub(crate) fn queued(&self, op: Op, is_queued: bool, now: Instant) {
        let (counter, failed) = if is_queued {
            (&self.outbound_acquired, 0.0)
        } else {
            self.failed_to_send(op, 1);
            (&self.outbound_refused, 1.0)
        };
        counter.fetch_add(1, Relaxed);
        self.send_fail_rate.lock().observe(failed, now);
    }

    /// A message was not queued, since so many nodes are not connected.
    pub(crate) fn failed_to_send(&self, op: Op, nodes: usize) {
        self.of(op).failed_to_send.fetch_add(nodes as u64, Relaxed);
    }

    /// A connection came to nothing.
    pub(crate) fn count_refusal(&self, error: &UpgradeError) {
        if matches!(error, UpgradeError::Tls(_) | UpgradeError::Certificate(_)) {
            self.tls_conn_rejected.fetch_add(1, Relaxed);
        }
    }

    /// Something happened on a connection.
    pub(crate) fn observe(&self, fact: &Fact, now: Instant) {
        match fact {
            Fact::Received { op, bytes, bytes_saved } => {
                self.last_received.store(now.0.max(1), Relaxed);
                self.of(*op).received.count(*bytes, *bytes_saved);
            }
            Fact::Unparsable(_) => {
                self.failed_to_parse.fetch_add(1, Relaxed);
            }
            Fact::SendFailed { op, .. } => self.failed_to_send(*op, 1),
            Fact::RoundTrip(span) => {
                self.sums.lock().round_trip_millis.add(span.as_millis() as f64);
            }
            Fact::ClockSkew(secs) => self.sums.lock().clock_skew_secs.add(*secs),
            Fact::Dropped { .. }
            | Fact::NewerVersion(_)
            | Fact::NothingToTell
            | Fact::UptimeUnknown
            | Fact::Closing(_) => {}
        }
    }

    /// The part of the sends that failed lately.
    pub(crate) fn send_fail_rate(&self) -> f64 {
        self.send_fail_rate.lock().read()
    }

    /// Time since a message was last written.
    pub(crate) fn since_sent(&self, now: Instant) -> Option<Duration> {
        since(&self.last_sent, now)
    }

    /// Time since a message was last understood.
    pub(crate) fn since_received(&self, now: Instant) -> Option<Duration> {
        since(&self.last_received, now)
    }

    /// The counters of each operation that has any.
    pub(crate) fn by_op(&self) -> Vec<OpStats> {
        let all = Op::ALL.into_iter().zip(&self.by_op);
        let stats = all.map(|(op, OpCounters { sent, received, failed_to_send })| OpStats {
            op,
            sent: sent.plain.load(Relaxed),
            sent_compressed: sent.compressed.load(Relaxed),
            sent_bytes: sent.bytes.load(Relaxed),
            sent_bytes_saved: sent.bytes_saved.load(Relaxed),
            received: received.plain.load(Relaxed),
            received_compressed: received.compressed.load(Relaxed),
            received_bytes: received.bytes.load(Relaxed),
            received_bytes_saved: received.bytes_saved.load(Relaxed),
            failed_to_send: failed_to_send.load(Relaxed),
        });
        stats.filter(|stats| !stats.is_empty()).collect()
    }

    fn of(&self, op: Op) -> &OpCounters {
        &self.by_op[Op::ALL.binary_search(&op).unwrap_or_default()]
    }
}

/// Zero stands for never.
fn since(at: &AtomicU64, now: Instant) -> Option<Duration> {
    match at.load(Relaxed) {
        0 => None,
        nanos => Some(now - Instant(nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_its_own_counters() {
        let counters = Counters::new(Instant::ZERO);
        for op in Op::ALL {
            counters.failed_to_send(op, op as usize + 1);
        }
        let counted: Vec<_> =
            counters.by_op().iter().map(|it| (it.op, it.failed_to_send)).collect();
        let expected: Vec<_> = Op::ALL.iter().map(|op| (*op, *op as u64 + 1)).collect();
        assert_eq!(counted, expected);
    }
}
