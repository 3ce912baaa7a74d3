//! Whether the jobs of each service can be seen: a function of the state, the observation and the
//! time. Pure.
//!
//! A service becomes blind when no answer has said anything about any job for `blind_after`. From
//! then on only probes are made, one poll at a time, and the first answer about a job ends it. A
//! problem that may be about one job alone (403, 400, 5xx, an answer that cannot be read) counts
//! once a second watch meets one, so that a single odd job neither hides the others nor waits for
//! ever. A 404 is about one job; it shows that the service can be asked, unless a gateway sent it.
//!
//! If no service can be reached, jobwatch itself is offline: one report is about all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Moment;
use crate::schedule::sight::{Blind, Meaning, PROBE_MAX, Phase, Sight, was_reached};
use crate::watch::WatchId;
use crate::watch::blindness::{BlindReport, BlindTime, Reported, extended};
use crate::watch::event::EventKind;
use crate::watch::observation::Observation;

/// The consequence of an observation: times to save, and their report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The times that began, ended or were reported.
    pub times: Vec<BlindTime>,
    /// The report of them; the caller counts its watches.
    pub report: Option<BlindReport>,
    /// True if the service of the observation can be asked again.
    pub is_sighted: bool,
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

    /// Takes over the times of earlier processes, of each service oldest first. One that has not
    /// ended goes on, and a probe is made at once.
    pub fn resume(&mut self, times: Vec<BlindTime>, uptime: Duration) {
        for sight in self.services.values_mut() {
            sight.times.clear();
        }
        for time in times {
            let Some(sight) = self.services.get_mut(time.service.as_str()) else {
                continue;
            };
            if time.until.is_some() {
                sight.times.push(time);
            } else {
                sight.phase = Phase::Blind(Blind {
                    report_at: uptime + sight.after,
                    ..Blind::new(time, uptime)
                });
            }
        }
    }

    /// Notes an observation of a watch. `asked` is how long the service wants no requests.
    pub fn note(
        &mut self,
        (service, watch): (&str, WatchId),
        observation: &Observation,
        asked: Option<Duration>,
        now: Moment,
    ) -> Option<Finding> {
        let sight = self.services.get_mut(service)?;
        sight.last = Some(watch);
        if was_reached(observation) {
            sight.reached_at = Some(now.uptime);
        }
        match (Meaning::of(observation), observation) {
            (Meaning::Seen, _) | (_, Observation::Sighting(_)) => {
                return self.sighted(service, now);
            }
            (Meaning::Nothing, _) => {}
            (meaning, Observation::Problem(problem)) => {
                sight.note_problem(watch, problem, meaning, now);
            }
        }
        if let Some(blind) = sight.blind_mut()
            && blind.probe == Some(watch)
        {
            blind.probed(asked, now.uptime);
        }
        self.report(service, now)
    }

    /// Reports a service that has become blind, or all if none can be reached.
    fn report(&mut self, service: &str, now: Moment) -> Option<Finding> {
        let sight = self.services.get(service)?;
        if !sight.is_due(now.uptime) {
            return None;
        }
        let quiet = sight.after / 2;
        let is_unreachable = sight.is_unreachable();
        let mut sights = self.services.values();
        let joins = is_unreachable && sights.any(Sight::is_reported_together);
        let is_cut_off = is_unreachable && self.is_cut_off(quiet, now.uptime);
        let mut members = vec![Arc::from(service)];
        if is_cut_off && !joins {
            let cut_off = self.services.iter();
            let cut_off = cut_off.filter(|(_, it)| it.is_unreachable() && it.is_unreported());
            members = cut_off.map(|(name, _)| Arc::clone(name)).collect();
        }
        let reported = if joins || members.len() > 1 {
            Reported::Together
        } else {
            Reported::Alone
        };
        let mut times = Vec::new();
        for member in &members {
            let sight = self.services.get_mut(member)?;
            times.extend(sight.report(member, reported, now.uptime));
        }
        let report = report_of(EventKind::Blind, &times, reported);
        Some(Finding {
            report: report.filter(|_| !joins),
            times,
            is_sighted: false,
        })
    }

    /// True if no service has answered lately.
    fn is_cut_off(&self, quiet: Duration, uptime: Duration) -> bool {
        let mut sights = self.services.values();
        sights.all(|sight| {
            let reached = sight.reached_at;
            reached.is_none_or(|at| uptime.saturating_sub(at) > quiet)
        })
    }

    /// Ends the time of a service, and the time of all if it was part of it. The others stay blind;
    /// they are probed at once, and reported by themselves if they stay so.
    fn sighted(&mut self, service: &str, now: Moment) -> Option<Finding> {
        let ended = self.services.get_mut(service)?.end(now)?;
        let reported = ended.reported;
        let mut times = vec![ended];
        if reported == Reported::Together {
            for sight in self.services.values_mut() {
                let after = sight.after;
                let is_member = sight.is_reported_together();
                if let Some(blind) = sight.blind_mut()
                    && is_member
                {
                    blind.time.reported = Reported::NotYet;
                    blind.report_at = now.uptime + after;
                    blind.next_probe = now.uptime;
                    times.push(blind.time.clone());
                }
            }
        }
        Some(Finding {
            report: report_of(EventKind::Sighted, &times, reported),
            times,
            is_sighted: true,
        })
    }

    /// True while no job of the service can be seen.
    pub fn is_blind(&self, service: &str) -> bool {
        self.of(service).is_some()
    }

    /// Returns the present time of a service, and the uptime of its next probe; `None` while its
    /// jobs can be seen.
    pub fn of(&self, service: &str) -> Option<(&BlindTime, Duration)> {
        let blind = self.services.get(service)?.blind()?;
        Some((&blind.time, blind.next_probe))
    }

    /// Returns the deadline of a watch, later by the times in which its service was blind.
    pub fn deadline(
        &self,
        service: &str,
        (submitted_at, deadline): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Timestamp {
        let Some(sight) = self.services.get(service) else {
            return deadline;
        };
        let open = sight.blind().map(|blind| &blind.time);
        extended(deadline, submitted_at, sight.times.iter().chain(open), now)
    }

    /// Returns the uptime at which patience with a job begins at the earliest: no time before the
    /// service was seen again counts, and none while it is blind.
    pub fn patience_begins(&self, service: &str, uptime: Duration) -> Duration {
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
            Phase::Blind(blind) => Some(blind.next_probe),
        };
        self.services.values().filter_map(due).min()
    }

    /// Returns the services that want a probe, each with the watch of its last observation. If that
    /// probe brings no answer, another one is wanted after [`PROBE_MAX`].
    pub fn take_due(&mut self, uptime: Duration) -> Vec<(Arc<str>, Option<WatchId>)> {
        let mut due = Vec::new();
        for (name, sight) in &mut self.services {
            let is_due = match &mut sight.phase {
                Phase::Failing(failing) => {
                    let is_due = failing.confirm_at.is_some_and(|at| at <= uptime);
                    if is_due {
                        failing.confirm_at = None;
                    }
                    is_due
                }
                Phase::Blind(blind) if blind.next_probe <= uptime => {
                    blind.next_probe = uptime + PROBE_MAX;
                    blind.probe = None;
                    true
                }
                Phase::Seeing | Phase::Blind(_) => false,
            };
            if is_due {
                due.push((Arc::clone(name), sight.last));
            }
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

    /// Makes a probe of a blind service due at once.
    pub fn hasten(&mut self, service: &str, uptime: Duration) {
        let sight = self.services.get_mut(service);
        if let Some(blind) = sight.and_then(Sight::blind_mut) {
            blind.next_probe = blind.next_probe.min(uptime);
        }
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

/// Composes the report of these times; `None` if no event has reported or reports them.
fn report_of(kind: EventKind, times: &[BlindTime], reported: Reported) -> Option<BlindReport> {
    if reported == Reported::NotYet {
        return None;
    }
    let first = times.iter().min_by_key(|time| time.since)?;
    let mut services: Vec<String> = times.iter().map(|time| time.service.clone()).collect();
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
