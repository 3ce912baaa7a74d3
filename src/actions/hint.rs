//! Hints: the word of another program that a job may have ended. The job is polled soon, and only
//! that poll decides, so a forged hint costs one poll.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::actions::Actions;
use crate::clock::until;
use crate::definition::answer::{Answer, Asked};
use crate::definition::selector::{Selectors, View};
use crate::outbound::secret::Secret;
use crate::sink::signature::Signer;
use crate::store::{PAGE_MAX, Query, StoreError};
use crate::suggest;
use crate::watch::State;

/// The longest time between the signing and the arrival of a hint.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// The settings of the hints about the jobs of one service.
#[derive(Clone)]
pub struct HintSource {
    job_id: Selectors,
    keys: Vec<Secret>,
}

/// The headers of a signed message (Standard Webhooks).
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    pub id: &'a str,
    /// The time of the signature, in seconds since 1970.
    pub timestamp: &'a str,
    pub signatures: &'a str,
}

/// The reason why a service takes no hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoHints {
    /// The service is unknown. The text suggests the nearest name, or is empty.
    UnknownService(String),
    /// The service has no `[services.NAME.hints]`.
    NotConfigured,
}

impl HintSource {
    /// Makes the settings: where a hint has the job id, and the keys that may have signed it.
    pub fn new(job_id: Selectors, keys: Vec<Secret>) -> Self {
        Self { job_id, keys }
    }

    /// True if a hint may be signed.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Returns the selectors of the job id as they were written.
    pub fn selectors(&self) -> String {
        self.job_id.sources()
    }

    /// Returns the job id that a hint names; `None` if it names none.
    pub fn job_id_in(&self, hint: &Value) -> Option<String> {
        let headers = HeaderMap::new();
        let answer = Answer {
            http_status: 200,
            headers: &headers,
            body: &[],
            is_cut: false,
        };
        self.job_id.first_text(View {
            root: hint,
            answer: &answer,
            asked: &Asked::any(),
            status: None,
        })
    }

    /// Checks the signature of a message that arrives at `now`.
    ///
    /// # Errors
    /// Returns the rule that the message breaks.
    pub fn check(&self, signed: Signed<'_>, body: &[u8], now: Timestamp) -> Result<(), String> {
        let sent_at = signed.timestamp.parse().ok();
        let sent_at = sent_at.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let sent_at = sent_at.ok_or("`webhook-timestamp` must be a time in seconds since 1970")?;
        if until(sent_at, now).max(until(now, sent_at)) > TOLERANCE {
            return Err(format!(
                "the message was signed at {sent_at:.0}, more than 5 minutes from now ({now:.0}); sign it anew and check both clocks"
            ));
        }
        let keys: Vec<_> = self.keys.iter().map(Secret::read).collect();
        let keys: Result<Vec<_>, _> = keys.into_iter().collect();
        let keys = keys.map_err(|error| format!("the daemon cannot check signatures: {error}"))?;
        let keys = Signer::new(&keys)
            .map_err(|error| format!("the daemon cannot check signatures: secret_file {error}"))?;
        let Signed { id, timestamp, .. } = signed;
        if keys.verifies(id, timestamp, body, signed.signatures) {
            Ok(())
        } else {
            Err("`webhook-signature` has no valid signature of this message; sign it with the secret of [services.NAME.hints]".to_owned())
        }
    }
}

impl Actions {
    /// Returns the settings of the hints about jobs of `service`.
    ///
    /// # Errors
    /// The service takes no hints.
    pub fn hint_source(&self, service: &str) -> Result<&HintSource, NoHints> {
        if let Some(source) = self.parts.hints.get(service) {
            return Ok(source);
        }
        let services = &self.parts.services;
        Err(if services.get(service).is_some() {
            NoHints::NotConfigured
        } else {
            NoHints::UnknownService(suggest::did_you_mean(service, services.names()))
        })
    }

    /// Makes the polls of all watches of a job due soon, and returns the number of those watches.
    ///
    /// # Errors
    /// The store failed.
    pub async fn hint(&self, service: &str, job_id: &str) -> Result<usize, StoreError> {
        let query = Query {
            states: vec![State::Watching],
            service: Some(service.to_owned()),
            job_id: Some(job_id.to_owned()),
            limit: PAGE_MAX,
            ..Query::default()
        };
        let page = self.parts.store.full_page(query).await?;
        let (here, elsewhere): (Vec<_>, Vec<_>) = page
            .watches
            .iter()
            .partition(|watch| self.parts.poller.poll_soon(watch.id));
        if !here.is_empty() {
            self.parts.wake.wake();
        }
        let mut polled = here.len();
        for watch in elsewhere {
            polled += usize::from(self.parts.store.request_poll(watch.id).await?);
        }
        Ok(polled)
    }
}

/// The settings of the hints of all services that take some, by name.
pub type HintSources = BTreeMap<String, HintSource>;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::clock::later;
    use crate::definition::selector::Selector;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn source(selector: &str) -> HintSource {
        let selectors = Selectors::new(vec![Selector::compile(selector).unwrap()]).unwrap();
        HintSource::new(selectors, vec![Secret::Text(KEY.into())])
    }

    #[test]
    fn the_job_id_is_found_in_any_json() {
        let event = json!({"specversion": "1.0", "data": {"job": {"id": "ff80", "n": 7}}});
        let found = |selector: &str| source(selector).job_id_in(&event);
        assert_eq!(found("$.data.job.id").as_deref(), Some("ff80"));
        assert_eq!(found("$.data.job.n").as_deref(), Some("7"));
        assert_eq!(found("$.data.job.name"), None);
        assert_eq!(found("$.data.job"), None, "not a scalar");
    }

    #[test]
    fn a_signature_counts_for_its_message_and_five_minutes() {
        let (source, now) = (source("$.id"), Timestamp::UNIX_EPOCH);
        let now = later(now, Duration::from_hours(1));
        let id = Uuid::nil();
        let key = Signer::new(&[KEY.into()]).unwrap();
        let check = |sent_at: i64, body: &[u8], now| {
            let signatures = key.sign(id, sent_at, b"{}");
            let signed = Signed {
                id: &id.to_string(),
                timestamp: &sent_at.to_string(),
                signatures: &signatures,
            };
            source.check(signed, body, now)
        };
        let at = now.as_second();
        assert_eq!(check(at, b"{}", now), Ok(()));
        assert_eq!(check(at - 300, b"{}", now), Ok(()));
        assert_eq!(check(at + 300, b"{}", now), Ok(()));
        for sent_at in [at - 301, at + 301, i64::MAX] {
            assert!(check(sent_at, b"{}", now).is_err(), "{sent_at}");
        }
        assert!(check(at, b"{ }", now).is_err(), "another body");
        let unsigned = Signed {
            id: "1",
            timestamp: "soon",
            signatures: "",
        };
        assert!(source.check(unsigned, b"{}", now).is_err());
    }
}
