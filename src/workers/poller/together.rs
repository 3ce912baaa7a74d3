//! One request for several watches, where the definition has a batch or a list.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::schedule::Duty;
use crate::schedule::agenda::{Entry, Ticket};
use crate::schedule::reason::Reason;
use crate::service::Service;
use crate::service::poll::Observed;
use crate::service::subject::Subject;
use crate::service::together::{Bookmark, Together};
use crate::watch::observation::Observation;
use crate::watch::{Params, WatchId};
use crate::workers::poller::blindness::TimeLimits;
use crate::workers::poller::bookmarks::Companions;
use crate::workers::poller::dispatch::LATE_POLL_PAUSE;
use crate::workers::poller::poll::{Poll, Taken, subject_of};
use crate::workers::poller::{Shared, State};

/// The most watches that one list serves at a time.
const TOGETHER_MAX: usize = 10_000;

/// The time for which watches are asked for one by one after a request that saved none.
const ONE_BY_ONE_FOR: Duration = Duration::from_mins(10);
/// The same after a request that the service could not answer.
const ONE_BY_ONE_AFTER_FAILURE: Duration = Duration::from_mins(1);
/// The most services and params that are remembered for that.
const ONE_BY_ONE_MAX: usize = 10_000;

/// One watch among those of a request.
type Member = (Taken, Entry);

impl Poll {
    /// Sends one request for the jobs of all watches of this turn. A job that it does not show is
    /// asked for alone before that counts, if the API has such a request.
    pub(super) async fn run_together(&mut self) {
        let members = self.members();
        let Some((_, first)) = members.first() else {
            return;
        };
        let Some(service) = self.shared.services.get(&first.service).map(Arc::clone) else {
            for (taken, _) in members {
                self.shared.try_again(taken);
            }
            return;
        };
        let started = self.shared.clock.now();
        let subjects: Vec<Subject<'_>> =
            members.iter().map(|(_, entry)| subject_of(entry)).collect();
        let together = service
            .observe_together(&subjects, self.bookmark(), &self.spending(), started)
            .await;
        drop(subjects);
        self.account_together(&service, &together);
        self.shared
            .note_saving(&service, members.first(), &together);
        let limits = self.note_sight_together(&service, &members, &together);
        let rest = together.rest().cloned().map(Arc::new);
        let mut decisions = Vec::new();
        let observed = together.observed.into_iter().zip(limits);
        for ((taken, entry), (observed, limits)) in members.into_iter().zip(observed) {
            match observed {
                Some(observed) => {
                    let shared = &self.shared;
                    let decision = shared.judge(taken, &entry, &service, observed, limits);
                    decisions.extend(decision.map(|decision| (taken, decision)));
                }
                None if rest.is_some() => self.shared.go_on(taken, &entry, rest.as_ref()),
                None => self.shared.ask_alone(taken, &entry),
            }
        }
        for (taken, decision) in decisions {
            self.shared.save_soon(taken, decision).await;
        }
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        let companions = self.turn.companions.as_ref()?;
        companions.bookmark.as_deref()
    }

    /// Returns the watches of this turn that are still on the agenda.
    fn members(&self) -> Vec<Member> {
        let state = self.shared.state();
        let others = self.turn.companions.iter().flat_map(|it| &it.tickets);
        let others = others.map(|ticket| Taken {
            ticket: *ticket,
            duty: Duty::Poll,
        });
        std::iter::once(self.turn.taken)
            .chain(others)
            .filter_map(|taken| Some((taken, state.agenda.entry(taken.ticket)?.clone())))
            .collect()
    }

    /// Gives the permit back, and reports the requests and the observations.
    fn account_together(&mut self, service: &Arc<Service>, together: &Together) {
        let Moment { at, uptime } = self.shared.clock.moment();
        let seen = || together.observed.iter().flatten();
        let observations = seen().map(|observed| &observed.observation);
        for observation in observations.clone() {
            self.shared.metrics.polled(&service.name, observation);
        }
        let whole = together.problem.as_ref().or(observations.clone().next());
        let mut state = self.shared.state();
        if let Some((queue_index, permit)) = self.turn.permit.take() {
            let took = uptime.saturating_sub(permit.since());
            drop(permit);
            if let Some(observation) = whole {
                let http_status = match &together.problem {
                    Some(Observation::Problem(problem)) => problem.http_status,
                    _ => seen().next().and_then(Observed::http_status),
                };
                let answers = &mut state.answers;
                answers.note(&service.name, observation, http_status, (at, took));
                let queue = state.queues.queue(queue_index);
                queue.note(service, observation, took, uptime);
                queue.report(service, observation, uptime);
            }
        }
        for observation in observations {
            state.report_oddities(service, observation);
        }
    }

    /// Notes whether the service can be asked: an answer that shows a job proves it; without
    /// one, two watches are enough. Returns the time limits of each watch.
    fn note_sight_together(
        &self,
        service: &Arc<Service>,
        members: &[Member],
        together: &Together,
    ) -> Vec<TimeLimits> {
        let now = self.shared.clock.moment();
        let mut state = self.shared.state();
        let observed = members.iter().zip(&together.observed);
        let seen = observed.filter_map(|((_, entry), observed)| {
            let observed = observed.as_ref().map(|it| &it.observation);
            Some((entry.id, observed.or(together.problem.as_ref())?))
        });
        let is_sighting =
            |(_, it): &(WatchId, &Observation)| matches!(it, Observation::Sighting(_));
        let noted: Vec<_> = match seen.clone().find(is_sighting) {
            Some(sighting) => vec![sighting],
            None => seen.take(2).collect(),
        };
        for seen in noted {
            state.note_sight(&self.shared.composer, service, seen, now);
        }
        let limits = |(taken, entry): &Member| state.blind.time_limits(entry, taken.duty, now);
        members.iter().map(limits).collect()
    }
}

impl Shared {
    /// Notes that a request for several jobs failed or saved none: it was refused, or showed no more
    /// jobs than it cost requests. For a time each of these watches is then asked for alone.
    fn note_saving(&self, service: &Service, first: Option<&Member>, together: &Together) {
        let Some((_, first)) = first else { return };
        let batch = service.batch_at(first.tracking.stage());
        if !batch.is_some_and(|batch| batch.alone) {
            return;
        }
        let pause = if together.saved_no_requests() {
            ONE_BY_ONE_FOR
        } else if together.has_failed() {
            ONE_BY_ONE_AFTER_FAILURE
        } else {
            return;
        };
        let uptime = self.clock.uptime();
        let one_by_one_until = &mut self.state().one_by_one_until;
        one_by_one_until.retain(|_, until| *until > uptime);
        if one_by_one_until.len() < ONE_BY_ONE_MAX {
            let key = (Arc::clone(&service.name), Arc::clone(&first.params));
            let until = one_by_one_until.entry(key).or_default();
            *until = uptime.saturating_add(pause).max(*until);
        }
    }

    /// Puts a watch back whose job a batch did not show: it is asked for alone, soon.
    fn ask_alone(&self, taken: Taken, entry: &Entry) {
        let due = self.clock.uptime();
        let mut state = self.state();
        state.alone.insert(entry.id);
        let (ticket, duty) = (taken.ticket, taken.duty);
        state.agenda.schedule_for(Reason::Alone, ticket, duty, due);
    }

    /// Puts a watch back whose job the list may have on a later page: it is read soon.
    fn go_on(&self, taken: Taken, entry: &Entry, rest: Option<&Arc<Bookmark>>) {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let State {
            agenda, bookmarks, ..
        } = &mut *state;
        if let Some(rest) = rest {
            bookmarks.keep(entry.id, rest, uptime);
        }
        let pause = match taken.duty {
            Duty::PollLate => LATE_POLL_PAUSE,
            Duty::Poll | Duty::Expire => Duration::ZERO,
        };
        let planned = agenda.planned(entry.id);
        let reason = planned.map_or(Reason::Interval, |planned| planned.reason);
        agenda.schedule_for(reason, taken.ticket, taken.duty, uptime + pause);
    }

    /// Puts a watch back after a panic among those of one request: it is asked for alone.
    pub(super) fn ask_alone_later(&self, ticket: Ticket) {
        {
            let mut state = self.state();
            let id = state.agenda.entry(ticket).map(|entry| entry.id);
            state.alone.extend(id);
        }
        self.try_again(Taken {
            ticket,
            duty: Duty::Poll,
        });
    }
}

/// True if the jobs of two watches differ in nothing but their ids for one request.
fn share_a_request(one: &Entry, other: &Entry) -> bool {
    one.service == other.service
        && Arc::ptr_eq(&one.params, &other.params)
        && stage_of(one) == stage_of(other)
}

/// Returns the definition and the params of the present stage, without its job id.
fn stage_of(entry: &Entry) -> Option<(&str, &Params)> {
    let stage = entry.tracking.stage()?;
    Some((&stage.definition, &stage.params))
}

impl State {
    /// Takes further watches from the queue whose jobs the batch of this one can ask for too.
    /// Returns `None` if this one is asked for alone.
    pub(super) fn companions(
        &mut self,
        service: &Service,
        queue: usize,
        ticket: Ticket,
        uptime: Duration,
    ) -> Option<Companions> {
        let is_one_by_one = self.is_one_by_one(ticket, uptime);
        let Self {
            agenda,
            queues,
            alone,
            bookmarks,
            ..
        } = self;
        let first = agenda.entry(ticket)?;
        let is_alone = alone.remove(&first.id) || is_one_by_one;
        let batch = service.batch_at(first.tracking.stage())?;
        let takes = |entry: &Entry| {
            batch.takes(subject_of(entry).present_id()) && entry.tracking.follow().is_none()
        };
        if is_alone || !takes(first) {
            return self.none_beside(service, ticket, uptime);
        }
        let most = if batch.is_list() {
            TOGETHER_MAX
        } else {
            batch.max
        };
        let bookmark = bookmarks.take(first.id, uptime);
        let is_at = |entry: &Entry| match (&bookmark, bookmarks.of(entry.id, uptime)) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let waiting = &mut queues.queue(queue).waiting;
        let tickets = waiting.take_some(most.saturating_sub(1), |ticket| {
            agenda.entry(ticket).is_some_and(|entry| {
                share_a_request(entry, first)
                    && !alone.contains(&entry.id)
                    && takes(entry)
                    && is_at(entry)
            })
        });
        for entry in tickets.iter().filter_map(|ticket| agenda.entry(*ticket)) {
            bookmarks.forget(entry.id);
        }
        let pays = !batch.needs_more_than(tickets.len() + 1);
        pays.then_some(Companions { tickets, bookmark })
    }

    /// True while the watches that share a request with this one are asked for one by one.
    fn is_one_by_one(&self, ticket: Ticket, uptime: Duration) -> bool {
        let Some(entry) = self.agenda.entry(ticket) else {
            return false;
        };
        let key = (Arc::clone(&entry.service), Arc::clone(&entry.params));
        let until = self.one_by_one_until.get(&key);
        until.is_some_and(|until| *until > uptime)
    }

    /// Returns no companions for a watch that is asked for by itself; `None` if the API has a request
    /// for one job.
    pub(super) fn none_beside(
        &mut self,
        service: &Service,
        ticket: Ticket,
        uptime: Duration,
    ) -> Option<Companions> {
        let entry = self.agenda.entry(ticket)?;
        let batch = service.batch_at(entry.tracking.stage())?;
        let is_list = !batch.alone && entry.tracking.follow().is_none();
        is_list.then(|| Companions {
            tickets: Vec::new(),
            bookmark: self.bookmarks.take(entry.id, uptime),
        })
    }
}
