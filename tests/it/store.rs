//! The contract of the store: one suite, run over every kind of store.
//!
//! A new kind of store is one more [`Database`] and one more `whole_suite!`.

pub(crate) mod abandoned;
mod clocks;
mod contract;
mod deliveries;
mod listing;
pub(crate) mod memory;
pub(crate) mod samples;
pub(crate) mod sqlite;
mod upgrade;
mod writers;

use std::time::Duration;

use jobwatch::clock::SteppedClock;
use jobwatch::store::{SharedStore, StoreError};

/// Where a store keeps what it keeps, for one test.
pub(crate) trait Database {
    /// Opens the store; what was stored before is there.
    fn open(&self) -> Result<SharedStore, StoreError>;

    /// The clock that the time of the store goes by. It begins at `at(0)`; the uptime of a
    /// store that has a server's time is that of the server.
    fn clock(&self) -> &SteppedClock;

    /// Another writer on the same database, beside the one that was opened; `None` where one
    /// process alone can have it.
    fn second_writer(&self) -> Option<SharedStore> {
        None
    }

    /// Lets time pass.
    fn pass(&self, secs: u64) {
        self.clock().advance(Duration::from_secs(secs));
    }
}

/// Has each of these functions run as a test over one kind of database.
macro_rules! suite {
    ($database:expr; $($topic:ident: $($name:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                let database = $database;
                crate::store::$topic::$name(&database).await;
            }
        )+)+
    };
}
pub(crate) use suite;

/// Has every function of the contract run as a test over one kind of database.
macro_rules! whole_suite {
    ($database:expr) => {
        crate::store::suite! {
            $database;
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
                a_cursor_of_another_store_is_refused
                what_is_watching_comes_in_the_order_of_acceptance
                events_of_a_watch_are_its_last_ones_in_order
                changes_are_those_committed_after_the_cursor
                many_changes_come_in_pieces;
            clocks:
                a_wall_clock_that_is_set_moves_no_retry
                a_wall_clock_that_is_set_moves_no_lease
                a_retry_waits_no_longer_than_any_delay_after_opening_again;
            writers:
                changes_of_another_writer_are_read
                of_two_writers_one_applies_a_transition
                a_claim_of_another_writer_holds;
            deliveries:
                each_sink_is_owed_its_own_delivery
                what_is_claimed_is_nobody_elses_until_its_lease_ends
                no_more_is_claimed_than_asked_for
                nothing_is_claimed_before_it_is_due
                a_delivery_keeps_its_target
                what_is_settled_is_not_claimed_again
                a_late_record_does_not_undo_what_is_settled
                what_is_owed_is_owed_after_it_is_opened_again
                each_attempt_is_kept_with_what_it_came_to
                an_attempt_at_a_receiver_that_is_gone_is_none_of_the_schedule
                an_attempt_that_is_recorded_twice_counts_once
                only_the_latest_attempts_are_kept
                a_dead_letter_begins_a_new_schedule_and_keeps_its_history
                what_is_not_dead_is_driven_again_by_force_only
                the_dead_of_one_sink_are_driven_again_since_a_time
                deliveries_are_listed_newest_first_by_state_and_sink;
        }
    };
}
pub(crate) use whole_suite;
