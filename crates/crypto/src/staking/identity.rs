//! A node's own certificate and key: making them, reading and writing their files.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use sastrugi_types::{NodeId, WallTime};

use super::{
    certificate::{Certificate, CertificateError},
    pem,
    private_key::{self, P256_SCALAR_BYTES, PrivateKey, PrivateKeyError},
    signer::{Signer, SigningError},
    template,
};

/// Candidates for a new key that are tried; a good source never needs a second one.
const KEY_ATTEMPTS_MAX: usize = 64;

/// A certificate and the private key behind it.
///
/// `Debug` shows the node ID only.
pub struct Identity {
    certificate: Certificate,
    private_key: PrivateKey,
    private_key_der: PrivateKeyDer<'static>,
}

/// Why there is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate file holds no readable `CERTIFICATE` section.
    #[error("no certificate in the PEM text: {0}")]
    CertificatePem(String),
    /// The key file holds no readable section of a private key.
    #[error("no private key in the PEM text: {0}")]
    KeyPem(String),
    /// The certificate is not one to stake with.
    #[error("staking certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The private key is not one to stake with.
    #[error("staking key: {0}")]
    Key(#[from] PrivateKeyError),
    /// The certificate belongs to another key.
    #[error("the private key does not belong to the certificate of {0:?}")]
    KeyMismatch(NodeId),
    /// The source of randomness gives no number that can be a key.
    #[error("the source of randomness yields no usable key")]
    Randomness,
    /// The new certificate could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Identity {
    /// Makes a P-256 key from the bytes that `random` fills in, and a certificate for it that is
    /// valid for 100 years from `now`.
    ///
    /// The same bytes and time give the same identity. Upstream: `staking.NewCertAndKeyBytes`.
    pub fn generate(
        random: &mut dyn FnMut(&mut [u8]),
        now: WallTime,
    ) -> Result<Self, IdentityError> {
        let mut scalar = [0; P256_SCALAR_BYTES];
        let private_key = (0..KEY_ATTEMPTS_MAX)
            .find_map(|_| {
                random(&mut scalar);
                PrivateKey::p256(&scalar)
            })
            .ok_or(IdentityError::Randomness)?;
        let public_key = private_key.public_key()?;
        let to_be_signed = template::to_be_signed(&public_key, now);
        let signature = private_key.sign(&to_be_signed)?;
        let der = template::certificate(&to_be_signed, &signature);
        let pkcs8 = private_key::p256_pkcs8(&scalar, &public_key.key_bytes());
        Ok(Self {
            certificate: Certificate::parse(&der)?,
            private_key,
            private_key_der: PrivatePkcs8KeyDer::from(pkcs8).into(),
        })
    }

    /// Reads the text of a certificate file and of a key file, and checks that they belong
    /// together.
    ///
    /// Of several sections the first certificate and the first private key count. A key may be in
    /// the form of PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC 1 (`EC PRIVATE KEY`).
    /// Upstream: `staking.LoadTLSCertFromBytes`.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let der = CertificateDer::from_pem_slice(certificate)
            .map_err(|error| IdentityError::CertificatePem(error.to_string()))?;
        let private_key_der = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| IdentityError::KeyPem(error.to_string()))?;
        let certificate = Certificate::parse(&der)?;
        let private_key = PrivateKey::parse(&private_key_der)?;
        if private_key.public_key()? != *certificate.public_key() {
            return Err(IdentityError::KeyMismatch(certificate.node_id()));
        }
        Ok(Self { certificate, private_key, private_key_der })
    }

    /// The node this is.
    pub const fn node_id(&self) -> NodeId {
        self.certificate.node_id()
    }

    /// The private key in DER, for the TLS library.
    pub const fn private_key_der(&self) -> &PrivateKeyDer<'static> {
        &self.private_key_der
    }

    /// The text of the certificate file.
    pub fn certificate_pem(&self) -> String {
        pem::section("CERTIFICATE", self.certificate.der())
    }

    /// The text of the key file, in the form the key was read or made in.
    pub fn private_key_pem(&self) -> String {
        let label = match &self.private_key_der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::section(label, self.private_key_der.secret_der())
    }
}

impl Signer for Identity {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.private_key.sign(message)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("node_id", &self.node_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
