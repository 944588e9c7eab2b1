//! Address claims: "the node of this certificate is reached at this address since this time".
//!
//! A claim is signed twice: with the key of the TLS certificate, which everybody checks, and with
//! the BLS key as a proof of possession, which is checked for validators that registered one.
//! The signed bytes are the address in 16 bytes, the port in 2 and the timestamp in 8.
//!
//! Upstream: `network/peer/{ip,ip_signer}.go`, `utils/ips/claimed_ip_port.go`.

mod address;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use sastrugi_crypto::{
    Certificate, Signer, bls,
    staking::{CertificateError, SigningError},
};
use sastrugi_types::{Id, NodeId, WallTime, hash};
use thiserror::Error;

use crate::message::ClaimedIpPort;

pub use address::{
    AddressError, ConfiguredAddress, address_from_wire, address_to_16, address_to_wire, is_public,
};

/// Length of the signed bytes.
pub const IP_CLAIM_BYTES: usize = 26;

/// Where a node says it is reached, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpClaim {
    /// Address and port.
    pub address: SocketAddr,
    /// When it was signed, Unix seconds.
    pub timestamp: u64,
}

/// Why a claim is not believed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ClaimError {
    /// It was signed too far in the future.
    #[error("timestamp {timestamp} is after {timestamp_max}")]
    Timestamp {
        /// When it says it was signed, Unix seconds.
        timestamp: u64,
        /// The latest time that is believed, Unix seconds.
        timestamp_max: u64,
    },
    /// The certificate's key did not sign it.
    #[error("invalid TLS signature")]
    TlsSignature,
}

impl IpClaim {
    /// The bytes both signatures are made over.
    pub fn bytes(&self) -> [u8; IP_CLAIM_BYTES] {
        let mut bytes = [0; IP_CLAIM_BYTES];
        bytes[..16].copy_from_slice(&address_to_16(self.address.ip()));
        bytes[16..18].copy_from_slice(&self.address.port().to_be_bytes());
        bytes[18..].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes
    }

    /// Signs the claim with both keys.
    pub fn sign(&self, tls: &dyn Signer, bls: &bls::SecretKey) -> Result<SignedIp, SigningError> {
        let bytes = self.bytes();
        Ok(SignedIp {
            claim: *self,
            tls_signature: tls.sign(&bytes)?.into(),
            bls_signature: bls.sign_proof_of_possession(&bytes),
        })
    }

    /// Checks the timestamp, which may equal `timestamp_max` (Unix seconds), then the signature.
    pub fn verify(
        &self,
        certificate: &Certificate,
        tls_signature: &[u8],
        timestamp_max: u64,
    ) -> Result<(), ClaimError> {
        let timestamp = self.timestamp;
        if timestamp > timestamp_max {
            return Err(ClaimError::Timestamp { timestamp, timestamp_max });
        }
        certificate
            .check_signature(&self.bytes(), tls_signature)
            .map_err(|_| ClaimError::TlsSignature)
    }
}

/// A claim with both signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIp {
    /// What is signed.
    pub claim: IpClaim,
    /// The certificate's signature.
    pub tls_signature: Bytes,
    /// The BLS key's signature, as a proof of possession.
    pub bls_signature: bls::Signature,
}

impl SignedIp {
    /// Whether the owner of `key` signed the claim.
    pub fn is_signed_by(&self, key: &bls::PublicKey) -> bool {
        key.verify_proof_of_possession(&self.bls_signature, &self.claim.bytes())
    }
}

/// Signs the node's own address, once per address.
///
/// Upon being asked for the same address again: give the same claim, with its old timestamp.
/// Upon being asked for another address: sign it with the time of the question.
/// Peers keep the claim with the highest timestamp, so a new address must not be signed with an
/// older time. Upstream trusts the clock; here the timestamp grows by a second at least.
#[derive(Debug)]
pub struct IpSigner {
    tls: Arc<dyn Signer>,
    bls: Arc<bls::SecretKey>,
    signed: Option<SignedIp>,
}

impl IpSigner {
    /// Nothing signed yet.
    pub fn new(tls: Arc<dyn Signer>, bls: Arc<bls::SecretKey>) -> Self {
        Self { tls, bls, signed: None }
    }

    /// The signed claim of `address`.
    pub fn signed_ip(
        &mut self,
        address: SocketAddr,
        now: WallTime,
    ) -> Result<SignedIp, SigningError> {
        let mut timestamp = now.unix_secs() as u64;
        if let Some(signed) = &self.signed {
            if signed.claim.address == address {
                return Ok(signed.clone());
            }
            timestamp = timestamp.max(signed.claim.timestamp.saturating_add(1));
        }
        let signed = IpClaim { address, timestamp }.sign(&*self.tls, &self.bls)?;
        self.signed = Some(signed.clone());
        Ok(signed)
    }
}

/// A claim of another node as it travels in peer lists: anybody can pass it on, nobody can forge
/// it. Not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedIp {
    /// The certificate of the node.
    pub certificate: Certificate,
    /// Where it says it is reached.
    pub claim: IpClaim,
    /// The certificate's signature.
    pub tls_signature: Bytes,
}

/// Why an entry of a peer list is not even a claim.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ClaimFault {
    /// The certificate cannot be read.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The address has neither 4 nor 16 bytes.
    #[error("address of {0} bytes")]
    Address(usize),
    /// The lower 16 bits of the port are 0.
    #[error("port 0")]
    Port,
}

impl ClaimedIp {
    /// Reads an entry of a peer list. Timestamp and signature are not looked at.
    pub fn from_wire(entry: &ClaimedIpPort) -> Result<Self, ClaimFault> {
        let certificate = Certificate::parse(&entry.x509_certificate)?;
        let ip =
            address_from_wire(&entry.ip_addr).ok_or(ClaimFault::Address(entry.ip_addr.len()))?;
        let port = entry.ip_port as u16;
        if port == 0 {
            return Err(ClaimFault::Port);
        }
        Ok(Self {
            certificate,
            claim: IpClaim { address: SocketAddr::new(ip, port), timestamp: entry.timestamp },
            tls_signature: entry.signature.clone(),
        })
    }

    /// The claim as an entry of a peer list.
    pub fn to_wire(&self) -> ClaimedIpPort {
        ClaimedIpPort {
            x509_certificate: Bytes::copy_from_slice(self.certificate.der()),
            ip_addr: address_to_wire(self.claim.address.ip()),
            ip_port: self.claim.address.port().into(),
            timestamp: self.claim.timestamp,
            signature: self.tls_signature.clone(),
        }
    }

    /// The node that claims.
    pub const fn node_id(&self) -> NodeId {
        self.certificate.node_id()
    }

    /// The key of the claim in filters of known peers: it changes with the node and the time, not
    /// with the address.
    pub fn gossip_id(&self) -> Id {
        gossip_id(self.node_id(), self.claim.timestamp)
    }

    /// About how many bytes the claim takes in a peer list. Upstream: `ClaimedIPPort.Size`.
    pub fn size(&self) -> usize {
        const FIXED_BYTES: usize = 2 * 4 + 16 + 2 + 8 + 32;
        FIXED_BYTES + self.certificate.der().len() + self.tls_signature.len()
    }

    /// Checks timestamp and signature as [`IpClaim::verify`].
    pub fn verify(&self, timestamp_max: u64) -> Result<(), ClaimError> {
        self.claim.verify(&self.certificate, &self.tls_signature, timestamp_max)
    }
}

/// The key in filters of known peers of a claim by `node` at `timestamp` (Unix seconds).
///
/// Upstream hashes a buffer of 40 bytes, of which node and timestamp fill 28.
pub fn gossip_id(node: NodeId, timestamp: u64) -> Id {
    Id(hash::sha256_parts(&[&node.0, &timestamp.to_be_bytes(), &[0; 12]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> IpSigner {
        let identity =
            sastrugi_crypto::Identity::generate(&mut |bytes| bytes.fill(1), WallTime::UNIX_EPOCH);
        let key = bls::SecretKey::generate(&[2; 32]).unwrap();
        IpSigner::new(Arc::new(identity.unwrap()), Arc::new(key))
    }

    #[test]
    fn the_same_address_is_signed_once_and_time_never_goes_back() {
        let mut signer = signer();
        let (home, away) = ("1.2.3.4:1".parse().unwrap(), "1.2.3.4:2".parse().unwrap());
        let first = signer.signed_ip(home, WallTime::from_unix_secs(100)).unwrap();
        assert_eq!(signer.signed_ip(home, WallTime::from_unix_secs(200)).unwrap(), first);
        let moved = signer.signed_ip(away, WallTime::from_unix_secs(50)).unwrap();
        assert_eq!((first.claim.timestamp, moved.claim.timestamp), (100, 101));
        let back = signer.signed_ip(home, WallTime::from_unix_secs(300)).unwrap();
        assert_eq!(back.claim.timestamp, 300);
    }
}
