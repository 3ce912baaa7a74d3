//! The address of the daemon: of TCP, with or without TLS, or the path of a Unix socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::outbound::url::base_url;
use crate::settings::DaemonAddress;

/// Where a client calls, and the source of this address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The URL before each path.
    pub(super) base: String,
    /// The address as people write it.
    pub(super) shown: String,
    /// The socket that carries all connections, if it is not TCP.
    pub(super) socket: Option<PathBuf>,
    /// A certificate to trust as well.
    pub(super) certificate: Option<PathBuf>,
}

impl Address {
    /// Reads `http://…`, `https://…` or `unix:///path`.
    ///
    /// # Errors
    /// Says which form is required, without the URL, which may contain a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("unix://") {
            return Self::socket(PathBuf::from(path));
        }
        let checked = base_url(url).map_err(|reason| {
            let forms = "http://127.0.0.1:8620, https://jobwatch.example.com or unix:///run/jobwatch/api.sock";
            format!("{reason}, or unix:// and a path; for example {forms}")
        })?;
        let base = checked.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            shown: base.clone(),
            base,
            socket: None,
            certificate: None,
        })
    }

    fn socket(path: PathBuf) -> Result<Self, String> {
        if !path.is_absolute() {
            return Err("must have three slashes, as unix:///run/jobwatch/api.sock".to_owned());
        }
        Ok(Self {
            base: "http://localhost".to_owned(),
            shown: format!("unix://{}", path.display()),
            socket: Some(path),
            certificate: None,
        })
    }

    /// Returns the address of the daemon with these settings: its socket if this user can
    /// connect to it, otherwise that of TCP.
    pub(super) fn of(settings: DaemonAddress) -> Result<Self, String> {
        let DaemonAddress {
            listen,
            socket,
            has_tls,
            certificate,
        } = settings;
        let is_open = |path: &PathBuf| UnixStream::connect(path).is_ok();
        match (socket, listen) {
            (Some(path), listen) if listen.is_none() || is_open(&path) => Self::socket(path),
            (_, Some(listen)) if has_tls => Ok(Self {
                certificate,
                ..Self::tcp(&format!("https://{}", named(listen)))
            }),
            (_, Some(listen)) => Ok(Self::tcp(&format!("http://{}", reachable(listen)))),
            (_, None) => Err("gives no address: `api.listen` is \"none\" and the path in `api.socket` is not known here".to_owned()),
        }
    }

    fn tcp(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            shown: base.to_owned(),
            socket: None,
            certificate: None,
        }
    }
}

/// Returns an address of this machine for one that stands for all its addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

/// Returns host and port for TLS: certificates name hosts, rarely the addresses of loopback.
fn named(listen: SocketAddr) -> String {
    let reachable = reachable(listen);
    if reachable.ip().is_loopback() {
        format!("localhost:{}", reachable.port())
    } else {
        reachable.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listen: Option<&str>, socket: Option<&str>, has_tls: bool) -> Result<String, String> {
        let settings = DaemonAddress {
            listen: listen.map(|text| text.parse().unwrap()),
            socket: socket.map(PathBuf::from),
            has_tls,
            certificate: None,
        };
        Address::of(settings).map(|address| address.shown)
    }

    #[test]
    fn urls_and_paths_of_sockets_are_read() {
        let base = |url: &str| Address::parse(url).map(|address| address.base);
        assert_eq!(base("http://127.0.0.1:1/"), Ok("http://127.0.0.1:1".into()));
        assert_eq!(
            base("https://a.example/x/"),
            Ok("https://a.example/x".into())
        );
        let socket = Address::parse("unix:///run/a b.sock").unwrap();
        assert_eq!(socket.socket, Some(PathBuf::from("/run/a b.sock")));
        assert_eq!(socket.shown, "unix:///run/a b.sock");
        for wrong in [
            "127.0.0.1:8620",
            "htp://x",
            "unix://run/x",
            "unix:/run/x",
            "",
            "http://",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let refused = Address::parse("http://me:secret@127.0.0.1").unwrap_err();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn an_address_for_all_becomes_one_of_this_machine() {
        let tcp = |listen: &str| of(Some(listen), None, false).unwrap();
        assert_eq!(tcp("0.0.0.0:1"), "http://127.0.0.1:1");
        assert_eq!(tcp("[::]:1"), "http://[::1]:1");
        assert_eq!(tcp("10.0.0.5:1"), "http://10.0.0.5:1");
        let tls = |listen: &str| of(Some(listen), None, true).unwrap();
        assert_eq!(tls("0.0.0.0:1"), "https://localhost:1");
        assert_eq!(tls("10.0.0.5:1"), "https://10.0.0.5:1");
    }

    #[test]
    fn a_socket_that_refuses_gives_way_to_tcp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let text = path.display().to_string();
        let both = || of(Some("127.0.0.1:1"), Some(&text), false).unwrap();
        assert_eq!(both(), "http://127.0.0.1:1");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(both(), format!("unix://{text}"));
        let absent = of(None, Some("/nowhere/api.sock"), false).unwrap();
        assert_eq!(absent, "unix:///nowhere/api.sock");
        assert!(of(None, None, false).is_err());
    }
}
