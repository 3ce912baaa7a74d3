//! Requests through the proxy of a service: the bytes that the proxy gets, and its
//! refusals.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{asked, bound, get};
use crate::outbound::proxy::Route;
use crate::service::transport::{HttpTransport, Received, Transport};
use crate::watch::observation::{Problem, ProblemKind};

const FAR: &str = "http://jobs.corp.example/v1/jobs/1";
const FAR_TLS: &str = "https://jobs.corp.example/v1/jobs/1";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
/// A user and a password with an `@`, as a URL has them and as HTTP Basic has them.
const USER: &str = "watcher:p%40ssword";
const BASIC: &str = "Basic d2F0Y2hlcjpwQHNzd29yZA==";

/// A proxy that a test plays.
struct Played {
    listener: TcpListener,
    address: SocketAddr,
}

impl Played {
    async fn bound() -> Self {
        let (listener, _) = bound().await;
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn transport(&self, scheme: &str, user: &str) -> HttpTransport {
        let url = format!("{scheme}://{user}{}", self.address);
        HttpTransport::by(Route::read(&url).unwrap()).unwrap()
    }

    /// Sends one request through the proxy, which gives one answer; returns the head of the
    /// request, too.
    async fn one(
        &self,
        user: &str,
        url: &str,
        answer: &str,
    ) -> (String, Result<Received, Problem>) {
        let transport = self.transport("http", user);
        let proxy = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            (String::from_utf8(head).unwrap(), stream)
        };
        let (received, (head, _stream)) = tokio::join!(transport.send(get(url), 1024), proxy);
        (head, received)
    }

    /// Expects that the proxy's answer is `unreachable`, with these words after its name.
    async fn refuses(&self, url: &str, answer: &str, words: &str) {
        let user = format!("{USER}@");
        let (_, received) = self.one(&user, url, answer).await;
        let problem = received.unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Unreachable);
        assert_eq!(problem.http_status, None);
        let begin = format!("proxy http://{} {words}", self.address);
        assert!(problem.message.starts_with(&begin), "{}", problem.message);
        for secret in ["p%40ssword", "p@ssword", BASIC] {
            assert!(!problem.message.contains(secret), "{}", problem.message);
        }
    }
}

#[tokio::test]
async fn every_request_goes_to_the_proxy() {
    let proxy = Played::bound().await;
    for url in [FAR, "http://localhost:1/x", "http://127.0.0.1:1/x"] {
        let (head, received) = proxy.one("", url, OK).await;
        assert_eq!(received.unwrap().body, b"{}".as_slice());
        assert!(
            head.starts_with(&format!("GET {url} HTTP/1.1\r\n")),
            "{head}"
        );
        assert!(!head.contains("authorization"), "{head}");
    }
}

#[tokio::test]
async fn user_and_password_go_to_the_proxy_alone() {
    let proxy = Played::bound().await;
    let user = format!("{USER}@");
    let (head, received) = proxy.one(&user, FAR, OK).await;
    assert!(received.is_ok());
    assert!(
        head.contains(&format!("proxy-authorization: {BASIC}\r\n")),
        "{head}"
    );
    // Over TLS only the proxy gets them, in the request for a tunnel.
    let (head, _) = proxy.one(&user, FAR_TLS, "HTTP/1.1 407 No\r\n\r\n").await;
    assert!(
        head.starts_with("CONNECT jobs.corp.example:443 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains(BASIC), "{head}");
}

#[tokio::test]
async fn secret_for_a_proxy_is_removed_from_the_answer() {
    let proxy = Played::bound().await;
    let echo = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{BASIC}",
        BASIC.len()
    );
    let (_, received) = proxy.one(&format!("{USER}@"), FAR, &echo).await;
    assert_eq!(received.unwrap().body, b"Basic [REDACTED]".as_slice());
}

#[tokio::test]
async fn refusals_of_a_proxy_are_not_answers_of_the_service() {
    let proxy = Played::bound().await;
    let asks = "asks for a user and a password (HTTP 407)";
    let wants_user = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    proxy.refuses(FAR, wants_user, asks).await;
    proxy.refuses(FAR_TLS, wants_user, asks).await;
    let denied = "HTTP/1.1 403 Forbidden\r\nx-squid-error: ERR_ACCESS_DENIED 0\r\n\r\n";
    let said = "refused the request: HTTP 403 (ERR_ACCESS_DENIED 0)";
    proxy.refuses(FAR, denied, said).await;
    let said = "refused the connection to https://jobs.corp.example (CONNECT)";
    proxy.refuses(FAR_TLS, denied, said).await;
}

#[tokio::test]
async fn answer_of_the_service_is_its_own_without_a_proxy() {
    let (listener, url) = bound().await;
    let transport = HttpTransport::direct().unwrap();
    let server = async {
        let mut stream = asked(&listener).await;
        let answer = "HTTP/1.1 407 Odd\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let (received, _stream) = tokio::join!(transport.send(get(&url), 1024), server);
    assert_eq!(received.unwrap().http_status.as_u16(), 407);
}

#[tokio::test]
async fn proxy_that_cannot_be_reached_is_named() {
    let proxy = Played::bound().await;
    let transports = ["http", "https", "socks5", "socks5h"].map(|it| proxy.transport(it, ""));
    let address = proxy.address;
    drop(proxy);
    for transport in transports {
        for url in [FAR_TLS, "http://127.0.0.1:1/"] {
            let problem = transport.send(get(url), 1024).await.unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Unreachable);
            let message = problem.message;
            // The name of the service is searched for on this machine with `socks5`.
            let is_name = message.contains("lookup");
            assert!(is_name || message.starts_with("proxy "), "{message}");
            assert!(message.contains(&address.to_string()), "{message}");
        }
    }
}

#[tokio::test]
async fn https_proxy_is_asked_over_tls() {
    let proxy = Played::bound().await;
    let transport = proxy.transport("https", "");
    let server = async {
        let (mut stream, _) = proxy.listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    };
    let (received, first) = tokio::join!(transport.send(get(FAR), 1024), server);
    assert_eq!(first, 0x16, "the type of a TLS handshake");
    assert_eq!(received.unwrap_err().kind, ProblemKind::Unreachable);
}

/// Reads one message of SOCKS that has this length.
async fn message(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut message = vec![0; len];
    stream.read_exact(&mut message).await.unwrap();
    message
}

/// Plays a SOCKS proxy (RFC 1928) without a user: returns the address that it was asked to
/// connect to, and answers in place of the service or refuses.
async fn socks(proxy: &Played, len: usize, reply: u8) -> (Vec<u8>, TcpStream) {
    let (mut stream, _) = proxy.listener.accept().await.unwrap();
    assert_eq!(message(&mut stream, 3).await, [5, 1, 0]);
    stream.write_all(&[5, 0]).await.unwrap();
    let wanted = message(&mut stream, len).await;
    let answer = [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
    stream.write_all(&answer).await.unwrap();
    if reply == 0 {
        stream.write_all(OK.as_bytes()).await.unwrap();
    }
    (wanted, stream)
}

#[tokio::test]
async fn socks5h_leaves_names_to_the_proxy() {
    let proxy = Played::bound().await;
    let transport = proxy.transport("socks5h", "");
    let wanted = [&[5, 1, 0, 3, 17][..], b"jobs.corp.example", &[0, 80]].concat();
    let server = socks(&proxy, wanted.len(), 0);
    let (received, (asked_for, _stream)) = tokio::join!(transport.send(get(FAR), 1024), server);
    assert_eq!(asked_for, wanted);
    assert_eq!(received.unwrap().body, b"{}".as_slice());
}

#[tokio::test]
async fn socks5_resolves_names_on_this_machine() {
    let proxy = Played::bound().await;
    let transport = proxy.transport("socks5", "");
    let server = async {
        let (mut stream, _) = proxy.listener.accept().await.unwrap();
        message(&mut stream, 3).await;
        stream.write_all(&[5, 0]).await.unwrap();
        message(&mut stream, 4).await
    };
    let (_, asked_for) = tokio::join!(transport.send(get("http://localhost:8000/"), 1024), server);
    // An address of IPv4 or of IPv6; a name would be 3.
    assert!(matches!(asked_for[3], 1 | 4), "{asked_for:?}");
}

#[tokio::test]
async fn refusal_of_a_socks_proxy_is_unreachable() {
    let proxy = Played::bound().await;
    let transport = proxy.transport("socks5h", "");
    let server = socks(&proxy, 24, 2);
    let (received, _) = tokio::join!(transport.send(get(FAR), 1024), server);
    let problem = received.unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Unreachable);
    let begin = format!("proxy socks5h://{}: ", proxy.address);
    assert!(problem.message.starts_with(&begin), "{}", problem.message);
    assert!(
        problem.message.contains("connection not allowed"),
        "{}",
        problem.message
    );
}

#[tokio::test]
async fn socks_proxy_gets_user_and_password() {
    let proxy = Played::bound().await;
    let transport = proxy.transport("socks5h", &format!("{USER}@"));
    let server = async {
        let (mut stream, _) = proxy.listener.accept().await.unwrap();
        assert_eq!(message(&mut stream, 3).await, [5, 1, 2]);
        stream.write_all(&[5, 2]).await.unwrap();
        let login = message(&mut stream, 18).await;
        stream.write_all(&[1, 1]).await.unwrap();
        (login, stream)
    };
    let (received, (login, _stream)) = tokio::join!(transport.send(get(FAR), 1024), server);
    assert_eq!(login, [&[1, 7][..], b"watcher", &[8], b"p@ssword"].concat());
    let message = received.unwrap_err().message;
    assert!(message.contains("credentials not accepted"), "{message}");
    assert!(!message.contains("p@ssword"), "{message}");
}
