//! Starts the duties that are due: from the agenda to the queue of their budget, and from the
//! queue into flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::until;
use crate::schedule::Duty;
use crate::schedule::agenda::Ticket;
use crate::schedule::budget::Admission;
use crate::workers::poller::backlog::Flush;
use crate::workers::poller::poll::{Poll, Turn};
use crate::workers::poller::{SLEEP_MAX, Shared, State};

/// The time for which a watch may wait for its budget after its deadline. Not zero: a watch
/// that is late because of a restart is polled once more, and a verdict counts.
const OVERDUE: Duration = Duration::from_secs(30);

/// The pause of a late poll when its budget has no room.
const LATE_POLL_PAUSE: Duration = Duration::from_secs(30);

/// The answer of a budget to the next watch in its queue.
enum Answer {
    /// The watch may be polled now.
    Granted(Turn),
    /// No poll may start before this uptime.
    NotBefore(Duration),
    /// No watch waits, or none may start before another poll or a pause ends.
    Nothing,
}

impl Shared {
    /// Starts every duty that is due and admitted. Returns the time until more may start, if no
    /// poll ends and no wake comes before.
    pub(super) fn dispatch(self: &Arc<Self>) -> Duration {
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let mut turns = Vec::new();
        let late = state.take_due(uptime, &mut turns);
        let mut next = None;
        for queue in 0..state.queues.len() {
            state.expire_overdue(queue, now, uptime, &mut turns);
            next = earlier(next, state.admit(queue, now, uptime, &mut turns));
        }
        for ticket in late {
            turns.extend(state.admit_late(ticket, uptime));
        }
        state.polls += turns
            .iter()
            .filter(|turn| turn.duty != Duty::Expire)
            .count() as u64;
        next = earlier(next, state.agenda.next_due());
        let flush_at = state.backlog.due();
        let is_flush_due = flush_at.is_some_and(|at| at <= uptime);
        if !is_flush_due {
            next = earlier(next, flush_at);
        }
        drop(state);
        for turn in turns {
            self.tracker.spawn(Poll::new(self, turn).run());
        }
        if is_flush_due && let Some(flush) = Flush::begin(self) {
            self.tracker.spawn(flush.run());
        }
        next.map_or(SLEEP_MAX, |at| at.saturating_sub(uptime))
    }

    /// Takes the next watch from a queue if it may be polled now. Returns `None` while the poller
    /// is stopping.
    pub(super) fn next_waiting(&self, queue: usize) -> Option<Turn> {
        if self.stopping.load(Ordering::Relaxed) {
            return None;
        }
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let mut state = self.state();
        match state.next_turn(queue, now, uptime) {
            Answer::Granted(turn) => {
                state.polls += 1;
                Some(turn)
            }
            Answer::NotBefore(_) | Answer::Nothing => None,
        }
    }
}

impl State {
    /// Takes all due duties from the agenda: puts polls into their queues and ends into `turns`,
    /// and returns late polls.
    fn take_due(&mut self, uptime: Duration, turns: &mut Vec<Turn>) -> Vec<Ticket> {
        let mut late = Vec::new();
        while let Some((ticket, duty)) = self.agenda.take_due(uptime) {
            match (duty, self.queue_of(ticket)) {
                (Duty::Poll, Some(queue)) => {
                    self.queues.queue(queue).waiting.push_back(ticket);
                }
                (Duty::PollLate, _) => late.push(ticket),
                (Duty::Poll | Duty::Expire, _) => turns.push(expiry(ticket)),
            }
        }
        late
    }

    fn queue_of(&self, ticket: Ticket) -> Option<usize> {
        let entry = self.agenda.entry(ticket)?;
        self.queues.index_of(&entry.service)
    }

    /// Ends watches that have waited in a queue beyond their deadline: a deadline counts also
    /// when the budget is too small for its watches. It visits the whole queue, so it runs at
    /// most once a second.
    fn expire_overdue(
        &mut self,
        queue: usize,
        now: Timestamp,
        uptime: Duration,
        turns: &mut Vec<Turn>,
    ) {
        let Self { agenda, queues, .. } = self;
        let queue = queues.queue(queue);
        if !queue.may_sweep(uptime) {
            return;
        }
        queue.waiting.retain(|ticket| {
            let is_past = agenda.entry(*ticket).is_some_and(|it| it.deadline < now);
            let waited = agenda.due(*ticket).map(|due| uptime.saturating_sub(due));
            let is_overdue = is_past && waited.is_some_and(|waited| waited > OVERDUE);
            if is_overdue {
                turns.push(expiry(*ticket));
            }
            !is_overdue
        });
    }

    /// Takes watches from a queue as far as its budget allows. Returns the uptime at which the
    /// next may start.
    fn admit(
        &mut self,
        queue: usize,
        now: Timestamp,
        uptime: Duration,
        turns: &mut Vec<Turn>,
    ) -> Option<Duration> {
        loop {
            match self.next_turn(queue, now, uptime) {
                Answer::Granted(turn) => turns.push(turn),
                Answer::NotBefore(at) => return Some(at),
                Answer::Nothing => return None,
            }
        }
    }

    fn next_turn(&mut self, index: usize, now: Timestamp, uptime: Duration) -> Answer {
        if let Some(resumes) = self.queues.queue(index).budget.paused(uptime) {
            self.postpone(index, now, uptime, resumes);
            return Answer::Nothing;
        }
        let Self { agenda, queues, .. } = self;
        let queue = queues.queue(index);
        while let Some(ticket) = queue.waiting.front().copied() {
            if agenda.entry(ticket).is_none() {
                queue.waiting.pop_front();
                continue;
            }
            return match queue.budget.admit(uptime) {
                Admission::Granted(permit) => {
                    queue.waiting.pop_front();
                    Answer::Granted(Turn {
                        ticket,
                        duty: Duty::Poll,
                        permit: Some((index, permit)),
                    })
                }
                Admission::NotBefore(at) => Answer::NotBefore(at),
                Admission::Full => Answer::Nothing,
            };
        }
        Answer::Nothing
    }

    /// Puts the watches of a paused budget back on the agenda until the pause is over. A watch
    /// whose deadline comes first ends at its deadline without a poll, because the service asked
    /// for no requests.
    fn postpone(&mut self, queue: usize, now: Timestamp, uptime: Duration, resumes: Duration) {
        let waiting = std::mem::take(&mut self.queues.queue(queue).waiting);
        for ticket in waiting {
            let Some(entry) = self.agenda.entry(ticket) else {
                continue;
            };
            let deadline = uptime.saturating_add(until(now, entry.deadline));
            if deadline < resumes {
                self.agenda.schedule(ticket, Duty::Expire, deadline);
            } else {
                self.agenda.schedule(ticket, Duty::Poll, resumes);
            }
        }
    }

    /// Admits a late poll if no watch waits for the budget; otherwise schedules it again.
    fn admit_late(&mut self, ticket: Ticket, uptime: Duration) -> Option<Turn> {
        // Only a watch that was removed has no queue: late polls are for configured services.
        let index = self.queue_of(ticket)?;
        let queue = self.queues.queue(index);
        if queue.waiting.is_empty()
            && let Admission::Granted(permit) = queue.budget.admit(uptime)
        {
            return Some(Turn {
                ticket,
                duty: Duty::PollLate,
                permit: Some((index, permit)),
            });
        }
        let due = uptime + LATE_POLL_PAUSE;
        self.agenda.schedule(ticket, Duty::PollLate, due);
        None
    }
}

fn expiry(ticket: Ticket) -> Turn {
    Turn {
        ticket,
        duty: Duty::Expire,
        permit: None,
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
