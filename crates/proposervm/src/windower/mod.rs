//! Who may propose a block, and when.
//!
//! Time after a parent is cut into slots of [`WINDOW`]. Who proposes in which is drawn in proportion
//! to weight, from a generator whose seed is made of chain, height of the block and slot, so that
//! every node draws alike. The validators are those at the *parent's* height of the P-Chain.
//!
//! * Since Durango each slot belongs to one validator, forever ([`Windower::expected_proposer`]). A
//!   node that wants to build looks for its own next slot ([`Windower::min_delay`]).
//! * Before, validators were put in an order ([`Windower::proposers`]), and each could propose from
//!   its own slot on ([`Windower::delay`]).
//!
//! Without validators anyone may propose, unsigned. Inactive validators stand in a set under the empty node ID, which is left out.
//!
//! What is needed of a validator set is kept for the last few heights of the P-Chain, because sets at
//! a height never change. Upstream sorts the set and builds its sampler anew in every call.
//! Upstream: `vms/proposervm/proposer/windower.go`.

mod schedule;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sastrugi_types::{
    Id, NodeId, WallTime,
    sampler::{Mt19937, SampleError, Uniform},
};
use sastrugi_vm::{VmError, validators::ValidatorState};

use self::schedule::Schedule;

/// Length of a slot.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Before Durango: proposers of a block that are checked.
pub const VERIFY_WINDOWS_MAX: usize = 6;
/// Before Durango: age of the parent from which on a block must be unsigned.
pub const VERIFY_DELAY_MAX: Duration = Duration::from_secs(30);
/// Before Durango: proposers of a block that wait for their turn to build.
pub const BUILD_WINDOWS_MAX: usize = 60;
/// Before Durango: age of the parent from which on everybody builds.
pub const BUILD_DELAY_MAX: Duration = Duration::from_mins(5);
/// Slots that are looked at for a node's own next one.
pub const LOOK_AHEAD_SLOTS_MAX: u64 = 720;
/// The same as a span.
pub const LOOK_AHEAD_MAX: Duration = Duration::from_hours(1);

/// Heights of the P-Chain for which the validators are kept ready.
const HEIGHTS_MAX: usize = 32;

/// Why it is not known who may propose.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// The validators are not known.
    #[error("the validators are not known: {0}")]
    State(#[from] VmError),
    /// The weights add up to more than 2⁶⁴ − 1.
    #[error("the weights of the validators overflow")]
    WeightOverflow,
    /// There are validators, and all have weight 0: nobody may propose.
    #[error("the validators have no weight")]
    NoWeight,
}

impl From<SampleError> for WindowError {
    fn from(error: SampleError) -> Self {
        match error {
            SampleError::WeightOverflow => Self::WeightOverflow,
            SampleError::NotEnough => Self::NoWeight,
        }
    }
}

/// Knows the proposers of one chain.
pub struct Windower {
    validators: Arc<dyn ValidatorState>,
    subnet: Id,
    /// What distinguishes the seeds of this chain from those of others.
    chain_source: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By height of the P-Chain, the last used one first.
    schedules: Vec<(u64, Arc<Schedule>)>,
    hits: u64,
    misses: u64,
}

/// What the windower has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowerStats {
    /// Calls for a height whose validators were ready.
    pub hits: u64,
    /// Calls for which the validators were asked for.
    pub misses: u64,
}

impl Windower {
    /// The windower of `chain`, which `subnet` validates.
    pub fn new(validators: Arc<dyn ValidatorState>, subnet: Id, chain: Id) -> Self {
        let chain_source = u64::from_be_bytes(chain.0.as_chunks().0[0]);
        Self { validators, subnet, chain_source, kept: Mutex::default() }
    }

    /// Before Durango: the validators that may propose a block of this height, the first one first.
    /// There are `windows_max` of them, or as many as there are units of weight if these are fewer.
    /// A validator may be there several times.
    ///
    /// # Errors
    /// [`WindowError::State`], [`WindowError::WeightOverflow`]
    pub fn proposers(
        &self,
        block_height: u64,
        p_chain_height: u64,
        windows_max: usize,
    ) -> Result<Vec<NodeId>, WindowError> {
        let schedule = self.schedule(p_chain_height)?;
        let total = schedule.total_weight();
        let count = usize::try_from(total).map_or(windows_max, |total| windows_max.min(total));
        let mut source = Mt19937::new(self.chain_source ^ block_height);
        let mut units = Uniform::new(total);
        let mut draw = || units.next(&mut source).and_then(|unit| schedule.owner(unit));
        (0..count).map(|_| draw().ok_or(WindowError::NoWeight)).collect()
    }

    /// Before Durango: how long after its parent a block of this height may be made by `proposer`,
    /// or without one.
    ///
    /// # Errors
    /// Those of [`Self::proposers`]; none for a block without a proposer.
    pub fn delay(
        &self,
        block_height: u64,
        p_chain_height: u64,
        proposer: Option<NodeId>,
        windows_max: usize,
    ) -> Result<Duration, WindowError> {
        let Some(proposer) = proposer else { return Ok(span(windows_max as u64)) };
        let proposers = self.proposers(block_height, p_chain_height, windows_max)?;
        let first = proposers.iter().position(|node| *node == proposer);
        Ok(span(first.unwrap_or(proposers.len()) as u64))
    }

    /// Since Durango: the validator that may propose a block of this height in this slot. `None` if
    /// there are no validators: then anyone may.
    ///
    /// # Errors
    /// [`WindowError`]
    pub fn expected_proposer(
        &self,
        block_height: u64,
        p_chain_height: u64,
        slot: u64,
    ) -> Result<Option<NodeId>, WindowError> {
        let schedule = self.schedule(p_chain_height)?;
        if schedule.is_empty() {
            return Ok(None);
        }
        schedule.proposer(self.seed(block_height, slot)).map(Some).ok_or(WindowError::NoWeight)
    }

    /// Since Durango: how long after its parent a block of this height may be made by `node`: the
    /// start of its first slot from `start_slot` on. If none of the next [`LOOK_AHEAD_SLOTS_MAX`]
    /// is its own, the end of these. `None` if there are no validators.
    ///
    /// # Errors
    /// [`WindowError`]
    pub fn min_delay(
        &self,
        block_height: u64,
        p_chain_height: u64,
        node: NodeId,
        start_slot: u64,
    ) -> Result<Option<Duration>, WindowError> {
        let schedule = self.schedule(p_chain_height)?;
        if schedule.is_empty() {
            return Ok(None);
        }
        if schedule.total_weight() == 0 {
            return Err(WindowError::NoWeight);
        }
        let end = start_slot.saturating_add(LOOK_AHEAD_SLOTS_MAX);
        let seed = |slot| self.seed(block_height, slot);
        let own = schedule.first_slot_of(node, start_slot..end, seed);
        Ok(Some(span(own.unwrap_or(end))))
    }

    /// What the windower has done so far.
    pub fn stats(&self) -> WindowerStats {
        let kept = self.kept.lock();
        WindowerStats { hits: kept.hits, misses: kept.misses }
    }

    /// Forgets all validators; they are asked for again.
    pub fn clear(&self) {
        self.kept.lock().schedules.clear();
    }

    /// Slots are reversed so that slot and height change different ends of the seed.
    const fn seed(&self, block_height: u64, slot: u64) -> u64 {
        self.chain_source ^ block_height ^ slot.reverse_bits()
    }

    /// The validators at a height of the P-Chain.
    fn schedule(&self, p_chain_height: u64) -> Result<Arc<Schedule>, WindowError> {
        if let Some(schedule) = self.kept.lock().get(p_chain_height) {
            return Ok(schedule);
        }
        // Not under the lock: this may take long.
        let set = self.validators.validator_set(p_chain_height, self.subnet)?;
        let schedule = Arc::new(Schedule::new(&set)?);
        self.kept.lock().put(p_chain_height, schedule.clone());
        Ok(schedule)
    }
}

impl Kept {
    fn get(&mut self, height: u64) -> Option<Arc<Schedule>> {
        let found = self.schedules.iter().position(|(known, _)| *known == height);
        let Some(position) = found else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.schedules[..=position].rotate_right(1);
        self.schedules.first().map(|(_, schedule)| schedule.clone())
    }

    fn put(&mut self, height: u64, schedule: Arc<Schedule>) {
        self.schedules.retain(|(known, _)| *known != height);
        self.schedules.truncate(HEIGHTS_MAX - 1);
        self.schedules.insert(0, (height, schedule));
    }
}

impl fmt::Debug for Windower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windower").field("subnet", &self.subnet).finish_non_exhaustive()
    }
}

/// Whole slots between the time of a parent and `now`; none if `now` is earlier.
pub fn slot_at(parent_time: WallTime, now: WallTime) -> u64 {
    now.nanos_since(parent_time).max(0) as u64 / WINDOW.as_nanos() as u64
}

/// The length of so many slots.
const fn span(slots: u64) -> Duration {
    Duration::from_secs(slots.saturating_mul(WINDOW.as_secs()))
}
