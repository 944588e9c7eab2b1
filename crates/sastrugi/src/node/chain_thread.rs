//! The threads of a chain: one that owns it, and a small pool for app messages.
//!
//! The owner sleeps only when the chain is idle, and is woken by its inbox. Others see the chain
//! through its [`ChainView`]: a picture the owner draws anew when somebody asks for it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use sastrugi_engine::{
    bootstrap::{self, Bootstrapper},
    chain::{AppJobs, Chain, Gear, Inbox, Lane, Stats},
    common::Progress,
    snowman::Snowman,
};
use sastrugi_types::{Id, Instant};
use sastrugi_vm::{ChainVm, Clock, Health, State};

use super::CatchingUp;
use crate::{error::StartError, metrics::SnowmanFigures};

/// The owner looks at least so often whether it should stop.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Who asks for a picture waits for it no longer.
const PICTURE_WAIT_MAX: Duration = Duration::from_secs(1);

/// A chain as it was when somebody last asked.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// The state the gear in charge has set.
    pub state: State,
    /// How the chain is.
    pub health: Health,
    /// What the chain counted.
    pub stats: Stats,
    /// How far the chain is with catching up; `None` once it takes part in consensus.
    pub catching_up: Option<CatchingUp>,
    /// What the bootstrapper counted.
    pub bootstrap: bootstrap::Stats,
    /// The last accepted block and its height.
    pub last_accepted: (Id, u64),
    /// What consensus and its gear counted.
    pub snowman: SnowmanFigures,
    /// Whether it ended.
    pub is_stopped: bool,
}

/// Looks at a chain from other threads. Clones look at the same one.
#[derive(Clone)]
pub struct ChainView {
    id: Id,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
}

struct Shared {
    wanted: AtomicBool,
    /// The number of pictures drawn, and the last one.
    drawn: Mutex<(u64, Picture)>,
    changed: Condvar,
}

impl ChainView {
    /// The chain's ID.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The chain as it is now; after a second the last picture, with a cause that says so.
    pub fn look(&self) -> Picture {
        let mut drawn = self.shared.drawn.lock();
        if drawn.1.is_stopped {
            return drawn.1.clone();
        }
        let before = drawn.0;
        self.shared.wanted.store(true, Ordering::Release);
        self.inbox.wake();
        while drawn.0 == before {
            if self.shared.changed.wait_for(&mut drawn, PICTURE_WAIT_MAX).timed_out() {
                let mut picture = drawn.1.clone();
                let cause = "the chain has been busy with one message for over a second";
                picture.health.causes.push(cause.into());
                return picture;
            }
        }
        drawn.1.clone()
    }

    /// The last picture, without asking for a new one.
    pub fn last(&self) -> Picture {
        self.shared.drawn.lock().1.clone()
    }

    /// What the queues count.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

impl fmt::Debug for ChainView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainView").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A chain at work on its own threads.
#[derive(Debug)]
pub struct ChainThread {
    view: ChainView,
    owner: JoinHandle<()>,
    pool: Vec<JoinHandle<()>>,
}

impl ChainThread {
    /// Starts a chain, whose VM this is, on a thread of its own and `app_threads` more. When it has ended, for
    /// whatever reason, `on_stopped` is called.
    pub fn spawn(
        chain: Chain,
        vm: Arc<dyn ChainVm>,
        name: &str,
        app_threads: usize,
        clock: Arc<dyn Clock>,
        on_stopped: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StartError> {
        let shared = Shared {
            wanted: AtomicBool::new(false),
            drawn: Mutex::default(),
            changed: Condvar::new(),
        };
        let inbox = chain.inbox().clone();
        let view = ChainView { id: chain.id(), shared: Arc::new(shared), inbox: inbox.clone() };
        let fault = |error| StartError::Other(format!("cannot start a thread: {error}"));
        let mut pool = Vec::new();
        let bell = Arc::new(Bell::default());
        let ringer = bell.clone();
        inbox.on_wake(Lane::App, move || ringer.ring());
        for number in 0..app_threads {
            let worker = AppWorker {
                jobs: chain.app_jobs(),
                bell: bell.clone(),
                inbox: inbox.clone(),
                clock: clock.clone(),
            };
            let builder = thread::Builder::new().name(format!("{name}-app-{number}"));
            pool.push(builder.spawn(move || worker.run()).map_err(fault)?);
        }
        let owned = view.clone();
        let builder = thread::Builder::new().name(format!("{name}-chain"));
        let live = move || {
            own(chain, &*vm, &owned, &*clock);
            on_stopped();
        };
        let owner = builder.spawn(live).map_err(fault)?;
        let to_wake = owner.thread().clone();
        inbox.on_wake(Lane::Sync, move || to_wake.unpark());
        // What was pushed before the hook was in place has woken nobody.
        inbox.wake();
        Ok(Self { view, owner, pool })
    }

    /// Looks at the chain.
    pub const fn view(&self) -> &ChainView {
        &self.view
    }

    /// Tells the chain to stop and waits for it, no longer than `wait_max`. Returns whether it
    /// stopped; if not, its threads are left behind.
    pub fn stop(self, wait_max: Duration) -> bool {
        self.view.inbox.stop(Ok(()));
        let deadline = std::time::Instant::now() + wait_max;
        let threads = std::iter::once(self.owner).chain(self.pool);
        for thread in threads {
            while !thread.is_finished() {
                if std::time::Instant::now() >= deadline {
                    return false;
                }
                thread::sleep(Duration::from_millis(1));
            }
            // A panic was caught and reported by the chain already.
            drop(thread.join());
        }
        true
    }
}

/// The life of the thread that owns a chain.
fn own(mut chain: Chain, vm: &dyn ChainVm, view: &ChainView, clock: &dyn Clock) {
    chain.start(clock.now(), clock.wall());
    draw(&mut chain, vm, view, clock);
    while !chain.is_stopped() {
        if view.shared.wanted.swap(false, Ordering::AcqRel) {
            draw(&mut chain, vm, view, clock);
        }
        if chain.turn(clock.now(), clock.wall()) == Progress::More {
            continue;
        }
        if chain.is_stopped() {
            break;
        }
        let sleep = chain.poll_timeout().map_or(SLEEP_MAX, |due| due.since(clock.now()));
        if !sleep.is_zero() && !view.shared.wanted.load(Ordering::Acquire) {
            thread::park_timeout(sleep.min(SLEEP_MAX));
        }
    }
    draw(&mut chain, vm, view, clock);
}

/// Draws the picture others see.
fn draw(chain: &mut Chain, vm: &dyn ChainVm, view: &ChainView, clock: &dyn Clock) {
    let bootstrapper = chain.gear_as::<Bootstrapper>(Gear::Bootstrapper);
    let bootstrap = bootstrapper.map(|gear| *gear.stats()).unwrap_or_default();
    let snowman = chain.consensus_gear::<Snowman>().map(SnowmanFigures::of).unwrap_or_default();
    let last_accepted = match chain.gear() {
        Gear::Snowman if snowman.gear.started => {
            (snowman.last_accepted, snowman.consensus.last_accepted_height)
        }
        _ => last_accepted(vm).unwrap_or_default(),
    };
    let picture = Picture {
        health: chain.health(clock.now(), clock.wall()),
        catching_up: CatchingUp::of(chain, clock.now()),
        bootstrap,
        state: chain.state(),
        stats: chain.stats(),
        last_accepted,
        snowman,
        is_stopped: chain.is_stopped(),
    };
    let mut drawn = view.shared.drawn.lock();
    *drawn = (drawn.0 + 1, picture);
    view.shared.changed.notify_all();
}

/// What the VM has accepted last; consensus knows it only once it began.
fn last_accepted(vm: &dyn ChainVm) -> Option<(Id, u64)> {
    let block = vm.get_block(vm.last_accepted().ok()?).ok()??;
    Some((block.id, block.height))
}

/// Wakes the pool: a count of rings, so that none is lost between looking and sleeping.
#[derive(Default)]
struct Bell {
    rings: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rings.lock() += 1;
        self.changed.notify_one();
    }

    fn rings(&self) -> u64 {
        *self.rings.lock()
    }

    /// Sleeps until the bell has rung since `heard`.
    fn wait(&self, heard: u64) {
        let mut rings = self.rings.lock();
        while *rings == heard {
            if self.changed.wait_for(&mut rings, SLEEP_MAX).timed_out() {
                return;
            }
        }
    }
}

/// One thread of the pool.
struct AppWorker {
    jobs: AppJobs,
    bell: Arc<Bell>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
}

impl AppWorker {
    fn run(self) {
        loop {
            let heard = self.bell.rings();
            let now: Instant = self.clock.now();
            if let Some(job) = self.jobs.next(now) {
                job.run();
            } else if self.inbox.is_stopped() {
                // The others must hear of it too.
                self.bell.ring();
                return;
            } else {
                self.bell.wait(heard);
            }
        }
    }
}
