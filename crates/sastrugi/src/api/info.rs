//! The service `info`. Upstream: `api/info/service.go`.

use std::collections::BTreeMap;

use sastrugi_crypto::bls::ProofOfPossession;
use sastrugi_types::{Id, NodeId, WallTime, formatting};
use sastrugi_vm::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{arguments, tx_fee};
use crate::{
    node::Shared,
    version::{CLIENT_VERSION, DATABASE_VERSION, PLUGIN_PROTOCOL, VERSION},
};

#[derive(Deserialize)]
struct Alias {
    #[serde(default)]
    alias: String,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default)]
    chain: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peers {
    #[serde(default, rename = "nodeIDs")]
    node_ids: Vec<NodeId>,
}

/// Makes a call.
pub(super) fn call(node: &Shared, method: &str, params: Value) -> Result<Value, String> {
    match method {
        "info.getNodeVersion" => Ok(json!({
            "version": CLIENT_VERSION,
            "databaseVersion": DATABASE_VERSION,
            "rpcProtocolVersion": PLUGIN_PROTOCOL.to_string(),
            "gitCommit": "",
            "vmVersions": node.vm_versions(),
            "sastrugi": VERSION,
        })),
        "info.getNodeID" => Ok(json!({
            "nodeID": node.node_id(),
            "nodePOP": ProofOfPossession::new(&node.identity().signer),
        })),
        "info.getNodeIP" => Ok(json!({ "ip": node.public_address().to_string() })),
        "info.getNetworkID" => {
            Ok(json!({ "networkID": node.description().network_id.to_string() }))
        }
        "info.getNetworkName" => Ok(json!({
            "networkName": formatting::network_name(node.description().network_id)
        })),
        "info.getTxFee" => Ok(tx_fee::answer(node.description().network_id)),
        "info.getBlockchainID" => {
            let Alias { alias } = arguments(params)?;
            let chain = find(node, &alias)?;
            Ok(json!({ "blockchainID": chain }))
        }
        "info.isBootstrapped" => is_bootstrapped(node, &arguments::<Chain>(params)?.chain),
        "info.peers" => Ok(peers(node, &arguments::<Peers>(params)?.node_ids)),
        "info.uptime" => uptime(node),
        "info.acps" => Ok(json!({ "acps": {} })),
        "info.upgrades" => Ok(json!(node.description().upgrades())),
        "info.getVMs" => Ok(json!({ "vms": vms(node), "fxs": {} })),
        _ => Err(unknown(method)),
    }
}

/// Upstream's texts for methods that do not exist.
fn unknown(method: &str) -> String {
    let name = method.rsplit('.').next().unwrap_or_default();
    if name.starts_with(|letter: char| letter.is_uppercase()) {
        return "method must start with a non-uppercase letter".into();
    }
    format!("rpc: can't find method \"{method}\"")
}

fn find(node: &Shared, name: &str) -> Result<Id, String> {
    node.chain(name)
        .map(|chain| chain.id)
        .ok_or_else(|| format!("there is no ID with alias {name}"))
}

fn is_bootstrapped(node: &Shared, name: &str) -> Result<Value, String> {
    if name.is_empty() {
        return Err("argument 'chain' not given".into());
    }
    let chain =
        node.chain(name).ok_or_else(|| format!("there is no chain with alias/ID '{name}'"))?;
    Ok(json!({ "isBootstrapped": chain.view.look().state == State::NormalOp }))
}

/// This node's uptime as its peers see it; only validators have one.
fn uptime(node: &Shared) -> Result<Value, String> {
    let uptime = node.network().stats().node_uptime.ok_or("this node is no validator")?;
    Ok(json!({
        "rewardingStakePercentage": format!("{:.4}", uptime.rewarding_stake_percent),
        "weightedAveragePercentage": format!("{:.4}", uptime.weighted_average_percent),
    }))
}

fn vms(node: &Shared) -> BTreeMap<String, Vec<String>> {
    let named =
        |chain: &crate::node::ChainEntry| (chain.vm_id.to_string(), vec![chain.vm_name.clone()]);
    node.chains().iter().map(named).collect()
}

fn peers(node: &Shared, wanted: &[NodeId]) -> Value {
    let mut peers = node.network().peers();
    if !wanted.is_empty() {
        peers.retain(|peer| wanted.contains(&peer.info.node));
    }
    let peers: Vec<Value> = peers
        .iter()
        .map(|peer| {
            let info = &peer.info;
            json!({
                "ip": peer.address.to_string(),
                "publicIP": info.public_ip.to_string(),
                "nodeID": info.node,
                "version": info.application.to_string(),
                "upgradeTime": info.upgrade_time,
                "lastSent": rfc3339(info.last_sent),
                "lastReceived": rfc3339(info.last_received),
                "observedUptime": info.observed_uptime.to_string(),
                "trackedSubnets": info.tracked_subnets,
                "supportedACPs": info.supported_acps,
                "objectedACPs": info.objected_acps,
                "benched": [],
            })
        })
        .collect();
    json!({ "numPeers": peers.len().to_string(), "peers": peers })
}

/// A time as JSON writes it.
pub(super) fn rfc3339(time: WallTime) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time.0))
        .map_or_else(|_| "0001-01-01T00:00:00Z".into(), |time| time.to_string())
}
