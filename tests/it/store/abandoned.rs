//! Abandoned reads, and a check that has to reach the disk.

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobwatch::clock::SteppedClock;
use jobwatch::store::sqlite::SqliteStore;
use jobwatch::store::{Maintenance, PAGE_MAX, Query, SharedStore};
use jobwatch::watch::{Watch, WatchId};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::store::samples::{at, submission, watch};
use crate::store::sqlite::opened;

/// Enough to make a read of all of them slow.
const WATCHES: u128 = 3000;

fn one_of_many(n: u128) -> Watch {
    Watch {
        id: WatchId(Uuid::from_u128(n + 1)),
        job_id: format!("job-{n}"),
        ..watch(0)
    }
}

/// Reads many watches.
fn slow() -> Query {
    Query {
        limit: PAGE_MAX,
        ..Query::default()
    }
}

/// The value of the last check in the database, if there is one.
pub(crate) fn probed(database: &Path) -> Option<i64> {
    let database = Connection::open(database).unwrap();
    let seen_at = "SELECT seen_at FROM replicas WHERE id = x'00'";
    let found = database.query_row(seen_at, [], |row| row.get(0));
    found.optional().unwrap()
}

#[tokio::test]
async fn abandoned_reads_do_not_block_other_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let store: SharedStore = Arc::new(opened(&file).unwrap());
    let many = (0..WATCHES).map(|n| submission(one_of_many(n), &[]));
    store.submit(many.collect()).await.unwrap();
    for _ in 0..200 {
        tokio::select! {
            biased;
            page = store.watches(slow()) => assert!(page.is_ok(), "{page:?}"),
            () = ready(()) => {}
        }
    }
    for n in 0..20 {
        let page = store.watches(slow()).await;
        let page = page.unwrap_or_else(|error| panic!("read {n}: {error}"));
        assert_eq!(page.watches.len(), PAGE_MAX);
    }
    let found = store.watch(one_of_many(7).id).await.unwrap();
    assert_eq!(found.map(|watch| watch.job_id).as_deref(), Some("job-7"));
}

#[tokio::test]
async fn each_check_writes_a_new_value() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobwatch.db");
    let clock = SteppedClock::at(at(0));
    let store = SqliteStore::open(&file, Arc::new(clock.clone())).unwrap();
    assert_eq!(probed(&file), None);
    let mut before = None;
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        store.check().await.unwrap();
        let after = probed(&file);
        assert!(after > before, "{after:?} after {before:?}");
        before = after;
    }
}
