//! The address of the daemon and the names of its services, as its settings give them. Clients
//! read only these keys, so that no secret that the settings name has to be there.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::settings::DEFAULT;
use crate::settings::api::{Listen, listen};
use crate::tree::reader::{Context, Reader, expand};
use crate::tree::source::{Sources, layer};

/// The places where the daemon of a configuration listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonAddress {
    /// The address of TCP; `None` if it listens on its socket only.
    pub listen: Option<SocketAddr>,
    /// The path of the Unix socket.
    pub socket: Option<PathBuf>,
    /// True if it speaks TLS at `listen`.
    pub has_tls: bool,
    /// The file with its certificate, which it may have signed itself.
    pub certificate: Option<PathBuf>,
}

/// Reads the address of the daemon, and no other part of the settings.
///
/// # Errors
/// A file cannot be read or is not TOML, or a key of the address has an invalid value.
pub fn address(sources: &Sources) -> Result<DaemonAddress, Diagnostics> {
    let layered = layer(DEFAULT, sources)?;
    let context = Context::new(&layered);
    let section = context.root().section("api");
    let listen = listen(&section);
    // A variable that only the daemon has, as CREDENTIALS_DIRECTORY, leaves the path unknown.
    let path = |key: &str| path_of(&section, key);
    let address = DaemonAddress {
        listen: listen.and_then(Listen::address),
        socket: path("socket"),
        has_tls: section.has("tls_cert_file"),
        certificate: path("tls_cert_file"),
    };
    let mut errors = context.into_traces().notes;
    errors.retain(Diagnostic::is_error);
    if errors.is_empty() {
        Ok(address)
    } else {
        Err(Diagnostics(errors))
    }
}

/// Reads the names of the services, and no other part of the settings.
///
/// # Errors
/// A file cannot be read or is not TOML.
pub fn service_names(sources: &Sources) -> Result<Vec<String>, Diagnostics> {
    let layered = layer(DEFAULT, sources)?;
    Ok(Context::new(&layered).root().names("services"))
}

fn path_of(section: &Reader<'_>, key: &str) -> Option<PathBuf> {
    let text = section.written(key)?;
    expand(&text, section.environment()).ok().map(PathBuf::from)
}
