//! One poll from its start to its end: observe, decide, commit, put back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;

use crate::schedule::agenda::Duty;
use crate::schedule::agenda::Entry;
use crate::schedule::agenda::Ticket;
use crate::service::Service;
use crate::store::Applied;
use crate::store::Transition;
use crate::watch::Outcome;
use crate::watch::Params;
use crate::watch::State;
use crate::watch::WatchId;
use crate::watch::event::Event;
use crate::watch::observation::Observation;
use crate::watch::observation::ProblemKind;
use crate::watch::transition;
use crate::watch::transition::Step;
use crate::watch::transition::Terms;
use crate::watch::transition::Tracking;
use crate::workers::poller::Board;
use crate::workers::poller::Shared;
use crate::workers::poller::load::duty_of;

/// How long a watch waits after its transition could not be committed.
const COMMIT_AGAIN: Duration = Duration::from_secs(5);
/// How many odd status values are remembered as warned of.
const WARNED_MAX: usize = 1000;

/// A watch that was taken from the agenda. However it ends, even by a panic, its place in
/// the budget is given back and the watch returns to the agenda.
pub(super) struct Flight {
    shared: Arc<Shared>,
    ticket: Ticket,
    lane: Option<usize>,
    /// The budget counted this flight.
    counted: bool,
}

/// A step that must be committed before the agenda may forget what it was.
struct Pending {
    id: WatchId,
    /// What was known before the observation, for when the commit fails.
    before: Tracking,
    after: Tracking,
    step: Step,
}

/// What became of a commit.
enum Committed {
    /// The watch goes on.
    Watching,
    /// The watch is over, by us or by somebody else.
    Over,
}

impl Flight {
    pub(super) fn new(shared: Arc<Shared>, ticket: Ticket, lane: Option<usize>) -> Self {
        Self {
            shared,
            ticket,
            lane,
            counted: false,
        }
    }

    /// Polls the job once and concludes; then the next that waits for the same budget.
    pub(super) async fn poll(mut self) {
        loop {
            self.counted = self.lane.is_some();
            self.poll_once().await;
            let next = self.lane.and_then(|lane| self.shared.next_waiting(lane));
            let Some(ticket) = next else { return };
            self.ticket = ticket;
        }
    }

    async fn poll_once(&mut self) {
        let Some((service, job_id, params)) = self.subject() else {
            self.release();
            return;
        };
        let started = self.shared.clock.now();
        let observation = service.observe(&job_id, &params, started).await;
        if let Some(pending) = self.conclude(&service, &observation) {
            self.commit(pending, Some(&observation), Some(&service))
                .await;
        }
    }

    /// Ends the watch as timed out: its deadline is here and nothing may be asked.
    pub(super) async fn expire(self) {
        let known = self
            .shared
            .board()
            .agenda
            .entry(self.ticket)
            .map(|entry| (entry.id, entry.tracking.clone()));
        let Some((id, tracking)) = known else { return };
        let pending = Pending {
            id,
            before: tracking.clone(),
            after: tracking,
            step: Step::Finished(Outcome::TimedOut),
        };
        self.commit(pending, None, None).await;
    }

    /// Gives the place in the budget back.
    fn release(&mut self) {
        if let Some(lane) = self.lane
            && std::mem::take(&mut self.counted)
        {
            self.shared.board().lanes.lane(lane).budget.release();
        }
    }

    fn subject(&self) -> Option<(Arc<Service>, Box<str>, Arc<Params>)> {
        let board = self.shared.board();
        let entry = board.agenda.entry(self.ticket)?;
        let service = self.shared.services.get(&entry.service)?;
        Some((
            Arc::clone(service),
            entry.job_id.clone(),
            Arc::clone(&entry.params),
        ))
    }

    /// Decides. A step that changes nothing puts the watch back at once, and lands.
    fn conclude(&mut self, service: &Arc<Service>, observation: &Observation) -> Option<Pending> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.board();
        let board = &mut *guard;
        shared.metrics.polled(&service.name, observation);
        self.account(board, service, observation, uptime);
        board.tell(service, observation, self.lane, uptime);
        let entry = board.agenda.entry_mut(self.ticket)?;
        let before = entry.tracking.clone();
        let terms = terms_of(entry, service);
        let step = transition::decide(&mut entry.tracking, observation, &terms, now);
        tracing::debug!(
            service = %service.name, job_id = %entry.job_id, ?step,
            retry_after = ?observation.retry_after(), "polled"
        );
        if step != Step::Unchanged {
            return Some(Pending {
                id: entry.id,
                before,
                after: entry.tracking.clone(),
                step,
            });
        }
        board.put_back(self.ticket, service, observation.retry_after(), now, uptime);
        None
    }

    /// Gives the budget back and tells it what the service said.
    fn account(
        &mut self,
        board: &mut Board,
        service: &Service,
        observation: &Observation,
        uptime: Duration,
    ) {
        let Some(lane) = self.lane else { return };
        let budget = &mut board.lanes.lane(lane).budget;
        budget.release();
        self.counted = false;
        if let Observation::Problem(problem) = observation
            && problem.kind == ProblemKind::Throttled
        {
            budget.throttled(uptime, |run| match problem.retry_after {
                Some(wish) => service.policy.respected(wish),
                None => service.policy.interval(run),
            });
        }
    }

    async fn commit(
        &self,
        pending: Pending,
        observation: Option<&Observation>,
        service: Option<&Arc<Service>>,
    ) {
        let now = self.shared.clock.now();
        let committed = self.shared.commit(&pending, observation, now).await;
        let uptime = self.shared.clock.uptime();
        let mut board = self.shared.board();
        match (committed, service) {
            (Ok(Committed::Over), _) => board.agenda.remove(self.ticket),
            (Ok(Committed::Watching), Some(service)) => {
                let wish = observation.and_then(Observation::retry_after);
                board.put_back(self.ticket, service, wish, now, uptime);
            }
            (Ok(Committed::Watching), None) => {
                board
                    .agenda
                    .schedule(self.ticket, Duty::Expire, uptime + COMMIT_AGAIN);
            }
            (Err(error), service) => {
                tracing::error!(
                    watch_id = %pending.id, error = format!("{error:#}"),
                    "cannot commit a transition; the job will be polled again"
                );
                // As if it had not been seen: the next poll must find it new again.
                if let Some(entry) = board.agenda.entry_mut(self.ticket) {
                    entry.tracking = pending.before;
                }
                let duty = service.map_or(Duty::Expire, |_| Duty::Poll);
                board
                    .agenda
                    .schedule(self.ticket, duty, uptime + COMMIT_AGAIN);
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut board = self.shared.board();
        board.in_flight -= 1;
        if self.counted
            && let Some(lane) = self.lane
        {
            board.lanes.lane(lane).budget.release();
        }
        if std::thread::panicking() {
            let again = self.shared.clock.uptime() + COMMIT_AGAIN;
            board.agenda.schedule(self.ticket, Duty::Poll, again);
        }
        drop(board);
        self.shared.landed.notify_one();
    }
}

impl Board {
    fn put_back(
        &mut self,
        ticket: Ticket,
        service: &Service,
        wish: Option<Duration>,
        now: Timestamp,
        uptime: Duration,
    ) {
        let Some(entry) = self.agenda.entry(ticket) else {
            return;
        };
        let next =
            service
                .policy
                .next_poll(&entry.tracking, wish, now, entry.deadline, &mut self.rng);
        self.agenda
            .schedule(ticket, duty_of(next), uptime.saturating_add(next.after()));
    }

    /// Says aloud what a person should know of, once and not at every poll.
    fn tell(
        &mut self,
        service: &Arc<Service>,
        observation: &Observation,
        lane: Option<usize>,
        uptime: Duration,
    ) {
        match observation {
            Observation::Problem(problem) => {
                if lane.is_some_and(|lane| self.lanes.lane(lane).may_warn(uptime)) {
                    tracing::warn!(
                        service = %service.name, problem = %problem.kind,
                        http_status = problem.http_status, code = problem.code,
                        detail = problem.message, "a poll met a problem; watches go on"
                    );
                }
            }
            Observation::Sighting(sighting) => {
                if sighting.unknown_status {
                    self.tell_of_status(service, sighting.job.status.as_deref());
                }
                for warning in &sighting.warnings {
                    tracing::debug!(service = %service.name, warning, "an odd answer");
                }
            }
        }
    }

    /// Unknown is loud (invariant 9), once for each value.
    fn tell_of_status(&mut self, service: &Arc<Service>, status: Option<&str>) {
        let status = status.unwrap_or_default();
        let key = (Arc::clone(&service.name), status.to_owned());
        if self.warned.len() < WARNED_MAX && self.warned.insert(key) {
            tracing::warn!(
                service = %service.name, status,
                "unknown_status: the definition does not list this status; it counts as still running"
            );
        }
    }
}

impl Shared {
    /// Commits a step: the watch, its event and what it owes, in one transaction.
    async fn commit(
        &self,
        pending: &Pending,
        observation: Option<&Observation>,
        now: Timestamp,
    ) -> anyhow::Result<Committed> {
        let watch = self
            .store
            .watch(pending.id)
            .await
            .context("read the watch")?;
        let Some(watch) = watch.filter(|watch| watch.state == State::Watching) else {
            return Ok(Committed::Over);
        };
        let recorded = transition::record(&watch, &pending.after, observation, pending.step, now);
        let Some((next, kind)) = recorded else {
            return Ok(Committed::Watching);
        };
        let transition = Transition {
            event: Event::of(&next, kind, &self.instance, now),
            owed: self.subscriptions.owed(&next, kind),
            watch: next,
        };
        let over = transition.watch.state != State::Watching;
        let applied = self
            .store
            .apply(transition)
            .await
            .context("store the transition")?;
        match applied {
            Applied::Applied => {
                self.courier.wake();
                Ok(if over {
                    Committed::Over
                } else {
                    Committed::Watching
                })
            }
            Applied::Refused => anyhow::bail!("somebody else changed the watch meanwhile"),
        }
    }
}

fn terms_of(entry: &Entry, service: &Service) -> Terms {
    Terms {
        submitted_at: entry.submitted_at,
        deadline: entry.deadline,
        not_found_grace: service.patience.not_found_grace,
        give_up_after: service.patience.give_up_after,
        not_found_means: service.definition.not_found_means,
    }
}
