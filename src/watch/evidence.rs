//! The evidence of an outcome: the answer that proved it, kept as long as the watch.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::watch::observation::{Job, Proof};

/// The most bytes of a body that are kept.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// The answer that proved an outcome. For an outcome that no answer proves, the last answer and
/// the last sighting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The time of the poll.
    pub observed_at: Timestamp,
    /// The HTTP status; `None` without an answer.
    pub http_status: Option<u16>,
    /// The beginning of the body without secrets; `None` without an answer.
    pub body: Option<String>,
    /// True if the body goes on after the part that is kept.
    pub truncated: bool,
    /// The selectors of the status, if they decided.
    pub selector: Option<String>,
    /// The rule or the entry of `[states]` that decided.
    pub rule: Option<String>,
    /// True if the body was not valid and was read leniently.
    pub lenient: bool,
    /// The job at the last sighting that made an event, if the answer does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sighting: Option<Job>,
}

impl Evidence {
    /// Makes the evidence of an answer. Secrets must have been removed from `body`; its
    /// beginning is kept. `is_cut` says that the body was longer already.
    pub fn of(observed_at: Timestamp, http_status: u16, body: &[u8], is_cut: bool) -> Self {
        let kept = &body[..body.len().min(BODY_BYTES_MAX)];
        Self {
            http_status: Some(http_status),
            body: Some(text_of(kept, kept.len() < body.len())),
            truncated: is_cut || kept.len() < body.len(),
            ..Self::without_answer(observed_at)
        }
    }

    /// Makes the evidence of a poll that got no answer.
    pub fn without_answer(observed_at: Timestamp) -> Self {
        Self {
            observed_at,
            http_status: None,
            body: None,
            truncated: false,
            selector: None,
            rule: None,
            lenient: false,
            last_sighting: None,
        }
    }

    /// Adds the entries of the definition that gave the state.
    #[must_use]
    pub fn proved_by(mut self, proof: &Proof) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.selector = text(&proof.selector);
        self.rule = text(&proof.rule);
        self.lenient = proof.is_lenient;
        self
    }

    /// Returns about how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, String::len)
    }
}

/// Returns the text of a body. Of one that was cut, a last character that is not whole is left
/// out.
fn text_of(kept: &[u8], is_cut: bool) -> String {
    let whole = match std::str::from_utf8(kept) {
        Err(error) if is_cut && error.error_len().is_none() => &kept[..error.valid_up_to()],
        _ => kept,
    };
    String::from_utf8_lossy(whole).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_of_a_large_body_is_kept() {
        let at = Timestamp::UNIX_EPOCH;
        let small = Evidence::of(at, 200, b"{}", false);
        assert_eq!(
            (small.body.as_deref(), small.truncated),
            (Some("{}"), false)
        );
        let large = format!("{}é", "x".repeat(BODY_BYTES_MAX - 1));
        let large = Evidence::of(at, 200, large.as_bytes(), false);
        assert_eq!(large.body.unwrap().len(), BODY_BYTES_MAX - 1);
        assert!(large.truncated);
        assert!(Evidence::of(at, 200, b"{", true).truncated);
    }
}
