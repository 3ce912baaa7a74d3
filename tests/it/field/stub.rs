//! The stub: two origins that answer by steps and remember each request.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri, header};
use jobwatch::clock::SharedClock;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::filler::Filler;

/// The answer to a request that no key names.
const NO_SUCH_PATH: &str =
    r#"{"error":{"code":"no_such_path","message":"the stub does not have this path"}}"#;

/// One answer, and how long it is given: for `hits` requests, for `seconds`, or with `hold` until
/// the case says `next`. The last step lasts for ever.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    hits: Option<u64>,
    seconds: Option<f64>,
    hold: bool,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    #[serde(rename = "type")]
    content_type: Option<String>,
    /// Seconds before the answer.
    delay: Option<f64>,
    json: Option<String>,
    text: Option<String>,
    hex: Option<String>,
}

impl Step {
    pub(super) fn check(&self, is_last: bool) -> Result<(), String> {
        let lengths = [self.hits.is_some(), self.seconds.is_some(), self.hold];
        let bodies = [self.json.is_some(), self.text.is_some(), self.hex.is_some()];
        let count = |of: [bool; 3]| of.into_iter().filter(|it| *it).count();
        if count(lengths) != usize::from(!is_last) {
            return Err("all steps but the last need one of hits, seconds, hold".to_owned());
        }
        if count(bodies) > 1 {
            return Err("a step has one of json, text, hex".to_owned());
        }
        if let Some(json) = &self.json {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(json);
            read.map_err(|error| format!("json: {error}"))?;
        }
        if let Some(hex) = &self.hex {
            bytes_of(hex).ok_or("hex: not an even number of digits")?;
        }
        Ok(())
    }

    /// Its body and the content type that goes with it.
    fn body(&self, filler: &Filler) -> (Vec<u8>, &'static str) {
        if let Some(json) = &self.json {
            (filler.fill(json).into_bytes(), "application/json")
        } else if let Some(hex) = &self.hex {
            (bytes_of(hex).unwrap(), "application/json")
        } else {
            let text = self.text.as_deref().unwrap_or_default();
            (filler.fill(text).into_bytes(), "text/plain")
        }
    }

    fn response(&self, filler: &Filler) -> Response {
        let (body, usual_type) = self.body(filler);
        let content_type = self.content_type.as_deref().unwrap_or(usual_type);
        let mut response = Response::builder()
            .status(self.status.unwrap_or(200))
            .header(header::CONTENT_TYPE, content_type);
        for (name, value) in &self.headers {
            response = response.header(name, filler.fill(value));
        }
        response.body(Body::from(body)).unwrap()
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = hex.chars().filter(|it| !it.is_whitespace()).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok())
        .collect::<Option<Vec<u8>>>()
        .filter(|_| digits.len().is_multiple_of(2))
}

/// The steps of one key, and the place in them.
struct Lane {
    steps: Vec<Step>,
    at: usize,
    hits: u64,
    /// The time at which the present step began: its first request, or the end of the step before.
    since: Option<Duration>,
}

impl Lane {
    fn new(steps: &[Step]) -> Self {
        Self {
            steps: steps.to_vec(),
            at: 0,
            hits: 0,
            since: None,
        }
    }

    fn answer(&mut self, now: Duration) -> Step {
        self.since.get_or_insert(now);
        while self.at + 1 < self.steps.len() && self.is_over(now) {
            self.advance(now);
        }
        self.hits += 1;
        self.steps[self.at].clone()
    }

    fn is_over(&self, now: Duration) -> bool {
        let step = &self.steps[self.at];
        let spent = now.saturating_sub(self.since.unwrap_or(now));
        step.hits.is_some_and(|hits| self.hits >= hits)
            || step
                .seconds
                .is_some_and(|seconds| spent >= Duration::from_secs_f64(seconds))
    }

    fn advance(&mut self, now: Duration) {
        let lasted = self.steps[self.at].seconds.map(Duration::from_secs_f64);
        let end = self.since.zip(lasted).map(|(since, lasted)| since + lasted);
        self.since = Some(end.unwrap_or(now));
        self.at = (self.at + 1).min(self.steps.len() - 1);
        self.hits = 0;
    }
}

/// A request as the stub got it.
#[derive(Clone)]
pub(super) struct Asked {
    /// Origin, method and path: `other GET /x`.
    key: String,
    /// The same, with the query.
    target: String,
    pub(super) at: Duration,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Asked {
    /// Whether `key` names it: exactly, without its query, or by a beginning that ends in `*`.
    fn is_named(&self, key: &str) -> bool {
        match key.strip_suffix('*') {
            Some(begin) => self.target.starts_with(begin),
            None => key == self.key || key == self.target,
        }
    }
}

struct Script {
    lanes: BTreeMap<String, Lane>,
    asked: Vec<Asked>,
}

struct Shared {
    state: Mutex<Script>,
    changed: Condvar,
    filler: Filler,
    clock: SharedClock,
}

/// The stub and the other origin.
pub(super) struct Stub {
    shared: Arc<Shared>,
    servers: Vec<JoinHandle<()>>,
}

/// A free port for one origin.
pub(super) struct Origin {
    listener: TcpListener,
    pub(super) url: String,
}

impl Origin {
    pub(super) fn bind(runtime: &Runtime) -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(bound).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }
}

impl Stub {
    /// Serves the steps at the two origins.
    pub(super) fn serve(
        steps: &BTreeMap<String, Vec<Step>>,
        origins: [Origin; 2],
        filler: Filler,
        clock: SharedClock,
        runtime: &Runtime,
    ) -> Self {
        let lanes = steps
            .iter()
            .map(|(key, steps)| (key.clone(), Lane::new(steps)))
            .collect();
        let shared = Arc::new(Shared {
            state: Mutex::new(Script {
                lanes,
                asked: Vec::new(),
            }),
            changed: Condvar::new(),
            filler,
            clock,
        });
        let servers = origins.into_iter().zip(["", "other "]);
        let servers = servers
            .map(|(origin, prefix)| {
                let router = Router::new()
                    .fallback(answer)
                    .with_state((Arc::clone(&shared), prefix));
                runtime.spawn(async {
                    // It ends when the stub is dropped.
                    let _ = axum::serve(origin.listener, router).await;
                })
            })
            .collect();
        Self { shared, servers }
    }

    pub(super) fn filler(&self) -> &Filler {
        &self.shared.filler
    }

    /// Goes on to the next step of a key.
    pub(super) fn next(&self, key: &str) -> Result<(), String> {
        let mut state = self.shared.state.lock().unwrap();
        let lane = state
            .lanes
            .get_mut(key)
            .ok_or(format!("next: the stub has no `{key}`"))?;
        lane.advance(self.shared.clock.uptime());
        Ok(())
    }

    /// The requests that a key names; see [`Asked::is_named`].
    pub(super) fn asked(&self, key: &str) -> Vec<Asked> {
        self.shared.state.lock().unwrap().of(key)
    }

    /// Waits until a key was asked so often, but not longer than `limit`.
    pub(super) fn wait(&self, key: &str, hits: usize, limit: Duration) {
        let state = self.shared.state.lock().unwrap();
        let is_early = |state: &mut Script| state.of(key).len() < hits;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, limit, is_early);
        drop(waited.unwrap());
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

impl Script {
    fn of(&self, key: &str) -> Vec<Asked> {
        self.asked
            .iter()
            .filter(|asked| asked.is_named(key))
            .cloned()
            .collect()
    }

    /// Remembers the request and chooses its step.
    fn take(&mut self, asked: Asked) -> Option<Step> {
        let keys = [&asked.target, &asked.key];
        let key = keys
            .into_iter()
            .find(|key| self.lanes.contains_key(*key))
            .cloned();
        let now = asked.at;
        self.asked.push(asked);
        Some(self.lanes.get_mut(&key?)?.answer(now))
    }
}

async fn answer(
    State((shared, prefix)): State<(Arc<Shared>, &'static str)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.path_and_query().map_or("/", |it| it.as_str());
    let texts = headers.iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let asked = Asked {
        key: format!("{prefix}{method} {}", uri.path()),
        target: format!("{prefix}{method} {target}"),
        at: shared.clock.uptime(),
        headers: texts.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let step = shared.state.lock().unwrap().take(asked);
    shared.changed.notify_all();
    let step = step.unwrap_or_else(|| Step {
        status: Some(404),
        json: Some(NO_SUCH_PATH.to_owned()),
        ..Step::default()
    });
    if let Some(delay) = step.delay {
        let never = tokio::time::timeout(Duration::from_secs_f64(delay), pending::<()>());
        let _ = never.await;
    }
    step.response(&shared.filler)
}
