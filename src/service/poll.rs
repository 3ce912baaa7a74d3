//! One poll of one job: the request, and the observation that its answer gives.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Url;

use crate::credential::scope::Scope;
use crate::definition::Definition;
use crate::definition::explain::{Explanation, ProblemExplained, explain};
use crate::definition::request::RenderedRequest;
use crate::service::Service;
use crate::service::exchange::{Answered, Sent};
use crate::service::refusals::Refusals;
use crate::service::spending::{Spend, Unbudgeted};
use crate::service::subject::{Reading, Subject};
use crate::watch::evidence::{BODY_BYTES_MAX, Evidence};
use crate::watch::observation::{Observation, Problem, ProblemKind, Sighting};

/// The result of one poll: the observation, and the answer behind it.
#[derive(Debug)]
pub struct Observed {
    pub observation: Observation,
    /// The answer without secrets, until it is clear whether it proves an outcome; `None` without
    /// an answer.
    pub answer: Option<KeptAnswer>,
}

/// The parts of an answer that can become evidence.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    http_status: u16,
    body: Bytes,
    is_cut: bool,
}

impl Observed {
    pub(super) fn problem(problem: Problem) -> Self {
        Self {
            observation: Observation::Problem(problem),
            answer: None,
        }
    }

    /// Returns the HTTP status of the answer; `None` without one.
    pub fn http_status(&self) -> Option<u16> {
        match (&self.answer, &self.observation) {
            (Some(kept), _) => Some(kept.http_status),
            (None, Observation::Problem(problem)) => problem.http_status,
            (None, Observation::Sighting(_)) => None,
        }
    }

    /// Returns the evidence of the outcome that this poll, made at `at`, has led to.
    pub fn evidence(&self, at: Timestamp) -> Evidence {
        let evidence = match &self.answer {
            Some(kept) => Evidence::of(at, kept.http_status, &kept.body, kept.is_cut),
            None => Evidence::without_answer(at),
        };
        match &self.observation {
            Observation::Sighting(sighting) => evidence.proved_by(&sighting.proof),
            Observation::Problem(_) => evidence,
        }
    }
}

/// The explanation of one poll, for `jobwatch probe`.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Method and URL, without headers and so without secrets.
    pub request: String,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// The result that was read from the answer, and the reasons.
    pub explanation: Explanation,
}

impl Probed {
    fn problem(request: String, problem: Problem) -> Self {
        Self {
            request,
            http_status: problem.http_status,
            explanation: Explanation::Problem(ProblemExplained::of(problem)),
        }
    }
}

impl Service {
    /// Polls one job once, if the API has a request for one job. After a refusal the secret is
    /// renewed and the request sent once more.
    pub async fn observe(
        &self,
        subject: &Subject<'_>,
        spend: &dyn Spend,
        now: Timestamp,
    ) -> Observed {
        let reading = match self.reading_at(subject.stage) {
            Ok(reading) => reading,
            Err(problem) => return Observed::problem(problem),
        };
        let build = |scope: &Scope| self.request(reading, subject, scope);
        let answered = match self.exchange(reading, &build, spend, now).await {
            Sent::Problem(problem) => return Observed::problem(problem),
            Sent::Received(answered) => answered,
        };
        let params = subject.all_params();
        let mut observation = answered.read(reading.definition, &subject.asked(&params), now);
        if let Observation::Sighting(sighting) = &mut observation {
            self.resolve_follow(sighting, &answered.url);
        }
        Observed {
            observation,
            answer: Some(kept_answer(&answered)),
        }
    }

    /// Makes the URL of the next poll absolute, or drops it with a warning if it leads elsewhere.
    pub(super) fn resolve_follow(&self, sighting: &mut Sighting, from: &Url) {
        let Some(text) = sighting.follow.take() else {
            return;
        };
        match self.allow_hosts.resolve(from, &text) {
            Ok(url) => sighting.follow = Some(url.into()),
            Err(why) => sighting.refused_follow = Some(why),
        }
    }

    /// Polls one job once, as [`observe`](Self::observe) does, and explains the result.
    pub async fn probe(&self, subject: &Subject<'_>, now: Timestamp) -> Probed {
        let shown = || self.definition.request.shown();
        let reading = match self.reading_at(subject.stage) {
            Ok(reading) => reading,
            Err(problem) => return Probed::problem(shown(), problem),
        };
        let build = |scope: &Scope| self.first_request(reading, subject, scope);
        let request = match self.shown_request(&build, now).await {
            Ok(request) => request,
            Err(problem) => return Probed::problem(shown(), problem),
        };
        match self.exchange(reading, &build, &Unbudgeted, now).await {
            Sent::Problem(problem) => Probed::problem(request, problem),
            Sent::Received(answered) => {
                let answer = answered.received.answer();
                let params = subject.all_params();
                let asked = subject.asked(&params);
                let observation = answered.read(reading.definition, &asked, now);
                Probed {
                    request,
                    http_status: Some(answer.http_status),
                    explanation: match observation {
                        Observation::Problem(problem) => {
                            Explanation::Problem(ProblemExplained::of(problem))
                        }
                        Observation::Sighting(_) => {
                            explain(reading.definition, &asked, &answer, now)
                        }
                    },
                }
            }
        }
    }

    /// Polls one job as [`probe`](Self::probe) does, but does not renew a secret that the service
    /// refuses: it gets one request.
    pub async fn probe_once(&self, subject: &Subject<'_>, now: Timestamp) -> Probed {
        *self.refusals.lock() = Refusals::without_renewal(now);
        self.probe(subject, now).await
    }

    /// True if the API has no request for one job.
    fn must_ask_together(&self, subject: &Subject<'_>) -> bool {
        let batch = self.batch_at(subject.stage);
        subject.follow.is_none() && batch.is_some_and(|batch| !batch.alone)
    }

    /// Returns the request that a probe makes: for one job, or the first page of a list.
    fn first_request(
        &self,
        reading: Reading<'_>,
        subject: &Subject<'_>,
        scope: &Scope,
    ) -> Result<reqwest::Request, Problem> {
        match self.batch_at(subject.stage) {
            Some(batch) if self.must_ask_together(subject) => {
                self.first_page(reading, batch, subject, scope)
            }
            _ => self.request(reading, subject, scope),
        }
    }

    /// Returns the request of one subject: the URL that the last answer named, or else the request
    /// of the definition.
    fn request(
        &self,
        reading: Reading<'_>,
        subject: &Subject<'_>,
        scope: &Scope,
    ) -> Result<reqwest::Request, Problem> {
        let definition: &Definition = reading.definition;
        let rendered = definition
            .request
            .render(|name| subject.value(self, scope, name))
            .map_err(|error| misconfigured(error.to_string()))?;
        let mut request = self.completed(reading, rendered, scope)?;
        if let Some(url) = self.followed(subject, request.url()) {
            *request.url_mut() = url;
            *request.method_mut() = http::Method::GET;
            *request.body_mut() = None;
        }
        Ok(request)
    }

    /// Returns the URL that the last answer named, if the settings still allow it.
    fn followed(&self, subject: &Subject<'_>, first: &Url) -> Option<Url> {
        let follow = subject.follow?;
        self.allow_hosts.resolve(first, follow).ok()
    }

    /// Adds the base URL, headers and the time limit to a rendered request.
    pub(super) fn completed(
        &self,
        reading: Reading<'_>,
        rendered: RenderedRequest,
        scope: &Scope,
    ) -> Result<reqwest::Request, Problem> {
        let url = self.base.url(scope, &rendered.path_and_query);
        let url = url.map_err(misconfigured)?;
        let mut request = reqwest::Request::new(rendered.method, url);
        *request.timeout_mut() = Some(reading.timing.request_timeout());
        for (name, value) in rendered.headers {
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = rendered.body.map(reqwest::Body::from);
        Ok(request)
    }
}

pub(super) fn kept_answer(answered: &Answered) -> KeptAnswer {
    let body = answered.body_for_evidence();
    let kept = body.len().min(BODY_BYTES_MAX);
    KeptAnswer {
        http_status: answered.received.http_status.as_u16(),
        is_cut: answered.received.is_cut || kept < body.len(),
        // Of a large body only the part that evidence keeps: several watches may share one.
        body: if kept < body.len() {
            Bytes::copy_from_slice(&body[..kept])
        } else {
            body
        },
    }
}

pub(super) fn misconfigured(message: String) -> Problem {
    Problem::new(ProblemKind::Misconfigured, message)
}
