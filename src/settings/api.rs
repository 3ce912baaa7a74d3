//! Reads the section `[api]`: where the API listens, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::settings::values::{ApiSettings, SocketSettings};
use crate::sink::callback;
use crate::tree::reader::Reader;

/// The word for no TCP at all.
const NO_LISTEN: &str = "none";

/// The value of the setting `listen`.
pub(super) enum Listen {
    At(SocketAddr),
    /// It listens on the Unix socket only.
    Nowhere,
}

impl Listen {
    pub(super) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Nowhere => None,
        }
    }
}

pub(super) fn api(root: &Reader<'_>) -> Option<ApiSettings> {
    let section = root.section("api");
    let listen = listen(&section);
    let socket = socket(&section);
    let certificate = certificate(&section);
    let read_token = section.secret("read_token");
    let write_token = section.secret("write_token");
    let connections = section.whole("connections", 1..=100_000);
    let callback = callback::read(&section);
    section.finish();
    let listen = listen?.address();
    let is_guarded = check_access(&section, listen);
    check_socket(&section, listen, socket.as_ref(), is_guarded);
    Some(ApiSettings {
        listen,
        socket,
        certificate,
        read_token,
        write_token,
        connections: connections? as usize,
        callback,
    })
}

pub(super) fn listen(section: &Reader<'_>) -> Option<Listen> {
    let text = section.required_text("listen")?;
    if text == NO_LISTEN {
        return Some(Listen::Nowhere);
    }
    let parsed: Option<SocketAddr> = text.parse().ok();
    if parsed.is_none() {
        section.report(
            "listen",
            format!("\"{text}\" must be an address and a port, as 127.0.0.1:8620 or [::1]:8620, or \"{NO_LISTEN}\""),
        );
    }
    parsed.map(Listen::At)
}

fn socket(section: &Reader<'_>) -> Option<SocketSettings> {
    let mode = section.required_text("socket_mode").and_then(|text| {
        let mode = u32::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o777 && (3..=4).contains(&text.len()));
        if mode.is_none() {
            let message = "must be file permissions in octal digits, as \"0660\" or \"0600\"";
            section.report("socket_mode", format!("\"{text}\" {message}"));
        }
        mode
    });
    let path = PathBuf::from(section.expanded("socket")?);
    if !path.is_absolute() {
        let message = "must be an absolute path, as \"/run/jobwatch/api.sock\"";
        section.report("socket", format!("\"{}\" {message}", path.display()));
    }
    Some(SocketSettings { path, mode: mode? })
}

fn certificate(section: &Reader<'_>) -> Option<Arc<Certificate>> {
    let (cert, key) = ("tls_cert_file", "tls_key_file");
    let private = section.secret_file(key);
    let is_elsewhere = private.is_none() && section.has(key) && !section.has_error(key);
    if is_elsewhere {
        // The key is there in the unit only, or this command needs none; so the pair is not read.
        section.ask(cert);
        return None;
    }
    let chain = section.file(cert);
    for (missing, other) in [(cert, key), (key, cert)] {
        if section.has(other) && !section.has(missing) {
            section.report(missing, format!("is missing beside `{other}`"));
        }
    }
    match Certificate::load(chain?, private?) {
        Ok(certificate) => Some(Arc::new(certificate)),
        Err(reason) => {
            section.report(cert, reason);
            None
        }
    }
}

/// Checks that other machines need tokens; true if both are set.
fn check_access(section: &Reader<'_>, listen: Option<SocketAddr>) -> bool {
    let has = |name: &str| section.has_any(&[name, &format!("{name}_file")]);
    let is_guarded = has("read_token") && has("write_token");
    let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) else {
        return is_guarded;
    };
    if !is_guarded {
        section.report(
            "listen",
            format!("{listen} can be reached from other machines: set read_token_file and write_token_file, or listen on 127.0.0.1"),
        );
    } else if !section.has("tls_cert_file") {
        section.warn(
            "listen",
            format!("tokens are sent to {listen} without TLS: set tls_cert_file and tls_key_file, unless a proxy before it speaks TLS"),
        );
    }
    is_guarded
}

fn check_socket(
    section: &Reader<'_>,
    listen: Option<SocketAddr>,
    socket: Option<&SocketSettings>,
    is_guarded: bool,
) {
    if listen.is_none() && !section.has("socket") {
        let message = "with \"none\" the API needs a Unix socket; set `socket`";
        section.report("listen", message);
    }
    if socket.is_some_and(|socket| socket.mode & 0o002 != 0) && !is_guarded {
        let message = "every user of this machine can submit and stop watches; set the tokens, or take \"0660\"";
        section.warn("socket_mode", message);
    }
}
