//! Epochs: for minutes, blocks refer to the same height of the P-Chain (ACP-181).
//!
//! Inner VMs that check signatures of validators then need one validator set per epoch, and
//! everyone knows it in advance. Upstream: `vms/proposervm/acp181/epoch.go`.

use std::time::Duration;

use sastrugi_types::{
    WallTime, codec_struct,
    upgrade::{Upgrade, UpgradeSchedule},
};

/// The epoch of a block.
///
/// [`Epoch::NONE`] stands for a block without one, as all are until Granite is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// The height of the P-Chain that the epoch's blocks refer to.
    pub p_chain_height: u64,
    /// Counts the epochs of a chain, from 1.
    pub number: u64,
    /// When it started, in Unix seconds.
    pub start_secs: i64,
}

codec_struct!(Epoch { p_chain_height, number, start_secs });

impl Epoch {
    /// No epoch: all zeros.
    pub const NONE: Self = Self { p_chain_height: 0, number: 0, start_secs: 0 };

    /// Whether a block has no epoch.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The epoch of a block made at `child_time` whose parent refers to `parent_p_chain_height`.
    ///
    /// A parent is the last block of its epoch if it was made after the epoch's time was over: the
    /// child then starts the next one, at the parent's height and time. One step only, however
    /// long ago that was. The child's own time decides nothing but whether Granite is active.
    #[must_use]
    pub fn of_child(
        upgrades: &UpgradeSchedule,
        parent_p_chain_height: u64,
        parent_epoch: Self,
        parent_time: WallTime,
        child_time: WallTime,
    ) -> Self {
        if !upgrades.is_active(Upgrade::Granite, child_time) {
            return Self::NONE;
        }
        let number = if parent_epoch.is_none() {
            1
        } else if parent_epoch.is_over(upgrades.granite_epoch_duration, parent_time) {
            parent_epoch.number.wrapping_add(1)
        } else {
            return parent_epoch;
        };
        let start_secs = parent_time.unix_secs();
        Self { p_chain_height: parent_p_chain_height, number, start_secs }
    }

    fn is_over(&self, duration: Duration, time: WallTime) -> bool {
        let start = Duration::from_secs(1).as_nanos() as i128 * i128::from(self.start_secs);
        start + duration.as_nanos() as i128 <= i128::from(time.0)
    }
}
