//! The places where the API listens: TCP, with or without TLS, and a Unix socket.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};

use crate::api::server::BACKLOG;
use crate::api::server::socket::SocketFile;
use crate::certificate::Certificate;

/// One place where the API listens.
pub struct Listener(Kind);

enum Kind {
    Tcp(TcpListener),
    Tls(TcpListener, Arc<Certificate>),
    Unix(SocketFile),
}

/// A connection of a client, before its first byte.
pub(super) enum Accepted {
    Tcp(TcpStream),
    Tls(TcpStream, Arc<Certificate>),
    Unix(UnixStream),
}

impl Listener {
    /// Listens on TCP; speaks TLS there if a certificate is given.
    ///
    /// # Errors
    /// The address is in use, or is not one of this machine.
    pub fn tcp(address: SocketAddr, certificate: Option<Arc<Certificate>>) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // So that a restart need not wait for the connections of the last run.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        Ok(Self(match certificate {
            Some(certificate) => Kind::Tls(listener, certificate),
            None => Kind::Tcp(listener),
        }))
    }

    /// Listens on a Unix socket whose file has these permissions.
    ///
    /// # Errors
    /// The file cannot be made, or another process answers there.
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        SocketFile::bind(path, mode).map(|socket| Self(Kind::Unix(socket)))
    }

    /// Returns the address of TCP; `None` for a socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) | Kind::Tls(listener, _) => listener.local_addr().ok(),
            Kind::Unix(_) => None,
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self.0, Kind::Unix(_))
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.0 {
            Kind::Tcp(listener) => Ok(Accepted::Tcp(tcp(listener).await?)),
            Kind::Tls(listener, certificate) => {
                let stream = tcp(listener).await?;
                Ok(Accepted::Tls(stream, Arc::clone(certificate)))
            }
            Kind::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                Ok(Accepted::Unix(stream))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

async fn tcp(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    // With Nagle's algorithm the second half of a small answer may wait for an ACK.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
