//! The space of deleted rows, and files that are pruned without a daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobwatch::store::sqlite::prune::{count, prune};
use jobwatch::store::{Expiry, Pruned, Shards, SharedStore, StoreError};
use rusqlite::Connection;

use crate::store::retention::{self, DAY, before, ended};
use crate::store::samples::{accepted, watch};
use crate::store::sqlite::opened;

/// A database from before files could give space back, with a failed watch of 22 November 2025.
const SCHEMA_5: &str = include_str!("schema_5.sql");

/// A database in a folder of its own.
struct Database(tempfile::TempDir);

impl Database {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A database of the fifth schema.
    fn old() -> Self {
        let database = Self::new();
        let db = Connection::open(database.file()).unwrap();
        db.execute_batch(SCHEMA_5).unwrap();
        database
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("jobwatch.db")
    }

    fn open(&self) -> SharedStore {
        Arc::new(opened(&self.file()).unwrap())
    }

    /// Stores 200 watches that ended after a day, each with some 30 KB of events.
    async fn fill(&self) -> SharedStore {
        let store = self.open();
        // An old database has the first watches.
        for n in 11..=210 {
            ended(&store, n, DAY, &[]).await;
        }
        let db = Connection::open(self.file()).unwrap();
        let filled = db.execute(
            "UPDATE events SET body = body || printf('%.15000c', ' ')",
            [],
        );
        assert!(filled.unwrap() >= 400);
        store
    }
}

fn number(file: &Path, pragma: &str) -> u32 {
    let db = Connection::open(file).unwrap();
    let value = db.pragma_query_value(None, pragma, |row| row.get(0));
    value.unwrap()
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len()
}

fn message(error: StoreError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[tokio::test]
async fn numbers_that_are_given_again_have_new_times() {
    let database = Database::new();
    let store = database.open();
    let spans = || {
        let db = Connection::open(database.file()).unwrap();
        let sql = "SELECT count(*), min(first) FROM submission_spans";
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    ended(&store, 1, DAY, &[]).await;
    let (count, first): (u32, Option<i64>) = spans();
    assert_eq!(count, 1);
    retention::prune(&store, &before(2 * DAY)).await;
    assert_eq!(spans(), (0, None));
    ended(&store, 2, 3 * DAY, &[]).await;
    assert!(spans().1 > first);
}

#[tokio::test]
async fn a_new_file_gives_space_back_in_small_steps() {
    let database = Database::new();
    let store = database.fill().await;
    assert_eq!(number(&database.file(), "auto_vacuum"), 2);
    let pages = number(&database.file(), "page_count");
    assert_eq!(store.give_back().await.unwrap(), 0, "nothing is free");
    retention::prune(&store, &before(2 * DAY)).await;
    let mut steps = 0;
    loop {
        let given = store.give_back().await.unwrap();
        // A page of the map of pages may go with them.
        assert!(given <= 65 * 4096, "{given}");
        if given == 0 {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "{steps}");
    let (left, free) = ["page_count", "freelist_count"]
        .map(|name| number(&database.file(), name))
        .into();
    assert!(left < pages / 10, "{left} of {pages}");
    assert!(free <= left / 10, "{free} of {left}");
    store.close().await;
    drop(store);
    assert!(size(&database.file()) < u64::from(pages) * 4096 / 10);
    let store = database.open();
    accepted(&store, watch(1)).await;
}

#[tokio::test]
async fn a_file_is_pruned_and_shrunk_while_no_daemon_runs() {
    let database = Database::new();
    let store = database.fill().await;
    accepted(&store, watch(251)).await;
    let refused = message(prune(&database.file(), &before(2 * DAY), false).unwrap_err());
    assert!(refused.contains("stop the daemon first"), "{refused}");
    let counted = count(&database.file(), &before(2 * DAY)).unwrap();
    assert_eq!(
        (counted.watches, counted.events, counted.evidence),
        (200, 400, 200)
    );
    store.close().await;
    drop(store);
    let large = size(&database.file());
    let report = prune(&database.file(), &before(2 * DAY), false).unwrap();
    assert_eq!(report.pruned, counted, "as many as were counted");
    assert_eq!((report.bytes_before, report.free), (large, 0));
    assert_eq!(size(&database.file()), report.bytes);
    assert!(report.bytes < large / 10, "{report:?}");
    let again = prune(&database.file(), &before(2 * DAY), true).unwrap();
    assert_eq!(again.pruned, Pruned::default());
    assert!(
        database
            .open()
            .watch(watch(251).id)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_file_of_an_earlier_version_shrinks_once_compacted() {
    let database = Database::old();
    let all = Expiry {
        now: "2027-01-01T00:00:00Z".parse().unwrap(),
        ..before(2 * DAY)
    };
    let refused = message(count(&database.file(), &all).unwrap_err());
    assert!(refused.contains("its schema is version 5"), "{refused}");
    let store = database.fill().await;
    assert_eq!(number(&database.file(), "auto_vacuum"), 0);
    retention::prune(&store, &all).await;
    assert_eq!(store.give_back().await.unwrap(), 0, "it cannot");
    store.close().await;
    drop(store);
    let kept = prune(&database.file(), &all, false).unwrap();
    assert_eq!(kept.pruned, Pruned::default());
    assert!(kept.free > kept.bytes / 2, "{kept:?}");
    let compacted = prune(&database.file(), &all, true).unwrap();
    assert_eq!((compacted.bytes_before, compacted.free), (kept.bytes, 0));
    assert!(compacted.bytes < kept.bytes / 4, "{compacted:?}");
    assert_eq!(number(&database.file(), "auto_vacuum"), 2);
    let store = database.open();
    let left = store
        .watching(Shards::ALL, None, 10, &Arc::default())
        .await
        .unwrap()
        .entries
        .len();
    assert_eq!(left, 1, "watches go on");
}

#[test]
fn a_missing_or_foreign_file_is_not_pruned() {
    let database = Database::new();
    let said = message(prune(&database.file(), &before(DAY), false).unwrap_err());
    assert!(said.contains("the file does not exist"), "{said}");
    assert!(!database.file().exists());
    let db = Connection::open(database.file()).unwrap();
    db.execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    for compact in [false, true] {
        let said = message(prune(&database.file(), &before(DAY), compact).unwrap_err());
        assert!(said.contains("another program"), "{said}");
    }
}
