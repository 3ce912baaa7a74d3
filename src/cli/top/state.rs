//! The state of `top`: the last answers of the daemon, and the place of the reader in them.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Deserialize;

use crate::api::view::WatchView;
use crate::watch::observation::ProblemNote;

/// The longest text of a filter, in characters.
const FILTER_MAX: usize = 100;

/// A service and its budget, as far as `top` shows them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Service {
    pub(super) name: String,
    /// `ok`, `failing`, `blind`, `throttled` or `idle`.
    #[serde(default)]
    pub(super) health: Option<String>,
    #[serde(default)]
    pub(super) last_answer: Option<LastAnswer>,
    pub(super) budget: Budget,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct LastAnswer {
    pub(super) at: Timestamp,
    pub(super) http_status: Option<u16>,
    #[serde(default)]
    pub(super) problem: Option<Problem>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Problem {
    pub(super) kind: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Budget {
    /// The present polls a second.
    pub(super) rate: f64,
    /// The number of polls that are due and wait.
    pub(super) waiting: usize,
    pub(super) paused_until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Services {
    pub(super) services: Vec<Service>,
}

/// One reading of the daemon.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) services: Vec<Service>,
    pub(super) watches: Vec<WatchView>,
    /// True if the daemon watches more than these.
    pub(super) has_more: bool,
}

/// A key, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Escape,
    Erase,
    Text(char),
}

/// The place of the reader.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) reading: Reading,
    /// The daemon does not answer since then; the reading is from before.
    pub(super) lost: Option<String>,
    /// The first watch that is shown.
    pub(super) offset: usize,
    pub(super) filter: String,
    /// True while the reader types the filter.
    pub(super) is_typing: bool,
}

impl State {
    /// Takes a new reading, with problems first and then the oldest.
    pub(super) fn take(&mut self, mut reading: Reading) {
        reading.watches.sort_by_key(|watch| {
            let is_fine = problem(watch).is_none();
            (is_fine, watch.submitted_at, Reverse(watch.id.clone()))
        });
        self.reading = reading;
        self.lost = None;
    }

    /// Returns the watches that the filter lets through.
    pub(super) fn shown(&self) -> Vec<&WatchView> {
        let wanted = self.filter.to_lowercase();
        let watches = self.reading.watches.iter();
        watches.filter(|watch| matches(watch, &wanted)).collect()
    }

    /// Reacts to a key; true if the program ends. `page` is the number of watches that fit.
    pub(super) fn press(&mut self, key: Key, page: usize) -> bool {
        if self.is_typing {
            self.type_key(key);
            return false;
        }
        let page = page.max(1);
        let offset = match key {
            Key::Text('q') => return true,
            Key::Escape if self.filter.is_empty() => return true,
            Key::Escape => {
                self.filter.clear();
                0
            }
            Key::Text('/') => {
                self.is_typing = true;
                return false;
            }
            Key::Up | Key::Text('k') => self.offset.saturating_sub(1),
            Key::Down | Key::Text('j') => self.offset.saturating_add(1),
            Key::PageUp => self.offset.saturating_sub(page),
            Key::PageDown | Key::Text(' ') => self.offset.saturating_add(page),
            Key::First | Key::Text('g') => 0,
            Key::Last | Key::Text('G') => usize::MAX,
            Key::Enter | Key::Erase | Key::Text(_) => return false,
        };
        self.scroll_to(offset, page);
        false
    }

    fn type_key(&mut self, key: Key) {
        match key {
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                self.is_typing = false;
                self.filter.clear();
            }
            Key::Erase => drop(self.filter.pop()),
            Key::Text(c) if self.filter.chars().count() < FILTER_MAX => self.filter.push(c),
            _ => {}
        }
        self.offset = 0;
    }

    /// Scrolls, at most to the last page.
    pub(super) fn scroll_to(&mut self, offset: usize, page: usize) {
        let last = self.shown().len().saturating_sub(page);
        self.offset = offset.min(last);
    }
}

/// True if some text of the watch contains `wanted`, which is in lower case.
fn matches(watch: &WatchView, wanted: &str) -> bool {
    let labels = watch.labels.iter();
    let labels = labels.map(|(name, value)| format!("{name}={value}"));
    let job = format!("{}/{}", watch.service, watch.job_id);
    let status = watch.status.clone().unwrap_or_default();
    let mut texts = [job, status, watch.id.clone()].into_iter().chain(labels);
    texts.any(|text| text.to_lowercase().contains(wanted))
}

/// Returns the problem of the last poll; `None` if that poll showed the job.
pub(super) fn problem(watch: &WatchView) -> Option<&ProblemNote> {
    let note = watch.last_problem.as_ref();
    note.filter(|_| watch.problems_in_a_row > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::change::tests::watch;

    fn state(count: usize) -> State {
        let watches = (0..count).map(|n| WatchView {
            job_id: format!("job-{n}"),
            ..watch(&format!("w{n:02}"), "watching")
        });
        let mut state = State::default();
        state.take(Reading {
            watches: watches.collect(),
            ..Reading::default()
        });
        state
    }

    #[test]
    fn scrolling_ends_at_the_first_and_the_last_page() {
        let mut state = state(25);
        for (key, offset) in [
            (Key::Up, 0),
            (Key::Down, 1),
            (Key::PageDown, 11),
            (Key::PageDown, 15),
            (Key::Down, 15),
            (Key::First, 0),
            (Key::Last, 15),
            (Key::PageUp, 5),
            (Key::Text('k'), 4),
        ] {
            assert!(!state.press(key, 10));
            assert_eq!(state.offset, offset, "{key:?}");
        }
        assert!(state.press(Key::Text('q'), 10));
    }

    #[test]
    fn a_filter_is_typed_kept_and_dropped() {
        let mut state = state(25);
        for key in "/JOB-2q".chars() {
            assert!(!state.press(Key::Text(key), 10), "q is a letter here");
        }
        assert!(state.shown().is_empty());
        state.press(Key::Erase, 10);
        state.press(Key::Enter, 10);
        assert_eq!((state.filter.as_str(), state.is_typing), ("JOB-2", false));
        assert_eq!(state.shown().len(), 6);
        assert!(!state.press(Key::Escape, 10));
        assert_eq!(state.shown().len(), 25);
        assert!(state.press(Key::Escape, 10));
    }

    #[test]
    fn problems_come_first_and_then_the_oldest() {
        let note = serde_json::json!({
            "kind": "throttled", "http_status": 429, "code": null, "message": "slowly",
            "at": "2026-01-01T00:00:00Z",
        });
        let at = |second| Timestamp::from_second(second).unwrap();
        let of = |id: &str, submitted: i64, in_a_row| WatchView {
            submitted_at: at(submitted),
            problems_in_a_row: in_a_row,
            last_problem: serde_json::from_value(note.clone()).unwrap(),
            ..watch(id, "watching")
        };
        let mut state = State::default();
        state.take(Reading {
            watches: vec![of("new", 30, 0), of("old", 10, 0), of("bad", 20, 2)],
            ..Reading::default()
        });
        let ids: Vec<&str> = state.shown().iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["bad", "old", "new"]);
    }
}
