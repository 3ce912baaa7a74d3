//! Events by HTTP POST: structured `CloudEvents`, signed as Standard Webhooks.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header;
use jiff::Timestamp;

use crate::outbound;
use crate::outbound::retry_after;
use crate::sink::Attempt;
use crate::sink::Parcel;
use crate::sink::Sink;
use crate::sink::Verdict;
use crate::sink::signature::Signer;
use crate::sink::signature::timestamp_of;

/// How long one attempt may take; Standard Webhooks asks for 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long the body of an answer is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How many attempts one receiver sees at once.
const CONCURRENCY: usize = 8;
/// How much of an answer is read before the connection is closed instead of reused.
const DRAINED_BYTES_MAX: usize = 64 * 1024;

/// Posts events to one URL.
pub struct Webhook {
    client: reqwest::Client,
    url: reqwest::Url,
    signer: Option<Signer>,
}

impl Webhook {
    /// A webhook to `url`, signed when there is a signer.
    ///
    /// # Errors
    /// The TLS set-up failed; most often because the system has no CA certificates.
    pub fn new(url: reqwest::Url, signer: Option<Signer>) -> Result<Self, reqwest::Error> {
        let client = outbound::client()
            .http1_only()
            // Receivers are ours to choose; a proxy of the environment is not.
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self {
            client,
            url,
            signer,
        })
    }

    fn request(&self, parcel: &Parcel, now: Timestamp) -> reqwest::RequestBuilder {
        // The timestamp is the attempt's, not the event's: receivers refuse old ones.
        let timestamp = timestamp_of(now);
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/cloudevents+json")
            .header("webhook-id", parcel.event_id.to_string())
            .header("webhook-timestamp", timestamp.to_string());
        let request = match &self.signer {
            Some(signer) => request.header(
                "webhook-signature",
                signer.sign(parcel.event_id, timestamp, parcel.body.as_bytes()),
            ),
            None => request,
        };
        request.body(parcel.body.clone())
    }
}

#[async_trait]
impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Attempt {
        match self.request(parcel, now).send().await {
            Ok(mut response) => {
                let attempt = judge(response.status(), response.headers(), now);
                // It is delivered, or not, whatever becomes of the body.
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain(&mut response)).await;
                attempt
            }
            Err(error) => Attempt::of(Verdict::Failed {
                reason: outbound::in_words(&error),
                retry_after: None,
            }),
        }
    }
}

/// Reads the answer so that the connection can serve the next event.
async fn drain(response: &mut reqwest::Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > DRAINED_BYTES_MAX {
            return;
        }
    }
}

fn judge(status: StatusCode, headers: &http::HeaderMap, now: Timestamp) -> Attempt {
    let verdict = if status.is_success() {
        Verdict::Delivered
    } else if status == StatusCode::GONE {
        Verdict::Gone
    } else {
        let obeys = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ]
        .contains(&status);
        Verdict::Failed {
            reason: format!("the receiver answered {status}"),
            retry_after: retry_after::read(headers, now).filter(|_| obeys),
        }
    };
    Attempt {
        http_status: Some(status.as_u16()),
        ..Attempt::of(verdict)
    }
}
