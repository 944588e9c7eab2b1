//! Networks over loopback.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use sastrugi_types::{
    Id, RequestId,
    message::{Chits, Outbound, Payload, Request, Response},
};

use super::*;
use crate::{HealthFault, HealthLimits, Network, Recipients, StartError};

#[test]
fn two_nodes_greet_talk_and_list_each_other() {
    let (one, two) = (Node::start(1), Node::start(2));
    one.track(&two);
    await_connection(&one, &two);
    let request = Payload::Request {
        id: RequestId(1),
        deadline: Duration::from_secs(2),
        request: Request::PullQuery { container: Id([9; 32]), requested_height: 3 },
    };
    let request = Outbound { chain: CHAIN, payload: request };
    let to_two = BTreeSet::from([two.id()]);
    assert_eq!(one.network.send(&request, &to_two, Id::EMPTY), to_two);
    let asked = await_some("a query", || two.diary.messages().pop());
    assert_eq!(asked, from(&one, request));
    let chits = Chits { preferred: Id([9; 32]), accepted_height: 3, ..Chits::default() };
    let response = Payload::Response { id: RequestId(1), response: Response::Chits(chits) };
    let response = Outbound { chain: CHAIN, payload: response };
    two.network.send(&response, &BTreeSet::from([one.id()]), Id::EMPTY);
    let answered = await_some("chits", || one.diary.messages().pop());
    assert_eq!(answered, from(&two, response));

    for (node, other) in [(&one, &two), (&two, &one)] {
        let [peer] = &node.network.peers()[..] else { panic!("one peer each") };
        assert_eq!(peer.info.node, other.id());
        assert_eq!(peer.info.public_ip, other.network.address());
        assert_eq!(peer.info.tracked_subnets, BTreeSet::from([Id::EMPTY]));
        let connected = Heard::Connected(other.id(), BTreeSet::from([Id::EMPTY]));
        assert_eq!(node.diary.count(&connected), 1);
    }
    assert_eq!(one.network.peers()[0].address, two.network.address());
    let health = one.network.health();
    assert_eq!(health.faults(&HealthLimits::default()), []);
    assert_eq!((health.connected_peers, health.ingress_connection_count), (1, 0));
    assert_eq!(two.network.health().ingress_connection_count, 1);
    let stats = one.network.stats();
    assert_eq!((stats.peers, stats.tracked, stats.times_connected), (1, 1, 1));
    assert_eq!((stats.clock_skew.count, stats.peers_subnet[&Id::EMPTY]), (1, 1));
    let labels: Vec<_> = stats.messages.iter().map(|it| it.op.label()).collect();
    assert_eq!(labels, ["handshake", "peerlist", "pull_query", "chits"]);
}

#[test]
fn messages_of_one_peer_arrive_in_order() {
    let (one, two) = (Node::start(3), Node::start(4));
    one.track(&two);
    await_connection(&one, &two);
    let bodies: Vec<Vec<u8>> =
        (0..2_000_u32).map(|number| vec![number as u8; number as usize % 700]).collect();
    for body in &bodies {
        assert!(one.send(&two, body.clone()));
    }
    await_true("all messages", || two.diary.messages().len() == bodies.len());
    let expected: Vec<_> = bodies.into_iter().map(|body| from(&one, gossip(body))).collect();
    assert!(two.diary.messages() == expected);
}

#[test]
fn a_node_that_was_lost_is_dialled_again() {
    let one = Node::start(5);
    let two = Node::start(6);
    let (id, address) = (two.id(), two.network.address());
    one.track(&two);
    await_connection(&one, &two);
    two.network.close();
    assert_eq!(two.diary.count(&Heard::Disconnected(one.id())), 1);
    assert!(two.network.wait_closed(LIMIT));
    await_true("lost", || !one.network.is_connected(id));
    assert!(!one.send(&two, "nobody there"));

    let mut again = config();
    again.listen = address;
    let two = Node::try_start(6, again).unwrap();
    await_connection(&one, &two);
    assert!(one.send(&two, "welcome back"));
    await_true("a message", || two.diary.messages().len() == 1);
    let primary = BTreeSet::from([Id::EMPTY]);
    let heard = one.diary.heard.lock().clone();
    let connected = Heard::Connected(id, primary);
    assert_eq!(heard, [connected.clone(), Heard::Disconnected(id), connected]);
}

#[test]
fn another_node_at_the_address_is_refused() {
    let (one, two, three) = (Node::start(7), Node::start(8), identity(9).node_id());
    one.network.track(three, two.network.address());
    await_true("an attempt", || two.network.stats().inbound_conn_throttler_allowed > 0);
    one.network.track(one.id(), one.network.address());
    let itself = Node::try_start(7, config()).unwrap();
    itself.track(&two);
    await_connection(&itself, &two);
    assert!(one.network.peers().is_empty() && one.diary.heard.lock().is_empty());
}

#[test]
fn a_node_does_not_connect_to_itself() {
    let (one, two) = (Node::start(10), Node::start(11));
    one.network.track(two.id(), one.network.address());
    await_true("an attempt", || one.network.stats().inbound_conn_throttler_allowed > 0);
    one.network.track(two.id(), two.network.address());
    await_connection(&one, &two);
    assert_eq!(one.network.peers().len(), 1);
}

#[test]
fn nodes_of_another_network_do_not_stay() {
    let one = Node::start(12);
    let mut other = config();
    other.peer.network_id += 1;
    let two = Node::try_start(13, other).unwrap();
    two.track(&one);
    await_true("an attempt", || one.network.stats().inbound_conn_throttler_allowed > 1);
    assert!(one.diary.heard.lock().is_empty() && two.diary.heard.lock().is_empty());
}

#[test]
fn five_nodes_that_all_dial_become_a_mesh_and_stay_one() {
    let nodes: Vec<_> = (20..25).map(Node::start).collect();
    for node in &nodes {
        for other in &nodes {
            node.track(other);
        }
    }
    let is_mesh = || nodes.iter().all(|node| node.network.peers().len() == 4);
    await_true("a mesh", is_mesh);
    let everybody = Recipients { peers: 10, ..Recipients::default() };
    let told = nodes[0].network.gossip(&gossip("all"), &everybody, Id::EMPTY);
    let others: BTreeSet<_> = nodes[1..].iter().map(Node::id).collect();
    assert_eq!(told, others);
    for other in &nodes[1..] {
        await_true("gossip", || other.diary.messages() == [from(&nodes[0], gossip("all"))]);
    }
    assert!(is_mesh());
}

#[test]
fn gossip_is_sampled_by_kind() {
    let diary = Arc::default();
    let others: Vec<_> = (31..36).map(Node::start).collect();
    let validators: BTreeSet<_> = others[..2].iter().map(Node::id).collect();
    let network = Network::start(config(), parts(30, Members(validators.clone()), &diary));
    let network = network.unwrap();
    for other in &others {
        network.track(other.id(), other.network.address());
    }
    await_true("all connected", || network.peers().len() == others.len());
    let told = |recipients: Recipients| network.gossip(&gossip("x"), &recipients, Id::EMPTY);
    let all = told(Recipients { validators: 9, ..Recipients::default() });
    assert_eq!(all, validators);
    let some = told(Recipients { non_validators: 2, ..Recipients::default() });
    assert_eq!((some.len(), some.intersection(&validators).count()), (2, 0));
    let nodes = BTreeSet::from([others[0].id(), identity(99).node_id()]);
    let named = told(Recipients { nodes, validators: 9, ..Recipients::default() });
    assert_eq!(named, validators);
    let untracked = network.gossip(
        &gossip("x"),
        &Recipients { peers: 9, ..Recipients::default() },
        Id([1; 32]),
    );
    assert!(untracked.is_empty());
}

#[test]
fn garbage_on_the_socket_disturbs_nobody() {
    let (one, two) = (Node::start(40), Node::start(41));
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 100], &[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]] {
        let mut socket = TcpStream::connect(one.network.address()).unwrap();
        socket.write_all(garbage).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }
    await_true("three rejections", || one.network.stats().tls_conn_rejected == 3);
    two.track(&one);
    await_connection(&one, &two);
    assert_eq!(one.network.peers().len(), 1);
}

#[test]
fn a_silent_socket_is_closed_in_time() {
    let mut config = config();
    config.accept.upgrade_timeout = Duration::from_millis(50);
    let one = Node::try_start(42, config).unwrap();
    let mut socket = TcpStream::connect(one.network.address()).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn who_handles_nothing_holds_up_nobody_else() {
    let mut one_at_a_time = config();
    one_at_a_time.inbound.messages_max = 1;
    let slow = Node::try_start(50, one_at_a_time).unwrap();
    let quick = Node::start(51);
    *slow.diary.kept.lock() = Some(Vec::new());
    let sender = Node::start(52);
    sender.track(&slow);
    sender.track(&quick);
    await_connection(&sender, &slow);
    await_connection(&sender, &quick);
    let large = incompressible(1 << 17);
    let refused = (0..1_000).find(|_| !sender.send(&slow, large.clone()));
    assert!(refused.is_some(), "the queue for one peer is bounded");
    let start = Instant::now();
    assert!(sender.send(&quick, "quick"));
    await_true("a message", || quick.diary.messages().len() == 1);
    assert!(start.elapsed() < LIMIT / 2);
    assert!(sender.network.is_connected(slow.id()));

    await_true("the first", || slow.diary.messages().len() == 1);
    *slow.diary.kept.lock() = None;
    // The queue may have had room for no more than the first.
    await_true("more", || {
        sender.send(&slow, "more");
        slow.diary.messages().len() > 1
    });
}

#[test]
fn an_address_in_use_is_named() {
    let one = Node::start(60);
    let mut config = config();
    config.listen = one.network.address();
    let error = Node::try_start(61, config).err().unwrap();
    assert!(matches!(&error, StartError::Listen { address, .. }
        if *address == one.network.address()));
    assert!(error.to_string().contains(&one.network.address().to_string()));
}

#[test]
fn private_addresses_are_dialled_only_when_allowed() {
    let one = Node::start(62);
    let mut public_only = config();
    public_only.allow_private_ips = false;
    let two = Node::try_start(63, public_only).unwrap();
    two.track(&one);
    let three = Node::start(64);
    three.track(&one);
    await_connection(&three, &one);
    assert_eq!(one.network.stats().inbound_conn_throttler_allowed, 1);
}

#[test]
fn only_validators_and_dialled_nodes_may_be_required() {
    let mut closed = config();
    closed.require_validator = true;
    let one = Node::try_start(65, closed).unwrap();
    let (two, three) = (Node::start(66), Node::start(67));
    two.track(&one);
    one.track(&three);
    await_connection(&one, &three);
    await_true("an attempt", || one.network.stats().inbound_conn_throttler_allowed > 1);
    assert!(!one.network.is_connected(two.id()));
}

#[test]
fn a_closed_network_is_silent_and_says_so() {
    let (one, two) = (Node::start(70), Node::start(71));
    one.track(&two);
    await_connection(&one, &two);
    one.network.close();
    assert!(one.network.wait_closed(LIMIT));
    assert!(!one.send(&two, "late"));
    let health = one.network.health();
    let (connected, min) = (0, 1);
    assert_eq!(health.faults(&HealthLimits::default()), [HealthFault::Peers { connected, min }]);
    assert!(TcpStream::connect(one.network.address()).is_err());
    await_true("lost", || !two.network.is_connected(one.id()));
    assert_eq!(two.diary.count(&Heard::Disconnected(one.id())), 1);
}

#[test]
fn two_nodes_that_dial_each_other_at_once_connect_without_a_long_pause() {
    let mut patient = config();
    patient.dial.delay_initial = 10 * LIMIT;
    patient.dial.delay_max = 10 * LIMIT;
    let pairs: Vec<_> = (0..40)
        .map(|pair| {
            [110 + 2 * pair, 111 + 2 * pair]
                .map(|seed| Node::try_start(seed, patient.clone()).unwrap())
        })
        .collect();
    for [one, two] in &pairs {
        one.track(two);
        two.track(one);
    }
    for [one, two] in &pairs {
        await_connection(one, two);
    }
}

#[test]
fn who_connects_before_connections_are_accepted_waits() {
    let diary = Arc::default();
    let network = Network::bind(config(), parts(80, Members::default(), &diary)).unwrap();
    let early = Node { network, diary };
    let other = Node::start(81);
    other.track(&early);
    sleep(Duration::from_millis(100));
    assert_eq!(early.network.stats().inbound_conn_throttler_allowed, 0);
    early.network.accept();
    await_connection(&early, &other);
    assert_eq!(early.network.stats().inbound_conn_throttler_allowed, 1, "it was dialled once");
}
