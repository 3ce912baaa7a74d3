//! The cloud: jobs that go from pending to running to their verdict, behind a gateway that
//! fails in every way. It records its requests and answers.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use jobwatch::service::transport::{Received, Transport};
use jobwatch::watch::observation::{Problem, ProblemKind};

use crate::simulation::plan::{CloudFault, Job, Verdict};
use crate::simulation::world::World;

/// The facts about one job in the answers that arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The number of changes of the status.
    pub(super) changes: usize,
    last: Option<&'static str>,
    pub(super) verdict_at: Option<Duration>,
    pub(super) unknown: usize,
    /// The first and the last of the present series of refusals.
    refused: Option<(Duration, Duration)>,
    /// The longest series of refusals.
    pub(super) refused_for: Duration,
    /// No poll is allowed before this time.
    quiet_until: Option<Duration>,
    /// The time of the first poll.
    pub(super) asked_at: Option<Duration>,
}

/// All polls. Times are uptimes of the present process, except those in [`Seen`].
#[derive(Debug, Default)]
pub(super) struct Visits {
    pub(super) seen: BTreeMap<String, Seen>,
    begun: Vec<Duration>,
    in_flight: u32,
    /// The begin and the end of the last pause after a 429.
    paused: (Duration, Duration),
    pub(super) total: usize,
}

impl Visits {
    pub(super) fn begin_life(&mut self) {
        self.begun.clear();
        self.in_flight = 0;
        self.paused = (Duration::ZERO, Duration::ZERO);
        self.seen
            .values_mut()
            .for_each(|seen| seen.quiet_until = None);
    }
}

/// See the module.
pub(super) struct Cloud(pub(super) World);

/// A request that waits for its answer.
struct Visit<'a>(&'a World);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.state().visits.in_flight -= 1;
    }
}

fn status_of(job: &Job, at: Duration) -> &'static str {
    match (at >= job.runs_at, at >= job.ends_at, job.verdict) {
        (_, true, Verdict::Succeeded) => "SUCCESS",
        (_, true, Verdict::Failed) => "FAIL",
        (true, ..) => "RUNNING",
        _ => "INIT",
    }
}

/// An answer, and the facts to record once it has arrived.
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
    shown: Option<&'static str>,
}

impl Answer {
    fn error(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            body: format!(r#"{{"error_code":"X.{status}","error_msg":"no"}}"#),
            shown: None,
        }
    }

    fn body(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::error(200)
        }
    }

    fn truth(job: Option<&Job>, at: Duration) -> Self {
        let known = job.filter(|job| {
            at >= job.visible_at && job.forgotten_at.is_none_or(|forgotten| at < forgotten)
        });
        let Some(job) = known else {
            return Self::error(404);
        };
        let status = status_of(job, at);
        Self {
            retry_after: job.retry_after,
            shown: Some(status),
            ..Self::body(format!(
                r#"{{"job_id":"{}","job_type":"t","status":"{status}","fail_reason":null}}"#,
                job.id
            ))
        }
    }

    fn received(&self) -> Received {
        let mut headers = HeaderMap::new();
        if let Some(retry_after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
        }
        Received {
            http_status: StatusCode::from_u16(self.status).unwrap(),
            headers,
            body: Bytes::from(self.body.clone()),
            is_cut: false,
        }
    }
}

impl Cloud {
    /// Records a request and checks that it may come now.
    fn admit(&self, job_id: &str, uptime: Duration) {
        let World { plan, .. } = &self.0;
        let mut state = self.0.state();
        let elapsed = state.elapsed();
        let visits = &mut state.visits;
        let seen = visits.seen.entry(job_id.to_owned()).or_default();
        seen.asked_at.get_or_insert(elapsed);
        visits.total += 1;
        visits.in_flight += 1;
        visits.begun.push(uptime);
        let mut violations = Vec::new();
        if visits.in_flight > plan.limits.concurrency {
            violations.push((
                "the budget's concurrency",
                format!("{} at once", visits.in_flight),
            ));
        }
        for (n, begun) in visits.begun.iter().rev().enumerate().take(50) {
            let allowed = f64::from(plan.limits.burst)
                + (uptime.saturating_sub(*begun)).as_secs_f64() * plan.limits.ceiling()
                + 0.01;
            let made = f64::from(u32::try_from(n + 1).unwrap());
            if made > allowed {
                let what = format!("{made} polls within {:?}", uptime.saturating_sub(*begun));
                violations.push(("the budget's rate", what));
                break;
            }
        }
        let (paused_at, paused_until) = visits.paused;
        // A request of the same instant was sent before the pause was known.
        if uptime > paused_at && uptime < paused_until {
            let what = format!("polled at {uptime:?}, before {paused_until:?}");
            violations.push(("Retry-After of a throttling", what));
        }
        let quiet = visits.seen.get(job_id).and_then(|seen| seen.quiet_until);
        // A new owner of its shard knows it as little as a new process.
        let is_kept = !self.0.plan.is_shared;
        if let Some(until) = quiet.filter(|until| is_kept && uptime < *until) {
            let what = format!("{job_id} was polled at {uptime:?}, before {until:?}");
            violations.push(("Retry-After", what));
        }
        drop(state);
        for (invariant, what) in violations {
            self.0.violated(invariant, &what);
        }
    }

    async fn answer(&self, job_id: &str, limit: Duration) -> Result<Answer, Problem> {
        let unreachable = |words: &str| Problem::new(ProblemKind::Unreachable, words);
        let fault = self.0.draw(&self.0.plan.cloud);
        self.0.lasts(self.0.millis(300)).await;
        let at = self.0.elapsed();
        let job = self.0.plan.job(job_id);
        Ok(match fault {
            None => Answer::truth(job, at),
            Some(CloudFault::Refused) => return Err(unreachable("refused")),
            Some(CloudFault::Hangs) => {
                self.0.lasts(limit).await;
                return Err(unreachable("timed out"));
            }
            Some(CloudFault::Status(status)) => Answer::error(status),
            Some(CloudFault::RetryAfter(status, retry_after)) => Answer {
                retry_after: Some(Duration::from_secs(retry_after)),
                ..Answer::error(status)
            },
            Some(CloudFault::Garbage) => Answer::body("<html>FAIL</html>"),
            Some(CloudFault::WrongJob) => Answer::body(r#"{"job_id":"another","status":"FAIL"}"#),
            Some(CloudFault::NoStatus) => {
                Answer::body(format!(r#"{{"job_id":"{job_id}","fail_reason":"none"}}"#))
            }
        })
    }

    /// Records an answer that arrived.
    fn note(&self, job_id: &str, answer: Option<&Answer>, uptime: Duration) {
        let timing = &self.0.plan.timing;
        let mut state = self.0.state();
        let at = state.elapsed();
        let visits = &mut state.visits;
        let seen = visits.seen.entry(job_id.to_owned()).or_default();
        let status = answer.map_or(0, |answer| answer.status);
        if matches!(status, 400 | 403) {
            let since = seen.refused.map_or(at, |(since, _)| since);
            seen.refused = Some((since, at));
            seen.refused_for = seen.refused_for.max(at.saturating_sub(since));
        } else {
            seen.refused = None;
        }
        seen.unknown += usize::from(status == 404);
        let Some(answer) = answer else { return };
        if let Some(shown) = answer.shown {
            seen.changes += usize::from(seen.last != Some(shown));
            seen.last = Some(shown);
            if matches!(shown, "SUCCESS" | "FAIL") {
                seen.verdict_at.get_or_insert(at);
            }
        }
        if let Some(retry_after) = answer.retry_after {
            let least = timing.initial().min(timing.max());
            let retry_after = Duration::from_secs(retry_after.as_secs());
            let until = uptime + retry_after.min(timing.max_retry_after()).max(least);
            seen.quiet_until = Some(until);
            if status == 429 {
                visits.paused = (uptime, visits.paused.1.max(until));
            }
        }
    }
}

#[async_trait]
impl Transport for Cloud {
    async fn send(&self, request: reqwest::Request, _: usize) -> Result<Received, Problem> {
        let world = &self.0;
        world.step().await;
        let job_id = request.url().path_segments().unwrap().next_back().unwrap();
        self.admit(job_id, world.uptime());
        let visit = Visit(world);
        let limit = request.timeout().copied().unwrap();
        let answer = self.answer(job_id, limit).await;
        world.step().await;
        drop(visit);
        world.note(|| {
            let said = answer
                .as_ref()
                .map(|it| (it.status, it.shown, it.retry_after));
            format!(
                "cloud: {job_id} {:?}",
                said.map_err(|problem| &problem.message)
            )
        });
        self.note(job_id, answer.as_ref().ok(), world.uptime());
        answer.map(|answer| answer.received())
    }
}
