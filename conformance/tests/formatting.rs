//! Replays `bytes/formatting.json`: encodings, addresses, names of networks.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case that is not as expected must fail the test"
)]

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::formatting::{
    Encoding, address_prefix, format_address, network_id, network_name, parse_address,
};

#[test]
fn formatting() {
    for mut case in cases("formatting") {
        match case.take::<String>("kind").as_str() {
            "encode" => encode(&mut case),
            "decode" => decode(&mut case),
            "encoding_json_out" => encoding_json_out(&mut case),
            "encoding_json" => encoding_json(&mut case),
            "address_format" => address_format(&mut case),
            "address_parse" => address_parse(&mut case),
            "network" => network(&mut case),
            "network_id" => network_name_read(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

/// The encoding of the case; upstream's invalid one has no counterpart.
fn encoding(case: &mut Fields) -> Option<Encoding> {
    let name: String = case.take("encoding");
    let encoding = name.parse().ok();
    assert_eq!(encoding.is_none(), name == "invalid", "{}", case.name);
    encoding
}

fn encode(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    let text = encoding(case).and_then(|encoding| encoding.encode(&bytes).ok());
    let error: Option<String> = case.maybe("error");
    let expected: String = case.take("text");
    assert_eq!(text, error.is_none().then_some(expected), "{}", case.name);
}

fn decode(case: &mut Fields) {
    let text: String = case.take("text");
    let bytes = encoding(case).map(|encoding| encoding.decode(&text));
    let error: Option<String> = case.maybe("error");
    assert_eq!(error.is_none(), case.take::<bool>("ok"), "{}", case.name);
    let expected = case.bytes("bytes");
    match bytes {
        Some(Ok(bytes)) => assert_eq!((bytes, error), (expected, None), "{}", case.name),
        Some(Err(ours)) => {
            let class = error.unwrap_or_else(|| panic!("{}: {ours}", case.name));
            if !class.starts_with("encoding/hex") {
                assert_eq!(ours.to_string(), class, "{}", case.name);
            }
        }
        // Upstream reads the empty text whatever the encoding says.
        None => assert!(error.is_some() || text.is_empty(), "{}", case.name),
    }
}

fn encoding_json_out(case: &mut Fields) {
    let json = encoding(case).map(|encoding| serde_json::to_string(&encoding).unwrap());
    let expected: String = case.take("json");
    assert_eq!(json, (!case.take::<bool>("error")).then_some(expected), "{}", case.name);
}

fn encoding_json(case: &mut Fields) {
    let before: Encoding = case.take::<String>("before").parse().unwrap();
    let text: String = case.take("text");
    let error: Option<String> = case.maybe("error");
    let read = serde_json::from_str::<Option<Encoding>>(&text);
    assert_eq!(read.is_err(), error.is_some(), "{}", case.name);
    let after = read.ok().flatten().unwrap_or(before);
    assert_eq!(after.to_string(), case.take::<String>("after"), "{}", case.name);
}

fn address_format(case: &mut Fields) {
    let (chain, hrp) = (case.take::<String>("chain"), case.take::<String>("hrp"));
    let text = format_address(&chain, &hrp, &case.bytes("bytes"));
    assert_eq!(case.maybe::<String>("error"), None);
    assert_eq!(text, case.take::<String>("text"), "{}", case.name);
}

fn address_parse(case: &mut Fields) {
    let parsed = parse_address(&case.take::<String>("text"));
    let error: Option<String> = case.maybe("error");
    assert_eq!(error.is_none(), case.take::<bool>("ok"), "{}", case.name);
    let id_error: Option<String> = case.maybe("to_id_error");
    let Some(error) = error else {
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(parsed.chain, case.take::<String>("chain"), "{}", case.name);
        assert_eq!(parsed.hrp, case.take::<String>("hrp"), "{}", case.name);
        assert_eq!(parsed.bytes, case.bytes("bytes"), "{}", case.name);
        match parsed.short_id() {
            Ok(id) => assert_eq!(id.as_ref(), case.bytes("id"), "{}", case.name),
            Err(error) => assert_eq!(Some(error.to_string()), id_error, "{}", case.name),
        }
        return;
    };
    assert!(parsed.is_err(), "{}: {parsed:?}, expected {error}", case.name);
}

fn network(case: &mut Fields) {
    let id = case.take("id");
    assert_eq!(network_name(id), case.take::<String>("text"), "{}", case.name);
    assert_eq!(address_prefix(id), case.take::<String>("hrp"), "{}", case.name);
}

fn network_name_read(case: &mut Fields) {
    let read = network_id(&case.take::<String>("text"));
    let error: Option<String> = case.maybe("error");
    assert_eq!(error.is_none(), case.take::<bool>("ok"), "{}", case.name);
    let id: u32 = case.take("id");
    assert_eq!(read.map_err(|error| error.to_string()), error.map_or(Ok(id), Err), "{}", case.name);
}
