//! Selects workloads, repeats and measures them.

use std::{
    collections::BTreeMap,
    hint::black_box,
    io::Write,
    time::{Duration, Instant},
};

use criterion::Criterion;

use crate::{
    allocator::CountingAllocator,
    clock::cpu_time,
    figures::{Figures, median, median_absolute_deviation, round},
};

/// Measures what happens between [`start`](Self::start) and [`stop`](Self::stop).
#[derive(Debug, Default)]
pub struct Meter {
    wall: Duration,
    cpu: Duration,
    allocations: u64,
    bytes: u64,
    started: Option<Start>,
}

#[derive(Debug)]
struct Start {
    wall: Instant,
    cpu: Duration,
    counts: (u64, u64),
}

impl Meter {
    /// Begins the timed part.
    pub fn start(&mut self) {
        let counts = CountingAllocator::counts();
        let cpu = cpu_time();
        self.started = Some(Start { counts, cpu, wall: Instant::now() });
    }

    /// Ends the timed part. There may be several; they add up.
    pub fn stop(&mut self) {
        let Some(Start { wall, cpu, counts }) = self.started.take() else { return };
        self.wall += wall.elapsed();
        self.cpu += cpu_time().saturating_sub(cpu);
        let (allocations, bytes) = CountingAllocator::counts();
        self.allocations += allocations - counts.0;
        self.bytes += bytes - counts.1;
    }
}

/// What one repetition did.
#[derive(Clone, Debug)]
pub struct Outcome {
    ops: u64,
    check: u64,
    extra: BTreeMap<&'static str, f64>,
}

impl Outcome {
    /// So many operations were timed, and this was computed.
    pub const fn new(ops: u64, check: u64) -> Self {
        Self { ops, check, extra: BTreeMap::new() }
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.extra.insert(name, value);
        self
    }
}

/// The workloads of one benchmark target.
pub struct Suite {
    filters: Vec<String>,
    exact: bool,
    reps: Option<usize>,
    criterion: Option<Criterion>,
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("filters", &self.filters).finish_non_exhaustive()
    }
}

impl Suite {
    /// Reads the arguments of the program.
    pub fn from_args() -> Self {
        Self::new(std::env::args().skip(1))
    }

    fn new(arguments: impl Iterator<Item = String>) -> Self {
        let mut suite = Self { filters: Vec::new(), exact: false, reps: Some(1), criterion: None };
        let mut reps = None;
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => suite.reps = None,
                "--short" => reps = Some(1),
                "--reps" => reps = arguments.next().and_then(|count| count.parse().ok()),
                "--exact" => suite.exact = true,
                "--criterion" => suite.criterion = Some(Criterion::default()),
                option if option.starts_with('-') => {}
                _ => suite.filters.push(argument),
            }
        }
        suite.reps = reps.or(suite.reps);
        suite
    }

    fn selects(&self, id: &str) -> bool {
        self.filters.is_empty()
            || self.filters.iter().any(|f| if self.exact { id == f } else { id.contains(f) })
    }

    /// Measures a workload and prints its figures. Each call of `repeat` builds its state anew.
    /// The first one is discarded, `reps` follow.
    pub fn run(
        &mut self,
        id: &str,
        unit: &str,
        reps: usize,
        mut repeat: impl FnMut(&mut Meter) -> Outcome,
    ) {
        if !self.selects(id) {
            return;
        }
        if let Some(criterion) = &mut self.criterion {
            criterion.bench_function(id, |b| b.iter_custom(|ops| time_of(ops, &mut repeat)));
            return;
        }
        let figures = measure(id, unit, self.reps.unwrap_or(reps), repeat);
        let mut out = std::io::stdout().lock();
        // Nobody is there to hear of a closed pipe.
        let _ = serde_json::to_writer(&mut out, &figures);
        let _ = out.write_all(b"\n");
    }
}

/// The first eight bytes as a number.
pub fn be8(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// The time of `ops` operations, from as many repetitions as contain them.
fn time_of(ops: u64, repeat: &mut impl FnMut(&mut Meter) -> Outcome) -> Duration {
    let mut meter = Meter::default();
    let mut done = 0;
    while done < ops {
        done += repeat(&mut meter).ops.max(1);
    }
    meter.wall.mul_f64(ops as f64 / done as f64)
}

fn measure(
    id: &str,
    unit: &str,
    reps: usize,
    mut repeat: impl FnMut(&mut Meter) -> Outcome,
) -> Figures {
    let mut check = black_box(repeat(&mut Meter::default())).check;
    let mut walls = Vec::new();
    let mut cpus = Vec::new();
    let mut extras: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let (mut allocs, mut bytes, mut ops) = (0.0, 0.0, 0);
    for _ in 0..reps {
        let mut meter = Meter::default();
        let outcome = black_box(repeat(&mut meter));
        if outcome.check != check {
            check = u64::MAX;
        }
        ops = outcome.ops;
        let per_op = |total: f64| total / ops as f64;
        walls.push(per_op(meter.wall.as_nanos() as f64));
        cpus.push(per_op(meter.cpu.as_nanos() as f64));
        allocs = per_op(meter.allocations as f64);
        bytes = per_op(meter.bytes as f64);
        for (name, value) in outcome.extra {
            extras.entry(name).or_default().push(value);
        }
    }
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    Figures {
        id: id.to_owned(),
        side: "rust",
        unit: unit.to_owned(),
        median: round(median(&walls)),
        min: round(least(&walls)),
        mad: round(median_absolute_deviation(&walls)),
        cpu_median: round(median(&cpus)),
        cpu_min: round(least(&cpus)),
        allocs: round(allocs),
        bytes: round(bytes),
        reps,
        ops,
        check: format!("{check:x}"),
        extra: extras.iter().map(|(name, values)| (*name, round(median(values)))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(arguments: &[&str]) -> Suite {
        Suite::new(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments() {
        assert_eq!(suite(&[]).reps, Some(1));
        assert_eq!(suite(&["--bench"]).reps, None);
        assert_eq!(suite(&["--bench", "--reps", "3"]).reps, Some(3));
        assert!(suite(&["d100", "--bench"]).selects("B2-d1000w1"));
        assert!(!suite(&["B2-d100w1", "--exact"]).selects("B2-d100w10"));
    }

    #[test]
    fn allocations_are_counted_and_checks_compared() {
        let mut calls = 0;
        let figures = measure("id", "ns/op", 2, |meter| {
            calls += 1;
            meter.start();
            black_box(vec![0_u8; 100]);
            meter.stop();
            Outcome::new(1, if calls == 3 { 8 } else { 7 }).with("calls", f64::from(calls))
        });
        assert!(figures.allocs >= 1.0 && figures.bytes >= 100.0, "{figures:?}");
        assert_eq!(figures.check, "ffffffffffffffff");
        assert_eq!(figures.extra["calls"].to_string(), "2.5");
    }
}
