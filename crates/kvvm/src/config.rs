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
//! | `stateSyncEnabled` | false | whether this node jumps to a recent state when it is far behind; it serves those who do in any case |
//! | `stateSyncMinBlocks` | 1000 | it does not jump when it is less than this behind |
//! | `stateSyncSummaryInterval` | 256 | the heights whose state is named to others are the multiples of this; it should be the same on all nodes |
//! | `stateSyncSummaries` | 4 | how many of these states stay there to be served |
//! | `stateSyncRangeBytes` | 262144 | how much state is asked for at once, at most 524288 |
//! | `stateSyncGiveUpMs` | 900000 | after so long without any progress the node gives up to jump |

use std::time::Duration;

use sastrugi_vm::VmError;
use serde::Deserialize;

use crate::sync::RANGE_BYTES_MAX;

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
    /// Whether this node jumps to a recent state when it is far behind. It serves those who do in
    /// any case.
    pub state_sync_enabled: bool,
    /// It does not jump when it is less than this behind, in blocks.
    pub state_sync_min_blocks: u64,
    /// The heights whose state is named to others are the multiples of this. At least 1, and best
    /// the same on all nodes.
    pub state_sync_summary_interval: u64,
    /// How many of these states stay there to be served: what is older than so many intervals is
    /// forgotten, unless `state_history` keeps it.
    pub state_sync_summaries: u64,
    /// How much state is asked for at once, in bytes. From 1 to 512 KiB.
    pub state_sync_range_bytes: u32,
    /// After so long without any progress the node gives up to jump, and bootstraps.
    pub state_sync_give_up_ms: u64,
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
            state_sync_enabled: false,
            state_sync_min_blocks: 1000,
            state_sync_summary_interval: 256,
            state_sync_summaries: 4,
            state_sync_range_bytes: 256 << 10,
            state_sync_give_up_ms: 900_000,
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
        config.check().map_err(|what| VmError::invalid(format!("chain config: {what}")))?;
        Ok(config)
    }

    const fn check(&self) -> Result<(), &'static str> {
        if self.pull_gossip_interval_ms == 0 {
            return Err("pullGossipIntervalMs must not be 0");
        }
        if self.state_sync_summary_interval == 0 {
            return Err("stateSyncSummaryInterval must not be 0");
        }
        if self.state_sync_range_bytes == 0
            || self.state_sync_range_bytes as usize > RANGE_BYTES_MAX
        {
            return Err("stateSyncRangeBytes must be from 1 to 524288");
        }
        Ok(())
    }

    /// How many states before the last accepted one stay; `None` keeps all.
    pub(crate) fn kept_states(&self) -> Option<u64> {
        let served = self.state_sync_summary_interval.saturating_mul(self.state_sync_summaries);
        self.state_history.map(|history| history.max(served).max(1))
    }

    pub(crate) const fn state_sync_give_up(&self) -> Duration {
        Duration::from_millis(self.state_sync_give_up_ms)
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
        for wrong in [
            r#"{"pullGossipIntervalMs": 0}"#,
            r#"{"stateSyncSummaryInterval": 0}"#,
            r#"{"stateSyncRangeBytes": 0}"#,
            r#"{"stateSyncRangeBytes": 524289}"#,
        ] {
            assert!(Config::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Config::parse(b"7").is_err());
    }

    #[test]
    fn states_stay_as_long_as_anybody_needs_them() {
        let kept = |json: &str| Config::parse(json.as_bytes()).unwrap().kept_states();
        assert_eq!(kept("{}"), Some(1024));
        assert_eq!(kept(r#"{"stateHistory": null}"#), None);
        assert_eq!(kept(r#"{"stateHistory": 0, "stateSyncSummaries": 0}"#), Some(1));
        assert_eq!(kept(r#"{"stateHistory": 1, "stateSyncSummaryInterval": 1000}"#), Some(4000));
        assert_eq!(kept(r#"{"stateHistory": 9000}"#), Some(9000));
    }
}
