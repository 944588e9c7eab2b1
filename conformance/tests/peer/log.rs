//! Facts against the log of upstream: levels, fields and reasons, not the wording.

use sastrugi_conformance::Fields;
use sastrugi_types::version::{Application, Version};
use sastrugi_wire::{
    WireError,
    handshake::{FilterFault, HandshakeFault},
    peer::{Attention, CloseReason, DropReason, Fact, Part, Refusal},
    signed_ip::ClaimFault,
};

use super::network::is_logged;

/// Whether the traces have an entry for such a fact.
pub(crate) fn has_entry(fact: &Fact) -> bool {
    match fact {
        Fact::Received { .. } | Fact::ClockSkew(_) | Fact::RoundTrip(_) => false,
        Fact::Dropped { reason, .. } => *reason == DropReason::NotReady,
        Fact::SendFailed { reason, .. } => is_logged(*reason),
        Fact::Closing(reason) => {
            !matches!(reason, CloseReason::Shutdown | CloseReason::WriteTimeout)
        }
        Fact::Unparsable(_) | Fact::NewerVersion(_) | Fact::NothingToTell | Fact::UptimeUnknown => {
            true
        }
    }
}

/// Fails unless the fact is the entry.
pub(crate) fn check(fact: &Fact, is_beacon: bool, at_ms: u64, mut it: Fields) {
    assert_eq!(at_ms, it.take::<u64>("at_ms"), "{}: {fact:?}", it.name);
    let level = match fact.attention(is_beacon) {
        Attention::Trace => "verbo",
        Attention::Debug => "debug",
        Attention::Info => "info",
        Attention::Warn => "warn",
        Attention::Error => "error",
    };
    assert_eq!(level, it.take::<String>("level"), "{}: {fact:?}", it.name);
    let text: String = it.take("msg");
    let entry = &mut it;
    match fact {
        Fact::Dropped { op, .. } if op.label() == "get_peerlist" => {
            malformed(entry, &text, op.label());
            reason(entry, "not finished handshake");
        }
        Fact::Dropped { op, .. } => {
            assert_eq!(text, "dropping message", "{}", entry.name);
            assert_eq!(op.label(), entry.take::<String>("messageOp"), "{}", entry.name);
            reason(entry, "handshake isn't finished");
        }
        Fact::SendFailed { op, reason: why } => {
            assert_eq!(text, "dropping outgoing message", "{}", entry.name);
            assert_eq!(op.label(), entry.take::<String>("messageOp"), "{}", entry.name);
            reason(entry, if *why == Refusal::Closed { "closed queue" } else { "rate-limiting" });
        }
        Fact::Unparsable(error) => unparsable(entry, &text, error),
        Fact::NewerVersion(version) => {
            assert!(text.contains("newer version"), "{}: {text}", entry.name);
            versions(entry, *version);
        }
        Fact::NothingToTell => assert!(text.contains("empty peer list"), "{text}"),
        Fact::UptimeUnknown => {
            assert!(text.contains("uptime"), "{}: {text}", entry.name);
            entry.skip("subnetID");
            entry.skip("error");
        }
        Fact::Closing(why) => closing(entry, &text, why),
        Fact::Received { .. } | Fact::ClockSkew(_) | Fact::RoundTrip(_) => unreachable!(),
    }
    it.finish();
}

fn unparsable(entry: &mut Fields, text: &str, error: &WireError) {
    assert_eq!(text, "failed to parse message", "{}", entry.name);
    let theirs: String = entry.take("error");
    let is_same = match error {
        WireError::UnknownType => theirs.starts_with("unknown message type"),
        _ => theirs.starts_with("proto:") || theirs.contains("UTF-8"),
    };
    assert!(is_same, "{}: {error} against {theirs}", entry.name);
}

fn versions(entry: &mut Fields, version: Version) {
    let theirs: Application = entry.take::<String>("peerVersion").parse().unwrap();
    let ours: Application = entry.take::<String>("myVersion").parse().unwrap();
    assert_eq!(theirs.version(), version, "{}", entry.name);
    assert!(!ours.name.is_empty(), "{}", entry.name);
}

fn malformed(entry: &mut Fields, text: &str, op: &str) {
    assert_eq!(text, "malformed message", "{}", entry.name);
    assert_eq!(op, entry.take::<String>("messageOp"), "{}", entry.name);
}

fn reason(entry: &mut Fields, reason: &str) {
    assert_eq!(reason, entry.take::<String>("reason"), "{}", entry.name);
}

fn field(entry: &mut Fields, field: &str) {
    assert_eq!(field, entry.take::<String>("field"), "{}", entry.name);
}

fn closing(entry: &mut Fields, text: &str, why: &CloseReason) {
    match why {
        CloseReason::ReadTimeout(part) => stream(entry, text, *part, "i/o timeout"),
        CloseReason::Ended(part) => stream(entry, text, *part, "EOF"),
        CloseReason::Frame(error) => {
            assert_eq!(text, "error parsing message length", "{}", entry.name);
            let theirs: String = entry.take("error");
            assert!(theirs.contains(&error.length.to_string()), "{}: {theirs}", entry.name);
        }
        CloseReason::Uptime(uptime) => {
            malformed(entry, text, "ping");
            assert_eq!(*uptime, entry.take::<u32>("uptime"), "{}", entry.name);
            entry.skip("subnetID");
        }
        CloseReason::UnexpectedPong => {
            malformed(entry, text, "pong");
            reason(entry, "received unexpected pong");
        }
        CloseReason::SecondHandshake => {
            malformed(entry, text, "handshake");
            reason(entry, "already received handshake");
        }
        CloseReason::Handshake(fault) => {
            malformed(entry, text, "handshake");
            handshake(entry, fault);
        }
        CloseReason::GetPeerList(fault) => {
            malformed(entry, text, "get_peerlist");
            filter(entry, fault);
        }
        CloseReason::PeerList(fault) => {
            malformed(entry, text, "peerlist");
            claim(entry, *fault);
        }
        CloseReason::Track(_) => {
            malformed(entry, text, "peerlist");
            field(entry, "claimedIP");
            entry.skip("error");
        }
        CloseReason::Version(version) => {
            disconnecting(entry, text, "version not compatible");
            versions(entry, *version);
        }
        CloseReason::BlsSignature => disconnecting(entry, text, "invalid BLS signature"),
        CloseReason::NotAllowed => disconnecting(entry, text, "connection is no longer desired"),
        CloseReason::OwnPort => {
            assert_eq!(text, "signed IP has invalid port", "{}", entry.name);
            assert_eq!(entry.take::<u16>("port"), 0, "{}", entry.name);
        }
        other => panic!("{}: {other} is not upstream's", entry.name),
    }
}

fn disconnecting(entry: &mut Fields, text: &str, why: &str) {
    assert_eq!(text, "disconnecting from peer", "{}", entry.name);
    reason(entry, why);
}

fn stream(entry: &mut Fields, text: &str, part: Part, error: &str) {
    let expected = match part {
        Part::Length => "error reading message length",
        Part::Body => "error reading message",
    };
    assert_eq!(text, expected, "{}", entry.name);
    let theirs: String = entry.take("error");
    assert!(theirs.contains(error), "{}: {theirs}", entry.name);
}

fn handshake(entry: &mut Fields, fault: &HandshakeFault) {
    match fault {
        HandshakeFault::Network { theirs, ours } => {
            field(entry, "networkID");
            assert_eq!(*theirs, entry.take::<u32>("peerNetworkID"), "{}", entry.name);
            assert_eq!(*ours, entry.take::<u32>("ourNetworkID"), "{}", entry.name);
        }
        HandshakeFault::Clock { theirs, ours } => {
            field(entry, "myTime");
            assert_eq!(*theirs, entry.u64("peerTime"), "{}", entry.name);
            assert_eq!(*ours, entry.u64("localTime"), "{}", entry.name);
        }
        HandshakeFault::TrackedSubnets(count) => {
            field(entry, "trackedSubnets");
            assert_eq!(*count, entry.take::<usize>("numTrackedSubnets"), "{}", entry.name);
        }
        HandshakeFault::SubnetId(_) => {
            field(entry, "trackedSubnets");
            assert!(entry.take::<String>("error").contains("expected 32"), "{}", entry.name);
        }
        HandshakeFault::Acps { supported, objected } => {
            field(entry, "acps");
            assert!(supported.iter().eq(&entry.take::<Vec<u32>>("supportedACPs")));
            assert!(objected.iter().eq(&entry.take::<Vec<u32>>("objectedACPs")));
        }
        HandshakeFault::Filter(fault) => filter(entry, fault),
        HandshakeFault::Address(length) => {
            field(entry, "ip");
            assert_eq!(*length, entry.take::<usize>("ipLen"), "{}", entry.name);
        }
        HandshakeFault::Port => {
            field(entry, "port");
            assert_eq!(entry.take::<u16>("port"), 0, "{}", entry.name);
        }
        HandshakeFault::Claim(error) => {
            field(entry, "tlsSignature");
            let theirs: String = entry.take("error");
            let is_time = theirs.starts_with("timestamp too far in the future");
            let is_ours = error.to_string().starts_with("timestamp");
            assert_eq!(is_ours, is_time, "{}: {theirs}", entry.name);
            entry.skip("peerTime");
            entry.skip("localTime");
        }
        HandshakeFault::BlsSignature(_) => {
            field(entry, "blsSignature");
            entry.skip("error");
        }
    }
}

fn filter(entry: &mut Fields, fault: &FilterFault) {
    match fault {
        FilterFault::Filter(error) => {
            field(entry, "knownPeers.filter");
            let theirs: String = entry.take("error");
            assert!(theirs.contains(&error.to_string()), "{}: {theirs}", entry.name);
        }
        FilterFault::Salt(length) => {
            field(entry, "knownPeers.salt");
            assert_eq!(*length, entry.take::<usize>("saltLen"), "{}", entry.name);
        }
    }
}

fn claim(entry: &mut Fields, fault: ClaimFault) {
    match fault {
        ClaimFault::Certificate(_) => {
            field(entry, "cert");
            assert!(entry.take::<String>("error").starts_with("staking:"), "{}", entry.name);
        }
        ClaimFault::Address(length) => {
            field(entry, "ip");
            assert_eq!(length, entry.take::<usize>("ipLen"), "{}", entry.name);
        }
        ClaimFault::Port => {
            field(entry, "port");
            assert_eq!(entry.take::<u16>("port"), 0, "{}", entry.name);
        }
    }
}
