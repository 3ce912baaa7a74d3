//! The suite over `SQLite`, and the tests of its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jobwatch::clock::SteppedClock;
use jobwatch::store::sqlite::SqliteStore;
use jobwatch::store::{SharedStore, StoreError, Submitted};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store::Database;
use crate::store::samples::{accepted, at, submission, watch};

/// A folder of its own, and a clock that stands still.
struct Folder {
    folder: TempDir,
    clock: SteppedClock,
}

/// Opens a store under a clock that stands still.
pub(crate) fn opened(file: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(file, Arc::new(SteppedClock::at(at(0))))
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: SteppedClock::at(at(0)),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("jobwatch.db")
    }

    fn opened(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.file(), Arc::new(self.clock.clone()))
    }

    /// The error of an open that must fail.
    fn refusal(&self) -> String {
        match self.opened() {
            Ok(_) => panic!("it was opened"),
            Err(error) => error.to_string(),
        }
    }
}

impl Database for Folder {
    async fn open(&self) -> Result<SharedStore, StoreError> {
        Ok(Arc::new(self.opened()?))
    }

    fn clock(&self) -> &SteppedClock {
        &self.clock
    }
}

crate::store::whole_suite!(Some(Folder::new()));

// The model in memory keeps everything.
crate::store::suite! {
    Some(Folder::new());
    retention:
        an_old_watch_goes_with_everything_about_it
        a_pending_delivery_keeps_its_watch
        a_late_result_keeps_its_watch
        many_old_watches_go_in_small_steps
        a_watch_with_many_events_goes_in_several_steps
        a_pruned_job_can_be_submitted_again
        spared_jobs_and_watches_of_the_future_stay
        a_group_goes_as_a_whole
        an_open_group_loses_its_old_watches
        the_log_begins_after_the_last_pruned_event;
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused() {
    let folder = Folder::new();
    let first = folder.open().await.unwrap();
    let said = folder.refusal();
    assert!(said.contains("another jobwatch has it open"), "{said}");
    assert!(
        said.contains(&folder.file().display().to_string()),
        "{said}"
    );
    accepted(&first, watch(1)).await;
    drop(first);
    folder.open().await.unwrap();
}

#[test]
fn a_second_process_is_refused_behind_any_link() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let refusal = |name: &Path| match opened(name) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    };
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(folder.file(), &link).unwrap();
    // The first process opens a link whose target does not exist yet.
    let first = opened(&link).unwrap();
    let said = folder.refusal();
    assert!(said.contains("another jobwatch has it open"), "{said}");
    drop(first);
    let first = folder.opened().unwrap();
    let said = refusal(&link);
    assert!(said.contains("another jobwatch has it open"), "{said}");
    let other = elsewhere.path().join("other.db");
    std::fs::hard_link(folder.file(), &other).unwrap();
    let said = refusal(&other);
    assert!(said.contains("2 names"), "{said}");
    drop(first);
    std::fs::remove_file(&other).unwrap();
    folder.opened().unwrap();
}

#[tokio::test]
async fn submissions_are_refused_when_a_database_file_is_gone() {
    let folder = Folder::new();
    for (n, end) in (0..).step_by(2).zip(["", "-wal", "-shm", ".lock"]) {
        let store = folder.open().await.unwrap();
        accepted(&store, watch(n)).await;
        let name = format!("{}{end}", folder.file().display());
        let away = format!("{name}.away");
        std::fs::rename(&name, &away).unwrap();
        let refused = || store.submit(vec![submission(watch(n + 1), &[])]);
        let why = |error: StoreError| std::error::Error::source(&error).unwrap().to_string();
        let said = why(refused().await.unwrap_err());
        assert!(said.contains(&format!("{name} was removed")), "{said}");
        std::fs::write(&name, "").unwrap();
        let said = why(store.check().await.unwrap_err());
        assert!(said.contains(&format!("{name} was replaced")), "{said}");
        std::fs::rename(&away, &name).unwrap();
        assert!(matches!(
            refused().await.unwrap()[0],
            Submitted::Accepted(_)
        ));
        store.check().await.unwrap();
    }
}

#[test]
fn a_folder_is_refused_as_a_database() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file()).unwrap();
    let said = folder.refusal();
    assert!(said.contains("it is not a file"), "{said}");
}

#[test]
fn the_database_of_another_program_is_not_changed() {
    let folder = Folder::new();
    let database = Connection::open(folder.file()).unwrap();
    database
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    let before = std::fs::read(folder.file()).unwrap();
    let said = folder.refusal();
    assert!(said.contains("another program"), "{said}");
    assert_eq!(std::fs::read(folder.file()).unwrap(), before);
}

#[tokio::test]
async fn a_newer_database_is_refused_and_not_changed() {
    let folder = Folder::new();
    drop(folder.open().await.unwrap());
    let database = Connection::open(folder.file()).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    let said = folder.refusal();
    assert!(
        said.contains("version 99") && said.contains("newer jobwatch"),
        "{said}"
    );
    let version: u32 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_file_of_another_format_is_refused_and_not_changed() {
    let folder = Folder::new();
    let text = "this is a letter, and quite a long one ".repeat(100);
    std::fs::write(folder.file(), &text).unwrap();
    let said = folder.refusal();
    assert!(said.contains("not a database"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), text);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = Folder::new();
    let file = folder.folder.path().join("missing").join("jobwatch.db");
    let said = opened(&file).map(|_| ()).unwrap_err().to_string();
    assert!(
        said.contains("missing") && said.contains("must exist"),
        "{said}"
    );
}

#[tokio::test]
async fn a_claim_of_a_process_that_has_ended_is_void() {
    let folder = Folder::new();
    let store = folder.open().await.unwrap();
    store
        .submit(vec![submission(watch(1), &["hook"])])
        .await
        .unwrap();
    let claim = |store: SharedStore| async move {
        let lease = Duration::from_hours(1);
        store
            .claim_deliveries("hook", lease, 10)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(claim(Arc::clone(&store)).await, 1);
    assert_eq!(claim(Arc::clone(&store)).await, 0);
    drop(store);
    assert_eq!(claim(folder.open().await.unwrap()).await, 1);
}

#[tokio::test]
async fn acknowledged_watches_are_on_disk() {
    let folder = Folder::new();
    let store = folder.open().await.unwrap();
    accepted(&store, watch(1)).await;
    // A copy made now is equal to the files after a power cut.
    let copy = Folder::new();
    for end in ["", "-wal"] {
        let name = format!("jobwatch.db{end}");
        std::fs::copy(
            folder.folder.path().join(&name),
            copy.folder.path().join(&name),
        )
        .unwrap();
    }
    let found = copy.open().await.unwrap().watch(watch(1).id).await.unwrap();
    assert_eq!(found, Some(watch(1)));
}

#[tokio::test]
async fn a_closed_store_leaves_everything_in_one_file() {
    let folder = Folder::new();
    let store = folder.open().await.unwrap();
    accepted(&store, watch(1)).await;
    store.close().await;
    // Other parts may still hold the store when the process ends.
    let error = store.watch(watch(1).id).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error}");
    let copy = folder.folder.path().join("copy.db");
    std::fs::copy(folder.file(), &copy).unwrap();
    let watches: i64 = Connection::open(&copy)
        .unwrap()
        .query_row("SELECT count(*) FROM watches", [], |row| row.get(0))
        .unwrap();
    assert_eq!(watches, 1);
}
