//! B9 (handler and router): messages through the inbox, the router and a chain whose gear does
//! nothing.
//!
//! As in production, one thread owns the chain, parks when it is idle and reads the machine's
//! clocks before each turn; app messages are worked by a pool of four threads. The main thread plays
//! the network. Run it on one core (`taskset -c 0`) for the plain rows; with more the rows carry the
//! suffix `-p2`. Counters are plain fields here; the reference's are Prometheus objects, and it
//! accounts processor time by peer, which has no counterpart here yet.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sastrugi_benchkit::{Meter, Outcome, SplitMix64, Suite};
use sastrugi_engine::{
    chain::{
        Chain, ChainConfig, ChainParts, ChangeNotifier, Gears, Inbox, InboxLimits, Input, Lane,
        Permit, Uncommitted, Unobserved,
    },
    common::{
        AcceptedFrontierHandler, AcceptedHandler, AcceptedStateSummaryHandler, AncestorsHandler,
        AppError, AppGossipHandler, AppHandler, AppRequestHandler, AppResponseHandler,
        ChitsHandler, Cx, Engine, GetAcceptedFrontierHandler, GetAcceptedHandler,
        GetAcceptedStateSummaryHandler, GetAncestorsHandler, GetHandler,
        GetStateSummaryFrontierHandler, Halter, Handled, Handler, InternalHandler,
        PreemptionSignal, Progress, PutHandler, QueryHandler, StateSummaryFrontierHandler,
        tracker::Peers,
    },
    router::{AdaptiveTimeoutConfig, AdmitAll, Route, Router, RouterConfig, SharedRouter},
    testing::{RecordingSender, Script, TestVm, test_block},
};
use sastrugi_types::{
    Id, Instant, NodeId, RequestId, WallTime,
    message::{Chits, Gossip, Inbound, Payload, Request, Response, ResponseOp},
    version::Application,
};
use sastrugi_vm::{Clock, Events, Health, State, VmError};

const CHAIN: Id = Id([3; 32]);
const VALIDATORS: usize = 20;

/// The machine's clocks.
#[derive(Debug)]
struct MachineClock(std::time::Instant);

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        Instant(self.0.elapsed().as_nanos() as u64)
    }

    fn wall(&self) -> WallTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallTime::UNIX_EPOCH + since
    }
}

/// What the gear and its app handler have heard.
#[derive(Default)]
struct Heard {
    handled: AtomicU64,
    failed: AtomicU64,
    /// While set, the gear keeps its thread.
    is_blocked: AtomicBool,
}

impl Heard {
    fn one(&self) {
        self.handled.fetch_add(1, Ordering::Release);
    }

    fn wait(&self, count: u64) {
        while self.handled.load(Ordering::Acquire) < count {
            thread::yield_now();
        }
    }
}

/// A gear that does nothing.
struct Idle(Arc<Heard>);

macro_rules! ignores {
    ($($handler:ident $call:ident($($argument:ty),*);)*) => {
        $(impl $handler for Idle {
            fn $call(&mut self, _: &mut Cx<'_>, _: NodeId, _: RequestId, $(_: $argument),*) -> Handled {
                Ok(())
            }
        })*
    };
}

ignores! {
    GetStateSummaryFrontierHandler get_state_summary_frontier();
    GetAcceptedStateSummaryHandler get_accepted_state_summary(BTreeSet<u64>);
    GetAcceptedFrontierHandler get_accepted_frontier();
    GetAcceptedHandler get_accepted(BTreeSet<Id>);
    GetAncestorsHandler get_ancestors(Id);
    GetHandler get(Id);
}

impl StateSummaryFrontierHandler for Idle {}
impl AcceptedStateSummaryHandler for Idle {}
impl AcceptedFrontierHandler for Idle {}
impl AcceptedHandler for Idle {}
impl AncestorsHandler for Idle {}
impl PutHandler for Idle {}
impl InternalHandler for Idle {}

impl QueryHandler for Idle {
    fn pull_query(&mut self, _: &mut Cx<'_>, _: NodeId, _: RequestId, _: Id, _: u64) -> Handled {
        while self.0.is_blocked.load(Ordering::Acquire) {
            thread::yield_now();
        }
        self.0.one();
        Ok(())
    }
}

impl ChitsHandler for Idle {
    fn chits(&mut self, _: &mut Cx<'_>, _: NodeId, _: RequestId, _: Chits) -> Handled {
        self.0.one();
        Ok(())
    }

    fn query_failed(&mut self, _: &mut Cx<'_>, _: NodeId, _: RequestId) -> Handled {
        self.0.failed.fetch_add(1, Ordering::Release);
        self.0.one();
        Ok(())
    }
}

impl Handler for Idle {
    fn app(&self) -> Arc<dyn AppHandler + Send + Sync> {
        Arc::new(IdleApp(self.0.clone()))
    }
}

impl Engine for Idle {
    fn start(&mut self, cx: &mut Cx<'_>, _: RequestId) -> Handled {
        cx.acceptor.state_changed(State::NormalOp)?;
        Ok(())
    }

    fn health(&mut self, _: Instant, _: WallTime) -> Health {
        Health::default()
    }
}

/// Hears app messages and does nothing.
struct IdleApp(Arc<Heard>);

impl AppRequestHandler for IdleApp {
    fn app_request(&self, _: NodeId, _: RequestId, _: Instant, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppResponseHandler for IdleApp {
    fn app_response(&self, _: NodeId, _: RequestId, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }

    fn app_request_failed(&self, _: NodeId, _: RequestId, _: &AppError) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppGossipHandler for IdleApp {
    fn app_gossip(&self, _: NodeId, _: Bytes) -> Result<(), VmError> {
        self.0.one();
        Ok(())
    }
}

/// Wakes the threads of the app pool.
#[derive(Default)]
struct Bell(Mutex<()>, Condvar);

/// A node with one chain, its thread and its app pool.
struct Node {
    router: SharedRouter,
    inbox: Arc<Inbox>,
    heard: Arc<Heard>,
    clock: Arc<MachineClock>,
    bell: Arc<Bell>,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    fn start(
        timeout: Option<Duration>,
        app_threads: usize,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let clock = Arc::new(MachineClock(std::time::Instant::now()));
        let mut config = RouterConfig::new(NodeId([9; 20]), Application::default(), 1);
        if let Some(timeout) = timeout {
            let (initial, minimum, maximum) = (timeout, timeout, timeout);
            config.timeouts =
                AdaptiveTimeoutConfig { initial, minimum, maximum, ..config.timeouts };
        }
        let router = Arc::new(Mutex::new(Router::new(config, clock.now())?));
        let inbox = Arc::new(Inbox::new(InboxLimits::default(), Halter::default()));
        let admission = Arc::new(AdmitAll);
        let route = Route { subnet: Id::EMPTY, inbox: inbox.clone(), admission };
        router.lock().add_chain(CHAIN, route);
        let heard = Arc::new(Heard::default());
        let genesis = test_block(Id::EMPTY, 0, 100);
        let chain = Chain::new(ChainParts {
            id: CHAIN,
            config: ChainConfig::default(),
            vm: Arc::new(ChangeNotifier::new(TestVm::new(genesis))),
            events: Events::default(),
            gears: Gears::only(Box::new(Idle(heard.clone()))),
            inbox: inbox.clone(),
            sender: Arc::new(RecordingSender::new(|_| ())),
            sampler: Box::new(Script::default()),
            peers: Arc::new(Peers::new(1)),
            peer_tracker: None,
            preemption: PreemptionSignal::default(),
            commit: Box::new(Uncommitted),
            output: Box::new(Unobserved),
        });
        let jobs = chain.app_jobs();
        let bell = Arc::new(Bell::default());
        let mut threads = vec![own(chain, clock.clone())];
        let ringer = bell.clone();
        inbox.on_wake(Lane::App, move || {
            let _held = ringer.0.lock();
            ringer.1.notify_one();
        });
        for _ in 0..app_threads {
            let (jobs, clock) = (jobs.clone(), clock.clone());
            let (inbox, bell) = (inbox.clone(), bell.clone());
            threads.push(thread::spawn(move || {
                while !inbox.is_stopped() {
                    if let Some(job) = jobs.next(clock.now()) {
                        job.run();
                        continue;
                    }
                    let mut held = bell.0.lock();
                    if inbox.is_empty(Lane::App) && !inbox.is_stopped() {
                        bell.1.wait(&mut held);
                    }
                }
            }));
        }
        let node = Self { router, inbox, heard, clock, bell, threads };
        while !node.inbox.is_empty(Lane::Sync) {
            thread::yield_now();
        }
        Ok(node)
    }

    fn inbound(&self, from: NodeId, payload: Payload) {
        let message = Inbound { from, chain: CHAIN, payload };
        let mut router = self.router.lock();
        router.inbound(self.clock.now(), message, Permit::NONE);
    }

    fn stop(self) {
        self.inbox.stop(Ok(()));
        {
            let _held = self.bell.0.lock();
            self.bell.1.notify_all();
        }
        for thread in self.threads {
            // A panic there was printed, and shows in the counts.
            let _ = thread.join();
        }
    }
}

/// Gives a chain its thread.
fn own(mut chain: Chain, clock: Arc<MachineClock>) -> JoinHandle<()> {
    thread::spawn(move || {
        let thread: Thread = thread::current();
        chain.inbox().on_wake(Lane::Sync, move || thread.unpark());
        chain.start(clock.now(), clock.wall());
        while !chain.is_stopped() {
            while chain.turn(clock.now(), clock.wall()) == Progress::More {}
            match chain.poll_timeout() {
                Some(due) => thread::park_timeout(due - clock.now()),
                None if chain.is_stopped() => {}
                None => thread::park(),
            }
        }
    })
}

fn nodes() -> Vec<NodeId> {
    let mut rng = SplitMix64::new(9);
    (0..VALIDATORS).map(|_| NodeId(rng.array())).collect()
}

fn pull_query(number: usize) -> Request {
    Request::PullQuery { container: Id([number as u8; 32]), requested_height: 1 }
}

fn inputs(count: usize) -> Vec<Input> {
    let nodes = nodes();
    let input = |number: usize| Input::Request {
        from: nodes[number % VALIDATORS],
        id: RequestId(number as u32),
        expires: Instant::MAX,
        request: pull_query(number),
    };
    (0..count).map(input).collect()
}

fn drain(meter: &mut Meter, node: &Node) -> Outcome {
    const MESSAGES: u64 = 50_000;
    let inputs = inputs(MESSAGES as usize);
    node.heard.is_blocked.store(true, Ordering::Release);
    meter.start();
    for input in inputs {
        // A refused one shows in the count.
        let _ = node.inbox.push(input, Permit::NONE);
    }
    node.heard.is_blocked.store(false, Ordering::Release);
    node.heard.wait(MESSAGES);
    meter.stop();
    Outcome::new(MESSAGES, node.heard.handled.load(Ordering::Acquire))
}

fn ping_pong(meter: &mut Meter, node: &Node) -> Outcome {
    const MESSAGES: u64 = 20_000;
    let inputs = inputs(MESSAGES as usize);
    meter.start();
    for (count, input) in (1..).zip(inputs) {
        let _ = node.inbox.push(input, Permit::NONE);
        node.heard.wait(count);
    }
    meter.stop();
    Outcome::new(MESSAGES, node.heard.handled.load(Ordering::Acquire))
}

fn app(meter: &mut Meter, node: &Node) -> Outcome {
    const MESSAGES: u64 = 50_000;
    let nodes = nodes();
    let bytes = Bytes::from_static(&[0; 100]);
    let input = |number: usize| Input::Gossip {
        from: nodes[number % VALIDATORS],
        gossip: Gossip::App { bytes: bytes.clone() },
    };
    let inputs: Vec<_> = (0..MESSAGES as usize).map(input).collect();
    meter.start();
    for input in inputs {
        let _ = node.inbox.push(input, Permit::NONE);
    }
    node.heard.wait(MESSAGES);
    meter.stop();
    Outcome::new(MESSAGES, node.heard.handled.load(Ordering::Acquire))
}

fn router_pull(meter: &mut Meter, node: &Node) -> Outcome {
    const MESSAGES: u64 = 50_000;
    let nodes = nodes();
    let deadline = Duration::from_secs(10);
    let payload = |number: usize| {
        let (id, request) = (RequestId(number as u32), pull_query(number));
        (nodes[number % VALIDATORS], Payload::Request { id, deadline, request })
    };
    let messages: Vec<_> = (0..MESSAGES as usize).map(payload).collect();
    meter.start();
    for (from, payload) in messages {
        node.inbound(from, payload);
    }
    node.heard.wait(MESSAGES);
    meter.stop();
    Outcome::new(MESSAGES, node.heard.handled.load(Ordering::Acquire))
}

fn router_chits(meter: &mut Meter, node: &Node) -> Outcome {
    const POLLS: u32 = 2_000;
    const LAG: u32 = 4;
    let nodes = nodes();
    let ops = u64::from(POLLS - LAG) * VALIDATORS as u64;
    meter.start();
    for poll in 0..POLLS {
        {
            let mut router = node.router.lock();
            let now = node.clock.now();
            for validator in &nodes {
                router.expect(now, CHAIN, *validator, RequestId(poll + 1), ResponseOp::Chits);
            }
        }
        if let Some(answered) = poll.checked_sub(LAG) {
            let id = RequestId(answered + 1);
            for validator in &nodes {
                let response = Response::Chits(Chits::default());
                node.inbound(*validator, Payload::Response { id, response });
            }
        }
    }
    node.heard.wait(ops);
    meter.stop();
    Outcome::new(ops, node.heard.failed.load(Ordering::Acquire))
}

fn router_timeout(meter: &mut Meter, node: &Node) -> Outcome {
    const REQUESTS: u64 = 20_000;
    let nodes = nodes();
    meter.start();
    for number in 0..REQUESTS as usize {
        let mut router = node.router.lock();
        let (now, id) = (node.clock.now(), RequestId(number as u32));
        router.expect(now, CHAIN, nodes[number % VALIDATORS], id, ResponseOp::Chits);
    }
    loop {
        let due = {
            let mut router = node.router.lock();
            router.handle_timeout(node.clock.now());
            router.poll_timeout()
        };
        let Some(due) = due else { break };
        thread::sleep(due - node.clock.now());
    }
    node.heard.wait(REQUESTS);
    meter.stop();
    Outcome::new(REQUESTS, node.heard.failed.load(Ordering::Acquire))
}

type Workload = fn(&mut Meter, &Node) -> Outcome;

fn main() {
    let mut suite = Suite::from_args();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let suffix = if cores == 1 { "" } else { "-p2" };
    let (slow, quick) = (Some(Duration::from_secs(10)), Some(Duration::from_millis(1)));
    let rows: [(&str, &str, Option<Duration>, usize, Workload); 6] = [
        ("B9-handler-drain", "ns/msg", None, 0, drain),
        ("B9-handler-pingpong", "ns/msg", None, 0, ping_pong),
        ("B9-handler-app", "ns/msg", None, 4, app),
        ("B9-router-pull", "ns/msg", None, 0, router_pull),
        ("B9-router-chits", "ns/request", slow, 0, router_chits),
        ("B9-router-timeout", "ns/request", quick, 0, router_timeout),
    ];
    for (id, unit, timeout, app_threads, workload) in rows {
        suite.run(&format!("{id}{suffix}"), unit, 9, |meter| {
            let Ok(node) = Node::start(timeout, app_threads) else { return Outcome::new(1, 0) };
            let outcome = workload(meter, &node);
            node.stop();
            outcome
        });
    }
}
