//! Handshakes in memory, between two nodes and with odd ends.

use ::aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    },
};
use rustls::{
    ClientConnection, ServerConnection,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sastrugi_types::WallTime;

use super::*;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A certificate and its key, which need not be ones to stake with.
struct Shown {
    certificate: Vec<u8>,
    key: PrivateKeyDer<'static>,
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

/// A certificate of X.509 version 1 with nothing in it but a key.
fn version_1(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    let oids: Vec<u8> = algorithm.iter().flat_map(|oid| element(6, oid)).collect();
    let key = [&[0], key].concat();
    let info = element(0x30, &[element(0x30, &oids), element(3, &key)].concat());
    let empty = element(0x30, &[]);
    let parts =
        [element(2, &[1]), empty.clone(), empty.clone(), empty.clone(), empty.clone(), info];
    let signed = element(0x30, &parts.concat());
    element(0x30, &[signed, empty, element(3, &[0, 0])].concat())
}

fn rsa(size: KeySize) -> Shown {
    let pair = RsaKeyPair::generate(size).unwrap();
    let key: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    Shown {
        certificate: version_1(&[RSA], pair.public_key().as_ref()),
        key: PrivatePkcs8KeyDer::from(key.as_ref().to_vec()).into(),
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, curve: &[u8]) -> Shown {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
    Shown {
        certificate: version_1(&[EC, curve], pair.public_key().as_ref()),
        key: PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()).into(),
    }
}

fn ed25519() -> Shown {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    Shown {
        certificate: version_1(&[ED25519], pair.public_key().as_ref()),
        key: PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()).into(),
    }
}

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut |bytes| bytes.fill(seed), WallTime::from_unix_secs(1_700_000_000))
        .unwrap()
}

/// The client of a node, except that it shows another certificate.
fn client_showing(shown: Shown) -> Arc<ClientConfig> {
    let mut config = (*Tls::new(&identity(1)).unwrap().client).clone();
    config.client_auth_cert_resolver = Arc::new(resolver(shown));
    Arc::new(config)
}

fn server_showing(shown: Shown) -> Arc<ServerConfig> {
    let mut config = (*Tls::new(&identity(1)).unwrap().server).clone();
    config.cert_resolver = Arc::new(resolver(shown));
    Arc::new(config)
}

fn resolver(Shown { certificate, key }: Shown) -> SingleCertAndKey {
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap();
    CertifiedKey::new(vec![certificate.into()], key).into()
}

/// Runs a handshake, and gives what the client's and the server's end has seen of the other.
fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(Certificate, Certificate), TlsError> {
    let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
    let mut client = ClientConnection::new(client, name)?;
    let mut server = ServerConnection::new(server)?;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut input = &wire[..];
        while !input.is_empty() {
            server.read_tls(&mut input).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut input = &wire[..];
        while !input.is_empty() {
            client.read_tls(&mut input).unwrap();
            client.process_new_packets()?;
        }
    }
    let of_server = shown(client.peer_certificates()).unwrap().unwrap();
    let of_client = shown(server.peer_certificates()).unwrap().unwrap();
    Ok((of_server, of_client))
}

fn node(seed: u8) -> (Tls, Certificate) {
    let identity = identity(seed);
    (Tls::new(&identity).unwrap(), identity.certificate().clone())
}

#[test]
fn each_end_learns_who_the_other_is() {
    let ((one, first), (two, second)) = (node(1), node(2));
    assert_eq!(shake(one.client, two.server).unwrap(), (second.clone(), first.clone()));
    assert_eq!(shake(two.client, one.server).unwrap(), (first, second));
}

#[test]
fn certificates_of_version_1_pass_in_both_roles() {
    let (two, _) = node(2);
    for make in [|| rsa(KeySize::Rsa2048), || ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, P256)] {
        let shown = make();
        let certificate = Certificate::parse(&shown.certificate).unwrap();
        let (_, seen) = shake(client_showing(shown), Arc::clone(&two.server)).unwrap();
        assert_eq!(seen, certificate);
        let shown = make();
        let certificate = Certificate::parse(&shown.certificate).unwrap();
        let (seen, _) = shake(Arc::clone(&two.client), server_showing(shown)).unwrap();
        assert_eq!(seen, certificate);
    }
}

#[test]
fn keys_that_nobody_may_stake_with_are_refused() {
    let (two, _) = node(2);
    let odd: [fn() -> Shown; 3] =
        [|| rsa(KeySize::Rsa3072), || ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, P384), ed25519];
    for make in odd {
        shake(client_showing(make()), Arc::clone(&two.server)).unwrap_err();
        shake(Arc::clone(&two.client), server_showing(make())).unwrap_err();
    }
}

#[test]
fn whoever_shows_a_certificate_of_another_is_refused() {
    let (two, other) = node(2);
    let stolen = || Shown {
        certificate: other.der().to_vec(),
        key: identity(3).private_key_der().clone_key(),
    };
    let refused = TlsError::InvalidCertificate(TlsCertificateError::BadSignature);
    let error = shake(client_showing(stolen()), Arc::clone(&two.server)).unwrap_err();
    assert_eq!(error, refused);
    let error = shake(Arc::clone(&two.client), server_showing(stolen())).unwrap_err();
    assert_eq!(error, refused);
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (two, _) = node(2);
    let mut config = (*two.client).clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let error = shake(Arc::new(config), two.server).unwrap_err();
    assert_eq!(error, TlsError::NoCertificatesPresented);
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
