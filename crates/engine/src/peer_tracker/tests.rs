use sastrugi_types::{sampler::Mt19937_64, version};

use super::*;

const OWN: NodeId = NodeId([255; 20]);
const SECOND: Duration = Duration::from_secs(1);

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

fn nodes(numbers: &[u8]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(node).collect()
}

fn tracker() -> PeerTracker {
    let config = PeerTrackerConfig {
        own: OWN,
        ignored: nodes(&[200]),
        minimum_version: Some(version::MINIMUM),
        hash_seed: 1,
    };
    PeerTracker::new(config, Box::new(Mt19937_64::new(1)), Instant::ZERO)
}

/// A tracker whose peers 1 to `count` answered, each with its number as bandwidth.
fn answered(count: u8) -> PeerTracker {
    let peers = tracker();
    for number in 1..=count {
        peers.connected(node(number), version::CURRENT);
        peers.register_request(node(number));
        peers.register_response(node(number), f64::from(number), Instant::ZERO);
    }
    peers
}

/// How often each node is chosen in a thousand selections.
fn choices(peers: &PeerTracker) -> BTreeMap<NodeId, u32> {
    let mut choices = BTreeMap::new();
    for _ in 0..1_000 {
        *choices.entry(peers.select_peer().unwrap()).or_default() += 1;
    }
    choices
}

#[test]
fn nobody_is_chosen_while_nobody_is_connected() {
    let peers = tracker();
    assert_eq!(peers.select_peer(), None);
    peers.connected(node(1), version::PREVIOUS_MINIMUM);
    peers.connected(node(200), version::CURRENT);
    assert!(peers.is_empty());
    assert_eq!(peers.select_peer(), None);
    peers.connected(node(1), version::MINIMUM);
    assert_eq!(peers.select_peer(), Some(node(1)));
    peers.disconnected(node(1));
    assert_eq!(peers.select_peer(), None);
}

#[test]
fn this_node_is_never_tracked() {
    let peers = tracker();
    peers.connected(OWN, version::CURRENT);
    peers.register_request(OWN);
    peers.register_failure(OWN, Instant::ZERO);
    peers.register_response(OWN, 1e9, Instant::ZERO);
    assert!(peers.is_empty());
    assert_eq!(peers.bandwidth(OWN), None);
    assert_eq!(peers.select_peer(), None);
}

#[test]
fn untried_peers_come_first_each_with_the_same_chance() {
    let peers = answered(19);
    for number in 101..=104 {
        peers.connected(node(number), version::CURRENT);
    }
    let drawn = choices(&peers);
    assert_eq!(drawn.keys().copied().collect::<BTreeSet<_>>(), nodes(&[101, 102, 103, 104]));
    assert!(drawn.values().all(|count| (200..300).contains(count)), "{drawn:?}");
}

#[test]
fn with_many_responsive_peers_untried_ones_are_rare() {
    let peers = answered(25);
    peers.connected(node(101), version::CURRENT);
    // e^(−2.5) = 8.2 %
    let untried = choices(&peers)[&node(101)];
    assert!((50..120).contains(&untried), "{untried}");
}

#[test]
fn the_best_idle_peer_is_chosen_in_four_of_five_cases() {
    let peers = answered(5);
    let drawn = choices(&peers);
    // A fifth is spread over the five responsive peers.
    assert!((780..900).contains(&drawn[&node(5)]), "{drawn:?}");
    assert!((1..5).all(|number| (20..70).contains(&drawn[&node(number)])), "{drawn:?}");
    peers.register_request(node(5));
    assert_eq!(peers.snapshot().best, Some(node(4)));
    let drawn = choices(&peers);
    assert!(drawn[&node(4)] > 780 && drawn[&node(5)] < 70, "{drawn:?}");
}

#[test]
fn a_failure_halves_the_average_and_the_peer_is_not_responsive() {
    let peers = answered(2);
    let later = Instant::ZERO + HALF_LIFE;
    peers.register_failure(node(2), later);
    assert_eq!(peers.snapshot().responsive, nodes(&[1]));
    assert_eq!(peers.snapshot().best, Some(node(1)));
    // The old observation counts half: 1 of 1.5 parts.
    let bandwidth = peers.bandwidth(node(2)).unwrap();
    assert!((bandwidth - 2.0 / 3.0).abs() < 1e-9, "{bandwidth}");
}

#[test]
fn peers_that_all_fail_take_turns() {
    let peers = tracker();
    let mut asked = Vec::new();
    for number in 1..=3 {
        peers.register_request(node(number));
        peers.register_failure(node(number), Instant::ZERO);
    }
    for _ in 0..6 {
        let chosen = peers.snapshot().best.unwrap();
        peers.register_request(chosen);
        peers.register_failure(chosen, Instant::ZERO + SECOND);
        asked.push(chosen);
    }
    assert_eq!(asked, [1, 2, 3, 1, 2, 3].map(node));
}

#[test]
fn a_peer_that_left_is_forgotten_and_late_answers_do_not_count() {
    let peers = answered(3);
    peers.disconnected(node(3));
    peers.register_response(node(3), 1e9, Instant::ZERO);
    peers.register_failure(node(3), Instant::ZERO);
    assert_eq!(peers.bandwidth(node(3)), None);
    let snapshot = peers.snapshot();
    assert_eq!((snapshot.tried, snapshot.best), (nodes(&[1, 2]), Some(node(2))));
    peers.connected(node(3), version::CURRENT);
    assert_eq!(peers.snapshot().untried, nodes(&[3]));
    assert_eq!(peers.len(), 3);
}

#[test]
fn bandwidths_that_are_no_number_count_as_none() {
    let peers = answered(1);
    for bandwidth in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0] {
        peers.register_request(node(9));
        peers.register_response(node(9), bandwidth, Instant::ZERO);
        assert!(peers.bandwidth(node(9)).unwrap().abs() < f64::EPSILON);
    }
    assert_eq!(peers.snapshot().best, Some(node(1)));
}

#[test]
fn the_number_of_peers_is_bounded() {
    let peers = tracker();
    for number in 0..=PEERS_MAX as u32 {
        let mut node = [0; 20];
        node[..4].copy_from_slice(&number.to_be_bytes());
        peers.connected(NodeId(node), version::CURRENT);
    }
    assert_eq!(peers.len(), PEERS_MAX);
}
