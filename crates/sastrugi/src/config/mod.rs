//! What a node is told: flags, checked and in their types.

mod duration;
mod flags;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use sastrugi_consensus::snowball::Parameters;
use sastrugi_types::{Id, NodeId};

pub use flags::{Values, arguments, unknown};

use crate::{
    error::StartError,
    identity::{KeySource, LoadedIdentity, NodeIdentity},
};

/// A node's configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The values it was read from, for settings that are used in one place only.
    pub values: Values,
    /// Folder of the node's files.
    pub data_dir: PathBuf,
    /// Folder of the database.
    pub db_dir: PathBuf,
    /// Folder of the log files.
    pub log_dir: PathBuf,
    /// Folder for files of virtual machines.
    pub chain_data_dir: PathBuf,
    /// Folder of chain configurations.
    pub chain_config_dir: PathBuf,
    /// Where the running node says how to reach it.
    pub process_context_file: PathBuf,
    /// The network description.
    pub network_file: PathBuf,
    /// Where to listen for peers.
    pub staking_address: SocketAddr,
    /// The address told to peers, if another.
    pub public_ip: Option<IpAddr>,
    /// Where to serve the API.
    pub http_address: SocketAddr,
    /// Peers to dial beside those of the description.
    pub bootstrappers: Vec<(NodeId, SocketAddr)>,
    /// Peers whose word on recent states counts; nobody stands for the validators.
    pub state_sync_peers: Vec<(NodeId, SocketAddr)>,
    /// Subnets to take part in; `None` is all of the description.
    pub track_subnets: Option<Vec<Id>>,
    /// Consensus parameters for subnets that set none.
    pub parameters: Parameters,
    /// Where the keys are.
    pub keys: Keys,
}

/// Where a node's keys come from.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The staking certificate.
    pub certificate: KeySource,
    /// Its private key.
    pub key: KeySource,
    /// The BLS key.
    pub signer: KeySource,
}

impl Keys {
    /// Loads them; new ones are not written yet.
    pub fn load(&self) -> Result<LoadedIdentity, StartError> {
        NodeIdentity::load(&self.certificate, &self.key, &self.signer)
    }
}

impl NodeConfig {
    /// Checks the values and puts them in their types.
    pub fn new(values: Values) -> Result<Self, StartError> {
        let data_dir = expand(&values.text("data-dir"))?;
        let folder = |flag: &str, default: &str| match values.text(flag).as_str() {
            "" => Ok(data_dir.join(default)),
            given => expand(given),
        };
        check_timeouts(&values)?;
        let network_file = values.text("network-file");
        if network_file.is_empty() {
            return Err(StartError::Config(
                "a node needs --network-file; `sastrugi network` makes one, sastrugi.json in the \
                 network's folder"
                    .into(),
            ));
        }
        Ok(Self {
            db_dir: folder("db-dir", "db")?,
            log_dir: folder("log-dir", "logs")?,
            chain_data_dir: folder("chain-data-dir", "chainData")?,
            chain_config_dir: folder("chain-config-dir", "configs/chains")?,
            process_context_file: folder("process-context-file", "process.json")?,
            network_file: expand(&network_file)?,
            staking_address: address(&values, "staking-host", "staking-port")?,
            public_ip: public_ip(&values)?,
            http_address: address(&values, "http-host", "http-port")?,
            bootstrappers: peers(&values, "bootstrap-ips", "bootstrap-ids")?,
            state_sync_peers: peers(&values, "state-sync-ips", "state-sync-ids")?,
            track_subnets: track_subnets(&values)?,
            parameters: parameters(&values)?,
            keys: keys(&values, &data_dir)?,
            data_dir,
            values,
        })
    }
}

/// Replaces a leading `~` by the home folder.
pub(crate) fn expand(path: &str) -> Result<PathBuf, StartError> {
    let Some(rest) = path.strip_prefix('~') else { return Ok(PathBuf::from(path)) };
    let home = std::env::home_dir()
        .ok_or_else(|| StartError::Config(format!("{path}: there is no home folder")))?;
    Ok(home.join(rest.trim_start_matches('/')))
}

fn address(values: &Values, host: &str, port: &str) -> Result<SocketAddr, StartError> {
    let ip = match values.text(host).as_str() {
        "" => IpAddr::from([0, 0, 0, 0]),
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        text => text
            .parse()
            .map_err(|_| StartError::Config(format!("--{host}: {text:?} is not an IP address")))?,
    };
    let number = u16::try_from(values.number(port))
        .map_err(|_| StartError::Config(format!("--{port}: ports end at 65535")))?;
    Ok(SocketAddr::new(ip, number))
}

fn public_ip(values: &Values) -> Result<Option<IpAddr>, StartError> {
    match values.text("public-ip").as_str() {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| StartError::Config(format!("--public-ip: {text:?} is not an IP address"))),
    }
}

/// Peers given as a list of addresses and one of node IDs.
fn peers(values: &Values, ips: &str, ids: &str) -> Result<Vec<(NodeId, SocketAddr)>, StartError> {
    let (addresses, nodes) = (values.list(ips), values.list(ids));
    if addresses.len() != nodes.len() {
        return Err(StartError::Config(format!(
            "--{ips} names {} peers and --{ids} {}; give one ID for each address",
            addresses.len(),
            nodes.len()
        )));
    }
    let pair = |(address, node): (&String, &String)| {
        let address = address
            .parse()
            .map_err(|_| StartError::Config(format!("--{ips}: {address:?} is not ip:port")))?;
        let node = node
            .parse()
            .map_err(|error| StartError::Config(format!("--{ids}: {node:?}: {error}")))?;
        Ok((node, address))
    };
    let pairs: Vec<_> = addresses.iter().zip(&nodes).map(pair).collect::<Result<_, _>>()?;
    for (index, (node, _)) in pairs.iter().enumerate() {
        if pairs[..index].iter().any(|(earlier, _)| earlier == node) {
            return Err(StartError::Config(format!("--{ids}: {node} is listed twice")));
        }
    }
    Ok(pairs)
}

fn track_subnets(values: &Values) -> Result<Option<Vec<Id>>, StartError> {
    let names = values.list("track-subnets");
    if names.is_empty() {
        return Ok(None);
    }
    let parse = |name: &String| {
        name.parse()
            .map_err(|error| StartError::Config(format!("--track-subnets: {name:?}: {error}")))
    };
    names.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

/// The consensus parameters of the flags.
pub(crate) fn parameters(values: &Values) -> Result<Parameters, StartError> {
    let number = |flag: &str| values.number(flag) as usize;
    let mut parameters = Parameters {
        k: number("snow-sample-size"),
        alpha_preference: number("snow-preference-quorum-size"),
        alpha_confidence: number("snow-confidence-quorum-size"),
        beta: number("snow-commit-threshold"),
        concurrent_repolls: number("snow-concurrent-repolls"),
        optimal_processing: number("snow-optimal-processing"),
        max_outstanding_items: number("snow-max-processing"),
        max_item_processing_time: values.duration("snow-max-time-processing"),
    };
    if values.is_given("snow-quorum-size") {
        parameters.alpha_preference = number("snow-quorum-size");
        parameters.alpha_confidence = number("snow-quorum-size");
    }
    parameters.verify().map_err(|error| StartError::Config(format!("--snow-…: {error}")))?;
    Ok(parameters)
}

fn keys(values: &Values, data_dir: &Path) -> Result<Keys, StartError> {
    let source = |flag: &str, file: &str, ephemeral: &str| {
        let content = values.text(&format!("{flag}-content"));
        if values.bool(ephemeral) {
            Ok(KeySource::Ephemeral)
        } else if !content.is_empty() {
            decode_base64(&content)
                .map(KeySource::Content)
                .ok_or_else(|| StartError::Config(format!("--{flag}-content: not base64")))
        } else if values.text(flag).is_empty() {
            Ok(KeySource::FileOrNew(data_dir.join("staking").join(file)))
        } else {
            expand(&values.text(flag)).map(KeySource::File)
        }
    };
    Ok(Keys {
        certificate: source(
            "staking-tls-cert-file",
            "staker.crt",
            "staking-ephemeral-cert-enabled",
        )?,
        key: source("staking-tls-key-file", "staker.key", "staking-ephemeral-cert-enabled")?,
        signer: source(
            "staking-signer-key-file",
            "signer.key",
            "staking-ephemeral-signer-enabled",
        )?,
    })
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()
}

/// Relations between timeouts that other parts rely on.
fn check_timeouts(values: &Values) -> Result<(), StartError> {
    let at_most = |one: &str, other: &str| {
        if values.duration(one) <= values.duration(other) {
            return Ok(());
        }
        Err(StartError::Config(format!("--{one} must be at most --{other}")))
    };
    at_most("network-minimum-timeout", "network-initial-timeout")?;
    at_most("network-initial-timeout", "network-maximum-timeout")?;
    at_most("network-initial-reconnect-delay", "network-max-reconnect-delay")?;
    at_most("network-ping-frequency", "network-ping-timeout")?;
    for flag in [
        "network-minimum-timeout",
        "network-timeout-halflife",
        "consensus-frontier-poll-frequency",
        "health-check-frequency",
        "network-ping-frequency",
    ] {
        if values.duration(flag) == Duration::ZERO {
            return Err(StartError::Config(format!("--{flag} must be above zero")));
        }
    }
    if values.fraction("network-timeout-coefficient") < 1.0 {
        return Err(StartError::Config("--network-timeout-coefficient must be at least 1".into()));
    }
    for flag in [
        "consensus-app-concurrency",
        "bootstrap-ancestors-max-containers-sent",
        "bootstrap-ancestors-max-containers-received",
    ] {
        if values.number(flag) == 0 {
            return Err(StartError::Config(format!("--{flag} must be above zero")));
        }
    }
    Ok(())
}
