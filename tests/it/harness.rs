//! The whole program around a stepped clock: real settings, a real database, and the simulator
//! and a webhook receiver on real sockets.
//!
//! [`App::advance`] moves the clock and runs the workers once. No task runs by itself, so a
//! test of hours takes milliseconds.

pub(crate) mod postgres;
pub(crate) mod receiver;
mod setup;
pub(crate) mod timing;
pub(crate) mod tls;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use jobwatch::actions::Polling;
use jobwatch::app;
use jobwatch::clock::{Clock, SteppedClock, later, until};
use jobwatch::simulator::{Ending, Faults, JobSpec, Service, SimulatorHandle};
use jobwatch::watch::evidence::Evidence;
use jobwatch::watch::observation::ProblemKind;
use jobwatch::watch::request::WatchRequest;
use jobwatch::watch::{Outcome, Progress, Watch, WatchId};

use self::receiver::Receiver;
pub(crate) use self::setup::Setup;
use self::setup::build;

/// The token in the file of the credential `sim`, unless a test writes another one.
pub(crate) const TOKEN: &str = "token-of-the-simulator";
/// The secret that signs the events for the sink `hook`.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The program, its surroundings and its clock.
pub(crate) struct App {
    pub(crate) program: app::App,
    pub(crate) clock: SteppedClock,
    pub(crate) simulator: SimulatorHandle,
    pub(crate) receiver: Receiver,
    pub(crate) tracker: TaskTracker,
    settings: String,
    folder: TempDir,
}

impl App {
    /// The program with the usual settings.
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// Stops the program in order and builds it again on the same database.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|settings| settings).await
    }

    /// As [`restart`](Self::restart), with edited settings.
    pub(crate) async fn restart_with(self, edit: impl FnOnce(String) -> String) -> Self {
        self.program.store.close().await;
        drop(self.program);
        let settings = edit(self.settings);
        Self {
            program: build(self.folder.path(), &settings, &self.clock).await,
            settings,
            ..self
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("jobwatch.db")
    }

    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes the workers do everything that is due.
    pub(crate) async fn tick(&self) {
        self.program.poller.run_once().await.unwrap();
        self.program.groups.run_once().await.unwrap();
        self.program.courier.run_once().await.unwrap();
    }

    /// Moves the clock and calls [`tick`](Self::tick).
    pub(crate) async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.tick().await;
    }

    /// Polls in steps of a second, and delivers at the end.
    pub(crate) async fn advance_secs(&self, secs: u64) {
        for _ in 0..secs {
            self.clock.advance(Duration::from_secs(1));
            self.program.poller.run_once().await.unwrap();
        }
        self.tick().await;
    }

    /// Advances to the next poll of a watch.
    pub(crate) async fn next_poll(&self, id: WatchId) {
        let due = self.progress(id).next_poll_at;
        // A watch that waits for its budget is due already.
        let step = until(self.now(), due).max(Duration::from_millis(1));
        self.advance(step).await;
    }

    /// Creates a job in the simulator and submits it.
    pub(crate) async fn watch_new(&self, spec: JobSpec) -> WatchId {
        let service = spec.service.name();
        let job_id = self.simulator.create(spec).unwrap().job_id;
        self.submit(service, &job_id).await
    }

    /// Submits a job and makes the poller see it.
    pub(crate) async fn submit(&self, service: &str, job_id: &str) -> WatchId {
        let request = WatchRequest {
            service: service.to_owned(),
            job_id: job_id.to_owned(),
            ..WatchRequest::default()
        };
        self.request(&request).await
    }

    /// As [`submit`](Self::submit), with a complete request.
    pub(crate) async fn request(&self, request: &WatchRequest) -> WatchId {
        let submitted = self.program.actions.submit(request).await.unwrap();
        assert!(submitted.is_new, "{} is watched already", request.job_id);
        self.program.poller.run_once().await.unwrap();
        submitted.watch.id
    }

    /// Sends a request to the API.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.program.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub(crate) async fn metrics(&self) -> String {
        let request = Request::get("/metrics").header(header::HOST, "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = self.program.router.clone().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    pub(crate) async fn watch(&self, id: WatchId) -> Watch {
        self.program.store.watch(id).await.unwrap().unwrap()
    }

    /// The evidence of the outcome of a watch.
    pub(crate) async fn evidence(&self, id: WatchId) -> Evidence {
        let evidence = self.program.store.evidence(id).await.unwrap();
        evidence.expect("a watch that has ended has evidence")
    }

    /// The outcome of a watch; `None` while it goes on.
    pub(crate) async fn outcome(&self, id: WatchId) -> Option<Outcome> {
        self.watch(id).await.state.outcome()
    }

    /// The numbers of a watch that is still polled.
    pub(crate) fn progress(&self, id: WatchId) -> Progress {
        let progress = self.program.poller.progress(id);
        progress.expect("the watch is on the agenda")
    }

    /// The kind of the last problem of a watch that goes on.
    pub(crate) fn last_problem(&self, id: WatchId) -> Option<ProblemKind> {
        self.progress(id).last_problem.map(|problem| problem.kind)
    }

    /// The number of polls that the simulator answered for the job of a watch.
    pub(crate) async fn polls(&self, id: WatchId) -> u64 {
        let watch = self.watch(id).await;
        self.simulator.job(&watch.job_id).unwrap().polls
    }

    /// The types of the events of a watch, without their common prefix.
    pub(crate) async fn event_types(&self, id: WatchId) -> Vec<String> {
        let events = self.program.store.events_of(id, 1000).await.unwrap();
        events
            .iter()
            .map(|event| {
                event
                    .type_name
                    .trim_start_matches("dev.jobwatch.")
                    .to_owned()
            })
            .collect()
    }

    /// The stored bodies of the events of a watch.
    pub(crate) async fn events(&self, id: WatchId) -> Vec<Value> {
        let events = self.program.store.events_of(id, 1000).await.unwrap();
        events
            .iter()
            .map(|event| serde_json::from_str(&event.body).unwrap())
            .collect()
    }

    /// Advances from poll to poll until the watch ends.
    pub(crate) async fn run_until_final(&self, id: WatchId, limit: Duration) -> Outcome {
        let last = later(self.now(), limit);
        self.tick().await;
        loop {
            if let Some(outcome) = self.outcome(id).await {
                return outcome;
            }
            assert!(self.now() < last, "still watching after {limit:?}");
            self.next_poll(id).await;
        }
    }
}

/// A job without faults.
pub(crate) fn job(service: Service, secs: u64, outcome: Ending) -> JobSpec {
    JobSpec::new(service, Duration::from_secs(secs), outcome)
}

/// A job of ten seconds that ends well, after these faults.
pub(crate) fn job_with(service: Service, faults: Faults) -> JobSpec {
    JobSpec {
        faults,
        ..job(service, 10, Ending::Succeeded)
    }
}

/// Serves `router` on a free port; returns its base URL.
pub(crate) async fn serve(router: Router, tracker: &TaskTracker) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tracker.spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Prints that a test was skipped; with `CI=true` that is a failure.
pub(crate) fn left_out(reason: &str) {
    let thread = std::thread::current();
    let said = format!("{}: {reason}", thread.name().unwrap_or_default());
    assert!(
        std::env::var_os("CI").is_none_or(|it| it != "true"),
        "{said}"
    );
    // `eprintln!` would be shown only if the test fails.
    let line = format!("\nSKIPPED {said}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
