//! The suite over `SQLite`, and what only a file can do.

use std::path::PathBuf;
use std::sync::Arc;

use jobwatch::store::SharedStore;
use jobwatch::store::StoreError;
use jobwatch::store::sqlite::SqliteStore;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store::Database;
use crate::store::samples::accepted;
use crate::store::samples::at;
use crate::store::samples::submission;
use crate::store::samples::watch;
use crate::store::suite;

/// A folder of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("jobwatch.db")
    }

    /// Why it cannot be opened.
    fn refusal(&self) -> String {
        match self.open() {
            Ok(_) => panic!("it was opened"),
            Err(error) => error.to_string(),
        }
    }
}

impl Database for Folder {
    fn open(&self) -> Result<SharedStore, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.file())?))
    }
}

suite! {
    Folder::new();
    contract:
        a_watch_is_read_as_it_was_stored
        the_same_job_again_gives_the_watch_there_is
        service_params_and_job_id_together_make_a_watch
        submissions_are_answered_in_their_order
        a_batch_is_stored_whole_or_not_at_all
        a_final_watch_is_never_changed
        a_transition_from_an_old_revision_is_refused
        a_transition_of_no_watch_is_refused
        of_many_transitions_at_once_one_is_applied
        a_transition_its_event_and_its_deliveries_commit_together
        a_delivery_that_cannot_be_owed_undoes_the_transition
        what_was_stored_is_there_after_it_is_opened_again
        an_event_is_appended_once_and_changes_nothing_about_its_watch
        what_ended_without_a_verdict_is_found_until_one_came_late
        a_closed_store_says_so;
    listing:
        pages_are_newest_first_and_meet_without_gap
        a_full_last_page_has_no_next
        filters_hold_together
        what_is_watching_comes_in_the_order_of_acceptance
        events_of_a_watch_are_its_last_ones_in_order
        news_is_what_others_did_since
        much_news_comes_in_pieces
        watches_are_counted_by_state;
    deliveries:
        each_sink_is_owed_its_own_delivery
        what_is_claimed_is_nobody_elses_until_its_lease_ends
        no_more_is_claimed_than_asked_for
        nothing_is_claimed_before_it_is_due
        what_is_settled_is_not_claimed_again
        a_late_record_does_not_undo_what_is_settled
        what_is_owed_is_owed_after_it_is_opened_again
        each_attempt_is_kept_with_what_it_came_to
        only_the_latest_attempts_are_kept
        a_dead_letter_begins_a_new_schedule_and_keeps_its_history
        what_is_not_dead_is_driven_again_by_force_only
        the_dead_of_one_sink_are_driven_again_since_a_time
        deliveries_are_listed_newest_first_by_state_and_sink;
}

#[tokio::test]
async fn a_second_program_on_the_same_file_is_refused() {
    let folder = Folder::new();
    let first = folder.open().unwrap();
    let said = folder.refusal();
    assert!(said.contains("another jobwatch has it open"), "{said}");
    assert!(
        said.contains(&folder.file().display().to_string()),
        "{said}"
    );
    accepted(&first, watch(1)).await;
    drop(first);
    folder.open().unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let folder = Folder::new();
    drop(folder.open().unwrap());
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
fn a_file_that_is_no_database_is_refused_and_left_alone() {
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
    let file = folder.0.path().join("missing").join("jobwatch.db");
    let said = SqliteStore::open(&file)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("missing") && said.contains("must exist"),
        "{said}"
    );
}

#[tokio::test]
async fn a_claim_of_a_process_that_is_gone_is_void() {
    let folder = Folder::new();
    let store = folder.open().unwrap();
    store
        .submit(vec![submission(watch(1), &["hook"])])
        .await
        .unwrap();
    let claim = |store: SharedStore| async move {
        let claimed = store.claim_deliveries("hook", at(0), at(3600), 10).await;
        claimed.unwrap().len()
    };
    assert_eq!(claim(Arc::clone(&store)).await, 1);
    assert_eq!(claim(Arc::clone(&store)).await, 0);
    drop(store);
    assert_eq!(claim(folder.open().unwrap()).await, 1);
}

#[tokio::test]
async fn what_is_acknowledged_is_on_disk() {
    let folder = Folder::new();
    let store = folder.open().unwrap();
    accepted(&store, watch(1)).await;
    // A copy made now is what a power cut would leave.
    let copy = Folder::new();
    for end in ["", "-wal"] {
        let name = format!("jobwatch.db{end}");
        std::fs::copy(folder.0.path().join(&name), copy.0.path().join(&name)).unwrap();
    }
    let found = copy.open().unwrap().watch(watch(1).id).await.unwrap();
    assert_eq!(found, Some(watch(1)));
}
