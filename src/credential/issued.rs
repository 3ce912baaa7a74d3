//! One secret as issued, with its scope and its lifetime.

use bytes::Bytes;

use crate::credential::lease::Lease;
use crate::credential::request_auth::RequestAuth;
use crate::credential::scope::Scope;
use crate::outbound::redaction::Redaction;

/// Names one generation of a secret, so that a refusal can be matched with the secret that
/// was sent: of a thousand polls refused together, only the first starts a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// One issued secret; polls in flight keep the one they were sent with.
pub struct IssuedSecret {
    pub generation: Generation,
    /// The user, project and services that the secret is for.
    pub scope: Scope,
    /// The time until which it can be used; `None` means until it is refused.
    pub lease: Option<Lease>,
    pub(super) auth: RequestAuth,
    pub(super) redaction: Redaction,
}

impl IssuedSecret {
    /// Returns an answer's body without the secrets that were sent for it.
    pub fn redacted(&self, body: Bytes) -> Bytes {
        self.redaction.body(body)
    }

    /// True if requests are signed with it and do not carry it.
    pub fn signs(&self) -> bool {
        matches!(self.auth, RequestAuth::Key(_))
    }
}
