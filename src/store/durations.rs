//! The part of the store contract about durations: how long jobs of each type took.
//!
//! The store learns them from the watches that end with a verdict, in the transaction of the end.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::StoreError;
use crate::watch::{Expect, Outcome, Watch};

/// The number of durations of each type of job that count: the latest ones. A store may keep a few
/// more.
pub const DURATIONS_KEPT: usize = 64;

/// The latest durations of the jobs of one type, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDurations {
    pub service: String,
    /// The type as the service gives it; empty for jobs without one.
    pub job_type: String,
    /// The number of durations, at most [`DURATIONS_KEPT`].
    pub count: usize,
    /// One of ten jobs was at most so fast.
    pub p10: Duration,
    /// The duration in the middle.
    pub p50: Duration,
    /// Nine of ten jobs took at most so long.
    pub p90: Duration,
}

/// Keeps the durations of jobs; see [`crate::store`].
#[async_trait]
pub trait DurationStore: Send + Sync {
    /// Returns the durations of each type of job, of one service or of all, in the order of the
    /// services and types.
    async fn durations(&self, service: Option<&str>) -> Result<Vec<JobDurations>, StoreError>;

    /// Returns the durations of one type of job; `None` if no such job has ended yet. The type is
    /// empty for jobs without one.
    async fn usual_duration(
        &self,
        service: &str,
        job_type: &str,
    ) -> Result<Option<JobDurations>, StoreError>;
}

impl JobDurations {
    /// Sums up the durations of one type; `None` without any.
    pub fn of(service: &str, job_type: &str, mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (took.len() * percent).div_ceil(100).max(1);
            took.get(rank - 1).copied()
        };
        Some(Self {
            service: service.to_owned(),
            job_type: job_type.to_owned(),
            count: took.len(),
            p10: percentile(10)?,
            p50: percentile(50)?,
            p90: percentile(90)?,
        })
    }
}

/// The duration of one job, as a store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took<'a> {
    pub job_type: &'a str,
    pub finished_at: Timestamp,
    pub took: Duration,
}

impl<'a> Took<'a> {
    /// Returns the duration that a watch shows; `None` before a verdict, for a deletion, and if
    /// the clocks make no sense.
    ///
    /// It is the time from the begin to the end that the service gives. Where it does not give
    /// both, or where other jobs went before, it is the time of the watch.
    pub fn of(watch: &'a Watch) -> Option<Self> {
        let is_verdict = watch.state.outcome().is_some_and(Outcome::is_verdict);
        if !is_verdict || watch.expect == Some(Expect::Gone) {
            return None;
        }
        let job = watch.job.as_ref()?;
        let finished_at = watch.finished_at?;
        let by_service = (job.began_at.zip(job.ended_at))
            .filter(|_| watch.stages.is_empty())
            .and_then(|(began_at, ended_at)| between(began_at, ended_at));
        Some(Self {
            job_type: job.job_type.as_deref().unwrap_or_default(),
            finished_at,
            took: by_service.or_else(|| between(watch.submitted_at, finished_at))?,
        })
    }
}

/// Returns the time between two moments, if it is not negative.
fn between(begin: Timestamp, end: Timestamp) -> Option<Duration> {
    Duration::try_from(end.duration_since(begin)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_were_seen() {
        let seconds = |count: u64| (1..=count).rev().map(Duration::from_secs).collect();
        let short = |count| {
            let of = JobDurations::of("dcs", "backup", seconds(count))?;
            Some([of.p10, of.p50, of.p90].map(|took| took.as_secs()))
        };
        assert_eq!(short(0), None);
        assert_eq!(short(1), Some([1, 1, 1]));
        assert_eq!(short(2), Some([1, 1, 2]));
        assert_eq!(short(10), Some([1, 5, 9]));
        assert_eq!(short(64), Some([7, 32, 58]));
    }
}
