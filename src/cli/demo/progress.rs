//! How far the demo is: for each act the watch as the API last showed it, and what was
//! new about it.

use std::collections::BTreeMap;

use crate::api::view::WatchView;
use crate::cli::demo::receiver::Inbox;
use crate::cli::demo::scenario::Act;
use crate::watch::State;
use crate::watch::observation::ProblemNote;

/// One act and what became of it so far.
pub(super) struct Row {
    /// The act.
    pub(super) act: Act,
    /// Its watch; `None` until it is submitted.
    pub(super) watch: Option<WatchView>,
    /// What was last new.
    pub(super) news: String,
    /// Whether the receiver has heard of its end.
    pub(super) told: Told,
}

/// What the receiver has heard of the end of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing.
    No,
    /// It was down when the event came.
    TurnedAway,
    /// The event, with a signature that holds.
    Yes,
}

/// Something new about one act.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Which row it is about.
    pub(super) row: usize,
    /// What is new.
    pub(super) text: String,
}

/// The whole demo so far.
pub(super) struct Progress {
    /// One row an act.
    pub(super) rows: Vec<Row>,
    /// How many problems of each kind polls have met.
    pub(super) problems: BTreeMap<&'static str, u32>,
    /// What came to the receiver.
    pub(super) inbox: Inbox,
}

impl Row {
    /// Whether the watch is over.
    pub(super) fn is_final(&self) -> bool {
        self.watch
            .as_ref()
            .is_some_and(|watch| watch.state != State::Watching.as_str())
    }

    /// The state's word; empty before the submission.
    pub(super) fn state(&self) -> &str {
        self.watch.as_ref().map_or("", |watch| &watch.state)
    }
}

impl Progress {
    /// Nothing has been submitted.
    pub(super) fn new(acts: Vec<Act>) -> Self {
        let row = |act| Row {
            act,
            watch: None,
            news: String::new(),
            told: Told::No,
        };
        Self {
            rows: acts.into_iter().map(row).collect(),
            problems: BTreeMap::new(),
            inbox: Inbox::default(),
        }
    }

    /// The act that begins next.
    pub(super) fn next_act(&self) -> Option<(usize, &Act)> {
        let row = self.rows.iter().position(|row| row.watch.is_none())?;
        Some((row, &self.rows[row].act))
    }

    /// The act of `row` was submitted.
    pub(super) fn submitted(&mut self, row: usize, watch: WatchView) -> News {
        self.rows[row].watch = Some(watch);
        self.note(row, "submitted".to_owned())
    }

    /// Takes in what the API and the receiver show now; gives what is new.
    pub(super) fn look(&mut self, watches: Vec<WatchView>, inbox: Inbox) -> Vec<News> {
        let mut news = Vec::new();
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
                news.push(self.note(n, text));
                // The state is in its own column; why it ended so deserves the room.
                if let Some(why) = why(&after).filter(|_| self.rows[n].is_final()) {
                    self.rows[n].news = why;
                }
            }
        }
        self.inbox = inbox;
        for n in 0..self.rows.len() {
            news.extend(self.told(n));
        }
        news
    }

    /// Every watch has ended and the receiver knows.
    pub(super) fn is_over(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.is_final() && row.told == Told::Yes)
    }

    /// How many watches have ended.
    pub(super) fn ended(&self) -> usize {
        self.rows.iter().filter(|row| row.is_final()).count()
    }

    /// Polls, and those that met a problem.
    pub(super) fn polls(&self) -> (u32, u32) {
        let watches = self.rows.iter().filter_map(|row| row.watch.as_ref());
        watches.fold((0, 0), |(polls, problems), watch| {
            (polls + watch.polls, problems + watch.problems)
        })
    }

    fn note(&mut self, row: usize, text: String) -> News {
        self.rows[row].news.clone_from(&text);
        News { row, text }
    }

    /// What the receiver heard is shown in a column of its own and does not hide the
    /// news of the job.
    fn told(&mut self, n: usize) -> Option<News> {
        let id = self.rows[n].watch.as_ref()?.id.clone();
        let is_told = self.inbox.events.iter().any(|event| event.watch_id == id);
        let is_turned_away = matches!(&self.inbox.turned_away, Some((watch, _)) if *watch == id);
        let told = match (is_told, is_turned_away) {
            (true, _) => Told::Yes,
            (false, true) => Told::TurnedAway,
            (false, false) => Told::No,
        };
        let before = std::mem::replace(&mut self.rows[n].told, told);
        let text = match told {
            _ if told == before => return None,
            Told::No => return None,
            Told::TurnedAway => "the receiver is down (503): its event is sent again in 5 s",
            Told::Yes => "the receiver has its event, and the signature holds",
        };
        Some(News {
            row: n,
            text: text.to_owned(),
        })
    }
}

/// What is new in `after`, most important first.
fn change(before: &WatchView, after: &WatchView) -> Option<String> {
    if before.state != after.state {
        return Some(ending(before, after));
    }
    if after.problems > before.problems {
        return after.last_problem.as_ref().map(problem);
    }
    if after.unknown_status.is_some() && before.unknown_status != after.unknown_status {
        let status = after.unknown_status.as_deref().unwrap_or_default();
        return Some(format!("unknown status {status}: counts as running"));
    }
    match (&before.status, &after.status) {
        (Some(old), Some(new)) if old != new => Some(format!("{old} → {new}")),
        (None, Some(new)) => Some(format!("seen as {new}")),
        _ => None,
    }
}

fn ending(before: &WatchView, after: &WatchView) -> String {
    let turn = format!("{} → {}", before.state, after.state);
    match why(after) {
        Some(why) => format!("{turn} ({why})"),
        None => turn,
    }
}

/// The code and the reason that the service gave.
fn why(watch: &WatchView) -> Option<String> {
    let given = [watch.code.as_deref(), watch.reason.as_deref()];
    let given: Vec<&str> = given.into_iter().flatten().collect();
    (!given.is_empty()).then(|| given.join(": "))
}

fn problem(note: &ProblemNote) -> String {
    let status = note.http_status.map(|status| status.to_string());
    let details: Vec<&str> = [status.as_deref(), note.code.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let message = if details.is_empty() {
        note.message.clone()
    } else {
        format!("{}, {}", details.join(" "), note.message)
    };
    format!("{}: {message}", note.kind)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::demo::receiver::Event;
    use crate::cli::demo::scenario::acts;

    /// A watch as the API shows it.
    pub(in crate::cli::demo) fn watch(id: &str, state: &str) -> WatchView {
        let at = "2026-01-01T00:00:00Z";
        serde_json::from_value(json!({
            "id": id, "service": "dcs", "job_id": "j", "job_type": null, "state": state,
            "status": null, "code": null, "reason": null, "submitted_at": at, "began_at": null,
            "ended_at": null, "finished_at": null, "deadline": at, "next_poll_at": null,
            "polls": 0, "problems": 0, "last_problem": null, "unknown_status": null,
            "progress": null, "children": [], "resources": null, "labels": {}, "params": {},
        }))
        .unwrap()
    }

    /// The demo with its first two acts submitted, as watches `w0` and `w1`.
    pub(in crate::cli::demo) fn begun() -> Progress {
        let mut progress = Progress::new(acts().into_iter().take(2).collect());
        for id in ["w0", "w1"] {
            let (row, _) = progress.next_act().unwrap();
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
    fn what_is_new_is_told_once_and_the_most_important_first() {
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
        let mut look = |watch: &WatchView| {
            let news = progress.look(vec![watch.clone()], Inbox::default());
            news.into_iter().map(|news| news.text).collect::<Vec<_>>()
        };
        assert_eq!(look(&running), ["seen as RUNNING"]);
        assert!(look(&running).is_empty());
        assert_eq!(look(&odd), ["unknown status SYNCING: counts as running"]);
        assert_eq!(look(&failed), ["watching → failed (no disk)"]);
    }

    #[test]
    fn problems_are_counted_by_kind_and_told() {
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
        let news = progress.look(vec![after], Inbox::default());
        assert_eq!(news[0].text, "throttled: 429 APIGW.0308, slowly");
        assert_eq!(progress.problems["throttled"], 2);
        assert_eq!(progress.polls(), (3, 2));
    }

    #[test]
    fn it_is_over_when_every_watch_has_ended_and_the_receiver_knows() {
        let mut progress = begun();
        let ended = || vec![watch("w0", "succeeded"), watch("w1", "failed")];
        progress.look(ended(), inbox(&["w0"]));
        assert_eq!((progress.ended(), progress.is_over()), (2, false));
        progress.look(ended(), inbox(&["w0", "w1"]));
        assert!(progress.is_over());
    }
}
