//! Who a sink trusts and who it says it is: certificates from files. A receiver's
//! certificate is always checked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity};

use crate::outbound;

/// The largest file with certificates; the bundle of a whole system has some 250 KiB.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files with certificates, in PEM.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, for receivers that ask who we are.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Every file there is.
    pub fn files(&self) -> Vec<PathBuf> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(client).cloned().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }

    /// Whether the files can be used.
    ///
    /// # Errors
    /// Says which cannot.
    pub fn check(&self) -> Result<(), String> {
        let client = self.equip(outbound::client())?.build();
        client.map(drop).map_err(|error| {
            let cause = outbound::innermost(&error);
            format!("the certificates cannot be used: {cause}")
        })
    }

    /// Has a client use the certificates, as the files hold them now.
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
