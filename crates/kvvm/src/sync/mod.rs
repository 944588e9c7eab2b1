//! The jump to a recent state.
//!
//! # Specification
//!
//! * Upon [`StateSync::begin`] (the engine accepted a summary): the run takes the next generation of the
//!   state, or the one that an interrupted run for the same summary had, and goes on in each lane
//!   where the database says. What an interrupted run for another summary left is to be removed.
//! * While a lane is not full, nobody is asked for its next range, and a peer is free: that peer is
//!   asked. One range per lane, one request per peer.
//! * Upon an answer: it must be a range that begins where it was asked, is proven against the root,
//!   and gets further. It is written as one batch with the place where the lane goes on, and the
//!   engine is told that something was [written](sastrugi_vm::Events::set_written). Verifying needs
//!   no lock.
//! * Upon any other answer, an error or silence: the peer rests ([`peers`]), and another one is
//!   asked for the same range.
//! * When all lanes are full: on the engine's thread, the tree is closed. If its root is the
//!   summary's, one batch makes the generation the current one, the block the last accepted one,
//!   and the old generation one to be removed.
//! * When each connected peer has said for [`LACKING_MAX`] that it does not have the state, or when
//!   no range came for the time given in the config although somebody was connected; or if the root
//!   is not the summary's; or if the chain has come as far by itself: the run is given up. What it
//!   filled is to be removed, and the last accepted block stays.
//! * Upon either end, the engine is told that [state sync is
//!   done](sastrugi_vm::Events::set_state_sync_done).
//! * Upon [`StateSync::leave`] (the engine went on without waiting, or never began): as if given up,
//!   but nobody is told.
//! * While records are to be removed: [`REMOVED_MAX`] of them each [`REMOVAL_PAUSE`].
//!
//! # Invariants
//!
//! * The current generation is never written by a run, so all reads answer from the old state until
//!   the jump. Each batch alone leaves something that the next start can go on from.
//! * Memory: an answer per thread that verifies one, and the open nodes of sixteen lanes.
//! * Nothing a peer sends is an error. Only the database is.
//!
//! # Locks
//!
//! One, around the run and the peers. It is held while a batch is written, and not while verifying
//! or sending. Lock order: chain, then this one.

mod journal;
mod message;
mod meter;
mod peers;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{Instant, NodeId, RequestId};
use sastrugi_vm::{
    AppError, AppSender, Clock, Events, Health, Random, VmError, VmInit,
    db::{Batch, Database, DbError, Durability},
};

pub(crate) use self::{
    journal::land,
    message::{RANGE_BYTES_MAX, RangeRequest, is_range_request},
    server::RangeServer,
};
use self::{
    message::RangeAnswer,
    meter::Meter,
    peers::{Failure, SyncPeers},
    server::{BUSY, UNAVAILABLE},
};
use crate::{
    codec::DecodeError,
    config::Config,
    state::{
        Entry, Generation, StateError, Store,
        fill::{self, LANES, Lane},
        range::{Leaf, Path, RangeError},
    },
    summary::Summary,
};

/// For so long all peers must have said that they do not have the state.
const LACKING_MAX: Duration = Duration::from_secs(30);
/// After so long without a range the node says that it is not well.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// So many records are removed at once.
const REMOVED_MAX: usize = 1024;
/// The time between two removals.
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct StateSync {
    db: Arc<dyn Database>,
    app_sender: Arc<dyn AppSender>,
    events: Events,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    range_bytes: u32,
    give_up_after: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    peers: SyncPeers,
    run: Option<Run>,
    next_request: u32,
    /// When some of what nobody needs is removed next; `None` if there is nothing.
    removal: Option<Instant>,
    /// How the last run ended.
    outcome: Option<String>,
}

/// A jump under way.
struct Run {
    summary: Summary,
    generation: Generation,
    lanes: Vec<LaneRun>,
    asked: BTreeMap<RequestId, Asked>,
    meter: Meter,
    /// Since when nothing has come although somebody could have been asked.
    waiting_since: Instant,
}

struct LaneRun {
    lane: Lane,
    /// Whether its next range is asked for, or verified.
    is_busy: bool,
}

/// A request that has no outcome yet.
struct Asked {
    node: NodeId,
    generation: Generation,
    lane: usize,
    request: RangeRequest,
}

/// A verified answer.
struct Filled {
    entries: Vec<(Leaf, Entry)>,
    size_bytes: usize,
    next: Option<Path>,
}

/// Why an answer is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Form(#[from] DecodeError),
    #[error(transparent)]
    Range(#[from] RangeError),
}

/// A message to be sent when the lock is free.
type ToSend = (NodeId, RequestId, Bytes);

/// A full generation, about to become the current one.
pub(crate) struct Landing {
    pub(crate) summary: Summary,
    pub(crate) generation: Generation,
    /// What is left to be written of it.
    pub(crate) batch: Batch,
}

impl StateSync {
    pub(crate) fn new(init: &VmInit, config: &Config) -> Result<Self, DbError> {
        let db = Arc::clone(&init.db);
        let removal = journal::has_removals(&*db)?.then(|| init.clock.now());
        let inner = Inner {
            peers: SyncPeers::default(),
            run: None,
            next_request: 0,
            removal,
            outcome: None,
        };
        Ok(Self {
            db,
            app_sender: Arc::clone(&init.app_sender),
            events: init.events.clone(),
            clock: Arc::clone(&init.clock),
            random: Arc::clone(&init.random),
            range_bytes: config.state_sync_range_bytes,
            give_up_after: config.state_sync_give_up(),
            inner: Mutex::new(inner),
        })
    }

    /// The summary of a run that has not ended.
    pub(crate) fn ongoing(&self) -> Result<Option<Summary>, DbError> {
        Ok(journal::ongoing(&*self.db)?.map(|ongoing| ongoing.summary))
    }

    /// Begins to jump to a summary, or goes on. `current` is the generation to be left.
    pub(crate) fn begin(&self, summary: &Summary, current: Generation) -> Result<(), DbError> {
        let now = self.clock.now();
        let to_send = {
            let mut inner = self.inner.lock();
            if inner.run.as_ref().is_some_and(|run| run.summary == *summary) {
                return Ok(());
            }
            let ongoing = journal::ongoing(&*self.db)?;
            let generation = match ongoing.filter(|ongoing| ongoing.summary == *summary) {
                Some(ongoing) => ongoing.generation,
                None => self.begin_generation(&mut inner, summary, current, now)?,
            };
            inner.peers.begin();
            inner.run = Some(Run::load(&*self.db, summary, generation, now)?);
            self.ask(&mut inner, now)
        };
        self.send(to_send, now);
        Ok(())
    }

    fn begin_generation(
        &self,
        inner: &mut Inner,
        summary: &Summary,
        current: Generation,
        now: Instant,
    ) -> Result<Generation, DbError> {
        let mut batch = Batch::new();
        let generation = journal::begin(&*self.db, &mut batch, current, summary)?;
        self.write(&batch)?;
        inner.removal = journal::has_removals(&*self.db)?.then_some(now);
        Ok(generation)
    }

    /// Gives up what is under way, without a word.
    pub(crate) fn leave(&self) -> Result<(), DbError> {
        let mut inner = self.inner.lock();
        if journal::ongoing(&*self.db)?.is_some() {
            self.abandon(&mut inner, "the engine went on without it")?;
        }
        Ok(())
    }

    fn abandon(&self, inner: &mut Inner, why: &str) -> Result<(), DbError> {
        inner.run = None;
        if let Some(ongoing) = journal::ongoing(&*self.db)? {
            let height = ongoing.summary.block().height();
            tracing::warn!(height, why, "state sync given up");
            inner.outcome = Some(format!("given up at height {height}: {why}"));
            let mut batch = Batch::new();
            journal::abandon(&mut batch, ongoing.generation);
            self.write(&batch)?;
            inner.removal = Some(self.clock.now());
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        let run_due = inner.run.as_ref().and_then(|run| self.run_due(run, &inner.peers));
        run_due.into_iter().chain(inner.removal).min()
    }

    /// What can be done already is due since ever: whoever compares this with a time taken before
    /// the call must not find it in the future.
    fn run_due(&self, run: &Run, peers: &SyncPeers) -> Option<Instant> {
        if run.is_full() {
            return Some(Instant::ZERO);
        }
        let ask = run.idle_lane().and_then(|_| peers.due());
        let give_up = self.give_up_at(run, peers);
        ask.into_iter().chain(give_up).min()
    }

    fn give_up_at(&self, run: &Run, peers: &SyncPeers) -> Option<Instant> {
        let patience = if peers.all_lack_state() { LACKING_MAX } else { self.give_up_after };
        (!peers.is_empty()).then(|| run.waiting_since + patience.min(self.give_up_after))
    }

    /// Does what is due, on the engine's thread. Gives the full generation if there is one; then
    /// [`Self::landed`] must follow.
    pub(crate) fn handle_timeout(&self, now: Instant) -> Result<Option<Landing>, StateError> {
        let to_send = {
            let mut inner = self.inner.lock();
            if inner.removal.is_some_and(|due| due <= now) {
                self.remove_some(&mut inner, now)?;
            }
            if let Some(run) = &inner.run {
                if run.is_full() {
                    return self.close(&mut inner);
                }
                if self.give_up_at(run, &inner.peers).is_some_and(|due| due <= now) {
                    let why = if inner.peers.all_lack_state() {
                        "no peer has the state any more"
                    } else {
                        "no peer served the state"
                    };
                    self.give_up(&mut inner, why)?;
                }
            }
            self.ask(&mut inner, now)
        };
        self.send(to_send, now);
        Ok(None)
    }

    fn remove_some(&self, inner: &mut Inner, now: Instant) -> Result<(), DbError> {
        let mut batch = Batch::new();
        let is_left = journal::remove_some(&*self.db, &mut batch, REMOVED_MAX)?;
        inner.removal = is_left.then(|| now + REMOVAL_PAUSE);
        if is_left { self.write(&batch) } else { Ok(()) }
    }

    fn close(&self, inner: &mut Inner) -> Result<Option<Landing>, StateError> {
        let Some(run) = &inner.run else { return Ok(None) };
        let block = run.summary.block();
        let mut batch = Batch::new();
        let lanes = run.lanes.iter().map(|run| run.lane.clone()).collect();
        let store = Store::new(&*self.db, run.generation);
        let root = fill::close(store, &mut batch, block.height(), lanes)?;
        if root != block.root() {
            // Each range was proven, so this is damage on this machine.
            tracing::error!(%root, expected = %block.root(), "the synced state has another root");
            self.give_up(inner, "the synced state has another root")?;
            return Ok(None);
        }
        let (summary, generation) = (run.summary.clone(), run.generation);
        Ok(Some(Landing { summary, generation, batch }))
    }

    /// The landing was written: `true` if the chain took it, `false` if it has come as far itself.
    pub(crate) fn landed(&self, is_taken: bool) -> Result<(), DbError> {
        let mut inner = self.inner.lock();
        if !is_taken {
            return self.give_up(&mut inner, "the chain has come as far by itself");
        }
        if let Some(run) = inner.run.take() {
            let height = run.summary.block().height();
            tracing::info!(height, entries = run.entries(), "state sync done");
            inner.outcome = Some(format!("jumped to height {height}"));
        }
        inner.removal = Some(self.clock.now());
        self.events.set_written();
        self.events.set_state_sync_done();
        Ok(())
    }

    fn give_up(&self, inner: &mut Inner, why: &str) -> Result<(), DbError> {
        self.abandon(inner, why)?;
        self.events.set_state_sync_done();
        Ok(())
    }

    pub(crate) fn connected(&self, node: NodeId) {
        let now = self.clock.now();
        let to_send = {
            let mut inner = self.inner.lock();
            if inner.peers.is_empty()
                && let Some(run) = &mut inner.run
            {
                run.waiting_since = now;
            }
            inner.peers.connected(node);
            self.ask(&mut inner, now)
        };
        self.send(to_send, now);
    }

    pub(crate) fn disconnected(&self, node: NodeId) {
        self.inner.lock().peers.disconnected(node);
    }

    /// Hears an answer.
    pub(crate) fn response(
        &self,
        node: NodeId,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        let Some(asked) = self.inner.lock().take_asked(node, request) else { return Ok(()) };
        let answer = check(&asked.request, bytes);
        let now = self.clock.now();
        let to_send = {
            let mut inner = self.inner.lock();
            match answer {
                Ok(filled) => self.fill(&mut inner, &asked, filled, now)?,
                Err(error) => {
                    tracing::debug!(%node, %error, "a wrong answer to a request for a range");
                    inner.failed(&asked, Failure::Wrong, now);
                }
            }
            self.ask(&mut inner, now)
        };
        self.send(to_send, now);
        Ok(())
    }

    /// Hears that there is no answer.
    pub(crate) fn request_failed(&self, node: NodeId, request: RequestId, error: &AppError) {
        let now = self.clock.now();
        let to_send = {
            let mut inner = self.inner.lock();
            let Some(asked) = inner.take_asked(node, request) else { return };
            tracing::debug!(%node, %error, "a request for a range was not answered");
            let failure = match error.code {
                code if code == UNAVAILABLE.code => Failure::Lacking,
                code if code == BUSY.code => Failure::Busy,
                _ => Failure::Silent,
            };
            inner.failed(&asked, failure, now);
            self.ask(&mut inner, now)
        };
        self.send(to_send, now);
        // The time to ask again is another one now.
        self.events.wake();
    }

    fn fill(
        &self,
        inner: &mut Inner,
        asked: &Asked,
        filled: Filled,
        now: Instant,
    ) -> Result<(), StateError> {
        inner.peers.succeeded(asked.node);
        let Some(run) = inner.run.as_mut().filter(|run| run.generation == asked.generation) else {
            return Ok(());
        };
        let lane = &mut run.lanes[asked.lane];
        let mut batch = Batch::new();
        let mut longer = lane.lane.clone();
        let store = Store::new(&*self.db, run.generation);
        longer.fill(store, &mut batch, asked.request.height, filled.entries, filled.next)?;
        self.write(&batch)?;
        *lane = LaneRun { lane: longer, is_busy: false };
        run.meter.add(filled.size_bytes);
        run.waiting_since = now;
        Ok(())
    }

    /// Chooses what to ask whom.
    fn ask(&self, inner: &mut Inner, now: Instant) -> Vec<ToSend> {
        let mut to_send = Vec::new();
        let Inner { peers, run: Some(run), next_request, .. } = inner else { return to_send };
        while let Some(lane) = run.idle_lane()
            && let Some(node) = peers.choose(now, self.random.next_u64())
        {
            let number = request_number(next_request);
            let Some(request) = run.ask(lane, node, number, self.range_bytes) else { break };
            peers.asked(node, number);
            to_send.push((node, number, request));
        }
        to_send
    }

    fn send(&self, to_send: Vec<ToSend>, now: Instant) {
        for (node, request, bytes) in to_send {
            let sent = self.app_sender.send_app_request(&BTreeSet::from([node]), request, bytes);
            if let Err(error) = sent {
                tracing::debug!(%node, %error, "failed to ask for a range");
                let mut inner = self.inner.lock();
                if let Some(asked) = inner.take_asked(node, request) {
                    inner.failed(&asked, Failure::Silent, now);
                }
            }
        }
    }

    fn write(&self, batch: &Batch) -> Result<(), DbError> {
        self.db.write(batch, Durability::Buffered)?;
        self.events.set_written();
        Ok(())
    }

    /// How the jump is getting on.
    pub(crate) fn health(&self) -> Health {
        let now = self.clock.now();
        let inner = self.inner.lock();
        match &inner.run {
            Some(run) => run.health(inner.peers.counts(now), now),
            None => Health::well(serde_json::json!(inner.outcome)),
        }
    }
}

impl Inner {
    /// Ends a request, if it is one of the run's. Its lane stays busy.
    fn take_asked(&mut self, node: NodeId, request: RequestId) -> Option<Asked> {
        self.peers.ended(node, request);
        let run = self.run.as_mut()?;
        if run.asked.get(&request)?.node != node {
            return None;
        }
        run.asked.remove(&request)
    }

    fn failed(&mut self, asked: &Asked, failure: Failure, now: Instant) {
        let Some(run) = self.run.as_mut().filter(|run| run.generation == asked.generation) else {
            return;
        };
        run.lanes[asked.lane].is_busy = false;
        run.meter.failed(failure);
        self.peers.failed(asked.node, failure, now);
    }
}

impl Run {
    fn load(
        db: &dyn Database,
        summary: &Summary,
        generation: Generation,
        now: Instant,
    ) -> Result<Self, DbError> {
        let store = Store::new(db, generation);
        let lane = |nibble| Ok(LaneRun { lane: Lane::load(store, nibble)?, is_busy: false });
        let lanes: Vec<LaneRun> = (0..LANES).map(lane).collect::<Result<_, DbError>>()?;
        let mut run = Self {
            summary: summary.clone(),
            generation,
            lanes,
            asked: BTreeMap::new(),
            meter: Meter::new(now),
            waiting_since: now,
        };
        run.meter.begin_at(run.filled());
        tracing::info!(
            height = summary.block().height(),
            root = %summary.block().root(),
            filled_percent = (run.filled() * 100.0) as u8,
            "state sync begins"
        );
        Ok(run)
    }

    fn is_full(&self) -> bool {
        self.lanes.iter().all(|run| run.lane.missing().is_none())
    }

    /// A lane that goes on and whose next range nobody is asked for: the emptiest.
    fn idle_lane(&self) -> Option<usize> {
        let idle = |run: &LaneRun| !run.is_busy && run.lane.missing().is_some();
        let lanes = self.lanes.iter().enumerate().filter(|(_, run)| idle(run));
        lanes.min_by(|(_, a), (_, b)| a.lane.filled().total_cmp(&b.lane.filled())).map(|(at, _)| at)
    }

    fn ask(
        &mut self,
        lane: usize,
        node: NodeId,
        number: RequestId,
        bytes_max: u32,
    ) -> Option<Bytes> {
        let block = self.summary.block();
        let (first, last) = self.lanes[lane].lane.missing()?;
        let (height, root) = (block.height(), block.root());
        let request = RangeRequest { height, root, first, last, bytes_max };
        let bytes = request.encode();
        self.lanes[lane].is_busy = true;
        self.asked.insert(number, Asked { node, generation: self.generation, lane, request });
        Some(bytes)
    }

    fn filled(&self) -> f64 {
        self.lanes.iter().map(|run| run.lane.filled()).sum::<f64>() / f64::from(LANES)
    }

    fn entries(&self) -> u64 {
        self.lanes.iter().map(|run| run.lane.entries()).sum()
    }
}

/// Requests of a jump have odd numbers, pulls of gossip even ones.
fn request_number(next: &mut u32) -> RequestId {
    let number = RequestId(*next << 1 | 1);
    *next = next.wrapping_add(1);
    number
}

/// Whether a request with this number was for a range.
pub(crate) const fn is_range_number(request: RequestId) -> bool {
    request.0 & 1 == 1
}

/// Checks an answer. Needs nothing but what was asked.
fn check(asked: &RangeRequest, bytes: Bytes) -> Result<Filled, AnswerError> {
    let size_bytes = bytes.len();
    let RangeAnswer { range, is_whole } = RangeAnswer::decode(bytes)?;
    let covered = match range.entries.last() {
        Some(entry) if !is_whole => entry.path(),
        _ => asked.last,
    };
    let leaves = range.verify(asked.root, asked.first, covered)?;
    let next = if covered == asked.last { None } else { fill::after(&covered) };
    Ok(Filled { entries: leaves.into_iter().zip(range.entries).collect(), size_bytes, next })
}

#[cfg(test)]
mod tests;
