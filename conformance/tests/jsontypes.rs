//! Replays `bytes/jsontypes.json`: numbers in JSON, bit sets, bags.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::fmt::Debug;

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::{
    Bag,
    bag::ThresholdBag,
    bits::{BitSet, BitSet64},
    json::{Quoted, QuotedNumber},
};

#[test]
fn jsontypes() {
    for mut case in cases("jsontypes") {
        match case.take::<String>("kind").as_str() {
            "number_out" => number_out(&mut case),
            "number_in" => number_in(&mut case),
            "float_out" => float_out(&mut case),
            "float_in" => float_in(&mut case),
            "bits" => bits(&mut case),
            "bits_from_bytes" => bits_from_bytes(&mut case),
            "bits_op" => bits_op(&mut case),
            "bits64" => bits64(&mut case),
            "bag" => bag(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

fn number_out(case: &mut Fields) {
    let value = case.u64("value");
    let json = match case.take::<String>("type").as_str() {
        "uint64" => serde_json::to_string(&Quoted(value)),
        "uint32" => serde_json::to_string(&Quoted(u32::try_from(value).unwrap())),
        "uint16" => serde_json::to_string(&Quoted(u16::try_from(value).unwrap())),
        "uint8" => serde_json::to_string(&Quoted(u8::try_from(value).unwrap())),
        kind => panic!("{}: type {kind}", case.name),
    };
    assert_eq!(json.unwrap(), case.take::<String>("json"), "{}", case.name);
}

/// Rule: we resolve the escapes of a string before reading the number; upstream refuses them.
const ESCAPED: &str = r#""\u0031""#;

fn number_in(case: &mut Fields) {
    let text: String = case.take("text");
    let document = number_of::<u64>(case, &text, "document_uint64");
    let widths = [
        number_of::<u64>(case, &text, "uint64"),
        number_of::<u32>(case, &text, "uint32"),
        number_of::<u16>(case, &text, "uint16"),
        number_of::<u8>(case, &text, "uint8"),
    ];
    if text == ESCAPED {
        assert!(document.0 == Some(1) && document.1.is_none(), "{}", case.name);
        return;
    }
    for (ours, upstream) in widths.into_iter().chain([document]) {
        assert_eq!(ours, upstream, "{}", case.name);
    }
}

/// What we read and what upstream read; null leaves the 7 that was there before.
fn number_of<T: QuotedNumber + Into<u64>>(
    case: &mut Fields,
    text: &str,
    key: &str,
) -> (Option<u64>, Option<u64>) {
    let ours = serde_json::from_str::<Option<Quoted<T>>>(text).ok();
    let ours = ours.map(|number| number.map_or(7, |number| number.0.into()));
    let error: Option<String> = case.maybe(&format!("{key}_error"));
    let value: Option<String> = case.maybe(key);
    assert_eq!(error.is_some(), value.is_none(), "{}", case.name);
    (ours, value.map(|value| value.parse().unwrap()))
}

fn bits_of<T>(case: &mut Fields, key: &str, read: impl Fn(u64) -> T) -> T {
    read(u64::from_str_radix(&case.take::<String>(key), 16).unwrap())
}

fn float_out(case: &mut Fields) {
    for key in ["float32_error", "float64_error"] {
        assert_eq!(case.maybe::<String>(key), None, "{}", case.name);
    }
    let narrow = bits_of(case, "bits32", |bits| f32::from_bits(bits as u32));
    let json = serde_json::to_string(&Quoted(narrow)).unwrap();
    assert_eq!(json, case.take::<String>("float32_json"), "{}", case.name);
    let wide = bits_of(case, "bits64", f64::from_bits);
    let json = serde_json::to_string(&Quoted(wide)).unwrap();
    assert_eq!(json, case.take::<String>("float64_json"), "{}", case.name);
}

/// Rule: we do not read hexadecimal floats.
const HEXADECIMAL: &str = r#""0x1p-2""#;

fn float_in(case: &mut Fields) {
    let text: String = case.take("text");
    let narrow = bits_of(case, "bits32", |bits| f32::from_bits(bits as u32));
    let narrow_error: Option<String> = case.maybe("float32_error");
    let wide = bits_of(case, "bits64", f64::from_bits);
    let wide_error: Option<String> = case.maybe("float64_error");
    if text == HEXADECIMAL {
        assert!(serde_json::from_str::<Quoted<f64>>(&text).is_err());
        assert!(serde_json::from_str::<Quoted<f32>>(&text).is_err());
        return;
    }
    expect_float(&case.name, &text, narrow, narrow_error.is_none());
    expect_float(&case.name, &text, wide, wide_error.is_none());
}

fn expect_float<T: QuotedNumber + Debug>(name: &str, text: &str, value: T, ok: bool) {
    let read = serde_json::from_str::<Quoted<T>>(text);
    // By their text, so that NaN equals NaN.
    let ours = read.ok().map(|read| format!("{:?}", read.0));
    assert_eq!(ours, ok.then(|| format!("{value:?}")), "{name}");
}

fn expect_bits(case: &mut Fields, set: &BitSet, bytes_key: &str) {
    assert_eq!(set.to_bytes(), case.bytes(bytes_key), "{}", case.name);
    assert_eq!(set.bit_len(), case.take::<usize>("bit_len"), "{}", case.name);
    assert_eq!(set.len(), case.take::<usize>("len"), "{}", case.name);
    let members: Vec<usize> = case.take("members");
    assert_eq!(set.iter().collect::<Vec<_>>(), members, "{}", case.name);
    assert!(members.iter().all(|member| set.contains(*member)), "{}", case.name);
    assert_eq!(set.to_string(), case.take::<String>("text"), "{}", case.name);
}

fn bits(case: &mut Fields) {
    let set: BitSet = case.take::<Vec<usize>>("add").into_iter().collect();
    expect_bits(case, &set, "bytes");
}

fn bits_from_bytes(case: &mut Fields) {
    let set = BitSet::from_bytes(&case.bytes("bytes"));
    expect_bits(case, &set, "canonical_bytes");
}

fn bits_op(case: &mut Fields) {
    let first: Vec<usize> = case.take("a");
    let a: BitSet = first.iter().copied().collect();
    let b: BitSet = case.take::<Vec<usize>>("b").into_iter().collect();
    assert_eq!(a.union(&b).to_bytes(), case.bytes("union"), "{}", case.name);
    assert_eq!(a.intersection(&b).to_bytes(), case.bytes("intersection"), "{}", case.name);
    assert_eq!(a.difference(&b).to_bytes(), case.bytes("difference"), "{}", case.name);
    let mut rest = a;
    first.first().into_iter().for_each(|member| rest.remove(*member));
    assert_eq!(rest.to_bytes(), case.bytes("first_of_a_removed"), "{}", case.name);
}

fn bits64(case: &mut Fields) {
    let set = bits_of(case, "value", BitSet64);
    let other = bits_of(case, "other", BitSet64);
    assert_eq!(set.len(), case.take::<u32>("len"), "{}", case.name);
    assert_eq!(set.contains(63), case.take::<bool>("contains_63"), "{}", case.name);
    assert_eq!(set.contains(64), case.take::<bool>("contains_64"), "{}", case.name);
    assert_eq!(set.to_string(), case.take::<String>("text"), "{}", case.name);
    assert_eq!(set.union(other), bits_of(case, "union", BitSet64), "{}", case.name);
    assert_eq!(set.intersection(other), bits_of(case, "intersection", BitSet64), "{}", case.name);
    assert_eq!(set.difference(other), bits_of(case, "difference", BitSet64), "{}", case.name);
}

fn bag(case: &mut Fields) {
    let mut bag = ThresholdBag::<i64>::default();
    for mut step in case.list("steps") {
        let mut action = step.nested("do");
        let (element, count) = (action.take("elt"), action.take::<i64>("count").max(0) as usize);
        match action.take::<String>("op").as_str() {
            "add" => bag.add_count(element, count),
            "remove" => drop(bag.remove(&element)),
            "set_threshold" => bag.set_threshold(count),
            op => panic!("{}: op {op}", step.name),
        }
        action.finish();
        expect_bag(step.nested("state"), bag.bag(), bag.threshold_set());
        step.finish();
    }
    let bag = bag.bag();
    let line = format!("Bag[int]: (Size = {})", bag.len());
    assert_eq!(line, case.take::<String>("prefixed_size_line"), "{}", case.name);
    let is_odd = |element: &i64| element % 2 != 0;
    let [even, odd] = bag.split(is_odd);
    let clone = bag.clone();
    assert_eq!(clone == *bag, case.take::<bool>("clone_equals"), "{}", case.name);
    for (key, part) in [
        ("clone", clone),
        ("filter_odd", bag.filter(is_odd)),
        ("split_even", even),
        ("split_odd", odd),
    ] {
        // These have the threshold 0, which every element reaches.
        let elements: Vec<i64> = part.elements().copied().collect();
        expect_bag(case.nested(key), &part, &elements);
    }
}

fn expect_bag(mut state: Fields, bag: &Bag<i64>, threshold_set: &[i64]) {
    let counts: Vec<_> = bag.iter().map(|(element, count)| (*element, count)).collect();
    assert_eq!(counts, state.or_default::<Vec<(i64, usize)>>("counts"), "{}", state.name);
    assert_eq!(bag.len(), state.take::<usize>("len"), "{}", state.name);
    let modes: Vec<i64> = state.or_default("modes");
    let (mode, count) = bag.mode().map_or((None, 0), |(mode, count)| (Some(mode), count));
    assert_eq!(count, state.take::<usize>("mode_count"), "{}", state.name);
    assert_eq!(mode, modes.first(), "{}", state.name);
    let expected: Vec<i64> = state.or_default("threshold_set");
    assert_eq!(threshold_set, expected, "{}", state.name);
    state.finish();
}
