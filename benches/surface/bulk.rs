//! Submissions in bulk over HTTP, beside bare `SQLite`.

use std::time::Duration;

use jobwatch::clock::SystemClock;
use rusqlite::Connection as Sqlite;
use tokio::task::JoinSet;

use crate::client;
use crate::cloud::Cloud;
use crate::daemon::Daemon;
use crate::print;

/// The number of submissions of one run.
const SUBMISSIONS: usize = 200_000;
/// The rows in a transaction of bare `SQLite`, as many as in a batch of the daemon.
const BATCH: usize = 1_000;

pub(crate) async fn measure() {
    for streams in [1, 64] {
        let daemon = Daemon::start(Cloud::default().serve().await, "").await;
        let took = submit(&daemon, streams).await;
        let figure = format!("{:.0}/s", rate(took));
        let name = format!("bulk submissions, {streams} streams");
        print(&name, &figure, "goal 50000/s");
        if streams == 1 {
            let bare = insert_again(&daemon);
            let figure = format!("{:.0}/s", rate(bare));
            let ratio = format!("ratio {:.2}", took.as_secs_f64() / bare.as_secs_f64());
            print("the same rows into bare SQLite", &figure, &ratio);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn rate(took: Duration) -> f64 {
    SUBMISSIONS as f64 / took.as_secs_f64()
}

async fn submit(daemon: &Daemon, streams: usize) -> Duration {
    let jobs: Vec<String> = (0..SUBMISSIONS).map(|n| format!("job-{n}")).collect();
    let clock = SystemClock::shared();
    let started = clock.uptime();
    let mut all = JoinSet::new();
    for part in jobs.chunks(SUBMISSIONS / streams) {
        let (part, address) = (part.to_vec(), daemon.address);
        all.spawn(async move { client::submit(address, &part).await.len() });
    }
    let counts = all.join_all().await;
    let took = clock.uptime().saturating_sub(started);
    assert_eq!(counts.into_iter().sum::<usize>(), SUBMISSIONS);
    took
}

/// Inserts the rows that the daemon has stored into a second database with the same schema.
fn insert_again(daemon: &Daemon) -> Duration {
    let source = Sqlite::open(daemon.store()).expect("the store");
    let path = daemon.folder.path().join("bare.db");
    let bare = Sqlite::open(&path).expect("a database");
    bare.pragma_update(None, "journal_mode", "WAL")
        .expect("WAL");
    bare.pragma_update(None, "synchronous", "FULL")
        .expect("FULL");
    let mut schema = source
        .prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite_%'")
        .expect("a schema");
    let statements = schema
        .query_map([], |row| row.get::<_, String>(0))
        .expect("a schema");
    for statement in statements {
        bare.execute_batch(&statement.expect("SQL"))
            .expect("a schema");
    }
    let tables: Vec<(String, Vec<Vec<rusqlite::types::Value>>)> = ["watches", "events"]
        .map(|table| (table.to_owned(), rows(&source, table)))
        .into();
    let clock = SystemClock::shared();
    let started = clock.uptime();
    for from in (0..SUBMISSIONS).step_by(BATCH) {
        bare.execute_batch("BEGIN IMMEDIATE")
            .expect("a transaction");
        for (table, rows) in &tables {
            let marks = vec!["?"; rows[0].len()].join(",");
            let sql = format!("INSERT INTO {table} VALUES ({marks})");
            let mut insert = bare.prepare_cached(&sql).expect("a statement");
            for row in &rows[from..from + BATCH] {
                insert
                    .execute(rusqlite::params_from_iter(row))
                    .expect("a row");
            }
        }
        bare.execute_batch("COMMIT").expect("a commit");
    }
    clock.uptime().saturating_sub(started)
}

fn rows(db: &Sqlite, table: &str) -> Vec<Vec<rusqlite::types::Value>> {
    let mut select = db
        .prepare(&format!("SELECT * FROM {table}"))
        .expect("a table");
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|n| row.get(n)).collect());
    rows.expect("rows").collect::<Result<_, _>>().expect("rows")
}
