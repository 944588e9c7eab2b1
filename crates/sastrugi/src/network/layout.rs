//! A local network's directory: made, found again, and read by other commands.
//!
//! The layout is tmpnet's, so that its tools find their way, plus `sastrugi.json`, the network
//! description that a `sastrugi node` is started with:
//!
//! ```text
//! <network>/config.json            settings of the network
//! <network>/network.env            export TMPNET_NETWORK_DIR=<network>
//! <network>/sastrugi.json          the network description
//! <network>/subnets/kv.json        the subnet and its chain
//! <network>/NodeID-…/config.json   a node's own flags, its keys among them
//! <network>/NodeID-…/flags.json    all flags of its process
//! <network>/NodeID-…/process.json  while it runs
//! ```
//! Nodes count from 0, in the order of `peers` in `sastrugi.json`. Nodes that were added later come
//! after the first ones, and do not validate. Upstream: `tests/fixture/tmpnet`.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sastrugi_consensus::snowball::Parameters;
use sastrugi_kvvm::Genesis;
use sastrugi_types::{Id, hash, upgrade::UpgradeSchedule};
use sastrugi_vm::Clock as _;
use serde_json::{Value, json};

use crate::{
    config::expand,
    description::{
        Chain, NetworkDescription, Peer, Sampling, SnowParameters, Subnet, SubnetConfig,
        SubnetKind, Validator, Validators,
    },
    environment::SystemClock,
    error::{StartError, at},
    identity::{NodeIdentity, make_folder, replace, write_new},
    node::ProcessContext,
};

/// The folder of the network that was made last.
pub const DEFAULT_DIR: &str = "~/.sastrugi/networks/latest";
/// The name of the description within a network's folder.
pub const DESCRIPTION_FILE: &str = "sastrugi.json";
/// The number of a local network, tmpnet's.
const NETWORK_ID: u32 = 88888;
/// The name of the subnet and of its chain.
pub const CHAIN_NAME: &str = "kv";
/// Every local validator weighs this much.
const WEIGHT: u64 = 100;
/// The first node's HTTP port unless another is asked for; its staking port is the next one, and
/// each further node has the two after these.
pub const HTTP_PORT: u16 = 9650;
/// Mode of files that everybody of the group may read.
const ENV_MODE: u32 = 0o640;
/// Mode of files that hold keys.
const PRIVATE_MODE: u32 = 0o600;
/// Most networks that are set aside beside one.
const ASIDE_MAX: u32 = 10_000;
/// Most nodes of a local network.
pub const NODES_MAX: usize = 100;

/// What a new network is made with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of validators.
    pub nodes: usize,
    /// The first HTTP port, if it was asked for.
    pub http_port: Option<u16>,
    /// Consensus parameters that were asked for.
    pub parameters: SnowParameters,
}

/// A network's folder.
#[derive(Clone, Debug)]
pub struct NetworkDir {
    /// The folder.
    pub path: PathBuf,
    /// Its description.
    pub description: NetworkDescription,
}

impl NetworkDir {
    /// Opens a network that exists.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let file = path.join(DESCRIPTION_FILE);
        if !file.exists() {
            return Err(StartError::file(
                path,
                "there is no network; `sastrugi network` makes and runs one",
            ));
        }
        let path = fs::canonicalize(path).map_err(at(path))?;
        let description = NetworkDescription::read(&file)?;
        Ok(Self { path, description })
    }

    /// Whether there is a network in this folder.
    pub fn exists(path: &Path) -> bool {
        path.join(DESCRIPTION_FILE).exists()
    }

    /// Makes a network. In the default place the folder is a new one, named by the time, and
    /// `latest` leads to it. In another place a network that is there is moved aside.
    ///
    /// # Errors
    /// Nothing is written when the ports that were asked for are taken, or the parameters do not
    /// fit.
    pub fn create(place: &Path, plan: &Plan) -> Result<Self, StartError> {
        let ports = ports(plan.http_port, plan.nodes)?;
        let identities: Vec<NodeIdentity> =
            (0..plan.nodes).map(|_| NodeIdentity::generate()).collect::<Result<_, _>>()?;
        let description = describe(&identities, &ports, plan);
        description.check_parameters(&Parameters::DEFAULT).map_err(StartError::Config)?;
        let is_default = place == expand(DEFAULT_DIR)?;
        if !is_default && Self::exists(place) {
            set_aside(place)?;
        }
        let path = if is_default { new_default_folder(place)? } else { place.to_path_buf() };
        make_folder(&path)?;
        let path = fs::canonicalize(&path).map_err(at(&path))?;
        // A node alone has no peers, and is well without.
        let peers_min = plan.nodes.saturating_sub(1).min(1);
        for (identity, ports) in identities.iter().zip(&ports) {
            write_node(&path, identity, *ports, peers_min, &[])?;
        }
        write_json(&path.join("config.json"), &network_config(&description))?;
        write_json(&path.join("subnets").join("kv.json"), &subnet_file(&description))?;
        write_new(&path.join("network.env"), env_file(&path).as_bytes(), ENV_MODE)?;
        let network = Self { path, description };
        // The description comes last: a folder without it is no network.
        network.save()?;
        if is_default {
            point_at(place, &network.path)?;
        }
        Ok(network)
    }

    /// Adds a node that does not validate, and returns its number. It has the next free ports, or
    /// those asked for, and these flags besides the usual ones.
    ///
    /// # Errors
    /// Nothing is written when the ports that were asked for are taken.
    pub fn add_node(
        &mut self,
        http_port: Option<u16>,
        flags: &[(&str, &str)],
    ) -> Result<usize, StartError> {
        let number = self.description.peers.len();
        if number >= NODES_MAX {
            return Err(StartError::file(&self.path, format!("has {NODES_MAX} nodes, the most")));
        }
        let used =
            (0..number).map(|number| self.ports_of(number)).collect::<Result<Vec<_>, _>>()?;
        let highest = used.iter().map(|(http, staking)| *http.max(staking)).max();
        let next = highest.map_or(HTTP_PORT, |port| port.saturating_add(1));
        let pair = http_port.map_or_else(|| next_ports(next), asked_ports)?;
        let identity = NodeIdentity::generate()?;
        write_node(&self.path, &identity, pair, 1, flags)?;
        self.description.peers.push(Peer {
            node_id: identity.node_id(),
            staking_address: loopback(pair.1).to_string(),
        });
        // The description comes last: a folder that it does not name is no node.
        self.save()?;
        Ok(number)
    }

    /// Keeps other commands from changing the network for as long as the file is held.
    pub fn lock(&self) -> Result<fs::File, StartError> {
        let folder = fs::File::open(&self.path).map_err(at(&self.path))?;
        folder.lock().map_err(at(&self.path))?;
        Ok(folder)
    }

    /// Whether a node validates the network's subnets, as its first nodes do.
    pub fn is_validator(&self, number: usize) -> bool {
        let Some(peer) = self.description.peers.get(number) else { return false };
        let height = self.description.p_chain.current_height;
        let mut subnets = self.description.subnets.iter();
        subnets.any(|subnet| {
            subnet.validators_at(height).iter().any(|validator| validator.node_id == peer.node_id)
        })
    }

    /// Writes the description.
    pub fn save(&self) -> Result<(), StartError> {
        write_json(&self.path.join(DESCRIPTION_FILE), &json!(self.description))
    }

    /// The folder of a node.
    pub fn node_dir(&self, number: usize) -> Result<PathBuf, StartError> {
        let count = self.description.peers.len();
        let peer = self.description.peers.get(number).ok_or_else(|| {
            StartError::Config(format!(
                "there is no node {number}; this network has 0 to {}",
                count.saturating_sub(1)
            ))
        })?;
        Ok(self.path.join(peer.node_id.to_string()))
    }

    /// The flags of a node, as its process is given them. They name the network's files where they
    /// are now, even if the folder was moved.
    pub fn flags(&self, number: usize) -> Result<BTreeMap<String, String>, StartError> {
        let folder = self.node_dir(number)?;
        let mut flags = read_flags(&folder)?;
        flags.insert("data-dir".into(), folder.display().to_string());
        let description = self.path.join(DESCRIPTION_FILE);
        flags.insert("network-file".into(), description.display().to_string());
        Ok(flags)
    }

    /// Writes where the files are, if the folder was moved.
    pub fn settle(&self) -> Result<(), StartError> {
        for number in 0..self.description.peers.len() {
            let (folder, flags) = (self.node_dir(number)?, self.flags(number)?);
            if read_flags(&folder)? != flags {
                write_json(&folder.join("flags.json"), &json!(flags))?;
            }
        }
        let (path, text) = (self.path.join("network.env"), env_file(&self.path));
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        replace(&path, &text, ENV_MODE)
    }

    /// How to reach a node, if it runs.
    pub fn process(&self, number: usize) -> Result<Option<ProcessContext>, StartError> {
        let path = self.node_dir(number)?.join("process.json");
        Ok(ProcessContext::read(&path)?.filter(ProcessContext::is_alive))
    }

    /// Gives these nodes other ports where one of theirs is taken, or all of them the ones asked for:
    /// node 0 the first, and so on.
    pub fn move_ports(&mut self, nodes: &[usize], asked: Option<u16>) -> Result<(), StartError> {
        let current =
            nodes.iter().map(|node| self.ports_of(*node)).collect::<Result<Vec<_>, _>>()?;
        let wanted = match asked {
            Some(first) => {
                let nth = |node: &usize| asked_ports(nth_port(first, *node));
                nodes.iter().map(nth).collect::<Result<Vec<_>, _>>()?
            }
            None if current.iter().all(|(http, staking)| is_free(*http) && is_free(*staking)) => {
                return Ok(());
            }
            None => free_ports(nodes.len())?,
        };
        for (node, (http, staking)) in nodes.iter().zip(&wanted) {
            let mut flags = self.flags(*node)?;
            flags.insert("http-port".into(), http.to_string());
            flags.insert("staking-port".into(), staking.to_string());
            write_json(&self.node_dir(*node)?.join("flags.json"), &json!(flags))?;
            self.description.peers[*node].staking_address = loopback(*staking).to_string();
        }
        self.save()
    }

    fn ports_of(&self, number: usize) -> Result<(u16, u16), StartError> {
        let flags = self.flags(number)?;
        let port = |name: &str| flags.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((port("http-port"), port("staking-port")))
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

/// The HTTP port of a node when node 0 has the first; the last port there is, which no node can
/// have, when they do not suffice.
fn nth_port(first: u16, node: usize) -> u16 {
    let offset = u16::try_from(2 * node).unwrap_or(u16::MAX);
    first.saturating_add(offset)
}

/// The port that was asked for and the next one, which must be free.
fn asked_ports(http: u16) -> Result<(u16, u16), StartError> {
    let staking = http.checked_add(1);
    let staking = staking.ok_or_else(|| {
        StartError::Config("--http-port: ports end at 65535, and each node needs two".into())
    })?;
    for port in [http, staking] {
        if let Err(error) = TcpListener::bind(loopback(port)) {
            let address = loopback(port).to_string();
            return Err(StartError::Port { what: "node", address, error, flag: "http-port" });
        }
    }
    Ok((http, staking))
}

/// The next pairs of free ports.
fn free_ports(count: usize) -> Result<Vec<(u16, u16)>, StartError> {
    let mut first = HTTP_PORT;
    let next = |_| {
        let pair = next_ports(first)?;
        first = pair.1.saturating_add(1);
        Ok(pair)
    };
    (0..count).map(next).collect()
}

/// The next pair of free ports.
fn next_ports(first: u16) -> Result<(u16, u16), StartError> {
    (first..u16::MAX)
        .step_by(2)
        .map(|http| (http, http + 1))
        .find(|(http, staking)| is_free(*http) && is_free(*staking))
        .ok_or_else(|| StartError::Config(format!("no pair of free ports from {first} on")))
}

/// The ports of the nodes of a new network.
fn ports(asked: Option<u16>, count: usize) -> Result<Vec<(u16, u16)>, StartError> {
    match asked {
        Some(first) => (0..count).map(|node| asked_ports(nth_port(first, node))).collect(),
        None => free_ports(count),
    }
}

fn describe(identities: &[NodeIdentity], ports: &[(u16, u16)], plan: &Plan) -> NetworkDescription {
    let validators: Vec<Validator> = identities
        .iter()
        .map(|identity| Validator {
            node_id: identity.node_id(),
            weight: WEIGHT,
            public_key: Some(format!(
                "0x{}",
                const_hex::encode(identity.signer.public_key().to_compressed())
            )),
        })
        .collect();
    let genesis = Genesis::default().to_json();
    // IDs that differ between networks, as those of a P-Chain would.
    let mut seed = genesis.clone().into_bytes();
    for identity in identities {
        seed.extend_from_slice(&identity.node_id().0);
    }
    let subnet_id = Id(hash::sha256(&seed));
    let chain_id = Id(hash::sha256(&subnet_id.0));
    let peers = identities.iter().zip(ports).map(|(identity, (_, staking))| Peer {
        node_id: identity.node_id(),
        staking_address: loopback(*staking).to_string(),
    });
    let config =
        SubnetConfig { consensus_parameters: Some(plan.parameters), ..SubnetConfig::default() };
    NetworkDescription {
        version: 1,
        network_id: NETWORK_ID,
        avax_asset_id: Id::EMPTY,
        upgrades: Some(UpgradeSchedule::of_network(NETWORK_ID)),
        p_chain: crate::description::PChain::default(),
        primary: crate::description::Primary {
            validators: validators.clone(),
            ..crate::description::Primary::default()
        },
        subnets: vec![Subnet {
            id: subnet_id,
            kind: SubnetKind::Permissioned,
            sampling: Sampling::Listed,
            sampling_weight: WEIGHT,
            validators: Validators::Always(validators),
            config,
            chains: vec![Chain {
                id: chain_id,
                name: CHAIN_NAME.into(),
                vm_id: sastrugi_kvvm::VM_ID,
                fx_ids: Vec::new(),
                genesis: const_hex::encode(genesis),
                config: String::new(),
                upgrade: String::new(),
                beacons: Vec::new(),
            }],
        }],
        aliases: BTreeMap::new(),
        peers: peers.collect(),
    }
}

fn write_node(
    network: &Path,
    identity: &NodeIdentity,
    (http, staking): (u16, u16),
    peers_min: usize,
    more: &[(&str, &str)],
) -> Result<(), StartError> {
    let folder = network.join(identity.node_id().to_string());
    let own = BTreeMap::from([
        ("staking-tls-cert-file-content", STANDARD.encode(identity.staking.certificate_pem())),
        ("staking-tls-key-file-content", STANDARD.encode(identity.staking.private_key_pem())),
        ("staking-signer-key-file-content", STANDARD.encode(identity.signer.to_bytes())),
    ]);
    let config = json!({ "isEphemeral": false, "flags": own, "runtimeConfig": {} });
    let mut flags: BTreeMap<&str, String> = own;
    let description = network.join(DESCRIPTION_FILE);
    flags.insert("data-dir", folder.display().to_string());
    flags.insert("network-file", description.display().to_string());
    flags.insert("network-id", NETWORK_ID.to_string());
    flags.insert("http-host", Ipv4Addr::LOCALHOST.to_string());
    flags.insert("http-port", http.to_string());
    flags.insert("staking-host", Ipv4Addr::LOCALHOST.to_string());
    flags.insert("staking-port", staking.to_string());
    flags.insert("public-ip", Ipv4Addr::LOCALHOST.to_string());
    flags.insert("network-max-reconnect-delay", "1s".into());
    flags.insert("network-health-min-conn-peers", peers_min.to_string());
    flags.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let text = |value: &Value| format!("{value:#}\n");
    write_new(&folder.join("config.json"), text(&config).as_bytes(), PRIVATE_MODE)?;
    write_new(&folder.join("flags.json"), text(&json!(flags)).as_bytes(), PRIVATE_MODE)
}

fn network_config(description: &NetworkDescription) -> Value {
    json!({
        "uuid": description.subnets[0].id.to_string(),
        "owner": "sastrugi",
        "networkID": description.network_id,
        "primarySubnetConfig": {},
        "primaryChainConfigs": {},
        "defaultFlags": {},
        "defaultRuntimeConfig": { "process": {} },
        "preFundedKeys": [],
    })
}

fn subnet_file(description: &NetworkDescription) -> Value {
    let subnet = &description.subnets[0];
    let validators = subnet.validators_at(0);
    let chains = subnet.chains.iter().map(|chain| {
        let genesis = const_hex::decode(&chain.genesis).unwrap_or_default();
        json!({
            "VMID": chain.vm_id,
            "Config": chain.config,
            "Genesis": STANDARD.encode(genesis),
            "VersionArgs": [],
            "ChainID": chain.id,
        })
    });
    json!({
        "Name": CHAIN_NAME,
        "Config": subnet.config,
        "SubnetID": subnet.id,
        "ValidatorIDs": validators.iter().map(|validator| validator.node_id).collect::<Vec<_>>(),
        "Chains": chains.collect::<Vec<_>>(),
    })
}

fn read_flags(folder: &Path) -> Result<BTreeMap<String, String>, StartError> {
    let path = folder.join("flags.json");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    serde_json::from_str(&text).map_err(|error| StartError::file(&path, error.to_string()))
}

fn env_file(network: &Path) -> String {
    format!("export TMPNET_NETWORK_DIR={}\n", network.display())
}

fn write_json(path: &Path, value: &Value) -> Result<(), StartError> {
    replace(path, &format!("{value:#}\n"), PRIVATE_MODE)
}

/// Moves a network away, so that nothing in it is lost; it can be run from where it is then.
fn set_aside(place: &Path) -> Result<(), StartError> {
    let place = fs::canonicalize(place).map_err(at(place))?;
    let free = (1..=ASIDE_MAX)
        .map(|number| place.with_added_extension(format!("old{number}")))
        .find(|aside| !aside.exists());
    let aside = free.ok_or_else(|| StartError::file(&place, "has no free name beside it"))?;
    fs::rename(&place, &aside).map_err(at(&place))?;
    NetworkDir::open(&aside)?.settle()
}

/// The folder of a new network beside `latest`, named by the time.
fn new_default_folder(latest: &Path) -> Result<PathBuf, StartError> {
    let root = latest.parent().ok_or_else(|| StartError::file(latest, "has no folder above"))?;
    make_folder(root)?;
    let now = jiff::Timestamp::from_nanosecond(i128::from(SystemClock::start().wall().0))
        .unwrap_or_default();
    let name: String = now
        .to_string()
        .chars()
        .filter_map(|letter| match letter {
            'T' => Some('-'),
            '-' | ':' | 'Z' => None,
            other => Some(other),
        })
        .collect();
    Ok(root.join(name))
}

/// Makes the link `latest` lead to a network.
fn point_at(latest: &Path, network: &Path) -> Result<(), StartError> {
    let is_link = fs::symlink_metadata(latest).is_ok_and(|data| data.is_symlink());
    if is_link {
        fs::remove_file(latest).map_err(at(latest))?;
    } else if latest.exists() {
        return Err(StartError::file(latest, "is not a link; move it away"));
    }
    symlink(network, latest).map_err(at(latest))
}
