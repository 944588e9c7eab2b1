//! TLS as both ends of a connection demand it.
//!
//! * TLS 1.3 only, both ends show a certificate, no server name, no application protocol.
//! * Upon a certificate: only its key counts ([`tls_leaf::check`]); no authority, date or name.
//! * Upon a signature of the handshake: it is checked under the key as subject public key info,
//!   since the library's own parser refuses certificates of X.509 version 1, which old nodes use.
//! * Exactly the schemes of the keys a node may have are offered: P-256 and RSA-PSS.
//! * Sessions are never resumed, in neither direction: each connection proves its identity.
//!
//! Upstream: `network/peer/tls_config.go`, `network/peer/upgrader.go`.

use std::sync::Arc;

use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct,
    DistinguishedName, Error as TlsError, PeerIncompatible, ServerConfig, SignatureScheme,
    SupportedCipherSuite,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider,
        aws_lc_rs::{
            self,
            cipher_suite::{
                TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
            },
        },
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use sastrugi_crypto::{
    Certificate, Identity, Signer as _,
    staking::{CertificateError, tls_leaf},
};

/// The schemes of the keys that a peer may have.
const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

/// The quickest one first, as Go prefers it too.
const CIPHER_SUITES: [SupportedCipherSuite; 3] =
    [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];

/// The TLS settings of a node, for both roles. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For connections that the node opens.
    pub client: Arc<ClientConfig>,
    /// For connections that it accepts.
    pub server: Arc<ServerConfig>,
}

impl Tls {
    /// The settings of the node with this identity.
    ///
    /// # Errors
    ///
    /// If the TLS library cannot use the key.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: CIPHER_SUITES.to_vec(),
            ..aws_lc_rs::default_provider()
        });
        let certificate = CertificateDer::from(identity.certificate().der().to_vec());
        let key = provider.key_provider.load_private_key(identity.private_key_der().clone_key())?;
        let own = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
        let verifier = Arc::new(Verifier { provider: Arc::clone(&provider) });

        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&own) as _);
        client.resumption = Resumption::disabled();
        client.enable_sni = false;

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(own);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

/// What the other end has shown, once the handshake is done.
///
/// Only the first certificate counts. `None` if there is none.
pub(crate) fn shown(
    certificates: Option<&[CertificateDer<'_>]>,
) -> Option<Result<Certificate, CertificateError>> {
    certificates?.first().map(|leaf| tls_leaf::check(leaf))
}

/// Checks the certificates and signatures of peers, alike in both roles.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check_signature(
        &self,
        message: &[u8],
        leaf: &[u8],
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let certificate = check_leaf(leaf)?;
        if !SCHEMES.contains(&signature.scheme) {
            return Err(TlsCertificateError::BadSignature.into());
        }
        let key = certificate.public_key().subject_public_key_info();
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key),
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn check_leaf(leaf: &[u8]) -> Result<Certificate, TlsError> {
    tls_leaf::check(leaf)
        .map_err(|error| TlsCertificateError::Other(rustls::OtherError(Arc::new(error))).into())
}

fn no_tls12() -> TlsError {
    PeerIncompatible::Tls12NotOfferedOrEnabled.into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        check_leaf(leaf).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.check_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        check_leaf(leaf).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.check_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

#[cfg(test)]
mod tests;
