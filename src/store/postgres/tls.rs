//! TLS of the connections to PostgreSQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::SqlError;

/// How far a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protection {
    /// Encrypted, and the certificate of the server is of a trusted authority and has its name.
    #[default]
    VerifyFull,
    /// The same, but for the name.
    VerifyCa,
    /// Encrypted; any server may answer.
    Require,
    /// Readable for everybody on the way.
    Disable,
}

/// The protection of connections, and their certificates.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    pub protection: Protection,
    /// The authorities to trust instead of those of the system, in PEM.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, in PEM, for a server that requires one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Protection {
    pub const ALL: [Self; 4] = [
        Self::VerifyFull,
        Self::VerifyCa,
        Self::Require,
        Self::Disable,
    ];

    /// Returns the word for it, as libpq has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyFull => "verify-full",
            Self::VerifyCa => "verify-ca",
            Self::Require => "require",
            Self::Disable => "disable",
        }
    }

    /// Returns what a word means; `None` for an unknown one.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// Returns a maker of TLS connections; reads the files now.
///
/// # Errors
/// Says which file cannot be used.
pub(super) fn connect(tls: &Tls) -> Result<MakeRustlsConnect, SqlError> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| aws_lc_rs::default_provider().into());
    let verifier = verifier(tls, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("cannot read a key from {}: {error}", key.display()))?;
            config.with_client_auth_cert(chain, key)?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    tls: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SqlError> {
    if tls.protection == Protection::Require {
        return Ok(Arc::new(Lenient {
            authority: None,
            algorithms: provider.signature_verification_algorithms,
        }));
    }
    let authority: Arc<dyn ServerCertVerifier> = match &tls.ca {
        None => Arc::new(Verifier::new(Arc::clone(provider))?),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate)?;
            }
            let roots = Arc::new(roots);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build()?
        }
    };
    if tls.protection != Protection::VerifyCa {
        return Ok(authority);
    }
    Ok(Arc::new(Lenient {
        authority: Some(authority),
        algorithms: provider.signature_verification_algorithms,
    }))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SqlError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read =
        read.map_err(|error| format!("cannot read certificates from {}: {error}", file.display()))?;
    if read.is_empty() {
        return Err(format!("{} holds no certificate in PEM", file.display()).into());
    }
    Ok(read)
}

/// Accepts a certificate with another name, or without an authority any certificate.
#[derive(Debug)]
struct Lenient {
    authority: Option<Arc<dyn ServerCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        match authority.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
