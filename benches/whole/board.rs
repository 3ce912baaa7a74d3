//! The record of the cloud: when jobs end, when they were polled, when their webhooks came.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jobwatch::clock::{SharedClock, SystemClock};

/// The time of an end that does not come.
const NEVER: u64 = u64::MAX;

/// All jobs, and the counts of requests. Times are microseconds since the start.
pub(crate) struct Board {
    clock: SharedClock,
    jobs: Vec<Job>,
    pub(crate) polls: AtomicU64,
    pub(crate) webhooks: AtomicU64,
    /// The webhooks without a signature.
    pub(crate) unsigned: AtomicU64,
    pub(crate) connections: AtomicU64,
}

/// The times of one job; zero is a time that has not come.
struct Job {
    ends: AtomicU64,
    /// The latest poll that showed the job running.
    running: AtomicU64,
    /// The first poll that showed the end.
    seen: AtomicU64,
    webhook: AtomicU64,
}

/// The delays of one job, in milliseconds.
pub(crate) struct Delays {
    /// From the end to the poll that saw it.
    pub(crate) lag: f64,
    /// From the poll before to the poll that saw the end.
    pub(crate) interval: f64,
    /// From that poll to the webhook.
    pub(crate) webhook: f64,
}

impl Board {
    /// Returns a board with as many jobs, which all run.
    pub(crate) fn of(jobs: u64) -> Self {
        let job = |_| Job {
            ends: NEVER.into(),
            running: 0.into(),
            seen: 0.into(),
            webhook: 0.into(),
        };
        Self {
            clock: SystemClock::shared(),
            jobs: (0..jobs).map(job).collect(),
            polls: 0.into(),
            webhooks: 0.into(),
            unsigned: 0.into(),
            connections: 0.into(),
        }
    }

    /// Returns the time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.uptime()
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.now().as_micros()).expect("a short run")
    }

    /// Ends a job at this time since the start.
    pub(crate) fn end(&self, job: u64, at: Duration) {
        let at = u64::try_from(at.as_micros()).expect("a short run");
        if let Some(job) = self.job(job) {
            job.ends.store(at, Ordering::Relaxed);
        }
    }

    /// Records a poll, and returns true if the job has ended. A job that the board does not have
    /// runs for ever.
    pub(crate) fn poll(&self, job: u64) -> bool {
        self.polls.fetch_add(1, Ordering::Relaxed);
        let Some(job) = self.job(job) else {
            return false;
        };
        let now = self.micros();
        let has_ended = job.ends.load(Ordering::Relaxed) <= now;
        if !has_ended {
            job.running.store(now, Ordering::Relaxed);
        } else if job.seen.load(Ordering::Relaxed) == 0 {
            job.seen.store(now, Ordering::Relaxed);
        }
        has_ended
    }

    /// Records the webhook of a job.
    pub(crate) fn webhook(&self, job: u64, is_signed: bool) {
        self.webhooks.fetch_add(1, Ordering::Relaxed);
        if !is_signed {
            self.unsigned.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(job) = self.job(job) {
            job.webhook.store(self.micros(), Ordering::Relaxed);
        }
    }

    /// Returns the delays of all jobs whose webhooks have come.
    pub(crate) fn delays(&self) -> Vec<Delays> {
        let jobs = self.jobs.iter();
        jobs.filter_map(|job| {
            let times = [&job.ends, &job.running, &job.seen, &job.webhook];
            let [ends, running, seen, webhook] = times.map(|it| it.load(Ordering::Relaxed));
            (webhook > 0).then(|| Delays {
                lag: millis(ends, seen),
                interval: millis(running, seen),
                webhook: millis(seen, webhook),
            })
        })
        .collect()
    }

    fn job(&self, job: u64) -> Option<&Job> {
        self.jobs.get(usize::try_from(job).ok()?)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the microseconds of a short run"
)]
fn millis(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}
