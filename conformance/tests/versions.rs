//! Replays `bytes/versions.json`: texts, order and compatibility of versions.

#![expect(clippy::unwrap_used, reason = "a case that is not as expected must fail the test")]

use std::cmp::Ordering;

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::{
    WallTime,
    version::{self, Application, Compatibility, Version, VersionInfo},
};

#[test]
fn versions() {
    for mut case in cases("versions") {
        match case.take::<String>("kind").as_str() {
            "constants" => constants(&mut case),
            "string" => string(&mut case),
            "compare" => compare(&mut case),
            "compatible" => compatible(&mut case),
            "version_string" => version_string(&mut case),
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
}

fn constants(case: &mut Fields) {
    let client: String = case.take("client");
    assert_eq!(client, version::CLIENT_NAME);
    for (key, ours) in [
        ("current", version::CURRENT),
        ("minimum", version::MINIMUM),
        ("previous_minimum", version::PREVIOUS_MINIMUM),
    ] {
        assert_eq!(
            Application::new(version::CLIENT_NAME, ours).to_string(),
            case.take::<String>(key)
        );
    }
    assert_eq!(version::DATABASE.to_string(), case.take::<String>("database"));
    assert_eq!(version::PREVIOUS_DATABASE.to_string(), case.take::<String>("previous_database"));
    assert_eq!(version::RPC_CHAIN_VM_PROTOCOL, case.take::<u32>("rpc_chain_vm_protocol"));
}

fn application(case: &mut Fields, key: &str) -> Application {
    case.take(key)
}

fn string(case: &mut Fields) {
    let application = application(case, "version");
    let text: String = case.take("text");
    assert_eq!(application.to_string(), text, "{}", case.name);
    assert_eq!(text.parse(), Ok(application.clone()), "{}", case.name);
    let semantic: String = case.take("semantic");
    assert_eq!(application.version().to_string(), semantic, "{}", case.name);
    assert_eq!(semantic.parse::<Version>(), Ok(application.version()), "{}", case.name);
    let json = serde_json::to_string(&application).unwrap();
    assert_eq!(json, case.take::<String>("json"), "{}", case.name);
    assert_eq!(application.with_commit("abc"), case.take::<String>("with_commit"), "{}", case.name);
}

fn compare(case: &mut Fields) {
    let (a, b) = (application(case, "a"), application(case, "b"));
    let expected = match case.take::<i8>("compare") {
        -1 => Ordering::Less,
        0 => Ordering::Equal,
        _ => Ordering::Greater,
    };
    assert_eq!(a.version().cmp(&b.version()), expected, "{}", case.name);
}

fn compatible(case: &mut Fields) {
    let rule = Compatibility {
        current: application(case, "current").version(),
        minimum_before: application(case, "minimum_before").version(),
        minimum_after: application(case, "minimum_after").version(),
        upgrade_time: WallTime::from_unix_secs(case.u64("upgrade_time") as i64),
    };
    let now = WallTime(case.u64("now_ns") as i64);
    let accepted = rule.is_compatible(application(case, "peer").version(), now);
    assert_eq!(accepted, case.take::<bool>("compatible"), "{}", case.name);
}

fn version_string(case: &mut Fields) {
    let info = VersionInfo {
        application: case.take("application"),
        database: case.take("database"),
        rpcchainvm: case.take("rpcchainvm"),
        commit: case.take("commit"),
        go: case.take("go"),
    };
    assert_eq!(info.to_string(), case.take::<String>("text"), "{}", case.name);
    assert_eq!(serde_json::to_string(&info).unwrap(), case.take::<String>("json"), "{}", case.name);
}
