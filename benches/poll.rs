//! The cost of one poll: our whole path beside a bare client, in one run.
//!
//! Both ask the same in-process server, over the same number of keep-alive connections,
//! for the same 264-byte body, and send the same headers. *Bare* is a reqwest GET and
//! `serde_json::from_slice::<Value>`. *Ours* is everything the daemon does for a poll that
//! shows nothing new: agenda, budget, request from the definition, credential, bounded
//! read, reading by the definition, decision, next due time.
//!
//! The figure is the CPU time of the thread that runs the client; the server has its own
//! thread. The two kinds alternate, because machines drift; the median of each is printed.
//!
//! `cargo bench --bench poll` prints the figures and the ratio; the goal is 1.5.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jobwatch::app::App;
use jobwatch::clock::SteppedClock;
use jobwatch::lifecycle::Lifecycle;
use jobwatch::tree::source::Sources;
use jobwatch::watch::request::WatchRequest;
use jobwatch::{outbound, settings};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// The number of polls in flight, and so of connections.
const CONCURRENCY: usize = 64;
/// The number of watches; each run polls all of them once.
const WATCHES: usize = 2_000;
/// The number of runs of each kind.
const RUNS: usize = 15;
/// The number of first runs that do not count: they make connections and fill caches.
const WARM_UP: usize = 3;
const TOKEN: &str = "MIIDkgYJKoZIhvcNAQcCoIIDgzCCA38CAQExDTALBglghkgBZQMEAgEwgXXXXX";

fn main() {
    // `cargo test --all-targets` passes `--test`: nothing is measured then.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let server = serve();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(LocalSet::new().run_until(measure(server)));
}

async fn measure(server: SocketAddr) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = SteppedClock::at(Timestamp::UNIX_EPOCH);
    let app = watching(server, folder.path(), &clock).await;
    let client = outbound::client().build().expect("a client");
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + RUNS {
        let bare_cost = run_bare(&client, server).await;
        let our_cost = run_ours(&app, &clock).await;
        if run >= WARM_UP {
            bare.push(bare_cost);
            ours.push(our_cost);
        }
    }
    let (bare, ours) = (median(bare), median(ours));
    print(&format!(
        "CPU per poll, {CONCURRENCY} connections, {WATCHES} watches, median of {RUNS} runs\n\
         bare reqwest GET + parse   {bare:7.2} µs\n\
         whole path of a poll       {ours:7.2} µs\n\
         ratio                      {:7.2}      (goal: at most 1.50)",
        ours / bare
    ));
}

/// Builds the parts of the daemon, with a budget that never delays a poll.
async fn watching(server: SocketAddr, folder: &Path, clock: &SteppedClock) -> App {
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).expect("a token file");
    let config = folder.join("jobwatch.toml");
    let text = format!(
        r#"
        [store]
        url = "sqlite://{}"
        [credentials.bench]
        kind = "token"
        token_file = "{}"
        [services.sdrs]
        definition = "sdrs"
        url = "http://{server}"
        credential = "bench"
        params = {{ project_id = "0123456789abcdef0123456789abcdef" }}
        rate = 100000
        burst = 1000000
        concurrency = {CONCURRENCY}
        "#,
        folder.join("jobwatch.db").display(),
        token.display(),
    );
    std::fs::write(&config, text).expect("a configuration");
    let loaded = settings::load(&Sources {
        files: vec![config],
        ..Sources::default()
    })
    .expect("a valid configuration");
    let app = App::build(
        loaded.settings,
        Arc::new(clock.clone()),
        Lifecycle::default(),
    )
    .await
    .expect("an app");
    for n in 0..WATCHES {
        let request = WatchRequest {
            service: "sdrs".to_owned(),
            job_id: job_id(n),
            deadline: Some("8000h".to_owned()),
            ..WatchRequest::default()
        };
        app.actions.submit(&request).await.expect("a watch");
    }
    // This puts the watches on the agenda; none is due yet.
    app.poller.run_once().await.expect("a store that works");
    app
}

fn job_id(n: usize) -> String {
    format!("ff8080826b45d4a5016b5036{n:08x}")
}

/// Makes all polls with the bare client. Returns the CPU time of one, in microseconds.
async fn run_bare(client: &reqwest::Client, server: SocketAddr) -> f64 {
    let before = cpu_time();
    let tasks: Vec<_> = (0..CONCURRENCY)
        .map(|first| {
            let client = client.clone();
            tokio::task::spawn_local(async move {
                for n in (first..WATCHES).step_by(CONCURRENCY) {
                    bare_poll(&client, server, n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a bare client that works");
    }
    per_poll(before)
}

async fn bare_poll(client: &reqwest::Client, server: SocketAddr, n: usize) {
    let url = format!(
        "http://{server}/v1/0123456789abcdef0123456789abcdef/jobs/{}",
        job_id(n)
    );
    let body = client
        .get(url)
        .header("content-type", "application/json")
        .header("x-auth-token", TOKEN)
        .timeout(Duration::from_secs(30))
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("a body");
    let value: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(value["status"], "RUNNING");
}

/// Makes all polls with the poller. Returns the CPU time of one, in microseconds.
async fn run_ours(app: &App, clock: &SteppedClock) -> f64 {
    clock.advance(Duration::from_mins(2));
    let before = cpu_time();
    let polls = app.poller.run_once().await.expect("a store that works");
    let cost = per_poll(before);
    assert_eq!(polls, WATCHES as u64, "every watch is due in every run");
    cost
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("a time that has passed"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn per_poll(before: Duration) -> f64 {
    cpu_time().saturating_sub(before).as_secs_f64() * 1e6 / WATCHES as f64
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

/// Starts a server on a thread of its own. It always answers that the job is running.
fn serve() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(LocalSet::new().run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
            sender
                .send(listener.local_addr().expect("an address"))
                .expect("the receiver waits for the address");
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let _ = socket.set_nodelay(true);
                tokio::task::spawn_local(
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service_fn(answer)),
                );
            }
        }));
    });
    receiver.recv().expect("an address")
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let job_id = request.uri().path().rsplit('/').next().unwrap_or_default();
    let body = format!(
        r#"{{"status":"RUNNING","entities":{{"server_group_id":"a59d008e-4bad-4bf3-9b17-6cc25e7da483"}},"job_id":"{job_id}","job_type":"createProtectionGroupNoCG","begin_time":"2018-04-19T01:55:30.443Z","end_time":"","error_code":null,"fail_reason":null}}"#
    );
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a response of constant parts"))
}

fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
