//! A chain: one blockchain's gears and VM, and the only owner of both.
//!
//! Everything a chain does happens inside a call of its owner, one thread or one simulated event at
//! a time. Other threads hold its [`Inbox`], and [`AppJobs`].
//!
//! # Specification
//!
//! * Upon [`Chain::start`]: the first gear takes charge, from request number 0. That is the
//!   state syncer if there is one and it is enabled, and then the bootstrapper forgets what it had
//!   fetched; else the bootstrapper if there is one; else the consensus gear. Before that no gear
//!   hears anything, and the inbox keeps what comes.
//! * Upon a handler in which the gear said it is [finished](Cx::finish): the next gear takes charge
//!   when the handler returns, and continues the numbering. Its app handler takes over too, and
//!   the wake-up the old gear had asked for is forgotten. The order of gears is that of [`Gear`],
//!   each at most once; [`Output`] hears [`Fact::GearChanged`] of each. A consensus gear that says
//!   it is finished breaks the chain.
//! * Upon [`Chain::handle`]: the gear in charge hears the input. The trackers of connected peers
//!   and of their bandwidth hear of connections first. App messages do not come here but through
//!   [`AppJobs`].
//! * Upon [`Chain::work`]: the gear does one bounded slice of long work.
//! * Upon [`Chain::handle_timeout`], what is due, in this order: events of the VM
//!   ([when](ChangeNotifier) the gear hears of them), the VM's own timeout, the gear's wake-up, the
//!   gossip tick. Ticks that were missed are not made up for.
//! * Upon the VM's event that it wrote something beside any block: [`Commit::written`], before the
//!   gear hears of other events, so that what it hears of is committed. The gear in charge, whichever
//!   it is, hears that state sync is done.
//! * Upon [`Chain::turn`]: what is due, then one message, then, when none waits (or each
//!   [`MESSAGES_PER_SLICE`] messages), a slice of long work. So nothing starves anything.
//!
//! A block is accepted in four steps: the [`Commit`] notes it, the VM accepts, the commit writes
//! both in one batch, [`Output`] hears of it. The next block's first step comes after that.
//!
//! # The end
//!
//! A chain ends when its inbox is [told to stop](Inbox::stop), from whichever thread; when a handler,
//! a VM call or an app job returns an error; or when one of them panics. The first reason
//! counts. From then on the queues take nothing, long work is halted, and the gear hears nothing
//! more, except that once the app jobs that are out are done it is shut down, and the VM with it.
//! Then [`Output`] hears [`Fact::Stopped`]. Whoever holds the router removes the chain from it,
//! which releases its requests. A chain that is stopped before it starts is shut down all the same.
//!
//! # Deviations from upstream
//!
//! A panic stops that one chain, cleanly. One thread does what upstream's sync and chan dispatchers
//! do under a lock. Accepting is one commit. Malformed messages never get here: decoders drop
//! requests, and the router turns responses into failures.
//!
//! # Seats
//!
//! The fair queue; the DAG gears; a [`Recorder`] hears everything that reaches the chain. Upstream:
//! `snow/networking/handler`.
//!
//! # Driving order
//!
//! ```text
//! chain.start(now, wall)
//! until chain.is_stopped():
//!     if chain.turn(now, wall) is Idle:
//!         wait until the inbox wakes (Lane::Sync), or chain.poll_timeout()
//! ```
//! A driver that picks messages itself calls [`Inbox::pop`], [`Chain::handle`], [`Chain::work`] and
//! [`Chain::handle_timeout`] instead, and [`Chain::settle`] when the inbox is stopped. `now` never
//! goes backwards. App jobs are taken whenever the inbox wakes [`Lane::App`].

mod app_jobs;
mod dispatch;
mod gears;
mod guard;
mod health;
mod inbox;
mod input;
mod notifier;
mod output;
mod recorder;
mod repair;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use sastrugi_types::{Id, Instant, RequestId, WallTime};
use sastrugi_vm::{Events, Message, State, Vm};

pub use app_jobs::{AppJob, AppJobs};
pub use gears::{Gear, Gears};
pub use health::connected_fraction_min;
pub use inbox::{Delivery, Inbox, InboxLimits, InboxStats, Permit, Refused};
pub use input::{Input, Lane};
pub use notifier::{ChangeNotifier, RETRY_AFTER};
pub use output::{Commit, Fact, Output, Uncommitted, Unobserved};
pub use recorder::{Call, Recorder};
pub use repair::{COMPARED_MAX, Noted, Repair, RepairError, repair};

use crate::common::{
    Cx, Engine, Fatal, Handled, InternalHandler, PreemptionSignal, Progress, Sampler, Sender,
    TimeoutScheduler, tracker::Peers,
};
use crate::peer_tracker::PeerTracker;
use guard::guarded;
use notifier::Forwarder;
use output::ChainAcceptor;

/// After so many messages in a row the gear gets a chance to do long work.
pub const MESSAGES_PER_SLICE: u32 = 32;

/// The settings of a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChainConfig {
    /// How often the gear gossips; zero is never.
    pub gossip_period: Duration,
    /// A smaller connected part of the weight is unhealthy; `None` does not look. See
    /// [`connected_fraction_min`].
    pub connected_fraction_min: Option<f64>,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            gossip_period: Duration::from_millis(100),
            connected_fraction_min: Some(connected_fraction_min(15, 20)),
        }
    }
}

/// What a chain is made of.
pub struct ChainParts {
    /// The chain.
    pub id: Id,
    /// Settings.
    pub config: ChainConfig,
    /// The initialized VM, which the gears use too.
    pub vm: Arc<ChangeNotifier>,
    /// The slots that were given to the VM.
    pub events: Events,
    /// The gears.
    pub gears: Gears,
    /// Where messages come from.
    pub inbox: Arc<Inbox>,
    /// What the gears say leaves here, [`router::Port`](crate::router::Port) in a node.
    pub sender: Arc<dyn Sender>,
    /// Draws validators.
    pub sampler: Box<dyn Sampler + Send>,
    /// Hears who is connected, for health and perhaps the sampler.
    pub peers: Arc<Peers>,
    /// Hears who is connected, for the bootstrapper; chains without one have none.
    pub peer_tracker: Option<Arc<PeerTracker>>,
    /// Fires when the subnet is bootstrapped.
    pub preemption: PreemptionSignal,
    /// Stands behind each accepted block.
    pub commit: Box<dyn Commit>,
    /// Hears what happens.
    pub output: Box<dyn Output>,
}

impl fmt::Debug for ChainParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainParts").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Status {
    New,
    Running,
    /// Waits for app jobs, then shuts down.
    Stopping(Handled),
    Stopped(Handled),
}

/// What a chain has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Inputs the gear heard.
    pub handled: u64,
    /// Gossip ticks.
    pub gossiped: u64,
    /// Times the gear was told that transactions wait.
    pub notified: u64,
    /// Times the VM said that it wrote something beside any block.
    pub written: u64,
}

/// One blockchain at work. See the [module's specification](self).
pub struct Chain {
    id: Id,
    config: ChainConfig,
    status: Status,
    gears: Gears,
    gear: Gear,
    vm: Arc<ChangeNotifier>,
    events: Events,
    forwarder: Forwarder,
    inbox: Arc<Inbox>,
    sender: Arc<dyn Sender>,
    timer: TimeoutScheduler,
    preemption: PreemptionSignal,
    sampler: Box<dyn Sampler + Send>,
    peers: Arc<Peers>,
    peer_tracker: Option<Arc<PeerTracker>>,
    acceptor: ChainAcceptor,
    app_jobs: AppJobs,
    next_gossip: Option<Instant>,
    messages_since_work: u32,
    recorder: Option<Box<dyn Recorder>>,
    stats: Stats,
}

impl Chain {
    /// A chain that waits for [`Chain::start`]. Its inbox takes messages already.
    pub fn new(parts: ChainParts) -> Self {
        let ChainParts { id, config, vm, events, gears, inbox, sender, sampler, .. } = parts;
        let waker = Arc::downgrade(&inbox);
        events.on_change(move || {
            if let Some(inbox) = waker.upgrade() {
                inbox.wake();
            }
        });
        let app_jobs = AppJobs::new(inbox.clone(), vm.clone());
        Self {
            id,
            config,
            status: Status::New,
            gears,
            gear: Gear::Snowman,
            vm,
            events,
            forwarder: Forwarder::default(),
            inbox,
            sender,
            timer: TimeoutScheduler::new(parts.preemption.clone()),
            preemption: parts.preemption,
            sampler,
            peers: parts.peers,
            peer_tracker: parts.peer_tracker,
            acceptor: ChainAcceptor {
                commit: parts.commit,
                output: parts.output,
                state: State::Initializing,
            },
            app_jobs,
            next_gossip: None,
            messages_since_work: 0,
            recorder: None,
            stats: Stats::default(),
        }
    }

    /// From here on `recorder` hears each call before it has any effect.
    pub fn record(&mut self, recorder: Box<dyn Recorder>) {
        self.recorder = Some(recorder);
    }

    /// The chain's ID.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The gear in charge.
    pub const fn gear(&self) -> Gear {
        self.gear
    }

    /// The state the gear in charge has set.
    pub const fn state(&self) -> State {
        self.acceptor.state
    }

    /// Where messages come from.
    pub const fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// The app messages, for the threads beside the chain.
    pub fn app_jobs(&self) -> AppJobs {
        self.app_jobs.clone()
    }

    /// The gear in charge, to look at, if it is of this type. Before the start it is the consensus
    /// gear.
    pub fn gear_ref<T: Engine>(&self) -> Option<&T> {
        self.gear_as(self.gear)
    }

    /// A gear, in charge or not, to look at, if the chain has it and it is of this type.
    pub fn gear_as<T: Engine>(&self, gear: Gear) -> Option<&T> {
        let gear: &dyn Any = self.gears.get(gear)?;
        gear.downcast_ref()
    }

    /// The consensus gear, to look at, if it is of this type.
    pub fn consensus_gear<T: Engine>(&self) -> Option<&T> {
        self.gear_as(Gear::Snowman)
    }

    /// What was counted.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Whether the chain has ended and the VM is shut down.
    pub const fn is_stopped(&self) -> bool {
        matches!(self.status, Status::Stopped(_))
    }

    /// How the chain ended, once it has.
    pub const fn outcome(&self) -> Option<&Handled> {
        match &self.status {
            Status::Stopped(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Puts the first gear in charge. Calling it again does nothing.
    pub fn start(&mut self, now: Instant, wall: WallTime) {
        self.tell_recorder(now, wall, Call::Start);
        if matches!(self.status, Status::New) && !self.inbox.is_stopped() {
            self.status = Status::Running;
            self.forwarder.subscribe();
            if !self.config.gossip_period.is_zero() {
                self.next_gossip = Some(now + self.config.gossip_period);
            }
            let started = guarded(|| self.gears.first())
                .and_then(|gear| self.take_charge(now, wall, gear, RequestId(0)));
            self.stop_if_failed(started);
        }
        self.settle(now, wall);
    }

    /// Lets the gear hear one input. An app message is worked right here.
    pub fn handle(&mut self, now: Instant, wall: WallTime, input: Input) {
        self.tell_recorder(now, wall, Call::Handle(&input));
        if self.is_running() {
            let span = tracing::debug_span!(
                "handle",
                chain = %self.id,
                op = input.label(),
                node = input.node().map(tracing::field::display),
            );
            let _entered = span.enter();
            self.track(&input);
            self.stats.handled += 1;
            if input.lane() == Lane::App {
                self.app_jobs.run_here(input);
            } else {
                let handled = self.call(now, wall, |gear, cx| dispatch::dispatch(gear, cx, input));
                self.stop_if_failed(handled);
            }
        }
        self.settle(now, wall);
    }

    /// Lets the gear do one bounded slice of long work.
    pub fn work(&mut self, now: Instant, wall: WallTime) -> Progress {
        self.tell_recorder(now, wall, Call::Work);
        let mut progress = Progress::Idle;
        if self.is_running() {
            match self.call(now, wall, Engine::work) {
                Ok(made) => progress = made,
                Err(fatal) => self.inbox.stop(Err(fatal)),
            }
            self.messages_since_work = 0;
        }
        self.settle(now, wall);
        progress
    }

    /// When [`Chain::handle_timeout`] is next due. To be asked after each call, and after each
    /// wake-up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_running() {
            return None;
        }
        let due = [self.poll_events(), self.poll_vm(), self.timer.poll_timeout(), self.next_gossip];
        let next = due.into_iter().flatten().min();
        self.app_jobs.publish_next_look(next);
        next
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, wall: WallTime) {
        self.tell_recorder(now, wall, Call::Timeout);
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.is_running() && is_due(self.poll_events()) {
            let handled = self.handle_events(now, wall);
            self.stop_if_failed(handled);
        }
        if self.is_running() && is_due(self.poll_vm()) {
            let handled =
                guarded(|| self.vm.handle_timeout(now).map_err(Fatal::vm("handle_timeout")));
            self.stop_if_failed(handled);
        }
        if self.is_running() && self.timer.handle_timeout(now) {
            let handled = self.call(now, wall, Engine::timeout);
            self.stop_if_failed(handled);
        }
        if self.is_running() && is_due(self.next_gossip) {
            self.next_gossip = self.next_gossip.map(|tick| {
                let next = tick + self.config.gossip_period;
                if next > now { next } else { now + self.config.gossip_period }
            });
            self.stats.gossiped += 1;
            let handled = self.call(now, wall, InternalHandler::gossip);
            self.stop_if_failed(handled);
        }
        self.settle(now, wall);
    }

    /// Does what is most urgent: see the specification. Upon [`Progress::Idle`] nothing is left to
    /// do before [`Chain::poll_timeout`] or the inbox wakes its owner.
    pub fn turn(&mut self, now: Instant, wall: WallTime) -> Progress {
        if self.inbox.is_stopped() {
            self.settle(now, wall);
            return Progress::Idle;
        }
        if !self.is_running() {
            return Progress::Idle;
        }
        let was_due = self.poll_timeout().is_some_and(|due| due <= now);
        if was_due {
            self.handle_timeout(now, wall);
        }
        if self.messages_since_work < MESSAGES_PER_SLICE
            && let Some(Delivery { input, permit }) = self.inbox.pop(Lane::Sync, now)
        {
            self.messages_since_work += 1;
            self.handle(now, wall, input);
            drop(permit);
            return Progress::More;
        }
        match self.work(now, wall) {
            Progress::Idle if was_due || !self.inbox.is_empty(Lane::Sync) => Progress::More,
            progress => progress,
        }
    }

    /// Takes the end one step further when the inbox was told to stop: waits for app jobs, then
    /// shuts the gear down.
    pub fn settle(&mut self, now: Instant, wall: WallTime) {
        if !self.inbox.is_stopped() {
            return;
        }
        if let Some(why) = self.inbox.take_stop() {
            if let Err(fatal) = &why {
                tracing::error!(chain = %self.id, %fatal, "shutting down chain");
            }
            self.status = Status::Stopping(why);
        }
        if !self.app_jobs.are_done() {
            return;
        }
        match std::mem::replace(&mut self.status, Status::New) {
            Status::Stopping(why) => {
                let shut_down = self.call_gear(now, wall, InternalHandler::shutdown);
                let outcome = why.and(shut_down.map(|_| ()));
                self.acceptor.output.observe(Fact::Stopped(&outcome));
                self.status = Status::Stopped(outcome);
            }
            status => self.status = status,
        }
    }

    /// Tells the trackers who is connected.
    fn track(&self, input: &Input) {
        match input {
            Input::Connected { node, version } => {
                self.peers.connected(*node);
                if let Some(tracker) = &self.peer_tracker {
                    tracker.connected(*node, version.version());
                }
            }
            Input::Disconnected { node } => {
                self.peers.disconnected(*node);
                if let Some(tracker) = &self.peer_tracker {
                    tracker.disconnected(*node);
                }
            }
            _ => {}
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.status, Status::Running) && !self.inbox.is_stopped()
    }

    fn stop_if_failed(&self, handled: Handled) {
        if handled.is_err() {
            self.inbox.stop(handled);
        }
    }

    /// Puts a gear in charge, and the next one if that one has nothing to do.
    fn take_charge(
        &mut self,
        now: Instant,
        wall: WallTime,
        gear: Gear,
        last_request: RequestId,
    ) -> Handled {
        self.gear = gear;
        self.acceptor.output.observe(Fact::GearChanged(gear));
        self.timer = TimeoutScheduler::new(self.preemption.clone());
        self.app_jobs.hand_to(self.gears.get_mut(gear).app());
        self.call(now, wall, |gear, cx| gear.start(cx, last_request))
    }

    /// Calls the gear in charge; when it says it is finished, the next one takes charge.
    fn call<T>(
        &mut self,
        now: Instant,
        wall: WallTime,
        call: impl FnOnce(&mut dyn Engine, &mut Cx<'_>) -> Result<T, Fatal>,
    ) -> Result<T, Fatal> {
        let (done, finished) = self.call_gear(now, wall, call)?;
        if let Some(last_request) = finished {
            let next = self.gears.next(self.gear)?;
            self.take_charge(now, wall, next, last_request)?;
        }
        Ok(done)
    }

    fn call_gear<T>(
        &mut self,
        now: Instant,
        wall: WallTime,
        call: impl FnOnce(&mut dyn Engine, &mut Cx<'_>) -> Result<T, Fatal>,
    ) -> Result<(T, Option<RequestId>), Fatal> {
        let mut cx = Cx::new(
            now,
            wall,
            &*self.sender,
            &mut self.timer,
            &mut *self.sampler,
            &mut self.acceptor,
            self.inbox.halter(),
        );
        let gear = self.gears.get_mut(self.gear);
        let done = guarded(|| call(gear, &mut cx))?;
        let finished = cx.finished();
        self.forwarder.look(now, self.vm.changes());
        Ok((done, finished))
    }

    fn poll_events(&self) -> Option<Instant> {
        if self.events.is_state_sync_done() || self.events.is_written() {
            return Some(Instant::ZERO);
        }
        self.forwarder.poll_timeout().filter(|_| self.events.pending_txs())
    }

    fn handle_events(&mut self, now: Instant, wall: WallTime) -> Handled {
        // Taken first: what the VM wrote before it said so is then among what is committed.
        let is_synced = self.events.take_state_sync_done();
        if self.events.take_written() {
            self.stats.written += 1;
            guarded(|| self.acceptor.commit.written())?;
        }
        if is_synced {
            self.call(now, wall, |gear, cx| gear.notify(cx, Message::StateSyncDone))?;
        }
        if self.events.pending_txs() && self.forwarder.take(now) {
            self.stats.notified += 1;
            self.call(now, wall, |gear, cx| gear.notify(cx, Message::PendingTxs))?;
        }
        Ok(())
    }

    fn poll_vm(&self) -> Option<Instant> {
        guarded(|| Ok(self.vm.poll_timeout())).unwrap_or_else(|panic| {
            self.inbox.stop(Err(panic));
            None
        })
    }

    fn tell_recorder(&mut self, now: Instant, wall: WallTime, call: Call<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(now, wall, call);
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("id", &self.id)
            .field("gear", &self.gear)
            .field("status", &self.status)
            .field("inbox", &self.inbox)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
