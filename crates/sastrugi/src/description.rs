//! The network description: what a node without a P-Chain must be told about its network.
//!
//! A JSON file, `sastrugi.json` in a network's directory, given to a node by `--network-file`. IDs
//! and node IDs are in their usual text forms, byte strings in hex without a prefix, BLS public
//! keys `0x` and 48 bytes, durations in nanoseconds, times RFC 3339. An unknown member is an
//! error, because it is probably a misspelt one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    path::Path,
};

use sastrugi_consensus::snowball::Parameters;
use sastrugi_crypto::bls;
use sastrugi_types::{Id, NodeId, upgrade::UpgradeSchedule};
use serde::{Deserialize, Serialize};

use crate::error::{StartError, at};

/// The only version of the format.
const VERSION: u32 = 1;
/// Largest description file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A whole network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkDescription {
    /// Version of the format: 1.
    pub version: u32,
    /// The network's number; nodes of another network are refused.
    #[serde(rename = "networkID")]
    pub network_id: u32,
    /// The asset AVAX, told to VMs.
    #[serde(rename = "avaxAssetID", default)]
    pub avax_asset_id: Id,
    /// When each upgrade becomes active, as `info.upgrades` answers; that of the network's number
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrades: Option<UpgradeSchedule>,
    /// What stands in for the P-Chain's heights.
    #[serde(default)]
    pub p_chain: PChain,
    /// The primary network.
    #[serde(default)]
    pub primary: Primary,
    /// The subnets with their chains.
    pub subnets: Vec<Subnet>,
    /// Further names of chains.
    #[serde(default)]
    pub aliases: BTreeMap<String, Id>,
    /// Whom to dial at the start.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// The heights a fixed state answers with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PChain {
    /// The lowest height new blocks should refer to.
    pub minimum_height: u64,
    /// The current height.
    pub current_height: u64,
}

/// The primary network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Primary {
    /// The X-Chain, told to VMs.
    #[serde(rename = "xChainID")]
    pub x_chain_id: Id,
    /// The C-Chain, told to VMs.
    #[serde(rename = "cChainID")]
    pub c_chain_id: Id,
    /// The primary network's validators.
    pub validators: Vec<Validator>,
}

/// A validator of a set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validator {
    /// The node.
    #[serde(rename = "nodeID")]
    pub node_id: NodeId,
    /// Its weight, above zero.
    pub weight: u64,
    /// Its BLS public key, `0x` and 48 bytes in hex, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A subnet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subnet {
    /// Its ID.
    pub id: Id,
    /// How it came to be.
    pub kind: SubnetKind,
    /// Whose votes count.
    pub sampling: Sampling,
    /// The weight of every connected peer when `sampling` is `connected`.
    #[serde(default = "default_sampling_weight")]
    pub sampling_weight: u64,
    /// The validators, at all heights or from certain heights on.
    pub validators: Validators,
    /// Its settings.
    #[serde(default)]
    pub config: SubnetConfig,
    /// Its chains.
    pub chains: Vec<Chain>,
}

const fn default_sampling_weight() -> u64 {
    100
}

/// How a subnet came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubnetKind {
    /// Validators are added by its owner.
    Permissioned,
    /// It manages its validators itself.
    L1,
}

/// Whose votes count in consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every connected peer's and the node's own, with equal weight: sybil protection is off.
    Connected,
    /// Those of the listed validators.
    Listed,
}

/// The validators of a subnet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Validators {
    /// The same at every height.
    Always(Vec<Validator>),
    /// Sets that each hold from a height on.
    ByHeight(Vec<ValidatorsFrom>),
}

/// A validator set that holds from a height on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatorsFrom {
    /// The first height it holds at.
    pub from_height: u64,
    /// The set.
    pub validators: Vec<Validator>,
}

/// A subnet's settings, with upstream's names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SubnetConfig {
    /// Consensus parameters; those that are absent come from the node's flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consensus_parameters: Option<SnowParameters>,
    /// Smallest time between blocks of the proposer wrapper, in nanoseconds.
    pub proposer_min_block_delay: u64,
    /// How many blocks the proposer wrapper keeps; 0 is all.
    pub proposer_num_historical_blocks: u64,
    /// Whether only validators may connect to the subnet's chains.
    pub validator_only: bool,
    /// Others that may when `validatorOnly` is set.
    pub allowed_nodes: Vec<NodeId>,
}

/// Consensus parameters as they stand in files; an absent one is not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SnowParameters {
    /// Sample size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<u32>,
    /// Older name for both quorums; wins over them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<u32>,
    /// Votes that keep or change the preference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha_preference: Option<u32>,
    /// Votes that raise confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha_confidence: Option<u32>,
    /// Consecutive confident polls that decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<u32>,
    /// Polls kept open while something is processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_repolls: Option<u32>,
    /// Building pauses at so many processing blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimal_processing: Option<u32>,
    /// Unhealthy above so many processing blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_outstanding_items: Option<u32>,
    /// Unhealthy when a block is processing for longer, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_item_processing_time: Option<u64>,
}

/// A chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// Its ID.
    pub id: Id,
    /// A name for people; also an alias.
    pub name: String,
    /// The VM that runs it.
    #[serde(rename = "vmID")]
    pub vm_id: Id,
    /// Feature extensions.
    #[serde(rename = "fxIDs", default)]
    pub fx_ids: Vec<Id>,
    /// Genesis bytes in hex.
    pub genesis: String,
    /// The chain's `config` file, as text.
    #[serde(default)]
    pub config: String,
    /// The chain's `upgrade` file, as text.
    #[serde(default)]
    pub upgrade: String,
    /// Whom to bootstrap from; empty is all connected validators.
    #[serde(default)]
    pub beacons: Vec<NodeId>,
}

/// A peer to dial.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// The node that must answer there.
    #[serde(rename = "nodeID")]
    pub node_id: NodeId,
    /// Where it listens for peers, `ip:port`.
    pub staking_address: String,
}

impl NetworkDescription {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// Says in one line what is wrong, where, and what to do.
    pub fn read(path: &Path) -> Result<Self, StartError> {
        let mut text = String::new();
        let mut file = File::open(path).map_err(at(path))?.take(FILE_BYTES_MAX + 1);
        file.read_to_string(&mut text).map_err(at(path))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(StartError::file(
                path,
                format!("is too large for a network description, at most {FILE_BYTES_MAX} bytes"),
            ));
        }
        let description: Self = serde_json::from_str(&text).map_err(|error| {
            StartError::file(path, format!("not a network description: {error}"))
        })?;
        description.check().map_err(|fault| StartError::file(path, fault))?;
        Ok(description)
    }

    /// What is wrong with the description, if anything.
    pub fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!(
                "version {} is not known, this node reads {VERSION}",
                self.version
            ));
        }
        self.check_upgrades().map_err(|error| format!("upgrades: {error}"))?;
        let PChain { minimum_height, current_height } = self.p_chain;
        if minimum_height > current_height {
            return Err(format!(
                "pChain.minimumHeight: {minimum_height} is above currentHeight, {current_height}"
            ));
        }
        check_validators("primary.validators", &self.primary.validators)?;
        let mut chains = BTreeSet::new();
        for (index, subnet) in self.subnets.iter().enumerate() {
            let place = format!("subnets[{index}]");
            subnet.check(&place)?;
            for (number, chain) in subnet.chains.iter().enumerate() {
                let place = format!("{place}.chains[{number}]");
                chain.genesis_bytes().map_err(|error| format!("{place}.genesis: {error}"))?;
                if !chains.insert(chain.id) {
                    return Err(format!("{place}.id: {} is listed twice", chain.id));
                }
            }
        }
        for (index, peer) in self.peers.iter().enumerate() {
            peer.staking_address.parse::<std::net::SocketAddr>().map_err(|_| {
                format!("peers[{index}].stakingAddress: {} is not ip:port", peer.staking_address)
            })?;
        }
        Ok(())
    }

    fn check_upgrades(&self) -> Result<(), String> {
        let upgrades = self.upgrades();
        let fixed = !UpgradeSchedule::is_changeable(self.network_id);
        if fixed && upgrades != UpgradeSchedule::of_network(self.network_id) {
            return Err(format!("those of network {} are fixed, leave them out", self.network_id));
        }
        upgrades.check().map_err(|error| error.to_string())
    }

    /// What makes consensus impossible in a subnet, at the current height and with the parameters
    /// of the flags where the subnet sets none.
    pub fn check_parameters(&self, flags: &Parameters) -> Result<(), String> {
        let height = self.p_chain.current_height;
        let mut subnets = self.subnets.iter();
        subnets.try_for_each(|subnet| subnet.check_parameters(&subnet.parameters(flags), height))
    }

    /// When each upgrade becomes active.
    pub fn upgrades(&self) -> UpgradeSchedule {
        let usual = || UpgradeSchedule::of_network(self.network_id);
        self.upgrades.clone().unwrap_or_else(usual)
    }

    /// The subnet and the chain of this name, ID or alias.
    pub fn find_chain(&self, name: &str) -> Option<(&Subnet, &Chain)> {
        let aliased = self.aliases.get(name).copied().or_else(|| name.parse().ok());
        self.chains().find(|(_, chain)| chain.name == name || Some(chain.id) == aliased)
    }

    /// All chains with their subnets.
    pub fn chains(&self) -> impl Iterator<Item = (&Subnet, &Chain)> {
        self.subnets
            .iter()
            .flat_map(|subnet| subnet.chains.iter().map(move |chain| (subnet, chain)))
    }
}

impl Subnet {
    fn check(&self, place: &str) -> Result<(), String> {
        match &self.validators {
            Validators::Always(validators) => {
                check_validators(&format!("{place}.validators"), validators)?;
            }
            Validators::ByHeight(sets) => {
                for (index, set) in sets.iter().enumerate() {
                    let place = format!("{place}.validators[{index}]");
                    check_validators(&format!("{place}.validators"), &set.validators)?;
                }
                if !sets.is_sorted_by(|one, next| one.from_height < next.from_height) {
                    return Err(format!("{place}.validators: heights must ascend"));
                }
            }
        }
        if self.sampling_weight == 0 {
            return Err(format!("{place}.samplingWeight: must be above zero"));
        }
        if !self.config.allowed_nodes.is_empty() && !self.config.validator_only {
            return Err(format!("{place}.config.allowedNodes: needs validatorOnly"));
        }
        Ok(())
    }

    /// The validators at a height.
    pub fn validators_at(&self, height: u64) -> &[Validator] {
        match &self.validators {
            Validators::Always(validators) => validators,
            Validators::ByHeight(sets) => {
                let last = sets.iter().rfind(|set| set.from_height <= height);
                last.map_or(&[], |set| set.validators.as_slice())
            }
        }
    }

    /// What makes consensus impossible with these parameters and the validators at a height.
    pub fn check_parameters(&self, parameters: &Parameters, height: u64) -> Result<(), String> {
        parameters
            .verify()
            .map_err(|error| format!("subnet {}: consensus parameters: {error}", self.id))?;
        if self.sampling == Sampling::Connected {
            return Ok(());
        }
        let total: u64 = self.validators_at(height).iter().map(|validator| validator.weight).sum();
        if total >= parameters.k as u64 {
            return Ok(());
        }
        Err(format!(
            "subnet {}: its validators weigh {total} together, but a poll draws k = {} units; raise \
             their weights in the network description or lower k",
            self.id, parameters.k
        ))
    }

    /// The subnet's consensus parameters: those it sets, the rest as given.
    pub fn parameters(&self, flags: &Parameters) -> Parameters {
        let mut parameters = *flags;
        if let Some(own) = &self.config.consensus_parameters {
            own.apply(&mut parameters);
        }
        parameters
    }
}

impl SnowParameters {
    /// Sets the parameters that are given; zero counts as not given, as upstream.
    pub fn apply(&self, to: &mut Parameters) {
        fn set(to: &mut usize, own: Option<u32>) {
            if let Some(own) = own.filter(|own| *own != 0) {
                *to = own as usize;
            }
        }
        set(&mut to.k, self.k);
        set(&mut to.alpha_preference, self.alpha_preference);
        set(&mut to.alpha_confidence, self.alpha_confidence);
        set(&mut to.alpha_preference, self.alpha);
        set(&mut to.alpha_confidence, self.alpha);
        set(&mut to.beta, self.beta);
        set(&mut to.concurrent_repolls, self.concurrent_repolls);
        set(&mut to.optimal_processing, self.optimal_processing);
        set(&mut to.max_outstanding_items, self.max_outstanding_items);
        if let Some(nanos) = self.max_item_processing_time.filter(|nanos| *nanos != 0) {
            to.max_item_processing_time = std::time::Duration::from_nanos(nanos);
        }
    }
}

impl Chain {
    /// The genesis as bytes.
    pub fn genesis_bytes(&self) -> Result<Vec<u8>, String> {
        const_hex::decode(&self.genesis).map_err(|error| format!("not hex: {error}"))
    }
}

impl Validator {
    /// The BLS public key.
    pub fn bls_key(&self) -> Result<Option<bls::PublicKey>, String> {
        let Some(text) = &self.public_key else { return Ok(None) };
        let digits = text.strip_prefix("0x").ok_or("does not begin with 0x")?;
        let bytes = const_hex::decode(digits).map_err(|error| error.to_string())?;
        bls::PublicKey::from_compressed(&bytes).map(Some).map_err(|error| error.to_string())
    }
}

fn check_validators(place: &str, validators: &[Validator]) -> Result<(), String> {
    let mut total = 0_u64;
    let mut nodes = BTreeSet::new();
    for (index, validator) in validators.iter().enumerate() {
        let place = format!("{place}[{index}]");
        if validator.weight == 0 {
            return Err(format!("{place}.weight: must be above zero"));
        }
        total = total
            .checked_add(validator.weight)
            .ok_or_else(|| format!("{place}.weight: the total is above 2^64"))?;
        if !nodes.insert(validator.node_id) {
            return Err(format!("{place}.nodeID: {} is listed twice", validator.node_id));
        }
        validator.bls_key().map_err(|error| format!("{place}.publicKey: {error}"))?;
    }
    Ok(())
}
