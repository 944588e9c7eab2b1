//! The network of a node: connects [`sastrugi_net`] with the router, the validators and the flags.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
};

use sastrugi_engine::{
    chain::Permit as EnginePermit,
    common::NodeSet,
    router::{Network as EngineNetwork, SharedRouter},
    validators::Validators,
};
use sastrugi_net::{
    ConnectedPeer, DialConfig, Inbox, Membership, Network, NetworkConfig, NetworkParts, Permit,
    Recipients, Stats,
};
use sastrugi_types::{
    Id, NodeId,
    message::{Inbound, Outbound},
    version::{Application, Compatibility},
};
use sastrugi_vm::{Clock, SendConfig};
use sastrugi_wire::{
    Compression,
    peer::{PeerConfig, Registration},
    throttle::{OutboundLimits, Stake, Stakes},
};
use tokio::{net::TcpListener, runtime::Handle};

use crate::{
    config::NodeConfig,
    description::{NetworkDescription, Sampling, Subnet},
    environment::{OwnRandom, SystemClock},
    error::StartError,
    identity::NodeIdentity,
};

/// Listens on an address; the error names the flag that changes it.
pub(super) fn bind(
    runtime: &Handle,
    what: &'static str,
    address: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let fault = |error| StartError::Port { what, address: address.to_string(), error, flag };
    let listener = StdListener::bind(address).map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    let _entered = runtime.enter();
    Ok((TcpListener::from_std(listener).map_err(fault)?, bound))
}

/// What the network is made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) description: &'a NetworkDescription,
    pub(super) identity: &'a NodeIdentity,
    pub(super) validators: &'a Arc<Validators>,
    pub(super) subnets: &'a [&'a Subnet],
    pub(super) router: &'a SharedRouter,
    pub(super) clock: Arc<SystemClock>,
    pub(super) runtime: &'a Handle,
}

/// A node's connections.
pub(crate) struct NodeNetwork {
    network: Network,
}

impl NodeNetwork {
    /// Takes the address; nobody is dialled yet, and who connects waits.
    pub(super) fn start(parts: &Parts<'_>) -> Result<Self, StartError> {
        let Parts { config, description, identity, .. } = parts;
        let members = Members::new(parts.description, parts.subnets, parts.validators)?;
        let inbox = RouterInbox {
            router: parts.router.clone(),
            clock: parts.clock.clone(),
            tracked: parts.subnets.iter().map(|subnet| subnet.id).collect(),
            connected_weights: parts
                .subnets
                .iter()
                .filter(|subnet| subnet.sampling == Sampling::Connected)
                .map(|subnet| (subnet.id, subnet.sampling_weight))
                .collect(),
            validators: parts.validators.clone(),
        };
        let network_config = network_config(config, description, parts.subnets)?;
        let address = config.staking_address.to_string();
        let network = Network::bind(
            network_config,
            NetworkParts {
                identity: identity.staking.clone(),
                bls: identity.signer.clone(),
                membership: Arc::new(members),
                inbox: Arc::new(inbox),
                random: Box::new(OwnRandom::new()),
                runtime: parts.runtime.clone(),
            },
        )
        .map_err(|error| match error {
            sastrugi_net::StartError::Listen { error, .. } => {
                StartError::Port { what: "peers", address, error, flag: "staking-port" }
            }
            other => StartError::Other(format!("the network does not start: {other}")),
        })?;
        Ok(Self { network })
    }

    /// Where peers are heard.
    pub(super) fn address(&self) -> SocketAddr {
        self.network.address()
    }

    /// Accepts connections, and dials the peers of the description and of the flags, for as long as
    /// the node runs. Where both name a node the flags' address counts.
    pub(super) fn connect(
        &self,
        config: &NodeConfig,
        description: &NetworkDescription,
    ) -> Result<(), StartError> {
        self.network.accept();
        let own = self.network.node();
        for peer in description.peers.iter().filter(|peer| peer.node_id != own) {
            let address = peer.staking_address.parse().map_err(|_| {
                StartError::Config(format!("{} is not ip:port", peer.staking_address))
            })?;
            self.network.track(peer.node_id, address);
        }
        let given = config.bootstrappers.iter().chain(&config.state_sync_peers);
        for (node, address) in given.filter(|(node, _)| *node != own) {
            self.network.track(*node, *address);
        }
        Ok(())
    }

    /// The connected peers.
    pub(crate) fn peers(&self) -> Vec<ConnectedPeer> {
        self.network.peers()
    }

    /// What the network counts.
    pub(crate) fn stats(&self) -> Stats {
        self.network.stats()
    }

    /// Disconnects from everybody.
    pub(super) fn close(&self) {
        self.network.close();
    }
}

impl EngineNetwork for NodeNetwork {
    fn send(&self, message: &Outbound, to: &NodeSet, subnet: Id) -> NodeSet {
        self.network.send(message, to, subnet)
    }

    fn gossip(&self, message: &Outbound, config: &SendConfig, subnet: Id) -> NodeSet {
        let SendConfig { node_ids, validators, non_validators, peers } = config;
        let recipients = Recipients {
            nodes: node_ids.clone(),
            validators: *validators,
            non_validators: *non_validators,
            peers: *peers,
        };
        self.network.gossip(message, &recipients, subnet)
    }
}

fn network_config(
    config: &NodeConfig,
    description: &NetworkDescription,
    subnets: &[&Subnet],
) -> Result<NetworkConfig, StartError> {
    let values = &config.values;
    let public_ip = config.public_ip.unwrap_or_else(|| config.staking_address.ip());
    let compression = match values.text("network-compression-type").as_str() {
        "zstd" => Compression::Zstd,
        "none" => Compression::None,
        other => {
            return Err(StartError::Config(format!(
                "--network-compression-type: {other:?} is neither zstd nor none"
            )));
        }
    };
    let defaults =
        NetworkConfig::of_network(description.network_id, config.staking_address, public_ip);
    let peer = PeerConfig {
        compatibility: Compatibility {
            upgrade_time: description.upgrades().granite_time.wall(),
            ..defaults.peer.compatibility
        },
        tracked_subnets: subnets.iter().map(|subnet| subnet.id).collect(),
        ping_period: values.duration("network-ping-frequency"),
        timeout: values.duration("network-ping-timeout"),
        clock_difference_max: values.duration("network-max-clock-difference"),
        compression,
        ..defaults.peer.clone()
    };
    let mut config = NetworkConfig {
        peer,
        dial: DialConfig {
            timeout: values.duration("network-outbound-connection-timeout"),
            delay_initial: values.duration("network-initial-reconnect-delay"),
            delay_max: values.duration("network-max-reconnect-delay"),
            ..defaults.dial
        },
        outbound: OutboundLimits {
            validator_bytes: values.number("throttler-outbound-validator-alloc-size"),
            at_large_bytes: values.number("throttler-outbound-at-large-alloc-size"),
            node_at_large_bytes_max: values.number("throttler-outbound-node-max-at-large-bytes"),
        },
        ..defaults
    };
    config.accept.upgrade_timeout = values.duration("network-read-handshake-timeout");
    Ok(config)
}

/// Who validates, by the description.
struct Members {
    primary: std::collections::BTreeMap<NodeId, (u64, Option<sastrugi_crypto::bls::PublicKey>)>,
    total: u64,
    validators: Arc<Validators>,
    /// Subnets that only validators and some others may hear.
    closed: std::collections::BTreeMap<Id, BTreeSet<NodeId>>,
}

impl Members {
    fn new(
        description: &NetworkDescription,
        subnets: &[&Subnet],
        validators: &Arc<Validators>,
    ) -> Result<Self, StartError> {
        let listed = &description.primary.validators;
        let entry = |validator: &crate::description::Validator| {
            let key = validator.bls_key().map_err(StartError::Config)?;
            Ok((validator.node_id, (validator.weight, key)))
        };
        let closed = subnets.iter().filter(|subnet| subnet.config.validator_only);
        Ok(Self {
            primary: listed.iter().map(entry).collect::<Result<_, StartError>>()?,
            total: listed.iter().map(|validator| validator.weight).sum(),
            validators: validators.clone(),
            closed: closed
                .map(|subnet| (subnet.id, subnet.config.allowed_nodes.iter().copied().collect()))
                .collect(),
        })
    }
}

impl Stakes for Members {
    fn stake(&self, node: NodeId) -> Stake {
        let weight = self.primary.get(&node).map_or(0, |(weight, _)| *weight);
        Stake { weight, total: self.total }
    }
}

impl Membership for Members {
    fn is_validator(&self, subnet: Id, node: NodeId) -> bool {
        if subnet == Id::EMPTY {
            return self.primary.contains_key(&node);
        }
        self.validators.weight(subnet, &node) > 0
    }

    fn validators(&self, subnet: Id) -> usize {
        if subnet == Id::EMPTY { self.primary.len() } else { self.validators.len(subnet) }
    }

    fn is_allowed(&self, subnet: Id, node: NodeId) -> bool {
        self.closed
            .get(&subnet)
            .is_none_or(|allowed| allowed.contains(&node) || self.is_validator(subnet, node))
    }

    fn registration(&self, node: NodeId) -> Option<Registration> {
        let (_, key) = self.primary.get(&node)?;
        Some(Registration { tx: registration_tx(node), key: *key })
    }
}

/// What stands for the transaction that made a node a validator. It must not be the zero ID, under
/// which a peer's BLS signature would not be checked.
fn registration_tx(node: NodeId) -> Id {
    let mut tx = [0; 32];
    tx[..node.0.len()].copy_from_slice(&node.0);
    Id(tx)
}

/// Takes what peers say to the router.
struct RouterInbox {
    router: SharedRouter,
    clock: Arc<SystemClock>,
    tracked: BTreeSet<Id>,
    /// Subnets in which every connected peer validates, and with what weight.
    connected_weights: Vec<(Id, u64)>,
    validators: Arc<Validators>,
}

impl Inbox for RouterInbox {
    fn connected(&self, node: NodeId, application: &Application, subnets: &BTreeSet<Id>) {
        for (subnet, weight) in &self.connected_weights {
            let validator = sastrugi_engine::validators::Validator {
                node,
                public_key: None,
                tx: Id::EMPTY,
                weight: *weight,
            };
            if let Err(error) = self.validators.add_staker(*subnet, validator) {
                tracing::error!(%node, %error, "a connected peer cannot become a validator");
            }
        }
        let mut router = self.router.lock();
        router.connected(node, application, Id::EMPTY);
        for subnet in subnets.intersection(&self.tracked) {
            router.connected(node, application, *subnet);
        }
    }

    fn disconnected(&self, node: NodeId) {
        self.router.lock().disconnected(node);
        for (subnet, weight) in &self.connected_weights {
            if let Err(error) = self.validators.remove_weight(*subnet, node, *weight) {
                tracing::error!(%node, %error, "a peer that left was no validator");
            }
        }
    }

    fn inbound(&self, message: Inbound, permit: Permit) {
        self.router.lock().inbound(self.clock.now(), message, EnginePermit::new(permit));
    }
}
