//! The client for requests without a proxy beside reqwest: the same bytes for the server, the
//! same answers, and the same words for each failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::Acceptor;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::{asked, bound, get, transports, transports_with};
use crate::outbound;
use crate::outbound::direct::{DirectClient, tls};
use crate::outbound::proxy::Route;
use crate::service::transport::{Clients, HttpTransport, LIMITS, Received, Transport};
use crate::watch::observation::{Problem, ProblemKind};

/// The body `{"status":"RUNNING"}` in gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x2a\x2e\x49\x2c\x29\x2d\x56\xb2\x52\x0a\x0a\xf5\xf3\xf3\xf4\x73\x57\xaa\x05\x00\xaf\x54\x64\x21\x14\x00\x00\x00";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Has each client send one request to a server that gives `answer` and closes.
async fn answered(answer: &[u8], max_body: usize) -> [Result<Received, Problem>; 2] {
    let (listener, url) = bound().await;
    let server = || async {
        let mut stream = asked(&listener).await;
        stream.write_all(answer).await.unwrap();
    };
    let [direct, reqwest] = transports();
    let (direct, ()) = tokio::join!(direct.send(get(&url), max_body), server());
    let (reqwest, ()) = tokio::join!(reqwest.send(get(&url), max_body), server());
    [direct, reqwest]
}

/// Expects that both clients describe their failure with these words.
#[track_caller]
fn both_say(outcomes: [Result<Received, Problem>; 2], words: &str, http_status: Option<u16>) {
    for outcome in outcomes {
        let problem = outcome.unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Unreachable, "{words}");
        assert_eq!(problem.message, words);
        assert_eq!(problem.http_status, http_status, "{words}");
    }
}

/// Has each client send one request to `url`.
async fn sent(url: &str) -> [Result<Received, Problem>; 2] {
    let [direct, reqwest] = transports();
    [
        direct.send(get(url), 1024).await,
        reqwest.send(get(url), 1024).await,
    ]
}

#[tokio::test]
async fn broken_answers_have_the_same_words() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (answer, words, http_status) in [
        (
            String::new(),
            "the request failed: connection closed before message completed",
            None,
        ),
        (
            "nonsense\r\n\r\n".to_owned(),
            "the request failed: invalid HTTP version parsed",
            None,
        ),
        (
            format!("{head}content-length: 9\r\n\r\n{{}}"),
            "the answer broke off: end of file before message length reached",
            Some(200),
        ),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"),
            "the answer broke off: Invalid chunk size line: missing size digit",
            Some(200),
        ),
        (
            format!("{head}content-encoding: gzip\r\ncontent-length: 12\r\n\r\nnot in gzip!"),
            "the answer broke off: Invalid gzip header",
            Some(200),
        ),
    ] {
        both_say(answered(answer.as_bytes(), 1024).await, words, http_status);
    }
}

#[tokio::test]
async fn failed_connections_have_the_same_words() {
    let (listener, url) = bound().await;
    drop(listener);
    let words = "cannot connect: Connection refused (os error 111)";
    both_say(sent(&url).await, words, None);
    let [direct, reqwest] = sent("http://no-such-host.invalid/").await;
    let message = direct.unwrap_err().message;
    assert!(
        message.starts_with("cannot connect: failed to lookup"),
        "{message}"
    );
    assert_eq!(message, reqwest.unwrap_err().message);
}

/// As an answer of a server that does not speak TLS, and one that closes in the handshake.
#[tokio::test]
async fn failed_handshakes_have_the_same_words() {
    for (answer, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "cannot connect: received corrupt message of type InvalidContentType",
        ),
        (b"", "cannot connect: tls handshake eof"),
    ] {
        let (listener, url) = bound().await;
        let url = url.replace("http:", "https:");
        let server = async {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                // The whole ClientHello is read: closing with bytes left would reset.
                let mut head = [0; 5];
                stream.read_exact(&mut head).await.unwrap();
                let mut rest = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                stream.read_exact(&mut rest).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        };
        let (outcomes, ()) = tokio::join!(sent(&url), server);
        both_say(outcomes, words, None);
    }
}

#[tokio::test(start_paused = true)]
async fn silent_handshake_ends_at_the_limit_of_connecting() {
    let (_listener, url) = bound().await;
    let url = url.replace("http:", "https:");
    for transport in transports() {
        let started = super::paused_clock();
        let problem = transport.send(get(&url), 1024).await.unwrap_err();
        assert_eq!(problem.message, "it timed out");
        assert_eq!(started.elapsed().as_secs(), LIMITS.connect.as_secs());
    }
}

#[tokio::test]
async fn url_that_cannot_be_sent_has_the_same_words() {
    let words = "the request failed: Parsed Url is not a valid Uri";
    both_say(sent("http://{{hostname}}/").await, words, None);
}

/// Returns the parts of a request by which a server could tell the clients apart: its first line,
/// its headers in any order, and its body.
async fn seen(transport: &HttpTransport, has_body: bool) -> (String, BTreeSet<String>, String) {
    let (listener, url) = bound().await;
    let mut request = get(&format!("{url}a%2Fb/?x=%20,y&z"));
    let own = request.headers_mut();
    own.insert("x-auth-token", http::HeaderValue::from_static("secret"));
    if has_body {
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = Some("question".into());
    }
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        let end: &[u8] = if has_body { b"question" } else { b"\r\n\r\n" };
        while !read.ends_with(end) {
            read.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
        String::from_utf8(read).unwrap()
    };
    let (received, read) = tokio::join!(transport.send(request, 1024), server);
    assert_eq!(received.unwrap().body, b"{}".as_slice());
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    let head = head.replace(&url[7..url.len() - 1], "HOST");
    let mut lines = head.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.collect(), body.to_owned())
}

#[tokio::test]
async fn servers_see_the_same_requests() {
    let [direct, reqwest] = transports();
    for has_body in [false, true] {
        let found = seen(&direct, has_body).await;
        assert_eq!(found, seen(&reqwest, has_body).await);
        let user_agent = format!("user-agent: {}", outbound::USER_AGENT);
        for header in [
            "accept-encoding: gzip",
            "accept: */*",
            "host: HOST",
            &user_agent,
        ] {
            assert!(found.1.contains(header), "{header} {found:?}");
        }
    }
}

#[tokio::test]
async fn compressed_answer_is_limited_by_its_decompressed_size() {
    let plain = b"{\"status\":\"RUNNING\"}";
    let length = GZIP.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
    let answer = [head.as_bytes(), GZIP].concat();
    for max_body in [1024, plain.len(), plain.len() - 1] {
        for outcome in answered(&answer, max_body).await {
            let received = outcome.unwrap();
            let read = plain.len().min(max_body);
            assert_eq!(received.body, plain[..read]);
            assert_eq!(received.is_cut, read < plain.len());
            assert!(!received.headers.contains_key("content-encoding"));
        }
    }
}

/// As a gateway that closes idle connections, or ends one after each answer.
#[tokio::test]
async fn connection_that_the_server_closed_is_replaced() {
    for transport in transports() {
        let (listener, url) = bound().await;
        let server = async {
            for _ in 0..3 {
                let mut stream = asked(&listener).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        };
        let polls = async {
            for _ in 0..3 {
                transport.send(get(&url), 1024).await.unwrap();
            }
        };
        tokio::join!(server, polls);
    }
}

/// Returns a server's configuration with a new certificate for `localhost`, and a client's that
/// trusts it.
fn trusted(protocols: &[&str]) -> (Arc<ServerConfig>, ClientConfig) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|&it| it.into()).collect();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = tls().unwrap().alpn_protocols;
    (Arc::new(server), client)
}

fn url_of(listener: &TcpListener) -> String {
    let port = listener.local_addr().unwrap().port();
    format!("https://localhost:{port}/")
}

#[tokio::test]
async fn version_of_http_is_agreed_in_the_handshake() {
    for (protocols, first) in [
        (&["h2", "http/1.1"][..], &b"PRI * HTTP/2.0"[..]),
        (&["http/1.1"], b"GET / HTTP/1.1"),
        (&[], b"GET / HTTP/1.1"),
    ] {
        let (server, client) = trusted(protocols);
        for transport in transports_with(client) {
            let (listener, _) = bound().await;
            let acceptor = TlsAcceptor::from(Arc::clone(&server));
            let serve = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut begin = vec![0; first.len()];
                stream.read_exact(&mut begin).await.unwrap();
                begin
            };
            let url = url_of(&listener);
            let (received, begin) = tokio::join!(transport.send(get(&url), 1024), serve);
            assert_eq!(begin, first, "{protocols:?}");
            received.unwrap_err();
        }
    }
}

#[tokio::test]
async fn unknown_authority_is_refused_with_the_same_words() {
    let (server, _) = trusted(&[]);
    let (listener, _) = bound().await;
    let acceptor = TlsAcceptor::from(server);
    let serve = async {
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.unwrap_err();
        }
    };
    let url = url_of(&listener);
    let ([direct, reqwest], ()) = tokio::join!(sent(&url), serve);
    let message = direct.unwrap_err().message;
    assert!(
        message.starts_with("cannot connect: invalid peer certificate"),
        "{message}"
    );
    assert_eq!(message, reqwest.unwrap_err().message);
}

/// Returns what a client offers in its handshake.
async fn offered(stream: TcpStream) -> String {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let start = start.unwrap();
    let hello = start.client_hello();
    let protocols = hello.alpn().map(Iterator::collect::<Vec<_>>);
    format!(
        "{:?} {protocols:?} {:?} {:?} {:?}",
        hello.server_name(),
        hello.cipher_suites(),
        hello.signature_schemes(),
        hello.named_groups()
    )
}

#[tokio::test]
async fn both_clients_offer_the_same_tls() {
    let (listener, _) = bound().await;
    let serve = async {
        let (direct, _) = listener.accept().await.unwrap();
        let direct = offered(direct).await;
        let (reqwest, _) = listener.accept().await.unwrap();
        (direct, offered(reqwest).await)
    };
    let url = url_of(&listener);
    let (_, (direct, reqwest)) = tokio::join!(sent(&url), serve);
    assert_eq!(direct, reqwest);
    assert!(
        direct.starts_with("Some(\"localhost\") Some([[104, 50]"),
        "{direct}"
    );
}

#[tokio::test]
async fn proxy_of_the_environment_takes_only_its_hosts() {
    let (proxy, proxy_url) = bound().await;
    let (service, service_url) = bound().await;
    let by_proxy = outbound::client().proxy(reqwest::Proxy::all(&proxy_url).unwrap());
    let clients = Clients::ByHost {
        direct: DirectClient::new(tls().unwrap(), LIMITS),
        proxied: by_proxy.build().unwrap(),
        proxies: Arc::new(Matcher::builder().all(proxy_url).no("127.0.0.1").build()),
    };
    let transport = HttpTransport::of(clients, Route::Environment);
    for (listener, url) in [
        (&service, service_url.as_str()),
        (&proxy, "http://jobs.corp.example/"),
    ] {
        let server = async {
            let mut stream = asked(listener).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        };
        let (received, ()) = tokio::join!(transport.send(get(url), 1024), server);
        assert_eq!(received.unwrap().body, b"{}".as_slice(), "{url}");
    }
}
