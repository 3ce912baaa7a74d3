//! Starting what is due: from the agenda to its lane, from the lane into flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::until;
use crate::schedule::agenda::{Duty, Ticket};
use crate::schedule::budget::Admission;
use crate::workers::poller::conclude::Flight;
use crate::workers::poller::late::Look;
use crate::workers::poller::unwritten::Writing;
use crate::workers::poller::{Board, SLEEP_MAX, Shared, late};

/// How long a watch may wait for its budget when its deadline has passed. Not at once: what
/// comes late from a restart is worth a look, and its verdict counts.
const OVERDUE: Duration = Duration::from_secs(30);

/// A poll, or an end without one, that may start.
struct Start {
    ticket: Ticket,
    duty: Duty,
    lane: Option<usize>,
}

impl Shared {
    /// Starts everything that is due and admitted; tells how long nothing more can be
    /// done unless a poll ends or somebody wakes the poller.
    pub(super) fn dispatch(self: &Arc<Self>) -> Duration {
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let mut board = self.board();
        let mut starts = take_due(&mut board, uptime);
        let mut next = None;
        for lane in 0..board.lanes.len() {
            expire_overdue(&mut board, lane, now, uptime, &mut starts);
            let free_at = admit(&mut board, lane, now, uptime, &mut starts);
            next = earlier(next, free_at);
        }
        let looks = late::take_due(&mut board, uptime);
        next = earlier(next, board.late.next_due());
        next = earlier(next, board.agenda.next_due());
        let writes = board.unwritten.due().is_some_and(|at| at <= uptime);
        if !writes {
            next = earlier(next, board.unwritten.due());
        }
        board.in_flight += starts.len() + looks.len();
        board.started += looks.len() as u64;
        board.started += starts
            .iter()
            .filter(|start| start.duty == Duty::Poll)
            .count() as u64;
        drop(board);
        for start in starts {
            self.start(&start);
        }
        for due in looks {
            let look = Look::new(Arc::clone(self), due);
            self.tracker.spawn(look.look());
        }
        if writes && let Some(writing) = Writing::begin(self) {
            self.tracker.spawn(writing.write());
        }
        next.map_or(SLEEP_MAX, |at| at.saturating_sub(uptime))
    }

    /// The next watch that waits on `lane` and may be polled now: whoever has just ended a
    /// poll goes on with it, which is cheaper than a new task for each.
    pub(super) fn next_waiting(&self, lane: usize) -> Option<Ticket> {
        if self.stopping.load(Ordering::Relaxed) {
            return None;
        }
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let mut board = self.board();
        match next_turn(&mut board, lane, now, uptime) {
            Turn::Granted(ticket) => {
                board.started += 1;
                Some(ticket)
            }
            Turn::NotBefore(_) | Turn::Nothing => None,
        }
    }

    fn start(self: &Arc<Self>, start: &Start) {
        let flight = Flight::new(Arc::clone(self), start.ticket, start.lane);
        match start.duty {
            Duty::Poll => self.tracker.spawn(flight.poll()),
            Duty::Expire => self.tracker.spawn(flight.expire()),
        };
    }
}

/// Moves what is due to its lane. Ends without a poll need no lane.
fn take_due(board: &mut Board, uptime: Duration) -> Vec<Start> {
    let mut starts = Vec::new();
    while let Some((ticket, duty)) = board.agenda.take_due(uptime) {
        let lane = board
            .agenda
            .entry(ticket)
            .and_then(|entry| board.lanes.index_of(&entry.service));
        match (duty, lane) {
            (Duty::Poll, Some(lane)) => board.lanes.lane(lane).waiting.push_back(ticket),
            (_, lane) => starts.push(Start {
                ticket,
                duty: Duty::Expire,
                lane,
            }),
        }
    }
    starts
}

/// Ends what has waited on `lane` beyond its deadline: where a budget is too small for its
/// watches, a deadline must hold all the same. Looks only now and then, as it looks at all
/// of them.
fn expire_overdue(
    board: &mut Board,
    lane: usize,
    now: jiff::Timestamp,
    uptime: Duration,
    starts: &mut Vec<Start>,
) {
    let Board { agenda, lanes, .. } = board;
    let waits_on = lanes.lane(lane);
    if !waits_on.may_sweep(uptime) {
        return;
    }
    waits_on.waiting.retain(|ticket| {
        let overdue = agenda
            .entry(*ticket)
            .is_some_and(|entry| entry.deadline < now)
            && agenda
                .due(*ticket)
                .is_some_and(|due| uptime.saturating_sub(due) > OVERDUE);
        if overdue {
            starts.push(Start {
                ticket: *ticket,
                duty: Duty::Expire,
                lane: None,
            });
        }
        !overdue
    });
}

/// What the budget of a lane says to the next that waits on it.
enum Turn {
    /// This one may be polled; its place in the budget is counted.
    Granted(Ticket),
    /// Nothing more may start before this uptime.
    NotBefore(Duration),
    /// Nothing waits, or nothing may start before a poll ends or a pause is over.
    Nothing,
}

/// Starts what waits on `lane` as far as its budget goes; tells when more may start.
fn admit(
    board: &mut Board,
    lane: usize,
    now: jiff::Timestamp,
    uptime: Duration,
    starts: &mut Vec<Start>,
) -> Option<Duration> {
    loop {
        match next_turn(board, lane, now, uptime) {
            Turn::Granted(ticket) => starts.push(Start {
                ticket,
                duty: Duty::Poll,
                lane: Some(lane),
            }),
            Turn::NotBefore(at) => return Some(at),
            Turn::Nothing => return None,
        }
    }
}

fn next_turn(board: &mut Board, lane: usize, now: jiff::Timestamp, uptime: Duration) -> Turn {
    if let Some(resumes) = board.lanes.lane(lane).budget.paused(uptime) {
        postpone(board, lane, now, uptime, resumes);
        return Turn::Nothing;
    }
    let Board { agenda, lanes, .. } = board;
    let lane = lanes.lane(lane);
    while let Some(ticket) = lane.waiting.front().copied() {
        if agenda.entry(ticket).is_none() {
            lane.waiting.pop_front();
            continue;
        }
        return match lane.budget.admit(uptime) {
            Admission::Granted => {
                lane.waiting.pop_front();
                Turn::Granted(ticket)
            }
            Admission::NotBefore(at) => Turn::NotBefore(at),
            Admission::Full => Turn::Nothing,
        };
    }
    Turn::Nothing
}

/// The lane is paused: what waits on it goes back to the agenda until the pause is over.
/// Whose deadline comes first ends then, without a poll: the service said not to ask.
fn postpone(
    board: &mut Board,
    lane: usize,
    now: jiff::Timestamp,
    uptime: Duration,
    resumes: Duration,
) {
    let waiting = std::mem::take(&mut board.lanes.lane(lane).waiting);
    for ticket in waiting {
        let Some(entry) = board.agenda.entry(ticket) else {
            continue;
        };
        let deadline = uptime.saturating_add(until(now, entry.deadline));
        if deadline < resumes {
            board.agenda.schedule(ticket, Duty::Expire, deadline);
        } else {
            board.agenda.schedule(ticket, Duty::Poll, resumes);
        }
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
