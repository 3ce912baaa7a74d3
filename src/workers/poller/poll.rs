//! The life of one poll: observe, decide, save, and schedule the watch again or remove it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Moment, until};
use crate::schedule::Duty;
use crate::schedule::agenda::{Entry, Ticket};
use crate::schedule::budget::Permit;
use crate::schedule::reason::Reason;
use crate::service::Service;
use crate::service::poll::Observed;
use crate::service::subject::Subject;
use crate::watch::observation::AskedWait;
use crate::watch::terms::Terms;
use crate::watch::tracking::Tracking;
use crate::watch::transition::{self, Step};
use crate::watch::{Watch, WatchId};
use crate::workers::poller::blindness::TimeLimits;
use crate::workers::poller::bookmarks::Companions;
use crate::workers::poller::commit::{Committed, Saved};
use crate::workers::poller::decision::{Decision, Effect};
use crate::workers::poller::in_flight::InFlight;
use crate::workers::poller::progress::HINT_EVERY;
use crate::workers::poller::{Shared, State};

/// The pause of a watch whose decision could neither be saved nor kept in memory.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// A duty that was taken from the agenda.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) ticket: Ticket,
    pub(super) duty: Duty,
}

/// A duty that may start now.
pub(super) struct Turn {
    pub(super) taken: Taken,
    /// The other watches whose jobs the same request asks for; `None` for a request that asks for
    /// one job only.
    pub(super) companions: Option<Companions>,
    /// The queue of the budget, and the permit for one request; `None` for a duty without a
    /// request.
    pub(super) permit: Option<(usize, Permit)>,
}

impl Turn {
    /// Returns the number of watches that it polls.
    pub(super) fn watches(&self) -> u64 {
        self.companions.as_ref().map_or(0, |it| it.tickets.len()) as u64 + 1
    }
}

/// One duty of one watch under way, or one request for several watches. When it ends, also by a
/// panic, it gives back its permit and its place among those in flight, and each watch stays on
/// the agenda unless it is over.
pub(super) struct Poll {
    pub(super) shared: Arc<Shared>,
    pub(super) turn: Turn,
    _in_flight: InFlight,
}

impl Poll {
    pub(super) fn new(shared: &Arc<Shared>, turn: Turn) -> Self {
        Self {
            shared: Arc::clone(shared),
            turn,
            _in_flight: shared.in_flight.enter(),
        }
    }

    /// Does the duty, and then the next one that waits for the same budget. This costs less than
    /// one task for each.
    pub(super) async fn run(mut self) {
        loop {
            let queue = self.turn.permit.as_ref().map(|(queue, _)| *queue);
            if self.turn.companions.is_some() {
                self.run_together().await;
            } else if let Some(decision) = self.decide().await {
                self.shared.save_soon(self.turn.taken, decision).await;
            }
            let next = queue.and_then(|queue| self.shared.next_waiting(queue));
            let Some(turn) = next else { return };
            self.turn = turn;
        }
    }

    /// Polls, unless the watch ends without a poll. Returns `None` when there is nothing to
    /// save; the watch is then scheduled again.
    async fn decide(&mut self) -> Option<Decision> {
        let taken = self.turn.taken;
        let entry = self.shared.state().agenda.entry(taken.ticket)?.clone();
        if taken.duty == Duty::Expire {
            return Some(self.shared.expired(entry));
        }
        let Some(service) = self.shared.services.get(&entry.service).map(Arc::clone) else {
            self.shared.try_again(taken);
            return None;
        };
        let started = self.shared.clock.now();
        let observed = service
            .observe(&subject_of(&entry), &self.spending(), started)
            .await;
        let limits = self.account(&service, &entry, &observed);
        self.shared.judge(taken, &entry, &service, observed, limits)
    }

    /// Gives the permit back and reports the observation to budget, metrics and log. Returns the
    /// time limits by which it counts.
    fn account(
        &mut self,
        service: &Arc<Service>,
        entry: &Entry,
        observed: &Observed,
    ) -> TimeLimits {
        let now = self.shared.clock.moment();
        let Moment { at, uptime } = now;
        let observation = &observed.observation;
        self.shared.metrics.polled(&service.name, observation);
        let mut state = self.shared.state();
        if let Some((queue, permit)) = self.turn.permit.take() {
            let took = uptime.saturating_sub(permit.since());
            drop(permit);
            let http_status = observed.http_status();
            let answers = &mut state.answers;
            answers.note(&service.name, observation, http_status, (at, took));
            let queue = state.queues.queue(queue);
            queue.note(service, observation, took, uptime);
            queue.report(service, observation, uptime);
        }
        state.report_oddities(service, observation);
        let composer = &self.shared.composer;
        state.note_sight(composer, service, (entry.id, observation), now);
        state.blind.time_limits(entry, self.turn.taken.duty, now)
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.try_again(self.turn.taken);
            for ticket in self.turn.companions.take().unwrap_or_default().tickets {
                // Alone, so that the job whose answer is the cause cannot stop the others again.
                self.shared.ask_alone_later(ticket);
            }
        }
    }
}

impl Shared {
    /// Decides on the effect of an observation. One without an effect changes only the memory
    /// (invariant 6).
    pub(super) fn judge(
        &self,
        taken: Taken,
        entry: &Entry,
        service: &Service,
        mut observed: Observed,
        limits: TimeLimits,
    ) -> Option<Decision> {
        let now = self.clock.moment();
        let wait = observed.observation.asked_wait();
        let terms = terms_of(entry, service, limits.deadline);
        let mut tracking = entry.tracking.clone();
        tracking.begin_limits_at(limits.begin);
        let effect = if taken.duty == Duty::PollLate {
            transition::decide_late(&mut tracking, &observed.observation, &terms, now)
                .then_some(Effect::LateResult)
        } else {
            match transition::decide(&mut tracking, &mut observed.observation, &terms, now) {
                Step::Unchanged => None,
                step => Some(Effect::Step(step, tracking.clone())),
            }
        };
        let Some(effect) = effect else {
            self.put_back(taken, Some(tracking), wait, now.at);
            return None;
        };
        let is_end = matches!(effect, Effect::Step(Step::Finished(_), _));
        Some(Decision {
            watch: entry.id,
            evidence: is_end.then(|| Box::new(observed.evidence(now.at))),
            effect,
            observation: Some(observed.observation),
            at: now.at,
        })
    }

    /// Updates the agenda: the watch continues, ends, or gets late polls.
    pub(super) fn finish(&self, taken: Taken, decision: &Decision, saved: Saved) {
        match saved {
            Saved::Committed(Committed::Over(watch)) => {
                let late = watch.as_deref().map(|watch| (watch, decision));
                self.end(decision.watch, late);
            }
            Saved::Committed(Committed::Foreign) => self.forget_foreign(decision.watch),
            Saved::Kept if decision.is_end() => self.end(decision.watch, None),
            Saved::Committed(Committed::Watching) | Saved::Kept => {
                self.put_back(
                    taken,
                    decision.tracking(),
                    decision.asked_wait(),
                    decision.at,
                );
            }
            Saved::Forgotten => self.try_again(taken),
        }
    }

    /// Schedules the next duty of a watch that continues.
    fn put_back(&self, taken: Taken, tracking: Option<Tracking>, wait: AskedWait, at: Timestamp) {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let State {
            agenda, rng, blind, ..
        } = &mut *state;
        let Some(entry) = agenda.entry_mut(taken.ticket) else {
            return;
        };
        if let Some(tracking) = tracking {
            entry.tracking = tracking;
        }
        let Some(service) = self.services.get(&entry.service) else {
            drop(state);
            return self.try_again(taken);
        };
        let present = entry.tracking.stage();
        let timing = service.timing_at(present);
        let deadline = blind.deadline_of(entry, at);
        let left = until(at, deadline);
        let next = if taken.duty == Duty::PollLate {
            timing.late_poll(wait.retry_after, at, entry.deadline(), rng)
        } else {
            Some(timing.next_poll(&entry.tracking, wait, at, deadline, rng))
        };
        if let Some(next) = next {
            let reason = Reason::of(next, &entry.tracking, wait, left, timing);
            let due = uptime.saturating_add(next.after);
            let is_shared = next.duty == Duty::Poll && service.batch_at(present).is_some();
            let due = if is_shared {
                let last = uptime.saturating_add(left);
                aligned(due, timing.initial()).min(last)
            } else {
                due
            };
            let soon = uptime.saturating_add(HINT_EVERY);
            let is_requested = agenda.take_poll_request(taken.ticket) && next.duty == Duty::Poll;
            let (reason, due) = if is_requested && soon < due {
                (Reason::Asked, soon)
            } else {
                (reason, due)
            };
            agenda.note_answer(taken.ticket, uptime);
            agenda.schedule_for(reason, taken.ticket, next.duty, due);
        } else {
            let id = entry.id;
            drop(state);
            self.end(id, None);
        }
    }

    pub(super) fn try_again(&self, taken: Taken) {
        let due = self.clock.uptime() + TRY_AGAIN;
        let (ticket, duty) = (taken.ticket, taken.duty);
        let agenda = &mut self.state().agenda;
        agenda.schedule_for(Reason::Unsaved, ticket, duty, due);
    }
}

/// Returns the next multiple of `step` at or after `due`: watches that one request can serve
/// become due together.
fn aligned(due: Duration, step: Duration) -> Duration {
    let (due_ns, step_ns) = (due.as_nanos(), step.as_nanos().max(1));
    let ahead = (step_ns - due_ns % step_ns) % step_ns;
    due + Duration::from_nanos(u64::try_from(ahead).unwrap_or_default())
}

impl Shared {
    /// Removes a watch from the agenda: the only place where one ends in memory. If a late
    /// result may follow the decision that ended it, adds it again for late polls.
    pub(super) fn end(&self, id: WatchId, late: Option<(&Watch, &Decision)>) {
        {
            let mut state = self.state();
            state.forget(id);
            state.left.recent.insert(id);
        }
        let Some((watch, decision)) = late else {
            return;
        };
        let retry_after = if let Some(observation) = &decision.observation {
            observation.asked_wait().retry_after
        } else {
            // It may have ended without a poll because the service asked for no requests.
            let service = self.services.get(&watch.service);
            service.map(|service| service.timing.longest_retry_after())
        };
        self.add_late(watch, retry_after);
    }
}

pub(super) fn subject_of(entry: &Entry) -> Subject<'_> {
    let tracking = &entry.tracking;
    Subject {
        job_id: &entry.job_id,
        params: &entry.params,
        labels: tracking.labels(),
        run: tracking.run(),
        stage: tracking.stage(),
        follow: tracking.follow(),
    }
}

fn terms_of<'a>(entry: &Entry, service: &'a Service, deadline: Timestamp) -> Terms<'a> {
    let stage = entry.tracking.stage();
    let definition = service.definition_at(stage);
    Terms {
        submitted_at: entry.submitted_at(),
        deadline,
        timing: service.timing_at(stage),
        not_found_means: definition.not_found_means,
        definition: &definition.name,
        hands_over: definition.next.hands_over(),
    }
}
