//! A credential: an issuer, and what all kinds share. It has the secret issued once for all
//! who ask together, renews it in time, and knows when to leave the issuer alone.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::SharedClock;
use crate::clock::show_duration;
use crate::credential::CredentialError;
use crate::credential::Generation;
use crate::credential::Grant;
use crate::credential::Held;
use crate::credential::IssueError;
use crate::credential::Issuer;
use crate::credential::Renewal;
use crate::credential::Verified;
use crate::credential::lease;
use crate::credential::lease::Lease;
use crate::credential::proof::Proof;
use crate::credential::refusal::clock_ahead_s;
use crate::credential::signing;
use crate::credential::skew::Clocks;
use crate::credential::skew::ISSUER;
use crate::credential::trust::Heard;
use crate::credential::trust::Leave;
use crate::credential::trust::Trust;
use crate::outbound::redaction::Redaction;
use crate::outbound::secret::Stamp;

/// How old a look at the files may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is issued for less than this was issued for no use.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// The parameter of definitions that nearly all have.
const PROJECT_ID: &str = "project_id";
/// The longest that a request waits for the answer to the one on trial.
const TRIAL_WAIT: Duration = Duration::from_secs(45);

/// A credential.
pub struct Credential {
    name: String,
    kind: &'static str,
    issuer: Box<dyn Issuer>,
    clock: SharedClock,
    state: Mutex<State>,
    /// Held by whoever has the issuer issue; the others wait for it, or go on with what
    /// there is.
    issuing: tokio::sync::Mutex<()>,
    /// Told whenever a request on trial was answered.
    proven: Notify,
}

#[derive(Default)]
struct State {
    held: Option<Arc<Held>>,
    failure: Option<Failure>,
    stamps: Vec<Option<Stamp>>,
    looked_at: Duration,
    trust: Trust,
    clocks: Clocks,
}

impl State {
    fn is_present(&self, held: &Held) -> bool {
        let present = self.held.as_ref();
        present.is_some_and(|present| present.generation == held.generation)
    }
}

/// The issuer gave nothing when it was last asked.
struct Failure {
    error: IssueError,
    run: u32,
    again_at: Duration,
}

/// What to do about a secret.
enum Next {
    Use(Arc<Held>),
    /// It still holds; whoever comes first renews it.
    Renew(Arc<Held>),
    Issue,
    Fail(CredentialError),
}

impl Credential {
    /// A credential of this name and kind. Nothing is asked before somebody needs it.
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
            proven: Notify::new(),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The word for its kind in the configuration.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether its scope will give a value for this parameter of a definition.
    pub fn gives(&self, param: &str) -> bool {
        self.issuer.gives().contains(&param)
    }

    /// What it holds, issued or renewed first where that is due.
    ///
    /// # Errors
    /// There is no secret that may be used.
    pub async fn present(&self, now: Timestamp) -> Result<Arc<Held>, CredentialError> {
        match self.next(now) {
            Next::Use(held) => Ok(held),
            Next::Fail(error) => Err(error),
            Next::Renew(held) => {
                // Who finds it under way goes on with what there is.
                let Ok(_turn) = self.issuing.try_lock() else {
                    return Ok(held);
                };
                match self.next(now) {
                    Next::Renew(held) => Ok(self.issue().await.unwrap_or(held)),
                    Next::Use(held) => Ok(held),
                    Next::Issue => self.issue().await,
                    Next::Fail(error) => Err(error),
                }
            }
            Next::Issue => {
                let _turn = self.issuing.lock().await;
                match self.next(now) {
                    Next::Use(held) | Next::Renew(held) => Ok(held),
                    Next::Issue => self.issue().await,
                    Next::Fail(error) => Err(error),
                }
            }
        }
    }

    /// Puts the proof on `request`. What becomes of the request must be told to
    /// [`answered`](Self::answered) or [`unanswered`](Self::unanswered).
    ///
    /// Returns what must be kept out of messages beside what [`Held::redacted`] knows: the
    /// signature.
    ///
    /// # Errors
    /// Nothing may be signed now, or this request cannot be.
    pub async fn authorise(
        &self,
        held: &Held,
        request: &mut reqwest::Request,
        now: Timestamp,
    ) -> Result<Redaction, CredentialError> {
        match &held.proof {
            Proof::None => {}
            Proof::Header(name, value) => {
                request.headers_mut().insert(name, value.clone());
            }
            Proof::Key(key) => {
                self.leave_to_sign(held).await?;
                let host = request.url().host_str().unwrap_or_default();
                let signed_at = self.time_at(host, now);
                let signed = signing::sign(request, key, signed_at);
                return match signed {
                    Ok(signature) => Ok(Redaction::of([signature.as_str()])),
                    Err(error) => {
                        self.unanswered(held);
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

    /// The service refused what `refused` names: has another issued, once for all who ask
    /// at the same time.
    ///
    /// # Errors
    /// No other secret can be had.
    pub async fn renew(&self, refused: Generation) -> Result<Renewal, CredentialError> {
        let _turn = self.issuing.lock().await;
        let is_newer = |held: &Arc<Held>| held.generation > refused;
        if self.state().held.as_ref().is_some_and(is_newer) {
            return Ok(Renewal::Renewed);
        }
        if let Some(error) = self.still_failing() {
            return Err(error);
        }
        let held = self.issue().await?;
        Ok(if is_newer(&held) {
            Renewal::Renewed
        } else {
            Renewal::Same
        })
    }

    /// Takes note of the answer of `host` to a request that `held` was put on.
    pub fn answered(
        &self,
        held: &Held,
        heard: Heard,
        (host, headers): (&str, &HeaderMap),
        now: Timestamp,
    ) {
        self.note_heard(held, heard);
        let is_fresh = self.state().clocks.is_fresh(host, self.clock.uptime());
        if is_fresh && heard == Heard::Accepted {
            return;
        }
        if let Some(ahead_s) = clock_ahead_s(headers, now) {
            self.note_skew(host, ahead_s);
        }
    }

    /// Takes note that a request that `held` was put on had no answer.
    pub fn unanswered(&self, held: &Held) {
        self.note_heard(held, Heard::Nothing);
    }

    /// How far the clocks of those who answer are ahead of ours, in seconds: the largest
    /// difference there is.
    pub fn clock_ahead_s(&self) -> Option<i64> {
        self.state().clocks.worst_s()
    }

    /// How what it holds is known to be right; asks whoever can tell.
    ///
    /// # Errors
    /// It is not right, or nobody answers.
    pub async fn verify(&self, held: &Held, now: Timestamp) -> Result<Verified, IssueError> {
        let verified = self.issuer.verify(held, now).await.inspect_err(|error| {
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, now: Timestamp) -> Next {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let is_replaced = self.is_replaced(&mut state, uptime);
        let failure = state.failure.as_ref();
        let failing = failure.filter(|failure| uptime < failure.again_at && !is_replaced);
        let usable = state
            .held
            .as_ref()
            .filter(|held| held.lease.is_none_or(|lease| !lease.is_over(now)));
        let Some(held) = usable else {
            return failing.map_or(Next::Issue, |failure| {
                Next::Fail(self.told(failure, uptime))
            });
        };
        let is_due = is_replaced || held.lease.is_some_and(|lease| lease.is_due(now));
        if is_due && failing.is_none() {
            Next::Renew(Arc::clone(held))
        } else {
            Next::Use(Arc::clone(held))
        }
    }

    /// Whether a file was replaced since it was read. Looks at most once a second.
    fn is_replaced(&self, state: &mut State, uptime: Duration) -> bool {
        if uptime.saturating_sub(state.looked_at) < LOOK_EVERY || state.stamps.is_empty() {
            return false;
        }
        let is_replaced = self.issuer.stamps() != state.stamps;
        if !is_replaced {
            state.looked_at = uptime;
        }
        is_replaced
    }

    /// Has the issuer issue; to be called by whoever holds the turn.
    async fn issue(&self) -> Result<Arc<Held>, CredentialError> {
        // Not the time of the poll, which may have waited: a second factor is of this minute.
        let now = self.clock.now();
        // Before they are read: a file replaced meanwhile is found to be another.
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
        state.looked_at = uptime;
        match issued {
            Ok(grant) => Ok(self.take(&mut state, grant, now)),
            Err(error) => Err(self.fail(&mut state, error, uptime)),
        }
    }

    /// A grant that is of any use: taken as it is, another would be asked for at every poll,
    /// or polls would miss what it was to bring.
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

    fn take(&self, state: &mut State, grant: Grant, now: Timestamp) -> Arc<Held> {
        let before = state.held.as_deref();
        let is_same = before.is_some_and(|before| before.proof.is(&grant.proof));
        let generation = before.map_or(0, |held| held.generation.0) + u64::from(!is_same);
        let held = Arc::new(Held {
            generation: Generation(generation),
            lease: grant.lifetime.map(|lifetime| Lease::new(now, lifetime)),
            scope: grant.scope,
            redaction: grant.proof.redaction(),
            proof: grant.proof,
        });
        if !is_same {
            state.trust = Trust::default();
            self.proven.notify_waiters();
        }
        if state.failure.take().is_some() {
            tracing::info!(credential = self.name, "issued again");
        }
        let until = held.lease.map(|lease| lease.until.to_string());
        tracing::debug!(credential = self.name, generation, until, "issued");
        state.held = Some(Arc::clone(&held));
        held
    }

    fn fail(&self, state: &mut State, error: IssueError, uptime: Duration) -> CredentialError {
        let run = state.failure.as_ref().map_or(0, |failure| failure.run) + 1;
        let own = lease::pause(error.failing, run);
        let pause = error.retry_after.map_or(own, |wish| wish.max(own));
        tracing::warn!(
            credential = self.name, %error, next_attempt_in = show_duration(pause),
            "a credential was not issued; watches go on"
        );
        let failure = Failure {
            error,
            run,
            again_at: uptime.saturating_add(pause),
        };
        let told = self.told(&failure, uptime);
        state.failure = Some(failure);
        told
    }

    fn still_failing(&self) -> Option<CredentialError> {
        let uptime = self.clock.uptime();
        let mut state = self.state();
        let is_replaced = self.is_replaced(&mut state, uptime);
        let failure = state.failure.as_ref()?;
        let is_waited_for = uptime < failure.again_at && !is_replaced;
        is_waited_for.then(|| self.told(failure, uptime))
    }

    fn told(&self, failure: &Failure, uptime: Duration) -> CredentialError {
        let left = failure.again_at.saturating_sub(uptime);
        CredentialError::NotIssued {
            credential: self.name.clone(),
            error: failure.error.clone(),
            again_in: Duration::from_secs(left.as_secs()),
        }
    }

    /// Waits for its turn, for a bounded time: each trial may take as long as a request.
    async fn leave_to_sign(&self, held: &Held) -> Result<(), CredentialError> {
        let waited = tokio::time::timeout(TRIAL_WAIT, self.turn_to_sign(held)).await;
        waited.unwrap_or_else(|_| {
            Err(CredentialError::Unproven {
                credential: self.name.clone(),
            })
        })
    }

    async fn turn_to_sign(&self, held: &Held) -> Result<(), CredentialError> {
        loop {
            // Listening before asking, so that no answer falls between.
            let proven = self.proven.notified();
            let (leave, refusals) = {
                let mut state = self.state();
                // Waiting outlasts a key, and the trust is in the next one by then.
                if !state.is_present(held) {
                    return Err(CredentialError::Replaced {
                        credential: self.name.clone(),
                    });
                }
                let leave = state.trust.ask(self.clock.uptime());
                (leave, state.trust.refusals())
            };
            match leave {
                Leave::Sign => return Ok(()),
                Leave::Stopped(again_in) => {
                    return Err(CredentialError::Stopped {
                        credential: self.name.clone(),
                        refusals,
                        again_in: Duration::from_secs(again_in.as_secs()),
                    });
                }
                Leave::Wait => proven.await,
            }
        }
    }

    fn note_heard(&self, held: &Held, heard: Heard) {
        if !held.signs() {
            return;
        }
        let mut state = self.state();
        // What an earlier key was told says nothing about this one.
        if !state.is_present(held) {
            return;
        }
        let before = state.trust;
        state.trust.heard(heard, self.clock.uptime());
        if state.trust != before {
            self.proven.notify_waiters();
        }
        if state.trust.is_stopped() && !before.is_stopped() {
            tracing::warn!(
                credential = self.name,
                refusals = state.trust.refusals(),
                "signatures are refused; nothing is signed for five minutes, so that the key is not locked for longer"
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

    /// The time to sign with for `host`.
    pub fn time_at(&self, host: &str, now: Timestamp) -> Timestamp {
        self.state().clocks.time_at(host, now)
    }
}
