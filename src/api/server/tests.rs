//! Clients that would occupy a connection for ever, and those that send too much.
//!
//! The clock of the runtime is stepped, so that no test waits for a time limit.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::api::{REQUEST_TIMEOUT, limit_time};

/// More than the buffers of the system take.
const LARGE: usize = 64 * 1024 * 1024;
/// The real time between two steps of the clock.
const TURN: Duration = Duration::from_millis(5);
const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Tcp,
    Tls,
    Unix,
}

const WAYS: [Way; 3] = [Way::Tcp, Way::Tls, Way::Unix];

trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// A server that listens in one way.
struct Stand {
    way: Way,
    address: Option<std::net::SocketAddr>,
    socket: PathBuf,
    connector: TlsConnector,
    tracker: TaskTracker,
    accepting: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

impl Stand {
    fn start(way: Way, connections: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let (certificate, connector) = identity(&folder);
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = match way {
            Way::Tcp => Listener::tcp(any, None),
            Way::Tls => Listener::tcp(any, Some(Arc::new(certificate))),
            Way::Unix => Listener::unix(&socket, 0o600),
        };
        let listener = listener.unwrap();
        let address = listener.address();
        let tracker = TaskTracker::new();
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/large", get(async || Bytes::from(vec![0; LARGE])))
            .route("/body", post(async |body: Bytes| body.len().to_string()))
            .layer(from_fn(limit_time));
        let stop = CancellationToken::new();
        let server = Server::new(router, connections, tracker.clone(), stop);
        // Outside of the tracker, so that the tracker is empty when all connections have ended.
        let accepting = TaskTracker::new().spawn(server.serve(listener));
        Self {
            way,
            address,
            socket,
            connector,
            tracker,
            accepting,
            _folder: folder,
        }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address.unwrap()).await.unwrap()
    }

    async fn connect(&self) -> Box<dyn Connection> {
        match self.way {
            Way::Tcp => Box::new(self.tcp().await),
            Way::Unix => Box::new(UnixStream::connect(&self.socket).await.unwrap()),
            Way::Tls => {
                let name = ServerName::try_from("localhost").unwrap();
                let stream = self.connector.connect(name, self.tcp().await).await;
                Box::new(stream.unwrap())
            }
        }
    }

    async fn send(&self, text: &str) -> Box<dyn Connection> {
        let mut stream = self.connect().await;
        // The server may refuse a head before it has all of it.
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.flush().await;
        stream
    }

    async fn ends(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}

fn identity(folder: &TempDir) -> (Certificate, TlsConnector) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&chain, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let certificate = Certificate::load(chain, key).unwrap();
    (certificate, TlsConnector::from(Arc::new(config)))
}

/// Moves the clock second by second until `has_ended` says so, which must be soon after `limit`.
async fn ends_after(limit: Duration, case: &str, mut has_ended: impl AsyncFnMut() -> bool) {
    // The limit of the server begins once it has noticed the client.
    for _ in 0..=2 * limit.as_secs() {
        if has_ended().await {
            return;
        }
        tokio::time::pause();
        tokio::time::advance(SECOND).await;
        tokio::time::resume();
    }
    panic!("{case} holds its connection");
}

/// Reads until the server closes the connection; returns everything it sent.
async fn closed(client: &mut Box<dyn Connection>, limit: Duration, case: &str) -> String {
    let mut all = Vec::new();
    ends_after(limit, case, async || {
        let mut some = [0; 1024];
        // Real time, in which the server does its part.
        match tokio::time::timeout(TURN, client.read(&mut some)).await {
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(count)) => {
                all.extend_from_slice(&some[..count]);
                false
            }
            Err(_) => false,
        }
    })
    .await;
    String::from_utf8(all).unwrap()
}

async fn answer(stream: &mut Box<dyn Connection>) -> String {
    let mut bytes = Vec::new();
    // TLS reports an end without a goodbye as an error, after the bytes.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn clients_that_send_no_whole_head_are_cut_off() {
    let heads = [
        ("a silent client", ""),
        ("a partial head", "GET / HTTP/1.1\r\nhost: local"),
        ("half a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM"),
    ];
    for way in WAYS {
        for (case, head) in heads {
            let stand = Stand::start(way, 4);
            let mut client = stand.send(head).await;
            closed(&mut client, HEADER_TIMEOUT, case).await;
            stand.ends().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_never_begins_its_handshake_is_cut_off() {
    for begin in [&b""[..], &[HANDSHAKE, 3, 1]] {
        let stand = Stand::start(Way::Tls, 4);
        let mut client = stand.tcp().await;
        client.write_all(begin).await.unwrap();
        let mut client: Box<dyn Connection> = Box::new(client);
        closed(&mut client, HANDSHAKE_TIMEOUT, "a handshake").await;
        stand.ends().await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    for way in WAYS {
        let stand = Stand::start(way, 4);
        let head = "POST /body HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx";
        let mut client = stand.send(head).await;
        let limit = REQUEST_TIMEOUT + HEADER_TIMEOUT;
        let answer = closed(&mut client, limit, "a slow body").await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        stand.ends().await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    for way in WAYS {
        let stand = Stand::start(way, 4);
        let mut client = stand.send(GET).await;
        let answer = closed(&mut client, HEADER_TIMEOUT, "an idle client").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        stand.ends().await;
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    for way in WAYS {
        let stand = Stand::start(way, 4);
        let _client = stand
            .send("GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        // It cannot end before, as its answer does not fit into the buffers.
        while stand.tracker.is_empty() {
            tokio::task::yield_now().await;
        }
        ends_after(WRITE_TIMEOUT, "a slow reader", async || {
            let _ = tokio::time::timeout(TURN, std::future::pending::<()>()).await;
            stand.tracker.is_empty()
        })
        .await;
        stand.ends().await;
    }
}

#[tokio::test]
async fn a_client_beyond_the_limit_waits_for_a_connection() {
    for way in WAYS {
        let stand = Stand::start(way, 1);
        let first = stand.send(GET).await;
        let waiting = async {
            let mut second = stand.send(GET).await;
            let mut begin = [0; 15];
            second.read_exact(&mut begin).await.unwrap();
            begin
        };
        let mut waiting = Box::pin(waiting);
        let soon = Duration::from_millis(50);
        let at_once = tokio::time::timeout(soon, &mut waiting).await;
        assert!(at_once.is_err(), "{way:?}");
        drop(first);
        let begin = tokio::time::timeout(PATIENCE, waiting).await;
        assert_eq!(&begin.unwrap(), b"HTTP/1.1 200 OK", "{way:?}");
    }
}

#[tokio::test]
async fn a_head_may_have_a_thousand_ids_and_not_much_more() {
    let ids = |count: usize| format!("id={}&", "x".repeat(40)).repeat(count);
    for (count, wanted) in [(1000, "HTTP/1.1 200"), (1600, "HTTP/1.1 4")] {
        let stand = Stand::start(Way::Tcp, 4);
        let head = format!(
            "GET /?{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            ids(count)
        );
        let answer = answer(&mut stand.send(&head).await).await;
        assert!(answer.starts_with(wanted), "{count}: {answer}");
        stand.ends().await;
    }
    let stand = Stand::start(Way::Tcp, 4);
    let long = "x".repeat(2 * HEAD_BYTES_MAX);
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n");
    let answer = answer(&mut stand.send(&head).await).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    stand.ends().await;
}

#[tokio::test]
async fn plain_http_at_a_port_of_tls_gets_a_clear_answer() {
    let stand = Stand::start(Way::Tls, 4);
    let mut client = stand.tcp().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    let mut client: Box<dyn Connection> = Box::new(client);
    let answer = answer(&mut client).await;
    assert!(answer.contains("use https://"), "{answer}");
    stand.ends().await;
}
