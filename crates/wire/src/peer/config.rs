//! What all peers of a node have in common.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sastrugi_types::{
    Id,
    version::{CLIENT_NAME, Compatibility},
};
use thiserror::Error;

use crate::{Codec, Compression, handshake::TRACKED_SUBNETS_MAX};

/// Settings of the node that each of its peers follows.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// The network the node belongs to. Peers of another one are closed.
    pub network_id: u32,
    /// The name of the node's program. Peers do not look at it.
    pub client_name: String,
    /// The node's version, the versions it talks to, and when that changes.
    pub compatibility: Compatibility,
    /// The subnets the node follows, without the primary network: 16 at most.
    pub tracked_subnets: BTreeSet<Id>,
    /// Proposals the node wants activated.
    pub supported_acps: Vec<u32>,
    /// Proposals the node does not want activated.
    pub objected_acps: Vec<u32>,
    /// The proposals that can be voted on at present; of a peer's votes all others are ignored.
    /// Empty for v1.14.2.
    pub current_acps: BTreeSet<u32>,
    /// Whether the node wants connections to the validators of all subnets.
    pub connect_to_all_validators: bool,
    /// Time between two pings. Upstream: `network-ping-frequency`.
    pub ping_period: Duration,
    /// How long a length, a body or a write may take. Upstream: `network-ping-timeout`.
    pub timeout: Duration,
    /// How long a peer may take until it is ready; `None` for upstream's behaviour, which waits
    /// as long as anything arrives.
    pub ready_timeout: Option<Duration>,
    /// How far clocks may be apart. Upstream: `network-max-clock-difference`.
    pub clock_difference_max: Duration,
    /// How own messages are sent.
    pub compression: Compression,
    /// Encodes and decodes.
    pub codec: Arc<Codec>,
}

/// Why a configuration cannot work.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PeerConfigError {
    /// Every peer would close the connection.
    #[error("{0} tracked subnets, more than {TRACKED_SUBNETS_MAX}")]
    TrackedSubnets(usize),
    /// The primary network is always tracked and not named.
    #[error("the primary network is among the tracked subnets")]
    PrimaryNetwork,
    /// Connections would die between two pings.
    #[error("the ping period is not shorter than the timeout")]
    PingPeriod,
    /// A vote for and against the same proposal: every peer that knows it would close.
    #[error("ACP {0} is supported and objected to")]
    Acp(u32),
}

impl PeerConfig {
    /// Upstream's defaults for a network, and a limit to the handshake.
    pub fn of_network(network_id: u32) -> Self {
        Self {
            network_id,
            client_name: CLIENT_NAME.to_owned(),
            compatibility: Compatibility::of_network(network_id),
            tracked_subnets: BTreeSet::new(),
            supported_acps: Vec::new(),
            objected_acps: Vec::new(),
            current_acps: BTreeSet::new(),
            connect_to_all_validators: false,
            ping_period: Duration::from_millis(22_500),
            timeout: Duration::from_secs(30),
            ready_timeout: Some(Duration::from_secs(30)),
            clock_difference_max: Duration::from_mins(1),
            compression: Compression::default(),
            codec: Arc::default(),
        }
    }

    /// Checks what upstream leaves to the peers to find out.
    pub fn check(&self) -> Result<(), PeerConfigError> {
        if self.tracked_subnets.len() > TRACKED_SUBNETS_MAX {
            return Err(PeerConfigError::TrackedSubnets(self.tracked_subnets.len()));
        }
        if self.tracked_subnets.contains(&Id::EMPTY) {
            return Err(PeerConfigError::PrimaryNetwork);
        }
        if self.ping_period.is_zero() || self.ping_period >= self.timeout {
            return Err(PeerConfigError::PingPeriod);
        }
        match self.supported_acps.iter().find(|acp| self.objected_acps.contains(acp)) {
            Some(acp) => Err(PeerConfigError::Acp(*acp)),
            None => Ok(()),
        }
    }
}
