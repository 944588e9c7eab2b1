//! Settings of the network.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sastrugi_types::{
    NodeId,
    formatting::{FUJI_ID, MAINNET_ID},
};
use sastrugi_wire::{frame::MESSAGE_BYTES_MAX, peer::PeerConfig, throttle::OutboundLimits};

use crate::health::HealthLimits;

/// How a node connects to others. Upstream: `network/config.go`, flags `network-*`.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// What each connection follows.
    pub peer: PeerConfig,
    /// Where to listen. Port 0 takes a free one. Upstream: `staking-host`, `staking-port`.
    pub listen: SocketAddr,
    /// The address peers are told; the port is the one listened on. Upstream: `public-ip`.
    pub public_ip: IpAddr,
    /// Whether private addresses are dialled. Upstream: `network-allow-private-ips`.
    pub allow_private_ips: bool,
    /// Whether only validators of the primary network, and nodes this one dials, may connect.
    /// Upstream: `network-require-validator-to-connect`.
    pub require_validator: bool,
    /// Nodes whose word on clock and version deserves a warning: those the node starts from.
    pub beacons: BTreeSet<NodeId>,
    /// How peers are dialled.
    pub dial: DialConfig,
    /// How connections are accepted.
    pub accept: AcceptConfig,
    /// Bounds to what peers may make this node work on.
    pub inbound: InboundLimits,
    /// Bounds to what waits to be sent.
    pub outbound: OutboundLimits,
    /// When the network counts as healthy.
    pub health: HealthLimits,
}

impl NetworkConfig {
    /// Upstream's defaults for a network.
    pub fn of_network(network_id: u32, listen: SocketAddr, public_ip: IpAddr) -> Self {
        Self {
            peer: PeerConfig::of_network(network_id),
            listen,
            public_ip,
            allow_private_ips: !matches!(network_id, MAINNET_ID | FUJI_ID),
            require_validator: false,
            beacons: BTreeSet::new(),
            dial: DialConfig::default(),
            accept: AcceptConfig::default(),
            inbound: InboundLimits::default(),
            outbound: OutboundLimits::default(),
            health: HealthLimits::default(),
        }
    }
}

/// How peers are dialled.
#[derive(Clone, Copy, Debug)]
pub struct DialConfig {
    /// How long a connection may take. Upstream: `network-outbound-connection-timeout`.
    pub timeout: Duration,
    /// The first pause; each further one grows by a random factor of up to 2. Upstream:
    /// `network-initial-reconnect-delay`.
    pub delay_initial: Duration,
    /// The longest pause. Upstream: `network-max-reconnect-delay`.
    pub delay_max: Duration,
    /// Dials per second, for all peers together; 0 for any number. Upstream:
    /// `network-outbound-connection-throttling-rps`.
    pub per_second: u32,
}

impl Default for DialConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            delay_initial: Duration::from_secs(1),
            delay_max: Duration::from_mins(1),
            per_second: 50,
        }
    }
}

/// How connections are accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptConfig {
    /// Connections accepted per second. Upstream: `network-inbound-connection-throttling-max-conns-per-sec`.
    pub per_second: u32,
    /// Time between two connections from one address, loopback excepted; zero for none.
    /// Upstream: `network-inbound-connection-throttling-cooldown`.
    pub cooldown: Duration,
    /// How long the TLS handshake may take, in both roles. Upstream:
    /// `network-read-handshake-timeout`.
    pub upgrade_timeout: Duration,
    /// TLS handshakes of accepted connections at one time.
    pub upgrades_max: usize,
}

impl Default for AcceptConfig {
    fn default() -> Self {
        Self {
            per_second: 256,
            cooldown: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(15),
            upgrades_max: 512,
        }
    }
}

/// Bounds to what one peer may make the node work on. At a bound nothing is read from it.
#[derive(Clone, Copy, Debug)]
pub struct InboundLimits {
    /// Messages of one peer that are not done with. Upstream:
    /// `throttler-inbound-node-max-processing-msgs`.
    pub messages_max: usize,
    /// Bytes of one peer's messages that are not done with. At least one message.
    pub bytes_max: usize,
    /// Bytes per second from one peer. Upstream: `throttler-inbound-bandwidth-refill-rate`.
    pub bytes_per_second: u32,
    /// Bytes from one peer at once. At least one message. Upstream:
    /// `throttler-inbound-bandwidth-max-burst-size`.
    pub burst_bytes: u32,
}

impl Default for InboundLimits {
    fn default() -> Self {
        Self {
            messages_max: 1024,
            bytes_max: 4 * MESSAGE_BYTES_MAX,
            bytes_per_second: 512 * 1024,
            burst_bytes: MESSAGE_BYTES_MAX as u32,
        }
    }
}

impl InboundLimits {
    /// The same, raised so that one message of any size passes.
    pub(crate) fn raised(self) -> Self {
        Self {
            messages_max: self.messages_max.max(1),
            bytes_max: self.bytes_max.max(MESSAGE_BYTES_MAX),
            bytes_per_second: self.bytes_per_second.max(1),
            burst_bytes: self.burst_bytes.max(MESSAGE_BYTES_MAX as u32),
        }
    }
}
