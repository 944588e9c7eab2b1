//! From a TCP connection to one whose other end is known.

use std::{
    collections::{HashSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use sastrugi_crypto::{
    Certificate,
    staking::{CertificateError, SigningError},
};
use sastrugi_types::{Instant, NodeId};
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::{
    shared::Shared,
    tls::{self, Tls},
};

/// Why a connection does not come about.
#[derive(Debug, Error)]
pub(crate) enum UpgradeError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("no certificate was shown")]
    NoCertificate,
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the other end is this node itself")]
    OwnIdentity,
    #[error("the other end is {0}")]
    WrongIdentity(NodeId),
    #[error("{0} is connected already")]
    Duplicate(NodeId),
    #[error("no connection to {0} is desired")]
    NotAllowed(NodeId),
    #[error("the address is private")]
    PrivateAddress,
    #[error("the network is closing")]
    Closing,
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// The TLS handshake of a connection that was accepted.
pub(crate) async fn accept(
    shared: &Shared,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Certificate), UpgradeError> {
    let Tls { server, .. } = &shared.tls;
    let handshake = TlsAcceptor::from(Arc::clone(server)).accept(stream);
    let done = timeout(shared.config.accept.upgrade_timeout, handshake).await;
    let stream = done.map_err(|_| UpgradeError::Timeout)?.map_err(UpgradeError::Tls)?;
    let certificate = leaf(tls::shown(stream.get_ref().1.peer_certificates()))?;
    Ok((stream.into(), certificate))
}

/// The TLS handshake of a connection that was dialled.
pub(crate) async fn dial(
    shared: &Shared,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<(TlsStream<TcpStream>, Certificate), UpgradeError> {
    let Tls { client, .. } = &shared.tls;
    let name = ServerName::IpAddress(address.ip().into());
    let handshake = TlsConnector::from(Arc::clone(client)).connect(name, stream);
    let done = timeout(shared.config.accept.upgrade_timeout, handshake).await;
    let stream = done.map_err(|_| UpgradeError::Timeout)?.map_err(UpgradeError::Tls)?;
    let certificate = leaf(tls::shown(stream.get_ref().1.peer_certificates()))?;
    Ok((stream.into(), certificate))
}

fn leaf(shown: Option<Result<Certificate, CertificateError>>) -> Result<Certificate, UpgradeError> {
    Ok(shown.ok_or(UpgradeError::NoCertificate)??)
}

/// Addresses that connected a short time ago, and may not connect again yet.
///
/// An address counts from the moment it passes, also when TLS then fails. Loopback passes always.
/// Upstream: `network/throttling/inbound_conn_upgrade_throttler.go`.
#[derive(Debug)]
pub(crate) struct Cooldown {
    period: Duration,
    recent_max: usize,
    recent: VecDeque<(Instant, IpAddr)>,
    addresses: HashSet<IpAddr>,
}

impl Cooldown {
    /// Remembers as many addresses as may come in one period.
    pub(crate) fn new(period: Duration, per_second: u32) -> Self {
        let recent_max = (period.as_secs_f64() * f64::from(per_second)).ceil() as usize + 1;
        Self { period, recent_max, recent: VecDeque::new(), addresses: HashSet::new() }
    }

    /// Whether an address may connect now.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = address.to_canonical();
        if self.period.is_zero() || address.is_loopback() {
            return true;
        }
        while let Some((since, _)) = self.recent.front()
            && now - *since >= self.period
        {
            if let Some((_, expired)) = self.recent.pop_front() {
                self.addresses.remove(&expired);
            }
        }
        if self.recent.len() >= self.recent_max || !self.addresses.insert(address) {
            return false;
        }
        self.recent.push_back((now, address));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_for_its_cooldown_and_loopback_does_not() {
        let mut cooldown = Cooldown::new(Duration::from_secs(10), 1);
        let at = |secs: u64| Instant(secs * 1_000_000_000);
        let (one, two) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([1, 2, 3, 5]));
        assert!(cooldown.admit(one, at(0)));
        assert!(!cooldown.admit("::ffff:1.2.3.4".parse().unwrap(), at(9)));
        assert!(cooldown.admit(two, at(9)));
        assert!(cooldown.admit(one, at(10)));
        for _ in 0..3 {
            assert!(cooldown.admit([127, 0, 0, 1].into(), at(10)));
        }
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let mut cooldown = Cooldown::new(Duration::from_secs(1), 2);
        for last in 0..3 {
            assert!(cooldown.admit([1, 1, 1, last].into(), Instant::ZERO));
        }
        assert!(!cooldown.admit([1, 1, 1, 9].into(), Instant::ZERO));
        assert!(cooldown.admit([1, 1, 1, 9].into(), Instant(1_000_000_000)));
    }
}
