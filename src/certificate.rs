//! The certificate of the API, in files that are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;

use crate::outbound::secret::{Secret, Stamp};

/// The protocol that the API speaks, for clients that negotiate one.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate with its key, from two files in PEM.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: Mutex<Version>,
}

/// One version of both files.
struct Version {
    stamps: [Option<Stamp>; 2],
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// Says which file cannot be used, and why.
    pub fn load(chain: PathBuf, key: PathBuf) -> Result<Self, String> {
        let version = Version {
            stamps: stamps(&chain, &key),
            config: Arc::new(config(&chain, &key)?),
        };
        Ok(Self {
            chain,
            key,
            current: Mutex::new(version),
        })
    }

    /// Returns the settings of TLS with the files as they are now. Files that cannot be used are
    /// logged once, and the version before stays.
    pub fn config(&self) -> Arc<ServerConfig> {
        let stamps = stamps(&self.chain, &self.key);
        let mut current = self.current.lock();
        if current.stamps != stamps {
            current.stamps = stamps;
            match config(&self.chain, &self.key) {
                Ok(config) => {
                    current.config = Arc::new(config);
                    tracing::info!(file = %self.chain.display(), "the certificate of the API was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the new certificate of the API cannot be used; the one before stays");
                }
            }
        }
        Arc::clone(&current.config)
    }
}

fn stamps(chain: &Path, key: &Path) -> [Option<Stamp>; 2] {
    [chain, key].map(|file| Secret::File(file.to_owned()).stamp())
}

fn config(chain: &Path, key: &Path) -> Result<ServerConfig, String> {
    let unusable = |file: &Path, reason: &dyn std::fmt::Display| {
        format!("cannot use {}: {reason}", file.display())
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(chain, &error))?;
    if certificates.is_empty() {
        return Err(unusable(chain, &"it holds no certificate in PEM"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(|error| {
            let both = format!("{} and {}", chain.display(), key.display());
            format!("cannot use {both} together: {error}")
        })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_replaced_certificate_is_read_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let write = |(certificate, private): (String, String)| {
            std::fs::write(&chain, certificate).unwrap();
            std::fs::write(&key, private).unwrap();
        };
        write(pair());
        let certificate = Certificate::load(chain.clone(), key.clone()).unwrap();
        let first = certificate.config();
        assert!(Arc::ptr_eq(&first, &certificate.config()));
        write(pair());
        let second = certificate.config();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&key, "broken").unwrap();
        assert!(Arc::ptr_eq(&second, &certificate.config()));
    }

    #[test]
    fn an_unusable_certificate_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ((certificate, private), (_, other)) = (pair(), pair());
        let (chain, key) = (file("c.pem", &certificate), file("k.pem", &private));
        let refused = |chain: &Path, key: &Path| {
            let loaded = Certificate::load(chain.to_owned(), key.to_owned());
            loaded.err().expect("it cannot be used")
        };
        let nowhere = Path::new("/nowhere/c.pem");
        assert!(refused(nowhere, &key).contains("/nowhere/c.pem"));
        assert!(refused(&file("empty", ""), &key).contains("no certificate"));
        assert!(refused(&chain, &chain).contains("c.pem"));
        let together = refused(&chain, &file("other.pem", &other));
        assert!(
            together.contains("other.pem") && together.contains("together"),
            "{together}"
        );
    }
}
