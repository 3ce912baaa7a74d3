//! A service: a definition put to use, with a base URL, a credential and limits.
//!
//! [`Service::observe`] makes one poll: it fills the definition's request, has the
//! credential sign it, sends it, and reads the answer. Whatever goes wrong on the way is
//! an observation too; there is no error to handle.

pub mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::credential::CredentialError;
use crate::credential::Generation;
use crate::credential::Renewal;
use crate::credential::SharedCredential;
use crate::definition::Definition;
use crate::definition::explain::Explanation;
use crate::definition::explain::ProblemExplained;
use crate::definition::explain::explain;
use crate::definition::reading;
use crate::definition::request::JOB_ID;
use crate::schedule::backoff::Policy;
use crate::schedule::budget::Limits;
use crate::service::transport::Received;
use crate::service::transport::Transport;
use crate::watch::Params;
use crate::watch::observation::Observation;
use crate::watch::observation::Problem;
use crate::watch::observation::ProblemKind;

/// Everything a service is made of.
#[derive(Clone)]
pub struct Service {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How its API looks.
    pub definition: Arc<Definition>,
    /// Scheme, host, port and perhaps a path prefix, without a final `/`.
    pub base_url: String,
    /// The credential's name in the configuration; shares a budget with the URL.
    pub credential_name: String,
    /// Who proves that we may ask.
    pub credential: SharedCredential,
    /// Values for the definition's placeholders; a watch's own go first.
    pub params: Params,
    /// When to poll.
    pub policy: Policy,
    /// How long to wait for what.
    pub patience: Patience,
    /// How much it may be asked.
    pub limits: Limits,
    /// Sends requests.
    pub transport: Transport,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a watch may take unless it says otherwise.
    pub deadline: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long a job may stay unknown right after its submission.
    pub not_found_grace: Duration,
    /// How long the service may refuse.
    pub give_up_after: Duration,
}

/// Names a budget: one endpoint asked with one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey {
    /// Scheme, host and port.
    pub endpoint: String,
    /// The credential's name.
    pub credential: String,
}

/// One poll, explained.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Method and URL; no header, and so no secret.
    pub request: String,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// How the answer was read.
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

/// What happened to one request, before it is read.
enum Sent {
    Received(Received, Generation),
    Problem(Problem),
}

impl Service {
    /// The budget this service spends.
    pub fn budget_key(&self) -> BudgetKey {
        let endpoint = reqwest::Url::parse(&self.base_url).map_or_else(
            |_| self.base_url.clone(),
            |url| url.origin().ascii_serialization(),
        );
        BudgetKey {
            endpoint,
            credential: self.credential_name.clone(),
        }
    }

    /// The params that a watch must bring because the service has none.
    pub fn params_wanted<'a>(&'a self, given: &'a Params) -> impl Iterator<Item = &'a str> {
        self.definition
            .params
            .iter()
            .map(String::as_str)
            .filter(|name| !self.params.contains_key(*name) && !given.contains_key(*name))
    }

    /// Polls one job once. A 401 renews the credential and asks once more.
    pub async fn observe(&self, job_id: &str, params: &Params, now: Timestamp) -> Observation {
        let sent = self.send_and_renew(job_id, params, now).await;
        self.read(job_id, sent, now)
    }

    async fn send_and_renew(&self, job_id: &str, params: &Params, now: Timestamp) -> Sent {
        let sent = self.send(job_id, params, now).await;
        match &sent {
            Sent::Received(received, generation)
                if received.http_status == http::StatusCode::UNAUTHORIZED
                    && self.renewed(*generation, now).await =>
            {
                self.send(job_id, params, now).await
            }
            _ => sent,
        }
    }

    /// Polls one job once, as [`observe`](Self::observe) does, and explains what came.
    pub async fn probe(&self, job_id: &str, params: &Params, now: Timestamp) -> Probed {
        let request = match self.request(job_id, params) {
            Ok(request) => format!("{} {}", request.method(), request.url()),
            Err(problem) => return Probed::problem(self.definition.request.shown(), problem),
        };
        match self.send_and_renew(job_id, params, now).await {
            Sent::Problem(problem) => Probed::problem(request, problem),
            Sent::Received(received, _) => {
                let answer = received.answer();
                Probed {
                    request,
                    http_status: Some(answer.http_status),
                    explanation: explain(&self.definition, Some(job_id), &answer, now),
                }
            }
        }
    }

    fn read(&self, job_id: &str, sent: Sent, now: Timestamp) -> Observation {
        match sent {
            Sent::Problem(problem) => Observation::Problem(problem),
            Sent::Received(received, _) => {
                reading::read(&self.definition, job_id, &received.answer(), now)
            }
        }
    }

    async fn renewed(&self, refused: Generation, now: Timestamp) -> bool {
        match self.credential.renew(refused, now).await {
            Ok(Renewal::Renewed) => true,
            Ok(Renewal::Same) => false,
            Err(error) => {
                // The poll that follows tells of it, once and not at every poll.
                tracing::debug!(service = %self.name, %error, "cannot renew the credential");
                false
            }
        }
    }

    async fn send(&self, job_id: &str, params: &Params, now: Timestamp) -> Sent {
        let mut request = match self.request(job_id, params) {
            Ok(request) => request,
            Err(problem) => return Sent::Problem(problem),
        };
        let generation = match self.credential.authorise(&mut request, now).await {
            Ok(generation) => generation,
            Err(error) => return Sent::Problem(no_secret(&error)),
        };
        match self.transport.send(request).await {
            Ok(received) => Sent::Received(received, generation),
            Err(problem) => Sent::Problem(problem),
        }
    }

    fn request(&self, job_id: &str, params: &Params) -> Result<reqwest::Request, Problem> {
        let misconfigured = |message: String| Problem::new(ProblemKind::Misconfigured, message);
        let value = |name: &str| match name {
            JOB_ID => Some(job_id),
            name => params
                .get(name)
                .or_else(|| self.params.get(name))
                .map(String::as_str),
        };
        let rendered = self
            .definition
            .request
            .render(value)
            .map_err(|error| misconfigured(error.to_string()))?;
        let url = format!("{}{}", self.base_url, rendered.path_and_query);
        let url = reqwest::Url::parse(&url)
            .map_err(|error| misconfigured(format!("{url} is no URL: {error}")))?;
        let mut request = reqwest::Request::new(rendered.method, url);
        *request.timeout_mut() = Some(self.patience.request_timeout);
        for (name, value) in rendered.headers {
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = rendered.body.map(reqwest::Body::from);
        Ok(request)
    }
}

/// Without a secret nothing was asked, so nothing was refused; like a refusal, it never
/// ends a watch.
fn no_secret(error: &CredentialError) -> Problem {
    Problem::new(ProblemKind::Unauthorized, error.to_string())
}

/// All configured services, by name.
#[derive(Clone, Default)]
pub struct Services(BTreeMap<Arc<str>, Arc<Service>>);

impl Services {
    /// These services.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        Self(
            services
                .into_iter()
                .map(|service| (Arc::clone(&service.name), Arc::new(service)))
                .collect(),
        )
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.0.get(name)
    }

    /// All services, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.values()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}
