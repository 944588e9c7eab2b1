//! Every message of the protocol as a typed value, and its encoding.
//!
//! The outer message is one protobuf `oneof`; [`Message`] is the same as an enum. What concerns
//! one chain is the abstract message set of `sastrugi_types::message`; what the connections say
//! to each other is defined here, field by field as on the wire: the peer that reads it checks
//! it, since each failed check has its own consequence.
//!
//! Upstream: `proto/p2p/p2p.proto`, `message/messages.go`.

mod codec;
mod decode;
mod encode;
mod error;
mod network;
mod simplex;
mod wire;

use bytes::Bytes;
use sastrugi_types::{
    Id,
    message::{Outbound, Payload},
};

use crate::Op;

pub use codec::{Codec, Decoded, Encoded};
pub use error::{InvalidField, WireError};

/// Anything one node may say to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "Are you there?"
    Ping(Ping),
    /// Answers a ping.
    Pong,
    /// The first message in each direction.
    Handshake(Box<Handshake>),
    /// Asks for addresses of validators.
    GetPeerList(GetPeerList),
    /// Answers a handshake and a [`GetPeerList`].
    PeerList(PeerList),
    /// Something about one chain.
    Chain {
        /// The chain.
        chain: Id,
        /// What is said about it.
        payload: Payload,
    },
}

impl Message {
    /// What the message is for.
    pub fn op(&self) -> Op {
        match self {
            Self::Ping(_) => Op::Ping,
            Self::Pong => Op::Pong,
            Self::Handshake(_) => Op::Handshake,
            Self::GetPeerList(_) => Op::GetPeerList,
            Self::PeerList(_) => Op::PeerList,
            Self::Chain { payload, .. } => payload.into(),
        }
    }
}

impl From<Outbound> for Message {
    fn from(Outbound { chain, payload }: Outbound) -> Self {
        Self::Chain { chain, payload }
    }
}

/// "Are you there?"
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// The receiver's uptime on the primary network in percent, as the sender sees it. More than
    /// 100 is a fault.
    pub uptime: u32,
}

/// Who the sender is, where it is reached, and what it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The network the sender belongs to.
    pub network_id: u32,
    /// The sender's clock, Unix seconds.
    pub my_time: u64,
    /// The claimed address: 4 or 16 bytes when valid.
    pub ip_addr: Bytes,
    /// The claimed port; upstream cuts it to 16 bits and then refuses 0.
    pub ip_port: u32,
    /// When the latest scheduled network upgrade takes effect, Unix seconds.
    pub upgrade_time: u64,
    /// When the claim was signed, Unix seconds.
    pub ip_signing_time: u64,
    /// The claim signed with the key of the TLS certificate.
    pub ip_node_id_sig: Bytes,
    /// The subnets the sender follows: at most 16 of 32 bytes each when valid. Decoding keeps
    /// the first 64.
    pub tracked_subnets: Vec<Bytes>,
    /// Name and version of the sender's program.
    pub client: Option<Client>,
    /// Proposals the sender wants activated. Decoding keeps the first 16,384.
    pub supported_acps: Vec<u32>,
    /// Proposals the sender does not want activated. Decoding keeps the first 16,384.
    pub objected_acps: Vec<u32>,
    /// The peers the sender knows already; absent means none.
    pub known_peers: Option<BloomFilter>,
    /// The claim signed with the BLS key, as a proof of possession.
    pub ip_bls_sig: Bytes,
    /// Whether the sender wants addresses of the validators of all subnets.
    pub all_subnets: bool,
}

/// Name and version of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The program's name; nobody compares it.
    pub name: String,
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Patch version.
    pub patch: u32,
}

/// A Bloom filter and the salt its entries are hashed with, both not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BloomFilter {
    /// The encoded filter.
    pub filter: Bytes,
    /// At most 32 bytes when valid.
    pub salt: Bytes,
}

/// Asks for addresses of validators the sender does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetPeerList {
    /// The peers the sender knows already. Required.
    pub known_peers: Option<BloomFilter>,
    /// Whether validators of all subnets are wanted.
    pub all_subnets: bool,
}

/// Addresses of validators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerList {
    /// The signed claims. Decoding keeps the first 16,384: a frame has no room for as many
    /// valid ones.
    pub claimed_ip_ports: Vec<ClaimedIpPort>,
}

/// A validator's signed claim to be reached at an address, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedIpPort {
    /// The validator's certificate, DER, at most 2,048 bytes when valid.
    pub x509_certificate: Bytes,
    /// The claimed address: 4 or 16 bytes when valid.
    pub ip_addr: Bytes,
    /// The claimed port; upstream cuts it to 16 bits and then refuses 0.
    pub ip_port: u32,
    /// When the claim was signed, Unix seconds.
    pub timestamp: u64,
    /// The claim signed with the certificate's key.
    pub signature: Bytes,
}

#[cfg(test)]
mod tests;
