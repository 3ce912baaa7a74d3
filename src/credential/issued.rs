//! What a credential has at a time: one secret, what it is good for, and until when.

use bytes::Bytes;

use crate::credential::lease::Lease;
use crate::credential::request_auth::RequestAuth;
use crate::credential::scope::Scope;
use crate::outbound::redaction::Redaction;

/// Names one generation of a secret, so that a refusal can be matched with what was sent:
/// of a thousand polls refused together, only the first makes a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// What a credential has at a time; polls in flight keep the one they were sent with.
pub struct IssuedSecret {
    /// Which secret this is.
    pub generation: Generation,
    /// What it is good for.
    pub scope: Scope,
    /// How long it holds; `None` is until it is refused.
    pub lease: Option<Lease>,
    pub(super) auth: RequestAuth,
    pub(super) redaction: Redaction,
}

impl IssuedSecret {
    /// An answer's body without the secrets that were sent for it.
    pub fn redacted(&self, body: Bytes) -> Bytes {
        self.redaction.body(body)
    }

    /// Whether requests are signed with it, instead of carrying it.
    pub fn signs(&self) -> bool {
        matches!(self.auth, RequestAuth::Key(_))
    }
}
