//! Starting what is due: from the agenda to its lane, from the lane into flight.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::until;
use crate::schedule::agenda::Duty;
use crate::schedule::agenda::Ticket;
use crate::schedule::budget::Admission;
use crate::workers::poller::Board;
use crate::workers::poller::SLEEP_MAX;
use crate::workers::poller::Shared;
use crate::workers::poller::conclude::Flight;

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
            let free_at = admit(&mut board, lane, now, uptime, &mut starts);
            next = earlier(next, free_at);
        }
        next = earlier(next, board.agenda.next_due());
        board.in_flight += starts.len();
        board.started += starts
            .iter()
            .filter(|start| start.duty == Duty::Poll)
            .count() as u64;
        drop(board);
        for start in starts {
            self.start(&start);
        }
        next.map_or(SLEEP_MAX, |at| at.saturating_sub(uptime))
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

/// Starts what waits on `lane` as far as its budget goes; tells when more may start.
fn admit(
    board: &mut Board,
    lane: usize,
    now: jiff::Timestamp,
    uptime: Duration,
    starts: &mut Vec<Start>,
) -> Option<Duration> {
    if let Some(resumes) = board.lanes.lane(lane).budget.paused(uptime) {
        postpone(board, lane, now, uptime, resumes);
        return None;
    }
    loop {
        let Board { agenda, lanes, .. } = board;
        let lane_now = lanes.lane(lane);
        let ticket = *lane_now.waiting.front()?;
        if agenda.entry(ticket).is_none() {
            lane_now.waiting.pop_front();
            continue;
        }
        match lane_now.budget.admit(uptime) {
            Admission::Granted => {
                lane_now.waiting.pop_front();
                starts.push(Start {
                    ticket,
                    duty: Duty::Poll,
                    lane: Some(lane),
                });
            }
            Admission::NotBefore(at) => return Some(at),
            Admission::Full => return None,
        }
    }
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
