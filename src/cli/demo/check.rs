//! Compares the demo with its scenario.

use crate::cli::demo::progress::{Progress, Receipt, Row};

/// Returns all differences between the demo and its scenario.
pub(super) fn differences(progress: &Progress) -> Vec<String> {
    let rows = progress.rows.iter().flat_map(of_row);
    let refused = progress.inbox.refused.iter();
    rows.chain(refused.map(|reason| format!("the receiver refused a message: {reason}")))
        .collect()
}

fn of_row(row: &Row) -> Vec<String> {
    let name = format!("{}, {}", row.case.job.service.name(), row.case.name);
    let expected = row.case.expected.as_str();
    let Some(watch) = &row.watch else {
        return vec![format!("{name}: was not submitted")];
    };
    if !row.is_final() {
        let status = watch.status.as_deref().unwrap_or("never seen");
        return vec![format!(
            "{name}: still {} ({status}, {} polls, {} problems; last change: {}), must be {expected}",
            watch.state, watch.polls, watch.problems, row.latest
        )];
    }
    let mut found = Vec::new();
    if watch.state != expected {
        found.push(format!("{name}: is {}, must be {expected}", watch.state));
    }
    if row.receipt != Receipt::Received {
        found.push(format!(
            "{name}: the receiver has not got a final event with a valid signature"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::progress::tests::{begun, inbox, watch};
    use crate::cli::demo::receiver::Inbox;

    #[test]
    fn expected_ends_with_received_events_leave_no_difference() {
        let mut progress = begun();
        let watches = vec![watch("w0", "succeeded"), watch("w1", "succeeded")];
        progress.update(watches, inbox(&["w0", "w1"]));
        assert!(differences(&progress).is_empty());
    }

    #[test]
    fn another_outcome_an_open_watch_and_a_missing_event_are_named() {
        let mut progress = begun();
        progress.update(vec![watch("w0", "lost")], Inbox::default());
        let found = differences(&progress).join("\n");
        assert!(found.contains("quick success: is lost, must be succeeded"));
        assert!(found.contains("quick success: the receiver has not got"));
        assert!(found.contains("slow success: still watching (never seen"));
    }

    #[test]
    fn a_refused_message_is_named() {
        let mut progress = begun();
        let watches = vec![watch("w0", "succeeded"), watch("w1", "succeeded")];
        let inbox = Inbox {
            refused: vec!["the signature is invalid"],
            ..inbox(&["w0", "w1"])
        };
        progress.update(watches, inbox);
        assert_eq!(differences(&progress).len(), 1);
    }
}
