//! Whether the demo went as the scenario says.

use crate::cli::demo::progress::{Progress, Row, Told};

/// Everything that differs from what the scenario expects; nothing when all is well.
pub(super) fn differences(progress: &Progress) -> Vec<String> {
    let rows = progress.rows.iter().flat_map(of_row);
    let refused = progress.inbox.refused.iter();
    rows.chain(refused.map(|reason| format!("the receiver did not believe a message: {reason}")))
        .collect()
}

fn of_row(row: &Row) -> Vec<String> {
    let name = format!("{}, {}", row.act.job.service.name(), row.act.name);
    let expected = row.act.expected.as_str();
    let Some(watch) = &row.watch else {
        return vec![format!("{name}: was not submitted")];
    };
    if !row.is_final() {
        let status = watch.status.as_deref().unwrap_or("never seen");
        return vec![format!(
            "{name}: still {} ({status}, {} polls, {} problems; last: {}), must be {expected}",
            watch.state, watch.polls, watch.problems, row.news
        )];
    }
    let mut found = Vec::new();
    if watch.state != expected {
        found.push(format!("{name}: is {}, must be {expected}", watch.state));
    }
    if row.told != Told::Yes {
        found.push(format!(
            "{name}: the receiver had no event of its end with a signature that holds"
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
    fn all_is_well_when_every_watch_ended_as_expected_and_was_told() {
        let mut progress = begun();
        let watches = vec![watch("w0", "succeeded"), watch("w1", "succeeded")];
        progress.look(watches, inbox(&["w0", "w1"]));
        assert!(differences(&progress).is_empty());
    }

    #[test]
    fn another_outcome_an_open_watch_and_an_untold_end_are_named() {
        let mut progress = begun();
        progress.look(vec![watch("w0", "lost")], Inbox::default());
        let found = differences(&progress).join("\n");
        assert!(found.contains("quick success: is lost, must be succeeded"));
        assert!(found.contains("quick success: the receiver had no event"));
        assert!(found.contains("slow success: still watching (never seen"));
    }

    #[test]
    fn a_message_that_is_not_believed_is_named() {
        let mut progress = begun();
        let watches = vec![watch("w0", "succeeded"), watch("w1", "succeeded")];
        let inbox = Inbox {
            refused: vec!["the signature does not hold"],
            ..inbox(&["w0", "w1"])
        };
        progress.look(watches, inbox);
        assert_eq!(differences(&progress).len(), 1);
    }
}
