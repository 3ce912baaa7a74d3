//! Databases of every released schema: an upgrade keeps all their data.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobwatch::store::delivery::DeliveryState;
use jobwatch::store::{Query, SharedStore, Submitted};
use jobwatch::watch::delivery::Target;
use jobwatch::watch::reference::Reference;
use jobwatch::watch::{Outcome, State, Watch, WatchId};
use rusqlite::Connection;
use uuid::Uuid;

use crate::store::samples::{deliveries_in, grouped, submission, watch, watching};
use crate::store::sqlite::opened;

/// A database of the first release: a watch that goes on, one that has ended, and
/// deliveries in each state.
const SCHEMA_1: &str = include_str!("schema_1.sql");

/// A database with callbacks, from before deliveries had targets.
const SCHEMA_3: &str = include_str!("schema_3.sql");

/// A database from before watches were about one run.
const SCHEMA_4: &str = include_str!("schema_4.sql");

/// A database from before watches had groups.
const SCHEMA_5: &str = include_str!("schema_5.sql");

/// The current columns of a table; a later schema may have more.
fn columns(database: &Path, table: &str) -> String {
    let database = Connection::open(database).unwrap();
    let mut names = database
        .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
        .unwrap();
    let names = names.query_map([table], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
    // Claims do not outlive a process.
    let kept = names.into_iter().filter(|name| name != "lease_until");
    kept.collect::<Vec<_>>().join(", ")
}

/// Reads the columns of the tables of an older schema from the present one.
fn of_today(columns: &str) -> String {
    columns
        .replace("event_id", "(SELECT id FROM events WHERE seq = event)")
        .replace(
            "watch_id, evidence",
            "(SELECT id FROM watches WHERE number = watch), evidence",
        )
}

fn rows(database: &Path, table: &str, columns: &str) -> Vec<Vec<String>> {
    let database = Connection::open(database).unwrap();
    let mut statement = database
        .prepare(&format!("SELECT {columns} FROM {table} ORDER BY 1"))
        .unwrap();
    let width = statement.column_count();
    let read = statement.query_map([], |row| {
        (0..width)
            .map(|n| Ok(format!("{:?}", row.get_ref(n)?)))
            .collect()
    });
    read.unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_database_of_the_first_schema_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA_1).unwrap();
    drop(database);
    let tables = ["watches", "events", "deliveries", "durations", "shards"];
    let columns = tables.map(|table| columns(&file, table));
    let before = [0, 1, 2, 3, 4].map(|n| rows(&file, tables[n], &columns[n]));
    assert!(before[..4].iter().all(|rows| !rows.is_empty()));

    let store: SharedStore = Arc::new(opened(&file).unwrap());
    let after = [0, 1, 2, 3, 4].map(|n| rows(&file, tables[n], &of_today(&columns[n])));
    assert_eq!(after, before);
    let watching = watching(&store).await;
    assert_eq!(watching.len(), 1);
    assert_eq!(watching[0].job_id, "job-1");
    let over = Query {
        states: vec![State::Final(Outcome::Failed)],
        limit: 10,
        ..Query::default()
    };
    assert_eq!(store.watches(over).await.unwrap().watches.len(), 1);
    let labelled = Query {
        labels: vec![("deploy".to_owned(), "42".to_owned())],
        since: Some(watching[0].submitted_at()),
        until: Some(watching[0].deadline()),
        limit: 10,
        ..Query::default()
    };
    let labelled = store.watches(labelled).await.unwrap().watches;
    assert_eq!(labelled.first().map(|it| it.id), Some(watching[0].id));
    for state in DeliveryState::ALL {
        assert_eq!(deliveries_in(&store, state).await, 1, "{state}");
    }
    let (dead, attempts) = store.delivery(3).await.unwrap().unwrap();
    assert_eq!((dead.state, dead.attempts_total), (DeliveryState::Dead, 10));
    assert!(attempts.is_empty(), "that schema recorded none");
    assert_eq!(store.redrive_dead("hook", None).await.unwrap(), 1);
    store.close().await;
    drop(store);
    opened(&file).unwrap();
}

#[tokio::test]
async fn callbacks_of_the_third_schema_keep_their_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA_3).unwrap();
    drop(database);
    let columns = columns(&file, "deliveries");
    let before = rows(&file, "deliveries", &columns);
    let store: SharedStore = Arc::new(opened(&file).unwrap());
    assert_eq!(rows(&file, "deliveries", &of_today(&columns)), before);

    // Pending, dead, and delivered, which can be redriven by force.
    assert_eq!(store.redrive_dead("callback", None).await.unwrap(), 1);
    store.redrive(1, true).await.unwrap();
    let claim = async |sink| {
        let lease = Duration::from_mins(1);
        store.claim_deliveries(sink, lease, 10).await.unwrap()
    };
    let target = Target("https://hooks.example.com/hunter2".to_owned());
    let callbacks = claim("callback").await;
    let targets: Vec<_> = callbacks.iter().map(|one| &one.delivery.target).collect();
    assert_eq!(
        targets,
        [&Some(target.clone()), &Some(target.clone()), &Some(target)]
    );
    let hooks = claim("hook").await;
    assert_eq!(hooks.len(), 2);
    assert!(hooks.iter().all(|one| one.delivery.target.is_none()));
}

#[tokio::test]
async fn watches_of_the_fourth_schema_can_be_watched_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA_4).unwrap();
    drop(database);
    let columns = columns(&file, "watches");
    let before = rows(&file, "watches", &columns);
    let store: SharedStore = Arc::new(opened(&file).unwrap());
    assert_eq!(rows(&file, "watches", &columns), before);

    let watching = watching(&store).await;
    let progress = watching.iter().map(|entry| entry.tracking.has_progress);
    let progress: Vec<bool> = progress.collect();
    assert_eq!(progress, [false, true], "only the second was seen");
    let second = store.watch(watching[1].id).await.unwrap().unwrap();
    assert!(!second.is_stale());
    // The samples have the keys of these watches.
    let submit = async |n: u8| {
        let anew = Watch {
            id: WatchId(Uuid::from_u128(u128::from(n) + 100)),
            ..watch(n)
        };
        let answers = store.submit(vec![submission(anew, &[])]).await.unwrap();
        matches!(answers.as_slice(), [Submitted::Accepted(_)])
    };
    assert!(!submit(1).await, "it is still watched");
    assert!(!submit(3).await, "it has a verdict");
    assert!(submit(4).await, "it was lost");
    assert_eq!(
        store.evidence(WatchId(Uuid::from_u128(3))).await.unwrap(),
        None
    );
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 1);
}

#[tokio::test]
async fn a_database_of_the_fifth_schema_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA_5).unwrap();
    drop(database);
    let tables = [
        "watches",
        "events",
        "deliveries",
        "attempts",
        "evidence",
        "durations",
    ];
    let columns = tables.map(|table| columns(&file, table));
    let before = [0, 1, 2, 3, 4, 5].map(|n| rows(&file, tables[n], &columns[n]));
    assert!(before.iter().all(|rows| !rows.is_empty()));
    let store: SharedStore = Arc::new(opened(&file).unwrap());
    let after = [0, 1, 2, 3, 4, 5].map(|n| rows(&file, tables[n], &of_today(&columns[n])));
    assert_eq!(after, before);

    let find = async |text: &str| {
        let reference = Reference::parse(text).unwrap();
        let found = store.find(&reference, 10).await.unwrap();
        let ids = found.into_iter().map(|watch| watch.id.0.as_u128());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(find("dcs/job-1").await, [2]);
    assert_eq!(find("job-2").await, [4], "the newest of two");
    let first = store.first_cursor().await.unwrap();
    let page = store.events_after(&first, 1).await.unwrap();
    assert_eq!(page.events[0].body, "{\"id\":\"1\"}");
    let rest = store.events_after(&page.next, 10).await.unwrap();
    assert_eq!((rest.events.len(), rest.more), (1, false));
    let usual = store.usual_duration("dcs", "create").await.unwrap();
    assert_eq!(usual.unwrap().p50, Duration::from_mins(1));
    let answers = [1, 5].map(|n| grouped(n, "g", Some(1)));
    let answers = store.submit(answers.to_vec()).await.unwrap();
    assert!(matches!(answers[0], Submitted::Existing(_)), "{answers:?}");
    assert!(matches!(answers[1], Submitted::Accepted(_)), "{answers:?}");
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 1);
}

#[test]
fn a_failed_migration_does_not_change_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA_1).unwrap();
    database
        .execute_batch("CREATE TABLE attempts (mine TEXT)")
        .unwrap();
    let said = opened(&file).map(drop).unwrap_err().to_string();
    assert!(
        said.contains("migration 3") && said.contains("already exists"),
        "{said}"
    );
    let version: u32 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert!(version < 3, "{version}");
}
