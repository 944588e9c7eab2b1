//! All that a [`Cx`] borrows, in one place.

use std::{
    collections::VecDeque,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use sastrugi_types::{Instant, NodeId, WallTime};
use sastrugi_vm::{Block, Clock, State};

use crate::common::{
    Acceptor, Cx, Halter, Handled, SampleError, Sampler, Sender, TimeoutScheduler,
};

/// A clock that stands still until it is set. The calendar begins at [`ManualClock::WALL_START`].
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// The calendar time at the clock's zero.
    pub const WALL_START: WallTime = WallTime::from_unix_secs(1_700_000_000);

    /// Sets the time.
    pub fn set(&self, now: Instant) {
        self.0.store(now.0, Ordering::Release);
    }

    /// Lets time pass.
    pub fn advance(&self, span: std::time::Duration) {
        self.set(self.now() + span);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Acquire))
    }

    fn wall(&self) -> WallTime {
        Self::WALL_START + self.now().since(Instant::ZERO)
    }
}

/// A sampler whose answers are given beforehand, and an acceptor that remembers.
#[derive(Debug, Default)]
pub struct Script {
    /// Answers to [`Sampler::sample`]; the last one is given again and again. Without any, nobody
    /// validates.
    pub samples: VecDeque<Vec<NodeId>>,
    /// The answer to [`Sampler::sample_connected`].
    pub connected: Option<NodeId>,
    /// Blocks that were announced to [`Acceptor::accepting`].
    pub accepting: Vec<Block>,
    /// Blocks that were announced to [`Acceptor::accepted`].
    pub accepted: Vec<Block>,
    /// States that were announced.
    pub states: Vec<State>,
}

impl Sampler for Script {
    fn sample(&mut self, _size: usize) -> Result<Vec<NodeId>, SampleError> {
        let sample = match self.samples.len() {
            0 => return Err(SampleError::MissingValidators),
            1 => self.samples.front().cloned(),
            _ => self.samples.pop_front(),
        };
        sample.ok_or(SampleError::MissingValidators)
    }

    fn sample_connected(&mut self) -> Option<NodeId> {
        self.connected
    }
}

impl Acceptor for Script {
    fn accepting(&mut self, block: &Block) -> Handled {
        self.accepting.push(block.clone());
        Ok(())
    }

    fn accepted(&mut self, block: &Block) -> Handled {
        self.accepted.push(block.clone());
        Ok(())
    }

    fn state_changed(&mut self, state: State) -> Handled {
        self.states.push(state);
        Ok(())
    }
}

/// Owns all that a [`Cx`] borrows.
pub struct Surroundings<S, P, A> {
    /// The time of the next call.
    pub now: Instant,
    /// The calendar time of the next call.
    pub wall: WallTime,
    /// Hears what is sent.
    pub sender: S,
    /// The gear's wake-up.
    pub timer: TimeoutScheduler,
    /// Draws validators.
    pub sampler: P,
    /// Hears of accepted blocks.
    pub acceptor: A,
    /// The stop flag.
    pub halter: Halter,
}

impl<S: Sender, P: Sampler, A: Acceptor> Surroundings<S, P, A> {
    /// Surroundings at time zero.
    pub fn new(sender: S, sampler: P, acceptor: A) -> Self {
        Self {
            now: Instant::ZERO,
            wall: ManualClock::WALL_START,
            sender,
            timer: TimeoutScheduler::default(),
            sampler,
            acceptor,
            halter: Halter::default(),
        }
    }

    /// The context of one call.
    pub fn cx(&mut self) -> Cx<'_> {
        Cx::new(
            self.now,
            self.wall,
            &self.sender,
            &mut self.timer,
            &mut self.sampler,
            &mut self.acceptor,
            &self.halter,
        )
    }

    /// Takes over the time of a clock.
    pub fn set_time(&mut self, clock: &dyn Clock) {
        self.now = clock.now();
        self.wall = clock.wall();
    }
}

impl<S, P, A> fmt::Debug for Surroundings<S, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("now", &self.now).finish_non_exhaustive()
    }
}
