//! When this node may build a block.
//!
//! The inner VM says that transactions wait; the engine is told only when this node's time to build
//! on the preferred block has come, because a block built at another time would be refused by all.
//!
//! * Since Durango: in this node's own slots, each [`WINDOW`] long. When one is over, the next one is
//!   looked for; if there is none within [`LOOK_AHEAD_MAX`](crate::windower::LOOK_AHEAD_MAX), the
//!   search is repeated then.
//! * Before Durango: from this node's turn on.
//! * Not before the block's parent is as old as the configured minimum delay.
//! * At any time without validators, but for that delay; before the fork; and outside of normal
//!   operation. Also when the validators are not known: the engine then hears why from the build
//!   that fails.
//!
//! Deviation: upstream lets an event through whenever its own slot has begun, however long ago; here
//! an event that comes after the slot waits for the next one. Upstream: `timeToBuild` in
//! `vms/proposervm/vm.go`.

use std::time::Duration;

use sastrugi_types::{
    NodeId, WallTime,
    upgrade::{Upgrade, UpgradeSchedule},
};

use crate::{
    verify::{Parent, age},
    windower::{
        BUILD_DELAY_MAX, BUILD_WINDOWS_MAX, LOOK_AHEAD_SLOTS_MAX, WINDOW, WindowError, Windower,
        slot_at,
    },
};

/// When this node may build on a block, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// At any time.
    #[default]
    Always,
    /// From a time on.
    From(WallTime),
    /// In one of its slots.
    Slot {
        /// The first nanosecond.
        from: WallTime,
        /// The first one after it.
        until: WallTime,
    },
    /// Not before this time, when it is to be computed again.
    NotBefore(WallTime),
}

/// A turn at a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is this node's turn, until then.
    Open(Option<WallTime>),
    /// It is not, until then.
    Closed(WallTime),
    /// The turn must be computed again.
    Over,
}

impl Turn {
    /// Computes the turn of `node` on `parent`.
    ///
    /// # Errors
    /// [`WindowError`]
    pub(crate) fn next(
        windower: &Windower,
        upgrades: &UpgradeSchedule,
        node: NodeId,
        min_delay: Duration,
        parent: &Parent,
        now: WallTime,
    ) -> Result<Self, WindowError> {
        let (height, at) = (parent.height.saturating_add(1), parent.p_chain_height);
        let start = |delay: Duration| parent.time + delay.max(min_delay);
        if !upgrades.is_active(Upgrade::Durango, parent.time) {
            let delay = windower.delay(height, at, Some(node), BUILD_WINDOWS_MAX)?;
            return Ok(Self::From(start(delay)));
        }
        let slot = slot_at(parent.time, WallTime::from_unix_secs(now.unix_secs()));
        let Some(delay) = windower.min_delay(height, at, node, slot)? else {
            return Ok(Self::From(start(Duration::ZERO)));
        };
        let from = start(delay);
        let until = parent.time + delay + WINDOW;
        // At the end of the search is nobody's slot yet.
        let is_own = slot_at(parent.time, parent.time + delay) - slot < LOOK_AHEAD_SLOTS_MAX;
        Ok(if is_own && from < until { Self::Slot { from, until } } else { Self::NotBefore(from) })
    }

    /// What it means now.
    pub(crate) fn phase(self, now: WallTime) -> Phase {
        match self {
            Self::Always => Phase::Open(None),
            Self::From(from) if now >= from => Phase::Open(None),
            Self::Slot { until, .. } if now >= until => Phase::Over,
            Self::Slot { from, until } if now >= from => Phase::Open(Some(until)),
            Self::NotBefore(time) if now >= time => Phase::Over,
            Self::From(from) | Self::Slot { from, .. } | Self::NotBefore(from) => {
                Phase::Closed(from)
            }
        }
    }

    /// When it begins, `None` if it has no beginning.
    pub(crate) const fn start(self) -> Option<WallTime> {
        match self {
            Self::Always => None,
            Self::From(from) | Self::Slot { from, .. } | Self::NotBefore(from) => Some(from),
        }
    }

    /// The slot in which it begins.
    pub(crate) fn slot(self, parent: &Parent) -> Option<u64> {
        self.start().map(|start| slot_at(parent.time, start))
    }
}

/// Before Durango: whether the parent is so old that everybody builds.
pub(crate) fn is_free_for_all(parent: WallTime, now: WallTime) -> bool {
    age(parent, now) >= BUILD_DELAY_MAX
}
