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
use crate::watch::WatchId;
use crate::watch::blindness::{BlindReport, BlindTime, Reported, extended};
use crate::watch::event::EventKind;
use crate::watch::observation::{Observation, Problem, ProblemKind, ProblemNote};

/// The time between the first probes; it doubles with each one.
const PROBE_FIRST: Duration = Duration::from_secs(15);
/// The longest time between two probes, unless the service asks for more.
const PROBE_MAX: Duration = Duration::from_mins(1);
/// The most times of one service that are remembered.
const TIMES_MAX: usize = 1000;

/// The meaning of an observation for the other jobs of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The service answers about jobs.
    Seen,
    /// No job of the service can be seen.
    Blind,
    /// The job cannot be seen, and perhaps no other can.
    Doubtful,
    /// It says nothing about that.
    Nothing,
}

impl Meaning {
    fn of(observation: &Observation) -> Self {
        let Observation::Problem(problem) = observation else {
            return Self::Seen;
        };
        match problem.kind {
            ProblemKind::Unreachable | ProblemKind::Unauthorized => Self::Blind,
            // The identity service throttles, so that there is no secret.
            ProblemKind::Throttled if problem.http_status.is_none() => Self::Blind,
            ProblemKind::NotFound if !problem.is_page => Self::Seen,
            ProblemKind::Throttled | ProblemKind::NotFound => Self::Nothing,
            ProblemKind::ServerError
            | ProblemKind::Unreadable
            | ProblemKind::Forbidden
            | ProblemKind::Misconfigured => Self::Doubtful,
        }
    }
}

/// True if an answer came over the network.
fn was_reached(observation: &Observation) -> bool {
    match observation {
        Observation::Sighting(_) => true,
        Observation::Problem(problem) => problem.http_status.is_some(),
    }
}

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

/// The sight of one service.
#[derive(Debug)]
struct Sight {
    /// The setting `blind_after`.
    after: Duration,
    phase: Phase,
    /// The times that have ended, oldest first.
    times: Vec<BlindTime>,
    /// The uptime of the last answer that came over the network.
    reached_at: Option<Duration>,
    /// The uptime at which the last time ended.
    sighted_at: Duration,
    /// The watch of the last observation.
    last: Option<WatchId>,
}

#[derive(Debug)]
enum Phase {
    Seeing,
    Failing(Failing),
    Blind(Blind),
}

/// A service whose answers have said nothing about any job for less than `blind_after`.
#[derive(Debug)]
struct Failing {
    since: Moment,
    first: WatchId,
    /// True once two watches have met a problem.
    is_of_several: bool,
    cause: ProblemNote,
    meaning: Meaning,
    /// The uptime at which a poll must confirm that the service is blind.
    confirm_at: Option<Duration>,
}

/// A service that is blind.
#[derive(Debug)]
struct Blind {
    time: BlindTime,
    /// The uptime from which it may be reported, if it is not yet.
    report_at: Duration,
    /// The number of probes that were answered.
    probes: u32,
    next_probe: Duration,
    /// The watch that is polled as a probe.
    probe: Option<WatchId>,
    /// True if the next watch that is due becomes the probe.
    takes_any: bool,
}

impl Blind {
    fn new(time: BlindTime, next_probe: Duration) -> Self {
        Self {
            time,
            report_at: Duration::ZERO,
            probes: 0,
            next_probe,
            probe: None,
            takes_any: false,
        }
    }

    /// Plans the next probe after the answer to one.
    fn probed(&mut self, asked: Option<Duration>, uptime: Duration) {
        let pause = PROBE_FIRST.saturating_mul(1 << self.probes.min(8));
        self.probes = self.probes.saturating_add(1);
        self.next_probe = uptime + pause.min(PROBE_MAX).max(asked.unwrap_or_default());
        self.probe = None;
        self.takes_any = false;
    }
}

impl Sight {
    fn new(after: Duration) -> Self {
        Self {
            after,
            phase: Phase::Seeing,
            times: Vec::new(),
            reached_at: None,
            sighted_at: Duration::ZERO,
            last: None,
        }
    }

    fn blind(&self) -> Option<&Blind> {
        match &self.phase {
            Phase::Blind(blind) => Some(blind),
            Phase::Seeing | Phase::Failing(_) => None,
        }
    }

    fn blind_mut(&mut self) -> Option<&mut Blind> {
        match &mut self.phase {
            Phase::Blind(blind) => Some(blind),
            Phase::Seeing | Phase::Failing(_) => None,
        }
    }

    /// True if the last problem was that the service cannot be reached.
    fn is_unreachable(&self) -> bool {
        let cause = match &self.phase {
            Phase::Seeing => return false,
            Phase::Failing(failing) => &failing.cause,
            Phase::Blind(blind) => &blind.time.cause,
        };
        cause.kind == ProblemKind::Unreachable
    }

    fn is_reported_together(&self) -> bool {
        let blind = self.blind();
        blind.is_some_and(|blind| blind.time.reported == Reported::Together)
    }

    /// True unless an event of its own, or of all services, reports the present time.
    fn is_unreported(&self) -> bool {
        let blind = self.blind();
        blind.is_none_or(|blind| blind.time.reported == Reported::NotYet)
    }

    /// True if the service has failed for so long that this must be reported now.
    fn is_due(&self, uptime: Duration) -> bool {
        match &self.phase {
            Phase::Seeing => false,
            Phase::Failing(failing) => {
                let lasted = uptime.saturating_sub(failing.since.uptime);
                let is_sure = failing.meaning == Meaning::Blind || failing.is_of_several;
                is_sure && !self.after.is_zero() && lasted >= self.after
            }
            Phase::Blind(blind) => {
                let is_open = blind.time.reported == Reported::NotYet && !self.after.is_zero();
                is_open && uptime >= blind.report_at
            }
        }
    }

    fn note_problem(&mut self, watch: WatchId, problem: &Problem, meaning: Meaning, now: Moment) {
        let cause = ProblemNote::new(problem, now.at);
        match &mut self.phase {
            Phase::Seeing => {
                self.phase = Phase::Failing(Failing {
                    since: now,
                    first: watch,
                    is_of_several: false,
                    cause,
                    meaning,
                    confirm_at: (!self.after.is_zero()).then(|| now.uptime + self.after),
                });
            }
            Phase::Failing(failing) => {
                failing.is_of_several |= failing.first != watch;
                failing.cause = cause;
                failing.meaning = meaning;
            }
            Phase::Blind(blind) => blind.time.cause = cause,
        }
    }

    /// Makes the service blind, or keeps it so, and returns its time with this report.
    fn report(&mut self, service: &str, reported: Reported, uptime: Duration) -> Option<BlindTime> {
        if let Phase::Failing(failing) = &self.phase {
            let time = BlindTime {
                service: service.to_owned(),
                since: failing.since.at,
                until: None,
                cause: failing.cause.clone(),
                reported,
            };
            self.phase = Phase::Blind(Blind::new(time, uptime + PROBE_FIRST));
        }
        let blind = self.blind_mut()?;
        blind.time.reported = reported;
        Some(blind.time.clone())
    }

    /// Ends the present time, if there is one.
    fn end(&mut self, now: Moment) -> Option<BlindTime> {
        let Phase::Blind(blind) = std::mem::replace(&mut self.phase, Phase::Seeing) else {
            return None;
        };
        self.sighted_at = now.uptime;
        let time = BlindTime {
            until: Some(now.at),
            ..blind.time
        };
        if self.times.len() >= TIMES_MAX {
            self.times.remove(0);
        }
        self.times.push(time.clone());
        Some(time)
    }
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
