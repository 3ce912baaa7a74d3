//! The progress of the demo: for each case its watch as the API last showed it, and the
//! latest change.

use std::collections::BTreeMap;

use crate::api::view::WatchView;
use crate::cli::change::{change, reason};
use crate::cli::demo::receiver::Inbox;
use crate::cli::demo::scenario::Case;
use crate::watch::State;

/// One case and its watch.
pub(super) struct Row {
    pub(super) case: Case,
    /// Its watch; `None` until it is submitted.
    pub(super) watch: Option<WatchView>,
    pub(super) latest: String,
    /// Whether the receiver has the final event.
    pub(super) receipt: Receipt,
}

/// The state of the final event of a watch at the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipt {
    /// The event has not come.
    None,
    /// The receiver was down when the event came.
    Rejected,
    /// The event came with a valid signature.
    Received,
}

/// One change of one case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Update {
    /// The index of its row.
    pub(super) row: usize,
    pub(super) text: String,
}

/// All cases and the receiver's inbox.
pub(super) struct Progress {
    /// One row for each case.
    pub(super) rows: Vec<Row>,
    /// The number of problems of each kind.
    pub(super) problems: BTreeMap<&'static str, u32>,
    /// The messages that the receiver got.
    pub(super) inbox: Inbox,
}

impl Row {
    /// True if the watch has ended.
    pub(super) fn is_final(&self) -> bool {
        self.watch
            .as_ref()
            .is_some_and(|watch| watch.state != State::Watching.as_str())
    }

    /// Returns the state as a word; empty before the submission.
    pub(super) fn state(&self) -> &str {
        self.watch.as_ref().map_or("", |watch| &watch.state)
    }
}

impl Progress {
    /// Returns the progress before the first submission.
    pub(super) fn new(cases: Vec<Case>) -> Self {
        let row = |case| Row {
            case,
            watch: None,
            latest: String::new(),
            receipt: Receipt::None,
        };
        Self {
            rows: cases.into_iter().map(row).collect(),
            problems: BTreeMap::new(),
            inbox: Inbox::default(),
        }
    }

    /// Returns the next case to submit.
    pub(super) fn next_case(&self) -> Option<(usize, &Case)> {
        let row = self.rows.iter().position(|row| row.watch.is_none())?;
        Some((row, &self.rows[row].case))
    }

    /// Notes that the case of `row` was submitted.
    pub(super) fn submitted(&mut self, row: usize, watch: WatchView) -> Update {
        self.rows[row].watch = Some(watch);
        self.note(row, "submitted".to_owned())
    }

    /// Takes the current watches of the API and the receiver's inbox; returns the changes.
    pub(super) fn update(&mut self, watches: Vec<WatchView>, inbox: Inbox) -> Vec<Update> {
        let mut updates = Vec::new();
        for after in watches {
            let of_it = |row: &Row| row.watch.as_ref().is_some_and(|watch| watch.id == after.id);
            let Some(n) = self.rows.iter().position(of_it) else {
                continue;
            };
            let before = self.rows[n].watch.replace(after.clone());
            let before = before.as_ref().unwrap_or(&after);
            if let Some(problem) = &after.last_problem {
                let met = after.problems.saturating_sub(before.problems);
                *self.problems.entry(problem.kind.as_str()).or_default() += met;
            }
            if let Some(text) = change(before, &after) {
                updates.push(self.note(n, text));
                // The state has its own column, so this one shows the reason.
                if let Some(reason) = reason(&after).filter(|_| self.rows[n].is_final()) {
                    self.rows[n].latest = reason;
                }
            }
        }
        self.inbox = inbox;
        for n in 0..self.rows.len() {
            updates.extend(self.receipt(n));
        }
        updates
    }

    /// True if every watch has ended and the receiver has every final event.
    pub(super) fn is_over(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.is_final() && row.receipt == Receipt::Received)
    }

    /// Returns the number of watches that have ended.
    pub(super) fn ended(&self) -> usize {
        self.rows.iter().filter(|row| row.is_final()).count()
    }

    /// Returns the numbers of polls and of problems.
    pub(super) fn polls(&self) -> (u32, u32) {
        let watches = self.rows.iter().filter_map(|row| row.watch.as_ref());
        watches.fold((0, 0), |(polls, problems), watch| {
            (polls + watch.polls, problems + watch.problems)
        })
    }

    fn note(&mut self, row: usize, text: String) -> Update {
        self.rows[row].latest.clone_from(&text);
        Update { row, text }
    }

    /// Notes a change of the receipt, which has a column of its own and leaves the latest
    /// change of the job visible.
    fn receipt(&mut self, n: usize) -> Option<Update> {
        let id = self.rows[n].watch.as_ref()?.id.clone();
        let is_received = self.inbox.events.iter().any(|event| event.watch_id == id);
        let is_rejected = matches!(&self.inbox.rejected, Some((watch, _)) if *watch == id);
        let receipt = match (is_received, is_rejected) {
            (true, _) => Receipt::Received,
            (false, true) => Receipt::Rejected,
            (false, false) => Receipt::None,
        };
        let before = std::mem::replace(&mut self.rows[n].receipt, receipt);
        let text = match receipt {
            _ if receipt == before => return None,
            Receipt::None => return None,
            Receipt::Rejected => "the receiver is down (503): the event is sent again in 5 s",
            Receipt::Received => "the receiver has the event, and the signature is valid",
        };
        Some(Update {
            row: n,
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::demo::receiver::Event;
    use crate::cli::demo::scenario::cases;

    pub(in crate::cli::demo) use crate::cli::change::tests::watch;

    /// The demo with its first two cases submitted, as watches `w0` and `w1`.
    pub(in crate::cli::demo) fn begun() -> Progress {
        let mut progress = Progress::new(cases().into_iter().take(2).collect());
        for id in ["w0", "w1"] {
            let (row, _) = progress.next_case().unwrap();
            progress.submitted(row, watch(id, "watching"));
        }
        progress
    }

    /// An inbox with the final event of each of these watches.
    pub(in crate::cli::demo) fn inbox(watches: &[&str]) -> Inbox {
        let event = |id: &&str| Event {
            id: format!("e-{id}"),
            watch_id: (*id).to_owned(),
            body: json!({"type": "dev.jobwatch.job.failed"}).to_string(),
        };
        Inbox {
            events: watches.iter().map(event).collect(),
            ..Inbox::default()
        }
    }

    #[test]
    fn a_change_is_reported_once_and_the_most_important_first() {
        let running = WatchView {
            status: Some("RUNNING".into()),
            ..watch("w0", "watching")
        };
        let odd = WatchView {
            unknown_status: Some("SYNCING".into()),
            status: Some("SYNCING".into()),
            ..running.clone()
        };
        let failed = WatchView {
            status: Some("FAIL".into()),
            reason: Some("no disk".into()),
            ..watch("w0", "failed")
        };
        let mut progress = begun();
        let mut changes = |watch: &WatchView| {
            let updates = progress.update(vec![watch.clone()], Inbox::default());
            updates
                .into_iter()
                .map(|update| update.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(changes(&running), ["seen as RUNNING"]);
        assert!(changes(&running).is_empty());
        assert_eq!(changes(&odd), ["unknown status SYNCING: counts as running"]);
        assert_eq!(changes(&failed), ["watching → failed (no disk)"]);
    }

    #[test]
    fn problems_are_counted_by_kind_and_reported() {
        let throttled = json!({
            "kind": "throttled", "http_status": 429, "code": "APIGW.0308", "message": "slowly",
            "at": "2026-01-01T00:00:00Z",
        });
        let after = WatchView {
            problems: 2,
            polls: 3,
            last_problem: serde_json::from_value(throttled).unwrap(),
            ..watch("w1", "watching")
        };
        let mut progress = begun();
        let updates = progress.update(vec![after], Inbox::default());
        assert_eq!(updates[0].text, "throttled: 429 APIGW.0308, slowly");
        assert_eq!(progress.problems["throttled"], 2);
        assert_eq!(progress.polls(), (3, 2));
    }

    #[test]
    fn it_is_over_when_the_receiver_has_every_final_event() {
        let mut progress = begun();
        let ended = || vec![watch("w0", "succeeded"), watch("w1", "failed")];
        progress.update(ended(), inbox(&["w0"]));
        assert_eq!((progress.ended(), progress.is_over()), (2, false));
        progress.update(ended(), inbox(&["w0", "w1"]));
        assert!(progress.is_over());
    }
}
