mod schedules;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sastrugi_types::{
    WallTime,
    message::{Chits, EngineType, Gossip, Outbound},
};
use sastrugi_vm::{AppError, AppSender, Clock, SendConfig};

use super::*;
use crate::{
    chain::{InboxLimits, Lane},
    common::{
        AcceptedSender, AcceptedStateSummarySender, FetchSender, FrontierSender, Halter, NodeSet,
        QuerySender, StateSummarySender,
    },
};

const SELF: NodeId = NodeId([0; 20]);
const PEER: NodeId = NodeId([1; 20]);
const ABSENT: NodeId = NodeId([2; 20]);
const CHAIN: Id = Id([10; 32]);
const SUBNET: Id = Id([7; 32]);
const ID: RequestId = RequestId(1);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallTime {
        WallTime::UNIX_EPOCH
    }
}

/// Reaches everybody but [`ABSENT`].
#[derive(Default)]
struct TestNetwork(Mutex<Vec<(Outbound, NodeSet)>>);

impl Network for TestNetwork {
    fn send(&self, message: &Outbound, to: &NodeSet, subnet: Id) -> NodeSet {
        assert_eq!(subnet, SUBNET);
        let reached: NodeSet = to.iter().copied().filter(|node| *node != ABSENT).collect();
        self.0.lock().push((message.clone(), to.clone()));
        reached
    }

    fn gossip(&self, message: &Outbound, config: &SendConfig, subnet: Id) -> NodeSet {
        self.send(message, &config.node_ids, subnet)
    }
}

/// Admits everybody but [`ABSENT`].
struct Picky;

impl Admission for Picky {
    fn admits(&self, node: NodeId) -> bool {
        node != ABSENT
    }
}

struct Fixture {
    router: SharedRouter,
    inbox: Arc<Inbox>,
    network: Arc<TestNetwork>,
    clock: Arc<TestClock>,
    port: Port,
}

fn version(minor: u32) -> Application {
    Application { name: "test".into(), major: 1, minor, patch: 0 }
}

fn config() -> RouterConfig {
    RouterConfig::new(SELF, version(0), 3)
}

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new(InboxLimits::default(), Halter::default()))
}

fn route(subnet: Id, inbox: &Arc<Inbox>) -> Route {
    Route { subnet, inbox: inbox.clone(), admission: Arc::new(Picky) }
}

fn fixture() -> Fixture {
    let config = RouterConfig { tracked_subnets: [SUBNET].into(), ..config() };
    let mut router = Router::new(config, Instant::ZERO).unwrap();
    let inbox = inbox();
    router.add_chain(CHAIN, route(SUBNET, &inbox));
    let router = Arc::new(Mutex::new(router));
    let network = Arc::new(TestNetwork::default());
    let clock = Arc::new(TestClock::default());
    let port = Port::new(CHAIN, SUBNET, router.clone(), network.clone(), clock.clone());
    assert_eq!(heard(&inbox).len(), 1, "the chain heard of this node");
    Fixture { router, inbox, network, clock, port }
}

fn heard(inbox: &Inbox) -> Vec<Input> {
    let pop = |lane| std::iter::from_fn(move || inbox.pop(lane, Instant::ZERO));
    pop(Lane::Sync).chain(pop(Lane::App)).map(|delivery| delivery.input).collect()
}

impl Fixture {
    fn heard(&self) -> Vec<Input> {
        heard(&self.inbox)
    }

    fn inbound(&self, from: NodeId, payload: Payload) {
        let now = self.clock.now();
        self.router.lock().inbound(now, Inbound { from, chain: CHAIN, payload }, Permit::NONE);
    }

    fn answer(&self, from: NodeId, response: Response) {
        self.inbound(from, Payload::Response { id: ID, response });
    }

    fn advance(&self, span: Duration) {
        let now = self.clock.now() + span;
        self.clock.0.store(now.0, Ordering::Relaxed);
        self.router.lock().handle_timeout(now);
    }

    fn outstanding(&self) -> usize {
        self.router.lock().outstanding()
    }

    fn stats(&self) -> Stats {
        self.router.lock().stats()
    }
}

fn nodes(nodes: &[NodeId]) -> NodeSet {
    nodes.iter().copied().collect()
}

fn failed(from: NodeId, op: ResponseOp) -> Input {
    Input::Failed { from, id: ID, op }
}

fn chits() -> Response {
    Response::Chits(Chits { accepted_height: 9, ..Chits::default() })
}

fn response(from: NodeId, response: Response) -> Input {
    Input::Response { from, id: ID, response }
}

/// Sends one request of each kind to `node`.
fn ask_everything(port: &Port, node: NodeId) {
    let to = nodes(&[node]);
    port.send_get_state_summary_frontier(&to, ID);
    port.send_get_accepted_state_summary(&to, ID, vec![1]);
    port.send_get_accepted_frontier(&to, ID);
    port.send_get_accepted(&to, ID, vec![Id::EMPTY]);
    port.send_get_ancestors(node, ID, Id::EMPTY);
    port.send_get(node, ID, Id::EMPTY);
    port.send_pull_query(&to, ID, Id::EMPTY, 3);
    port.send_app_request(&to, ID, Bytes::new()).unwrap();
}

const ALL_OPS: [ResponseOp; 8] = [
    ResponseOp::StateSummaryFrontier,
    ResponseOp::AcceptedStateSummary,
    ResponseOp::AcceptedFrontier,
    ResponseOp::Accepted,
    ResponseOp::Ancestors,
    ResponseOp::Put,
    ResponseOp::Chits,
    ResponseOp::App,
];

fn response_of(op: ResponseOp) -> Response {
    match op {
        ResponseOp::StateSummaryFrontier => {
            Response::StateSummaryFrontier { summary: Bytes::new() }
        }
        ResponseOp::AcceptedStateSummary => Response::AcceptedStateSummary { summaries: vec![] },
        ResponseOp::AcceptedFrontier => Response::AcceptedFrontier { container: Id::EMPTY },
        ResponseOp::Accepted => Response::Accepted { containers: vec![] },
        ResponseOp::Ancestors => Response::Ancestors { containers: vec![] },
        ResponseOp::Put => Response::Put { container: Bytes::new() },
        ResponseOp::Chits => chits(),
        ResponseOp::App => Response::App { bytes: Bytes::new() },
    }
}

#[test]
fn silent_peers_fail_each_kind_of_request_exactly_once() {
    let fixture = fixture();
    ask_everything(&fixture.port, PEER);
    assert_eq!(fixture.outstanding(), 8);
    assert_eq!(fixture.heard(), []);
    fixture.advance(Duration::from_nanos(4_999_999_999));
    assert_eq!(fixture.heard(), []);
    fixture.advance(Duration::from_nanos(1));
    assert_eq!(fixture.heard(), ALL_OPS.map(|op| failed(PEER, op)));
    fixture.advance(60 * SECOND);
    assert_eq!(fixture.heard(), []);
    assert_eq!(fixture.outstanding(), 0);
}

#[test]
fn each_kind_of_response_ends_its_request_and_only_that() {
    let fixture = fixture();
    ask_everything(&fixture.port, PEER);
    for op in ALL_OPS {
        fixture.answer(ABSENT, response_of(op));
        fixture.inbound(PEER, Payload::Response { id: RequestId(2), response: response_of(op) });
        fixture.answer(PEER, response_of(op));
        fixture.answer(PEER, response_of(op));
        assert_eq!(fixture.heard(), [response(PEER, response_of(op))]);
    }
    assert_eq!(fixture.outstanding(), 0);
    let stats = fixture.stats();
    assert_eq!((stats.answered, stats.dropped_unrequested, stats.dropped_unadmitted), (8, 16, 8));
    fixture.advance(60 * SECOND);
    assert_eq!(fixture.heard(), []);
}

#[test]
fn unreached_nodes_fail_at_once_and_only_once() {
    let fixture = fixture();
    ask_everything(&fixture.port, ABSENT);
    assert_eq!(fixture.heard(), ALL_OPS.map(|op| failed(ABSENT, op)));
    assert_eq!(fixture.outstanding(), 8, "all wait for their timeout");
    fixture.advance(60 * SECOND);
    assert_eq!(fixture.heard(), []);
    assert_eq!(fixture.outstanding(), 0);
}

#[test]
fn after_an_early_failure_a_late_response_is_measured_and_hidden() {
    let fixture = fixture();
    fixture.port.send_pull_query(&nodes(&[PEER]), ID, Id::EMPTY, 0);
    fixture.router.lock().fail(CHAIN, PEER, ID, ResponseOp::Chits);
    fixture.router.lock().fail(CHAIN, PEER, ID, ResponseOp::Chits);
    assert_eq!(fixture.heard(), [failed(PEER, ResponseOp::Chits)]);
    let before = fixture.router.lock().average_latency_nanos();
    fixture.answer(PEER, chits());
    assert_eq!(fixture.heard(), []);
    assert_eq!(fixture.outstanding(), 0);
    assert!(fixture.router.lock().average_latency_nanos() < before);
}

#[test]
fn a_response_that_cannot_be_read_is_a_failure() {
    let fixture = fixture();
    ask_everything(&fixture.port, PEER);
    for op in ALL_OPS {
        for _ in 0..2 {
            fixture.inbound(PEER, Payload::MalformedResponse { id: ID, op });
        }
        assert_eq!(fixture.heard(), [failed(PEER, op)]);
    }
}

#[test]
fn a_remote_app_error_ends_the_request_with_its_code() {
    let fixture = fixture();
    fixture.port.send_app_request(&nodes(&[PEER]), ID, Bytes::new()).unwrap();
    let error = Response::AppError { code: 5, message: "five".into() };
    fixture.answer(PEER, error.clone());
    fixture.answer(PEER, error.clone());
    assert_eq!(fixture.heard(), [response(PEER, error)]);
    assert_eq!(fixture.outstanding(), 0);
}

#[test]
fn an_app_error_to_itself_counts_as_an_early_failure() {
    let fixture = fixture();
    fixture.port.send_app_request(&nodes(&[SELF]), ID, Bytes::new()).unwrap();
    assert_eq!(fixture.heard().len(), 1, "the request");
    let error = AppError { code: 5, message: "five".into() };
    fixture.port.send_app_error(SELF, ID, &error).unwrap();
    fixture.port.send_app_error(SELF, ID, &error).unwrap();
    let heard = fixture.heard();
    assert_eq!(heard, [response(SELF, Response::AppError { code: 5, message: "five".into() })]);
    assert_eq!(fixture.outstanding(), 1);
    fixture.advance(60 * SECOND);
    assert_eq!(fixture.heard(), []);
    assert_eq!(fixture.outstanding(), 0);
}

#[test]
fn requests_to_itself_are_looped_back_fail_or_wait() {
    let fixture = fixture();
    ask_everything(&fixture.port, SELF);
    let heard = fixture.heard();
    let labels: Vec<_> = heard.iter().map(Input::label).collect();
    let expected = [
        "get_state_summary_frontier",
        "get_accepted_state_summary",
        "get_accepted_frontier",
        "get_accepted",
        "get_failed",
        "pull_query",
        "app_request",
    ];
    assert_eq!(labels, expected);
    assert!(heard.iter().all(|input| input.node() == Some(SELF)));
    assert_eq!(heard[0].expires(), Some(Instant::ZERO + 5 * SECOND));
    fixture.port.send_chits(SELF, ID, Chits { accepted_height: 9, ..Chits::default() });
    assert_eq!(fixture.heard(), [response(SELF, chits())], "chits carry their real height");
    fixture.port.send_put(SELF, ID, Bytes::new());
    fixture.port.send_ancestors(SELF, ID, vec![]);
    assert_eq!(fixture.heard(), []);
    assert!(fixture.network.0.lock().is_empty(), "nothing left the node");
    let before = fixture.router.lock().average_latency_nanos();
    fixture.advance(60 * SECOND);
    let average = fixture.router.lock().average_latency_nanos();
    assert!((average - before).abs() < f64::EPSILON, "requests to itself are not measured");
    assert!(fixture.heard().contains(&failed(SELF, ResponseOp::Ancestors)));
}

#[test]
fn a_query_leaves_once_for_all_and_without_this_node() {
    let fixture = fixture();
    fixture.port.send_push_query(&nodes(&[SELF, PEER, ABSENT]), ID, Bytes::from("b"), 4);
    let request = Request::PushQuery { container: Bytes::from("b"), requested_height: 4 };
    let payload = Payload::Request { id: ID, deadline: 5 * SECOND, request: request.clone() };
    let sent = std::mem::take(&mut *fixture.network.0.lock());
    assert_eq!(sent, [(Outbound { chain: CHAIN, payload }, nodes(&[PEER, ABSENT]))]);
    let expires = Instant::ZERO + 5 * SECOND;
    let looped = Input::Request { from: SELF, id: ID, expires, request };
    assert_eq!(fixture.heard(), [looped, failed(ABSENT, ResponseOp::Chits)]);
    assert_eq!(fixture.outstanding(), 3);
    fixture.port.send_get_ancestors(PEER, ID, Id::EMPTY);
    let Payload::Request { request, .. } = fixture.network.0.lock()[0].0.payload.clone() else {
        panic!("not a request")
    };
    let engine_type = EngineType::Chain;
    assert_eq!(request, Request::GetAncestors { container: Id::EMPTY, engine_type });
}

#[test]
fn requests_and_gossip_of_peers_pass_with_a_bounded_deadline() {
    let fixture = fixture();
    let get = |deadline| Payload::Request {
        id: ID,
        deadline,
        request: Request::Get { container: Id::EMPTY },
    };
    for (deadline, lifetime) in [
        (Duration::ZERO, Some(Duration::ZERO)),
        (SECOND, Some(SECOND)),
        (60 * SECOND, Some(10 * SECOND)),
        (Duration::from_nanos(u64::MAX), None),
    ] {
        fixture.inbound(PEER, get(deadline));
        let expires: Vec<_> = fixture.heard().iter().map(Input::expires).collect();
        let expected: Vec<_> =
            lifetime.map(|span| Some(Instant::ZERO + span)).into_iter().collect();
        assert_eq!(expires, expected);
    }
    assert_eq!(fixture.stats().dropped_expired, 1);
    let gossip = Gossip::App { bytes: Bytes::new() };
    fixture.inbound(PEER, Payload::Gossip(gossip.clone()));
    assert_eq!(fixture.heard(), [Input::Gossip { from: PEER, gossip }]);
    fixture.inbound(ABSENT, get(SECOND));
    assert_eq!(fixture.heard(), [], "not admitted");
}

#[test]
fn an_executing_chain_hears_failures_only_and_its_requests_stay() {
    let fixture = fixture();
    fixture.port.send_pull_query(&nodes(&[PEER]), ID, Id::EMPTY, 0);
    fixture.port.send_app_request(&nodes(&[PEER]), ID, Bytes::new()).unwrap();
    fixture.router.lock().set_executing(CHAIN, true);
    fixture.answer(PEER, chits());
    fixture.inbound(PEER, Payload::MalformedResponse { id: ID, op: ResponseOp::Chits });
    fixture.inbound(PEER, Payload::Gossip(Gossip::App { bytes: Bytes::new() }));
    assert_eq!(fixture.heard(), []);
    assert_eq!((fixture.outstanding(), fixture.stats().dropped_executing), (2, 3));
    let error = Response::AppError { code: 1, message: String::new() };
    fixture.answer(PEER, error.clone());
    fixture.advance(60 * SECOND);
    assert_eq!(fixture.heard(), [failed(PEER, ResponseOp::Chits), response(PEER, error)]);
    fixture.router.lock().set_executing(CHAIN, false);
    fixture.inbound(PEER, Payload::Gossip(Gossip::App { bytes: Bytes::new() }));
    assert_eq!(fixture.heard().len(), 1);
}

#[test]
fn unknown_chains_and_a_closing_router_drop() {
    let fixture = fixture();
    let payload = Payload::Gossip(Gossip::App { bytes: Bytes::new() });
    let held = Arc::new(());
    let send = |chain| {
        let message = Inbound { from: PEER, chain, payload: payload.clone() };
        fixture.router.lock().inbound(Instant::ZERO, message, Permit::new(held.clone()));
    };
    send(Id([99; 32]));
    assert_eq!(fixture.stats().dropped_unknown_chain, 1);
    fixture.router.lock().shutdown();
    assert!(fixture.inbox.is_stopped());
    send(CHAIN);
    fixture.port.send_get_ancestors(ABSENT, ID, Id::EMPTY);
    fixture.router.lock().connected(PEER, &version(1), SUBNET);
    assert_eq!(fixture.stats().dropped_closing, 2);
    assert_eq!((fixture.outstanding(), fixture.heard()), (0, vec![]));
    assert_eq!(Arc::strong_count(&held), 1, "permits were given back");
    let late = inbox();
    fixture.router.lock().add_chain(Id([11; 32]), route(SUBNET, &late));
    assert!(late.is_stopped());
}

#[test]
fn a_removed_chain_stops_and_its_requests_are_released() {
    let fixture = fixture();
    let other = inbox();
    let other_id = Id([11; 32]);
    fixture.router.lock().add_chain(other_id, route(SUBNET, &other));
    assert_eq!(heard(&other).len(), 1, "this node");
    fixture.router.lock().expect(Instant::ZERO, other_id, PEER, ID, ResponseOp::Chits);
    ask_everything(&fixture.port, PEER);
    fixture.router.lock().remove_chain(CHAIN);
    assert!(fixture.inbox.is_stopped() && !other.is_stopped());
    assert_eq!((fixture.outstanding(), fixture.stats().released), (1, 8));
    fixture.advance(60 * SECOND);
    assert_eq!(heard(&other), [failed(PEER, ResponseOp::Chits)]);
}

#[test]
fn chains_hear_of_the_peers_of_their_subnet() {
    let mut router =
        Router::new(RouterConfig { tracked_subnets: [SUBNET].into(), ..config() }, Instant::ZERO)
            .unwrap();
    let [primary, subnet] = [inbox(), inbox()];
    let connected = |node, minor| Input::Connected { node, version: version(minor) };
    router.add_chain(Id([1; 32]), route(Id::EMPTY, &primary));
    router.connected(ABSENT, &version(2), Id::EMPTY);
    router.connected(ABSENT, &version(2), Id::EMPTY);
    assert_eq!(heard(&primary), [connected(SELF, 0), connected(ABSENT, 2)]);
    router.connected(PEER, &version(1), Id::EMPTY);
    router.connected(PEER, &version(1), SUBNET);
    router.add_chain(Id([2; 32]), route(SUBNET, &subnet));
    assert_eq!(heard(&subnet), [connected(SELF, 0), connected(PEER, 1)]);
    router.disconnected(ABSENT);
    router.disconnected(PEER);
    router.disconnected(PEER);
    assert_eq!(heard(&subnet), [Input::Disconnected { node: PEER }]);
    let gone = [ABSENT, PEER].map(|node| Input::Disconnected { node });
    assert_eq!(heard(&primary), [vec![connected(PEER, 1)], gone.into()].concat());
}

#[test]
fn without_sybil_protection_all_chains_hear_of_the_primary_network() {
    let mut router =
        Router::new(RouterConfig { sybil_protection: false, ..config() }, Instant::ZERO).unwrap();
    let inbox = inbox();
    router.connected(PEER, &version(1), Id::EMPTY);
    router.add_chain(CHAIN, route(SUBNET, &inbox));
    router.connected(PEER, &version(1), SUBNET);
    router.connected(ABSENT, &version(1), Id::EMPTY);
    router.disconnected(PEER);
    let nodes: Vec<_> = heard(&inbox).iter().map(|input| (input.label(), input.node())).collect();
    let expected = [
        ("connected", Some(SELF)),
        ("connected", Some(PEER)),
        ("connected", Some(ABSENT)),
        ("disconnected", Some(PEER)),
    ];
    assert_eq!(nodes, expected);
}

#[test]
fn health_looks_at_the_count_and_the_age_of_requests() {
    let mut config = config();
    (config.healthy_outstanding_max, config.healthy_age_max) = (1, SECOND);
    let mut router = Router::new(config, Instant::ZERO).unwrap();
    let well = router.health(Instant::ZERO);
    assert!(well.is_healthy());
    assert_eq!(
        well.details.to_string(),
        r#"{"longestRunningRequest":"0s","outstandingRequests":0}"#
    );
    router.add_chain(CHAIN, route(SUBNET, &inbox()));
    router.expect(Instant(500_000_000), CHAIN, PEER, ID, ResponseOp::Put);
    assert!(router.health(Instant(1_500_000_000)).is_healthy());
    router.expect(Instant(500_000_000), CHAIN, PEER, ID, ResponseOp::Chits);
    let ill = router.health(Instant(2_000_000_000));
    assert_eq!(ill.details["longestRunningRequest"], "1.5s");
    assert_eq!(ill.causes.len(), 2, "{:?}", ill.causes);
}

/// Plays recorded calls on a second router.
struct Twin(Arc<Mutex<Router>>, Arc<Inbox>);

impl Recorder for Twin {
    fn record(&mut self, call: Call<'_>) {
        let mut router = self.0.lock();
        match call {
            Call::Expect { now, chain, node, id, op } => router.expect(now, chain, node, id, op),
            Call::Fail { chain, node, id, op } => router.fail(chain, node, id, op),
            Call::Inbound { now, message } => router.inbound(now, message.clone(), Permit::NONE),
            Call::LoopBack { now, chain, payload } => {
                router.loop_back(now, chain, payload.clone());
            }
            Call::Timeout { now } => router.handle_timeout(now),
            Call::Connected { node, version, subnet } => router.connected(node, version, subnet),
            Call::Disconnected { node } => router.disconnected(node),
            Call::AddChain { id, subnet } => router.add_chain(id, route(subnet, &self.1)),
            Call::RemoveChain { id } => router.remove_chain(id),
            Call::Executing { id, is_executing } => router.set_executing(id, is_executing),
            Call::Shutdown => router.shutdown(),
        }
    }
}

#[test]
fn recorded_calls_repeat_on_a_second_router() {
    let fixture = fixture();
    let (router, inbox) = (Router::new(config(), Instant::ZERO).unwrap(), inbox());
    let twin = Arc::new(Mutex::new(router));
    twin.lock().add_chain(CHAIN, route(SUBNET, &inbox));
    assert_eq!(heard(&inbox), []);
    fixture.router.lock().record(Box::new(Twin(twin.clone(), inbox.clone())));
    for node in [SELF, PEER, ABSENT] {
        ask_everything(&fixture.port, node);
    }
    fixture.answer(PEER, chits());
    fixture.port.send_chits(SELF, ID, Chits::default());
    fixture.router.lock().connected(PEER, &version(1), SUBNET);
    fixture.advance(60 * SECOND);
    let heard_there = heard(&inbox);
    assert!(heard_there.len() > 20);
    assert_eq!(heard_there, fixture.heard());
    assert_eq!(twin.lock().stats(), fixture.stats());
}
