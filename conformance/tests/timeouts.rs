//! Adaptive timeouts: when requests end, and how the timeout follows the latency.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::{collections::BTreeMap, time::Duration};

use sastrugi_conformance::{Fields, traces};
use sastrugi_engine::router::{AdaptiveTimeout, AdaptiveTimeoutConfig, Ticket};
use sastrugi_types::Instant;

/// The timer with its keys, which the router keeps in its request table.
struct Replay {
    now: Instant,
    timer: AdaptiveTimeout<u64>,
    tickets: BTreeMap<u64, Ticket>,
}

impl Replay {
    fn start(mut config: Fields) -> Self {
        let span = |nanos| Duration::from_nanos(nanos);
        let read = AdaptiveTimeoutConfig {
            initial: span(config.u64("initial")),
            minimum: span(config.u64("minimum")),
            maximum: span(config.u64("maximum")),
            coefficient: config.take("coefficient"),
            half_life: span(config.u64("halflife")),
        };
        config.finish();
        let timer = AdaptiveTimeout::new(read, Instant::ZERO).unwrap();
        Self { now: Instant::ZERO, timer, tickets: BTreeMap::new() }
    }

    fn remove(&mut self, id: u64) {
        if let Some(ticket) = self.tickets.remove(&id) {
            assert_eq!(self.timer.remove(self.now, ticket), Some(id));
        }
    }

    /// Sleeps until `end`, waking for each deadline, and says what fired when.
    fn sleep(&mut self, end: Instant) -> Vec<(u64, u64)> {
        let mut fired = Vec::new();
        while let Some(due) = self.timer.poll_timeout().filter(|due| *due <= end) {
            while let Some(id) = self.timer.pop_due(due) {
                assert!(self.tickets.remove(&id).is_some(), "{id} fired twice");
                fired.push((due.0, id));
            }
        }
        self.now = end;
        fired
    }

    fn step(&mut self, mut op: Fields) {
        let mut fired = Vec::new();
        match op.take::<String>("op").as_str() {
            "put" => {
                let id = op.u64("id");
                self.remove(id);
                let ticket = self.timer.put(self.now, op.or_default("measure"), id);
                self.tickets.insert(id, ticket);
            }
            "remove" => self.remove(op.u64("id")),
            "observe" => self.timer.observe(self.now, Duration::from_nanos(op.u64("ns"))),
            "sleep" => fired = self.sleep(self.now + Duration::from_nanos(op.u64("ns"))),
            other => panic!("{}: unknown op {other}", op.name),
        }
        assert_eq!(fired, op.or_default::<Vec<(u64, u64)>>("fired"), "{}", op.name);
        let timeout: u64 = op.take("timeout");
        let slack = 1 + timeout / 1_000_000_000;
        let ours = self.timer.timeout().as_nanos() as u64;
        assert!(ours.abs_diff(timeout) <= slack, "{}: timeout {ours}, not {timeout}", op.name);
        let average: f64 = op.take("average");
        let ours = self.timer.average_latency_nanos();
        assert!((ours - average).abs() <= 1e-9 * average, "{}: {ours}, not {average}", op.name);
        assert_eq!(self.timer.len(), op.take::<usize>("pending"), "{}", op.name);
        op.finish();
    }
}

#[test]
fn timeouts() {
    for mut trace in traces("timeouts") {
        let mut replay = Replay::start(trace.nested("config"));
        for op in trace.list("ops") {
            replay.step(op);
        }
        trace.skip("name");
        trace.finish();
    }
}
