//! Replays `bytes/bloom.json`: sizes, hashes and contents of bloom filters.

#![expect(clippy::unwrap_used, reason = "a case that is not as expected must fail the test")]

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::{
    bloom::{BloomError, Filter, Parameters, ReadFilter, hash},
    hash::sha256_parts,
};

#[test]
fn bloom() {
    for mut case in cases("bloom") {
        match case.take::<String>("kind").as_str() {
            "optimal" => optimal(&mut case),
            "estimate" => estimate(&mut case),
            "new" => new(&mut case),
            "hash" => hashed(&mut case),
            "filter" => filter(&mut case),
            "filter_raw" => filter_raw(&mut case),
            "filter_const" => filter_const(&mut case),
            "parse" => parse(&mut case),
            "tracker" => {
                let count = case.take("count");
                sizes(&mut case, count, 0.001, 0.01);
            }
            "gossip" => gossip(&mut case),
            "gossip_id" => gossip_id(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

/// A size; upstream takes those below zero for zero.
fn size(case: &mut Fields, key: &str) -> usize {
    let number: i64 = match case.take::<serde_json::Value>(key) {
        serde_json::Value::String(text) => text.parse().unwrap(),
        number => serde_json::from_value(number).unwrap(),
    };
    number.max(0) as usize
}

fn probability(case: &mut Fields) -> f64 {
    case.take::<String>("false_positive").parse().unwrap()
}

fn parameters(case: &mut Fields) -> Parameters {
    Parameters { hashes: size(case, "hashes"), entries_bytes: size(case, "entries") }
}

fn optimal(case: &mut Fields) {
    let mut optimal = Parameters::optimal(size(case, "count"), probability(case));
    let expected = parameters(case);
    // In sizes above 2⁵³ the last bit of the logarithm shows, and that differs between languages.
    let last_bits = optimal.entries_bytes.abs_diff(expected.entries_bytes);
    if last_bits <= optimal.entries_bytes >> 52 {
        optimal.entries_bytes = expected.entries_bytes;
    }
    assert_eq!(optimal, expected, "{}", case.name);
}

fn estimate(case: &mut Fields) {
    let count = parameters(case).count_max(probability(case));
    assert_eq!(count, size(case, "count"), "{}", case.name);
}

fn expect_error(case: &mut Fields, error: Option<BloomError>) {
    assert_eq!(error.map(|error| error.to_string()), case.maybe("class"), "{}", case.name);
    assert_eq!(error.is_some(), case.maybe::<String>("error").is_some(), "{}", case.name);
}

fn new(case: &mut Fields) {
    let parameters = parameters(case);
    let seeds = vec![0; parameters.hashes];
    expect_error(case, Filter::with_seeds(&seeds, parameters.entries_bytes).err());
}

fn hashed(case: &mut Fields) {
    let hash = hash(&case.bytes("key"), &case.bytes("salt"));
    assert_eq!(hash, case.u64("hash"), "{}", case.name);
    assert_eq!(hash.to_be_bytes().as_slice(), case.bytes("hash_hex"), "{}", case.name);
}

fn empty_filter(case: &mut Fields) -> Filter {
    let seeds: Vec<String> = case.take("seeds");
    let seeds: Vec<u64> = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
    Filter::with_seeds(&seeds, case.take("entries")).unwrap()
}

fn filter(case: &mut Fields) {
    let mut filter = empty_filter(case);
    let salt = case.bytes("salt");
    assert_eq!(filter.to_bytes(), case.bytes("marshal_empty"), "{}", case.name);
    for mut add in case.list("adds") {
        let is_new = filter.add(hash(&add.bytes("key"), &salt));
        assert_eq!(is_new, add.take::<bool>("new"), "{}", add.name);
        add.finish();
    }
    full(case, &filter);
    let read = ReadFilter::parse(filter.to_bytes().into()).unwrap();
    for mut probe in case.list("probes") {
        let hash = hash(&probe.bytes("key"), &salt);
        let expected: bool = probe.take("contains");
        assert_eq!(filter.contains(hash), expected, "{}", probe.name);
        assert_eq!(read.contains(hash), expected, "{}", probe.name);
        probe.finish();
    }
}

fn full(case: &mut Fields, filter: &Filter) {
    assert_eq!(filter.count(), case.take::<usize>("count"), "{}", case.name);
    assert_eq!(filter.to_bytes(), case.bytes("marshal"), "{}", case.name);
}

fn filter_raw(case: &mut Fields) {
    let mut filter = empty_filter(case);
    let entries_bytes = filter.parameters().entries_bytes;
    for mut add in case.list("adds") {
        assert_eq!(filter.add(add.u64("value")), add.take::<bool>("new"), "{}", add.name);
        let marshal = filter.to_bytes();
        let entries = &marshal[marshal.len() - entries_bytes..];
        assert_eq!(entries, add.bytes("entries_after"), "{}", add.name);
        add.finish();
    }
    full(case, &filter);
}

fn filter_const(case: &mut Fields) {
    let contains: bool = case.take("contains_anything");
    let filter = if contains { ReadFilter::full() } else { ReadFilter::empty() };
    assert_eq!(filter.to_bytes(), case.bytes("marshal"), "{}", case.name);
    assert!((0..64).all(|bit| filter.contains(1 << bit) == contains), "{}", case.name);
}

fn parse(case: &mut Fields) {
    let parsed = ReadFilter::parse(case.bytes("bytes").into());
    assert_eq!(parsed.is_ok(), case.take::<bool>("ok"), "{}", case.name);
    expect_error(case, parsed.as_ref().err().copied());
    let Ok(filter) = parsed else { return };
    assert_eq!(filter.parameters(), parameters(case), "{}", case.name);
    for mut probe in case.list("probes") {
        let contains = filter.contains(probe.u64("hash"));
        assert_eq!(contains, probe.take::<bool>("contains"), "{}", probe.name);
        probe.finish();
    }
}

/// Sizes of a filter that is made anew when it would find foreign keys with probability `reset`.
fn sizes(case: &mut Fields, count: usize, false_positive: f64, reset: f64) {
    let optimal = Parameters::optimal(count, false_positive);
    assert_eq!(optimal, parameters(case), "{}", case.name);
    assert_eq!(optimal.count_max(reset), case.take::<usize>("max_count"), "{}", case.name);
}

fn gossip(case: &mut Fields) {
    let (_, count) = case.name.rsplit_once(' ').unwrap();
    let count: usize = count.parse().unwrap();
    let least: usize = case.take("min_target");
    sizes(case, count.max(least), 0.01, 0.05);
}

fn gossip_id(case: &mut Fields) {
    let (node, timestamp) = (case.bytes("node_id"), case.u64("timestamp").to_be_bytes());
    // Upstream hashes a buffer of 40 bytes, of which it fills 28.
    let preimage = [node.as_slice(), &timestamp, &[0; 12]].concat();
    assert_eq!(preimage, case.bytes("preimage"), "{}", case.name);
    let id = sha256_parts(&[&preimage]);
    assert_eq!(id.as_slice(), case.bytes("gossip_id"), "{}", case.name);
    assert_eq!(hash(&id, &case.bytes("salt")), case.u64("hash"), "{}", case.name);
}
