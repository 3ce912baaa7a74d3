//! The contract of the store: one suite, run over every kind of store.
//!
//! A new kind of store is one more [`Database`] and one more `whole_suite!`.

pub(crate) mod abandoned;
mod blindness;
mod clocks;
mod contract;
mod copy;
mod deliveries;
mod durations;
mod groups;
mod listing;
mod log;
pub(crate) mod memory;
pub(crate) mod postgres;
mod references;
mod replicas;
pub(crate) mod retention;
pub(crate) mod samples;
mod space;
pub(crate) mod sqlite;
mod upgrade;
mod writers;

use std::time::Duration;

use jobwatch::clock::SteppedClock;
use jobwatch::store::{SharedStore, StoreError};

/// The storage of a store, for one test.
pub(crate) trait Database {
    /// Opens the store with everything that was stored before.
    async fn open(&self) -> Result<SharedStore, StoreError>;

    /// The clock that the time of the store goes by. It begins at `at(0)`; the uptime of a
    /// store that has a server's time is that of the server.
    fn clock(&self) -> &SteppedClock;

    /// Another writer on the same database, beside the one that was opened; `None` where one
    /// process alone can have it.
    async fn second_writer(&self) -> Option<SharedStore> {
        None
    }

    /// Lets time pass.
    async fn pass(&self, secs: u64) {
        self.clock().advance(Duration::from_secs(secs));
    }
}

/// Runs each of these functions as a test over one kind of database, if this machine has it.
macro_rules! suite {
    ($database:expr; $($topic:ident: $($name:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                let Some(database) = $database else { return };
                crate::store::$topic::$name(&database).await;
            }
        )+)+
    };
}
pub(crate) use suite;

/// Runs every function of the contract as a test over one kind of database.
macro_rules! whole_suite {
    ($database:expr) => {
        crate::store::suite! {
            $database;
            contract:
                a_watch_is_read_as_it_was_stored
                submitting_a_job_again_returns_its_watch
                service_params_and_job_id_identify_a_watch
                an_operation_with_a_verdict_is_not_watched_again
                a_resource_is_watched_again_after_its_end
                a_watch_without_a_verdict_can_be_watched_again
                submissions_of_other_runs_are_other_watches
                a_learned_run_is_the_same_watch_as_a_named_one
                evidence_is_kept_with_the_end
                submissions_are_answered_in_order
                a_batch_is_stored_whole_or_not_at_all
                a_final_watch_is_never_changed
                a_transition_from_an_old_revision_is_refused
                a_transition_of_an_unknown_watch_is_refused
                one_of_many_concurrent_transitions_is_applied
                transition_event_and_deliveries_commit_together
                a_change_is_decided_on_the_stored_watch
                many_transitions_are_answered_in_order
                a_transition_that_fails_stops_no_other
                watches_and_events_survive_a_reopen
                an_appended_event_is_stored_once_and_keeps_the_watch
                ends_without_a_verdict_are_listed_until_a_late_result
                a_closed_store_reports_that_it_is_closed;
            listing:
                pages_are_newest_first_and_have_no_gap
                a_full_last_page_has_no_next_page
                filters_are_combined
                a_watch_must_carry_every_label_of_a_filter
                watches_are_listed_from_since_to_before_until
                a_cursor_of_another_store_is_refused
                active_watches_are_listed_in_order_of_acceptance
                the_latest_events_of_a_watch_are_listed_in_order
                changes_are_those_committed_after_the_cursor
                many_changes_are_read_in_pages;
            log:
                events_are_read_in_order_from_a_position
                events_after_the_end_of_the_log_are_none;
            references:
                a_watch_is_found_by_its_id_and_a_prefix
                a_watch_is_found_by_its_job
                the_newest_watch_of_a_job_is_found
                a_job_id_may_look_like_the_id_of_a_watch
                many_watches_are_read_by_their_ids;
            blindness:
                a_blind_period_is_saved_with_its_event
                a_blind_period_that_ends_is_the_same_period
                the_oldest_blind_periods_are_forgotten;
            groups:
                a_group_counts_its_watches
                a_group_closes_when_it_has_its_size
                a_size_that_is_reached_already_closes_a_group
                a_closed_group_takes_no_more_watches
                a_group_is_due_when_closed_and_all_have_ended
                a_group_finishes_once_with_one_event
                a_batch_that_fails_counts_in_no_group;
            durations:
                durations_are_learned_by_service_and_type
                only_the_latest_durations_of_a_type_are_kept
                only_a_verdict_shows_a_duration
                without_times_of_the_service_the_watch_counts;
            clocks:
                setting_the_wall_clock_moves_no_retry
                setting_the_wall_clock_moves_no_lease
                a_retry_scheduled_by_another_clock_is_due;
            writers:
                changes_of_another_writer_are_read
                one_of_two_writers_applies_a_transition
                a_claim_of_another_writer_is_respected;
            deliveries:
                each_sink_has_its_own_delivery
                a_claim_is_exclusive_until_its_lease_ends
                a_claim_takes_at_most_the_requested_number
                a_delivery_is_not_claimed_before_it_is_due
                a_delivery_keeps_its_target
                a_settled_delivery_is_not_claimed_again
                a_late_record_does_not_undo_a_settlement
                pending_deliveries_survive_a_reopen
                each_attempt_is_kept_with_its_result
                a_gone_receiver_uses_no_attempt_of_the_schedule
                an_attempt_recorded_twice_counts_once
                only_the_latest_attempts_are_kept
                a_redriven_letter_has_a_new_schedule_and_its_history
                only_force_redrives_a_delivery_that_is_not_dead
                dead_letters_of_a_sink_are_redriven_since_a_time
                deliveries_are_listed_newest_first_by_state_and_sink
                deliveries_are_listed_by_their_watch_and_time;
        }
    };
}
pub(crate) use whole_suite;
