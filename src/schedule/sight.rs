//! The sight of one service: its problems since it could last be asked about a job, or its present
//! blind period. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::watch::WatchId;
use crate::watch::blindness::{BlindPeriod, Reported};
use crate::watch::observation::{Observation, Problem, ProblemKind, ProblemNote};

/// The time between the first probes; it doubles with each one.
const PROBE_FIRST: Duration = Duration::from_secs(15);
/// The longest time between two probes, unless the service asks for more.
const PROBE_MAX: Duration = Duration::from_mins(1);
/// The most watches of one service that a person has asked to poll and that wait for a probe.
const ASKED_MAX: usize = 1000;
/// The most blind periods of one service that are remembered.
const PERIODS_MAX: usize = 1000;

/// The meaning of an observation for the other jobs of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The service can be asked: it shows a job, or refuses to show this one.
    Asked,
    /// The service throttles: it is there, and may not have looked at the credential.
    Reached,
    /// The service cannot be asked about any job.
    Blind,
    /// The service failed, perhaps for this job alone.
    Doubtful,
    /// It says nothing about that.
    Nothing,
}

impl Meaning {
    pub(super) fn of(observation: &Observation) -> Self {
        let Observation::Problem(problem) = observation else {
            return Self::Asked;
        };
        match problem.kind {
            // A gateway may have sent the page in the place of the service.
            _ if problem.is_page => Self::Nothing,
            ProblemKind::Unreachable | ProblemKind::Unauthorized => Self::Blind,
            // The identity service throttles, so jobwatch has no secret to send.
            ProblemKind::Throttled if problem.http_status.is_none() => Self::Blind,
            ProblemKind::Throttled => Self::Reached,
            ProblemKind::ServerError => Self::Doubtful,
            // No request could be made for this job.
            ProblemKind::Misconfigured if problem.http_status.is_none() => Self::Nothing,
            ProblemKind::NotFound
            | ProblemKind::Unreadable
            | ProblemKind::Forbidden
            | ProblemKind::Misconfigured => Self::Asked,
        }
    }
}

/// True if an answer came over the network.
pub(super) fn was_reached(observation: &Observation) -> bool {
    match observation {
        Observation::Sighting(_) => true,
        Observation::Problem(problem) => {
            problem.http_status.is_some() || Meaning::of(observation) == Meaning::Asked
        }
    }
}

/// The sight of one service.
#[derive(Debug)]
pub(super) struct Sight {
    /// The setting `blind_after` of the service; zero if it never becomes blind.
    pub(super) after: Duration,
    pub(super) phase: Phase,
    /// The blind periods that have ended, oldest first.
    pub(super) periods: Vec<BlindPeriod>,
    /// The uptime of the last answer that came over the network.
    pub(super) reached_at: Option<Duration>,
    /// The uptime at which the last blind period ended.
    pub(super) sighted_at: Duration,
    /// The watch of the last observation.
    pub(super) last: Option<WatchId>,
}

#[derive(Debug)]
pub(super) enum Phase {
    Seeing,
    Failing(Failing),
    Blind(Blind),
}

/// A service that could not be asked about any job for less than `blind_after`.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) since: Moment,
    pub(super) first: WatchId,
    /// True once two watches have met a problem.
    pub(super) is_of_several: bool,
    pub(super) cause: ProblemNote,
    pub(super) meaning: Meaning,
    /// The uptime at which a poll must confirm that the service is blind.
    pub(super) confirm_at: Option<Duration>,
}

/// A service that is blind.
#[derive(Debug)]
pub(super) struct Blind {
    pub(super) period: BlindPeriod,
    /// The uptime from which it may be reported, if it is not yet.
    pub(super) report_at: Duration,
    /// The number of probes that were answered.
    pub(super) probes: u32,
    pub(super) next_probe: Duration,
    /// The watch that is polled as a probe.
    pub(super) probe: Option<WatchId>,
    /// True if the next watch that is due becomes the probe.
    pub(super) takes_any: bool,
    /// The watches that a person has asked to poll, and that are the next probes.
    pub(super) asked: VecDeque<WatchId>,
    /// True while such a probe is under way.
    pub(super) is_asked: bool,
}

impl Blind {
    pub(super) fn new(period: BlindPeriod, next_probe: Duration) -> Self {
        Self {
            period,
            report_at: Duration::ZERO,
            probes: 0,
            next_probe,
            probe: None,
            takes_any: false,
            asked: VecDeque::new(),
            is_asked: false,
        }
    }

    /// Makes a watch the next probe, after those that were asked for before.
    pub(super) fn ask(&mut self, watch: WatchId) {
        if self.asked.len() < ASKED_MAX && !self.asked.contains(&watch) {
            self.asked.push_back(watch);
        }
    }

    /// Returns the uptime of the next probe. One that a person asked for is due at once, but comes
    /// one at a time like any other.
    pub(super) fn due(&self) -> Duration {
        if self.asked.is_empty() || self.is_asked {
            self.next_probe
        } else {
            Duration::ZERO
        }
    }

    /// Takes the probe that is due. Returns the watch that a person asked for.
    pub(super) fn take_due(&mut self, uptime: Duration) -> Option<WatchId> {
        self.next_probe = uptime + PROBE_MAX;
        self.probe = None;
        let asked = self.asked.pop_front();
        self.is_asked = asked.is_some();
        asked
    }

    /// Plans the next probe after the answer to one.
    pub(super) fn probed(&mut self, retry_after: Option<Duration>, uptime: Duration) {
        let pause = PROBE_FIRST.saturating_mul(1 << self.probes.min(8));
        self.probes = self.probes.saturating_add(1);
        self.next_probe = uptime + pause.min(PROBE_MAX).max(retry_after.unwrap_or_default());
        self.probe = None;
        self.takes_any = false;
        self.is_asked = false;
    }
}

impl Sight {
    pub(super) fn new(after: Duration) -> Self {
        Self {
            after,
            phase: Phase::Seeing,
            periods: Vec::new(),
            reached_at: None,
            sighted_at: Duration::ZERO,
            last: None,
        }
    }

    pub(super) fn blind(&self) -> Option<&Blind> {
        match &self.phase {
            Phase::Blind(blind) => Some(blind),
            Phase::Seeing | Phase::Failing(_) => None,
        }
    }

    pub(super) fn blind_mut(&mut self) -> Option<&mut Blind> {
        match &mut self.phase {
            Phase::Blind(blind) => Some(blind),
            Phase::Seeing | Phase::Failing(_) => None,
        }
    }

    /// Returns the last problem that hides the jobs of the service.
    fn cause(&self) -> Option<&ProblemNote> {
        match &self.phase {
            Phase::Seeing => None,
            Phase::Failing(failing) => Some(&failing.cause),
            Phase::Blind(blind) => Some(&blind.period.cause),
        }
    }

    /// True if the last problem was that the service cannot be reached.
    pub(super) fn is_unreachable(&self) -> bool {
        let cause = self.cause();
        cause.is_some_and(|cause| cause.kind == ProblemKind::Unreachable)
    }

    /// True if the last problem was that the credential was refused.
    pub(super) fn is_refused(&self) -> bool {
        let cause = self.cause();
        cause.is_some_and(|cause| cause.kind == ProblemKind::Unauthorized)
    }

    pub(super) fn is_reported_offline(&self) -> bool {
        let blind = self.blind();
        blind.is_some_and(|blind| blind.period.reported == Reported::Offline)
    }

    /// True unless an event of its own, or one that says that jobwatch is offline, reports the
    /// present blind period.
    pub(super) fn is_unreported(&self) -> bool {
        let blind = self.blind();
        blind.is_none_or(|blind| blind.period.reported == Reported::NotYet)
    }

    /// True if the service has failed for so long that this must be reported now.
    pub(super) fn is_due(&self, uptime: Duration) -> bool {
        match &self.phase {
            Phase::Seeing => false,
            Phase::Failing(failing) => {
                let lasted = uptime.saturating_sub(failing.since.uptime);
                let is_sure = failing.meaning == Meaning::Blind || failing.is_of_several;
                is_sure && lasted >= self.after
            }
            Phase::Blind(blind) => {
                blind.period.reported == Reported::NotYet && uptime >= blind.report_at
            }
        }
    }

    pub(super) fn note_problem(
        &mut self,
        watch: WatchId,
        problem: &Problem,
        meaning: Meaning,
        now: Moment,
    ) {
        if self.after.is_zero() {
            return;
        }
        let cause = ProblemNote::new(problem, now.at);
        match &mut self.phase {
            Phase::Seeing => {
                self.phase = Phase::Failing(Failing {
                    since: now,
                    first: watch,
                    is_of_several: false,
                    cause,
                    meaning,
                    confirm_at: Some(now.uptime + self.after),
                });
            }
            Phase::Failing(failing) => {
                failing.is_of_several |= failing.first != watch;
                failing.cause = cause;
                failing.meaning = meaning;
            }
            Phase::Blind(blind) => blind.period.cause = cause,
        }
    }

    /// Makes the service blind, or keeps it so, and returns its blind period with this report.
    pub(super) fn report(
        &mut self,
        service: &str,
        reported: Reported,
        uptime: Duration,
    ) -> Option<BlindPeriod> {
        if let Phase::Failing(failing) = &self.phase {
            let period = BlindPeriod {
                service: service.to_owned(),
                since: failing.since.at,
                until: None,
                cause: failing.cause.clone(),
                reported,
            };
            self.phase = Phase::Blind(Blind::new(period, uptime + PROBE_FIRST));
        }
        let blind = self.blind_mut()?;
        blind.period.reported = reported;
        Some(blind.period.clone())
    }

    /// Ends the present blind period, if there is one.
    pub(super) fn end(&mut self, now: Moment) -> Option<BlindPeriod> {
        let Phase::Blind(blind) = std::mem::replace(&mut self.phase, Phase::Seeing) else {
            return None;
        };
        Some(self.end_period(blind.period, now))
    }

    /// Ends a blind period, and keeps it for the deadlines of the watches.
    pub(super) fn end_period(&mut self, period: BlindPeriod, now: Moment) -> BlindPeriod {
        self.sighted_at = now.uptime;
        let period = BlindPeriod {
            until: Some(now.at),
            ..period
        };
        if self.periods.len() >= PERIODS_MAX {
            self.periods.remove(0);
        }
        self.periods.push(period.clone());
        period
    }
}
