//! Address claims: forms of addresses, signed bytes, both signatures, and lengths of frames.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a case that is not as expected must fail the test"
)]

#[path = "peer/identity.rs"]
mod identity;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use sastrugi_conformance::{Fields, cases};
use sastrugi_crypto::{Certificate, Identity, Signer, bls};
use sastrugi_types::{WallTime, hash};
use sastrugi_wire::{
    frame::{self, FrameDecoder, MESSAGE_BYTES_MAX},
    signed_ip::{
        ClaimError, ClaimedIp, ConfiguredAddress, IpClaim, IpSigner, address_from_wire,
        address_to_16, address_to_wire, is_public,
    },
};

#[test]
fn ipclaims() {
    let identities = identities();
    for mut case in cases("ipclaims") {
        let kind: String = case.take("kind");
        case.skip("name");
        match kind.as_str() {
            "wire_address" => wire_address(&mut case),
            "address_port_text" => address_port_text(&mut case),
            "public" => public(&mut case),
            "claim" => claim(&mut case, &identities),
            "verify" => verify(&mut case),
            "frame_length" => frame_length(&mut case),
            "frame_length_write" => frame_length_write(&mut case),
            other => panic!("{}: unknown kind {other}", case.name),
        }
        case.finish();
    }
}

/// Upstream's fixtures, whose key files the family `staking` holds.
fn identities() -> Vec<Identity> {
    let mut identities = Vec::new();
    for mut case in cases("staking") {
        if case.take::<String>("kind") == "pem" {
            let certificate: String = case.take("cert_pem");
            let key: String = case.take("key_pem");
            identities.push(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap());
        }
    }
    identities
}

fn wire_address(case: &mut Fields) {
    let address = address_from_wire(&case.bytes("bytes"));
    assert_eq!(address.is_some(), case.take::<bool>("ok"), "{}", case.name);
    let Some(address) = address else { return };
    assert_eq!(address.to_string(), case.take::<String>("text"), "{}", case.name);
    assert_eq!(address_to_16(address)[..], case.bytes("as16"), "{}", case.name);
    assert_eq!(address_to_wire(address), case.bytes("as_sent"), "{}", case.name);
    assert_eq!(address.is_ipv4(), case.take::<bool>("is4"), "{}", case.name);
    assert_eq!(is_public(address), case.take::<bool>("public"), "{}", case.name);
}

fn address_port_text(case: &mut Fields) {
    let text: String = case.take("text");
    let address = text.parse::<ConfiguredAddress>();
    let error: Option<String> = case.maybe("error");
    assert_eq!(address.is_ok(), case.take::<bool>("ok"), "{}", case.name);
    assert_eq!(address.is_err(), error.is_some(), "{}", case.name);
    let Ok(address) = address else { return };
    assert_eq!(address.to_string(), case.take::<String>("out"), "{}", case.name);
    assert_eq!(address.socket.port(), case.take::<u16>("port"), "{}", case.name);
    assert_eq!(address.socket.is_ipv4(), case.take::<bool>("is4"), "{}", case.name);
    assert_eq!(address_to_16(address.socket.ip())[..], case.bytes("as16"), "{}", case.name);
}

fn public(case: &mut Fields) {
    let address: IpAddr = case.take::<String>("address").parse().unwrap();
    let parsed: String = case.take("parsed");
    assert_eq!(address.to_canonical().to_string(), parsed, "{}", case.name);
    assert_eq!(is_public(address), case.take::<bool>("public"), "{}", case.name);
}

/// The claim of a case. What was not unmapped when it was signed is sent in 16 bytes.
fn read_claim(case: &mut Fields, is_sent_as_4: bool) -> IpClaim {
    let octets: [u8; 16] = case.bytes("address").try_into().unwrap();
    let address = IpAddr::from(Ipv6Addr::from(octets));
    let address = if is_sent_as_4 { address.to_canonical() } else { address };
    let port = case.take("port");
    IpClaim { address: SocketAddr::new(address, port), timestamp: case.u64("timestamp") }
}

fn claim(case: &mut Fields, fixtures: &[Identity]) {
    let sent = case.bytes("ip_addr_as_sent");
    let claim = read_claim(case, sent.len() == 4);
    assert_eq!(address_to_wire(claim.address.ip()), sent, "{}", case.name);
    assert_eq!(claim.address.to_string(), case.take::<String>("text"), "{}", case.name);
    let bytes = claim.bytes();
    assert_eq!(bytes[..], case.bytes("bytes"), "{}", case.name);
    assert_eq!(hash::sha256(&bytes)[..], case.bytes("digest"), "{}", case.name);

    let certificate = Certificate::parse(&case.bytes("cert")).unwrap();
    let tls_signature = case.bytes("tls_signature");
    let claimed = ClaimedIp { certificate, claim, tls_signature: tls_signature.clone().into() };
    assert_eq!(claimed.verify(claim.timestamp), Ok(()), "{}", case.name);
    assert_eq!(claimed.node_id().0[..], case.bytes("node_id"), "{}", case.name);
    assert_eq!(claimed.gossip_id().0[..], case.bytes("gossip_id"), "{}", case.name);
    assert_eq!(claimed.size(), case.take::<usize>("size"), "{}", case.name);
    assert_eq!(ClaimedIp::from_wire(&claimed.to_wire()).is_ok(), claim.address.port() != 0);

    let key = bls::SecretKey::from_bytes(&case.bytes("bls_secret_key")).unwrap();
    assert_eq!(key.public_key().to_compressed()[..], case.bytes("bls_public_key"));
    let bls_signature = case.bytes("bls_signature");
    let signature = bls::Signature::from_bytes(&bls_signature).unwrap();
    let public = key.public_key();
    assert_eq!(
        public.verify_proof_of_possession(&signature, &bytes),
        case.take::<bool>("bls_pop_ok"),
    );
    assert_eq!(public.verify(&signature, &bytes), case.take::<bool>("bls_ordinary_ok"));
    sign_again(case, &claimed, fixtures, key, &bls_signature);
}

/// Signing is deterministic for BLS and RSA; an ECDSA signature is only verified.
fn sign_again(
    case: &mut Fields,
    claimed: &ClaimedIp,
    fixtures: &[Identity],
    key: bls::SecretKey,
    bls_signature: &[u8],
) {
    let tls_key: String = case.take("tls_key");
    let is_fixture = !tls_key.starts_with("-----BEGIN");
    let pem = if is_fixture {
        let fixture = fixtures.iter().find(|it| *it.certificate() == claimed.certificate);
        fixture.unwrap_or_else(|| panic!("{}: no {tls_key}", case.name)).private_key_pem()
    } else {
        tls_key
    };
    let identity = identity::from_der_and_pem(claimed.certificate.der(), &pem);
    let mut signer = IpSigner::new(Arc::new(identity), Arc::new(key));
    let IpClaim { address, timestamp } = claimed.claim;
    if let Ok(seconds) = i64::try_from(timestamp)
        && seconds < i64::MAX / 1_000_000_000
    {
        let signed = signer.signed_ip(address, WallTime::from_unix_secs(seconds)).unwrap();
        assert_eq!(signed.claim, claimed.claim, "{}", case.name);
        assert_eq!(signed.bls_signature.to_bytes()[..], *bls_signature, "{}", case.name);
        let again = signed.claim.verify(&claimed.certificate, &signed.tls_signature, timestamp);
        assert_eq!(again, Ok(()), "{}", case.name);
        if is_fixture {
            assert_eq!(signed.tls_signature, claimed.tls_signature, "{}", case.name);
        }
    }
}

fn verify(case: &mut Fields) {
    let certificate = Certificate::parse(&case.bytes("cert")).unwrap();
    let claim = read_claim(case, true);
    let timestamp_max = case.u64("max_timestamp");
    let result = claim.verify(&certificate, &case.bytes("tls_signature"), timestamp_max);
    assert_eq!(result.is_ok(), case.take::<bool>("ok"), "{}", case.name);
    let class = result.err().map(|error| match error {
        ClaimError::Timestamp { .. } => "timestamp too far in the future",
        ClaimError::TlsSignature => "invalid TLS signature",
    });
    assert_eq!(class.map(str::to_owned), case.maybe::<String>("class"), "{}", case.name);
    let error: Option<String> = case.maybe("error");
    assert_eq!(error.is_some(), class.is_some(), "{}", case.name);
}

fn frame_length(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    assert_eq!(case.take::<usize>("limit"), MESSAGE_BYTES_MAX, "{}", case.name);
    let mut input = bytes.as_slice();
    let length = FrameDecoder::default().poll_length(&mut input);
    let class: Option<String> = case.maybe("class");
    let error: Option<String> = case.maybe("error");
    assert_eq!(class.is_some(), error.is_some(), "{}", case.name);
    let expected: usize = case.take("length");
    match class.as_deref() {
        None => assert_eq!(length, Ok(Some(expected)), "{}", case.name),
        Some("maximum message length exceeded") => assert!(length.is_err(), "{}", case.name),
        // Upstream's function wants exactly four bytes; ours takes what it needs.
        Some("invalid message length") => match bytes.len() {
            0..4 => assert_eq!(length, Ok(None), "{}", case.name),
            _ => assert_eq!(input.len(), bytes.len() - 4, "{}", case.name),
        },
        Some(other) => panic!("{}: {other}", case.name),
    }
    let ok: bool = case.take("ok");
    assert_eq!(ok, class.is_none(), "{}", case.name);
}

fn frame_length_write(case: &mut Fields) {
    assert_eq!(case.take::<usize>("limit"), MESSAGE_BYTES_MAX, "{}", case.name);
    let header = frame::header(case.take("length"));
    assert_eq!(header.is_ok(), case.take::<bool>("ok"), "{}", case.name);
    let error: Option<String> = case.maybe("error");
    assert_eq!(header.is_err(), error.is_some(), "{}", case.name);
    let bytes = case.bytes("bytes");
    assert_eq!(header.unwrap_or_default()[..], bytes, "{}", case.name);
}
