//! Whether the network is well, and why not. Upstream: `network.HealthCheck`,
//! `network/no_ingress_conn_alert.go`.

use std::time::Duration;

use thiserror::Error;

/// When the network counts as healthy. Upstream: flags `network-health-*`.
#[derive(Clone, Copy, Debug)]
pub struct HealthLimits {
    /// Fewest connected peers.
    pub peers_min: usize,
    /// Longest time without any message received.
    pub received_max: Duration,
    /// Longest time without any message sent.
    pub sent_max: Duration,
    /// Highest part of the sends that fail.
    pub send_fail_rate_max: f64,
    /// How long a validator may run without anybody having connected to it.
    pub no_ingress_max: Duration,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self {
            peers_min: 1,
            received_max: Duration::from_mins(1),
            sent_max: Duration::from_mins(1),
            send_fail_rate_max: 0.9,
            no_ingress_max: Duration::from_mins(10),
        }
    }
}

/// What the judgement rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// Peers whose handshake is done.
    pub connected_peers: usize,
    /// Since the last message from anybody; `None` if there was none.
    pub time_since_last_msg_received: Option<Duration>,
    /// Since the last message to anybody; `None` if there was none.
    pub time_since_last_msg_sent: Option<Duration>,
    /// The part of the sends that failed lately.
    pub send_fail_rate: f64,
    /// Connections that others have opened.
    pub ingress_connection_count: usize,
    /// Whether this node validates the primary network.
    pub is_primary_network_validator: bool,
    /// Since the network was started.
    pub uptime: Duration,
}

/// Why the network is not healthy. Where sybil protection is off upstream reports it, and stays
/// healthy.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum HealthFault {
    /// Too few peers.
    #[error("connected to {connected} peers, at least {min} are needed")]
    Peers {
        /// Peers connected.
        connected: usize,
        /// Peers needed.
        min: usize,
    },
    /// Nobody said anything for too long, or ever.
    #[error("no message received for {since:?}, more than {max:?}")]
    Received {
        /// For how long; `None` if there was none.
        since: Option<Duration>,
        /// For how long is well.
        max: Duration,
    },
    /// Nobody was told anything for too long, or ever.
    #[error("no message sent for {since:?}, more than {max:?}")]
    Sent {
        /// For how long; `None` if there was none.
        since: Option<Duration>,
        /// For how long is well.
        max: Duration,
    },
    /// Too many messages are not sent.
    #[error("{rate:.3} of the messages cannot be sent, more than {max}")]
    SendFailRate {
        /// The part.
        rate: f64,
        /// The part that is well.
        max: f64,
    },
    /// Nobody connects to this validator: its address may be wrong or closed.
    #[error("a validator of the primary network, and nobody connected to it for {0:?}")]
    NoIngress(Duration),
}

impl Health {
    /// All that is not well; nothing if the network is healthy.
    pub fn faults(&self, limits: &HealthLimits) -> Vec<HealthFault> {
        let is_late = |since: Option<Duration>, max| since.is_none_or(|since| since > max);
        let mut faults = Vec::new();
        if self.connected_peers < limits.peers_min {
            let (connected, min) = (self.connected_peers, limits.peers_min);
            faults.push(HealthFault::Peers { connected, min });
        }
        let (since, max) = (self.time_since_last_msg_received, limits.received_max);
        if is_late(since, max) {
            faults.push(HealthFault::Received { since, max });
        }
        let (since, max) = (self.time_since_last_msg_sent, limits.sent_max);
        if is_late(since, max) {
            faults.push(HealthFault::Sent { since, max });
        }
        let (rate, max) = (self.send_fail_rate, limits.send_fail_rate_max);
        if rate > max {
            faults.push(HealthFault::SendFailRate { rate, max });
        }
        if self.is_primary_network_validator
            && self.ingress_connection_count == 0
            && self.uptime > limits.no_ingress_max
        {
            faults.push(HealthFault::NoIngress(self.uptime));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Health = Health {
        connected_peers: 1,
        time_since_last_msg_received: Some(Duration::from_mins(1)),
        time_since_last_msg_sent: Some(Duration::from_mins(1)),
        send_fail_rate: 0.9,
        ingress_connection_count: 0,
        is_primary_network_validator: true,
        uptime: Duration::from_mins(10),
    };

    #[test]
    fn the_limits_themselves_are_well() {
        assert_eq!(WELL.faults(&HealthLimits::default()), []);
    }

    #[test]
    fn each_fault_is_named() {
        let limits = HealthLimits::default();
        let long = Some(Duration::from_secs(61));
        let faults = |health: Health| health.faults(&limits);
        let (connected, min) = (0, 1);
        assert_eq!(
            faults(Health { connected_peers: 0, ..WELL }),
            [HealthFault::Peers { connected, min }]
        );
        let max = Duration::from_mins(1);
        for since in [None, long] {
            let health = Health { time_since_last_msg_received: since, ..WELL };
            assert_eq!(faults(health), [HealthFault::Received { since, max }]);
            let health = Health { time_since_last_msg_sent: since, ..WELL };
            assert_eq!(faults(health), [HealthFault::Sent { since, max }]);
        }
        let health = Health { send_fail_rate: 0.91, ..WELL };
        assert_eq!(faults(health), [HealthFault::SendFailRate { rate: 0.91, max: 0.9 }]);
        let uptime = Duration::from_mins(11);
        assert_eq!(faults(Health { uptime, ..WELL }), [HealthFault::NoIngress(uptime)]);
        assert_eq!(faults(Health { uptime, ingress_connection_count: 1, ..WELL }), []);
    }
}
