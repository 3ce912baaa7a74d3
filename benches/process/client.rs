//! A client that costs little: HTTP/1.1 over a socket, one request at a time.

use std::net::SocketAddr;

use jobwatch::outbound;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Raises the limit of open files to the most that is allowed.
pub(crate) fn allow_many_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, most).expect("a lower limit");
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) socket: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("a socket");
        Self {
            // An answer to a wait is about 1 KB.
            socket: BufReader::with_capacity(2048, socket),
        }
    }

    /// Sends the head of a request, without a body.
    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        let sent = self.socket.get_mut().write_all(head.as_bytes()).await;
        sent.expect("a connection");
    }

    /// Reads the head of an answer; returns the status and the length of the body.
    pub(crate) async fn head(&mut self) -> Option<(u16, usize)> {
        let mut line = String::new();
        self.socket.read_line(&mut line).await.ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            line.clear();
            self.socket.read_line(&mut line).await.ok()?;
            if line.trim_end().is_empty() {
                return Some((status, length));
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
    }

    /// Reads an answer whose head gives its length.
    pub(crate) async fn answer(&mut self) -> Option<(u16, Vec<u8>)> {
        let (status, length) = self.head().await?;
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).await.ok()?;
        Some((status, body))
    }
}

/// Makes one request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<(u16, Vec<u8>)> {
    let socket = TcpStream::connect(address).await.ok()?;
    let mut connection = Connection {
        socket: BufReader::new(socket),
    };
    connection.send("GET", path, "").await;
    connection.answer().await
}

/// Submits these lines in bulk, each a request, and returns the ids of the watches.
pub(crate) async fn submit(address: SocketAddr, lines: &[String]) -> Vec<String> {
    let client = outbound::client().no_proxy().build().expect("a client");
    let answer = client
        .post(format!("http://{address}/v1/watches/bulk"))
        .body(lines.concat())
        .send()
        .await
        .expect("an answer");
    let answer = answer.text().await.expect("a body");
    let ids: Vec<String> = answer
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            line["id"]
                .as_str()
                .unwrap_or_else(|| panic!("{line}"))
                .to_owned()
        })
        .collect();
    assert_eq!(ids.len(), lines.len(), "an answer to each line");
    ids
}
