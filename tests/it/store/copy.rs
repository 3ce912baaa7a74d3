//! Copies of whole databases between `SQLite` and PostgreSQL, and what `db check` and `db prune` do on
//! a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jobwatch::store::copy::copy;
use jobwatch::store::inspection::{Inspection, Users};
use jobwatch::store::postgres::inspection::inspect;
use jobwatch::store::postgres::prune_command;
use jobwatch::store::tables::TABLES;
use jobwatch::store::{
    Applied, AttemptRecord, Expiry, Pruned, Settlement, SharedStore, StoreError, postgres, sqlite,
};
use jobwatch::watch::blindness::{BlindPeriod, Reported};
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, Watch};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::store::Database;
use crate::store::postgres::TestDatabase;
use crate::store::retention::{DAY, before, ended, prune};
use crate::store::samples::{
    accepted, at, change, end, event_without_watch, grouped, submission, transition, watch,
};
use crate::store::sqlite::opened;

/// What a copy has beside the rows of the tables.
const OTHERS: [&str; 3] = [
    "SELECT seq FROM log_start",
    "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
    "PRAGMA user_version",
];

/// Fills a store with rows of every table.
async fn fill(store: &SharedStore) {
    let mut labelled = watch(1);
    labelled
        .labels
        .insert("team".to_owned(), "a “b”".to_owned());
    let first = accepted(store, labelled).await;
    for n in [2, 3] {
        let all = vec![grouped(n, "night", Some(3))];
        store.submit(all).await.unwrap();
    }
    let changed = transition(&first, EventKind::Changed, &["a", "b"]);
    assert_eq!(
        store.apply(changed.clone()).await.unwrap(),
        Applied::Applied
    );
    let mut last = end(&changed.watch, Outcome::Failed);
    last.owed = vec![Owed::to("a"), Owed::to("b")];
    assert_eq!(store.apply(last).await.unwrap(), Applied::Applied);
    let going_on = accepted(store, watch(4)).await;
    assert_eq!(
        store.apply(change(&going_on)).await.unwrap(),
        Applied::Applied
    );
    for settlement in [Settlement::Delivered, Settlement::Dead] {
        settle_one(store, "a", settlement).await;
    }
    let period = BlindPeriod {
        service: "dcs".to_owned(),
        since: at(5),
        until: Some(at(9)),
        cause: changed.watch.last_problem.unwrap(),
        reported: Reported::Alone,
    };
    let event = Some((event_without_watch(7), vec![Owed::to("b")]));
    store.save_blind_periods(vec![period], event).await.unwrap();
    // The log ends with events that are deleted again.
    ended(store, 9, 10 * DAY, &[]).await;
}

async fn settle_one(store: &SharedStore, sink: &str, settlement: Settlement) {
    let claimed = store.claim_deliveries(sink, Duration::from_secs(9), 1);
    let claimed = claimed.await.unwrap();
    let one = &claimed[0];
    let record = AttemptRecord {
        delivery: one.id,
        schedule_attempt: one.schedule_attempts + 1,
        settlement,
        at: at(40),
        took: Duration::from_millis(5),
        http_status: Some(500),
        error: (settlement == Settlement::Dead).then(|| "no “way”".to_owned()),
        answer: Some("so\nsorry".to_owned()),
    };
    store.settle(vec![record]).await.unwrap();
}

/// A file in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("jobwatch.db")
    }
}

/// A file with rows of every table.
async fn filled_file() -> File {
    let file = File::new();
    let store: SharedStore = Arc::new(opened(&file.path()).unwrap());
    fill(&store).await;
    let young = Expiry {
        before: at(11 * DAY),
        ..before(11 * DAY)
    };
    assert_eq!(prune(&store, &young).await.watches, 1);
    store.close().await;
    file
}

fn values(db: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = db.prepare(sql).unwrap();
    let count = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..count).map(|n| row.get(n)).collect())
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Reads everything that is copied.
fn content(file: &Path) -> Vec<(String, Vec<Vec<Value>>)> {
    let db = Connection::open(file).unwrap();
    let tables = TABLES.iter().map(|table| {
        let columns: Vec<&str> = table.columns.iter().map(|it| it.in_sqlite).collect();
        let columns = columns.join(", ");
        format!("SELECT {columns} FROM {} ORDER BY 1, 2", table.name)
    });
    let all = tables.chain(OTHERS.map(str::to_owned));
    all.map(|sql| (sql.clone(), values(&db, &sql))).collect()
}

async fn copied_to_server(file: &File, database: &TestDatabase) -> Vec<(&'static str, u64)> {
    let from = sqlite::copy::source(&file.path()).unwrap();
    let to = postgres::copy::target(&database.server()).await.unwrap();
    copy(from, to).await.unwrap()
}

async fn inspected(database: &TestDatabase) -> Inspection {
    inspect(&database.server()).await.unwrap()
}

fn said<T>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    }
}

#[tokio::test]
async fn a_copy_to_a_server_and_back_is_identical() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = filled_file().await;
    let copied = copied_to_server(&file, &database).await;
    assert!(copied.iter().all(|(_, count)| *count > 0), "{copied:?}");
    let inspection = inspected(&database).await;
    assert_eq!(inspection.findings, Vec::<String>::new());
    let back = File::new();
    let from = postgres::copy::source(&database.server()).await.unwrap();
    let to = sqlite::copy::target(&back.path()).unwrap();
    assert_eq!(copy(from, to).await.unwrap(), copied);
    for (one, other) in content(&back.path()).iter().zip(&content(&file.path())) {
        assert_eq!(one, other);
    }
    let db = Connection::open(back.path()).unwrap();
    let spans = values(&db, "SELECT first, last FROM submission_spans");
    let times = "SELECT min(submitted_at), max(submitted_at) FROM watches";
    assert_eq!(spans, values(&db, times), "they are derived anew");
}

#[tokio::test]
async fn a_store_goes_on_with_a_copy() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = filled_file().await;
    let store: SharedStore = Arc::new(opened(&file.path()).unwrap());
    let position = store.cursor().await.unwrap();
    store.close().await;
    drop(store);
    copied_to_server(&file, &database).await;
    let store = database.open().await.unwrap();
    assert_eq!(store.cursor().await.unwrap(), position);
    let page = store.events_after(&position, 9).await.unwrap();
    assert_eq!(page.events.len(), 0, "the position is still one of the log");
    let client = database.client().await;
    let shards = "SELECT count(*) FROM events e JOIN watches w ON w.id = e.watch_id
        WHERE e.shard = w.shard";
    let right: i64 = client.query_one(shards, &[]).await.unwrap().get(0);
    assert_eq!(right, 7, "an event has the shard of its watch");
    let new = accepted(&store, watch(5)).await;
    let sinks = ["a"];
    let changed = transition(&new, EventKind::Changed, &sinks);
    assert_eq!(store.apply(changed).await.unwrap(), Applied::Applied);
    let page = store.events_after(&position, 9).await.unwrap();
    assert_eq!(page.events.len(), 2);
    assert_eq!(inspected(&database).await.findings, Vec::<String>::new());
}

#[tokio::test]
async fn many_rows_are_copied_in_batches() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = File::new();
    let store: SharedStore = Arc::new(opened(&file.path()).unwrap());
    let all = (0..1200_u128).map(|n| {
        let id = jobwatch::watch::WatchId(uuid::Uuid::from_u128(n + 1));
        let watch = Watch {
            job_id: format!("job-{n}"),
            id,
            ..watch(1)
        };
        submission(watch, &["a"])
    });
    store.submit(all.collect()).await.unwrap();
    store.close().await;
    drop(store);
    let copied = copied_to_server(&file, &database).await;
    let of = |name| copied.iter().find(|(table, _)| *table == name).unwrap().1;
    assert_eq!(
        ["watches", "watch_labels", "events", "deliveries"].map(of),
        [1200; 4]
    );
}

#[tokio::test]
async fn a_database_with_rows_is_not_overwritten() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = filled_file().await;
    let full = said(sqlite::copy::target(&file.path()));
    assert!(full.contains("it is not empty"), "{full}");
    copied_to_server(&file, &database).await;
    let full = said(postgres::copy::target(&database.server()).await);
    assert!(full.contains("it is not empty"), "{full}");
}

#[tokio::test]
async fn no_copy_is_made_while_a_daemon_runs() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = filled_file().await;
    let daemon = opened(&file.path()).unwrap();
    for refused in [
        said(sqlite::copy::source(&file.path())),
        said(sqlite::copy::target(&file.path())),
    ] {
        assert!(refused.contains("stop the daemon first"), "{refused}");
    }
    drop(daemon);
    let replica = database.open().await.unwrap();
    let server = database.server();
    for refused in [
        said(postgres::copy::source(&server).await),
        said(postgres::copy::target(&server).await),
    ] {
        assert!(refused.contains("stop them first"), "{refused}");
    }
    replica.leave().await.unwrap();
    // While a copy is read, a daemon cannot write.
    let source = postgres::copy::source(&server).await.unwrap();
    let client = database.client().await;
    let write = "LOCK TABLE replicas, deliveries IN ROW EXCLUSIVE MODE NOWAIT";
    let begin = format!("BEGIN; {write}");
    client.batch_execute(&begin).await.unwrap_err();
    drop(source);
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = filled_file().await;
    let db = Connection::open(file.path()).unwrap();
    // Groups are copied before.
    let broken = "UPDATE watches SET id = x'00' WHERE number = (SELECT max(number) FROM watches)";
    db.execute_batch(broken).unwrap();
    drop(db);
    let from = sqlite::copy::source(&file.path()).unwrap();
    let to = postgres::copy::target(&database.server()).await.unwrap();
    let failed = said(copy(from, to).await);
    assert!(failed.contains("the table watches"), "{failed}");
    let again = postgres::copy::target(&database.server()).await;
    assert!(again.is_ok(), "it is still empty");
}

#[tokio::test]
async fn check_finds_rows_that_contradict_others() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let file = filled_file().await;
    copied_to_server(&file, &database).await;
    let sound = inspected(&database).await;
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!(sound.users, Users::Replicas(Vec::new()));
    assert_eq!(sound.watches.last(), Some(&("watching".to_owned(), 3)));
    let _replica = database.open().await.unwrap();
    let client = database.client().await;
    for (damage, finding) in [
        (
            "UPDATE watches SET finished_at = NULL WHERE state = 'failed'",
            "has no time of its end",
        ),
        (
            "UPDATE watches SET finished_at = 7 WHERE state = 'watching'",
            "goes on, and has a time of its end",
        ),
        (
            "UPDATE watches SET state = 'lots' WHERE state = 'failed'",
            "has an unknown state: lots",
        ),
        (
            "UPDATE watches SET shard = (shard + 1) % 256",
            "and its key in another",
        ),
        (
            "UPDATE groups SET open = 1",
            "the group night counts 1 watches that go on, and has 2",
        ),
        (
            "UPDATE watches SET group_name = 'day' WHERE group_name IS NULL",
            "is of the group day, which is missing",
        ),
        (
            "UPDATE events SET watch_id = gen_random_uuid() WHERE seq = (SELECT min(seq) FROM events)",
            "is about a watch that is missing",
        ),
        (
            "UPDATE deliveries SET settled_at = NULL WHERE state = 'dead'",
            "is dead, which does not go with the time of its end",
        ),
        (
            "ALTER TABLE events ALTER COLUMN seq RESTART WITH 1",
            "the next number of events is not after its last one",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'watches_watched'::regclass",
            "the index watches_watched is not valid",
        ),
    ] {
        client.batch_execute(damage).await.unwrap();
        let found = inspected(&database).await;
        assert!(!found.is_sound());
        let words = found.findings.join("\n");
        assert!(words.contains(finding), "{finding}: {words}");
    }
    let Users::Replicas(names) = inspected(&database).await.users else {
        panic!("a server has replicas");
    };
    assert_eq!(names.len(), 1, "it was checked beside a daemon");
}

#[tokio::test]
async fn prune_deletes_as_much_as_it_counts() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let store = database.open().await.unwrap();
    fill(&store).await;
    for n in 20..70 {
        ended(&store, n, DAY, &[]).await;
    }
    let server = database.server();
    let expiry = before(20 * DAY);
    let counted = prune_command::count(&server, &expiry).await.unwrap();
    assert!(counted.watches > 50 && counted.events > 100, "{counted:?}");
    let report = prune_command::prune(&server, &expiry).await.unwrap();
    assert_eq!(report.pruned, counted);
    assert!(report.bytes_before > 0);
    let rest = prune_command::count(&server, &expiry).await.unwrap();
    assert_eq!(rest, Pruned::default());
    assert!(store.watch(watch(4).id).await.unwrap().is_some());
}
