//! How fast a jump goes, for people.

use std::time::Duration;

use sastrugi_types::Instant;
use sastrugi_vm::Health;
use serde_json::json;

use super::{
    Run, STUCK_AFTER,
    peers::{Failure, PeerCounts},
};

/// Counts what came since the node started or the jump began.
pub(super) struct Meter {
    since: Instant,
    filled_before: f64,
    ranges: u64,
    received_bytes: u64,
    wrong: u64,
    unanswered: u64,
}

impl Meter {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            filled_before: 0.0,
            ranges: 0,
            received_bytes: 0,
            wrong: 0,
            unanswered: 0,
        }
    }

    /// Part of the state is there already.
    pub(super) const fn begin_at(&mut self, filled: f64) {
        self.filled_before = filled;
    }

    /// A range came.
    pub(super) const fn add(&mut self, size_bytes: usize) {
        self.ranges += 1;
        self.received_bytes += size_bytes as u64;
    }

    /// A request failed.
    pub(super) const fn failed(&mut self, failure: Failure) {
        match failure {
            Failure::Wrong => self.wrong += 1,
            Failure::Silent | Failure::Lacking | Failure::Busy => self.unanswered += 1,
        }
    }

    fn bytes_per_second(&self, now: Instant) -> u64 {
        let seconds = now.since(self.since).as_secs_f64();
        if seconds > 0.0 { (self.received_bytes as f64 / seconds) as u64 } else { 0 }
    }

    /// The time left at the speed so far.
    fn remaining(&self, filled: f64, now: Instant) -> Option<Duration> {
        let gained = filled - self.filled_before;
        let elapsed = now.since(self.since).as_secs_f64();
        Duration::try_from_secs_f64(elapsed / gained * (1.0 - filled)).ok()
    }
}

impl Run {
    /// How the jump is getting on. The part that is filled is an estimate: the entries are spread
    /// evenly by their hashes.
    pub(super) fn health(&self, peers: PeerCounts, now: Instant) -> Health {
        let PeerCounts { connected, lacking, resting } = peers;
        let block = self.summary.block();
        let waiting = now.since(self.waiting_since);
        let full = self.lanes.iter().filter(|run| run.lane.missing().is_none()).count();
        let remaining = self.meter.remaining(self.filled(), now);
        let details = json!({
            "summaryID": self.summary.id(),
            "height": block.height(),
            "root": block.root(),
            "filledPercent": (self.filled() * 10_000.0).floor() / 100.0,
            "lanesFull": full,
            "keys": self.entries(),
            "bytes": self.lanes.iter().map(|run| run.lane.size_bytes()).sum::<u64>(),
            "ranges": self.meter.ranges,
            "wrongAnswers": self.meter.wrong,
            "unansweredRequests": self.meter.unanswered,
            "outstandingRequests": self.asked.len(),
            "receivedBytesPerSecond": self.meter.bytes_per_second(now),
            "remainingSeconds": remaining.map(|remaining| remaining.as_secs()),
            "peers": { "connected": connected, "lackingState": lacking, "resting": resting },
        });
        let mut health = Health::well(details);
        if waiting >= STUCK_AFTER {
            health.causes.push(format!(
                "state sync to height {}: no range came for {} s; of {connected} connected peers \
                 {lacking} do not have the state, {resting} rest after failures",
                block.height(),
                waiting.as_secs(),
            ));
        }
        health
    }
}
