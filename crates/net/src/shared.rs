//! What the tasks of a network and its handle share.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;
use sastrugi_crypto::{Certificate, staking::SigningError};
use sastrugi_types::{Id, NodeId, sampler::Source};
use sastrugi_wire::{
    handshake::Remote,
    peer::{Direction, Outbox, Peer, PeerConfig},
    signed_ip::IpSigner,
    throttle::OutboundThrottler,
};
use tokio::{net::TcpStream, runtime::Handle, task::AbortHandle};
use tokio_rustls::TlsStream;

use crate::{
    caller::{Inbox, Membership},
    clock::Clock,
    config::NetworkConfig,
    connection::{self, Connection},
    counters::Counters,
    dial::{Dialled, Loss},
    registry::{NotRegistered, Registry},
    surroundings::Surroundings,
    tasks::Tasks,
    tls::Tls,
    upgrade::UpgradeError,
};

/// Everything a network consists of besides its tasks.
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) config: NetworkConfig,
    pub(crate) peer_config: Arc<PeerConfig>,
    pub(crate) tls: Tls,
    pub(crate) own_ip: Mutex<OwnIp>,
    pub(crate) membership: Arc<dyn Membership>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) random: Mutex<Box<dyn Source + Send>>,
    pub(crate) runtime: Handle,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) dialled: Dialled,
    pub(crate) counters: Counters,
    pub(crate) throttler: Arc<Mutex<OutboundThrottler>>,
    pub(crate) tasks: Tasks,
}

/// Where this node is reached, and who signs that.
pub(crate) struct OwnIp {
    pub(crate) address: SocketAddr,
    pub(crate) signer: IpSigner,
}

impl Shared {
    /// Starts a task, and counts it.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let running = self.tasks.enter();
        let task = self.runtime.spawn(async move {
            let _running = running;
            future.await;
        });
        task.abort_handle()
    }

    /// Whether a connection to `node` is desired.
    pub(crate) fn allows(&self, node: NodeId) -> bool {
        !self.config.require_validator
            || self.membership.is_validator(Id::EMPTY, node)
            || self.dialled.contains(node)
    }

    /// Upon the end of TLS: checks whether the connection may stay, and runs it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        stream: TlsStream<TcpStream>,
        certificate: Certificate,
        address: SocketAddr,
        direction: Direction,
    ) -> Result<(), UpgradeError> {
        let node = certificate.node_id();
        if node == self.node {
            return Err(UpgradeError::OwnIdentity);
        }
        if !self.allows(node) {
            return Err(UpgradeError::NotAllowed(node));
        }
        let refuse = |error| match error {
            NotRegistered::Closing => UpgradeError::Closing,
            NotRegistered::Duplicate => UpgradeError::Duplicate(node),
        };
        self.registry.check(node).map_err(refuse)?;
        let peer = self.start_peer(certificate, direction)?;
        let connection = Arc::new(Connection::new(peer, address, self.clock.instant()));
        self.registry.register(Arc::clone(&connection)).map_err(refuse)?;
        self.spawn(connection::run(Arc::clone(self), connection, stream));
        Ok(())
    }

    fn start_peer(
        &self,
        certificate: Certificate,
        direction: Direction,
    ) -> Result<Peer, SigningError> {
        let now = self.clock.now();
        let ip = {
            let OwnIp { address, signer } = &mut *self.own_ip.lock();
            signer.signed_ip(*address, now.wall)?
        };
        let node = certificate.node_id();
        let stakes = Arc::clone(&self.membership) as _;
        let outbox = Outbox::new(node, Arc::clone(&self.throttler), stakes);
        let mut surroundings = Surroundings::new(self, node);
        let config = Arc::clone(&self.peer_config);
        Ok(Peer::start(config, certificate, direction, outbox, &ip, now, &mut surroundings))
    }

    /// Upon the end of a handshake: the node may be sent to, then the caller hears of it.
    pub(crate) fn handle_connected(&self, remote: &Remote) {
        let Remote { node, application, tracked_subnets, .. } = remote;
        self.registry.promote(*node, tracked_subnets.clone());
        self.counters.times_connected.fetch_add(1, Ordering::Relaxed);
        let is_own = |subnet: &&Id| {
            **subnet == Id::EMPTY || self.peer_config.tracked_subnets.contains(*subnet)
        };
        let common = tracked_subnets.iter().filter(is_own).copied().collect();
        self.inbox.connected(*node, application, &common);
    }

    /// Upon the end of a connection: the caller hears of it, then the node may come back.
    pub(crate) fn handle_disconnected(&self, node: NodeId, was_ready: bool) {
        if was_ready {
            self.counters.times_disconnected.fetch_add(1, Ordering::Relaxed);
            self.inbox.disconnected(node);
        }
        let loss = match self.registry.remove(node) {
            Some(lost) if was_ready => Loss::After(self.clock.instant() - lost.since()),
            Some(lost) if lost.had_rival() => Loss::Crossed,
            _ => Loss::Early,
        };
        self.dialled.handle_loss(node, loss);
    }
}
