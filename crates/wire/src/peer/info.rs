//! What the API tells of a peer.

use std::{collections::BTreeSet, net::SocketAddr};

use sastrugi_types::{Id, NodeId, WallTime, version::Application};

use crate::handshake::Remote;

/// What `info.peers` tells of a peer, besides the address at the other end of its connection,
/// which the driver knows. Upstream: `network/peer/info.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Where the peer says it is reached.
    pub public_ip: SocketAddr,
    /// The peer.
    pub node: NodeId,
    /// Its program's name and version.
    pub application: Application,
    /// When the latest network upgrade it knows of takes effect, Unix seconds.
    pub upgrade_time: u64,
    /// When a message was last sent to it.
    pub last_sent: WallTime,
    /// When a message last came from it.
    pub last_received: WallTime,
    /// This node's uptime in percent, as the peer sees it.
    pub observed_uptime: u32,
    /// The subnets it tracks, the primary network included.
    pub tracked_subnets: BTreeSet<Id>,
    /// Of the current proposals, those it wants activated.
    pub supported_acps: BTreeSet<u32>,
    /// Of the current proposals, those it does not want activated.
    pub objected_acps: BTreeSet<u32>,
}

impl PeerInfo {
    pub(super) fn new(
        remote: &Remote,
        observed_uptime: u32,
        last_sent: WallTime,
        last_received: WallTime,
    ) -> Self {
        Self {
            public_ip: remote.ip.claim.address,
            node: remote.node,
            application: remote.application.clone(),
            upgrade_time: remote.upgrade_time,
            last_sent,
            last_received,
            observed_uptime,
            tracked_subnets: remote.tracked_subnets.clone(),
            supported_acps: remote.supported_acps.clone(),
            objected_acps: remote.objected_acps.clone(),
        }
    }
}
