//! The newest events of the log, in memory: bounded by number and by bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::store::{Cursor, LoggedEvent};
use crate::watch::WatchId;

/// The most events that are kept.
const EVENTS_MAX: usize = 8192;
/// The most bytes of event bodies that are kept; one event is kept even if it is larger.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The place of an event among all that this process has announced.
pub(super) type Place = u64;

/// The newest events, in the order of the log.
#[derive(Debug)]
pub(super) struct Tail {
    /// The place of the first event that is kept.
    first: Place,
    events: VecDeque<Arc<LoggedEvent>>,
    bytes: usize,
    /// The position in the log before the first event that is kept.
    before: Cursor,
    /// The place of the latest event of each watch, among those that are kept.
    latest: HashMap<WatchId, Place>,
}

/// The answer to a follower that asks for the next events.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// The events at the place and after it, perhaps none.
    Events(Vec<Arc<LoggedEvent>>),
    /// The events at the place are not kept any more.
    Gone,
}

impl Tail {
    /// Makes an empty tail at a position in the log.
    pub(super) fn at(position: Cursor) -> Self {
        Self {
            first: 0,
            events: VecDeque::new(),
            bytes: 0,
            before: position,
            latest: HashMap::new(),
        }
    }

    /// Forgets all events and goes on at a position in the log.
    pub(super) fn jump(&mut self, position: Cursor) {
        // A follower that stands before the jump finds its place gone.
        self.first = self.end() + 1;
        self.events.clear();
        self.latest.clear();
        self.bytes = 0;
        self.before = position;
    }

    pub(super) fn push(&mut self, event: Arc<LoggedEvent>) {
        if let Some(watch) = event.watch_id {
            self.latest.insert(watch, self.end());
        }
        self.bytes += event.body.len();
        self.events.push_back(event);
        while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(event) = self.events.pop_front() else {
            return;
        };
        self.bytes -= event.body.len();
        if let Some(watch) = event.watch_id
            && self.latest.get(&watch) == Some(&self.first)
        {
            self.latest.remove(&watch);
        }
        self.before = event.cursor.clone();
        self.first += 1;
    }

    /// Returns the place after the newest event.
    pub(super) fn end(&self) -> Place {
        self.first + self.events.len() as Place
    }

    /// Returns the position in the log after the newest event.
    pub(super) fn position(&self) -> &Cursor {
        self.events.back().map_or(&self.before, |it| &it.cursor)
    }

    /// Returns the place after a position in the log; `None` if the position is not known here.
    pub(super) fn place_after(&self, position: &Cursor) -> Option<Place> {
        // The position is nearly always a recent one.
        let mut kept = self.events.iter().rev().zip((0..self.end()).rev());
        let found = kept.find(|(event, _)| event.cursor == *position);
        match found {
            Some((_, place)) => Some(place + 1),
            None => (self.before == *position).then_some(self.first),
        }
    }

    /// Returns at most `limit` events from a place on.
    pub(super) fn from(&self, place: Place, limit: usize) -> Next {
        let Some(skip) = place.checked_sub(self.first) else {
            return Next::Gone;
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Next::Events(self.events.iter().skip(skip).take(limit).cloned().collect())
    }

    /// True if a watch has an event after a position in the log, or may have one: the position is
    /// not known here.
    pub(super) fn has_event_after(&self, position: &Cursor, watches: &[WatchId]) -> bool {
        let Some(place) = self.place_after(position) else {
            return true;
        };
        let mut latest = watches.iter().filter_map(|watch| self.latest.get(watch));
        latest.any(|latest| *latest >= place)
    }

    /// True if one of the kept events is about the watch.
    pub(super) fn knows(&self, watch: WatchId) -> bool {
        self.latest.contains_key(&watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn event(n: u128, watch: u128, size: usize) -> Arc<LoggedEvent> {
        Arc::new(LoggedEvent {
            cursor: Cursor::new(n.to_string()),
            id: Uuid::from_u128(n),
            watch_id: Some(WatchId(Uuid::from_u128(watch))),
            type_name: "dev.jobwatch.job.changed".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            body: "x".repeat(size),
        })
    }

    fn filled(count: u128) -> Tail {
        let mut tail = Tail::at(Cursor::new("0"));
        for n in 1..=count {
            tail.push(event(n, n % 7, 10));
        }
        tail
    }

    fn cursors(next: Next) -> Vec<String> {
        match next {
            Next::Events(events) => events
                .iter()
                .map(|it| it.cursor.content().to_owned())
                .collect(),
            Next::Gone => vec!["gone".to_owned()],
        }
    }

    #[test]
    fn a_follower_gets_each_event_after_its_position_once() {
        let tail = filled(9);
        let place = tail.place_after(&Cursor::new("4")).unwrap();
        assert_eq!(cursors(tail.from(place, 2)), ["5", "6"]);
        assert_eq!(cursors(tail.from(place + 2, 99)), ["7", "8", "9"]);
        assert_eq!(cursors(tail.from(tail.end(), 99)), [""; 0]);
        assert_eq!(tail.place_after(&Cursor::new("0")), Some(0));
        assert_eq!(tail.place_after(&Cursor::new("77")), None);
    }

    #[test]
    fn old_events_make_room() {
        let many = EVENTS_MAX as u128 + 5;
        let tail = filled(many);
        assert_eq!(tail.events.len(), EVENTS_MAX);
        assert_eq!(tail.from(0, 1), Next::Gone);
        assert_eq!(tail.place_after(&Cursor::new("5")), Some(5));
        assert_eq!(tail.place_after(&Cursor::new("4")), None);
        let mut tail = filled(3);
        tail.push(event(4, 1, BYTES_MAX + 1));
        assert_eq!(tail.events.len(), 1, "a large event is kept alone");
        assert_eq!(tail.bytes, BYTES_MAX + 1);
        assert!(!tail.knows(WatchId(Uuid::from_u128(2))));
        assert!(tail.knows(WatchId(Uuid::from_u128(1))));
    }

    #[test]
    fn events_after_a_position_are_found_by_watch() {
        let tail = filled(9);
        let watch = |n| [WatchId(Uuid::from_u128(n))];
        assert!(tail.has_event_after(&Cursor::new("7"), &watch(1)));
        assert!(!tail.has_event_after(&Cursor::new("8"), &watch(1)));
        assert!(!tail.has_event_after(&Cursor::new("0"), &watch(99)));
        let unknown = Cursor::new("older");
        assert!(
            tail.has_event_after(&unknown, &watch(99)),
            "it may have one"
        );
    }

    #[test]
    fn after_a_jump_older_places_are_gone() {
        let mut tail = filled(3);
        let place = tail.end();
        tail.jump(Cursor::new("500"));
        assert_eq!(tail.from(place, 1), Next::Gone);
        assert_eq!(tail.position(), &Cursor::new("500"));
        tail.push(event(501, 1, 1));
        let place = tail.place_after(&Cursor::new("500")).unwrap();
        assert_eq!(cursors(tail.from(place, 9)), ["501"]);
    }
}
