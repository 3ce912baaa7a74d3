//! The jobs the simulator knows, behind one lock.
//!
//! One lock is enough: an answer takes microseconds to make, and nothing waits while it is
//! held (the connection waits for a slow answer).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use super::answer::Answer;
use super::gateway::{Credential, Request};
use super::job::{FirstToken, Job, PollNote, Polls};
use super::poll::to_poll;
use super::refusal::Refusal;
use super::resource::Shelf;
use super::service::Service;
use super::spec::{Ending, JobSpec};
use super::{gateway, ids};
use crate::clock::SharedClock;

/// The default limit of the number of jobs.
pub const MAX_JOBS: usize = 1_000_000;

/// The limits of a simulator.
#[derive(Clone)]
pub struct SimulatorOptions {
    /// The accepted tokens; `None` accepts every token that is not empty.
    pub accept_tokens: Option<Vec<String>>,
    /// The limit of the number of jobs.
    pub max_jobs: usize,
}

/// The answer to the creation of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreatedJob {
    /// The service to which the job belongs.
    pub service: Service,
    /// The id, given or made.
    pub job_id: String,
    /// The path of its status, below the simulator's URL.
    pub path: String,
}

/// A job as the simulator's own pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// The service to which the job belongs.
    pub service: Service,
    /// The id, given or made.
    pub job_id: String,
    /// The type, given or documented.
    pub job_type: String,
    /// The path of its status, below the simulator's URL.
    pub path: String,
    /// The status the service shows now, in its own words.
    pub status: String,
    /// The way in which the job ends.
    pub outcome: Ending,
    /// The time of its creation.
    pub created_at: Timestamp,
    /// The time of its end; `None` if it never ends.
    pub ends_at: Option<Timestamp>,
    /// The number of answered polls.
    pub polls: u64,
    /// The latest polls, at most fifty, oldest first.
    pub recent_polls: Vec<PollView>,
}

/// One poll that the simulator answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PollView {
    /// The time, to the millisecond.
    pub at: Timestamp,
    /// The HTTP status of the answer.
    pub http: u16,
    /// True if the body was broken off.
    pub torn: bool,
}

pub(super) struct Registry {
    clock: SharedClock,
    options: SimulatorOptions,
    requests: AtomicU64,
    jobs: Mutex<Jobs>,
    pub(super) resources: Shelf,
}

#[derive(Default)]
struct Jobs {
    by_id: HashMap<Arc<str>, Job>,
    created: u64,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            accept_tokens: None,
            max_jobs: MAX_JOBS,
        }
    }
}

// Written out, so that tokens stay out of logs.
impl fmt::Debug for SimulatorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorOptions")
            .field("accept_tokens", &self.accept_tokens.as_ref().map(Vec::len))
            .field("max_jobs", &self.max_jobs)
            .finish()
    }
}

impl Registry {
    pub(super) fn new(clock: SharedClock, options: SimulatorOptions) -> Self {
        Self {
            clock,
            options,
            requests: AtomicU64::new(0),
            jobs: Mutex::default(),
            resources: Shelf::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn next_request_id(&self) -> String {
        ids::request_id(self.requests.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn create(&self, spec: JobSpec) -> Result<CreatedJob, Refusal> {
        spec.check().map_err(Refusal::Invalid)?;
        let now = self.now();
        self.lock().insert(spec, self.options.max_jobs, now)
    }

    /// Answers a poll and records it.
    pub(super) fn poll(
        &self,
        service: Service,
        id: &str,
        token: Option<&[u8]>,
        request: Request<'_>,
    ) -> Answer {
        let accepted = self.options.accept_tokens.as_deref();
        let credential = gateway::credential(token, accepted);
        let request = Request {
            credential,
            ..request
        };
        let now = self.now();
        let mut jobs = self.lock();
        let job = jobs
            .by_id
            .get_mut(id)
            .filter(|job| job.spec.service == service);
        let answer = to_poll(service, job.as_deref(), request, now);
        if let Some(job) = job {
            record(job, credential, &answer, now);
        }
        answer
    }

    pub(super) fn job(&self, id: &str) -> Option<JobView> {
        let now = self.now();
        self.lock().by_id.get(id).map(|job| view(job, now))
    }

    /// Returns the number of jobs, and the latest `limit` of them in the order of creation.
    pub(super) fn jobs(&self, limit: usize) -> (usize, Vec<JobView>) {
        let now = self.now();
        let jobs = self.lock();
        let mut listed: Vec<&Job> = jobs.by_id.values().collect();
        listed.sort_unstable_by_key(|job| job.number);
        let total = listed.len();
        let latest = &listed[total.saturating_sub(limit)..];
        (total, latest.iter().map(|job| view(job, now)).collect())
    }

    pub(super) fn forget(&self, id: &str) -> bool {
        self.lock().by_id.remove(id).is_some()
    }

    // A panic while the lock is held leaves the jobs whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock()
    }
}

impl Jobs {
    fn insert(
        &mut self,
        mut spec: JobSpec,
        max: usize,
        now: Timestamp,
    ) -> Result<CreatedJob, Refusal> {
        if self.by_id.len() >= max {
            return Err(Refusal::Full(format!(
                "there are {max} jobs already, which is the limit"
            )));
        }
        let id: Arc<str> = match spec.job_id.take() {
            Some(id) if self.by_id.contains_key(id.as_str()) => {
                return Err(Refusal::Exists(format!(
                    "job_id = {id:?}: this job exists already"
                )));
            }
            Some(id) => id.into(),
            None => self.free_id(spec.service),
        };
        let service = spec.service;
        let job = Job {
            number: self.created,
            id: Arc::clone(&id),
            spec,
            created: now,
            polls: Polls::default(),
        };
        self.created += 1;
        self.by_id.insert(Arc::clone(&id), job);
        Ok(CreatedJob {
            service,
            path: service.path(&id),
            job_id: id.as_ref().to_owned(),
        })
    }

    // A chosen id may look like one of ours; the next number is then tried.
    fn free_id(&mut self, service: Service) -> Arc<str> {
        loop {
            let id = ids::job_id(service, self.created);
            if !self.by_id.contains_key(id.as_str()) {
                return id.into();
            }
            self.created += 1;
        }
    }
}

fn record(job: &mut Job, credential: Credential, answer: &Answer, now: Timestamp) {
    let note = PollNote::at(now, job.created, answer.status, answer.is_torn);
    job.polls.note(note);
    if let Credential::Token(fingerprint) = credential {
        let first = FirstToken {
            fingerprint,
            used: now,
        };
        job.polls.first_token.get_or_insert(first);
    }
}

fn view(job: &Job, now: Timestamp) -> JobView {
    let snapshot = job.snapshot(now);
    let recent = job.polls.recent.iter().map(|note| PollView {
        at: note.time(job.created),
        http: note.http,
        torn: note.torn,
    });
    JobView {
        service: job.spec.service,
        job_id: job.id.as_ref().to_owned(),
        job_type: snapshot.job_type.to_owned(),
        path: job.spec.service.path(&job.id),
        status: snapshot.status.to_owned(),
        outcome: job.spec.outcome,
        created_at: job.created,
        ends_at: job.ends(),
        polls: job.polls.count,
        recent_polls: recent.collect(),
    }
}
