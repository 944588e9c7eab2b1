//! Executing what was fetched, oldest first, in slices.

use std::time::Duration;

use sastrugi_types::Instant;
use sastrugi_vm::{Block, Clock, VmError, db::Durability};

use super::{
    Bootstrapper, Standing, Wait,
    interval::{self, Edits},
};
use crate::common::{Cx, Fatal, Haltable, Handled, Progress};

/// How many blocks a slice executes.
pub const SLICE_BLOCKS_MAX: u64 = 64;
/// A slice ends after so many bytes of blocks.
pub const SLICE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A slice ends after the block during which so much time was over: messages wait meanwhile.
pub const SLICE_TIME_MAX: Duration = Duration::from_millis(50);
/// From so many blocks on, the database is compacted before and after.
const COMPACTED_BLOCKS_MIN: u64 = 5000;
/// How long to wait for the other chains of the subnet before looking for new blocks.
const SUBNET_WAIT: Duration = Duration::from_secs(10);

/// Executing, between two slices.
#[derive(Debug)]
pub(super) struct Execution {
    /// How many blocks there were at the beginning.
    total: u64,
    /// The height to go on at; `None` before the first slice.
    next: Option<u64>,
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There may be more blocks, from this height on.
    Full(u64),
    /// All blocks are executed.
    Done,
    /// The halter was set.
    Halted,
}

/// What ends a slice.
struct Limit {
    blocks: u64,
    bytes: usize,
    until: Instant,
}

impl Limit {
    fn new(now: Instant) -> Self {
        Self { blocks: 0, bytes: 0, until: now + SLICE_TIME_MAX }
    }

    /// Counts a block; whether it is the last one.
    fn is_reached(&mut self, bytes: usize, clock: &dyn Clock) -> bool {
        self.blocks += 1;
        self.bytes += bytes;
        self.blocks >= SLICE_BLOCKS_MAX
            || self.bytes >= SLICE_BYTES_MAX
            || clock.now() >= self.until
    }
}

impl Execution {
    /// How many blocks there were at the beginning.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }
}

impl Bootstrapper {
    /// Begins to execute, once nothing is missing. The work is done in slices.
    pub(super) fn try_execute(&mut self, cx: &Cx<'_>) {
        let is_busy = self.execution.is_some() || self.waiting.is_some();
        if !self.missing.is_empty() || is_busy || self.standing == Standing::Finished {
            return;
        }
        let total = self.tree.len();
        if total > 0 {
            tracing::info!(blocks = total, "executing blocks");
        }
        self.execution = Some(Execution { total, next: None });
        self.meter.begin(cx.now, 0, total);
    }

    /// Executes a few blocks; after the last one, takes the next step.
    pub(super) fn execute_slice(&mut self, cx: &mut Cx<'_>) -> Result<Progress, Fatal> {
        let Some(Execution { total, next }) = self.execution.take() else {
            return Ok(Progress::Idle);
        };
        if next.is_none() {
            self.compact(total);
        }
        match self.execute_blocks(cx, next.unwrap_or_default())? {
            End::Full(next) => {
                self.execution = Some(Execution { total, next: Some(next) });
                self.tell_executed(cx.now, total);
                Ok(Progress::More)
            }
            End::Halted => {
                tracing::info!(left = self.tree.len(), "executing was halted");
                Ok(Progress::Idle)
            }
            End::Done => {
                self.compact(total);
                self.catch_up(cx, total)?;
                Ok(Progress::Idle)
            }
        }
    }

    /// Executes blocks from a height on, and removes them with one batch.
    fn execute_blocks(&mut self, cx: &mut Cx<'_>, from: u64) -> Result<End, Fatal> {
        let db = self.config.db.clone();
        let clock = self.config.clock.clone();
        let last_accepted_height = self.last_accepted()?.height;
        let mut limit = Limit::new(clock.now());
        let mut edits = Edits::new();
        let mut end = End::Done;
        for entry in interval::blocks(&*db, from)? {
            if cx.halter.halted() {
                end = End::Halted;
                break;
            }
            let (height, bytes) = entry?;
            let size = bytes.len();
            // A block that belongs to no run was left by a crash: its neighbours may be missing.
            let was_fetched = interval::remove_block(&mut edits, &mut self.tree, height);
            if was_fetched && height > last_accepted_height {
                let block = self.parse_trusted(height, bytes)?;
                self.execute(cx, &block)?;
            }
            if let Some(next) = height.checked_add(1)
                && limit.is_reached(size, &*clock)
            {
                end = End::Full(next);
                break;
            }
        }
        if cx.halter.halted() {
            end = End::Halted;
        }
        // Only after the accepts: what was executed and is still there is skipped the next time.
        if !edits.is_empty() {
            db.write(&edits.take(), Durability::Buffered)?;
        }
        Ok(end)
    }

    fn execute(&mut self, cx: &mut Cx<'_>, block: &Block) -> Handled {
        let vm = self.config.vm.clone();
        vm.verify(block, None).map_err(|error| self.refused(block, "does not verify", &error))?;
        cx.acceptor.accepting(block)?;
        vm.accept(block.id).map_err(|error| self.refused(block, "cannot be accepted", &error))?;
        self.stats.accepted += 1;
        cx.acceptor.accepted(block)
    }

    /// A block that the network has accepted and the VM refuses.
    fn refused(&self, block: &Block, verdict: &str, error: &VmError) -> Fatal {
        let Block { id, height, parent, .. } = block;
        let last_accepted = match self.last_accepted() {
            Ok(last) if last.height.checked_add(1) == Some(*height) && last.id != *parent => {
                format!("{}, of another chain than the network's", last.id)
            }
            Ok(last) => format!("{} (height {})", last.id, last.height),
            Err(error) => format!("unknown: {error}"),
        };
        Fatal::Broken(format!(
            "block {id} (height {height}, parent {parent}) {verdict} in bootstrapping: {error}; \
             the last accepted block is {last_accepted}"
        ))
    }

    /// Everything fetched is executed: begins another round, waits for the subnet, or is finished.
    fn catch_up(&mut self, cx: &mut Cx<'_>, executed: u64) -> Handled {
        let before = std::mem::replace(&mut self.executed_before, executed);
        if executed > 0 {
            tracing::info!(executed, "executed blocks");
        }
        if executed > 0 && executed < before / 2 {
            return self.restart(cx);
        }
        if let Some(bootstrapped) = self.config.bootstrapped.take() {
            bootstrapped();
        }
        self.config.tracker.bootstrapped(self.config.chain);
        if self.config.tracker.is_bootstrapped() {
            self.finish(cx);
        } else {
            tracing::debug!("waiting for the remaining chains of the subnet");
            self.waiting = Some(Wait::Subnet);
            cx.timer.register_timeout(cx.now, SUBNET_WAIT);
        }
        Ok(())
    }

    /// Frees the space of removed blocks when there were many.
    fn compact(&self, blocks: u64) {
        if blocks >= COMPACTED_BLOCKS_MIN
            && let Err(error) = self.config.db.compact(None, None)
        {
            tracing::warn!(%error, "the database of fetched blocks was not compacted");
        }
    }

    fn tell_executed(&mut self, now: Instant, total: u64) {
        let executed = total.saturating_sub(self.tree.len());
        if let Some(estimate) = self.meter.observe(now, executed, total) {
            tracing::info!(executed, total, eta = ?estimate.remaining, "executing blocks");
        }
    }
}
