//! The chain's `config` file: JSON, all members optional, unknown ones an error.
//!
//! | member | default | meaning |
//! |---|---|---|
//! | `gossipedTxDelayMs` | 500 | how long a transaction that came from another node waits before this node builds a block for it; the node it was issued to builds at once |
//! | `pullGossipIntervalMs` | 1000 | how often this node asks a peer for transactions it lacks |
//! | `pushGossipPeers` | 16 | how many peers are sent a transaction when it is issued to this node |
//! | `mempoolBytes` | 16 MiB | the room for waiting transactions |
//! | `mempoolTxs` | 4096 | their number |
//! | `mempoolTxsPerAccount` | 64 | their number for one account |
//! | `txLifetimeMs` | 600000 | how long a transaction waits before it is dropped |
//! | `stateHistory` | 1024 | how many states before the last accepted one stay readable, at least 1; `null` keeps all |

use std::time::Duration;

use sastrugi_vm::VmError;
use serde::Deserialize;

/// The settings. None of them changes what a valid block is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// How long a transaction from another node waits before this node builds a block for it.
    pub gossiped_tx_delay_ms: u64,
    /// How often this node asks a peer for transactions it lacks. At least 1.
    pub pull_gossip_interval_ms: u64,
    /// How many peers are sent a transaction when it is issued to this node.
    pub push_gossip_peers: usize,
    /// The room for waiting transactions, in bytes.
    pub mempool_bytes: usize,
    /// The most transactions that wait.
    pub mempool_txs: usize,
    /// The most transactions of one account that wait.
    pub mempool_txs_per_account: usize,
    /// How long a transaction waits before it is dropped.
    pub tx_lifetime_ms: u64,
    /// How many states before the last accepted one stay readable, at least 1; `None` keeps all.
    /// Lowering it frees the rest little by little, with each accepted block.
    pub state_history: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gossiped_tx_delay_ms: 500,
            pull_gossip_interval_ms: 1000,
            push_gossip_peers: 16,
            mempool_bytes: 16 << 20,
            mempool_txs: 4096,
            mempool_txs_per_account: 64,
            tx_lifetime_ms: 600_000,
            state_history: Some(1024),
        }
    }
}

impl Config {
    /// Reads the file; an empty one means all defaults.
    pub fn parse(bytes: &[u8]) -> Result<Self, VmError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|error| VmError::invalid(format!("chain config: {error}")))?;
        if config.pull_gossip_interval_ms == 0 {
            return Err(VmError::invalid("chain config: pullGossipIntervalMs must not be 0"));
        }
        Ok(config)
    }

    pub(crate) const fn gossiped_tx_delay(&self) -> Duration {
        Duration::from_millis(self.gossiped_tx_delay_ms)
    }

    pub(crate) const fn pull_gossip_interval(&self) -> Duration {
        Duration::from_millis(self.pull_gossip_interval_ms)
    }

    pub(crate) const fn tx_lifetime(&self) -> Duration {
        Duration::from_millis(self.tx_lifetime_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_optional_and_known() {
        assert_eq!(Config::parse(b"").unwrap(), Config::default());
        assert_eq!(Config::parse(b"{}").unwrap(), Config::default());
        let config = Config::parse(br#"{"gossipedTxDelayMs": 0, "stateHistory": null}"#).unwrap();
        assert_eq!((config.gossiped_tx_delay_ms, config.state_history), (0, None));
        assert!(Config::parse(br#"{"gossipedTxDelay": 0}"#).is_err());
        assert!(Config::parse(br#"{"pullGossipIntervalMs": 0}"#).is_err());
        assert!(Config::parse(b"7").is_err());
    }
}
