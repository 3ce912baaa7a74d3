//! The knowledge of the poller about one watch and its service, for a person who asks why.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::{later, until};
use crate::schedule::Duty;
use crate::schedule::agenda::{Entry, Planned};
use crate::schedule::reason::Reason;
use crate::watch::WatchId;
use crate::watch::observation::ProblemNote;
use crate::workers::poller::dispatch::ends_in_pause;
use crate::workers::poller::{Poller, ServiceStatus, State};

/// The knowledge of the poller about one watch: of its polls, and of the next one.
#[derive(Debug, Clone)]
pub struct PollFacts {
    /// The time of the last answer since this process started.
    pub answered_at: Option<Timestamp>,
    /// The problems in a row, up to now.
    pub problems_in_a_row: u32,
    /// The last problem since the submission.
    pub last_problem: Option<ProblemNote>,
    /// True if at least one poll has shown the job.
    pub is_seen: bool,
    /// True if the job waits for a person.
    pub is_held: bool,
    /// The sightings in a row that agree on an end that does not count yet; zero without one.
    pub confirmations: u32,
    /// The time of the next poll; in the past if it waits, or is under way.
    pub next_at: Timestamp,
    /// The reason for that time.
    pub reason: Reason,
    /// True if that duty is the end of the watch, without a poll.
    pub ends_watch: bool,
    /// The deadline, later by the blind periods of the service.
    pub deadline: Timestamp,
}

impl Poller {
    /// Returns the knowledge about a watch that is polled; `None` for another.
    pub fn facts(&self, id: WatchId) -> Option<PollFacts> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let state = self.shared.state();
        let (entry, _) = state.agenda.look_up(id)?;
        let planned = state.expected(entry, state.agenda.planned(id)?, now, uptime);
        let (due, tracking) = (planned.due, &entry.tracking);
        let waits = tracking.waits_for_confirmation();
        Some(PollFacts {
            answered_at: planned.answered.map(|at| wall_time_of(now, uptime, at)),
            problems_in_a_row: tracking.problems_in_a_row,
            last_problem: tracking.last_problem.as_deref().cloned(),
            is_seen: tracking.seen,
            is_held: tracking.held,
            confirmations: if waits { tracking.confirmations() } else { 0 },
            next_at: if due > uptime {
                later(now, due.saturating_sub(uptime))
            } else {
                wall_time_of(now, uptime, due)
            },
            reason: planned.reason,
            ends_watch: planned.duty == Duty::Expire,
            deadline: state.blind.deadline_of(entry, now),
        })
    }

    /// Returns the time of the next poll for a late result; `None` if there is none.
    pub fn late_poll_at(&self, id: WatchId) -> Option<Timestamp> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let planned = self.shared.state().agenda.planned(id)?;
        let is_late = planned.duty == Duty::PollLate;
        is_late.then(|| later(now, planned.due.saturating_sub(uptime)))
    }

    /// Returns the status of one configured service.
    pub fn service(&self, name: &str) -> Option<ServiceStatus> {
        self.services().into_iter().find(|it| *it.name == *name)
    }
}

impl State {
    /// Returns the plan for a watch that is due as its service changes it: while the service is
    /// blind it waits for the next probe, and in a pause it is polled when the pause is over, or ends
    /// at its deadline.
    pub(super) fn expected(
        &self,
        entry: &Entry,
        planned: Planned,
        now: Timestamp,
        uptime: Duration,
    ) -> Planned {
        if let Some((_, probe)) = self.blind.sight.of(&entry.service) {
            return if planned.due <= uptime {
                Planned {
                    due: probe,
                    duty: Duty::Poll,
                    reason: Reason::Blind,
                    ..planned
                }
            } else {
                planned
            };
        }
        let queue = self.queues.index_of(&entry.service);
        let resumes = queue.and_then(|queue| self.queues.get(queue).budget.paused(uptime));
        let is_due = planned.duty == Duty::Poll && planned.due <= uptime;
        let Some(resumes) = resumes.filter(|_| is_due) else {
            return planned;
        };
        let ends_at = self.blind.deadline_of(entry, now);
        let deadline = uptime.saturating_add(until(now, ends_at));
        let at_deadline = later(now, deadline.saturating_sub(uptime));
        let left = resumes.saturating_sub(deadline);
        if ends_in_pause(entry, ends_at, at_deadline, left) {
            Planned {
                due: deadline,
                duty: Duty::Expire,
                reason: Reason::Deadline,
                ..planned
            }
        } else {
            Planned {
                due: resumes,
                reason: Reason::Pause,
                ..planned
            }
        }
    }
}

/// Returns the wall time of an uptime in the past.
fn wall_time_of(now: Timestamp, uptime: Duration, at: Duration) -> Timestamp {
    let ago = SignedDuration::try_from(uptime.saturating_sub(at)).unwrap_or_default();
    now.checked_sub(ago).unwrap_or(Timestamp::MIN)
}
