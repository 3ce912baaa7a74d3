//! One simulated job: its state at a moment, and its polls.
//!
//! The state is not stored. It follows from the time of creation and the given moment, so no
//! task runs for a job, and a stepped clock moves all jobs.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::service::Service;
use super::snapshot::{Defaults, Snapshot};
use super::spec::{Ending, JobSpec};
use super::{dcs, ids, sdrs, sfs_turbo};
use crate::clock::{later, until};

/// The number of latest polls that a job keeps.
pub(super) const MAX_RECENT_POLLS: usize = 50;

/// A job is pending for one tenth of its duration.
pub(super) const PENDING_PART: u32 = 10;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) id: Arc<str>,
    pub(super) spec: JobSpec,
    pub(super) created: Timestamp,
    pub(super) polls: Polls,
}

/// The polls of a job.
#[derive(Debug, Default)]
pub(super) struct Polls {
    pub(super) count: u64,
    /// The number of polls with a refused token; they do not use up faults.
    pub(super) refused: u64,
    pub(super) first_token: Option<FirstToken>,
    pub(super) recent: VecDeque<PollNote>,
}

/// The token of the first poll, and the time of its first use.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstToken {
    pub(super) fingerprint: u64,
    pub(super) used: Timestamp,
}

/// One answered poll. Small, because a load test keeps fifty of them for each of its jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct PollNote {
    pub(super) after_ms: u32,
    pub(super) http: u16,
    pub(super) torn: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Job {
    pub(super) fn is_known(&self, now: Timestamp) -> bool {
        now >= later(self.created, self.spec.faults.not_found_for)
    }

    pub(super) fn began(&self) -> Timestamp {
        later(self.created, self.spec.duration / PENDING_PART)
    }

    /// Returns the time of its end; `None` if it never ends.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        (self.spec.outcome != Ending::Never).then(|| later(self.created, self.spec.duration))
    }

    /// Returns the job as its service shows it at `now`.
    pub(super) fn snapshot(&self, now: Timestamp) -> Snapshot<'_> {
        let spec = &self.spec;
        let defaults = self.defaults(spec.sub_jobs.is_empty());
        let stage = self.stage(spec.outcome, self.ends(), now);
        let failed = stage == Stage::Failed;
        Snapshot {
            job_id: Cow::Borrowed(&self.id),
            job_type: spec.job_type.as_deref().unwrap_or(defaults.job_type),
            status: self.status(stage),
            began: (stage != Stage::Pending).then(|| self.began()),
            ended: self.ends().filter(|_| stage.is_final()),
            code: failed.then(|| spec.code.as_deref().unwrap_or(defaults.code)),
            reason: failed.then(|| spec.reason.as_deref().unwrap_or(defaults.reason)),
            sub_jobs: (0..spec.sub_jobs.len())
                .map(|index| self.part(index, now))
                .collect(),
        }
    }

    fn part(&self, index: usize, now: Timestamp) -> Snapshot<'_> {
        let spec = &self.spec.sub_jobs[index];
        let defaults = self.part_defaults();
        let ends = self.part_ends(index);
        let stage = self.stage(spec.outcome, Some(ends), now);
        let failed = stage == Stage::Failed;
        Snapshot {
            job_id: Cow::Owned(ids::sub_job_id(self.spec.service, self.number, index)),
            job_type: spec.job_type.as_deref().unwrap_or(defaults.job_type),
            status: self.status(stage),
            began: (stage != Stage::Pending).then(|| self.began()),
            ended: stage.is_final().then_some(ends),
            code: failed.then(|| spec.code.as_deref().unwrap_or(defaults.code)),
            reason: failed.then(|| spec.reason.as_deref().unwrap_or(defaults.reason)),
            sub_jobs: Vec::new(),
        }
    }

    // The parts share the running time evenly and leave the last share to the job itself.
    fn part_ends(&self, index: usize) -> Timestamp {
        let shares = u32::try_from(self.spec.sub_jobs.len() + 1).unwrap_or(u32::MAX);
        let share = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let pending = self.spec.duration / PENDING_PART;
        let running = self.spec.duration.saturating_sub(pending);
        later(self.began(), running.saturating_mul(share) / shares)
    }

    fn stage(&self, outcome: Ending, ends: Option<Timestamp>, now: Timestamp) -> Stage {
        match outcome {
            _ if now < self.began() => Stage::Pending,
            _ if ends.is_none_or(|ends| now < ends) => Stage::Running,
            Ending::Failed => Stage::Failed,
            Ending::Succeeded | Ending::Never => Stage::Succeeded,
        }
    }

    fn status(&self, stage: Stage) -> &str {
        let words = self.spec.service.words();
        match stage {
            Stage::Pending => words.pending,
            Stage::Running => match &self.spec.faults.unknown_status {
                Some(status) => status,
                None => words.running,
            },
            Stage::Succeeded => words.succeeded,
            Stage::Failed => words.failed,
        }
    }

    fn defaults(&self, alone: bool) -> &'static Defaults {
        match self.spec.service {
            Service::Dcs => &dcs::DEFAULTS,
            Service::SfsTurbo => &sfs_turbo::DEFAULTS,
            Service::Sdrs if alone => &sdrs::DEFAULTS,
            Service::Sdrs => &sdrs::PARENT_DEFAULTS,
        }
    }

    fn part_defaults(&self) -> &'static Defaults {
        match self.spec.service {
            Service::Sdrs => &sdrs::PART_DEFAULTS,
            _ => self.defaults(true),
        }
    }
}

impl Stage {
    fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl Polls {
    /// Adds an answered poll, and drops the oldest beyond the limit.
    pub(super) fn note(&mut self, note: PollNote) {
        self.count += 1;
        self.refused += u64::from(note.http == 401);
        if self.recent.len() == MAX_RECENT_POLLS {
            self.recent.pop_front();
        }
        self.recent.push_back(note);
    }
}

impl PollNote {
    /// Returns a poll that was answered with `http` at `now`.
    pub(super) fn at(now: Timestamp, created: Timestamp, http: u16, torn: bool) -> Self {
        let after_ms = u32::try_from(until(created, now).as_millis()).unwrap_or(u32::MAX);
        Self {
            after_ms,
            http,
            torn,
        }
    }

    pub(super) fn time(self, created: Timestamp) -> Timestamp {
        later(created, Duration::from_millis(self.after_ms.into()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::simulator::spec::SubJobSpec;

    /// A job number 7 created at the epoch.
    pub(in crate::simulator) fn job(spec: JobSpec) -> Job {
        Job {
            number: 7,
            id: ids::job_id(spec.service, 7).into(),
            spec,
            created: Timestamp::UNIX_EPOCH,
            polls: Polls::default(),
        }
    }

    pub(in crate::simulator) fn part(outcome: Ending) -> SubJobSpec {
        SubJobSpec {
            job_type: None,
            outcome,
            code: None,
            reason: None,
        }
    }

    /// The names of an object's members, sorted: their order means nothing in JSON.
    pub(in crate::simulator) fn members(value: &serde_json::Value) -> Vec<&str> {
        let object = value.as_object().unwrap();
        let mut names: Vec<_> = object.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(in crate::simulator) fn at_ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn ten_seconds(outcome: Ending) -> JobSpec {
        JobSpec::new(Service::Sdrs, Duration::from_secs(10), outcome)
    }

    #[test]
    fn a_job_is_pending_then_running_then_finished() {
        let table = [
            (0, "INIT", "INIT", "INIT"),
            (999, "INIT", "INIT", "INIT"),
            (1_000, "RUNNING", "RUNNING", "RUNNING"),
            (9_999, "RUNNING", "RUNNING", "RUNNING"),
            (10_000, "SUCCESS", "FAIL", "RUNNING"),
            (99_000, "SUCCESS", "FAIL", "RUNNING"),
        ];
        for (ms, succeeded, failed, never) in table {
            let status = |outcome| {
                job(ten_seconds(outcome))
                    .snapshot(at_ms(ms))
                    .status
                    .to_owned()
            };
            assert_eq!(status(Ending::Succeeded), succeeded, "{ms}");
            assert_eq!(status(Ending::Failed), failed, "{ms}");
            assert_eq!(status(Ending::Never), never, "{ms}");
        }
    }

    #[test]
    fn a_job_without_duration_finishes_at_once() {
        let spec = JobSpec::new(Service::SfsTurbo, Duration::ZERO, Ending::Succeeded);
        let job = job(spec);
        assert_eq!(job.snapshot(job.created).status, "success");
    }

    #[test]
    fn sub_jobs_finish_one_after_the_other_before_the_job() {
        let parts = vec![part(Ending::Succeeded), part(Ending::Failed)];
        let job = job(JobSpec {
            sub_jobs: parts,
            ..ten_seconds(Ending::Succeeded)
        });
        let table = [
            (500, ["INIT", "INIT", "INIT"]),
            (3_999, ["RUNNING", "RUNNING", "RUNNING"]),
            (4_000, ["RUNNING", "SUCCESS", "RUNNING"]),
            (7_000, ["RUNNING", "SUCCESS", "FAIL"]),
            (10_000, ["SUCCESS", "SUCCESS", "FAIL"]),
        ];
        for (ms, expected) in table {
            let seen = job.snapshot(at_ms(ms));
            let parts: Vec<_> = seen.sub_jobs.iter().map(|part| part.status).collect();
            assert_eq!([seen.status, parts[0], parts[1]], expected, "{ms}");
        }
    }

    #[test]
    fn an_unknown_status_is_shown_only_while_running() {
        let mut spec = ten_seconds(Ending::Succeeded);
        spec.faults.unknown_status = Some("REBOOTING".into());
        let job = job(spec);
        let shown = [0, 5_000, 10_000].map(|ms| job.snapshot(at_ms(ms)).status);
        assert_eq!(shown, ["INIT", "REBOOTING", "SUCCESS"]);
    }

    #[test]
    fn only_the_latest_polls_are_kept() {
        let mut polls = Polls::default();
        for ms in 0..60 {
            polls.note(PollNote::at(at_ms(ms), at_ms(0), 200, false));
        }
        assert_eq!((polls.count, polls.recent.len()), (60, MAX_RECENT_POLLS));
        assert_eq!(polls.recent[0].time(at_ms(0)), at_ms(10));
    }
}
