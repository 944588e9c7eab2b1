//! Staking certificates, node IDs, key files and signatures.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a case that is not as expected must fail the test"
)]

use std::collections::BTreeSet;

use sastrugi_conformance::{Fields, cases};
use sastrugi_crypto::staking::{
    Certificate, CertificateError, Identity, PublicKey, RSA_EXPONENT, Signer, tls_leaf,
};
use sastrugi_types::WallTime;

/// What Go's X.509 parser refuses and we do not, because nothing but the key of a leaf is used. See
/// `sastrugi_crypto::staking::tls_leaf`.
const ACCEPTED_BY_US_ALONE: &[&str] = &[
    "invalid P384 point encoding",
    "x509: RSA key missing NULL parameters",
    "x509: inner and outer signature algorithm identifiers don't match",
    "x509: invalid ECDSA parameters",
    "x509: invalid RDNSequence",
    "x509: invalid version",
    "x509: malformed algorithm identifier",
    "x509: malformed parameters",
    "x509: malformed serial number",
    "x509: malformed signature",
    "x509: malformed version",
    "x509: negative serial number",
    "x509: trailing data",
    "x509: unsupported time format",
];

#[test]
fn staking() {
    let mut accepted_by_us_alone = BTreeSet::new();
    let mut identities = Vec::new();
    for mut case in cases("staking") {
        let kind: String = case.take("kind");
        case.skip("name");
        match kind.as_str() {
            "cert" => accepted_by_us_alone.extend(certificate(&mut case)),
            "pem" => identities.push(pem(&mut case)),
            "signature" => signature(&mut case, &identities),
            other => panic!("{}: unknown kind {other}", case.name),
        }
        case.finish();
    }
    let found: Vec<_> = accepted_by_us_alone.iter().map(String::as_str).collect();
    assert_eq!(found, ACCEPTED_BY_US_ALONE);
}

/// Upstream's text of the error value.
fn class(error: CertificateError) -> &'static str {
    use CertificateError as E;

    match error {
        E::TooLarge => "staking: certificate length is greater than 2048",
        E::MalformedCertificate => "staking: malformed certificate",
        E::MalformedToBeSigned => "staking: malformed tbs certificate",
        E::MalformedVersion => "staking: malformed version",
        E::MalformedSerialNumber => "staking: malformed serial number",
        E::MalformedSignatureAlgorithm => "staking: malformed signature algorithm identifier",
        E::MalformedName => "staking: malformed issuer",
        E::MalformedValidity => "staking: malformed validity",
        E::MalformedPublicKeyInfo => "staking: malformed spki",
        E::MalformedPublicKeyAlgorithm => "staking: malformed public key algorithm identifier",
        E::MalformedAlgorithmIdentifier => "staking: malformed oid",
        E::MalformedPublicKey => "staking: malformed subject public key",
        E::UnknownPublicKeyAlgorithm => "staking: unknown public key algorithm",
        E::InvalidRsaPublicKey => "staking: invalid RSA public key",
        E::InvalidRsaModulus => "staking: invalid RSA modulus",
        E::InvalidRsaExponent => "staking: invalid RSA public exponent",
        E::RsaModulusNotPositive => "staking: RSA modulus is not a positive number",
        E::UnsupportedRsaModulus { .. } => "staking: unsupported RSA modulus bitlen",
        E::RsaModulusEven => "staking: RSA modulus is an even number",
        E::UnsupportedRsaExponent { .. } => "staking: unsupported RSA public exponent",
        E::InvalidPoint => "staking: failed to unmarshal elliptic curve point",
    }
}

/// Upstream's text of the check during the handshake.
fn leaf_text(error: CertificateError) -> String {
    use CertificateError as E;

    match error {
        E::InvalidPoint => "only P256 is allowed for ECDSA".to_owned(),
        E::UnknownPublicKeyAlgorithm => "key type is not supported".to_owned(),
        E::UnsupportedRsaModulus { bits } => format!("{}: {bits}", class(error)),
        E::UnsupportedRsaExponent { exponent } => format!("{}: {exponent}", class(error)),
        other => class(other).to_owned(),
    }
}

/// Gives what Go's X.509 parser says of a certificate that we accept and it does not.
fn certificate(case: &mut Fields) -> Option<String> {
    let der = case.bytes("der");
    let ok: bool = case.take("ok");
    let expected: Option<String> = case.maybe("class");
    case.skip("error");
    let parsed = Certificate::parse(&der);
    assert_eq!(
        parsed.as_ref().err().map(|&error| class(error)),
        expected.as_deref(),
        "{}",
        case.name
    );
    assert_eq!(parsed.is_ok(), ok, "{}", case.name);
    if let Ok(certificate) = &parsed {
        assert_eq!(certificate.der(), der, "{}", case.name);
        assert_eq!(certificate.node_id().0, *case.bytes("node_id"), "{}", case.name);
        assert_eq!(certificate.node_id().to_string(), case.take::<String>("node_id_text"));
        public_key(case, certificate.public_key());
    }
    leaf(case, &der, &parsed)
}

fn public_key(case: &mut Fields, key: &PublicKey) {
    let key_type: String = case.take("key_type");
    match (key_type.as_str(), key) {
        ("rsa", PublicKey::Rsa { modulus }) => {
            assert_eq!(**modulus, *case.bytes("modulus"), "{}", case.name);
            assert_eq!(RSA_EXPONENT, case.take::<u32>("exponent"), "{}", case.name);
        }
        ("p256", PublicKey::P256 { point }) => {
            let expected = [vec![4], case.bytes("x"), case.bytes("y")].concat();
            assert_eq!(*point, *expected, "{}", case.name);
        }
        (expected, found) => panic!("{}: {found:?} is not {expected}", case.name),
    }
}

/// Upstream lets a leaf connect if Go's parser, the check of the key and the staking parser all
/// accept it; ours is the staking parser alone.
fn leaf(
    case: &mut Fields,
    der: &[u8],
    parsed: &Result<Certificate, CertificateError>,
) -> Option<String> {
    let x509_error: Option<String> = case.maybe("x509_error");
    let leaf_error: Option<String> = case.maybe("tls_leaf_error");
    let found = tls_leaf::check(der);
    assert_eq!(found, *parsed, "{}", case.name);
    if x509_error.is_some() {
        return x509_error.filter(|_| found.is_ok());
    }
    match found {
        Ok(_) => assert_eq!(leaf_error, None, "{}", case.name),
        // Upstream looks at the key first and at the size after the handshake.
        Err(CertificateError::TooLarge) => {}
        Err(error) => assert_eq!(leaf_error, Some(leaf_text(error)), "{}", case.name),
    }
    None
}

fn pem(case: &mut Fields) -> Identity {
    let certificate_pem: String = case.take("cert_pem");
    let key_pem: String = case.take("key_pem");
    let identity = Identity::from_pem(certificate_pem.as_bytes(), key_pem.as_bytes()).unwrap();
    assert_eq!(identity.certificate().der(), case.bytes("der"), "{}", case.name);
    assert_eq!(identity.node_id().to_string(), case.take::<String>("node_id_text"));
    assert_eq!(identity.certificate_pem(), certificate_pem, "{}", case.name);
    assert_eq!(identity.private_key_pem(), key_pem, "{}", case.name);
    let signature = identity.sign(b"message").unwrap();
    let checked = identity.certificate().check_signature(b"message", &signature);
    assert_eq!(checked, Ok(()), "{}", case.name);
    if matches!(identity.certificate().public_key(), PublicKey::P256 { .. }) {
        made_by_us(&identity);
    }
    identity
}

/// Given the key and the time, we make upstream's certificate, but for its random signature.
fn made_by_us(theirs: &Identity) {
    // 2126-11-22 17:14:22 is the end of validity in the fixtures, 100 years after their making.
    let now = WallTime::from_unix_secs(1_795_367_662);
    let pkcs8 = theirs.private_key_der().secret_der();
    let scalar = &pkcs8[36..68];
    let ours = Identity::generate(&mut |bytes| bytes.copy_from_slice(scalar), now).unwrap();
    assert_eq!(ours.private_key_pem(), theirs.private_key_pem());
    let to_be_signed = 4..4 + 3 + 0xb7;
    let (ours, theirs) = (ours.certificate().der(), theirs.certificate().der());
    assert_eq!(ours[to_be_signed.clone()], theirs[to_be_signed]);
}

/// RSA signatures are deterministic, so whoever has the key makes the same bytes again.
fn signature(case: &mut Fields, identities: &[Identity]) {
    let certificate = Certificate::parse(&case.bytes("der")).unwrap();
    let message = case.bytes("message");
    let signature = case.bytes("signature");
    let ok: bool = case.take("ok");
    case.skip("error");
    let checked = certificate.check_signature(&message, &signature);
    assert_eq!(checked.is_ok(), ok, "{}", case.name);
    let owner = identities.iter().find(|identity| *identity.certificate() == certificate);
    if let (Some(owner), PublicKey::Rsa { .. }) = (owner, certificate.public_key()) {
        assert_eq!(owner.sign(&message).unwrap() == signature, ok, "{}", case.name);
    }
}
