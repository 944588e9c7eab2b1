use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};

use super::*;
use crate::staking::PublicKey;

const NOW: WallTime = WallTime::from_unix_secs(1_795_367_662);

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut |bytes| bytes.fill(seed), NOW).unwrap()
}

fn reread(identity: &Identity) -> Identity {
    Identity::from_pem(identity.certificate_pem().as_bytes(), identity.private_key_pem().as_bytes())
        .unwrap()
}

#[test]
fn an_identity_is_a_function_of_its_randomness_and_time() {
    let one = identity(1);
    assert_eq!(one.certificate(), identity(1).certificate());
    assert_ne!(one.node_id(), identity(2).node_id());
    let later = NOW.0 + 1_000_000_000;
    let later = Identity::generate(&mut |bytes| bytes.fill(1), WallTime(later)).unwrap();
    assert_ne!(one.node_id(), later.node_id(), "the node ID is of the whole certificate");
    assert_eq!(one.certificate().public_key(), later.certificate().public_key());
}

#[test]
fn a_source_without_randomness_is_refused() {
    let error = Identity::generate(&mut |bytes| bytes.fill(0), NOW).unwrap_err();
    assert_eq!(error, IdentityError::Randomness);
}

#[test]
fn a_number_that_is_no_key_is_drawn_again() {
    let mut draws = [0xff, 0, 3].into_iter();
    let drawn = Identity::generate(&mut |bytes| bytes.fill(draws.next().unwrap()), NOW).unwrap();
    assert_eq!(drawn.node_id(), identity(3).node_id());
}

#[test]
fn files_give_the_same_identity_back() {
    let made = identity(1);
    let read = reread(&made);
    assert_eq!(read.certificate(), made.certificate());
    assert_eq!(read.private_key_der(), made.private_key_der());
    assert_eq!(read.private_key_pem(), made.private_key_pem());
}

#[test]
fn signatures_are_deterministic_and_checked_by_the_certificate() {
    let made = identity(1);
    let signature = made.sign(b"message").unwrap();
    assert_eq!(signature, reread(&made).sign(b"message").unwrap());
    assert_eq!(made.certificate().check_signature(b"message", &signature), Ok(()));
    assert!(made.certificate().check_signature(b"massage", &signature).is_err());
    assert!(identity(2).certificate().check_signature(b"message", &signature).is_err());
}

#[test]
fn a_new_certificate_signs_itself_and_shows_the_canonical_key() {
    let made = identity(1);
    let der = made.certificate().der();
    let to_be_signed = template::to_be_signed(made.certificate().public_key(), NOW);
    let signature = made.sign(&to_be_signed).unwrap();
    assert_eq!(der, template::certificate(&to_be_signed, &signature));
    let info = made.certificate().public_key().subject_public_key_info();
    assert!(der.windows(info.len()).any(|window| window == info));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, two) = (identity(1), identity(2));
    let error =
        Identity::from_pem(one.certificate_pem().as_bytes(), two.private_key_pem().as_bytes())
            .unwrap_err();
    assert_eq!(error, IdentityError::KeyMismatch(one.node_id()));
}

#[test]
fn swapped_files_are_refused() {
    let made = identity(1);
    let (certificate, key) = (made.certificate_pem(), made.private_key_pem());
    assert!(matches!(
        Identity::from_pem(key.as_bytes(), certificate.as_bytes()),
        Err(IdentityError::CertificatePem(_))
    ));
    assert!(matches!(
        Identity::from_pem(certificate.as_bytes(), certificate.as_bytes()),
        Err(IdentityError::KeyPem(_))
    ));
}

/// A key of P-256 in the form of SEC 1, taken out of its PKCS#8 wrapping.
fn sec1(identity: &Identity) -> Vec<u8> {
    let pkcs8 = identity.private_key_der().secret_der();
    pkcs8[pkcs8.len() - 109..].to_vec()
}

#[test]
fn sec1_keys_with_or_without_other_sections_are_read() {
    let made = identity(1);
    let text =
        pem::section("EC PARAMETERS", &[6, 1, 1]) + &pem::section("EC PRIVATE KEY", &sec1(&made));
    let read = Identity::from_pem(made.certificate_pem().as_bytes(), text.as_bytes()).unwrap();
    assert_eq!(read.sign(b"m"), made.sign(b"m"));
    assert!(read.private_key_pem().starts_with("-----BEGIN EC PRIVATE KEY-----"));
}

#[test]
fn keys_that_cannot_stake_are_named() {
    let parse =
        |der: Vec<u8>| PrivateKey::parse(&PrivatePkcs8KeyDer::from(der).into()).unwrap_err();
    let good = identity(1).private_key_der().secret_der().to_vec();
    let changed = |at: usize, byte: u8| {
        let mut der = good.clone();
        der[at] = byte;
        parse(der)
    };
    let find = |bytes: &[u8]| good.windows(bytes.len()).position(|window| window == bytes).unwrap();
    assert_eq!(parse(vec![]), PrivateKeyError::Malformed);
    assert_eq!(changed(0, 0x31), PrivateKeyError::Malformed);
    let curve = find(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03]);
    assert_eq!(changed(curve + 7, 6), PrivateKeyError::NotP256);
    let algorithm = find(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    assert_eq!(changed(algorithm + 6, 2), PrivateKeyError::UnknownAlgorithm);
    let sec1 = PrivateKey::parse(&rustls_pki_types::PrivateSec1KeyDer::from(vec![0x30, 0]).into());
    assert_eq!(sec1.unwrap_err(), PrivateKeyError::Malformed);
}

#[test]
fn rsa_keys_sign_in_either_form_and_only_in_the_allowed_sizes() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let key = PrivateKey::parse(&PrivatePkcs8KeyDer::from(pkcs8.as_ref()).into()).unwrap();
    let public = key.public_key().unwrap();
    assert!(matches!(&public, PublicKey::Rsa { modulus } if modulus.len() == 256));
    let signature = key.sign(b"message").unwrap();
    assert_eq!(signature.len(), 256);
    assert_eq!(signature, key.sign(b"message").unwrap());
    let verifying = crate::staking::verify::verifying_key(&public).unwrap();
    assert!(verifying.verifies(b"message", &signature));

    let pair = KeyPair::generate(KeySize::Rsa3072).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let key = PrivateKey::parse(&PrivatePkcs8KeyDer::from(pkcs8.as_ref()).into()).unwrap();
    assert_eq!(key.public_key(), Err(PrivateKeyError::InvalidRsa));
}

#[test]
fn debug_shows_no_secret() {
    let made = identity(1);
    assert_eq!(format!("{made:?}"), format!("Identity {{ node_id: {:?}, .. }}", made.node_id()));
}
