//! Whether each service can be asked about its jobs: a function of the state, the observation and
//! the time. Pure.
//!
//! A service becomes blind when it could not be asked about any job for `blind_after`: it cannot be
//! reached, it refuses the credential, or jobwatch has no secret to send. From then on only probes are
//! made, one poll at a time. A 5xx may be about one job alone, so it counts once a second watch meets
//! a problem.
//!
//! An answer that shows a job ends this, and so does one that refuses or misdescribes it (403, 404,
//! 400, one that cannot be read): the service could be asked, and the time limits of that watch must
//! go on. A 429 shows that the service is there, so it ends this too, unless the credential was
//! refused: a gateway may throttle before it looks at that.
//!
//! If no service can be reached, jobwatch itself is offline: one report is about all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Moment;
use crate::schedule::sight::{Blind, Meaning, Phase, Sight, was_reached};
use crate::watch::WatchId;
use crate::watch::blindness::{BlindPeriod, BlindReport, Reported, extended};
use crate::watch::event::EventKind;
use crate::watch::observation::Observation;

/// The consequence of an observation: blind periods to save, and their report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The periods that began, ended or were reported.
    pub periods: Vec<BlindPeriod>,
    /// The report of them; the caller counts its watches.
    pub report: Option<BlindReport>,
    /// True if the service of the observation can be asked again.
    pub is_sighted: bool,
}

/// A service that wants a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueProbe {
    /// The name of the service.
    pub service: Arc<str>,
    /// The watch that a person asked to poll.
    pub asked: Option<WatchId>,
    /// The watch of its last observation.
    pub last: Option<WatchId>,
}

/// The sight of all services; see the module.
#[derive(Debug, Default)]
pub struct Blindness {
    services: BTreeMap<Arc<str>, Sight>,
}

impl Blindness {
    /// Begins with these services, each with its `blind_after`; all can be seen.
    pub fn new(services: impl IntoIterator<Item = (Arc<str>, Duration)>) -> Self {
        let sights = services.into_iter();
        Self {
            services: sights
                .map(|(name, after)| (name, Sight::new(after)))
                .collect(),
        }
    }

    /// Takes over the blind periods of earlier processes, of each service oldest first. One that
    /// has not ended goes on, and a probe is made at once. If its service may not be blind any more,
    /// it ends now: these are returned, to be saved.
    pub fn resume(&mut self, periods: Vec<BlindPeriod>, now: Moment) -> Vec<BlindPeriod> {
        let mut ended = Vec::new();
        for sight in self.services.values_mut() {
            sight.periods.clear();
        }
        for period in periods {
            let Some(sight) = self.services.get_mut(period.service.as_str()) else {
                continue;
            };
            if period.until.is_some() {
                sight.periods.push(period);
            } else if sight.after.is_zero() {
                ended.push(sight.end_period(period, now));
            } else {
                sight.phase = Phase::Blind(Blind {
                    report_at: now.uptime + sight.after,
                    ..Blind::new(period, now.uptime)
                });
            }
        }
        ended
    }

    /// Notes an observation of a watch. `retry_after` is how long the service
    /// wants no requests.
    pub fn note(
        &mut self,
        (service, watch): (&str, WatchId),
        observation: &Observation,
        retry_after: Option<Duration>,
        now: Moment,
    ) -> Option<Finding> {
        let sight = self.services.get_mut(service)?;
        sight.last = Some(watch);
        if was_reached(observation) {
            sight.reached_at = Some(now.uptime);
        }
        let meaning = Meaning::of(observation);
        let is_asked = match meaning {
            Meaning::Asked => true,
            Meaning::Reached => !sight.is_refused(),
            Meaning::Blind | Meaning::Doubtful | Meaning::Nothing => false,
        };
        if is_asked {
            return self.sighted(service, now);
        }
        if let Some(blind) = sight.blind_mut()
            && blind.probe == Some(watch)
        {
            blind.probed(retry_after, now.uptime);
        }
        match (meaning, observation) {
            (Meaning::Blind | Meaning::Doubtful, Observation::Problem(problem)) => {
                sight.note_problem(watch, problem, meaning, now);
                self.report(service, now)
            }
            _ => None,
        }
    }

    /// Reports a service that has become blind; if jobwatch is offline, all that cannot be reached.
    fn report(&mut self, service: &str, now: Moment) -> Option<Finding> {
        let sight = self.services.get(service)?;
        if !sight.is_due(now.uptime) {
            return None;
        }
        let quiet = sight.after / 2;
        let is_unreachable = sight.is_unreachable();
        let mut sights = self.services.values();
        let joins = is_unreachable && sights.any(Sight::is_reported_offline);
        let is_offline = is_unreachable && self.is_offline(quiet, now.uptime);
        let mut members = vec![Arc::from(service)];
        if is_offline && !joins {
            let unreachable = self.services.iter();
            let unreachable =
                unreachable.filter(|(_, it)| it.is_unreachable() && it.is_unreported());
            members = unreachable.map(|(name, _)| Arc::clone(name)).collect();
        }
        let reported = if joins || members.len() > 1 {
            Reported::Offline
        } else {
            Reported::Alone
        };
        let mut periods = Vec::new();
        for member in &members {
            let sight = self.services.get_mut(member)?;
            periods.extend(sight.report(member, reported, now.uptime));
        }
        let report = report_of(EventKind::Blind, &periods, reported);
        Some(Finding {
            report: report.filter(|_| !joins),
            periods,
            is_sighted: false,
        })
    }

    /// True if no service has answered for longer than `quiet`.
    fn is_offline(&self, quiet: Duration, uptime: Duration) -> bool {
        let mut sights = self.services.values();
        sights.all(|sight| {
            let reached = sight.reached_at;
            reached.is_none_or(|at| uptime.saturating_sub(at) > quiet)
        })
    }

    /// Ends the blind period of a service. If the service was reported as a part of an offline
    /// jobwatch, that is over, and the report names this service alone. The others stay blind and are
    /// probed at once; each has reports of its own from now on.
    fn sighted(&mut self, service: &str, now: Moment) -> Option<Finding> {
        let ended = self.services.get_mut(service)?.end(now)?;
        let reported = match ended.reported {
            Reported::NotYet => Reported::Alone,
            reported => reported,
        };
        let mut periods = vec![ended];
        if reported == Reported::Offline {
            for sight in self.services.values_mut() {
                let after = sight.after;
                let is_member = sight.is_reported_offline();
                if let Some(blind) = sight.blind_mut()
                    && is_member
                {
                    blind.period.reported = Reported::NotYet;
                    blind.report_at = now.uptime + after;
                    blind.next_probe = now.uptime;
                    periods.push(blind.period.clone());
                }
            }
        }
        let report = report_of(EventKind::Sighted, &periods, reported);
        Some(Finding {
            report: report.map(|report| BlindReport {
                services: vec![service.to_owned()],
                ..report
            }),
            periods,
            is_sighted: true,
        })
    }

    /// True while no job of the service can be seen.
    pub fn is_blind(&self, service: &str) -> bool {
        self.of(service).is_some()
    }

    /// Returns the present blind period of a service, and the uptime of its next probe; `None` while
    /// its jobs can be seen.
    pub fn of(&self, service: &str) -> Option<(&BlindPeriod, Duration)> {
        let blind = self.services.get(service)?.blind()?;
        Some((&blind.period, blind.next_probe))
    }

    /// Returns the deadline of a watch, later by the blind periods of its service.
    pub fn deadline(
        &self,
        service: &str,
        (submitted_at, deadline): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Timestamp {
        let Some(sight) = self.services.get(service) else {
            return deadline;
        };
        let open = sight.blind().map(|blind| &blind.period);
        extended(
            deadline,
            submitted_at,
            sight.periods.iter().chain(open),
            now,
        )
    }

    /// Returns the uptime before which no time counts for the time limits of a job: none before the
    /// service was seen again counts, and none while it is blind.
    pub fn limits_begin(&self, service: &str, uptime: Duration) -> Duration {
        let sight = self.services.get(service);
        sight.map_or(Duration::ZERO, |sight| match sight.blind() {
            Some(_) => uptime,
            None => sight.sighted_at,
        })
    }

    /// Returns the uptime at which the next service wants a probe.
    pub fn next_due(&self) -> Option<Duration> {
        let due = |sight: &Sight| match &sight.phase {
            Phase::Seeing => None,
            Phase::Failing(failing) => failing.confirm_at,
            Phase::Blind(blind) => Some(blind.due()),
        };
        self.services.values().filter_map(due).min()
    }

    /// Returns the services that want a probe. If it brings no answer, another one is wanted after
    /// the longest time between two probes.
    pub fn take_due(&mut self, uptime: Duration) -> Vec<DueProbe> {
        let mut due = Vec::new();
        for (name, sight) in &mut self.services {
            let asked = match &mut sight.phase {
                Phase::Failing(failing) if failing.confirm_at.is_some_and(|at| at <= uptime) => {
                    failing.confirm_at = None;
                    None
                }
                Phase::Blind(blind) if blind.due() <= uptime => blind.take_due(uptime),
                Phase::Seeing | Phase::Failing(_) | Phase::Blind(_) => continue,
            };
            due.push(DueProbe {
                service: Arc::clone(name),
                asked,
                last: sight.last,
            });
        }
        due
    }

    /// Makes a watch the probe of its service; without one, the next watch that is due.
    pub fn probe_with(&mut self, service: &str, watch: Option<WatchId>) {
        let sight = self.services.get_mut(service);
        if let Some(blind) = sight.and_then(Sight::blind_mut) {
            blind.probe = watch;
            blind.takes_any = watch.is_none();
        }
    }

    /// Makes a watch the next probe of its blind service, at once. Returns false if the service can
    /// be asked.
    pub fn ask(&mut self, service: &str, watch: WatchId) -> bool {
        let sight = self.services.get_mut(service);
        let blind = sight.and_then(Sight::blind_mut);
        let is_blind = blind.is_some();
        if let Some(blind) = blind {
            blind.ask(watch);
        }
        is_blind
    }

    /// True if a watch that is due may be polled: its service can be seen, or it is the probe.
    pub fn may_poll(&mut self, service: &str, watch: WatchId) -> bool {
        let sight = self.services.get_mut(service);
        let Some(blind) = sight.and_then(Sight::blind_mut) else {
            return true;
        };
        if std::mem::take(&mut blind.takes_any) {
            blind.probe = Some(watch);
        }
        blind.probe == Some(watch)
    }
}

/// Composes the report of these blind periods; `None` without one.
fn report_of(kind: EventKind, periods: &[BlindPeriod], reported: Reported) -> Option<BlindReport> {
    let first = periods.iter().min_by_key(|period| period.since)?;
    let mut services: Vec<String> = periods
        .iter()
        .map(|period| period.service.clone())
        .collect();
    services.sort_unstable();
    let service = (reported == Reported::Alone).then(|| first.service.clone());
    Some(BlindReport {
        kind,
        service,
        services,
        since: first.since,
        cause: first.cause.clone(),
        watches: 0,
    })
}

#[cfg(test)]
mod tests;
