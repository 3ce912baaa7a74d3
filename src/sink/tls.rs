//! Certificates from files: the authorities that a sink trusts, and its own certificate. The
//! certificate of a receiver is always checked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity};

use crate::outbound;

/// The largest file with certificates, in bytes; the bundle of a system has about 250 KiB.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files with certificates, in PEM.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The authorities to trust instead of those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, for receivers that require one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Returns the paths of all configured files.
    pub fn files(&self) -> Vec<PathBuf> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(client).cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }

    /// Checks that the files can be used.
    ///
    /// # Errors
    /// Says which file cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let client = self.equip(outbound::client())?.build();
        client.map(drop).map_err(|error| {
            let cause = outbound::innermost(&error);
            format!("the certificates cannot be used: {cause}")
        })
    }

    /// Adds the certificates to a client; reads the files now.
    ///
    /// # Errors
    /// Says which file cannot be used.
    pub fn equip(&self, mut client: ClientBuilder) -> Result<ClientBuilder, String> {
        if let Some(file) = &self.ca {
            let bundle = Certificate::from_pem_bundle(&read(file)?)
                .ok()
                .filter(|bundle| !bundle.is_empty())
                .ok_or_else(|| format!("{} holds no certificate in PEM", file.display()))?;
            client = client.tls_certs_only(bundle);
        }
        if let Some((certificate, key)) = &self.client {
            let both = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
            let identity = Identity::from_pem(&both).map_err(|_| {
                format!(
                    "{} and {} must hold a certificate and its private key, in PEM, the key without a password",
                    certificate.display(),
                    key.display()
                )
            })?;
            client = client.identity(identity);
        }
        Ok(client)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(PEM_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(bytes)
}
