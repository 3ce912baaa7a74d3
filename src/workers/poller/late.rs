//! Looks at watches that ended without a verdict, for one that comes late.
//!
//! They have an agenda of their own, so that they count as watching nowhere, and are looked
//! at within the same budgets, but only while no watch waits there for its poll. A verdict
//! is told once; the outcome of the watch stays (invariant 5). Nothing is kept but what
//! the store knows: a restart finds them again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::SignedDuration;
use rand::RngExt;

use crate::clock::later;
use crate::schedule::agenda::{Duty, Entry, Ticket};
use crate::schedule::budget::Admission;
use crate::service::Service;
use crate::store::StoreError;
use crate::watch::event::EventKind;
use crate::watch::observation::Observation;
use crate::watch::{Outcome, Watch, transition};
use crate::workers::poller::conclude::{Decision, Pending};
use crate::workers::poller::load::{LOAD_PAGE, entry_of};
use crate::workers::poller::{Board, Shared};

/// How long a look is put off for which there is no room in the budget.
const LATER: Duration = Duration::from_secs(30);

/// A look that may start; its place in the budget is counted.
pub(super) struct Due {
    ticket: Ticket,
    lane: usize,
}

/// One look under way. However it ends, its place in the budget is given back.
pub(super) struct Look {
    shared: Arc<Shared>,
    due: Due,
    counted: bool,
}

/// Takes the looks that are due and for which there is room; puts the others off.
pub(super) fn take_due(board: &mut Board, uptime: Duration) -> Vec<Due> {
    let Board { late, lanes, .. } = board;
    let mut looks = Vec::new();
    while let Some((ticket, _)) = late.take_due(uptime) {
        let Some(index) = late
            .entry(ticket)
            .and_then(|entry| lanes.index_of(&entry.service))
        else {
            late.remove(ticket);
            continue;
        };
        let lane = lanes.lane(index);
        let is_free = lane.waiting.is_empty() && lane.budget.paused(uptime).is_none();
        if is_free && matches!(lane.budget.admit(uptime), Admission::Granted) {
            looks.push(Due {
                ticket,
                lane: index,
            });
        } else {
            late.schedule(ticket, Duty::Poll, uptime + LATER);
        }
    }
    looks
}

impl Shared {
    /// Finds in the store what is still to be looked at.
    pub(super) async fn load_late(&self) -> Result<(), StoreError> {
        let times = self.services.all().map(|it| it.timing.after_watch());
        let longest = times.max().unwrap_or_default();
        if longest.is_zero() {
            return Ok(());
        }
        let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
        let since = self.clock.now().checked_sub(longest);
        let since = since.unwrap_or(jiff::Timestamp::MIN);
        let mut after = 0;
        loop {
            let page = self.store.without_verdict(since, after, LOAD_PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;
            for (_, watch) in page {
                self.add_late(&watch, None, true);
            }
        }
    }

    /// Begins to look for a late verdict on a watch that has just ended by `pending`, if
    /// one may come. One that ended without a poll may have ended because the service
    /// wished to be left alone beyond its deadline.
    pub(super) fn look_late(&self, watch: &Watch, pending: &Pending) {
        if !watch.state.outcome().is_some_and(Outcome::may_come_late) {
            return;
        }
        let service = self.services.get(&watch.service);
        let retry_after = match &pending.observation {
            Some(observation) => observation.retry_after(),
            None => service.map(|service| service.timing.longest_retry_after()),
        };
        self.add_late(watch, retry_after, false);
    }

    fn add_late(&self, watch: &Watch, retry_after: Option<Duration>, is_resumed: bool) {
        let (Some(service), Some(finished_at)) =
            (self.services.get(&watch.service), watch.finished_at)
        else {
            return;
        };
        let now = self.clock.now();
        let uptime = self.clock.uptime();
        let mut board = self.board();
        let board = &mut *board;
        let mut entry = entry_of(board, watch, Some(service));
        entry.deadline = later(finished_at, service.timing.after_watch());
        let timing = &service.timing;
        let next = timing.late_poll(retry_after, now, entry.deadline, &mut board.rng);
        let Some(mut next) = next else { return };
        if is_resumed {
            // A restart spreads them.
            next = next.mul_f64(board.rng.random_range(0.0..=1.0));
        }
        board
            .late
            .add(entry, Duty::Poll, uptime.saturating_add(next));
    }

    /// Appends the event that tells of a late verdict, unless it was told already.
    pub(super) async fn commit_late(&self, pending: &Pending) -> anyhow::Result<()> {
        let watch = self.store.watch(pending.id).await;
        let watch = watch.context("read the watch")?;
        let seen = watch
            .zip(pending.observation.as_ref())
            .and_then(|(watch, observation)| transition::late_result(&watch, observation));
        let Some(seen) = seen else { return Ok(()) };
        let change = self
            .composer
            .compose(seen, EventKind::LateResult, pending.at);
        let appended = self.store.append(change).await;
        appended.context("store the late result")?;
        self.courier.wake();
        Ok(())
    }
}

impl Look {
    /// A look; it was counted as being in flight.
    pub(super) fn new(shared: Arc<Shared>, due: Due) -> Self {
        Self {
            shared,
            due,
            counted: true,
        }
    }

    /// Polls the job once and tells of a verdict.
    pub(super) async fn look(mut self) {
        let subject = {
            let board = self.shared.board();
            let entry = board.late.entry(self.due.ticket).cloned();
            entry.and_then(|entry| Some((self.shared.services.get(&entry.service)?, entry)))
        };
        let Some((service, entry)) = subject.map(|(service, entry)| (Arc::clone(service), entry))
        else {
            return;
        };
        let started = self.shared.clock.now();
        let observation = service.observe(&entry.job_id, &entry.params, started).await;
        if let Some(pending) = self.conclude(&service, &entry, observation) {
            self.commit(&service, pending).await;
        }
    }

    fn conclude(
        &mut self,
        service: &Arc<Service>,
        entry: &Entry,
        observation: Observation,
    ) -> Option<Pending> {
        let uptime = self.shared.clock.uptime();
        let now = self.shared.clock.now();
        let mut board = self.shared.board();
        self.shared.metrics.polled(&service.name, &observation);
        self.counted = false;
        board.account(self.due.lane, service, &observation, uptime);
        board.tell(service, &observation, Some(self.due.lane), uptime);
        let verdict = match &observation {
            Observation::Sighting(sighting) => transition::is_verdict(sighting),
            Observation::Problem(_) => false,
        };
        if verdict {
            return Some(Pending {
                id: entry.id,
                decision: Decision::LateResult,
                observation: Some(observation),
                at: now,
            });
        }
        let board = &mut *board;
        let retry_after = observation.retry_after();
        let timing = &service.timing;
        let next = timing.late_poll(retry_after, now, entry.deadline, &mut board.rng);
        match next {
            Some(next) => board
                .late
                .schedule(self.due.ticket, Duty::Poll, uptime + next),
            None => board.late.remove(self.due.ticket),
        }
        None
    }

    async fn commit(&self, service: &Service, pending: Pending) {
        let committed = self.shared.commit(&pending).await;
        if let Err(error) = &committed {
            self.shared.tell_of_trouble(&pending, error);
        }
        let uptime = self.shared.clock.uptime();
        let mut board = self.shared.board();
        let kept = match committed {
            Ok(_) => Ok(()),
            Err(_) => board.unwritten.keep(pending, uptime),
        };
        if kept.is_ok() {
            board.late.remove(self.due.ticket);
        } else {
            let again = uptime + service.timing.late_interval();
            board.late.schedule(self.due.ticket, Duty::Poll, again);
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut board = self.shared.board();
        board.in_flight -= 1;
        if self.counted {
            board.lanes.lane(self.due.lane).budget.release();
        }
        if std::thread::panicking() {
            let again = self.shared.clock.uptime() + LATER;
            board.late.schedule(self.due.ticket, Duty::Poll, again);
        }
        drop(board);
        self.shared.landed.notify_one();
    }
}
