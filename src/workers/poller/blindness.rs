//! The services whose jobs cannot be seen: their watches wait here, except for probes, and their
//! blind periods are saved with the events that report them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Moment, until};
use crate::schedule::Duty;
use crate::schedule::agenda::{Agenda, Entry, Ticket};
use crate::schedule::blindness::{Blindness, DueProbe, Finding};
use crate::schedule::reason::Reason;
use crate::service::{Service, Services};
use crate::watch::WatchId;
use crate::watch::blindness::{BlindPeriod, BlindReport};
use crate::watch::change::Composer;
use crate::watch::delivery::Owed;
use crate::watch::event::{Event, EventKind};
use crate::watch::observation::Observation;
use crate::workers::poller::{Shared, State};

/// The most findings that wait for the store.
const UNSAVED_MAX: usize = 1000;
/// The pause after the store failed.
const PAUSE: Duration = Duration::from_secs(5);

/// The sight of all services, and the watches of those that are blind.
pub(super) struct BlindServices {
    pub(super) sight: Blindness,
    /// The watches that are due and not polled, by service.
    parked: HashMap<Arc<str>, Parked>,
    unsaved: VecDeque<Unsaved>,
    /// The uptime of the next attempt to save.
    save_at: Duration,
}

/// The watches of one blind service that are due and not polled, those that wait longest first. A
/// ticket may be outdated.
#[derive(Default)]
struct Parked {
    /// Those that were never polled: they are the next probes.
    unpolled: VecDeque<Ticket>,
    polled: VecDeque<Ticket>,
}

impl Parked {
    fn push(&mut self, ticket: Ticket, entry: &Entry) {
        let line = if entry.was_polled() {
            &mut self.polled
        } else {
            &mut self.unpolled
        };
        line.push_back(ticket);
    }

    /// Takes the watch that is probed next.
    fn take_next(&mut self, agenda: &Agenda) -> Option<Ticket> {
        for line in [&mut self.unpolled, &mut self.polled] {
            if line.len() > 2 * agenda.watching() {
                line.retain(|ticket| agenda.entry(*ticket).is_some());
            }
            while let Some(ticket) = line.pop_front() {
                if agenda.entry(ticket).is_some() {
                    return Some(ticket);
                }
            }
        }
        None
    }
}

/// Blind periods to save, and the event that reports them.
#[derive(Clone)]
struct Unsaved {
    periods: Vec<BlindPeriod>,
    event: Option<(Event, Vec<Owed>)>,
}

/// The time limits by which an observation counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    pub(super) deadline: Timestamp,
    /// The uptime before which no time counts for the limits of refusals and of absence.
    pub(super) begin: Duration,
}

impl BlindServices {
    pub(super) fn new(services: &Services) -> Self {
        let services = services.all();
        let sights = services.map(|it| (Arc::clone(&it.name), it.timing.blind_after()));
        Self {
            sight: Blindness::new(sights),
            parked: HashMap::new(),
            unsaved: VecDeque::new(),
            save_at: Duration::ZERO,
        }
    }

    /// Takes over the blind periods of earlier processes.
    pub(super) fn resume(&mut self, periods: Vec<BlindPeriod>, now: Moment) {
        let periods = self.sight.resume(periods, now);
        if !periods.is_empty() {
            let event = None;
            self.keep(Unsaved { periods, event });
        }
    }

    /// Returns the deadline of a watch without an outcome, later by the blind periods of its
    /// service.
    pub(super) fn deadline_of(&self, entry: &Entry, now: Timestamp) -> Timestamp {
        let times = (entry.submitted_at(), entry.deadline());
        self.sight.deadline(&entry.service, times, now)
    }

    /// Returns the time limits by which an observation at `now` counts.
    pub(super) fn time_limits(&self, entry: &Entry, duty: Duty, now: Moment) -> TimeLimits {
        TimeLimits {
            deadline: match duty {
                Duty::PollLate => entry.deadline(),
                Duty::Poll | Duty::Expire => self.deadline_of(entry, now.at),
            },
            begin: self.sight.limits_begin(&entry.service, now.uptime),
        }
    }

    /// Sets a due watch aside while its service is blind, unless it is the probe. Returns true if it
    /// did.
    pub(super) fn park(&mut self, ticket: Ticket, entry: &Entry) -> bool {
        if self.sight.may_poll(&entry.service, entry.id) {
            return false;
        }
        if let Some(parked) = self.parked.get_mut(&entry.service) {
            parked.push(ticket, entry);
        } else {
            let mut parked = Parked::default();
            parked.push(ticket, entry);
            self.parked.insert(Arc::clone(&entry.service), parked);
        }
        true
    }

    /// Returns the uptime at which findings are to be saved; `None` while none waits.
    pub(super) fn save_at(&self) -> Option<Duration> {
        (!self.unsaved.is_empty()).then_some(self.save_at)
    }

    fn keep(&mut self, unsaved: Unsaved) {
        if self.unsaved.len() >= UNSAVED_MAX {
            tracing::error!(
                "too many reports about blind services wait for the store: the oldest is forgotten"
            );
            self.unsaved.pop_front();
        }
        self.unsaved.push_back(unsaved);
    }
}

impl State {
    /// Sets a watch aside that was taken from the agenda, while its service is blind, unless it is
    /// the probe. Returns true if it did.
    pub(super) fn park(&mut self, ticket: Ticket) -> bool {
        let Self { agenda, blind, .. } = self;
        let entry = agenda.entry(ticket);
        let is_parked = entry.is_some_and(|entry| blind.park(ticket, entry));
        if is_parked {
            agenda.set_aside(ticket);
        }
        is_parked
    }

    /// Makes a watch of each service that wants a probe due: the one that a person asked to poll; or
    /// one that was never polled, because its job may be fine where the others are not; or the one
    /// that has waited longest; or that of the last observation.
    pub(super) fn start_probes(&mut self, uptime: Duration) {
        for due in self.blind.sight.take_due(uptime) {
            let DueProbe {
                service,
                asked,
                last,
            } = due;
            let probe = asked
                .filter(|id| self.recall(*id, uptime))
                .or_else(|| self.unpark_one(&service, uptime))
                .or_else(|| last.filter(|id| self.agenda.hasten(*id, uptime, uptime)));
            self.blind.sight.probe_with(&service, probe);
        }
    }

    /// Makes a watch due now that a person asked to poll. Returns false if it is not polled any more.
    fn recall(&mut self, id: WatchId, uptime: Duration) -> bool {
        let agenda = &mut self.agenda;
        agenda.take_back(id, uptime) || agenda.hasten(id, uptime, uptime)
    }

    fn unpark_one(&mut self, service: &str, uptime: Duration) -> Option<WatchId> {
        let parked = self.blind.parked.get_mut(service)?;
        let ticket = parked.take_next(&self.agenda)?;
        let id = self.agenda.entry(ticket)?.id;
        let agenda = &mut self.agenda;
        agenda.schedule_for(Reason::Blind, ticket, Duty::Poll, uptime);
        Some(id)
    }

    /// Notes an observation of a watch, and reports a service that became blind or is seen again.
    pub(super) fn note_sight(
        &mut self,
        composer: &Composer,
        service: &Arc<Service>,
        (watch, observation): (WatchId, &Observation),
        now: Moment,
    ) {
        let retry_after = observation.retry_after();
        let retry_after = retry_after.map(|after| service.timing.respected(after));
        let about = (&*service.name, watch);
        let found = self.blind.sight.note(about, observation, retry_after, now);
        let Some(Finding {
            periods,
            report,
            is_sighted,
        }) = found
        else {
            return;
        };
        if is_sighted {
            self.unpark_all(service, now);
        }
        let report = report.map(|report| BlindReport {
            watches: self.agenda.count_of(&report.services),
            ..report
        });
        report.iter().for_each(log);
        let event = report.map(|report| composer.compose_blindness(&report, now.at));
        self.blind.keep(Unsaved { periods, event });
    }

    /// Makes the watches of a service that is seen again due, those nearest to their deadline first,
    /// as fast as its budget allows at most.
    fn unpark_all(&mut self, service: &Service, now: Moment) {
        let parked = self.blind.parked.remove(&service.name).unwrap_or_default();
        let parked = parked.unpolled.into_iter().chain(parked.polled);
        let mut waiting: Vec<(Timestamp, Ticket)> = parked
            .filter_map(|ticket| {
                let entry = self.agenda.entry(ticket)?;
                Some((self.blind.deadline_of(entry, now.at), ticket))
            })
            .collect();
        waiting.sort_by_key(|(deadline, _)| *deadline);
        let queue = self.queues.index_of(&service.name);
        let ceiling = queue.map_or(1.0, |queue| self.queues.get(queue).budget.ceiling());
        let spacing = Duration::from_secs_f64(1.0 / ceiling);
        let together = service.batch_at(None).map_or(1, |batch| batch.max.max(1));
        for (n, (deadline, ticket)) in waiting.into_iter().enumerate() {
            let place = u32::try_from(n / together).unwrap_or(u32::MAX);
            let after = spacing.saturating_mul(place).min(until(now.at, deadline));
            let due = now.uptime.saturating_add(after);
            let agenda = &mut self.agenda;
            agenda.schedule_for(Reason::Sighted, ticket, Duty::Poll, due);
        }
    }
}

fn log(report: &BlindReport) {
    let cause = &report.cause;
    let services = report.services.join(", ");
    let since = format!("{:.0}", report.since);
    if report.kind == EventKind::Sighted {
        tracing::info!(
            services,
            since,
            watches = report.watches,
            "jobs can be asked for again; the polls that waited are spread"
        );
        return;
    }
    tracing::warn!(
        services, since, watches = report.watches, problem = %cause.kind,
        http_status = cause.http_status, code = cause.code, detail = cause.message,
        "no job can be seen: jobwatch sends only probes, and deadlines stand still until the service can be asked about a job"
    );
}

impl Shared {
    /// Saves the findings about blind services, in their order, until none waits or the store
    /// fails. Called by one flush at a time.
    pub(super) async fn save_blind_periods(&self) {
        loop {
            let Some(Unsaved { periods, event }) = self.state().blind.unsaved.front().cloned()
            else {
                return;
            };
            let has_event = event.is_some();
            if let Err(error) = self.store.save_blind_periods(periods, event).await {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot save since when services are blind; trying again"
                );
                self.state().blind.save_at = self.clock.uptime() + PAUSE;
                return;
            }
            self.state().blind.unsaved.pop_front();
            if has_event {
                self.committed.wake();
            }
        }
    }
}
