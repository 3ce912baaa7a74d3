//! A server on a real socket that answers as the test says and records its requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use http::{HeaderMap, Method, Response, Uri};
use jiff::{SignedDuration, Timestamp};
use jobwatch::clock::{Clock, SteppedClock};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) at: Timestamp,
    pub(super) method: Method,
    /// The path with the query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        let own = self.path.split('?').next().unwrap();
        self.method.as_str() == method && own == path
    }
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(super) fn new(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string())
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// A refusal of the API gateway.
    pub(super) fn gateway(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "error_code": code, "error_msg": message, "request_id": "r" });
        Self::new(status, &body)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Usual = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;
type Instead = Arc<dyn Fn(&Asked) -> Option<Answer> + Send + Sync>;

struct Inside {
    clock: SteppedClock,
    usual: Usual,
    instead: Mutex<Option<Instead>>,
    asked: Mutex<Vec<Asked>>,
    refused: AtomicUsize,
    ahead_s: AtomicI64,
    /// True while answers are held back.
    issued: watch::Sender<bool>,
}

/// The server, seen from the test.
#[derive(Clone)]
pub(super) struct Stand {
    pub(super) url: String,
    address: SocketAddr,
    inside: Arc<Inside>,
    open: Arc<Mutex<Option<Open>>>,
}

/// The tasks that run while the server can be reached.
struct Open {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Stand {
    /// A server that takes its `Date` from `clock`.
    pub(super) fn start(
        clock: &SteppedClock,
        usual: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let socket = bound(([127, 0, 0, 1], 0).into());
        let address = socket.local_addr().unwrap();
        let stand = Self {
            url: format!("http://{address}"),
            address,
            inside: Arc::new(Inside {
                clock: clock.clone(),
                usual: Box::new(usual),
                instead: Mutex::default(),
                asked: Mutex::default(),
                refused: AtomicUsize::new(0),
                ahead_s: AtomicI64::new(0),
                issued: watch::Sender::new(false),
            }),
            open: Arc::default(),
        };
        stand.listen(socket);
        stand
    }

    /// Answers as the closure says; without an answer from it, as usual.
    pub(super) fn instead(
        &self,
        answer: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) {
        *self.inside.instead.lock().unwrap() = Some(Arc::new(answer));
    }

    /// Gives this answer to every request.
    pub(super) fn always(&self, answer: Answer) {
        self.instead(move |_| Some(answer.clone()));
    }

    /// Answers every request as usual again.
    pub(super) fn as_usual(&self) {
        *self.inside.instead.lock().unwrap() = None;
    }

    /// Sets its clock ahead of ours.
    pub(super) fn go_ahead(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap();
        self.inside.ahead_s.store(seconds, Ordering::Relaxed);
    }

    /// The time on its clock.
    pub(super) fn now(&self) -> Timestamp {
        self.inside.now()
    }

    /// Holds answers back, or releases them.
    pub(super) fn hold(&self, is_held: bool) {
        self.inside.issued.send_replace(is_held);
    }

    /// All requests, in order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.inside.asked.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Asked {
        self.asked().pop().expect("it was asked something")
    }

    /// The number of requests.
    pub(super) fn count(&self) -> usize {
        self.inside.asked.lock().unwrap().len()
    }

    /// The number of requests with this method and path.
    pub(super) fn count_of(&self, method: &str, path: &str) -> usize {
        let asked = self.inside.asked.lock().unwrap();
        asked.iter().filter(|it| it.is(method, path)).count()
    }

    /// The number of answers with status 401.
    pub(super) fn refused(&self) -> usize {
        self.inside.refused.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        self.inside.asked.lock().unwrap().clear();
    }

    /// Refuses connections until the returned value reopens it.
    pub(super) async fn close(&self) -> Closed {
        let open = self.open.lock().unwrap().take().unwrap();
        open.stop.cancel();
        open.tracker.close();
        open.tracker.wait().await;
        // Bound and not listening: connections are refused, and no other process gets the port.
        Closed {
            stand: self.clone(),
            socket: bound(self.address),
        }
    }

    fn listen(&self, socket: TcpSocket) {
        let listener = socket.listen(1024).unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&self.inside));
        let open = Open {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let stopped = open.stop.clone().cancelled_owned();
        open.tracker.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await
        });
        *self.open.lock().unwrap() = Some(open);
    }
}

/// A server that refuses connections.
pub(super) struct Closed {
    stand: Stand,
    socket: TcpSocket,
}

impl Closed {
    pub(super) fn reopen(self) {
        self.stand.listen(self.socket);
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Inside {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead_s.load(Ordering::Relaxed));
        self.clock.now() + ahead
    }
}

async fn answer(
    State(inside): State<Arc<Inside>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let asked = Asked {
        at: inside.clock.now(),
        method,
        path: uri.path_and_query().unwrap().to_string(),
        headers,
        body,
    };
    inside.asked.lock().unwrap().push(asked.clone());
    let mut issued = inside.issued.subscribe();
    issued.wait_for(|is_held| !is_held).await.unwrap();
    let instead = inside.instead.lock().unwrap().clone();
    let answer = instead
        .and_then(|instead| instead(&asked))
        .unwrap_or_else(|| (inside.usual)(&asked));
    if answer.status == 401 {
        inside.refused.fetch_add(1, Ordering::Relaxed);
    }
    let date = httpdate::fmt_http_date(inside.now().into());
    let mut response = Response::builder()
        .status(answer.status)
        .header("date", date);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
