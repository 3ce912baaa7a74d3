//! The polls that are due and wait for one budget, in four lines. Pure.
//!
//! First come watches that were never polled and are near their deadline, then others near their
//! deadline, then those that were never polled. Every [`REST_EVERY`]th turn is for the rest, so
//! that no line waits for ever: a watch is in each of the other lines only for its first polls
//! or its last ones. Within a line the order is that of arrival.
//!
//! A waiting poll takes 16 bytes, and to find those near their deadline costs nothing until the
//! first of a line comes near: there may be a million.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::agenda::Ticket;

/// The time before its deadline in which a watch goes first.
const NEAR: Duration = Duration::from_secs(5);

/// One of this many turns is for the rest.
const REST_EVERY: u8 = 4;

/// The lines, in their order.
const UNPOLLED_NEAR: usize = 0;
const POLLED_NEAR: usize = 1;
const UNPOLLED: usize = 2;
const REST: usize = 3;

#[derive(Debug, Clone, Copy)]
struct WaitingPoll {
    ticket: Ticket,
    /// The deadline of the watch, in milliseconds since 1970.
    deadline: i64,
}

#[derive(Debug)]
struct Line {
    polls: VecDeque<WaitingPoll>,
    /// No watch in this line has an earlier deadline.
    earliest: i64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            polls: VecDeque::new(),
            earliest: i64::MAX,
        }
    }
}

impl Line {
    fn push(&mut self, poll: WaitingPoll) {
        self.earliest = self.earliest.min(poll.deadline);
        self.polls.push_back(poll);
    }
}

/// The polls that wait for one budget; see the module.
#[derive(Debug, Default)]
pub struct Lines {
    by_rank: [Line; 4],
    /// The turns given since the last one of the rest.
    given: u8,
    /// The line of the poll that started last.
    started: usize,
}

impl Lines {
    /// Adds a poll that is due. `was_polled` is true if the watch was polled before.
    pub fn push(&mut self, ticket: Ticket, was_polled: bool, deadline: Timestamp, now: Timestamp) {
        let deadline = deadline.as_millisecond();
        let line = line_of(was_polled, is_near(deadline, now.as_millisecond()));
        self.by_rank[line].push(WaitingPoll { ticket, deadline });
    }

    /// Adds a poll that goes on before all others of its line.
    pub fn push_first(&mut self, ticket: Ticket, was_polled: bool, deadline: Timestamp) {
        let deadline = deadline.as_millisecond();
        let line = &mut self.by_rank[line_of(was_polled, false)];
        line.earliest = line.earliest.min(deadline);
        line.polls.push_front(WaitingPoll { ticket, deadline });
    }

    /// Returns the poll that is next.
    pub fn next(&self) -> Option<Ticket> {
        let first = self.by_rank[self.turn()?].polls.front()?;
        Some(first.ticket)
    }

    /// Removes the poll that is next, because it starts.
    pub fn start_next(&mut self) {
        let Some(line) = self.turn() else { return };
        self.by_rank[line].polls.pop_front();
        self.started = line;
        self.given = if line == REST {
            0
        } else {
            self.given.saturating_add(1)
        };
    }

    /// Removes the poll that is next, because its watch is not on the agenda any more.
    pub fn skip_next(&mut self) {
        if let Some(line) = self.turn() {
            self.by_rank[line].polls.pop_front();
        }
    }

    /// Removes and returns up to `most` polls for which `is_wanted` is true, to go with the poll that
    /// started last: first those of its line, so that each line gets its share. It looks at the first
    /// polls of each line only, several times as many as are wanted.
    pub fn take_some(
        &mut self,
        most: usize,
        mut is_wanted: impl FnMut(Ticket) -> bool,
    ) -> Vec<Ticket> {
        let mut taken = Vec::new();
        let others = (0..=REST).filter(|line| *line != self.started);
        for line in std::iter::once(self.started).chain(others) {
            let line = &mut self.by_rank[line];
            let looked_at = line.polls.len().min(most.saturating_mul(4));
            let rest = line.polls.split_off(looked_at);
            line.polls.retain(|poll| {
                let is_taken = taken.len() < most && is_wanted(poll.ticket);
                if is_taken {
                    taken.push(poll.ticket);
                }
                !is_taken
            });
            line.polls.extend(rest);
        }
        taken
    }

    /// Adds the polls of other lines behind those that wait here.
    pub fn append(&mut self, other: Self) {
        for (line, others) in self.by_rank.iter_mut().zip(other.by_rank) {
            line.earliest = line.earliest.min(others.earliest);
            line.polls.extend(others.polls);
        }
    }

    fn turn(&self) -> Option<usize> {
        let has_any = |line: &usize| !self.by_rank[*line].polls.is_empty();
        let rest = Some(REST).filter(|_| self.given >= REST_EVERY - 1);
        rest.filter(has_any).or_else(|| (0..=REST).find(has_any))
    }

    /// Returns a time before which no waiting watch has its deadline; `None` if none waits.
    pub fn earliest_deadline(&self) -> Option<Timestamp> {
        let filled = self.by_rank.iter().filter(|line| !line.polls.is_empty());
        let earliest = filled.map(|line| line.earliest).min()?;
        // A deadline has fractions of a millisecond.
        Some(Timestamp::from_millisecond(earliest.saturating_add(1)).unwrap_or(Timestamp::MAX))
    }

    /// Moves the polls of watches that have come near their deadline, and removes and returns
    /// those at or beyond their deadline for which `is_over` is true. It is given the ticket, and
    /// whether the watch was polled before.
    pub fn sweep(
        &mut self,
        now: Timestamp,
        mut is_over: impl FnMut(Ticket, bool) -> bool,
    ) -> Vec<Ticket> {
        let now = now.as_millisecond();
        let mut over = Vec::new();
        for index in 0..=REST {
            if !is_near(self.by_rank[index].earliest, now) {
                continue;
            }
            let was_polled = matches!(index, POLLED_NEAR | REST);
            let target = line_of(was_polled, true);
            for poll in std::mem::take(&mut self.by_rank[index]).polls {
                if poll.deadline <= now && is_over(poll.ticket, was_polled) {
                    over.push(poll.ticket);
                } else if is_near(poll.deadline, now) {
                    self.by_rank[target].push(poll);
                } else {
                    self.by_rank[index].push(poll);
                }
            }
        }
        over
    }

    /// Returns the number of polls that wait.
    pub fn len(&self) -> usize {
        self.by_rank.iter().map(|line| line.polls.len()).sum()
    }

    /// True if no poll waits.
    pub fn is_empty(&self) -> bool {
        self.by_rank.iter().all(|line| line.polls.is_empty())
    }

    /// Returns the first poll of each line.
    pub fn firsts(&self) -> impl Iterator<Item = Ticket> {
        let firsts = self.by_rank.iter().map(|line| line.polls.front());
        firsts.flatten().map(|poll| poll.ticket)
    }

    /// Counts the polls for which `is_late` is true, which are those at the beginning of each line. It
    /// is close rather than exact, as some polls near their deadline are out of order.
    pub fn count_late(&self, is_late: impl Fn(Ticket) -> bool) -> usize {
        let count = |line: &Line| line.polls.partition_point(|poll| is_late(poll.ticket));
        self.by_rank.iter().map(count).sum()
    }
}

fn is_near(deadline: i64, now: i64) -> bool {
    deadline.saturating_sub(now) <= i64::try_from(NEAR.as_millis()).unwrap_or(i64::MAX)
}

fn line_of(was_polled: bool, is_near: bool) -> usize {
    match (was_polled, is_near) {
        (false, true) => UNPOLLED_NEAR,
        (true, true) => POLLED_NEAR,
        (false, false) => UNPOLLED,
        (true, false) => REST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::later;
    use crate::schedule::Duty;
    use crate::schedule::agenda::{Agenda, Entry};
    use crate::watch::WatchId;
    use crate::watch::tracking::Tracking;
    use std::collections::HashSet;
    use std::sync::Arc;
    use uuid::Uuid;

    const START: Timestamp = Timestamp::UNIX_EPOCH;
    const MS: Duration = Duration::from_millis(1);

    fn at(secs: u64) -> Timestamp {
        later(START, Duration::from_secs(secs))
    }

    fn tickets(n: u128) -> Vec<Ticket> {
        let mut agenda = Agenda::default();
        for n in 0..n {
            let id = WatchId(Uuid::from_u128(n));
            let tracking = Tracking::default();
            let entry = Entry::new(
                id,
                "dcs".into(),
                "job",
                Arc::default(),
                (START, START),
                tracking,
            );
            agenda.add(entry, Duty::Poll, Duration::ZERO);
        }
        let take = || agenda.take_due(Duration::ZERO);
        std::iter::from_fn(take).map(|(ticket, _)| ticket).collect()
    }

    fn start_all(lines: &mut Lines) -> Vec<Ticket> {
        let next = || {
            let next = lines.next();
            lines.start_next();
            next
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn unpolled_watches_and_those_near_their_deadline_go_first() {
        let all = tickets(4);
        let mut lines = Lines::default();
        lines.push(all[3], true, at(100), START);
        lines.push(all[2], false, at(100), START);
        lines.push(all[1], true, at(1), START);
        lines.push(all[0], false, at(1), START);
        assert_eq!(start_all(&mut lines), all);
    }

    #[test]
    fn every_fourth_turn_is_for_the_rest() {
        let all = tickets(40);
        let mut lines = Lines::default();
        for (n, ticket) in all.iter().enumerate() {
            lines.push(*ticket, n < 20, at(100), START);
        }
        let rest: HashSet<_> = all[..20].iter().map(|it| format!("{it:?}")).collect();
        let order = start_all(&mut lines);
        let is_rest = |it: &&Ticket| rest.contains(&format!("{it:?}"));
        assert_eq!(order[..24].iter().filter(is_rest).count(), 6);
        assert_eq!(order.len(), 40);
    }

    /// Each request takes three: new watches cannot fill those of the others.
    #[test]
    fn companions_come_from_the_line_whose_turn_it_is() {
        let all = tickets(40);
        let mut lines = Lines::default();
        for (n, ticket) in all.iter().enumerate() {
            lines.push(*ticket, n < 10, at(100), START);
        }
        let mut rest = Vec::new();
        for _ in 0..8 {
            let first = lines.next().unwrap();
            lines.start_next();
            let mut request = vec![first];
            request.extend(lines.take_some(2, |_| true));
            rest.push(request.iter().filter(|it| all[..10].contains(it)).count());
        }
        assert_eq!(rest, [0, 0, 0, 3, 0, 0, 0, 3]);
    }

    #[test]
    fn poll_that_goes_on_is_first_of_its_line() {
        let all = tickets(3);
        let mut lines = Lines::default();
        lines.push(all[0], true, at(100), START);
        lines.push_first(all[1], true, at(50));
        lines.push(all[2], false, at(100), START);
        assert_eq!(lines.earliest_deadline(), Some(later(at(50), MS)));
        assert_eq!(start_all(&mut lines), [all[2], all[1], all[0]]);
    }

    #[test]
    fn watches_that_come_near_their_deadline_move_forward() {
        let all = tickets(4);
        let mut lines = Lines::default();
        for (ticket, secs) in all.iter().zip([100, 90, 30, 30]) {
            lines.push(*ticket, *ticket == all[3], at(secs), START);
        }
        assert!(lines.sweep(at(24), |_, _| true).is_empty());
        assert_eq!(lines.next(), Some(all[0]));
        assert!(lines.sweep(at(25), |_, _| true).is_empty());
        assert_eq!(lines.next(), Some(all[2]));
        let over = lines.sweep(at(31), |_, was_polled| was_polled);
        assert_eq!(over, [all[3]], "the other one was never polled");
        assert_eq!(start_all(&mut lines), [all[2], all[0], all[1]]);
    }

    #[test]
    fn lines_count_and_give_back_all_their_polls() {
        let all = tickets(10);
        let mut lines = Lines::default();
        for (n, ticket) in all.iter().enumerate() {
            lines.push(*ticket, n % 2 == 0, at(100), START);
        }
        lines.skip_next();
        assert_eq!((lines.len(), lines.firsts().count()), (9, 2));
        let is_late = |ticket| all.iter().position(|it| *it == ticket).unwrap() < 4;
        assert_eq!(lines.count_late(is_late), 3);
        assert_eq!(lines.earliest_deadline(), Some(later(at(100), MS)));
        assert_eq!(start_all(&mut lines).len(), 9);
        assert!(lines.is_empty());
        assert_eq!(lines.earliest_deadline(), None);
    }
}
