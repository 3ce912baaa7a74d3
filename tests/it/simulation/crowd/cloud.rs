//! The clouds of a crowd: a few numbers for each job and each budget, checked at each request.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use jobwatch::schedule::budget::Limits;
use jobwatch::service::transport::{Received, Transport};
use jobwatch::watch::observation::{Problem, ProblemKind};
use rand::RngExt;

use crate::simulation::crowd::Crowd;
use crate::simulation::crowd::plan::{
    BUDGETS, Fault, INTERVAL_MAX, JITTER, LISTED_BUDGET, PAGE, STUCK_BUDGET,
};
use crate::simulation::plan::Verdict;

/// The longest time of an answer without a fault.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The polls in a wait that do not depend on the number of jobs: a burst, and those in flight.
const FEW: f64 = 50.0;

/// The visits of one job.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Visits {
    /// The number of polls.
    pub(super) asked: u32,
    /// The time of the last poll; before the first one that of the submission.
    pub(super) last_at: Duration,
    /// The jobs of its budget at that time whose ends were not shown yet.
    others: u64,
    /// The jobs that were submitted to its budget until then.
    submitted: u64,
    /// The time of the first answer with the verdict.
    pub(super) shown_at: Option<Duration>,
}

/// The requests of one budget, over all processes.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// The times of all requests.
    begun: Vec<Duration>,
    pub(super) submitted: u64,
    /// The jobs whose ends were shown.
    shown: u64,
    in_flight: u32,
    /// The begin of the present process.
    life_began: Duration,
    /// The time at which a client that spends its whole rate would send the next request.
    arrival: f64,
    /// The same for a gate that refuses requests.
    gate: f64,
    /// The begin and the end of the last pause after a 429.
    paused: (Duration, Duration),
    /// The longest wait of a job, as a part of the longest that is allowed.
    pub(super) longest_wait: f64,
}

/// True if a request at `at` seconds is within this rate and burst; a request that is, spends.
fn spend(arrival: &mut f64, at: f64, rate: f64, burst: u32) -> bool {
    let is_within = *arrival - f64::from(burst - 1) / rate <= at + 0.002;
    if is_within {
        *arrival = arrival.max(at) + 1.0 / rate;
    }
    is_within
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

impl Visits {
    fn at(at: Duration) -> Self {
        Self {
            last_at: at,
            ..Self::default()
        }
    }
}

impl Ledger {
    /// The number of requests.
    pub(super) fn begun(&self) -> u64 {
        self.begun.len() as u64
    }

    /// Notes that the process that sent the requests in flight is gone.
    pub(super) fn begin_life(&mut self, at: Duration) {
        self.life_began = at;
        self.in_flight = 0;
    }

    pub(super) fn submit(&mut self, visits: &mut Visits, at: Duration) {
        self.submitted += 1;
        visits.last_at = at;
        self.mark(visits);
    }

    fn mark(&self, visits: &mut Visits) {
        visits.others = self.submitted - self.shown;
        visits.submitted = self.submitted;
    }

    /// Returns the requests for others while a job was due and waited, as a part of those that are
    /// allowed. A process that begins does not know who was asked last.
    ///
    /// When a job is due, each other one goes before it at most once in the line of the rest. Those
    /// in the lines before that one are there for their first poll, and for two near their
    /// deadline: one in twenty in the time of a round, and each that was submitted meanwhile.
    fn wait(&self, visits: &Visits) -> f64 {
        let interval = INTERVAL_MAX.mul_f64(1.0 + JITTER) + ANSWER_MAX;
        let due_by = visits.last_at.max(self.life_began) + interval;
        let before = self.begun.partition_point(|at| *at <= due_by) as u64;
        let newer = self.submitted - visits.submitted;
        let allowed = number(visits.others) * 1.25 + number(newer) * 3.0 + FEW;
        number(self.begun() - before) / allowed
    }

    /// Notes a request for a job. Returns the rule that it breaks, if it breaks one.
    fn admit(&mut self, visits: &mut Visits, at: Duration, limits: Limits) -> Option<String> {
        let wait = self.wait(visits);
        self.longest_wait = self.longest_wait.max(wait);
        self.begun.push(at);
        self.in_flight += 1;
        let last_at = std::mem::replace(&mut visits.last_at, at);
        visits.asked += 1;
        self.mark(visits);
        if !spend(
            &mut self.arrival,
            at.as_secs_f64(),
            limits.ceiling(),
            limits.burst,
        ) {
            return Some("more polls than rate and burst allow".to_owned());
        }
        if self.in_flight > limits.concurrency {
            return Some(format!("{} polls at once", self.in_flight));
        }
        // A request of the same instant was sent before the pause was known.
        let (paused_at, paused_until) = self.paused;
        if paused_at < at && at < paused_until {
            return Some(format!(
                "a poll before the end of a pause at {paused_until:?}"
            ));
        }
        (wait > 1.0).then(|| format!("a wait since {last_at:?}, {wait:.2} of the longest allowed"))
    }
}

/// The object of a request: one job, or a page of the list of all.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Job(usize),
    Page(usize),
}

/// See the module.
pub(super) struct Clouds(pub(super) Crowd);

/// A request that waits for its answer.
struct UnderWay<'a>(&'a Crowd, usize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().ledgers[self.1].in_flight -= 1;
    }
}

impl Clouds {
    fn admit(&self, asked: Asked) -> UnderWay<'_> {
        let crowd = &self.0;
        let budget = self.budget(asked);
        let at = crowd.world.elapsed();
        let wrong = {
            let state = &mut *crowd.state();
            // A request for a page has no wait: the jobs that it is for are not known.
            let mut page = Visits::at(at);
            let visits = match asked {
                Asked::Job(job) => &mut state.visits[job],
                Asked::Page(_) => &mut page,
            };
            if budget == LISTED_BUDGET {
                visits.last_at = at;
            }
            state.ledgers[budget].admit(visits, at, BUDGETS[budget].1)
        };
        if let Some(wrong) = wrong {
            let host = BUDGETS[budget].0;
            crowd.wrong(format!("{host}: {wrong}, for {asked:?} at {at:?}"));
        }
        UnderWay(crowd, budget)
    }

    fn budget(&self, asked: Asked) -> usize {
        match asked {
            Asked::Job(job) => self.0.scene.members[job].budget,
            Asked::Page(_) => LISTED_BUDGET,
        }
    }

    fn fault(&self, budget: usize, at: Duration) -> Option<Fault> {
        if budget == STUCK_BUDGET {
            return Some(Fault::Hangs);
        }
        let crowd = &self.0;
        let mut troubles = crowd.scene.troubles.iter();
        let trouble = troubles.find(|trouble| trouble.when.contains(&at))?;
        let is_hit = crowd.world.state().rng.random_bool(trouble.share);
        match trouble.fault {
            Fault::Gate(rate) => {
                let gate = &mut crowd.state().ledgers[budget].gate;
                let is_open = spend(gate, at.as_secs_f64(), rate, 4);
                (!is_open).then_some(Fault::Throttled(None))
            }
            fault => is_hit.then_some(fault),
        }
    }

    async fn answer(&self, asked: Asked, limit: Duration) -> Result<Received, Problem> {
        let crowd = &self.0;
        let budget = self.budget(asked);
        let fault = self.fault(budget, crowd.world.elapsed());
        crowd.world.lasts(crowd.world.millis(200)).await;
        let unreachable = |words: &str| Problem::new(ProblemKind::Unreachable, words);
        match fault {
            None => Ok(match asked {
                Asked::Job(job) => received(200, self.truth(job)),
                Asked::Page(page) => self.page(page),
            }),
            Some(Fault::Refused) => Err(unreachable("refused")),
            Some(Fault::Hangs) => {
                crowd.world.lasts(limit).await;
                Err(unreachable("timed out"))
            }
            Some(Fault::Unavailable(secs)) => Ok(refusal(503, Some(secs))),
            Some(Fault::Throttled(secs)) => {
                self.pause(budget, secs);
                Ok(refusal(429, secs))
            }
            Some(Fault::Gate(_)) => unreachable!("a gate lets a request pass, or throttles it"),
        }
    }

    /// Notes that no poll may come before this time.
    fn pause(&self, budget: usize, retry_after: Option<u64>) {
        let crowd = &self.0;
        let at = crowd.world.elapsed();
        let least = crowd.scene.timing.initial();
        let asked = retry_after.map_or(Duration::ZERO, Duration::from_secs);
        let paused = &mut crowd.state().ledgers[budget].paused;
        *paused = (at, paused.1.max(at + asked.max(least)));
    }

    /// Returns a page of the list, the newest first. It shows their ends, to all who wait for them.
    fn page(&self, page: usize) -> Received {
        let crowd = &self.0;
        let submitted = crowd.state().submitted;
        let members = crowd.scene.members[..submitted].iter().enumerate().rev();
        let listed = members.filter(|(_, member)| member.budget == LISTED_BUDGET);
        let jobs = listed.skip((page - 1) * PAGE).take(PAGE);
        let jobs: Vec<_> = jobs.map(|(job, _)| self.truth(job)).collect();
        received(200, format!(r#"{{"jobs":[{}]}}"#, jobs.join(",")))
    }

    fn truth(&self, job: usize) -> String {
        let crowd = &self.0;
        let at = crowd.world.elapsed();
        let member = &crowd.scene.members[job];
        let is_over = at >= member.ends_at;
        let status = match member.verdict {
            _ if !is_over => "RUNNING",
            Verdict::Succeeded => "SUCCESS",
            Verdict::Failed => "FAIL",
        };
        if is_over {
            let state = &mut *crowd.state();
            let shown_at = &mut state.visits[job].shown_at;
            state.ledgers[member.budget].shown += u64::from(shown_at.is_none());
            shown_at.get_or_insert(at);
        }
        format!(r#"{{"job_id":"job-{job}","job_type":"t","status":"{status}"}}"#)
    }
}

fn received(status: u16, body: String) -> Received {
    Received {
        http_status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from(body),
        is_cut: false,
    }
}

fn refusal(status: u16, retry_after: Option<u64>) -> Received {
    let body = format!(r#"{{"error_code":"X.{status}","error_msg":"no"}}"#);
    let mut refusal = received(status, body);
    if let Some(secs) = retry_after {
        let headers = &mut refusal.headers;
        headers.insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    refusal
}

#[async_trait]
impl Transport for Clouds {
    async fn send(&self, request: reqwest::Request, _: usize) -> Result<Received, Problem> {
        let url = request.url();
        let id = url.path_segments().unwrap().next_back().unwrap();
        let asked = if let Some(job) = id.strip_prefix("job-") {
            Asked::Job(job.parse().unwrap())
        } else {
            let (_, page) = url.query_pairs().next().unwrap();
            Asked::Page(page.parse().unwrap())
        };
        let under_way = self.admit(asked);
        let limit = request.timeout().copied().unwrap();
        let answer = self.answer(asked, limit).await;
        drop(under_way);
        answer
    }
}
