//! The state of a credential, for people: when its secret expires, and why there is none.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Moment, later};
use crate::credential::lease::Failing;
use crate::credential::signing_gate::SigningGate;
use crate::credential::{Generation, IssueError, IssuedSecret};

/// The state of a credential now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialStatus {
    /// The word for its kind in the configuration.
    pub kind: &'static str,
    /// The time at which the present secret must not be used any more; `None` without a secret, or
    /// for one that has no end.
    pub expires_at: Option<Timestamp>,
    /// The present secret, to compare it with a refused one; `None` before the first.
    pub generation: Option<Generation>,
    /// The reason of a failed renewal, or of a secret that is not used.
    pub trouble: Option<Trouble>,
}

/// The reason why a credential does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// True if a person has to change something; false if it may pass by itself.
    pub is_refused: bool,
    /// The reason in words, without a secret.
    pub reason: String,
    /// The time of the next attempt; `None` if it comes with the next poll.
    pub again_at: Option<Timestamp>,
}

impl CredentialStatus {
    pub(super) fn of(
        kind: &'static str,
        issued: Option<&IssuedSecret>,
        trouble: Option<Trouble>,
    ) -> Self {
        Self {
            kind,
            expires_at: issued.and_then(|it| it.lease).map(|lease| lease.until),
            generation: issued.map(|issued| issued.generation),
            trouble,
        }
    }
}

impl Trouble {
    /// Returns the trouble of a credential whose signatures may be refused, and whose issuer may
    /// have failed; the uptime is that of the next attempt.
    pub(super) fn of(
        gate: &SigningGate,
        failure: Option<(&IssueError, Duration)>,
        now: Moment,
    ) -> Option<Self> {
        let after = |left: Duration| (!left.is_zero()).then(|| later(now.at, left));
        if let Some(left) = gate.stopped_for(now.uptime) {
            return Some(Self {
                is_refused: true,
                reason: format!("{} signatures in a row were refused", gate.refusals()),
                again_at: after(left),
            });
        }
        let (error, again_at) = failure?;
        Some(Self {
            is_refused: error.failing == Failing::Refused,
            reason: error.to_string(),
            again_at: after(again_at.saturating_sub(now.uptime)),
        })
    }
}
