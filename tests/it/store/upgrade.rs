//! Databases of every released schema, brought forward with everything they hold.

use std::path::Path;

use jobwatch::store::delivery::DeliveryState;
use jobwatch::store::sqlite::SqliteStore;
use jobwatch::store::{DeliveryCounts, Store};
use jobwatch::watch::{Outcome, State};
use rusqlite::Connection;

use crate::store::samples::at;

/// A database as the first release left it: a watch that goes on, one that is over, and
/// deliveries in each state.
const SCHEMA_1: &str = include_str!("schema_1.sql");

/// The columns of a table as they are now; a later schema may have more.
fn columns(database: &Path, table: &str) -> String {
    let database = Connection::open(database).unwrap();
    let mut names = database
        .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
        .unwrap();
    let names = names.query_map([table], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
    names.join(", ")
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
    // Opening it gives up leases, whatever the schema.
    let columns = tables.map(|table| columns(&file, table).replace("lease_until, ", ""));
    let all_rows = || [0, 1, 2, 3, 4].map(|n| rows(&file, tables[n], &columns[n]));
    let before = all_rows();
    assert!(before[..4].iter().all(|rows| !rows.is_empty()));

    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(all_rows(), before);
    let watching = store.watching(0, 10).await.unwrap();
    assert_eq!(watching.len(), 1);
    assert_eq!(watching[0].1.job_id, "job-1");
    let over = State::Final(Outcome::Failed);
    assert!(store.watch_counts().await.unwrap().contains(&(over, 1)));
    let counts = DeliveryCounts {
        pending: 1,
        delivered: 1,
        dead: 1,
    };
    assert_eq!(store.delivery_counts().await.unwrap(), counts);
    let dead = store.delivery(3).await.unwrap().unwrap();
    assert_eq!((dead.0.state, dead.0.attempts), (DeliveryState::Dead, 10));
    assert!(dead.1.is_empty(), "nobody recorded them then");
    assert_eq!(store.redrive_dead("hook", None, at(0)).await.unwrap(), 1);
    store.close().await;
    drop(store);
    SqliteStore::open(&file).unwrap();
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
    let said = SqliteStore::open(&file).map(drop).unwrap_err().to_string();
    assert!(
        said.contains("migration 3") && said.contains("already exists"),
        "{said}"
    );
    let version: u32 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert!(version < 3, "{version}");
}
