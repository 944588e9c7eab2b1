//! Numbers for metrics.

use std::{collections::BTreeMap, time::Duration};

use sastrugi_types::Id;
use sastrugi_wire::Op;

/// Everything the network counts, at one moment. The names are those of upstream's metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Connected nodes.
    pub peers: usize,
    /// Connected nodes that track a subnet, for the primary network and each tracked one.
    pub peers_subnet: BTreeMap<Id, usize>,
    /// Nodes that are kept connected by dialling.
    pub tracked: usize,
    /// Handshakes that were finished.
    pub times_connected: u64,
    /// Connections lost after that.
    pub times_disconnected: u64,
    /// Errors of the system while accepting.
    pub accept_failed: u64,
    /// Connections whose TLS handshake failed.
    pub tls_conn_rejected: u64,
    /// Accepted connections that passed the throttles.
    pub inbound_conn_throttler_allowed: u64,
    /// Accepted connections that did not.
    pub inbound_conn_throttler_rate_limited: u64,
    /// Since the last message from anybody.
    pub time_since_last_msg_received: Option<Duration>,
    /// Since the last message to anybody.
    pub time_since_last_msg_sent: Option<Duration>,
    /// The part of the sends that failed lately.
    pub send_fail_rate: f64,
    /// How long the connections there are have lasted, on average.
    pub peer_connected_duration_average: Duration,
    /// Answered pings, and their milliseconds.
    pub round_trip: Sum,
    /// Handshakes, and the seconds their clocks were apart from ours.
    pub clock_skew: Sum,
    /// Frames that were not understood.
    pub msgs_failed_to_parse: u64,
    /// Messages by operation. An operation without any is left out.
    pub messages: Vec<OpStats>,
    /// The bound of messages of one peer that are not done with.
    pub buffer_throttler_inbound: ThrottleStats,
    /// The bound of bytes per second from one peer.
    pub bandwidth_throttler_inbound: ThrottleStats,
    /// The bound of bytes of one peer that are not done with.
    pub byte_throttler_inbound: ThrottleStats,
    /// Messages that were queued.
    pub throttler_outbound_acquire_successes: u64,
    /// Messages that were refused.
    pub throttler_outbound_acquire_failures: u64,
    /// Bytes anybody may still queue.
    pub throttler_outbound_remaining_at_large_bytes: u64,
    /// Bytes validators may still queue.
    pub throttler_outbound_remaining_validator_bytes: u64,
    /// This node's uptime as its peers see it.
    pub node_uptime: Option<NodeUptime>,
}

/// How long readers waited for one of the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ThrottleStats {
    /// Frames that passed, and the nanoseconds they waited.
    pub acquire_latency_nanos: Sum,
    /// Readers that wait at this moment.
    pub awaiting_acquire: u64,
}

/// How often something was seen, and the sum of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// How often.
    pub count: u64,
    /// The sum.
    pub sum: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }
}

/// Messages of one operation. Bytes are those of the bodies of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpStats {
    /// What they are for.
    pub op: Op,
    /// Messages written that are not compressed.
    pub sent: u64,
    /// Messages written that are compressed.
    pub sent_compressed: u64,
    /// Bytes written.
    pub sent_bytes: u64,
    /// Bytes that compression saved.
    pub sent_bytes_saved: i64,
    /// Messages understood that were not compressed.
    pub received: u64,
    /// Messages understood that were compressed.
    pub received_compressed: u64,
    /// Bytes understood.
    pub received_bytes: u64,
    /// Bytes that compression saved.
    pub received_bytes_saved: i64,
    /// Messages that were not sent to a node.
    pub failed_to_send: u64,
}

impl OpStats {
    pub(crate) const fn is_empty(&self) -> bool {
        let sent = self.sent + self.sent_compressed;
        sent + self.received + self.received_compressed + self.failed_to_send == 0
    }
}

/// A validator's own uptime as its connected peers see it, in percent of the stake.
/// Upstream: `network.NodeUptime`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeUptime {
    /// The mean of what validators say, weighted by stake. Own stake says 100.
    pub weighted_average_percent: f64,
    /// The part of the stake that sees an uptime high enough for a reward.
    pub rewarding_stake_percent: f64,
}

/// Uptime in percent from which a peer votes for the reward.
const REWARDED_PERCENT: u32 = 80;

impl NodeUptime {
    /// From the own weight, the weight of all, and what each connected validator says with its
    /// weight.
    pub(crate) fn new(own: u64, total: u64, said: impl Iterator<Item = (u32, u64)>) -> Self {
        let mut average = 100.0 * own as f64;
        let mut rewarding = 100.0 * own as f64;
        for (percent, weight) in said {
            let weight = weight as f64;
            average += f64::from(percent) * weight;
            if percent >= REWARDED_PERCENT {
                rewarding += 100.0 * weight;
            }
        }
        let total = total as f64;
        Self {
            weighted_average_percent: (average / total).abs(),
            rewarding_stake_percent: (rewarding / total).abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_weighted_by_stake() {
        let said = [(79, 30), (80, 50)];
        let uptime = NodeUptime::new(10, 100, said.into_iter());
        assert!((uptime.weighted_average_percent - 73.7).abs() < 1e-9);
        assert!((uptime.rewarding_stake_percent - 60.0).abs() < 1e-9);
    }
}
