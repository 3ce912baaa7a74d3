//! One poll from its start to its end: observe, decide, commit, put back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;

use crate::schedule::agenda::{Duty, Entry, Ticket};
use crate::service::Service;
use crate::store::Applied;
use crate::watch::observation::{Observation, ProblemKind};
use crate::watch::transition::{Step, Terms, Tracking};
use crate::watch::{Outcome, Params, State, WatchId, transition};
use crate::workers::poller::load::duty_of;
use crate::workers::poller::{Board, Shared};

/// How often a commit is tried that somebody else came before.
const COMMIT_TRIES: usize = 5;
/// How long a watch waits whose transition could be neither committed nor kept.
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

/// What was decided of a watch.
pub(super) enum Decision {
    /// A step of a watch that goes on.
    Step {
        /// What was known before the observation, for when nothing of it can be kept.
        before: Tracking,
        after: Tracking,
        step: Step,
    },
    /// A verdict on a watch that has ended without one.
    LateResult,
}

/// A decision that must be committed, and everything that takes.
pub(super) struct Pending {
    pub(super) id: WatchId,
    pub(super) decision: Decision,
    /// What the poll showed, if there was one.
    pub(super) observation: Option<Observation>,
    /// When it was noticed.
    pub(super) at: Timestamp,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
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
        if let Some(pending) = self.conclude(&service, observation) {
            self.commit(pending, Some(&service)).await;
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
            decision: Decision::Step {
                before: tracking.clone(),
                after: tracking,
                step: Step::Finished(Outcome::TimedOut),
            },
            observation: None,
            at: self.shared.clock.now(),
        };
        self.commit(pending, None).await;
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
    fn conclude(&mut self, service: &Arc<Service>, observation: Observation) -> Option<Pending> {
        let now = self.shared.clock.now();
        let uptime = self.shared.clock.uptime();
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.board();
        let board = &mut *guard;
        shared.metrics.polled(&service.name, &observation);
        if let Some(lane) = self.lane {
            self.counted = false;
            board.account(lane, service, &observation, uptime);
        }
        board.tell(service, &observation, self.lane, uptime);
        let entry = board.agenda.entry_mut(self.ticket)?;
        let before = entry.tracking.clone();
        let terms = terms_of(entry, service);
        let step = transition::decide(&mut entry.tracking, &observation, &terms, now);
        tracing::debug!(
            service = %service.name, job_id = %entry.job_id, ?step,
            retry_after = ?observation.retry_after(), "polled"
        );
        if step != Step::Unchanged {
            return Some(Pending {
                id: entry.id,
                decision: Decision::Step {
                    before,
                    after: entry.tracking.clone(),
                    step,
                },
                observation: Some(observation),
                at: now,
            });
        }
        board.put_back(self.ticket, service, observation.retry_after(), now, uptime);
        None
    }

    async fn commit(&self, pending: Pending, service: Option<&Arc<Service>>) {
        // What waits for the store already comes first.
        let waits = self.shared.board().unwritten.holds(pending.id);
        let committed = if waits {
            None
        } else {
            match self.shared.commit(&pending).await {
                Ok(committed) => Some(committed),
                Err(error) => {
                    self.shared.tell_of_trouble(&pending, &error);
                    None
                }
            }
        };
        let uptime = self.shared.clock.uptime();
        let mut board = self.shared.board();
        let Some(committed) = committed else {
            board.keep(self.ticket, pending, service, uptime);
            return;
        };
        board.unwritten.store_is_back(uptime);
        match (committed, service) {
            (Committed::Over, _) => board.agenda.remove(self.ticket),
            (Committed::Watching, Some(service)) => {
                let retry_after = pending.retry_after();
                board.put_back(self.ticket, service, retry_after, pending.at, uptime);
            }
            (Committed::Watching, None) => {
                board
                    .agenda
                    .schedule(self.ticket, Duty::Expire, uptime + COMMIT_AGAIN);
            }
        }
    }
}

impl Pending {
    fn ends_watch(&self) -> bool {
        let Decision::Step { step, .. } = &self.decision else {
            return false;
        };
        matches!(step, Step::Finished(_))
    }

    fn retry_after(&self) -> Option<Duration> {
        self.observation.as_ref().and_then(Observation::retry_after)
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
    /// Keeps what the store did not take. A watch that is over is not polled any more;
    /// one that goes on is.
    fn keep(
        &mut self,
        ticket: Ticket,
        pending: Pending,
        service: Option<&Arc<Service>>,
        uptime: Duration,
    ) {
        let (retry_after, at) = (pending.retry_after(), pending.at);
        let is_over = pending.ends_watch();
        match (self.unwritten.keep(pending, uptime), service) {
            (Ok(()), Some(service)) if !is_over => {
                self.put_back(ticket, service, retry_after, at, uptime);
            }
            (Ok(()), _) => self.agenda.remove(ticket),
            (Err(pending), service) => {
                tracing::error!(
                    watch_id = %pending.id,
                    "too much waits for the store: this transition is forgotten, and the job will be polled again"
                );
                // As if it had not been seen: the next poll must find it new again.
                if let Some(entry) = self.agenda.entry_mut(ticket)
                    && let Decision::Step { before, .. } = pending.decision
                {
                    entry.tracking = before;
                }
                let duty = service.map_or(Duty::Expire, |_| Duty::Poll);
                self.agenda.schedule(ticket, duty, uptime + COMMIT_AGAIN);
            }
        }
    }

    fn put_back(
        &mut self,
        ticket: Ticket,
        service: &Service,
        retry_after: Option<Duration>,
        now: Timestamp,
        uptime: Duration,
    ) {
        let Some(entry) = self.agenda.entry(ticket) else {
            return;
        };
        let next = service.timing.next_poll(
            &entry.tracking,
            retry_after,
            now,
            entry.deadline,
            &mut self.rng,
        );
        self.agenda
            .schedule(ticket, duty_of(next), uptime.saturating_add(next.after()));
    }

    /// Gives the budget back and tells it what the service said.
    pub(super) fn account(
        &mut self,
        lane: usize,
        service: &Service,
        observation: &Observation,
        uptime: Duration,
    ) {
        let budget = &mut self.lanes.lane(lane).budget;
        budget.release();
        if let Observation::Problem(problem) = observation
            && problem.kind == ProblemKind::Throttled
        {
            budget.throttled(uptime, |run| match problem.retry_after {
                Some(retry_after) => service.timing.respected(retry_after),
                None => service.timing.interval(run),
            });
        }
    }

    /// Says aloud what a person should know of, once and not at every poll.
    pub(super) fn tell(
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
    /// Says aloud that the store takes nothing: once, not for each watch.
    pub(super) fn tell_of_trouble(&self, pending: &Pending, error: &anyhow::Error) {
        let is_first = self.board().unwritten.len() == 0;
        let error = format!("{error:#}");
        if is_first {
            tracing::error!(
                watch_id = %pending.id, error,
                "cannot commit a transition; it and those that follow are kept in memory until the store returns, and polling goes on"
            );
        } else {
            tracing::debug!(watch_id = %pending.id, error, "cannot commit a transition");
        }
    }

    /// Commits a step: the watch, its event and what it owes, in one transaction.
    pub(super) async fn commit(&self, pending: &Pending) -> anyhow::Result<Committed> {
        if matches!(pending.decision, Decision::LateResult) {
            self.commit_late(pending).await?;
            return Ok(Committed::Over);
        }
        for _ in 0..COMMIT_TRIES {
            if let Some(committed) = self.try_to_commit(pending).await? {
                return Ok(committed);
            }
        }
        anyhow::bail!("somebody else keeps changing the watch")
    }

    /// `None` when somebody else changed the watch meanwhile.
    async fn try_to_commit(&self, pending: &Pending) -> anyhow::Result<Option<Committed>> {
        let watch = self
            .store
            .watch(pending.id)
            .await
            .context("read the watch")?;
        let Some(watch) = watch else {
            return Ok(Some(Committed::Over));
        };
        if watch.state != State::Watching {
            // Perhaps by us, when the answer to an earlier try was lost.
            self.look_late(&watch, pending);
            return Ok(Some(Committed::Over));
        }
        let Decision::Step { after, step, .. } = &pending.decision else {
            return Ok(Some(Committed::Over));
        };
        let (observation, at) = (pending.observation.as_ref(), pending.at);
        let recorded = transition::record(&watch, after, observation, *step, at);
        let Some((next, kind)) = recorded else {
            return Ok(Some(Committed::Watching));
        };
        let change = self.composer.compose(next, kind, at);
        let outcome = change.watch.state.outcome();
        let late = outcome.is_some_and(Outcome::may_come_late);
        let ended = late.then(|| change.watch.clone());
        let applied = self
            .store
            .apply(change)
            .await
            .context("store the transition")?;
        Ok(match applied {
            Applied::Applied => {
                self.courier.wake();
                if let Some(ended) = &ended {
                    self.look_late(ended, pending);
                }
                Some(outcome.map_or(Committed::Watching, |_| Committed::Over))
            }
            Applied::Refused => None,
        })
    }
}

fn terms_of<'a>(entry: &Entry, service: &'a Service) -> Terms<'a> {
    Terms {
        submitted_at: entry.submitted_at,
        deadline: entry.deadline,
        timing: &service.timing,
        not_found_means: service.definition.not_found_means,
    }
}
