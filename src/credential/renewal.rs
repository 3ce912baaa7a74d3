//! A credential: an issuer, and the parts that all kinds share. It asks the issuer once for all
//! polls that need a secret at the same time, renews in time, and pauses after failures.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::clock::{SharedClock, show_duration};
use crate::credential::lease::Lease;
use crate::credential::refusal::clock_ahead_s;
use crate::credential::request_auth::RequestAuth;
use crate::credential::signing_gate::{GateAnswer, SignatureResult, SigningGate};
use crate::credential::skew::{Clocks, ISSUER};
use crate::credential::status::{CredentialStatus, Trouble};
use crate::credential::{
    CredentialError, Generation, Grant, IssueError, IssuedSecret, Issuer, Renewal, Verified, lease,
    signing,
};
use crate::outbound::redaction::Redaction;
use crate::outbound::secret::Stamp;

/// The shortest time between two checks of the files.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A shorter lifetime than this is treated as a failure to issue.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// The parameter that nearly all definitions have.
const PROJECT_ID: &str = "project_id";
/// The longest that a request waits for the answer to the one on trial.
const TRIAL_WAIT: Duration = Duration::from_secs(45);

/// A credential shared by everything that uses it.
pub type SharedCredential = Arc<Credential>;

pub struct Credential {
    name: String,
    kind: &'static str,
    issuer: Box<dyn Issuer>,
    clock: SharedClock,
    state: Mutex<State>,
    /// Locked while a secret is issued; other polls wait, or continue with the present secret.
    issuing: tokio::sync::Mutex<()>,
    /// Notified when a request on trial was answered.
    trial_ended: Notify,
}

#[derive(Default)]
struct State {
    issued: Option<Arc<IssuedSecret>>,
    failure: Option<Failure>,
    stamps: Vec<Option<Stamp>>,
    checked_at: Duration,
    gate: SigningGate,
    clocks: Clocks,
}

impl State {
    fn is_present(&self, issued: &IssuedSecret) -> bool {
        let present = self.issued.as_ref();
        present.is_some_and(|present| present.generation == issued.generation)
    }
}

/// The last failure of the issuer; cleared by a success.
struct Failure {
    error: IssueError,
    run: u32,
    again_at: Duration,
}

/// The next step to get a secret.
enum Next {
    Use(Arc<IssuedSecret>),
    /// The secret can still be used; the first poll to get the lock renews it.
    Renew(Arc<IssuedSecret>),
    Issue,
    Fail(CredentialError),
}

impl Credential {
    /// Returns a credential of this name and kind. No request is sent before a secret is
    /// needed.
    pub fn new(
        name: impl Into<String>,
        kind: &'static str,
        issuer: Box<dyn Issuer>,
        clock: SharedClock,
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            issuer,
            clock,
            state: Mutex::default(),
            issuing: tokio::sync::Mutex::default(),
            trial_ended: Notify::new(),
        }
    }

    /// Returns the name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the word for its kind in the configuration.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// True if its scope will give a value for this parameter of a definition.
    pub fn gives(&self, param: &str) -> bool {
        self.issuer.gives().contains(&param)
    }

    /// Returns the present secret. Issues or renews it first if that is due.
    ///
    /// # Errors
    /// There is no secret that may be used.
    pub async fn present(&self, now: Timestamp) -> Result<Arc<IssuedSecret>, CredentialError> {
        match self.next(now) {
            Next::Use(issued) => Ok(issued),
            Next::Fail(error) => Err(error),
            Next::Renew(issued) => {
                // Another poll is renewing it; this one continues with the present secret.
                let Ok(_turn) = self.issuing.try_lock() else {
                    return Ok(issued);
                };
                match self.next(now) {
                    Next::Renew(issued) => Ok(self.issue().await.unwrap_or(issued)),
                    Next::Use(issued) => Ok(issued),
                    Next::Issue => self.issue().await,
                    Next::Fail(error) => Err(error),
                }
            }
            Next::Issue => {
                let _turn = self.issuing.lock().await;
                match self.next(now) {
                    Next::Use(issued) | Next::Renew(issued) => Ok(issued),
                    Next::Issue => self.issue().await,
                    Next::Fail(error) => Err(error),
                }
            }
        }
    }

    /// Puts the auth on `request`. The caller must report the result with
    /// [`answered`](Self::answered) or [`unanswered`](Self::unanswered).
    ///
    /// Returns the signature, which must be kept out of messages;
    /// [`IssuedSecret::redacted`] does not know it.
    ///
    /// # Errors
    /// No request may be signed now, or this request cannot be.
    pub async fn authorise(
        &self,
        issued: &IssuedSecret,
        request: &mut reqwest::Request,
        now: Timestamp,
    ) -> Result<Redaction, CredentialError> {
        match &issued.auth {
            RequestAuth::None => {}
            RequestAuth::Header(name, value) => {
                request.headers_mut().insert(name, value.clone());
            }
            RequestAuth::Headers(headers) => {
                request.headers_mut().extend(headers.iter().cloned());
            }
            RequestAuth::Key(key) => {
                self.wait_to_sign(issued).await?;
                let host = request.url().host_str().unwrap_or_default();
                let signed_at = self.time_at(host, now);
                let signed = signing::sign(request, key, signed_at);
                return match signed {
                    Ok(signature) => Ok(Redaction::of([signature.as_str()])),
                    Err(error) => {
                        self.unanswered(issued);
                        Err(CredentialError::Unsigned {
                            credential: self.name.clone(),
                            message: error.to_string(),
                        })
                    }
                };
            }
        }
        Ok(Redaction::default())
    }

    /// Issues another secret after the service refused `refused`; once for all polls that
    /// were refused at the same time.
    ///
    /// # Errors
    /// There is no other secret.
    pub async fn renew(&self, refused: Generation) -> Result<Renewal, CredentialError> {
        let _turn = self.issuing.lock().await;
        let is_newer = |issued: &Arc<IssuedSecret>| issued.generation > refused;
        if self.state().issued.as_ref().is_some_and(is_newer) {
            return Ok(Renewal::Renewed);
        }
        if let Some(error) = self.still_failing() {
            return Err(error);
        }
        let issued = self.issue().await?;
        Ok(if is_newer(&issued) {
            Renewal::Renewed
        } else {
            Renewal::Same
        })
    }

    /// Records the answer of `host` to a request that carried `issued`.
    pub fn answered(
        &self,
        issued: &IssuedSecret,
        result: SignatureResult,
        (host, headers): (&str, &HeaderMap),
        now: Timestamp,
    ) {
        self.record_signature(issued, result);
        let is_fresh = self.state().clocks.is_fresh(host, self.clock.uptime());
        if is_fresh && result == SignatureResult::Accepted {
            return;
        }
        if let Some(ahead_s) = clock_ahead_s(headers, now) {
            self.note_skew(host, ahead_s);
        }
    }

    /// Records that a request that carried `issued` had no answer.
    pub fn unanswered(&self, issued: &IssuedSecret) {
        self.record_signature(issued, SignatureResult::Nothing);
    }

    /// Returns how far the clocks of the services are ahead of ours, in seconds, at most.
    pub fn clock_ahead_s(&self) -> Option<i64> {
        self.state().clocks.worst_s()
    }

    /// Verifies the present secret; asks the service that can confirm it.
    ///
    /// # Errors
    /// The secret is not valid, or the service does not answer.
    pub async fn verify(
        &self,
        issued: &IssuedSecret,
        now: Timestamp,
    ) -> Result<Verified, IssueError> {
        let verified = self.issuer.verify(issued, now).await.inspect_err(|error| {
            if let Some(ahead_s) = error.clock_ahead_s {
                self.note_skew(ISSUER, ahead_s);
            }
        })?;
        if let Verified::Accepted {
            clock_ahead_s: Some(ahead_s),
        } = verified
        {
            self.note_skew(ISSUER, ahead_s);
        }
        Ok(verified)
    }

    /// Returns the state of the credential. Asks no issuer.
    pub fn status(&self) -> CredentialStatus {
        let state = self.state();
        let failure = state.failure.as_ref().map(|it| (&it.error, it.again_at));
        let trouble = Trouble::of(&state.gate, failure, self.clock.moment());
        CredentialStatus::of(self.kind, state.issued.as_deref(), trouble)
    }

    /// Returns the secret that was issued last, whether it is valid or not. Asks no issuer.
    pub fn issued(&self) -> Option<Arc<IssuedSecret>> {
        self.state().issued.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn next(&self, now: Timestamp) -> Next {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let is_replaced = self.is_replaced(&mut state, uptime);
        let failure = state.failure.as_ref();
        let failing = failure.filter(|failure| uptime < failure.again_at && !is_replaced);
        let usable = state
            .issued
            .as_ref()
            .filter(|issued| issued.lease.is_none_or(|lease| !lease.is_over(now)));
        let Some(issued) = usable else {
            return failing.map_or(Next::Issue, |failure| {
                Next::Fail(self.not_issued(failure, uptime))
            });
        };
        let is_due = is_replaced || issued.lease.is_some_and(|lease| lease.is_due(now));
        if is_due && failing.is_none() {
            Next::Renew(Arc::clone(issued))
        } else {
            Next::Use(Arc::clone(issued))
        }
    }

    /// True if a file was replaced since it was read. Checks at most once a second.
    fn is_replaced(&self, state: &mut State, uptime: Duration) -> bool {
        if uptime.saturating_sub(state.checked_at) < CHECK_EVERY || state.stamps.is_empty() {
            return false;
        }
        let is_replaced = self.issuer.stamps() != state.stamps;
        if !is_replaced {
            state.checked_at = uptime;
        }
        is_replaced
    }

    /// Issues a new secret. The caller must have locked `issuing`.
    async fn issue(&self) -> Result<Arc<IssuedSecret>, CredentialError> {
        // Not the time of the poll, which may have waited: a second factor changes each
        // half minute.
        let now = self.clock.now();
        // Taken before the files are read, so that a file replaced in between is noticed.
        let stamps = self.issuer.stamps();
        let issued = self.issuer.issue(now).await;
        let issued = issued.and_then(|grant| self.checked(grant));
        let uptime = self.clock.uptime();
        let ahead_s = match &issued {
            Ok(grant) => grant.clock_ahead_s,
            Err(error) => error.clock_ahead_s,
        };
        if let Some(ahead_s) = ahead_s {
            self.note_skew(ISSUER, ahead_s);
        }
        let mut state = self.state();
        state.stamps = stamps;
        state.checked_at = uptime;
        match issued {
            Ok(grant) => Ok(self.take(&mut state, grant, now)),
            Err(error) => Err(self.fail(&mut state, error, uptime)),
        }
    }

    /// Rejects a grant that cannot be used: otherwise each poll would ask for another, or
    /// polls would lack the part that they need.
    fn checked(&self, grant: Grant) -> Result<Grant, IssueError> {
        let useless = |what: &str| Err(IssueError::passing(format!("was issued {what}")));
        if grant.lifetime.is_some_and(|left| left < LIFETIME_MIN) {
            return useless("for no time at all: its end is not after its beginning");
        }
        if self.gives(PROJECT_ID) && grant.scope.project_id.is_none() {
            return useless("without the id of its project (token.project.id)");
        }
        if self.issuer.wants_catalog() && grant.scope.catalog.is_empty() {
            return useless("without a catalog, from which services have their URL");
        }
        Ok(grant)
    }

    fn take(&self, state: &mut State, grant: Grant, now: Timestamp) -> Arc<IssuedSecret> {
        let before = state.issued.as_deref();
        let is_same = before.is_some_and(|before| before.auth.is(&grant.auth));
        let generation = before.map_or(0, |issued| issued.generation.0) + u64::from(!is_same);
        let issued = Arc::new(IssuedSecret {
            generation: Generation(generation),
            lease: grant.lifetime.map(|lifetime| Lease::new(now, lifetime)),
            scope: grant.scope,
            redaction: grant.auth.redaction(),
            auth: grant.auth,
        });
        if !is_same {
            state.gate = SigningGate::default();
            self.trial_ended.notify_waiters();
        }
        if state.failure.take().is_some() {
            tracing::info!(credential = self.name, "issued again");
        }
        let until = issued.lease.map(|lease| lease.until.to_string());
        tracing::debug!(credential = self.name, generation, until, "issued");
        state.issued = Some(Arc::clone(&issued));
        issued
    }

    fn fail(&self, state: &mut State, error: IssueError, uptime: Duration) -> CredentialError {
        let run = state.failure.as_ref().map_or(0, |failure| failure.run) + 1;
        let own = lease::pause(error.failing, run);
        let pause = error
            .retry_after
            .map_or(own, |retry_after| retry_after.max(own));
        tracing::warn!(
            credential = self.name, %error, next_attempt_in = show_duration(pause),
            "a credential was not issued; watches go on"
        );
        let failure = Failure {
            error,
            run,
            again_at: uptime.saturating_add(pause),
        };
        let error = self.not_issued(&failure, uptime);
        state.failure = Some(failure);
        error
    }

    fn still_failing(&self) -> Option<CredentialError> {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let is_replaced = self.is_replaced(&mut state, uptime);
        let failure = state.failure.as_ref()?;
        let is_waited_for = uptime < failure.again_at && !is_replaced;
        is_waited_for.then(|| self.not_issued(failure, uptime))
    }

    fn not_issued(&self, failure: &Failure, uptime: Duration) -> CredentialError {
        let left = failure.again_at.saturating_sub(uptime);
        CredentialError::NotIssued {
            credential: self.name.clone(),
            error: failure.error.clone(),
            again_in: Duration::from_secs(left.as_secs()),
        }
    }

    /// Waits until the request may be signed, for a bounded time: each trial may take as
    /// long as a request.
    async fn wait_to_sign(&self, issued: &IssuedSecret) -> Result<(), CredentialError> {
        let waited = tokio::time::timeout(TRIAL_WAIT, self.turn_to_sign(issued)).await;
        waited.unwrap_or_else(|_| {
            Err(CredentialError::Unproven {
                credential: self.name.clone(),
            })
        })
    }

    async fn turn_to_sign(&self, issued: &IssuedSecret) -> Result<(), CredentialError> {
        loop {
            // Listens before it asks, so that an answer in between is not missed.
            let trial_ended = self.trial_ended.notified();
            let (answer, refusals) = {
                let mut state = self.state();
                // The key may be replaced during the wait; the gate is then that of the
                // next key.
                if !state.is_present(issued) {
                    return Err(CredentialError::Replaced {
                        credential: self.name.clone(),
                    });
                }
                let answer = state.gate.ask(self.clock.uptime());
                (answer, state.gate.refusals())
            };
            match answer {
                GateAnswer::Sign => return Ok(()),
                GateAnswer::Stopped(again_in) => {
                    return Err(CredentialError::Stopped {
                        credential: self.name.clone(),
                        refusals,
                        again_in: Duration::from_secs(again_in.as_secs()),
                    });
                }
                GateAnswer::Wait => trial_ended.await,
            }
        }
    }

    fn record_signature(&self, issued: &IssuedSecret, result: SignatureResult) {
        if !issued.signs() {
            return;
        }
        let mut state = self.state();
        // The result for an earlier key says nothing about this one.
        if !state.is_present(issued) {
            return;
        }
        let before = state.gate;
        state.gate.record(result, self.clock.uptime());
        if state.gate != before {
            self.trial_ended.notify_waiters();
        }
        if state.gate.is_stopped() && !before.is_stopped() {
            tracing::warn!(
                credential = self.name,
                refusals = state.gate.refusals(),
                "signatures are refused; no request is signed for five minutes, so that the key is not locked for longer"
            );
        }
    }

    fn note_skew(&self, host: &str, ahead_s: i64) {
        let uptime = self.clock.uptime();
        if self.state().clocks.note(host, ahead_s, uptime) {
            tracing::warn!(
                credential = self.name,
                host,
                clock_ahead_s = ahead_s,
                "the clocks of this machine and of the service differ: the service's is ahead by this many seconds; set this machine's clock"
            );
        }
    }

    /// Returns the time to sign with for `host`.
    pub fn time_at(&self, host: &str, now: Timestamp) -> Timestamp {
        self.state().clocks.time_at(host, now)
    }
}
