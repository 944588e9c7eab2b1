//! The state syncer: finds a recent state summary that most beacons stand behind, and lets the VM
//! jump to it. Upstream: `snow/engine/snowman/syncer`.
//!
//! # What a summary goes through
//!
//! *seen* (a sampled beacon says it is its most recent one, or an interrupted sync was working on
//! it) → *voted* (each beacon says at which of the seen heights it has accepted which summary) →
//! *accepted* (the VM is told to sync to it) or dropped.
//!
//! # Specification
//!
//! * **Is enabled**: whether the VM has summaries and wants to sync.
//! * **Start**: the VM enters the state of syncing. Once enough beacon weight was ever connected,
//!   the first *attempt* begins; until then it is looked at upon each connection.
//! * **An attempt** forgets the one before. Beacons are drawn by weight: these are the *seeders*. The
//!   summary of an interrupted sync, if the VM has one, counts as seen. Then each seeder is asked for
//!   its summary. Without seeders, or without a VM that has summaries, the gear is finished.
//! * **State summary frontier** of a seeder that was asked: the summary is seen. Bytes that do not
//!   parse are an answer like any other, but nothing is seen.
//! * **Get state summary frontier failed**: the seeder failed.
//! * When no seeder is left: the units of weight that were drawn and did not fail must be at least
//!   α's part of all units drawn. Else the attempt was in vain, as the network may recover. Then
//!   *all* beacons are asked about the heights of the summaries seen, in the order they were seen.
//! * **Accepted state summary** of a beacon that was asked: each summary seen that it names gains its
//!   weight. IDs that were not seen mean nothing.
//! * **Get accepted state summary failed**: an answer that names nothing; the voter failed.
//! * When no voter is left: summaries with less than α are dropped. One that is left is accepted: the
//!   one an interrupted sync was working on, else the highest. Without one, the attempt was in vain
//!   if the beacons that did not fail have less than α; else the gear is finished, as asking again
//!   would change nothing.
//! * After an attempt in vain there is a *pause*, half a second at first, twice as long each time, up
//!   to [`PAUSE_MAX`]. Upon the wake-up the next attempt begins.
//! * **The VM accepts**: it skips the summary, and the gear is finished; or it syncs *statically*,
//!   and the gear waits for its signal; or *dynamically*, and the gear is finished at once. While
//!   it syncs, [`StateSyncing`](crate::common::StateSyncing) is set. A mode that is not known
//!   counts as skipped.
//! * **Notify** of finished state sync, at any time: the flag is cleared, the gear is finished.
//! * **Gets**: see [`getter`](crate::getter). App messages, connections and shutdown go to the VM,
//!   connections to the startup tracker too.
//!
//! At most [`OUTSTANDING_MAX`] requests of a kind are out at a time. Answers and failures with
//! another number than the current one, or of nodes that were not asked, mean nothing.
//!
//! # Fatal
//!
//! The VM's state, interrupted summary, acceptance, connections and shutdown; weights beyond 64
//! bits. Nothing a peer can cause.
//!
//! # Invariants
//!
//! * Seeders are asked under one number, voters under the next.
//! * Of each seeder at most one summary is kept, and of all together [`SUMMARIES_BYTES_MAX`]; none
//!   once one was accepted or the gear is finished.
//!
//! # Deviations from upstream
//!
//! * Failed seeders are weighed in the unit in which they were drawn, where upstream takes their
//!   whole weight and may wrap below zero.
//! * The interrupted summary is that of the attempt: it is forgotten when the VM has none any more.
//! * Among the highest summaries the one with more weight wins, then the smaller ID; upstream takes
//!   any.
//! * Thresholds are compared exactly, where upstream computes in floating point.
//! * When all weight has shrunk below the sample size, all of it is drawn; upstream stops the chain.
//! * Attempts in vain are followed by a pause, where upstream is paced by the timeouts of requests
//!   alone, and spins where requests fail at once.
//! * Summaries beyond [`SUMMARIES_BYTES_MAX`] are not looked at.

mod attempt;
mod config;
mod engine;
mod frontier;
mod progress;
mod stats;
mod vote;

use std::{fmt, time::Duration};

use sastrugi_types::{Id, RequestId};

pub use attempt::{Attempt, Broadcast};
pub use config::{Beacons, Config};
pub use progress::{Asked, Phase, Progress, RestartReason};
pub use stats::Stats;

use crate::getter::{Getter, serve_gets};

/// So many requests of a kind are outstanding at most.
#[doc(alias = "maxOutstandingBroadcastRequests")]
pub const OUTSTANDING_MAX: usize = 50;
/// The summaries of one attempt hold no more bytes than this: the largest message, 32 times.
pub const SUMMARIES_BYTES_MAX: usize = 32 * 2 * 1024 * 1024;

/// The pause after the first attempt in vain.
pub const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause after an attempt in vain.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The gear that jumps to a recent state.
///
/// See the [module documentation](self) for what it does. Upstream:
/// `snow/engine/snowman/syncer/state_syncer.go`.
#[doc(alias = "New")]
pub struct StateSyncer {
    config: Config,
    getter: Getter,
    /// The number of the last request.
    request_id: RequestId,
    step: Step,
    attempt: Attempt,
    stats: Stats,
    restarted: Option<RestartReason>,
}

serve_gets!(StateSyncer, getter);

/// How far the gear is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Too little beacon weight was connected so far.
    Waiting,
    /// Seeders are asked.
    Frontier,
    /// Voters are asked.
    Voting,
    /// The attempt was in vain; a wake-up is pending.
    Pausing,
    /// The VM syncs.
    Syncing { summary: Id, height: u64 },
    /// The next gear has taken charge.
    Finished,
}

impl StateSyncer {
    /// A gear that waits to be started.
    pub fn new(config: Config) -> Self {
        Self {
            getter: Getter::new(config.vm.clone(), config.clock.clone(), config.getter),
            request_id: RequestId::default(),
            step: Step::Waiting,
            attempt: Attempt::default(),
            stats: Stats::default(),
            restarted: None,
            config,
        }
    }

    /// The attempt that runs, or ran last, to look at.
    pub const fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// Whether enough beacon weight was ever connected to begin.
    pub const fn has_begun(&self) -> bool {
        !matches!(self.step, Step::Waiting)
    }

    /// The number of the last request.
    pub const fn last_request(&self) -> RequestId {
        self.request_id
    }

    /// What the gear has done so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The server of blocks, to look at.
    pub const fn getter(&self) -> &Getter {
        &self.getter
    }

    fn next_request(&mut self) -> RequestId {
        self.request_id = self.request_id.next();
        self.request_id
    }
}

impl fmt::Debug for StateSyncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateSyncer")
            .field("config", &self.config)
            .field("step", &self.step)
            .field("request_id", &self.request_id)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
