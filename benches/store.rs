//! The cost of durability: submissions and completions a second, beside bare `SQLite`
//! inserts of the same rows in the same run.
//!
//! *Submissions* go through the store in batches, as a bulk submission does: a few, and so many
//! that the indexes are larger than the caches. *Completions*
//! commit a transition with its event and its delivery, each awaited like a poll's, and are
//! delivered as signed webhooks to a receiver on this machine until no delivery is pending.
//! *Bare* inserts the resulting rows into a database with the same schema and the same
//! pragmas: submissions in the same batches, completions in transactions of as many as were
//! under way. It neither builds nor sends nor updates anything.
//!
//! The figures are wall time, since the disk decides. The two kinds alternate; the median of
//! each is printed.
//!
//! `cargo bench --bench store` prints the figures and the ratios.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jobwatch::app::App;
use jobwatch::clock::SystemClock;
use jobwatch::lifecycle::Lifecycle;
use jobwatch::settings;
use jobwatch::store::{SharedStore, Submission};
use jobwatch::tree::source::Sources;
use jobwatch::watch::change::Change;
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::event::{Event, EventKind, Instance};
use jobwatch::watch::evidence::Evidence;
use jobwatch::watch::request::WatchRequest;
use jobwatch::watch::{Outcome, State};
use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, LocalSet};

/// The number of watches in one run.
const WATCHES: usize = 10_000;
/// The number of submissions in bulk.
const BULK: usize = 100_000;
/// The body that proves each end.
const BODY: &str = r#"{"job_id":"ff8080826b45d4a5016b5036","status":"SUCCESS","entities":{}}"#;
/// The number of submissions in one transaction.
const BATCH: usize = 1_000;
/// The number of completions at the same time, as many as the polls of a few services.
const UNDER_WAY: usize = 64;
/// The number of runs; the first does not count.
const RUNS: usize = 4;

fn main() {
    // `cargo test --all-targets` passes `--test`: nothing is measured then.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let receiver = receive();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let runs: Vec<Run> = (0..RUNS)
        .map(|_| runtime.block_on(run(receiver)))
        .skip(1)
        .collect();
    let median = |figure: fn(&Run) -> Duration| {
        let mut figures: Vec<Duration> = runs.iter().map(figure).collect();
        figures.sort();
        figures[figures.len() / 2]
    };
    print(&line(
        BULK,
        &format!("{BULK} submissions, {BATCH} a batch"),
        median(|run| run.bulk),
        median(|run| run.bare_bulk),
    ));
    print(&line(
        WATCHES,
        &format!("{WATCHES} submissions, {BATCH} a batch"),
        median(|run| run.submissions),
        median(|run| run.bare_submissions),
    ));
    print(&line(
        WATCHES,
        &format!("completions, {UNDER_WAY} at once, delivered"),
        median(|run| run.completions),
        median(|run| run.bare_completions),
    ));
}

/// The wall time of each part of one run.
struct Run {
    bulk: Duration,
    bare_bulk: Duration,
    submissions: Duration,
    bare_submissions: Duration,
    completions: Duration,
    bare_completions: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn line(watches: usize, part: &str, ours: Duration, bare: Duration) -> String {
    let a_second = |took: Duration| watches as f64 / took.as_secs_f64();
    format!(
        "{part:<40} ours {:>8.0}/s   bare SQLite {:>8.0}/s   ratio {:5.2}",
        a_second(ours),
        a_second(bare),
        ours.as_secs_f64() / bare.as_secs_f64()
    )
}

async fn run(receiver: SocketAddr) -> Run {
    let clock = SystemClock::shared();
    let (bulk, bare_bulk) = run_bulk(receiver).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = build(receiver, folder.path()).await;
    let submissions = prepare(&app, WATCHES);
    let before = clock.uptime();
    submit(&app.store, submissions.clone()).await;
    let took_submissions = clock.uptime().saturating_sub(before);
    let rows = rows_of(folder.path());
    let bare_submissions = insert(&folder.path().join("bare-1.db"), &rows, BATCH);

    let before = clock.uptime();
    complete(&app, submissions).await;
    let completions = clock.uptime().saturating_sub(before);
    let known = rows.len_of_each();
    app.store.close().await;
    let rows = rows_of(folder.path()).without(&known);
    Run {
        bulk,
        bare_bulk,
        submissions: took_submissions,
        bare_submissions,
        completions,
        bare_completions: insert(&folder.path().join("bare-2.db"), &rows, UNDER_WAY),
    }
}

async fn run_bulk(receiver: SocketAddr) -> (Duration, Duration) {
    let clock = SystemClock::shared();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = build(receiver, folder.path()).await;
    let submissions = prepare(&app, BULK);
    let before = clock.uptime();
    submit(&app.store, submissions).await;
    let took = clock.uptime().saturating_sub(before);
    let rows = rows_of(folder.path());
    let bare = insert(&folder.path().join("bare.db"), &rows, BATCH);
    app.store.close().await;
    (took, bare)
}

async fn build(receiver: SocketAddr, folder: &Path) -> App {
    let config = folder.join("jobwatch.toml");
    let text = format!(
        r#"
        [store]
        url = "sqlite://{}"
        [services.sdrs]
        definition = "sdrs"
        url = "http://127.0.0.1:9"
        credential = "none"
        params = {{ project_id = "0123456789abcdef0123456789abcdef" }}
        [sinks.log]
        events = ["job.held"]
        [sinks.hook]
        kind = "webhook"
        url = "http://{receiver}/"
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        events = ["finished"]
        "#,
        folder.join("jobwatch.db").display(),
    );
    std::fs::write(&config, text).expect("a configuration");
    let loaded = settings::load(&Sources {
        files: vec![config],
        ..Sources::default()
    });
    let settings = loaded
        .unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
        .settings;
    App::build(settings, SystemClock::shared(), Lifecycle::default())
        .await
        .expect("an app")
}

fn prepare(app: &App, count: usize) -> Vec<Change> {
    let submission = |n: usize| {
        let request = WatchRequest {
            service: "sdrs".to_owned(),
            job_id: format!("ff8080826b45d4a5016b5036{n:08x}"),
            labels: [("deploy".to_owned(), n.to_string())].into(),
            ..WatchRequest::default()
        };
        app.actions.prepare(&request).expect("a valid request")
    };
    (0..count).map(submission).collect()
}

async fn submit(store: &SharedStore, mut submissions: Vec<Change>) {
    while !submissions.is_empty() {
        let rest = submissions.split_off(BATCH.min(submissions.len()));
        let batch = submissions.into_iter().map(|change| Submission {
            change,
            accepts_ended: true,
            group_size: None,
        });
        let batch = batch.collect();
        store.submit(batch).await.expect("a store that works");
        submissions = rest;
    }
}

/// Ends every watch, a limited number at once, and delivers until no delivery is pending.
async fn complete(app: &App, submissions: Vec<Change>) {
    let mut under_way = JoinSet::new();
    for submission in submissions {
        if under_way.len() == UNDER_WAY {
            under_way.join_next().await;
        }
        let store = Arc::clone(&app.store);
        under_way.spawn(async move { end(&store, submission).await });
        // Deliveries are made at the same time, as by the courier of the daemon.
        if under_way.len() == 1 {
            let courier = app.courier.clone();
            under_way.spawn(async move {
                courier.run_once().await.expect("a store that works");
            });
        }
    }
    under_way.join_all().await;
    let pending = async || {
        let backlog = app.store.backlog().await.expect("a store that works");
        backlog.iter().map(|sink| sink.pending).sum::<u64>()
    };
    while pending().await > 0 {
        app.courier.run_once().await.expect("a store that works");
    }
}

async fn end(store: &SharedStore, submission: Change) {
    let kind = EventKind::Finished(Outcome::Succeeded);
    let mut watch = submission.watch;
    let now = SystemClock::shared().now();
    watch.state = State::Final(Outcome::Succeeded);
    watch.finished_at = Some(now);
    watch.polls = 7;
    watch.revision += 1;
    let transition = Change {
        event: Event::of(&watch, kind, &Instance("bench".to_owned()), now),
        owed: vec![Owed::to("hook")],
        watch,
        evidence: Some(Evidence::of(now, 200, BODY.as_bytes(), false)),
    };
    store.apply(transition).await.expect("a store that works");
}

/// The rows of each table, and the statements that make the tables.
struct Rows {
    schema: Vec<String>,
    tables: [Vec<Vec<Value>>; TABLES.len()],
}

const TABLES: [&str; 5] = ["watches", "events", "deliveries", "attempts", "evidence"];

fn rows_of(folder: &Path) -> Rows {
    let database = Connection::open(folder.join("jobwatch.db")).expect("the database");
    let mut schema = database
        .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        .expect("a schema");
    let schema = schema.query_map([], |row| row.get(0)).expect("a schema");
    let schema = schema.map(|sql| sql.expect("a statement")).collect();
    let tables = TABLES.map(|table| {
        let mut statement = database
            .prepare(&format!("SELECT * FROM {table} ORDER BY 1"))
            .expect("a table");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|n| row.get(n)).collect());
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    });
    Rows { schema, tables }
}

impl Rows {
    fn len_of_each(&self) -> [usize; TABLES.len()] {
        std::array::from_fn(|n| self.tables[n].len())
    }

    /// Returns the rows that came after those of `known`; all rows of watches, since each was
    /// changed.
    fn without(mut self, known: &[usize; TABLES.len()]) -> Self {
        for (table, known) in self.tables.iter_mut().zip(known).skip(1) {
            table.drain(..known);
        }
        self
    }
}

/// Inserts the rows of `at_once` watches in each transaction, with their rows in other tables.
fn insert(path: &Path, rows: &Rows, at_once: usize) -> Duration {
    let mut database = Connection::open(path).expect("a database");
    database
        .execute_batch(&rows.schema.join(";"))
        .expect("the schema");
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;
             PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -16384;",
        )
        .expect("the pragmas");
    let clock = SystemClock::shared();
    let before = clock.uptime();
    let transactions = rows.tables[0].len().div_ceil(at_once);
    for n in 0..transactions {
        let transaction = database.transaction().expect("a transaction");
        for (table, rows) in TABLES.iter().zip(&rows.tables) {
            let share = rows.len().div_ceil(transactions);
            let rows = rows.iter().skip(n * share).take(share);
            for row in rows {
                let places = vec!["?"; row.len()].join(", ");
                transaction
                    .prepare_cached(&format!("INSERT INTO {table} VALUES ({places})"))
                    .and_then(|mut insert| insert.execute(rusqlite::params_from_iter(row)))
                    .expect("an insert");
            }
        }
        transaction.commit().expect("a commit");
    }
    clock.uptime().saturating_sub(before)
}

/// Starts a receiver on a thread of its own. It accepts every request.
fn receive() -> SocketAddr {
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
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(take)),
                );
            }
        }));
    });
    receiver.recv().expect("an address")
}

async fn take(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Empty::new());
    *response.status_mut() = hyper::StatusCode::NO_CONTENT;
    Ok(response)
}

fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
