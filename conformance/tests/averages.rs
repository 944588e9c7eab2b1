//! Replays `traces/averages.jsonl`: averages over continuous time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::time::Duration;

use sastrugi_conformance::{Fields, traces};
use sastrugi_types::{
    Instant,
    average::{Averager, MaturedAverager, Meter},
};

/// Where the traces' clock starts; only differences count, and observations may be earlier.
const START: Instant = Instant(1 << 62);

#[test]
fn averages() {
    for mut trace in traces("averages") {
        let half_life = Duration::from_nanos(trace.u64("halflife"));
        let initial: f64 = trace.take("initial");
        let mut machine = match trace.take::<String>("kind").as_str() {
            "averager" => Machine::Averager(Averager::new(initial, half_life, START)),
            "uninitialized" => Machine::Averager(Averager::uninitialized(half_life)),
            "matured" => {
                let averager = Averager::uninitialized(half_life);
                Machine::Matured(MaturedAverager::new(averager, half_life))
            }
            "meter" => Machine::Meter(Meter::new(half_life, START)),
            kind => panic!("{}: kind {kind}", trace.name),
        };
        for mut op in trace.list("ops") {
            step(&mut machine, &mut op);
            op.finish();
        }
        trace.skip("name");
        trace.finish();
    }
}

enum Machine {
    Averager(Averager),
    Matured(MaturedAverager),
    Meter(Meter),
}

fn step(machine: &mut Machine, op: &mut Fields) {
    let now = Instant(START.0.checked_add_signed(op.take("t")).unwrap());
    let kind: String = op.take("op");
    let read = match (machine, kind.as_str()) {
        (Machine::Averager(averager), "observe") => {
            averager.observe(op.take("v"), now);
            averager.read()
        }
        (Machine::Matured(averager), "observe") => {
            averager.observe(op.take("v"), now);
            averager.read()
        }
        (Machine::Meter(meter), "inc") => {
            meter.increase(now, 1.0);
            meter.read(now)
        }
        (Machine::Meter(meter), "dec") => {
            meter.decrease(now, 1.0);
            meter.read(now)
        }
        (Machine::Meter(meter), "timeUntil") => {
            let nanos = meter.time_until(now, op.take("v")).as_nanos() as f64;
            let expected = op.take::<f64>("ns");
            assert!((nanos - expected).abs() <= 1.0 + 1e-9 * expected, "{}: {nanos}", op.name);
            return;
        }
        (Machine::Meter(meter), "read") => meter.read(now),
        (_, kind) => panic!("{}: op {kind}", op.name),
    };
    let expected: f64 = op.take("read");
    let close = (read - expected).abs() <= 1e-9 * expected.abs();
    assert!(close, "{}: {read}, expected {expected}", op.name);
}
