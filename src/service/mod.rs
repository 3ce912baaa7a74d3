//! A service: a definition put to use, with a base URL, a credential and limits.
//!
//! [`Service::observe`] makes one poll: it fills the definition's request, has the
//! credential sign it, sends it, and reads the answer. A failure on the way is an
//! observation too, so there is no error to handle.

mod endpoint;
pub mod refusals;
pub mod settings;
pub mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::show_duration;
use crate::credential::lease::Failing;
use crate::credential::scope::Scope;
use crate::credential::{CredentialError, IssuedSecret, Renewal, SharedCredential, refusal};
use crate::definition::Definition;
use crate::definition::explain::{Explanation, ProblemExplained, explain};
use crate::definition::reading::{self, Asked};
use crate::definition::request::JOB_ID;
use crate::outbound::redaction::Redaction;
use crate::schedule::budget::Limits;
use crate::service::refusals::Refusals;
use crate::service::transport::{Received, SharedTransport};
use crate::timing::Timing;
use crate::watch::Params;
use crate::watch::observation::{Observation, Problem, ProblemKind};

/// One service of the configuration, ready to be polled.
#[derive(Clone)]
pub struct Service {
    /// The name in the configuration.
    pub name: Arc<str>,
    pub definition: Arc<Definition>,
    /// The beginning of each URL.
    pub base: Base,
    /// Authenticates the requests; together with the endpoint it names the budget.
    pub credential: SharedCredential,
    /// Values for the definition's placeholders. Those of a watch win over these, and these
    /// over the credential's scope.
    pub params: Params,
    /// The poll intervals and the limits of waiting.
    pub timing: Timing,
    /// The most requests that it may get.
    pub limits: Limits,
    pub transport: SharedTransport,
    /// The refusals of secrets so far.
    pub refusals: Arc<Mutex<Refusals>>,
}

/// The source of a service's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Scheme, host, port and perhaps a path prefix, without a final `/`.
    Url(String),
    /// The service catalog that the credential's issuer sends with a token.
    Catalog {
        /// The types of service to search for; the first one found is used.
        types: Vec<String>,
        /// The region; without it, the catalog must have only one.
        region: Option<String>,
    },
}

impl Base {
    fn url(&self, scope: &Scope) -> Result<String, String> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::Catalog { types, region } => scope.base_url(types, region.as_deref()),
        }
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Catalog { types, region } => {
                write!(f, "catalog:{}", types.join(","))?;
                region.iter().try_for_each(|region| write!(f, "@{region}"))
            }
        }
    }
}

/// Names a budget: one endpoint asked with one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey {
    /// Scheme, host and port; or the types and region of the catalog.
    pub endpoint: String,
    /// The name of the credential in the configuration.
    pub credential: String,
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

/// The result of one request, not yet read.
enum Sent {
    Received(Answered),
    Problem(Problem),
}

/// An answer without the secrets of its request, and those secrets.
struct Answered {
    received: Received,
    issued: Arc<IssuedSecret>,
    signature: Redaction,
}

impl Answered {
    fn new(mut received: Received, issued: &Arc<IssuedSecret>, signature: Redaction) -> Self {
        received.body = signature.body(issued.redacted(received.body));
        Self {
            received,
            issued: Arc::clone(issued),
            signature,
        }
    }

    /// Removes secrets from a text that was read: reading may decode a secret that the
    /// body spelled in another way, as `&#43;` for `+`.
    fn redact(&self, text: &mut String) {
        let without = self.issued.redacted(std::mem::take(text).into());
        *text = String::from_utf8_lossy(&self.signature.body(without)).into_owned();
    }
}

impl Service {
    /// Returns the budget that polls of this service spend.
    pub fn budget_key(&self) -> BudgetKey {
        let endpoint = match &self.base {
            Base::Url(url) => reqwest::Url::parse(url)
                .map_or_else(|_| url.clone(), |url| url.origin().ascii_serialization()),
            catalog @ Base::Catalog { .. } => catalog.to_string(),
        };
        BudgetKey {
            endpoint,
            credential: self.credential.name().to_owned(),
        }
    }

    /// Returns the params that a watch must bring, because neither the service nor the
    /// credential has them.
    pub fn params_wanted<'a>(&'a self, given: &'a Params) -> impl Iterator<Item = &'a str> {
        let names = self.definition.params.iter().map(String::as_str);
        names.filter(|name| {
            !self.params.contains_key(*name)
                && !given.contains_key(*name)
                && !self.credential.gives(name)
        })
    }

    /// Polls one job once. After a refusal the secret is renewed and the request sent once
    /// more.
    pub async fn observe(&self, job_id: &str, params: &Params, now: Timestamp) -> Observation {
        match self.send_and_renew(job_id, params, now).await {
            Sent::Problem(problem) => Observation::Problem(problem),
            Sent::Received(answered) => self.read(job_id, &answered, now),
        }
    }

    /// Polls one job once, as [`observe`](Self::observe) does, and explains the result.
    pub async fn probe(&self, job_id: &str, params: &Params, now: Timestamp) -> Probed {
        let request = match self.credential.present(now).await {
            Ok(issued) => self.request(job_id, params, &issued.scope),
            Err(error) => {
                return Probed::problem(self.definition.request.shown(), no_secret(&error));
            }
        };
        let request = match request {
            Ok(request) => format!("{} {}", request.method(), request.url()),
            Err(problem) => return Probed::problem(self.definition.request.shown(), problem),
        };
        match self.send_and_renew(job_id, params, now).await {
            Sent::Problem(problem) => Probed::problem(request, problem),
            Sent::Received(answered) => {
                let answer = answered.received.answer();
                let observation = self.read(job_id, &answered, now);
                Probed {
                    request,
                    http_status: Some(answer.http_status),
                    explanation: match observation {
                        Observation::Problem(problem) => {
                            Explanation::Problem(ProblemExplained::of(problem))
                        }
                        Observation::Sighting(_) => {
                            explain(&self.definition, &Asked::job(job_id), &answer, now)
                        }
                    },
                }
            }
        }
    }

    fn read(&self, job_id: &str, answered: &Answered, now: Timestamp) -> Observation {
        let received = &answered.received;
        let mut observation = reading::read(
            &self.definition,
            &Asked::job(job_id),
            &received.answer(),
            now,
        );
        if let Observation::Problem(problem) = &mut observation {
            answered.redact(&mut problem.message);
            if problem.kind == ProblemKind::Forbidden
                && refusal::is_refused(received.http_status, &received.body)
            {
                problem.kind = ProblemKind::Unauthorized;
            }
        }
        observation
    }

    /// Sends the request once; after a refusal, once more with a renewed secret.
    async fn send_and_renew(&self, job_id: &str, params: &Params, now: Timestamp) -> Sent {
        let mut sent = self.try_to_send(job_id, params, now).await;
        if matches!(sent, Err(CredentialError::Replaced { .. })) {
            sent = self.try_to_send(job_id, params, now).await;
        }
        sent.unwrap_or_else(|error| Sent::Problem(no_secret(&error)))
    }

    async fn try_to_send(
        &self,
        job_id: &str,
        params: &Params,
        now: Timestamp,
    ) -> Result<Sent, CredentialError> {
        let issued = self.credential.present(now).await?;
        let quiet = self.refusals().quiet_for(issued.generation, now);
        if !quiet.is_zero() {
            return Ok(Sent::Problem(self.not_shown(quiet)));
        }
        let sent = self.send(&issued, job_id, params, now).await?;
        if !self.is_refused(&sent, job_id, now) {
            self.note_accepted(&sent, &issued);
            return Ok(sent);
        }
        if !self.refusals().may_renew(now) {
            return Ok(sent);
        }
        let Some(renewed) = self.renewed(&issued, now).await else {
            let generation = issued.generation;
            self.refusals().cured_nothing(generation, generation, now);
            return Ok(sent);
        };
        let again = self.send(&renewed, job_id, params, now).await?;
        if self.is_refused(&again, job_id, now) {
            let (refused, renewed) = (issued.generation, renewed.generation);
            self.refusals().cured_nothing(refused, renewed, now);
        } else if matches!(again, Sent::Received(_)) {
            self.refusals().cured();
            self.note_accepted(&again, &renewed);
        }
        Ok(again)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock()
    }

    fn note_accepted(&self, sent: &Sent, issued: &IssuedSecret) {
        if let Sent::Received(answered) = sent
            && !answered.received.http_status.is_server_error()
        {
            self.refusals().accepted(issued.generation);
        }
    }

    /// True if the secret was refused, unless the definition maps the answer to another
    /// kind of problem.
    fn is_refused(&self, sent: &Sent, job_id: &str, now: Timestamp) -> bool {
        let Sent::Received(answered) = sent else {
            return false;
        };
        if !matches!(answered.received.http_status.as_u16(), 401 | 403) {
            return false;
        }
        let observation = self.read(job_id, answered, now);
        matches!(observation, Observation::Problem(problem) if problem.kind == ProblemKind::Unauthorized)
    }

    fn not_shown(&self, quiet: Duration) -> Problem {
        let seconds = Duration::from_secs(quiet.as_secs().max(1));
        Problem::new(
            ProblemKind::Unauthorized,
            format!(
                "the service refused the credential `{}`; the same secret is not sent again for {}",
                self.credential.name(),
                show_duration(seconds)
            ),
        )
    }

    /// Returns a secret other than the refused one, if the issuer has one.
    async fn renewed(&self, refused: &IssuedSecret, now: Timestamp) -> Option<Arc<IssuedSecret>> {
        match self.credential.renew(refused.generation).await {
            Ok(Renewal::Renewed) => self.credential.present(now).await.ok(),
            Ok(Renewal::Same) => None,
            Err(error) => {
                // The next poll reports it as its problem.
                tracing::debug!(service = %self.name, %error, "cannot renew the credential");
                None
            }
        }
    }

    async fn send(
        &self,
        issued: &Arc<IssuedSecret>,
        job_id: &str,
        params: &Params,
        now: Timestamp,
    ) -> Result<Sent, CredentialError> {
        let mut request = match self.request(job_id, params, &issued.scope) {
            Ok(request) => request,
            Err(problem) => return Ok(Sent::Problem(problem)),
        };
        let credential = &self.credential;
        let signature = credential.authorise(issued, &mut request, now).await?;
        let host = request.url().host_str().unwrap_or_default().to_owned();
        Ok(match self.transport.send(request).await {
            Ok(received) => {
                let result = refusal::signature_result(received.http_status, &received.body);
                let answer = (host.as_str(), &received.headers);
                self.credential.answered(issued, result, answer, now);
                Sent::Received(Answered::new(received, issued, signature))
            }
            Err(problem) => {
                self.credential.unanswered(issued);
                Sent::Problem(problem)
            }
        })
    }

    fn request(
        &self,
        job_id: &str,
        params: &Params,
        scope: &Scope,
    ) -> Result<reqwest::Request, Problem> {
        let misconfigured = |message: String| Problem::new(ProblemKind::Misconfigured, message);
        let value = |name: &str| match name {
            JOB_ID => Some(job_id),
            name => params
                .get(name)
                .or_else(|| self.params.get(name))
                .map(String::as_str)
                .or_else(|| scope.param(name)),
        };
        let rendered = self
            .definition
            .request
            .render(value)
            .map_err(|error| misconfigured(error.to_string()))?;
        let base = self.base.url(scope).map_err(misconfigured)?;
        let url = format!("{base}{}", rendered.path_and_query);
        let url = reqwest::Url::parse(&url)
            .map_err(|error| misconfigured(format!("invalid URL {url}: {error}")))?;
        let mut request = reqwest::Request::new(rendered.method, url);
        *request.timeout_mut() = Some(self.timing.request_timeout());
        for (name, value) in rendered.headers {
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = rendered.body.map(reqwest::Body::from);
        Ok(request)
    }
}

/// Returns the problem of a poll that had no secret to send. It says whether the identity
/// service could not be reached, failed, or throttled; any other reason is `unauthorized`.
/// None of these kinds ever ends a watch.
///
/// The problem has no HTTP status, because the service was not asked. A throttled identity
/// service therefore does not pause the budget of the service
/// ([`Problem::pauses_budget`]); only the watch waits as long as the identity service asked.
fn no_secret(error: &CredentialError) -> Problem {
    let unauthorized = Problem::new(ProblemKind::Unauthorized, error.to_string());
    let CredentialError::NotIssued {
        error: cause,
        again_in,
        ..
    } = error
    else {
        return unauthorized;
    };
    let kind = match cause.failing {
        Failing::Unreachable => ProblemKind::Unreachable,
        Failing::ServerError => ProblemKind::ServerError,
        Failing::Throttled => ProblemKind::Throttled,
        Failing::Unusable | Failing::Refused => ProblemKind::Unauthorized,
    };
    Problem {
        kind,
        retry_after: (kind == ProblemKind::Throttled).then_some(*again_in),
        ..unauthorized
    }
}

/// All configured services, by name.
#[derive(Clone, Default)]
pub struct Services(BTreeMap<Arc<str>, Arc<Service>>);

impl Services {
    /// Sorts `services` by name; of two with one name the last is kept.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        Self(
            services
                .into_iter()
                .map(|service| (Arc::clone(&service.name), Arc::new(service)))
                .collect(),
        )
    }

    /// Returns the service of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.0.get(name)
    }

    /// Returns all services, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.values()
    }

    /// Returns the names of all services, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}
