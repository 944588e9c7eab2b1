//! What the wrapper counts.

use parking_lot::Mutex;

use crate::{state::StateStats, windower::WindowerStats};

/// Counted so far. The names in brackets are upstream's metrics, below `avalanche_proposervm_`, with
/// the label `chain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The slot of the next block in which this node may build it (`block_building_slot`, a gauge).
    pub building_slot: u64,
    /// The slots of accepted blocks (`accepted_blocks_slot`, a histogram).
    pub accepted_slots: SlotHistogram,
    /// Unix seconds of the last accepted block (`last_accepted_timestamp` with the label
    /// `block_type="proposervm"`, a gauge). Options leave it.
    pub last_accepted_secs: i64,
    /// Unix seconds of its inner block (`block_type="inner"`).
    pub last_accepted_inner_secs: i64,
    /// Blocks that were read lately (`inner_block_cache_*`).
    pub known: KnownStats,
    /// Stored blocks in memory (`state_block_cache_*`).
    pub state: StateStats,
    /// Validators in memory. Not upstream's.
    pub windower: WindowerStats,
    /// Signed blocks built. Not upstream's.
    pub built_signed: u64,
    /// Unsigned blocks built. Not upstream's.
    pub built_unsigned: u64,
    /// Builds refused because it was not this node's turn. Not upstream's.
    pub builds_out_of_turn: u64,
    /// Outer blocks that broke a [rule](crate::verify). Not upstream's.
    pub refused: u64,
}

/// A histogram of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotHistogram {
    /// Blocks of slot 0, of slot 1, of slot 2, and of later ones: the buckets with the bounds 0.5,
    /// 1.5, 2.5 and infinity, not added up.
    pub counts: [u64; 4],
    /// Sum of all slots.
    pub sum: u64,
}

impl SlotHistogram {
    fn observe(&mut self, slot: u64) {
        let bucket = slot.min(self.counts.len() as u64 - 1) as usize;
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(slot);
    }
}

/// A cache of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownStats {
    /// Look-ups that it answered.
    pub hits: u64,
    /// The others.
    pub misses: u64,
    /// Blocks in it.
    pub blocks: usize,
    /// Their size, in bytes.
    pub bytes: usize,
}

/// The counters, shared with whoever reads them.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Stats>);

impl Counters {
    pub(crate) fn update(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.0.lock());
    }

    pub(crate) fn accepted(&self, slot: Option<u64>, outer_secs: i64, inner_secs: i64) {
        self.update(|stats| {
            if let Some(slot) = slot {
                stats.accepted_slots.observe(slot);
            }
            stats.last_accepted_secs = outer_secs;
            stats.last_accepted_inner_secs = inner_secs;
        });
    }

    pub(crate) fn stats(&self, windower: WindowerStats, state: StateStats) -> Stats {
        Stats { state, windower, ..*self.0.lock() }
    }
}
