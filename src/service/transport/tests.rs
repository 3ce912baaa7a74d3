//! The HTTP transport against servers on real sockets, with a clock that is stepped.

mod alike;
mod http2;
mod proxies;
mod replay;

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, advance};

use super::*;

/// The value of `request_timeout` in the tests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";

/// Returns a transport with each client: the direct one, and that for proxies, here without one.
fn transports() -> [HttpTransport; 2] {
    let reqwest = LIMITS.set(outbound::client().no_proxy()).build().unwrap();
    let proxied = HttpTransport::of(Clients::Proxied(reqwest), Route::Direct);
    [HttpTransport::direct().unwrap(), proxied]
}

/// Returns the same transports with another configuration of TLS.
fn transports_with(tls: rustls::ClientConfig) -> [HttpTransport; 2] {
    let direct = DirectClient::new(tls.clone(), LIMITS);
    let reqwest = LIMITS.set(outbound::client().no_proxy());
    let reqwest = reqwest.tls_backend_preconfigured(tls).build().unwrap();
    [Clients::Direct(direct), Clients::Proxied(reqwest)]
        .map(|clients| HttpTransport::of(clients, Route::Direct))
}

async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

fn get(url: &str) -> reqwest::Request {
    let mut request = reqwest::Request::new(http::Method::GET, url.parse().unwrap());
    *request.timeout_mut() = Some(REQUEST_TIMEOUT);
    request
}

#[expect(
    clippy::disallowed_methods,
    reason = "the limits of the client run on the clock of the runtime, which the test pauses"
)]
fn paused_clock() -> Instant {
    Instant::now()
}

/// Accepts one connection and reads one request.
async fn asked(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

#[tokio::test(start_paused = true)]
async fn head_may_take_as_long_as_the_request() {
    for transport in transports() {
        let (listener, url) = bound().await;
        let server = async {
            let mut stream = asked(&listener).await;
            advance(Duration::from_secs(12)).await;
            stream.write_all(HEAD).await.unwrap();
            advance(Duration::from_secs(9)).await;
            stream.write_all(b"{}").await.unwrap();
            stream
        };
        let (received, _stream) = tokio::join!(transport.send(get(&url), 1024), server);
        assert_eq!(received.unwrap().body, b"{}".as_slice());
    }
}

#[tokio::test(start_paused = true)]
async fn head_that_never_comes_ends_at_request_timeout() {
    for transport in transports() {
        let (listener, url) = bound().await;
        let started = paused_clock();
        let (received, _stream) = tokio::join!(transport.send(get(&url), 1024), asked(&listener));
        let problem = received.unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Unreachable);
        assert_eq!(started.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_falls_silent_ends_at_the_idle_limit() {
    for transport in transports() {
        let (listener, url) = bound().await;
        let started = paused_clock();
        let server = async {
            let mut stream = asked(&listener).await;
            stream.write_all(HEAD).await.unwrap();
            stream.write_all(b"{").await.unwrap();
            stream
        };
        let (received, _stream) = tokio::join!(transport.send(get(&url), 1024), server);
        let problem = received.unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Unreachable);
        assert_eq!(problem.http_status, Some(200));
        assert_eq!(problem.message, "the answer broke off: no data for 10s");
        assert_eq!(started.elapsed().as_secs(), body::IDLE_TIMEOUT.as_secs());
    }
}
