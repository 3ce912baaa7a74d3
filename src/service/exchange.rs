//! The exchange of one poll: the request with its secret, the answer without it, a renewal after
//! a refusal, and redirects on the same origin.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use jiff::Timestamp;
use parking_lot::MutexGuard;
use reqwest::Url;

use crate::clock::show_duration;
use crate::credential::lease::Failing;
use crate::credential::scope::Scope;
use crate::credential::{CredentialError, IssuedSecret, Renewal, refusal};
use crate::definition::Definition;
use crate::definition::body;
use crate::definition::reading::{self, Asked};
use crate::outbound::redaction::Redaction;
use crate::service::Service;
use crate::service::reach::{REDIRECTS_MAX, is_same_origin};
use crate::service::refusals::Refusals;
use crate::service::spelling::unescaped;
use crate::service::spending::Spend;
use crate::service::subject::Reading;
use crate::service::transport::Received;
use crate::watch::evidence::BODY_BYTES_MAX;
use crate::watch::observation::{Observation, Problem, ProblemKind, Sighting};

/// Builds the request of an exchange from the scope of the credential. It may be built more than
/// once.
pub(super) type Build<'a> = dyn Fn(&Scope) -> Result<reqwest::Request, Problem> + Send + Sync + 'a;

/// The result of one exchange, not yet read.
pub(super) enum Sent {
    Received(Box<Answered>),
    Problem(Problem),
}

/// An answer without the secrets of its request, and those secrets.
pub(super) struct Answered {
    pub(super) received: Received,
    /// The URL that answered: the last one of the redirects.
    pub(super) url: Url,
    /// True if the service redirected the request to that URL.
    pub(super) is_redirected: bool,
    issued: Arc<IssuedSecret>,
    signature: Redaction,
}

impl Answered {
    fn new(
        mut received: Received,
        url: Url,
        issued: &Arc<IssuedSecret>,
        signature: Redaction,
    ) -> Self {
        let body = body::in_utf_8(received.body);
        received.body = signature.body(issued.redacted(body));
        Self {
            received,
            url,
            is_redirected: false,
            issued: Arc::clone(issued),
            signature,
        }
    }

    /// Reads the answer by `definition`, without the secrets that its messages may repeat.
    pub(super) fn read(
        &self,
        definition: &Definition,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Observation {
        let mut observation = reading::read(definition, asked, &self.received.answer(), now);
        match &mut observation {
            Observation::Problem(problem) => self.finish_problem(problem),
            Observation::Sighting(sighting) => self.finish_sighting(sighting),
        }
        observation
    }

    pub(super) fn finish_sighting(&self, sighting: &mut Sighting) {
        sighting.for_each_text(|text| self.redact(text));
        sighting.is_redirected = self.is_redirected;
    }

    /// Returns the body for evidence. If its escapes hide a secret, that is the text without them.
    pub(super) fn body_for_evidence(&self) -> Bytes {
        let body = &self.received.body;
        let beginning = &body[..body.len().min(2 * BODY_BYTES_MAX)];
        let Some(plain) = unescaped(beginning) else {
            return body.clone();
        };
        let plain = Bytes::from(plain);
        let without = self.signature.body(self.issued.redacted(plain.clone()));
        if without == plain {
            body.clone()
        } else {
            without
        }
    }

    pub(super) fn finish_problem(&self, problem: &mut Problem) {
        self.redact(&mut problem.message);
        let received = &self.received;
        if problem.kind == ProblemKind::Forbidden
            && refusal::is_refused(received.http_status, &received.body)
        {
            problem.kind = ProblemKind::Unauthorized;
        }
        if problem.kind == ProblemKind::Misconfigured
            && let Some(place) = self.refused_redirect()
        {
            problem.message = place;
        }
    }

    /// Says where a redirect leads that was not followed.
    fn refused_redirect(&self) -> Option<String> {
        let target = redirect_target(&self.received, &self.url)?;
        Some(if is_same_origin(&self.url, &target) {
            format!("the service redirects more than {REDIRECTS_MAX} times")
        } else {
            let origin = target.origin().ascii_serialization();
            format!(
                "the service redirects to {origin}, which is not followed; check the URL of the service"
            )
        })
    }

    /// Removes secrets from a text that was read: reading may decode a secret that the
    /// body spelled in another way, as `&#43;` for `+`. A text without secrets is not copied.
    fn redact(&self, text: &mut String) {
        let without = self.issued.redacted(std::mem::take(text).into());
        let without = Vec::from(self.signature.body(without));
        *text = String::from_utf8(without)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }
}

/// Returns the URL to which an answer redirects a request for `from`.
fn redirect_target(received: &Received, from: &Url) -> Option<Url> {
    let is_redirect = matches!(received.http_status.as_u16(), 301 | 302 | 307 | 308);
    let location = received.headers.get(header::LOCATION)?;
    from.join(location.to_str().ok()?)
        .ok()
        .filter(|_| is_redirect)
}

impl Service {
    /// Sends the request once; after a refusal, once more with a renewed secret. `spend` is charged
    /// for each request after the first one.
    pub(super) async fn exchange(
        &self,
        reading: Reading<'_>,
        build: &Build<'_>,
        spend: &dyn Spend,
        now: Timestamp,
    ) -> Sent {
        let mut sent = self.try_to_send(reading, build, spend, now).await;
        if matches!(sent, Err(CredentialError::Replaced { .. })) {
            sent = self.try_to_send(reading, build, spend, now).await;
        }
        sent.unwrap_or_else(|error| Sent::Problem(no_secret(&error)))
    }

    async fn try_to_send(
        &self,
        reading: Reading<'_>,
        build: &Build<'_>,
        spend: &dyn Spend,
        now: Timestamp,
    ) -> Result<Sent, CredentialError> {
        let issued = self.credential.present(now).await?;
        let quiet = self.refusals().quiet_for(issued.generation, now);
        if !quiet.is_zero() {
            return Ok(Sent::Problem(self.not_shown(quiet)));
        }
        let request = (reading, build);
        let sent = self.send(&issued, request, spend, now).await?;
        if !is_refused(&sent, reading, now) {
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
        spend.charge();
        let again = self.send(&renewed, request, spend, now).await?;
        if is_refused(&again, reading, now) {
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

    /// Returns method and URL of the request, without headers and so without secrets.
    pub(super) async fn shown_request(
        &self,
        build: &Build<'_>,
        now: Timestamp,
    ) -> Result<String, Problem> {
        let issued = self.credential.present(now).await;
        let issued = issued.map_err(|error| no_secret(&error))?;
        let request = build(&issued.scope)?;
        Ok(format!("{} {}", request.method(), request.url()))
    }

    /// Sends the request, and follows redirects of a GET on the same origin.
    async fn send(
        &self,
        issued: &Arc<IssuedSecret>,
        (reading, build): (Reading<'_>, &Build<'_>),
        spend: &dyn Spend,
        now: Timestamp,
    ) -> Result<Sent, CredentialError> {
        let mut redirected: Option<Url> = None;
        let mut redirects = 0;
        loop {
            let mut request = match build(&issued.scope) {
                Ok(request) => request,
                Err(problem) => return Ok(Sent::Problem(problem)),
            };
            if let Some(url) = &redirected {
                *request.url_mut() = url.clone();
            }
            let is_get = request.method() == http::Method::GET;
            let mut sent = self.send_once(issued, reading, request, now).await?;
            if let Sent::Received(answered) = &mut sent {
                answered.is_redirected = redirected.is_some();
                let next = redirect_of(answered, reading.definition)
                    .filter(|_| is_get && redirects < REDIRECTS_MAX);
                if next.is_some() {
                    redirected = next;
                    redirects += 1;
                    spend.charge();
                    continue;
                }
            }
            return Ok(sent);
        }
    }

    async fn send_once(
        &self,
        issued: &Arc<IssuedSecret>,
        reading: Reading<'_>,
        mut request: reqwest::Request,
        now: Timestamp,
    ) -> Result<Sent, CredentialError> {
        let credential = &self.credential;
        let signature = credential.authorise(issued, &mut request, now).await?;
        let url = request.url().clone();
        Ok(match self.transport.send(request, reading.max_body).await {
            Ok(received) => {
                let result = refusal::signature_result(received.http_status, &received.body);
                let host = url.host_str().unwrap_or_default();
                let answer = (host, &received.headers);
                self.credential.answered(issued, result, answer, now);
                let answered = Answered::new(received, url, issued, signature);
                Sent::Received(Box::new(answered))
            }
            Err(problem) => {
                self.credential.unanswered(issued);
                Sent::Problem(problem)
            }
        })
    }
}

/// Returns the URL to which an answer redirects the request, if it is on the same origin and the
/// status does not speak of the job.
fn redirect_of(answered: &Answered, definition: &Definition) -> Option<Url> {
    let is_claimed = definition
        .answer
        .claims(answered.received.http_status.as_u16());
    redirect_target(&answered.received, &answered.url)
        .filter(|target| !is_claimed && is_same_origin(&answered.url, target))
}

/// True if the secret was refused, unless the definition maps the answer to another kind of
/// problem.
fn is_refused(sent: &Sent, reading: Reading<'_>, now: Timestamp) -> bool {
    let Sent::Received(answered) = sent else {
        return false;
    };
    if !matches!(
        answered.received.http_status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    ) {
        return false;
    }
    let observation = answered.read(reading.definition, &Asked::any(), now);
    matches!(observation, Observation::Problem(problem) if problem.kind == ProblemKind::Unauthorized)
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
