//! The handle of a network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use sastrugi_crypto::{Identity, bls};
use sastrugi_types::{Id, Instant, NodeId, message::Outbound, sampler::Source};
use sastrugi_wire::{
    Encoded, Message, Op,
    peer::{PeerConfigError, PeerInfo},
    signed_ip::IpSigner,
    throttle::OutboundThrottler,
};
use thiserror::Error;
use tokio::{runtime::Handle, sync::oneshot, task::AbortHandle};
use tracing::warn;

use crate::{
    caller::{Inbox, Membership},
    clock::Clock,
    config::NetworkConfig,
    connection::Connection,
    counters::Counters,
    dial::{self, Dialled},
    health::Health,
    listen,
    registry::{Connected, Registry, find},
    sample::{Recipients, sample},
    shared::{OwnIp, Shared},
    stats::{NodeUptime, Stats},
    tasks::Tasks,
    tls::Tls,
};

/// What a network is made of, besides its [settings](NetworkConfig).
pub struct NetworkParts {
    /// Who this node is.
    pub identity: Arc<Identity>,
    /// Signs the node's address as a validator would.
    pub bls: Arc<bls::SecretKey>,
    /// Who validates.
    pub membership: Arc<dyn Membership>,
    /// Where everything goes that peers say.
    pub inbox: Arc<dyn Inbox>,
    /// Spreads dials and gossip. Unpredictable, or gossip can be steered.
    pub random: Box<dyn Source + Send>,
    /// The runtime on which all tasks run. It needs timers and I/O.
    pub runtime: Handle,
}

impl fmt::Debug for NetworkParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkParts").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Why a network does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The TLS library cannot use the key.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The settings cannot work.
    #[error(transparent)]
    Config(#[from] PeerConfigError),
}

/// A connected peer, as `info.peers` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedPeer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// What is known of the peer.
    pub info: PeerInfo,
}

/// A node's connections. Usable from any thread; nothing blocks except [`Network::wait_closed`].
///
/// Dropping it closes it.
pub struct Network {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: AbortHandle,
    /// Used up once connections are accepted.
    gate: Mutex<Option<oneshot::Sender<()>>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared, address, .. } = self;
        let mut debug = f.debug_struct("Network");
        debug.field("node", &shared.node).field("address", address).finish_non_exhaustive()
    }
}

impl Network {
    /// Listens, and accepts connections from now on: [`Network::bind`] and [`Network::accept`].
    pub fn start(config: NetworkConfig, parts: NetworkParts) -> Result<Self, StartError> {
        let network = Self::bind(config, parts)?;
        network.accept();
        Ok(network)
    }

    /// Takes the address. Who connects waits until [`Network::accept`]: a caller that is not ready
    /// for messages yet would lose them, and their senders would wait for answers.
    pub fn bind(config: NetworkConfig, parts: NetworkParts) -> Result<Self, StartError> {
        let NetworkParts { identity, bls, membership, inbox, random, runtime } = parts;
        config.peer.check()?;
        let tls = Tls::new(&identity)?;
        let listen_address = config.listen;
        let unbound = |error| StartError::Listen { address: listen_address, error };
        let (listener, address) = bind(listen_address, &runtime).map_err(unbound)?;
        let clock = Clock::start();
        let now = clock.instant();
        let own_ip = OwnIp {
            address: SocketAddr::new(config.public_ip, address.port()),
            signer: IpSigner::new(Arc::clone(&identity) as _, bls),
        };
        let shared = Arc::new(Shared {
            node: identity.node_id(),
            peer_config: Arc::new(config.peer.clone()),
            tls,
            own_ip: Mutex::new(own_ip),
            membership,
            inbox,
            random: Mutex::new(random),
            runtime,
            clock,
            registry: Registry::default(),
            dialled: Dialled::new(identity.node_id(), config.dial, now),
            counters: Counters::new(now),
            throttler: Arc::new(Mutex::new(OutboundThrottler::new(config.outbound))),
            tasks: Tasks::default(),
            config,
        });
        let (gate, opened) = oneshot::channel();
        let listen = listen::run(Arc::clone(&shared), listener);
        let listener = shared.spawn(async move {
            if opened.await.is_ok() {
                listen.await;
            }
        });
        Ok(Self { shared, address, listener, gate: Mutex::new(Some(gate)) })
    }

    /// Accepts connections from now on. Further calls do nothing.
    pub fn accept(&self) {
        if let Some(gate) = self.gate.lock().take() {
            // The other end is gone when the network is closed.
            let _ = gate.send(());
        }
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// The address that is listened on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the address that peers are told, for handshakes from now on.
    pub fn set_public_ip(&self, address: IpAddr) {
        self.shared.own_ip.lock().address.set_ip(address);
    }

    /// Keeps a node connected by dialling it at this address for as long as the network runs. For
    /// a node that is dialled already the address of the next attempt changes.
    pub fn track(&self, node: NodeId, address: SocketAddr) {
        dial::want(&self.shared, node, address);
    }

    /// Queues a message for those of the nodes that are connected and allowed in the subnet, and
    /// says for whom it was queued. It is encoded once.
    ///
    /// Nothing is queued for a node whose queue is full, nor when the message cannot be encoded.
    pub fn send(&self, message: &Outbound, to: &BTreeSet<NodeId>, subnet: Id) -> BTreeSet<NodeId> {
        let connected = self.shared.registry.connected();
        let targets: Vec<_> = self.named(&connected, to, subnet).collect();
        self.count_missing(message, to.len() - targets.len());
        self.queue(message, &targets)
    }

    /// Queues gossip for the nodes that are meant, and says for whom it was queued. This node is
    /// never among them.
    pub fn gossip(&self, message: &Outbound, to: &Recipients, subnet: Id) -> BTreeSet<NodeId> {
        let connected = self.shared.registry.connected();
        let mut targets: Vec<_> = self.named(&connected, &to.nodes, subnet).collect();
        self.count_missing(message, to.nodes.len() - targets.len());
        let membership = &*self.shared.membership;
        let sampled = {
            let mut random = self.shared.random.lock();
            sample(&connected, to, subnet, membership, &mut **random)
        };
        targets.extend(sampled);
        self.queue(message, &targets)
    }

    fn named<'a>(
        &'a self,
        connected: &'a Connected,
        nodes: &'a BTreeSet<NodeId>,
        subnet: Id,
    ) -> impl Iterator<Item = &'a Arc<Connection>> {
        let is_allowed = move |node: &&NodeId| self.shared.membership.is_allowed(subnet, **node);
        nodes.iter().filter(is_allowed).filter_map(|node| find(connected, *node))
    }

    fn count_missing(&self, message: &Outbound, nodes: usize) {
        if nodes > 0 {
            self.shared.counters.failed_to_send(Op::from(&message.payload), nodes);
        }
    }

    fn queue(&self, message: &Outbound, targets: &[&Arc<Connection>]) -> BTreeSet<NodeId> {
        let mut queued = BTreeSet::new();
        if targets.is_empty() {
            return queued;
        }
        let Some(encoded) = self.encode(message) else {
            self.count_missing(message, targets.len());
            return queued;
        };
        let now = self.shared.clock.instant();
        for connection in targets {
            let is_queued = connection.send(encoded.clone()).is_ok();
            self.shared.counters.queued(encoded.op, is_queued, now);
            if is_queued {
                queued.insert(connection.node());
            }
        }
        queued
    }

    fn encode(&self, message: &Outbound) -> Option<Encoded> {
        let config = &self.shared.peer_config;
        let encoded = config.codec.encode(&Message::from(message.clone()), config.compression);
        encoded.inspect_err(|error| warn!(%error, "cannot encode a message")).ok()
    }

    /// The peers whose handshake is done, in the order of their node IDs.
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        let connected = self.shared.registry.connected();
        let peers = connected.iter().filter_map(|connection| {
            Some(ConnectedPeer { address: connection.address(), info: connection.info()? })
        });
        peers.collect()
    }

    /// Whether a node's handshake is done.
    pub fn is_connected(&self, node: NodeId) -> bool {
        find(&self.shared.registry.connected(), node).is_some()
    }

    /// How the network is.
    pub fn health(&self) -> Health {
        let Shared { registry, counters, membership, clock, node, .. } = &*self.shared;
        let now = clock.instant();
        Health {
            connected_peers: registry.connected().len(),
            time_since_last_msg_received: counters.since_received(now),
            time_since_last_msg_sent: counters.since_sent(now),
            send_fail_rate: counters.send_fail_rate(),
            ingress_connection_count: registry.ingress(),
            is_primary_network_validator: membership.is_validator(Id::EMPTY, *node),
            uptime: now.since(Instant::ZERO),
        }
    }

    /// Everything that is counted.
    pub fn stats(&self) -> Stats {
        let Shared { registry, counters, clock, throttler, dialled, .. } = &*self.shared;
        let (connected, now) = (registry.connected(), clock.instant());
        let (at_large, validator) = {
            let throttler = throttler.lock();
            (throttler.at_large_bytes_left(), throttler.validator_bytes_left())
        };
        let lasted: Duration = connected.iter().map(|it| now - it.since()).sum();
        let sums = *counters.sums.lock();
        Stats {
            peers: connected.len(),
            peers_subnet: self.peers_by_subnet(&connected),
            tracked: dialled.len(),
            times_connected: counters.times_connected.load(Relaxed),
            times_disconnected: counters.times_disconnected.load(Relaxed),
            accept_failed: counters.accept_failed.load(Relaxed),
            tls_conn_rejected: counters.tls_conn_rejected.load(Relaxed),
            inbound_conn_throttler_allowed: counters.inbound_allowed.load(Relaxed),
            inbound_conn_throttler_rate_limited: counters.inbound_rate_limited.load(Relaxed),
            time_since_last_msg_received: counters.since_received(now),
            time_since_last_msg_sent: counters.since_sent(now),
            send_fail_rate: counters.send_fail_rate(),
            peer_connected_duration_average: lasted / (connected.len().max(1) as u32),
            round_trip: sums.round_trip_millis,
            clock_skew: sums.clock_skew_secs,
            msgs_failed_to_parse: counters.failed_to_parse.load(Relaxed),
            messages: counters.by_op(),
            buffer_throttler_inbound: counters.admission.messages.stats(),
            bandwidth_throttler_inbound: counters.admission.bandwidth.stats(),
            byte_throttler_inbound: counters.admission.bytes.stats(),
            throttler_outbound_acquire_successes: counters.outbound_acquired.load(Relaxed),
            throttler_outbound_acquire_failures: counters.outbound_refused.load(Relaxed),
            throttler_outbound_remaining_at_large_bytes: at_large,
            throttler_outbound_remaining_validator_bytes: validator,
            node_uptime: self.node_uptime(),
        }
    }

    /// This node's uptime as its peers see it; `None` if it does not validate the primary network.
    pub fn node_uptime(&self) -> Option<NodeUptime> {
        let Shared { membership, node, .. } = &*self.shared;
        let own = membership.stake(*node);
        if own.weight == 0 || !membership.is_validator(Id::EMPTY, *node) {
            return None;
        }
        let said = self.peers().into_iter().filter_map(|ConnectedPeer { info, .. }| {
            let weight = membership.stake(info.node).weight;
            (weight > 0).then_some((info.observed_uptime, weight))
        });
        Some(NodeUptime::new(own.weight, own.total, said))
    }

    fn peers_by_subnet(&self, connected: &Connected) -> BTreeMap<Id, usize> {
        let subnets = self.shared.peer_config.tracked_subnets.iter().chain([&Id::EMPTY]);
        let count = |subnet: &Id| connected.iter().filter(|it| it.tracks(*subnet)).count();
        subnets.map(|subnet| (*subnet, count(subnet))).collect()
    }

    /// Stops listening and dialling, and ends all connections. When it returns the inbox has heard
    /// of each disconnection, and hears nothing more. Further calls do nothing.
    pub fn close(&self) {
        self.listener.abort();
        let connections = self.shared.registry.close();
        self.shared.dialled.close();
        for connection in connections {
            connection.shut_down(&self.shared);
        }
    }

    /// Blocks the thread until all tasks of a closed network ended and its sockets are closed.
    /// Says false when that takes longer than `limit`. Not for threads of the runtime.
    pub fn wait_closed(&self, limit: Duration) -> bool {
        self.shared.tasks.wait(limit)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.close();
    }
}

fn bind(
    address: SocketAddr,
    runtime: &Handle,
) -> io::Result<(tokio::net::TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let _guard = runtime.enter();
    Ok((tokio::net::TcpListener::from_std(listener)?, address))
}
