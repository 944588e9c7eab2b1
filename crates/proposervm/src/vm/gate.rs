//! Between the signals of the inner VM and those the engine hears.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, WallTime};
use sastrugi_vm::{Clock, Events};

use super::Running;
use crate::{
    schedule::{Phase, Turn},
    verify::{Kind, Parent},
};

/// Lets the signal that transactions wait through while it is this node's turn, and every other one
/// at once.
///
/// The turn is computed on the engine's thread. Whoever signals only compares it with the clock, and
/// wakes the chain if it is over. The lock is a leaf, but for the signals to the engine.
pub(super) struct Gate {
    plan: Mutex<Plan>,
    /// Of the inner VM.
    inner: Events,
    /// Of the engine.
    outer: Events,
    clock: Arc<dyn Clock>,
}

/// What is known about the next block.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Whether the chain is in normal operation.
    pub(super) is_normal_op: bool,
    /// The preferred block.
    pub(super) preferred: Option<(Id, Parent)>,
    pub(super) turn: Turn,
    /// Why it is not known when it is this node's turn.
    pub(super) error: Option<String>,
    /// Since when there is this preference.
    pub(super) preferred_since: Instant,
    /// Since when transactions wait, as far as it was noticed.
    pub(super) pending_since: Option<Instant>,
}

impl Gate {
    /// Forwards the signals of `inner` to `outer`.
    pub(super) fn new(inner: Events, outer: Events, clock: Arc<dyn Clock>) -> Arc<Self> {
        let gate = Arc::new(Self { plan: Mutex::default(), inner, outer, clock });
        let weak: Weak<Self> = Arc::downgrade(&gate);
        gate.inner.on_change(move || {
            if let Some(gate) = weak.upgrade() {
                gate.forward();
            }
        });
        gate
    }

    /// The inner VM signals something, on any thread.
    fn forward(&self) {
        // In this order: the engine commits what was written before it hears of the sync.
        if self.inner.take_written() {
            self.outer.set_written();
        }
        if self.inner.take_state_sync_done() {
            self.outer.set_state_sync_done();
        }
        self.look();
        self.outer.wake();
    }

    /// Tells the engine whether transactions wait for it.
    pub(super) fn look(&self) {
        let mut plan = self.plan.lock();
        let is_pending = self.inner.pending_txs();
        if is_pending {
            let now = self.clock.now();
            plan.pending_since.get_or_insert(now);
        } else {
            plan.pending_since = None;
        }
        let is_turn = matches!(plan.turn.phase(self.clock.wall()), Phase::Open(_));
        self.outer.set_pending_txs(is_pending && is_turn);
    }

    /// When there is something to do: what waits is to be told, or no longer.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let turn = self.plan.lock().turn;
        let is_told = self.outer.pending_txs();
        let at_once = Some(Instant::ZERO);
        if !self.inner.pending_txs() {
            return at_once.filter(|_| is_told);
        }
        let wall = self.clock.wall();
        let at = |time: WallTime| self.clock.now() + crate::verify::age(wall, time);
        match turn.phase(wall) {
            Phase::Over => at_once,
            Phase::Open(_) if !is_told => at_once,
            Phase::Open(until) => until.map(at),
            Phase::Closed(_) if is_told => at_once,
            Phase::Closed(from) => Some(at(from)),
        }
    }

    /// What is known now.
    pub(super) fn plan(&self) -> Plan {
        self.plan.lock().clone()
    }

    /// Changes what is known.
    pub(super) fn update(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock());
    }

    fn is_over(&self) -> bool {
        self.plan.lock().turn.phase(self.clock.wall()) == Phase::Over
    }
}

impl Running {
    /// Another block is preferred.
    pub(super) fn prefer(&self, id: Id, parent: Option<Parent>) {
        let now = self.clock.now();
        self.gate.update(|plan| {
            plan.preferred = parent.map(|parent| (id, parent));
            plan.preferred_since = now;
        });
        self.find_turn();
    }

    /// Time has passed.
    pub(super) fn turn_over(&self) {
        if self.gate.is_over() {
            self.find_turn();
        }
        self.gate.look();
    }

    /// Finds out when this node may build on the preferred block.
    pub(super) fn find_turn(&self) {
        let plan = self.gate.plan();
        let after_fork = plan.preferred.map(|(_, parent)| parent);
        let after_fork = after_fork.filter(|parent| parent.kind != Kind::PreFork);
        let (turn, error) = match after_fork.filter(|_| plan.is_normal_op) {
            None => (Turn::Always, None),
            Some(parent) => match self.turn(&parent) {
                Ok(turn) => {
                    let slot = turn.slot(&parent);
                    self.counters.update(|stats| stats.building_slot = slot.unwrap_or_default());
                    (turn, None)
                }
                // The P-Chain may be behind while it catches up.
                Err(error) => (Turn::Always, Some(error.to_string())),
            },
        };
        if let Some(error) = &error {
            tracing::debug!(chain = %self.context.chain_id, %error, "own slot is not known");
        }
        self.gate.update(|plan| (plan.turn, plan.error) = (turn, error));
        self.gate.look();
    }

    fn turn(&self, parent: &Parent) -> Result<Turn, crate::windower::WindowError> {
        Turn::next(
            &self.windower,
            &self.context.upgrades,
            self.context.node_id,
            self.config.min_block_delay,
            parent,
            self.wall(),
        )
    }
}
