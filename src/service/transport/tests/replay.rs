//! Tests which requests are sent again, and how often.

use tokio::task::JoinSet;

use super::http2::{Act, Asked, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, Server};
use crate::outbound;
use crate::outbound::direct::{DirectClient, tls};
use crate::outbound::proxy::Route;
use crate::service::transport::{Clients, HttpTransport, LIMITS, Received, Transport};
use crate::watch::observation::{Problem, ProblemKind};

/// Returns a transport with each client. Without TLS the version is not negotiated, so the
/// clients must know it.
fn transports() -> [HttpTransport; 2] {
    let reqwest = outbound::client().no_proxy().http2_prior_knowledge();
    let reqwest = LIMITS.set(reqwest).build().unwrap();
    let direct = DirectClient::of_http2(tls().unwrap(), LIMITS);
    [Clients::Direct(direct), Clients::Proxied(reqwest)]
        .map(|clients| HttpTransport::of(clients, Route::Direct))
}

fn request(server: &Server) -> reqwest::Request {
    reqwest::Request::new(http::Method::GET, server.url.parse().unwrap())
}

/// Has a server do `first` with the first request and answer every other.
async fn after(transport: &HttpTransport, first: Act) -> (Result<Received, Problem>, Vec<Asked>) {
    let server = Server::start(move |asked| match (asked.connection, asked.stream) {
        (1, 1) => first,
        _ => Act::Answer,
    });
    let server = server.await;
    let received = transport.send(request(&server), 1024).await;
    (received, server.asked())
}

const UNPROCESSED: Act = Act::GoAway {
    last: 0,
    error: NO_ERROR,
};

#[tokio::test]
async fn request_the_server_did_not_process_is_sent_again() {
    for transport in transports() {
        for first in [UNPROCESSED, Act::Reset(REFUSED_STREAM)] {
            let (received, asked) = after(&transport, first).await;
            assert_eq!(received.unwrap().http_status, 200, "{first:?}");
            assert_eq!(asked.len(), 2, "{first:?}");
        }
    }
}

#[tokio::test]
async fn request_that_may_be_processed_is_not_sent_again() {
    let processed = Act::GoAway {
        last: 1,
        error: NO_ERROR,
    };
    for transport in transports() {
        for first in [processed, Act::Reset(INTERNAL_ERROR), Act::Close] {
            let (received, asked) = after(&transport, first).await;
            assert_eq!(received.unwrap_err().kind, ProblemKind::Unreachable);
            assert_eq!(asked.len(), 1, "{first:?}");
        }
    }
}

#[tokio::test]
async fn request_is_sent_three_times_at_most() {
    for transport in transports() {
        for always in [UNPROCESSED, Act::Reset(REFUSED_STREAM)] {
            let server = Server::start(move |_| always).await;
            let received = transport.send(request(&server), 1024).await;
            assert_eq!(received.unwrap_err().kind, ProblemKind::Unreachable);
            assert_eq!(server.asked().len(), 3, "{always:?}");
        }
    }
}

#[tokio::test]
async fn request_with_a_body_is_sent_again_with_it() {
    for transport in transports() {
        let server = Server::start(|asked| match asked.connection {
            1 => UNPROCESSED,
            _ => Act::Answer,
        });
        let server = server.await;
        let mut post = request(&server);
        *post.method_mut() = http::Method::POST;
        *post.body_mut() = Some("question".into());
        transport.send(post, 1024).await.unwrap();
        let bodies: Vec<_> = server.asked().into_iter().map(|it| it.body).collect();
        assert_eq!(bodies, [b"question", b"question"]);
    }
}

/// As a gateway that limits the number of requests on one connection.
#[tokio::test]
async fn server_that_closes_after_three_requests_answers_every_poll() {
    const STREAM_MAX: u32 = 5;
    for transport in transports() {
        let server = Server::start(|asked| match asked.stream {
            // The streams of a client are 1, 3, 5, …
            ..=STREAM_MAX => Act::Answer,
            _ => Act::GoAway {
                last: STREAM_MAX,
                error: NO_ERROR,
            },
        });
        let server = server.await;
        let mut polls = JoinSet::new();
        for _ in 0..2 {
            let (transport, url) = (transport.clone(), server.url.clone());
            polls.spawn(async move {
                for poll in 0..50 {
                    let request = reqwest::Request::new(http::Method::GET, url.parse().unwrap());
                    let received = transport.send(request, 1024).await;
                    assert!(received.is_ok(), "poll {poll}: {received:?}");
                }
            });
        }
        polls.join_all().await;
        let answered = server
            .asked()
            .iter()
            .filter(|it| it.stream <= STREAM_MAX)
            .count();
        assert_eq!(answered, 100);
    }
}
