//! Starts the duties that are due: from the agenda to the queue of their budget, and from the
//! queue into flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::until;
use crate::schedule::Duty;
use crate::schedule::agenda::{Entry, Ticket};
use crate::schedule::budget::Admission;
use crate::service::Services;
use crate::workers::poller::backlog::Flush;
use crate::workers::poller::poll::{Poll, Taken, Turn};
use crate::workers::poller::{SLEEP_MAX, Shared, State};

/// The time for which a watch may wait for its budget after its deadline. Not zero: a watch
/// that is late because of a restart is polled once more, and a verdict counts.
const OVERDUE: Duration = Duration::from_secs(30);

/// The same for a watch that was never polled: no watch ends unasked because its budget is
/// small, but a budget may be smaller than any deadline permits.
pub(super) const UNPOLLED_OVERDUE: Duration = Duration::from_mins(10);

/// The pause of a late poll when its budget has no room.
pub(super) const LATE_POLL_PAUSE: Duration = Duration::from_secs(30);

/// The next watch in the queue of a budget, if it may be polled.
enum NextTurn {
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
        state.lapse(uptime);
        state.queues.follow_catalogs(uptime);
        state.start_probes(uptime);
        let late = state.take_due(now, uptime, &mut turns);
        let mut next = None;
        for queue in 0..state.queues.len() {
            if state.queues.is_merged(queue) {
                continue;
            }
            state.expire_overdue(queue, now, uptime, &mut turns);
            let admitted = state.admit(&self.services, queue, uptime, &mut turns);
            next = min_some(next, admitted);
            next = min_some(next, state.queues.get(queue).next_end(now, uptime));
            let State { agenda, queues, .. } = &mut *state;
            queues.queue(queue).keep_up(agenda, uptime);
        }
        for ticket in late {
            turns.extend(state.admit_late(&self.services, ticket, uptime));
        }
        state.polls += turns
            .iter()
            .filter(|turn| turn.taken.duty != Duty::Expire)
            .map(Turn::watches)
            .sum::<u64>();
        next = min_some(next, state.agenda.next_due());
        next = min_some(next, state.blind.sight.next_due());
        let flush_at = min_some(state.backlog.due(), state.blind.save_at());
        let is_flush_due = flush_at.is_some_and(|at| at <= uptime);
        if !is_flush_due {
            next = min_some(next, flush_at);
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
        let uptime = self.clock.uptime();
        let mut state = self.state();
        match state.next_turn(&self.services, queue, uptime) {
            NextTurn::Granted(turn) => {
                state.polls += turn.watches();
                Some(turn)
            }
            NextTurn::NotBefore(_) | NextTurn::Nothing => None,
        }
    }
}

impl State {
    /// Takes all due duties from the agenda: puts polls into their queues and ends into `turns`,
    /// and returns late polls.
    fn take_due(&mut self, now: Timestamp, uptime: Duration, turns: &mut Vec<Turn>) -> Vec<Ticket> {
        let mut late = Vec::new();
        while let Some((ticket, duty)) = self.agenda.take_due(uptime) {
            match (duty, self.queue_of(ticket)) {
                (Duty::Poll | Duty::Expire, Some(_)) if self.park(ticket) => {}
                (Duty::Poll, Some(queue)) => self.wait(ticket, queue, now),
                (Duty::Expire, Some(queue))
                    if self.may_ask_first(ticket, queue, uptime) || self.goes_on(ticket, now) =>
                {
                    self.wait(ticket, queue, now);
                }
                (Duty::PollLate, _) => late.push(ticket),
                (Duty::Poll | Duty::Expire, _) => turns.push(expiry(ticket)),
            }
        }
        late
    }

    /// Puts a watch that is due into a line of its budget.
    fn wait(&mut self, ticket: Ticket, queue: usize, now: Timestamp) {
        if let Some(entry) = self.agenda.entry(ticket) {
            let deadline = self.blind.deadline_of(entry, now);
            let waiting = &mut self.queues.queue(queue).waiting;
            if self.bookmarks.has(entry.id) {
                waiting.push_first(ticket, entry.was_polled(), deadline);
                return;
            }
            waiting.push(ticket, entry.was_polled(), deadline, now);
        }
    }

    /// True if the deadline of a watch has moved, because its service was blind.
    fn goes_on(&self, ticket: Ticket, now: Timestamp) -> bool {
        let entry = self.agenda.entry(ticket);
        entry.is_some_and(|entry| {
            entry.deadline() <= now && self.blind.deadline_of(entry, now) > now
        })
    }

    /// True for a watch that would end unasked although its service may be asked by now: the pause
    /// was over before its end came, because this process was late.
    fn may_ask_first(&self, ticket: Ticket, queue: usize, uptime: Duration) -> bool {
        let entry = self.agenda.entry(ticket);
        let is_unpolled = entry.is_some_and(|entry| !entry.was_polled());
        is_unpolled && self.queues.get(queue).budget.paused(uptime).is_none()
    }

    fn queue_of(&self, ticket: Ticket) -> Option<usize> {
        let entry = self.agenda.entry(ticket)?;
        self.queues.index_of(&entry.service)
    }

    /// Ends watches that have waited in a queue beyond their deadline: a deadline counts also
    /// when the budget is too small for its watches, or pauses beyond it. Those near their deadline
    /// go forward. It may visit the whole queue, so it runs at most once a second.
    fn expire_overdue(
        &mut self,
        queue: usize,
        now: Timestamp,
        uptime: Duration,
        turns: &mut Vec<Turn>,
    ) {
        let Self {
            agenda,
            queues,
            blind,
            ..
        } = self;
        let queue = queues.queue(queue);
        if !queue.may_sweep(uptime) {
            return;
        }
        let pause = queue.budget.paused(uptime);
        let over = queue.waiting.sweep(now, |ticket, was_polled| {
            let entry = agenda.entry(ticket);
            entry.is_none_or(|entry| {
                let deadline = blind.deadline_of(entry, now);
                if let Some(resumes) = pause {
                    let left = resumes.saturating_sub(uptime);
                    return ends_in_pause(entry, deadline, now, left);
                }
                let overdue = if was_polled {
                    OVERDUE
                } else {
                    UNPOLLED_OVERDUE
                };
                let due = agenda.due(ticket);
                let is_late = due.is_some_and(|due| uptime.saturating_sub(due) > overdue);
                is_late && deadline <= now
            })
        });
        turns.extend(over.into_iter().map(expiry));
    }

    /// Takes watches from a queue as far as its budget allows. Returns the uptime at which the
    /// next may start.
    fn admit(
        &mut self,
        services: &Services,
        queue: usize,
        uptime: Duration,
        turns: &mut Vec<Turn>,
    ) -> Option<Duration> {
        loop {
            match self.next_turn(services, queue, uptime) {
                NextTurn::Granted(turn) => turns.push(turn),
                NextTurn::NotBefore(at) => return Some(at),
                NextTurn::Nothing => return None,
            }
        }
    }

    fn next_turn(&mut self, services: &Services, index: usize, uptime: Duration) -> NextTurn {
        let Self {
            agenda,
            queues,
            blind,
            ..
        } = self;
        let queue = queues.queue(index);
        while let Some(ticket) = queue.waiting.next() {
            let Some(entry) = agenda.entry(ticket) else {
                queue.waiting.skip_next();
                continue;
            };
            if blind.park(ticket, entry) {
                agenda.set_aside(ticket);
                queue.waiting.skip_next();
                continue;
            }
            return match queue.budget.admit(uptime) {
                Admission::Granted(permit) => {
                    queue.waiting.start_next();
                    let service = services.get(&entry.service).map(Arc::clone);
                    let companions = service
                        .and_then(|service| self.companions(&service, index, ticket, uptime));
                    NextTurn::Granted(Turn {
                        taken: Taken {
                            ticket,
                            duty: Duty::Poll,
                        },
                        companions,
                        permit: Some((index, permit)),
                    })
                }
                Admission::NotBefore(at) => NextTurn::NotBefore(at),
                Admission::Full => NextTurn::Nothing,
            };
        }
        NextTurn::Nothing
    }

    /// Admits a late poll if no watch waits for the budget; otherwise schedules it again.
    fn admit_late(
        &mut self,
        services: &Services,
        ticket: Ticket,
        uptime: Duration,
    ) -> Option<Turn> {
        // Only a watch that was removed has no queue: late polls are for configured services.
        let index = self.queue_of(ticket)?;
        let queue = self.queues.queue(index);
        let entry = self.agenda.entry(ticket)?;
        if queue.waiting.is_empty()
            && self.blind.sight.may_poll(&entry.service, entry.id)
            && let Admission::Granted(permit) = queue.budget.admit(uptime)
        {
            let service = services.get(&entry.service);
            let companions = service.and_then(|service| self.none_beside(service, ticket, uptime));
            return Some(Turn {
                taken: Taken {
                    ticket,
                    duty: Duty::PollLate,
                },
                companions,
                permit: Some((index, permit)),
            });
        }
        let due = uptime + LATE_POLL_PAUSE;
        self.agenda.schedule(ticket, Duty::PollLate, due);
        None
    }
}

/// True for a watch whose deadline has passed while its budget pauses for `left`: the service asked
/// for no requests, so it ends without a poll. One that was never polled may wait for the end of a
/// short pause.
pub(super) fn ends_in_pause(
    entry: &Entry,
    deadline: Timestamp,
    now: Timestamp,
    left: Duration,
) -> bool {
    let may_wait = !entry.was_polled() && until(deadline, now) <= UNPOLLED_OVERDUE;
    let overdue = if may_wait { OVERDUE } else { Duration::ZERO };
    deadline <= now && overdue < left
}

fn expiry(ticket: Ticket) -> Turn {
    Turn {
        taken: Taken {
            ticket,
            duty: Duty::Expire,
        },
        companions: None,
        permit: None,
    }
}

fn min_some(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
