//! The cloud: jobs that go from pending to running to their verdict, behind a gateway that
//! fails in every way. It remembers who asked when, and what it answered.

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

/// What the service told of one job, as far as it arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// How often what was told differed from what was told before.
    pub(super) changes: usize,
    last: Option<&'static str>,
    pub(super) verdict_at: Option<Duration>,
    pub(super) unknown: usize,
    /// When it refused, first and last, with nothing else in between.
    refused: Option<(Duration, Duration)>,
    /// The longest time of nothing but refusals.
    pub(super) refused_for: Duration,
    /// It is not to be asked again before.
    quiet_until: Option<Duration>,
    /// When it was first asked for.
    pub(super) asked_at: Option<Duration>,
}

/// Who asked when. Times are uptimes of the present process, but for those in [`Told`].
#[derive(Debug, Default)]
pub(super) struct Visits {
    pub(super) told: BTreeMap<String, Told>,
    begun: Vec<Duration>,
    in_flight: u32,
    /// When a throttling last wished for a pause, and until when.
    paused: (Duration, Duration),
    pub(super) total: usize,
}

impl Visits {
    pub(super) fn begin_life(&mut self) {
        self.begun.clear();
        self.in_flight = 0;
        self.paused = (Duration::ZERO, Duration::ZERO);
        self.told
            .values_mut()
            .for_each(|told| told.quiet_until = None);
    }
}

/// See the module.
pub(super) struct Cloud(pub(super) World);

/// A request that is being answered.
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

/// An answer, and what is to be remembered once it has arrived.
struct Answer {
    status: u16,
    wish: Option<Duration>,
    body: String,
    shown: Option<&'static str>,
}

impl Answer {
    fn error(status: u16) -> Self {
        Self {
            status,
            wish: None,
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
            wish: job.wish,
            shown: Some(status),
            ..Self::body(format!(
                r#"{{"job_id":"{}","job_type":"t","status":"{status}","fail_reason":null}}"#,
                job.id
            ))
        }
    }

    fn received(&self) -> Received {
        let mut headers = HeaderMap::new();
        if let Some(wish) = self.wish {
            headers.insert(RETRY_AFTER, HeaderValue::from(wish.as_secs()));
        }
        Received {
            http_status: StatusCode::from_u16(self.status).unwrap(),
            headers,
            body: Bytes::from(self.body.clone()),
        }
    }
}

impl Cloud {
    /// A request arrives: may it come now?
    fn admit(&self, job_id: &str, uptime: Duration) {
        let World { plan, .. } = &self.0;
        let mut state = self.0.state();
        let elapsed = state.elapsed();
        let visits = &mut state.visits;
        let told = visits.told.entry(job_id.to_owned()).or_default();
        told.asked_at.get_or_insert(elapsed);
        visits.total += 1;
        visits.in_flight += 1;
        visits.begun.push(uptime);
        let mut wrongs = Vec::new();
        if visits.in_flight > plan.limits.concurrency {
            wrongs.push((
                "the budget's concurrency",
                format!("{} at once", visits.in_flight),
            ));
        }
        for (n, begun) in visits.begun.iter().rev().enumerate().take(50) {
            let allowed = f64::from(plan.limits.burst)
                + (uptime.saturating_sub(*begun)).as_secs_f64() * plan.limits.rate
                + 0.01;
            let made = f64::from(u32::try_from(n + 1).unwrap());
            if made > allowed {
                let what = format!("{made} polls within {:?}", uptime.saturating_sub(*begun));
                wrongs.push(("the budget's rate", what));
                break;
            }
        }
        let (paused_at, paused_until) = visits.paused;
        // What was on its way in the same instant could not know of it.
        if uptime > paused_at && uptime < paused_until {
            let what = format!("asked at {uptime:?}, before {paused_until:?}");
            wrongs.push(("Retry-After of a throttling", what));
        }
        let quiet = visits.told.get(job_id).and_then(|told| told.quiet_until);
        if let Some(until) = quiet.filter(|until| uptime < *until) {
            let what = format!("{job_id} asked at {uptime:?}, before {until:?}");
            wrongs.push(("Retry-After", what));
        }
        drop(state);
        for (invariant, what) in wrongs {
            self.0.wrong(invariant, &what);
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
            Some(CloudFault::Wish(status, wish)) => Answer {
                wish: Some(Duration::from_secs(wish)),
                ..Answer::error(status)
            },
            Some(CloudFault::Garbage) => Answer::body("<html>FAIL</html>"),
            Some(CloudFault::WrongJob) => Answer::body(r#"{"job_id":"another","status":"FAIL"}"#),
            Some(CloudFault::NoStatus) => {
                Answer::body(format!(r#"{{"job_id":"{job_id}","fail_reason":"none"}}"#))
            }
        })
    }

    /// The answer arrives.
    fn note(&self, job_id: &str, answer: Option<&Answer>, uptime: Duration) {
        let timing = &self.0.plan.timing;
        let mut state = self.0.state();
        let at = state.elapsed();
        let visits = &mut state.visits;
        let told = visits.told.entry(job_id.to_owned()).or_default();
        let status = answer.map_or(0, |answer| answer.status);
        if matches!(status, 400 | 403) {
            let since = told.refused.map_or(at, |(since, _)| since);
            told.refused = Some((since, at));
            told.refused_for = told.refused_for.max(at.saturating_sub(since));
        } else {
            told.refused = None;
        }
        told.unknown += usize::from(status == 404);
        let Some(answer) = answer else { return };
        if let Some(shown) = answer.shown {
            told.changes += usize::from(told.last != Some(shown));
            told.last = Some(shown);
            if matches!(shown, "SUCCESS" | "FAIL") {
                told.verdict_at.get_or_insert(at);
            }
        }
        if let Some(wish) = answer.wish {
            let least = timing.initial().min(timing.max());
            let wish = Duration::from_secs(wish.as_secs());
            let until = uptime + wish.min(timing.max_retry_after()).max(least);
            told.quiet_until = Some(until);
            if status == 429 {
                visits.paused = (uptime, visits.paused.1.max(until));
            }
        }
    }
}

#[async_trait]
impl Transport for Cloud {
    async fn send(&self, request: reqwest::Request) -> Result<Received, Problem> {
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
            let said = answer.as_ref().map(|it| (it.status, it.shown, it.wish));
            format!(
                "cloud: {job_id} {:?}",
                said.map_err(|problem| &problem.message)
            )
        });
        self.note(job_id, answer.as_ref().ok(), world.uptime());
        answer.map(|answer| answer.received())
    }
}
