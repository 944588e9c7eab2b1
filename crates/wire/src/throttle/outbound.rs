//! The byte throttler of what waits to be sent.
//!
//! Two pools of bytes: one at large, of which a node may hold a limited part, and one for
//! validators, of which a node may hold the share its stake has of the whole stake.
//!
//! * Upon acquiring n bytes take as many as allowed from the pool at large and the rest from the
//!   node's share. Not enough: take nothing and refuse. Nobody ever waits.
//! * Upon releasing n bytes give back first what the node holds of the validators' pool, then to
//!   the pool at large.
//!
//! Invariant: what is left of a pool and what all accounts hold of it add up to its size, as long
//! as each acquired message is released once.
//!
//! Upstream: `network/throttling/outbound_msg_throttler.go`. There the throttler keeps a map of
//! nodes; here each connection keeps its own [`Account`].

use sastrugi_types::NodeId;

/// The sizes of the pools. Upstream: the flags `throttler-outbound-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundLimits {
    /// Bytes shared among validators by stake.
    pub validator_bytes: u64,
    /// Bytes anybody may take.
    pub at_large_bytes: u64,
    /// Bytes at large that one node may hold.
    pub node_at_large_bytes_max: u64,
}

impl Default for OutboundLimits {
    fn default() -> Self {
        Self {
            validator_bytes: 32 << 20,
            at_large_bytes: 32 << 20,
            node_at_large_bytes_max: 2 << 20,
        }
    }
}

/// A node's stake on the primary network, and the whole stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// The node's weight; 0 for a non-validator.
    pub weight: u64,
    /// The weight of all validators.
    pub total: u64,
}

/// Who has which stake on the primary network.
pub trait Stakes: Send + Sync {
    /// The stake of `node` at this moment. Called with no lock held.
    fn stake(&self, node: NodeId) -> Stake;
}

/// What one node holds of both pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    at_large_bytes: u64,
    validator_bytes: u64,
}

impl Account {
    /// Bytes held of the pool at large.
    pub const fn at_large_bytes(&self) -> u64 {
        self.at_large_bytes
    }

    /// Bytes held of the validators' pool.
    pub const fn validator_bytes(&self) -> u64 {
        self.validator_bytes
    }
}

/// The two pools.
#[derive(Debug)]
pub struct OutboundThrottler {
    limits: OutboundLimits,
    at_large_bytes_left: u64,
    validator_bytes_left: u64,
}

impl OutboundThrottler {
    /// Both pools full.
    pub const fn new(limits: OutboundLimits) -> Self {
        Self {
            limits,
            at_large_bytes_left: limits.at_large_bytes,
            validator_bytes_left: limits.validator_bytes,
        }
    }

    /// Takes `bytes` for a message, or nothing and says false.
    pub fn acquire(&mut self, account: &mut Account, bytes: u64, stake: Stake) -> bool {
        let node_left = self.limits.node_at_large_bytes_max.saturating_sub(account.at_large_bytes);
        let at_large = bytes.min(node_left).min(self.at_large_bytes_left);
        let share_left = self.share(stake).saturating_sub(account.validator_bytes);
        let validator = bytes - at_large;
        if validator > share_left.min(self.validator_bytes_left) {
            return false;
        }
        self.at_large_bytes_left -= at_large;
        self.validator_bytes_left -= validator;
        account.at_large_bytes += at_large;
        account.validator_bytes += validator;
        true
    }

    /// Gives back the `bytes` of a message that was acquired.
    pub fn release(&mut self, account: &mut Account, bytes: u64) {
        let validator = bytes.min(account.validator_bytes);
        let at_large = (bytes - validator).min(account.at_large_bytes);
        debug_assert_eq!(validator + at_large, bytes, "released more than acquired");
        account.validator_bytes -= validator;
        account.at_large_bytes -= at_large;
        self.validator_bytes_left += validator;
        self.at_large_bytes_left += at_large;
    }

    /// Bytes left at large.
    pub const fn at_large_bytes_left(&self) -> u64 {
        self.at_large_bytes_left
    }

    /// Bytes left for validators.
    pub const fn validator_bytes_left(&self) -> u64 {
        self.validator_bytes_left
    }

    /// A node's part of the validators' pool. Rounded as upstream does: product first, in `f64`.
    fn share(&self, stake: Stake) -> u64 {
        if stake.weight == 0 || stake.total == 0 {
            return 0;
        }
        let pool = self.limits.validator_bytes as f64;
        (pool * stake.weight as f64 / stake.total as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Stake = Stake { weight: 0, total: 100 };
    const QUARTER: Stake = Stake { weight: 25, total: 100 };

    fn throttler() -> OutboundThrottler {
        OutboundThrottler::new(OutboundLimits {
            validator_bytes: 1024,
            at_large_bytes: 1024,
            node_at_large_bytes_max: 512,
        })
    }

    #[test]
    fn a_non_validator_gets_its_part_at_large_and_no_more() {
        let (mut throttler, mut account) = (throttler(), Account::default());
        assert!(throttler.acquire(&mut account, 500, NOBODY));
        assert!(!throttler.acquire(&mut account, 13, NOBODY));
        assert!(throttler.acquire(&mut account, 12, NOBODY));
        assert_eq!(throttler.at_large_bytes_left(), 512);
        assert_eq!(throttler.validator_bytes_left(), 1024);
    }

    #[test]
    fn a_validator_adds_its_share_and_returns_it_first() {
        let (mut throttler, mut account) = (throttler(), Account::default());
        assert!(throttler.acquire(&mut account, 600, QUARTER));
        assert_eq!((account.at_large_bytes(), account.validator_bytes()), (512, 88));
        assert!(!throttler.acquire(&mut account, 169, QUARTER));
        assert!(throttler.acquire(&mut account, 168, QUARTER));
        throttler.release(&mut account, 300);
        assert_eq!((account.at_large_bytes(), account.validator_bytes()), (468, 0));
        throttler.release(&mut account, 468);
        assert_eq!(account, Account::default());
        assert_eq!(throttler.at_large_bytes_left(), 1024);
        assert_eq!(throttler.validator_bytes_left(), 1024);
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let (mut throttler, mut account) = (throttler(), Account::default());
        assert!(!throttler.acquire(&mut account, 513, NOBODY));
        assert_eq!(account, Account::default());
        assert_eq!(throttler.at_large_bytes_left(), 1024);
    }

    #[test]
    fn others_empty_the_pool_at_large() {
        let mut throttler = throttler();
        let mut accounts = [Account::default(); 3];
        assert!(throttler.acquire(&mut accounts[0], 512, NOBODY));
        assert!(throttler.acquire(&mut accounts[1], 512, NOBODY));
        assert!(!throttler.acquire(&mut accounts[2], 1, NOBODY));
        assert!(throttler.acquire(&mut accounts[2], 256, QUARTER));
    }
}
