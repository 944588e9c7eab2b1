//! Replays `bytes/ids.json`: identifiers, CB58, bits of IDs, hashes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use std::{cmp::Ordering, fmt::Display, str::FromStr};

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::{
    Id, NodeId, ShortId,
    bits::{bit, equal_subset, first_difference},
    cb58, hash,
    id::IdError,
};
use serde::{Serialize, de::DeserializeOwned};

#[test]
fn ids() {
    for mut case in cases("ids") {
        match case.take::<String>("kind").as_str() {
            "id" => text_and_json::<Id>(&mut case),
            "short_id" => text_and_json::<ShortId>(&mut case),
            "node_id" => text_and_json::<NodeId>(&mut case),
            "from_bytes" => from_bytes(&mut case),
            "cb58_encode" => cb58_encode(&mut case),
            "cb58_decode" => cb58_decode(&mut case),
            "parse" => each_type(&mut case, &Reader { text: true }),
            "json" => each_type(&mut case, &Reader { text: false }),
            "prefix" => {
                let prefixes = case.take::<Vec<String>>("prefixes");
                let numbers: Vec<u64> = prefixes.iter().map(|n| n.parse().unwrap()).collect();
                assert_eq!(id(&mut case, "id").prefix(&numbers), id(&mut case, "result"));
            }
            "append" => {
                let suffixes = case.take::<Vec<u32>>("suffixes");
                assert_eq!(id(&mut case, "id").append(&suffixes), id(&mut case, "result"));
            }
            "bits" => bits(&mut case),
            "subset" => subset(&mut case),
            "compare" => compare(&mut case),
            "hash" => hashes(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

fn id(case: &mut Fields, key: &str) -> Id {
    case.bytes(key).as_slice().try_into().unwrap()
}

trait Identifier:
    for<'a> TryFrom<&'a [u8], Error = IdError>
    + FromStr<Err = IdError>
    + AsRef<[u8]>
    + Display
    + Serialize
    + DeserializeOwned
{
}
impl Identifier for Id {}
impl Identifier for ShortId {}
impl Identifier for NodeId {}

fn text_and_json<T: Identifier>(case: &mut Fields) {
    let bytes = case.bytes("hex");
    let (text, json) = (case.take::<String>("text"), case.take::<String>("json"));
    let id = T::try_from(&bytes).unwrap();
    assert_eq!(id.to_string(), text, "{}", case.name);
    assert_eq!(serde_json::to_string(&id).unwrap(), json, "{}", case.name);
    assert_eq!(T::from_str(&text).unwrap().as_ref(), bytes, "{}", case.name);
    assert_eq!(serde_json::from_str::<T>(&json).unwrap().as_ref(), bytes, "{}", case.name);
}

fn from_bytes(case: &mut Fields) {
    let bytes = case.bytes("hex");
    let error = Id::try_from(bytes.as_slice()).err().map(|error| error.to_string());
    assert_eq!(error, case.maybe("id_error"), "{}", case.name);
    let error = ShortId::try_from(bytes.as_slice()).err().map(|error| error.to_string());
    assert_eq!(error, case.maybe("short_id_error"), "{}", case.name);
}

fn cb58_encode(case: &mut Fields) {
    assert_eq!(cb58::encode(&case.bytes("hex")), case.take::<String>("text"), "{}", case.name);
}

fn cb58_decode(case: &mut Fields) {
    let result = cb58::decode(&case.take::<String>("text"));
    let error: Option<String> = case.maybe("error");
    assert_eq!(error.is_none(), case.take::<bool>("ok"));
    let expected = case.bytes("hex");
    match case.maybe::<String>("class") {
        None => assert_eq!(result.unwrap(), expected, "{}", case.name),
        Some(class) => assert_eq!(result.unwrap_err().to_string(), class, "{}", case.name),
    }
}

/// Reads the case's text as each of the three types, bare or as JSON.
fn each_type(case: &mut Fields, reader: &Reader) {
    let text: String = case.take("text");
    reader.expect::<Id>(case, &text, "id");
    reader.expect::<ShortId>(case, &text, "short_id");
    reader.expect::<NodeId>(case, &text, "node_id");
}

struct Reader {
    /// Bare text, else a JSON value.
    text: bool,
}

impl Reader {
    fn expect<T: Identifier>(&self, case: &mut Fields, text: &str, key: &str) {
        let expected = case.bytes(key);
        let error: Option<String> = case.maybe(&format!("{key}_error"));
        // Upstream was shown a bare token; a JSON document may have blanks around it.
        let result = if self.text {
            T::from_str(text).map(Some).map_err(|error| error.to_string())
        } else if text.trim() == text {
            serde_json::from_str::<Option<T>>(text).map_err(|error| error.to_string())
        } else {
            Err("blanks around the token".to_owned())
        };
        match (result, error) {
            (Ok(Some(id)), None) => assert_eq!(id.as_ref(), expected, "{}", case.name),
            // JSON null leaves the value as it was.
            (Ok(None), None) => assert!(expected.iter().all(|b| *b == 0xee), "{}", case.name),
            (Err(_), Some(_)) => {}
            (result, error) => {
                let bytes = result.map(|id| id.map(|id| id.as_ref().to_vec()));
                panic!("{}: {key}: {bytes:?}, expected {error:?}", case.name)
            }
        }
    }
}

fn bits(case: &mut Fields) {
    let id = id(case, "id");
    let bits: String = (0..256).map(|index| if bit(&id, index) == 1 { '1' } else { '0' }).collect();
    assert_eq!(bits, case.take::<String>("bits_from_0"), "{}", case.name);
}

fn subset(case: &mut Fields) {
    let (a, b) = (id(case, "a"), id(case, "b"));
    // A negative bound and 0 are the same empty range.
    let [start, stop] = ["start", "stop"].map(|key| case.take::<i64>(key).max(0) as usize);
    assert_eq!(equal_subset(start, stop, &a, &b), case.take::<bool>("equal"), "{}", case.name);
    let index = case.take::<usize>("first_difference");
    let expected = case.take::<bool>("found").then_some(index);
    assert_eq!(first_difference(start, stop, &a, &b), expected, "{}", case.name);
}

fn compare(case: &mut Fields) {
    let (a, b) = (id(case, "a"), id(case, "b"));
    let expected = match case.take::<i8>("compare") {
        -1 => Ordering::Less,
        0 => Ordering::Equal,
        _ => Ordering::Greater,
    };
    assert_eq!(a.cmp(&b), expected, "{}", case.name);
    assert_eq!(a.xor(&b), id(case, "xor"), "{}", case.name);
}

fn hashes(case: &mut Fields) {
    let bytes = case.bytes("hex");
    assert_eq!(hash::sha256(&bytes).as_slice(), case.bytes("sha256"), "{}", case.name);
    assert_eq!(hash::ripemd160(&bytes).as_slice(), case.bytes("ripemd160"), "{}", case.name);
    assert_eq!(hash::address_hash(&bytes).as_slice(), case.bytes("address"), "{}", case.name);
    assert_eq!(hash::checksum(&bytes).as_slice(), case.bytes("checksum4"), "{}", case.name);
}
