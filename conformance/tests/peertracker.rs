//! Replays `traces/peertracker.jsonl`: which peers are known, and their bandwidths.
//!
//! The trace's ignored node is not this node itself here, which no request can make known.

#![expect(clippy::panic, reason = "a trace that is not as expected must fail the test")]

use std::{collections::BTreeSet, time::Duration};

use sastrugi_conformance::{Fields, exceptions, traces};
use sastrugi_engine::peer_tracker::{PeerTracker, PeerTrackerConfig};
use sastrugi_types::{Instant, NodeId, sampler::Mt19937_64, version};

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

fn nodes(op: &mut Fields, key: &str) -> BTreeSet<NodeId> {
    op.take::<Vec<u8>>(key).into_iter().map(node).collect()
}

fn close(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 1e-9 * expected.abs()
}

fn apply(peers: &PeerTracker, now: &mut Instant, op: &mut Fields) {
    let kind: String = op.take("op");
    if kind == "sleep" {
        *now = *now + Duration::from_nanos(op.u64("ns"));
        return;
    }
    let node = node(op.take("n"));
    match kind.as_str() {
        "connected" if op.take("old") => peers.connected(node, version::PREVIOUS_MINIMUM),
        "connected" => peers.connected(node, version::MINIMUM),
        "disconnected" => peers.disconnected(node),
        "request" => peers.register_request(node),
        "response" => peers.register_response(node, op.take("bandwidth"), *now),
        "failure" => peers.register_failure(node, *now),
        kind => panic!("{}: op {kind}", op.name),
    }
}

fn compare(peers: &PeerTracker, op: &mut Fields) {
    let snapshot = peers.snapshot();
    assert_eq!(snapshot.untried, nodes(op, "untracked"), "{}: untracked", op.name);
    assert_eq!(snapshot.tried, nodes(op, "tracked"), "{}: tracked", op.name);
    assert_eq!(snapshot.responsive, nodes(op, "responsive"), "{}: responsive", op.name);
    assert_eq!(peers.len(), op.take::<usize>("size"), "{}: size", op.name);
    let average: f64 = op.take("average");
    assert!(close(snapshot.average_bandwidth, average), "{}: {snapshot:?}, {average}", op.name);
    for (number, expected) in op.or_default::<Vec<(u8, f64)>>("bandwidth_of") {
        let bandwidth = peers.bandwidth(node(number));
        assert!(bandwidth.is_some_and(|it| close(it, expected)), "{}: {number}", op.name);
    }
    // Any of the equally good ones may be the best.
    let best = u8::try_from(op.take::<i16>("best")).ok().map(node);
    assert_eq!(snapshot.best.is_some(), best.is_some(), "{}: best", op.name);
    if let (Some(ours), Some(theirs)) = (snapshot.best, best) {
        let (ours, theirs) = (peers.bandwidth(ours), peers.bandwidth(theirs));
        let is_close = ours.zip(theirs).is_some_and(|(ours, theirs)| close(ours, theirs));
        assert!(is_close, "{}: best {ours:?}, expected {theirs:?}", op.name);
    }
}

#[test]
fn peertracker() {
    let exceptions = exceptions();
    for mut trace in traces("peertracker") {
        assert!(!exceptions.contains_key(&*trace.name), "{} has no exception", trace.name);
        let config = PeerTrackerConfig {
            own: node(u8::MAX),
            ignored: BTreeSet::from([node(trace.take("ignored"))]),
            minimum_version: Some(version::MINIMUM),
            hash_seed: 1,
        };
        let mut now = Instant::ZERO;
        let peers = PeerTracker::new(config, Box::new(Mt19937_64::new(1)), now);
        for mut op in trace.list("ops") {
            apply(&peers, &mut now, &mut op);
            compare(&peers, &mut op);
            op.finish();
        }
        trace.skip("name");
        trace.finish();
    }
}
