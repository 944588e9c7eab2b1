//! Replays `bytes/samplers.json`: generators, bounded draws, sampling.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::collections::VecDeque;

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::sampler::{
    Mt19937, Mt19937_64, SampleError, Source, Uniform, WeightedHeap, WeightedWithoutReplacement,
    uniform_inclusive,
};

#[test]
fn samplers() {
    for mut case in cases("samplers") {
        match case.take::<String>("kind").as_str() {
            "stream" => stream(&mut case),
            "stream32" => stream32(&mut case),
            "inclusive" => inclusive(&mut case),
            "inclusive_scripted" => inclusive_scripted(&mut case),
            "uniform" => uniform(&mut case),
            "weighted" => weighted(&mut case),
            "weighted_without_replacement" => weighted_without_replacement(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

fn source(case: &mut Fields) -> Box<dyn Source> {
    let seed = case.u64("seed");
    match case.take::<String>("source").as_str() {
        "mt19937" => Box::new(Mt19937::new(seed)),
        "mt19937_64" => Box::new(Mt19937_64::new(seed)),
        source => panic!("{}: source {source}", case.name),
    }
}

fn numbers(case: &mut Fields, key: &str) -> Vec<u64> {
    let texts: Vec<String> = case.or_default(key);
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn stream(case: &mut Fields) {
    let mut source = source(case);
    let late_indices: Vec<usize> = case.take("late_indices");
    let last = late_indices.iter().copied().max().unwrap_or_default();
    let first = numbers(case, "first");
    let all: Vec<u64> = (0..=last.max(first.len())).map(|_| source.next_u64()).collect();
    assert_eq!(all[..first.len()], first, "{}", case.name);
    let late: Vec<u64> = late_indices.iter().map(|index| all[*index]).collect();
    assert_eq!(late, numbers(case, "late"), "{}", case.name);
}

fn stream32(case: &mut Fields) {
    let seed = case.u64("seed");
    let mut source = Mt19937::new(seed);
    for expected in case.take::<Vec<u32>>("first32") {
        assert_eq!(source.next_u32(), expected, "{}", case.name);
    }
    let mut source = Mt19937::new(seed);
    for expected in numbers(case, "first64") {
        assert_eq!(source.next_u64(), expected, "{}", case.name);
    }
    assert_eq!(case.take::<String>("source"), "mt19937");
}

/// Counts the numbers taken from a source.
struct Counted<S>(S, usize);

impl<S: Source> Source for Counted<S> {
    fn next_u64(&mut self) -> u64 {
        self.1 += 1;
        self.0.next_u64()
    }
}

struct Script(VecDeque<u64>);

impl Source for Script {
    fn next_u64(&mut self) -> u64 {
        self.0.pop_front().expect("the script is long enough")
    }
}

fn inclusive(case: &mut Fields) {
    let mut source = Counted(source(case), 0);
    let limit = case.u64("limit");
    for expected in numbers(case, "values") {
        assert_eq!(uniform_inclusive(&mut source, limit), expected, "{}", case.name);
    }
    assert_eq!(source.1, case.take::<usize>("source_calls"), "{}", case.name);
}

fn inclusive_scripted(case: &mut Fields) {
    let mut source = Counted(Script(numbers(case, "source_values").into()), 0);
    let value = uniform_inclusive(&mut source, case.u64("limit"));
    assert_eq!(value, case.u64("value"), "{}", case.name);
    assert_eq!(source.1, case.take::<usize>("source_calls"), "{}", case.name);
}

fn uniform(case: &mut Fields) {
    let mut source = source(case);
    let mut uniform = Uniform::new(case.u64("range"));
    let count = case.take("count");
    let mut out = Vec::new();
    for key in ["first", "second"] {
        let result = uniform.sample(&mut source, count, &mut out);
        assert_eq!(out, numbers(case, key), "{}", case.name);
        let expected = outcome(case.take(&format!("{key}_ok")));
        assert_eq!(result, expected, "{}", case.name);
    }
    uniform.reset();
    for expected in case.take::<Vec<Option<String>>>("then_next") {
        let expected = expected.map(|text| text.parse::<u64>().unwrap());
        assert_eq!(uniform.next(&mut source), expected, "{}", case.name);
    }
}

fn outcome(ok: bool) -> Result<(), SampleError> {
    if ok { Ok(()) } else { Err(SampleError::NotEnough) }
}

fn weighted(case: &mut Fields) {
    let heap = WeightedHeap::new(numbers(case, "weights"));
    if case.maybe::<String>("error").is_some() {
        assert_eq!(heap.unwrap_err(), SampleError::WeightOverflow, "{}", case.name);
        return;
    }
    let heap = heap.unwrap();
    let elements: Vec<_> = heap
        .elements()
        .map(|(weight, subtree, index)| (weight.to_string(), subtree.to_string(), index))
        .collect();
    assert_eq!(elements, case.or_default::<Vec<_>>("heap"), "{}", case.name);
    for (unit, index) in case.take::<Vec<(String, Option<usize>)>>("samples") {
        assert_eq!(heap.index_of(unit.parse().unwrap()), index, "{}: {unit}", case.name);
    }
}

fn weighted_without_replacement(case: &mut Fields) {
    let mut source = source(case);
    let count = case.take("count");
    let sampler = WeightedWithoutReplacement::new(numbers(case, "weights"));
    if case.maybe::<String>("error").is_some() {
        assert_eq!(sampler.unwrap_err(), SampleError::WeightOverflow, "{}", case.name);
        return;
    }
    let mut sampler = sampler.unwrap();
    let mut out = Vec::new();
    for key in ["first", "second"] {
        let result = sampler.sample(&mut source, count, &mut out);
        assert_eq!(out, case.or_default::<Vec<usize>>(key), "{}", case.name);
        let expected = outcome(case.take(&format!("{key}_ok")));
        assert_eq!(result, expected, "{}", case.name);
    }
}
