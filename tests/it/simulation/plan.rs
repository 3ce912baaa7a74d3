//! The plan of a history, drawn from its seed before it begins.

use std::time::Duration;

use jiff::SignedDuration;
use jobwatch::clock::seeded_rng;
use jobwatch::schedule::budget::Limits;
use jobwatch::timing::{PollSettings, Timing};
use jobwatch::watch::Outcome;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::harness::timing::least;

/// The names of the services; both share one endpoint and credential, so one budget.
pub(super) const SERVICES: [&str; 2] = ["east", "west"];
/// The names of the sinks, and true for a sink that gets every event and not only ends.
pub(super) const SINKS: [(&str, bool); 2] = [("all", true), ("ends", false)];
/// The time limit of an attempt.
pub(super) const SINK_TIMEOUT: Duration = Duration::from_secs(15);

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Succeeded,
    Failed,
}

impl Verdict {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Succeeded => Outcome::Succeeded,
            Self::Failed => Outcome::Failed,
        }
    }
}

/// One job and the watch on it; times are since the begin of the history.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) service: &'static str,
    pub(super) submit_at: Duration,
    pub(super) deadline: Duration,
    /// Before this time the service does not know the job.
    pub(super) visible_at: Duration,
    pub(super) runs_at: Duration,
    pub(super) ends_at: Duration,
    pub(super) verdict: Verdict,
    /// From this time on the service does not know the job any more.
    pub(super) forgotten_at: Option<Duration>,
    /// The time at which an operator ends the watch.
    pub(super) unwatch_at: Option<Duration>,
    /// The `Retry-After` of every sighting.
    pub(super) retry_after: Option<Duration>,
}

/// A fault of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloudFault {
    Refused,
    Hangs,
    Status(u16),
    /// A status with this many seconds in `Retry-After`.
    RetryAfter(u16, u64),
    Garbage,
    WrongJob,
    NoStatus,
}

/// A fault of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkFault {
    Fails,
    /// It fails, with this many seconds in `Retry-After`.
    RetryAfter(u64),
    /// It accepts the event, and answers too late.
    TakesAndHangs,
    Hangs,
    Gone,
}

/// A time in which a fault happens with this probability.
#[derive(Debug, Clone)]
pub(super) struct Trouble<F> {
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) share: f64,
    pub(super) fault: F,
}

/// A fault of a call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreFault {
    Before,
    /// It commits, and reports a failure.
    After,
    Slow,
    /// The call that saves decisions panics; the others go on.
    Panics,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is dropped at this call to the store, the cloud or a sink.
    Crash(u64),
    /// It is stopped in order after this time.
    Orderly(Duration),
}

/// The parts of a history that are fixed before it begins.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) timing: Timing,
    pub(super) limits: Limits,
    pub(super) sink_concurrency: usize,
    pub(super) jobs: Vec<Job>,
    pub(super) cloud: Vec<Trouble<CloudFault>>,
    pub(super) sinks: Vec<Vec<Trouble<SinkFault>>>,
    pub(super) store: Vec<Trouble<StoreFault>>,
    pub(super) stops: Vec<Stop>,
    /// The times at which the wall clock is set, and by how much.
    pub(super) jumps: Vec<(Duration, SignedDuration)>,
    /// From this time on there are no faults, except at a dead sink.
    pub(super) calm_at: Duration,
    /// A sink that accepts no event.
    pub(super) dead_sink: Option<usize>,
    /// Another replica takes shards for a while.
    pub(super) is_shared: bool,
}

fn secs(rng: &mut StdRng, from: f64, to: f64) -> Duration {
    // Whole milliseconds, like every clock here.
    let millis = rng.random_range(from..=to) * 1000.0;
    Duration::from_millis(Duration::from_secs_f64(millis).as_secs())
}

fn one_of<T: Copy>(rng: &mut StdRng, all: &[T]) -> T {
    all[rng.random_range(0..all.len())]
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let rng = &mut seeded_rng(seed);
        let calm_at = if rng.random_bool(0.15) {
            Duration::ZERO
        } else {
            secs(rng, 1.0, 120.0)
        };
        let jobs = match rng.random_range(0..20) {
            0..12 => 1,
            12..19 => 2,
            _ => rng.random_range(3..=8),
        };
        let jobs = (0..jobs).map(|n| job(rng, n)).collect();
        let troubled = !calm_at.is_zero();
        let mut plan = Self {
            seed,
            timing: poll_settings(rng).complete().expect("all are set"),
            limits: Limits {
                rate: one_of(rng, &[None, Some(0.7), Some(2.0), Some(10.0), Some(1000.0)]),
                burst: rng.random_range(1..5),
                concurrency: rng.random_range(1..5),
            },
            sink_concurrency: rng.random_range(1..4),
            jobs,
            cloud: Vec::new(),
            sinks: vec![Vec::new(); SINKS.len()],
            store: Vec::new(),
            stops: Vec::new(),
            jumps: Vec::new(),
            calm_at,
            dead_sink: rng
                .random_bool(0.01)
                .then(|| rng.random_range(0..SINKS.len())),
            is_shared: false,
        };
        if troubled {
            plan.add_troubles(rng);
        }
        plan.is_shared = rng.random_bool(0.3);
        plan
    }

    fn add_troubles(&mut self, rng: &mut StdRng) {
        let calm_at = self.calm_at;
        for _ in 0..rng.random_range(0..5) {
            let fault = cloud_fault(rng);
            self.cloud.push(trouble(rng, calm_at, fault));
        }
        if rng.random_bool(0.1) {
            self.cloud.push(Trouble {
                from: Duration::ZERO,
                to: calm_at,
                share: 1.0,
                fault: cloud_fault(rng),
            });
        }
        for sink in &mut self.sinks {
            for _ in 0..rng.random_range(0..3) {
                let fault = match rng.random_range(0..10) {
                    0..4 => SinkFault::Fails,
                    4 => SinkFault::RetryAfter(rng.random_range(0..100)),
                    5..7 => SinkFault::TakesAndHangs,
                    7..9 => SinkFault::Hangs,
                    _ => SinkFault::Gone,
                };
                sink.push(trouble(rng, calm_at, fault));
            }
        }
        if rng.random_bool(0.6) {
            for _ in 0..rng.random_range(1..4) {
                let fault = one_of(
                    rng,
                    &[StoreFault::Before, StoreFault::After, StoreFault::Slow],
                );
                self.store.push(trouble(rng, calm_at, fault));
            }
        }
        if rng.random_bool(0.6) {
            for _ in 0..rng.random_range(1..5) {
                let stop = if rng.random_bool(0.8) {
                    Stop::Crash(rng.random_range(1..150))
                } else {
                    Stop::Orderly(secs(rng, 0.0, 60.0))
                };
                self.stops.push(stop);
            }
        }
        if rng.random_bool(0.1) {
            let by = rng.random_range(-300..300);
            let at = secs(rng, 0.0, calm_at.as_secs_f64());
            self.jumps.push((at, SignedDuration::from_secs(by)));
        }
    }

    /// True without stops and faults of the store. The wall clock may change: deliveries do not
    /// go by it.
    pub(super) fn is_orderly(&self) -> bool {
        self.store.is_empty() && self.stops.is_empty()
    }

    pub(super) fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }
}

fn job(rng: &mut StdRng, n: usize) -> Job {
    let submit_at = secs(rng, 0.0, 30.0);
    let deadline = secs(rng, 15.0, 180.0);
    let visible_at = if rng.random_bool(0.8) {
        Duration::ZERO
    } else {
        submit_at + secs(rng, 0.0, 30.0)
    };
    let runs_at = visible_at + secs(rng, 0.0, 60.0);
    let ends_at = runs_at + secs(rng, 0.0, 120.0);
    let forgotten_at = rng
        .random_bool(0.15)
        .then(|| visible_at + secs(rng, 0.0, 200.0));
    let unwatch_at = rng
        .random_bool(0.15)
        .then(|| submit_at + secs(rng, 0.0, 200.0));
    let retry_after = rng.random_bool(0.1).then(|| secs(rng, 0.0, 40.0));
    Job {
        id: format!("job-{n}"),
        service: one_of(rng, &SERVICES),
        submit_at,
        deadline,
        visible_at,
        runs_at,
        ends_at,
        verdict: one_of(rng, &[Verdict::Succeeded, Verdict::Failed]),
        forgotten_at,
        unwatch_at,
        retry_after,
    }
}

pub(super) fn poll_settings(rng: &mut StdRng) -> PollSettings {
    let is_quick = rng.random_bool(0.1);
    let initial = secs(rng, 0.5, if is_quick { 1.0 } else { 15.0 });
    let intervals = PollSettings {
        first: Some(secs(rng, 0.0, 5.0)),
        initial: Some(initial),
        multiplier: Some(one_of(rng, &[1.0, 1.3, 2.0])),
        max: Some(if is_quick {
            initial
        } else {
            initial.max(secs(rng, 2.0, 60.0))
        }),
        jitter: Some(one_of(rng, &[0.0, 0.2, 0.5])),
        max_retry_after: Some(secs(rng, 10.0, 60.0).max(initial)),
        ..least()
    };
    PollSettings {
        after_watch: Some(if rng.random_bool(0.2) {
            secs(rng, 60.0, 600.0)
        } else {
            Duration::ZERO
        }),
        deadline: Some(Duration::from_hours(24)),
        request_timeout: Some(secs(rng, 3.0, 20.0)),
        not_found_grace: Some(secs(rng, 10.0, 40.0)),
        give_up_after: Some(secs(rng, 10.0, 60.0)),
        blind_after: Some(Duration::ZERO),
        ..intervals
    }
}

fn cloud_fault(rng: &mut StdRng) -> CloudFault {
    match rng.random_range(0..14) {
        0 => CloudFault::Refused,
        1 => CloudFault::Hangs,
        2..4 => CloudFault::Status(one_of(rng, &[500, 502, 503, 408])),
        4 => CloudFault::Status(429),
        5 => CloudFault::RetryAfter(429, rng.random_range(0..90)),
        6 => CloudFault::RetryAfter(503, rng.random_range(0..90)),
        7 => CloudFault::Status(401),
        8..10 => CloudFault::Status(403),
        10 => CloudFault::Status(400),
        11 => CloudFault::Garbage,
        12 => CloudFault::WrongJob,
        _ => CloudFault::NoStatus,
    }
}

fn trouble<F>(rng: &mut StdRng, calm_at: Duration, fault: F) -> Trouble<F> {
    let end = calm_at.as_secs_f64();
    let from = secs(rng, 0.0, end);
    Trouble {
        from,
        to: secs(rng, from.as_secs_f64(), end).min(calm_at),
        share: one_of(rng, &[0.05, 0.3, 0.7, 1.0]),
        fault,
    }
}
