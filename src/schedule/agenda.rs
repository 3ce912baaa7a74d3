//! The order of the next polls: one queue in memory for all watches, no task per watch.
//!
//! The agenda keeps only the part of each watch that polling needs, so that a million fit on
//! a small machine. It is built from the store on start and never written (invariant 6).
//! Times are *uptime*, which does not jump when the wall clock is set.
//!
//! A watch is in one of two conditions: *queued*, with a due time, or *taken*, while the
//! poller polls it or has set it aside. The poller puts a taken watch back with [`Agenda::schedule`], or removes
//! it. If the watch was removed while it was taken, `schedule` does nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::schedule::Duty;
use crate::schedule::places::{Places, Scheduled};
use crate::schedule::reason::Reason;
use crate::watch::WatchId;

pub use crate::schedule::places::Ticket;
pub use crate::watch::entry::Entry;

/// The queue may have as many outdated entries as there are watches, and these beside them.
const OUTDATED: usize = 1024;

/// The place of a watch in the order of polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The uptime at which it is due, or was due if it is taken.
    pub due: Duration,
    /// The kind of duty that is due then.
    pub duty: Duty,
    /// The reason for that time.
    pub reason: Reason,
    /// The uptime of the last answer, in whole seconds; `None` before the first of this process.
    pub answered: Option<Duration>,
}

/// Due time in microseconds, place, generation: the earliest comes first, and ties come in the
/// order of the places.
type Queued = Reverse<(u64, u32, u32)>;

/// The queue of all watches that need polls; see the module.
#[derive(Debug, Default)]
pub struct Agenda {
    places: Places,
    queue: BinaryHeap<Queued>,
    /// The number of entries with the duty [`Duty::PollLate`].
    late: usize,
}

impl Agenda {
    /// Returns the number of watches without an outcome, queued or taken.
    pub fn watching(&self) -> usize {
        self.places.len() - self.late
    }

    /// Counts the watches without an outcome of these services. It visits all entries.
    pub fn count_of(&self, services: &[String]) -> usize {
        let goes_on = self
            .places
            .all()
            .filter(|watch| watch.duty != Duty::PollLate);
        let of_one = |watch: &&Scheduled| services.iter().any(|it| **it == *watch.entry.service);
        goes_on.filter(of_one).count()
    }

    /// Returns the watches whose entries are wanted. It visits all entries.
    pub fn find_all(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<WatchId> {
        let wanted = self.places.all().filter(|watch| is_wanted(&watch.entry));
        wanted.map(|watch| watch.entry.id).collect()
    }

    /// Adds a watch, whose first poll comes after a first interval.
    pub fn add(&mut self, entry: Entry, duty: Duty, due: Duration) {
        self.add_for(Reason::First, entry, duty, due);
    }

    /// Adds a watch. A watch that is already on the agenda stays as it is.
    pub fn add_for(&mut self, reason: Reason, entry: Entry, duty: Duty, due: Duration) {
        let due = micros(due);
        if let Some(ticket) = self.places.add(Scheduled::new(entry, duty, reason, due)) {
            self.late += usize::from(duty == Duty::PollLate);
            self.push(due, ticket);
        }
    }

    /// Takes the next entry that is due at `uptime`; `None` if there is none.
    pub fn take_due(&mut self, uptime: Duration) -> Option<(Ticket, Duty)> {
        let now = micros(uptime);
        while let Some(&Reverse((due, place, generation))) = self.queue.peek() {
            if due > now {
                return None;
            }
            self.queue.pop();
            let ticket = Ticket::new(place, generation);
            if let Some(found) = self.places.get(ticket) {
                return Some((ticket, found.duty));
            }
        }
        None
    }

    /// Returns the uptime at which the next queued entry is due.
    pub fn next_due(&mut self) -> Option<Duration> {
        while let Some(&Reverse((due, place, generation))) = self.queue.peek() {
            if self.places.get(Ticket::new(place, generation)).is_some() {
                return Some(Duration::from_micros(due));
            }
            self.queue.pop();
        }
        None
    }

    /// Returns the entry of a ticket; `None` if it was removed.
    pub fn entry(&self, ticket: Ticket) -> Option<&Entry> {
        self.places.get(ticket).map(|watch| &watch.entry)
    }

    /// Returns the uptime at which the entry of a ticket is due, or was due if it is taken.
    pub fn due(&self, ticket: Ticket) -> Option<Duration> {
        let watch = self.places.get(ticket)?;
        Some(Duration::from_micros(watch.due))
    }

    /// Returns the entry of a ticket for changes; `None` if it was removed.
    pub fn entry_mut(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        self.places.get_mut(ticket).map(|watch| &mut watch.entry)
    }

    /// Notes that there was an answer about the entry of a ticket.
    pub fn note_answer(&mut self, ticket: Ticket, uptime: Duration) {
        if let Some(watch) = self.places.get_mut(ticket) {
            watch.note_answer(uptime);
        }
    }

    /// Puts a taken entry back into the queue, after an interval. Does nothing if it was removed.
    pub fn schedule(&mut self, ticket: Ticket, duty: Duty, due: Duration) {
        self.schedule_for(Reason::Interval, ticket, duty, due);
    }

    /// Puts a taken entry back into the queue. Does nothing if it was removed.
    pub fn schedule_for(&mut self, reason: Reason, ticket: Ticket, duty: Duty, due: Duration) {
        let Some(watch) = self.places.get_mut(ticket) else {
            return;
        };
        watch.reason = reason;
        let before = std::mem::replace(&mut watch.duty, duty);
        watch.due = micros(due);
        self.late -= usize::from(before == Duty::PollLate);
        self.late += usize::from(duty == Duty::PollLate);
        self.queue_again(ticket.place(), micros(due));
    }

    /// Makes the poll of a watch due at `due`, if it is due later. A watch that is due at `uptime` was
    /// taken already: it waits for its budget or is polled now, and is polled once more after that.
    /// Returns false if the watch is not on the agenda, or if its next duty is not a poll: it ends at
    /// its deadline, or has ended and is polled for a late result.
    pub fn hasten(&mut self, id: WatchId, due: Duration, uptime: Duration) -> bool {
        let (due, now) = (micros(due), micros(uptime));
        let Some(place) = self.places.find(id) else {
            return false;
        };
        let watch = self.places.at_mut(place);
        let Some(watch) = watch.filter(|watch| watch.duty == Duty::Poll) else {
            return false;
        };
        if watch.due > now && watch.due > due {
            watch.due = due;
            watch.reason = Reason::Asked;
            self.queue_again(place, due);
        } else if watch.due <= now {
            // A watch that is due was taken already, and its answer may be older than the request.
            watch.poll_requested = true;
        }
        true
    }

    /// Notes that a taken entry is set aside: no poll of it may start before it is queued again.
    pub fn set_aside(&mut self, ticket: Ticket) {
        if let Some(watch) = self.places.get_mut(ticket) {
            watch.is_set_aside = true;
        }
    }

    /// Makes the poll of a watch that was set aside due at `uptime`. Returns false if it was not set
    /// aside.
    pub fn take_back(&mut self, id: WatchId, uptime: Duration) -> bool {
        let Some(place) = self.places.find(id) else {
            return false;
        };
        let watch = self.places.at_mut(place);
        let Some(watch) = watch.filter(|watch| watch.is_set_aside) else {
            return false;
        };
        watch.due = micros(uptime);
        watch.duty = Duty::Poll;
        watch.reason = Reason::Asked;
        watch.poll_requested = false;
        self.queue_again(place, micros(uptime));
        true
    }

    /// Returns true if a poll of the entry was requested while it was taken; forgets the request.
    pub fn take_poll_request(&mut self, ticket: Ticket) -> bool {
        self.places
            .get_mut(ticket)
            .is_some_and(|watch| std::mem::take(&mut watch.poll_requested))
    }

    /// Removes a watch, queued or taken.
    pub fn forget(&mut self, id: WatchId) {
        if let Some(watch) = self.places.remove(id) {
            self.late -= usize::from(watch.duty == Duty::PollLate);
        }
    }

    /// Returns the entry of a watch that has no outcome yet, and the time when it is due.
    pub fn look_up(&self, id: WatchId) -> Option<(&Entry, Duration)> {
        let watch = self.places.at(self.places.find(id)?)?;
        let due = Duration::from_micros(watch.due);
        (watch.duty != Duty::PollLate).then_some((&watch.entry, due))
    }

    /// Returns the place of a watch in the order of polls, also of one that has ended and is polled
    /// for a late result.
    pub fn planned(&self, id: WatchId) -> Option<Planned> {
        let watch = self.places.at(self.places.find(id)?)?;
        Some(Planned {
            due: Duration::from_micros(watch.due),
            duty: watch.duty,
            reason: watch.reason,
            answered: watch.answered(),
        })
    }

    /// Queues the watch in a place; its earlier entry in the queue becomes outdated.
    fn queue_again(&mut self, place: u32, due: u64) {
        if let Some(watch) = self.places.at_mut(place) {
            watch.is_set_aside = false;
        }
        if let Some(ticket) = self.places.renew(place) {
            self.push(due, ticket);
        }
    }

    fn push(&mut self, due: u64, ticket: Ticket) {
        let Self { places, queue, .. } = self;
        if queue.len() > 2 * places.len() + OUTDATED {
            queue.retain(|Reverse((_, place, generation))| {
                places.get(Ticket::new(*place, *generation)).is_some()
            });
        }
        queue.push(Reverse((due, ticket.place(), ticket.generation())));
    }
}

/// Returns an uptime in whole microseconds, rounded up.
fn micros(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tracking::Tracking;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use std::sync::Arc;
    use uuid::Uuid;

    fn entry(n: u128) -> Entry {
        let id = WatchId(Uuid::from_u128(n));
        let times = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let tracking = Tracking::default();
        Entry::new(id, "dcs".into(), "job", Arc::default(), times, tracking)
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn taken(agenda: &mut Agenda, uptime: Duration) -> Vec<u128> {
        std::iter::from_fn(|| agenda.take_due(uptime))
            .map(|(ticket, _)| ticket)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|ticket| agenda.entry(ticket).unwrap().id.0.as_u128())
            .collect()
    }

    #[test]
    fn entries_come_when_due_and_in_order() {
        let mut agenda = Agenda::default();
        agenda.add(entry(1), Duty::Poll, at(3));
        agenda.add(entry(2), Duty::Poll, at(1));
        agenda.add(entry(3), Duty::Poll, at(9));
        assert_eq!(agenda.next_due(), Some(at(1)));
        assert_eq!(taken(&mut agenda, at(5)), [2, 1]);
        assert_eq!(agenda.next_due(), Some(at(9)));
        assert_eq!(agenda.watching(), 3, "a taken entry stays on the agenda");
    }

    #[test]
    fn entry_removed_while_taken_stays_removed() {
        let mut agenda = Agenda::default();
        agenda.add(entry(1), Duty::Poll, at(1));
        let (ticket, _) = agenda.take_due(at(1)).unwrap();
        agenda.forget(WatchId(Uuid::from_u128(1)));
        agenda.schedule(ticket, Duty::Poll, at(2));
        assert_eq!(agenda.take_due(at(9)), None);
        assert_eq!(agenda.watching(), 0);
    }

    #[test]
    fn old_ticket_does_not_reach_the_next_entry_of_its_place() {
        let mut agenda = Agenda::default();
        agenda.add(entry(1), Duty::Poll, at(1));
        let (old, _) = agenda.take_due(at(1)).unwrap();
        agenda.forget(WatchId(Uuid::from_u128(1)));
        agenda.add(entry(2), Duty::Poll, at(5));
        assert!(agenda.entry(old).is_none());
        agenda.schedule(old, Duty::Expire, at(1));
        assert_eq!(agenda.take_due(at(4)), None);
        assert_eq!(agenda.watching(), 1);
    }

    #[test]
    fn late_polls_are_not_counted_as_watching() {
        let mut agenda = Agenda::default();
        agenda.add(entry(1), Duty::PollLate, at(1));
        agenda.add(entry(2), Duty::Poll, at(2));
        assert_eq!(agenda.watching(), 1);
        assert!(agenda.look_up(WatchId(Uuid::from_u128(1))).is_none());
        let (ticket, duty) = agenda.take_due(at(1)).unwrap();
        assert_eq!(duty, Duty::PollLate);
        agenda.schedule(ticket, Duty::PollLate, at(3));
        agenda.forget(WatchId(Uuid::from_u128(1)));
        assert_eq!(agenda.watching(), 1);
        agenda.forget(WatchId(Uuid::from_u128(2)));
        assert_eq!(agenda.watching(), 0);
    }

    #[test]
    fn a_hastened_entry_comes_once_and_at_once() {
        let mut agenda = Agenda::default();
        agenda.add(entry(1), Duty::Poll, at(90));
        agenda.add(entry(2), Duty::Expire, at(90));
        let hasten = |agenda: &mut Agenda, n, due, uptime| {
            agenda.hasten(WatchId(Uuid::from_u128(n)), at(due), at(uptime))
        };
        assert!(hasten(&mut agenda, 1, 5, 5));
        assert!(!hasten(&mut agenda, 2, 5, 5));
        assert!(!hasten(&mut agenda, 3, 5, 5));
        let (ticket, _) = agenda.take_due(at(5)).unwrap();
        assert!(!agenda.take_poll_request(ticket));
        assert!(hasten(&mut agenda, 1, 6, 6), "taken");
        assert!(agenda.take_poll_request(ticket) && !agenda.take_poll_request(ticket));
        agenda.schedule(ticket, Duty::Poll, at(50));
        assert_eq!(taken(&mut agenda, at(60)), [1]);
        assert_eq!(taken(&mut agenda, at(100)), [2]);
    }

    #[test]
    fn an_entry_that_was_set_aside_comes_back_once() {
        let mut agenda = Agenda::default();
        let id = WatchId(Uuid::from_u128(1));
        agenda.add(entry(1), Duty::Poll, at(1));
        assert!(!agenda.take_back(id, at(1)), "queued");
        let (ticket, _) = agenda.take_due(at(1)).unwrap();
        assert!(!agenda.take_back(id, at(1)), "taken");
        agenda.set_aside(ticket);
        assert!(agenda.take_back(id, at(7)) && !agenda.take_back(id, at(7)));
        assert!(agenda.entry(ticket).is_none(), "the ticket is outdated");
        assert_eq!(agenda.next_due(), Some(at(7)));
        assert_eq!(taken(&mut agenda, at(9)), [1]);
        assert_eq!(agenda.take_due(at(9)), None);
    }

    #[test]
    fn hastening_again_and_again_does_not_fill_the_queue() {
        let mut agenda = Agenda::default();
        for n in 0..10 {
            agenda.add(entry(n), Duty::Poll, at(1_000_000));
        }
        for uptime in 0..1000 {
            for n in 0..10 {
                agenda.hasten(WatchId(Uuid::from_u128(n)), at(uptime), at(uptime));
            }
            while let Some((ticket, duty)) = agenda.take_due(at(uptime)) {
                agenda.schedule(ticket, duty, at(1_000_000));
            }
        }
        assert!(agenda.queue.len() <= OUTDATED + 21);
        assert_eq!(taken(&mut agenda, at(1_000_000)).len(), 10);
    }

    proptest! {
        #[test]
        fn every_entry_comes_exactly_once_and_never_early(
            dues in prop::collection::vec(0_u64..50, 1..80), forgotten in prop::collection::hash_set(0_usize..80, 0..20),
        ) {
            let mut agenda = Agenda::default();
            for (n, due) in dues.iter().enumerate() {
                agenda.add(entry(n as u128), Duty::Poll, at(*due));
            }
            for n in &forgotten {
                agenda.forget(WatchId(Uuid::from_u128(*n as u128)));
            }
            let mut seen = Vec::new();
            for now in 0..50 {
                for n in taken(&mut agenda, at(now)) {
                    prop_assert_eq!(dues[usize::try_from(n).unwrap()], now);
                    seen.push(usize::try_from(n).unwrap());
                }
            }
            seen.sort_unstable();
            let expected: Vec<usize> = (0..dues.len()).filter(|n| !forgotten.contains(n)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
