//! The first message in each direction: what it must say, and what is kept of it.
//!
//! `greet` makes ours, `examine` checks a peer's. The checks run in upstream's order, and the
//! first failure closes the connection: network, clock, tracked subnets, ACPs, filter of known
//! peers and its salt, address, port, TLS signature of the claim with its timestamp, form of the
//! BLS signature. Whether the version is compatible and the BLS signature is the registered
//! validator's is asked afterwards and again at each ping, by the [peer](crate::peer).
//!
//! Not checked, as upstream: whether the claimed address is public, reachable or the one the
//! connection comes from.
//!
//! Deviation: of a handshake that fails nothing is kept. Upstream keeps what it read before the
//! failure, which nobody looks at any more.
//!
//! Upstream: `network/peer/peer.go`, `handleHandshake` and `writeMessages`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;
use sastrugi_crypto::{
    Certificate,
    bls::{self, BlsError},
};
use sastrugi_types::{
    Id, NodeId, WallTime,
    bloom::{BloomError, ReadFilter},
    version::{Application, Version},
};
use thiserror::Error;

use crate::{
    message::{BloomFilter, Client, Handshake},
    peer::PeerConfig,
    signed_ip::{ClaimError, IpClaim, SignedIp, address_from_wire, address_to_wire},
};

/// Most subnets a peer may track besides the primary network.
pub const TRACKED_SUBNETS_MAX: usize = 16;
/// Longest salt of a filter.
pub const SALT_BYTES_MAX: usize = 32;

/// What a peer said of itself in its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The peer.
    pub node: NodeId,
    /// Its program's name and version.
    pub application: Application,
    /// When the latest network upgrade it knows of takes effect, Unix seconds. Anything.
    pub upgrade_time: u64,
    /// The subnets it tracks; the primary network is always among them.
    pub tracked_subnets: BTreeSet<Id>,
    /// Of the current proposals, those it wants activated.
    pub supported_acps: BTreeSet<u32>,
    /// Of the current proposals, those it does not want activated.
    pub objected_acps: BTreeSet<u32>,
    /// Where it says it is reached. The TLS signature is verified, the BLS signature is not.
    pub ip: SignedIp,
}

/// What a peer wants to be told with the answer to its handshake.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) known: ReadFilter,
    pub(crate) salt: Bytes,
    pub(crate) all_subnets: bool,
}

/// Why a handshake is not accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandshakeFault {
    /// The peer belongs to another network.
    #[error("network {theirs} instead of {ours}")]
    Network {
        /// The peer's.
        theirs: u32,
        /// This node's.
        ours: u32,
    },
    /// The clocks are too far apart.
    #[error("clock at {theirs}, ours at {ours}")]
    Clock {
        /// The peer's, Unix seconds.
        theirs: u64,
        /// This node's, Unix seconds.
        ours: u64,
    },
    /// More than [`TRACKED_SUBNETS_MAX`] subnets.
    #[error("{0} tracked subnets")]
    TrackedSubnets(usize),
    /// The ID of a tracked subnet has another length than 32 bytes.
    #[error("subnet ID of {0} bytes")]
    SubnetId(usize),
    /// A proposal is supported and objected to.
    #[error("ACPs {supported:?} are supported while {objected:?} are objected to")]
    Acps {
        /// Those of the current proposals that are supported.
        supported: BTreeSet<u32>,
        /// Those of the current proposals that are objected to.
        objected: BTreeSet<u32>,
    },
    /// There is a filter of known peers, and it is not usable.
    #[error(transparent)]
    Filter(#[from] FilterFault),
    /// The address has neither 4 nor 16 bytes.
    #[error("address of {0} bytes")]
    Address(usize),
    /// The lower 16 bits of the port are 0.
    #[error("port 0")]
    Port,
    /// The claim's timestamp is in the future, or the certificate did not sign it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The BLS signature cannot even be read.
    #[error("BLS signature: {0}")]
    BlsSignature(BlsError),
}

/// Why a filter of known peers is not usable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FilterFault {
    /// It cannot be read.
    #[error("filter: {0}")]
    Filter(#[from] BloomError),
    /// Its salt is longer than [`SALT_BYTES_MAX`].
    #[error("salt of {0} bytes")]
    Salt(usize),
}

/// This node's handshake.
pub(crate) fn greet(
    config: &PeerConfig,
    ip: &SignedIp,
    now: WallTime,
    known_peers: BloomFilter,
    all_subnets: bool,
) -> Handshake {
    let Version { major, minor, patch } = config.compatibility.current;
    Handshake {
        network_id: config.network_id,
        my_time: now.unix_secs() as u64,
        ip_addr: address_to_wire(ip.claim.address.ip()),
        ip_port: ip.claim.address.port().into(),
        upgrade_time: config.compatibility.upgrade_time.unix_secs() as u64,
        ip_signing_time: ip.claim.timestamp,
        ip_node_id_sig: ip.tls_signature.clone(),
        tracked_subnets: config
            .tracked_subnets
            .iter()
            .map(|subnet| Bytes::copy_from_slice(&subnet.0))
            .collect(),
        client: Some(Client { name: config.client_name.clone(), major, minor, patch }),
        supported_acps: config.supported_acps.clone(),
        objected_acps: config.objected_acps.clone(),
        known_peers: Some(known_peers),
        ip_bls_sig: Bytes::copy_from_slice(&ip.bls_signature.to_bytes()),
        all_subnets,
    }
}

/// Seconds between the peer's clock and ours, as upstream computes them.
pub(crate) fn clock_skew(message: &Handshake, now: WallTime) -> f64 {
    (message.my_time as f64 - now.unix_secs() as u64 as f64).abs()
}

/// Name and version of the peer's program; all zero if it says nothing.
pub(crate) fn application(message: &Handshake) -> Application {
    let Client { name, major, minor, patch } = message.client.clone().unwrap_or_default();
    Application { name, major, minor, patch }
}

/// Checks network and clock: what makes the rest worth reading.
pub(crate) fn examine_clock(
    config: &PeerConfig,
    message: &Handshake,
    now: WallTime,
) -> Result<(), HandshakeFault> {
    let limit = config.clock_difference_max.as_secs_f64();
    if clock_skew(message, now) > limit {
        let ours = now.unix_secs() as u64;
        return Err(HandshakeFault::Clock { theirs: message.my_time, ours });
    }
    Ok(())
}

/// Checks network.
pub(crate) fn examine_network(
    config: &PeerConfig,
    message: &Handshake,
) -> Result<(), HandshakeFault> {
    let (theirs, ours) = (message.network_id, config.network_id);
    if theirs == ours { Ok(()) } else { Err(HandshakeFault::Network { theirs, ours }) }
}

/// Checks all the rest, in order.
pub(crate) fn examine(
    config: &PeerConfig,
    certificate: &Certificate,
    message: &Handshake,
    now: WallTime,
) -> Result<(Remote, Wanted), HandshakeFault> {
    let tracked_subnets = tracked_subnets(&message.tracked_subnets)?;
    let (supported_acps, objected_acps) = acps(config, message)?;
    let (known, salt) = match &message.known_peers {
        Some(filter) => known_peers(filter)?,
        None => (ReadFilter::empty(), Bytes::new()),
    };
    let ip = signed_ip(config, certificate, message, now)?;
    let remote = Remote {
        node: certificate.node_id(),
        application: application(message),
        upgrade_time: message.upgrade_time,
        tracked_subnets,
        supported_acps,
        objected_acps,
        ip,
    };
    Ok((remote, Wanted { known, salt, all_subnets: message.all_subnets }))
}

/// Reads a filter of known peers.
pub(crate) fn known_peers(message: &BloomFilter) -> Result<(ReadFilter, Bytes), FilterFault> {
    let filter = ReadFilter::parse(message.filter.clone())?;
    if message.salt.len() > SALT_BYTES_MAX {
        return Err(FilterFault::Salt(message.salt.len()));
    }
    Ok((filter, message.salt.clone()))
}

fn tracked_subnets(sent: &[Bytes]) -> Result<BTreeSet<Id>, HandshakeFault> {
    if sent.len() > TRACKED_SUBNETS_MAX {
        return Err(HandshakeFault::TrackedSubnets(sent.len()));
    }
    let mut subnets = BTreeSet::from([Id::EMPTY]);
    for bytes in sent {
        let id = bytes.as_ref().try_into().map_err(|_| HandshakeFault::SubnetId(bytes.len()))?;
        subnets.insert(Id(id));
    }
    Ok(subnets)
}

fn acps(
    config: &PeerConfig,
    message: &Handshake,
) -> Result<(BTreeSet<u32>, BTreeSet<u32>), HandshakeFault> {
    let current = |acps: &[u32]| -> BTreeSet<u32> {
        acps.iter().copied().filter(|acp| config.current_acps.contains(acp)).collect()
    };
    let supported = current(&message.supported_acps);
    let objected = current(&message.objected_acps);
    if supported.is_disjoint(&objected) {
        Ok((supported, objected))
    } else {
        Err(HandshakeFault::Acps { supported, objected })
    }
}

fn signed_ip(
    config: &PeerConfig,
    certificate: &Certificate,
    message: &Handshake,
    now: WallTime,
) -> Result<SignedIp, HandshakeFault> {
    let ip: IpAddr = address_from_wire(&message.ip_addr)
        .ok_or(HandshakeFault::Address(message.ip_addr.len()))?;
    let port = message.ip_port as u16;
    if port == 0 {
        return Err(HandshakeFault::Port);
    }
    let claim = IpClaim { address: SocketAddr::new(ip, port), timestamp: message.ip_signing_time };
    let timestamp_max = (now + config.clock_difference_max).unix_secs() as u64;
    claim.verify(certificate, &message.ip_node_id_sig, timestamp_max)?;
    let bls_signature =
        bls::Signature::from_bytes(&message.ip_bls_sig).map_err(HandshakeFault::BlsSignature)?;
    Ok(SignedIp { claim, tls_signature: message.ip_node_id_sig.clone(), bls_signature })
}
