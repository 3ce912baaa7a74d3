//! One HTTP POST of one event, and what the answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::outbound;
use crate::outbound::redaction::Redaction;
use crate::outbound::secret::Secret;
use crate::outbound::{egress, retry_after};
use crate::sink::body_format::BodyFormat;
use crate::sink::reloading::Reloading;
use crate::sink::signature::{Signer, timestamp_of};
use crate::sink::tls::Tls;
use crate::sink::{ATTEMPT_MAX, Attempt, AttemptResult, answer, reloading};
use crate::watch::delivery::Delivery;

/// How long one attempt may take; Standard Webhooks asks for 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long the body of an answer is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// From which length on a part of a path may be a secret by itself: shorter ones are words
/// that an answer may use.
const SECRET_SEGMENT_MIN: usize = 16;
const _: () = assert!(
    TIMEOUT.as_millis() + DRAIN_TIMEOUT.as_millis() <= ATTEMPT_MAX.as_millis(),
    "an attempt ends within its limit"
);
/// How much of an answer is read before the connection is closed instead of reused.
const DRAINED_BYTES_MAX: usize = 64 * 1024;

/// How events are posted, whatever the URL.
#[derive(Clone)]
pub struct DeliveryOptions {
    /// Their form.
    pub format: BodyFormat,
    /// The keys that sign, each as `whsec_…` or `whsk_…`.
    pub keys: Vec<Secret>,
    /// Headers with a secret.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Secrets that a template may name.
    pub values: BTreeMap<String, Secret>,
    /// Certificates.
    pub tls: Tls,
    /// Whether only public addresses may be connected to.
    pub only_public: bool,
}

/// Posts events with one set of options.
pub struct Sender {
    format: BodyFormat,
    only_public: bool,
    client: Reloading<reqwest::Client>,
    proofs: Reloading<Proofs>,
}

/// What is secret in a request.
#[derive(Clone)]
struct Proofs {
    signer: Option<Signer>,
    headers: HeaderMap,
    values: BTreeMap<String, SecretString>,
    redaction: Redaction,
}

impl DeliveryOptions {
    /// In the open: structured, unsigned, to any address.
    pub fn plain() -> Self {
        Self {
            format: BodyFormat::Structured,
            keys: Vec::new(),
            headers: Vec::new(),
            values: BTreeMap::new(),
            tls: Tls::default(),
            only_public: false,
        }
    }

    /// How events are posted, in a few words.
    pub(crate) fn in_words(&self) -> String {
        let signed = if self.keys.is_empty() {
            "not signed"
        } else {
            "signed"
        };
        let form = match self.format {
            BodyFormat::Structured => None,
            BodyFormat::Binary => Some("binary"),
            BodyFormat::Template { .. } => Some("by template"),
        };
        let address = self.only_public.then_some("public addresses only");
        let words = [Some(signed), form, address];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn secrets(&self) -> Vec<Secret> {
        let headers = self.headers.iter().map(|(_, secret)| secret);
        let all = self.keys.iter().chain(headers).chain(self.values.values());
        all.cloned().collect()
    }

    fn proofs(&self) -> Result<Proofs, String> {
        let read = |secret: &Secret| secret.read().map_err(|error| error.to_string());
        let keys: Vec<SecretString> = self.keys.iter().map(read).collect::<Result<_, _>>()?;
        let mut headers = HeaderMap::new();
        let mut shown = Vec::new();
        for (name, secret) in &self.headers {
            let text = read(secret)?;
            let mut value = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
                format!(
                    "{}: the value cannot stand in a header ({name})",
                    secret.place()
                )
            })?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
            // A receiver may repeat the token alone, without `Bearer` before it.
            let token = text.expose_secret().rsplit(' ').next();
            shown.extend(token.map(SecretString::from));
            shown.push(text);
        }
        let mut values = BTreeMap::new();
        for (name, secret) in &self.values {
            values.insert(name.clone(), read(secret)?);
        }
        let secrets = keys.iter().chain(&shown).chain(values.values());
        let redaction = Redaction::of(secrets.map(ExposeSecret::expose_secret));
        Ok(Proofs {
            signer: (!keys.is_empty())
                .then(|| Signer::new(&keys))
                .transpose()
                .map_err(|error| format!("the signing key {error}"))?,
            headers,
            values,
            redaction,
        })
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let client = outbound::client()
            .http1_only()
            // Receivers are ours to choose; a proxy of the environment is not, and it would
            // connect to addresses that nobody checked.
            .no_proxy()
            // An answer is not unpacked: it is read for its first bytes only.
            .no_gzip()
            .timeout(TIMEOUT);
        let client = if self.only_public {
            client.dns_resolver(egress::PublicOnly::of_the_system())
        } else {
            client
        };
        self.tls
            .equip(client)?
            .build()
            .map_err(|error| format!("cannot set up TLS: {}", outbound::innermost(&error)))
    }
}

impl Sender {
    /// A sender of this options.
    ///
    /// # Errors
    /// A file cannot be used, or TLS cannot be set up.
    pub fn new(options: &DeliveryOptions) -> Result<Self, String> {
        let (of_client, of_proofs) = (options.clone(), options.clone());
        Ok(Self {
            format: options.format.clone(),
            only_public: options.only_public,
            client: Reloading::new(reloading::files(options.tls.files()), move || {
                of_client.client()
            })?,
            proofs: Reloading::new(options.secrets(), move || of_proofs.proofs())?,
        })
    }

    /// Posts `delivery` to `url`.
    pub async fn post(&self, url: &Url, delivery: &Delivery, now: Timestamp) -> Attempt {
        // A resolver is not asked about an address that stands in the URL itself.
        if self.only_public
            && let Err(reason) = egress::check_literal(url)
        {
            return Attempt::of(AttemptResult::Never { reason });
        }
        let proofs = self.proofs.now();
        let formatted = match self.format.of(&delivery.body, &proofs.values) {
            Ok(formatted) => formatted,
            Err(reason) => return Attempt::of(AttemptResult::Never { reason }),
        };
        // The timestamp is the attempt's, not the event's: receivers refuse old ones.
        let timestamp = timestamp_of(now);
        let mut request = self
            .client
            .now()
            .post(url.clone())
            .headers(proofs.headers)
            .headers(formatted.headers)
            .header("webhook-id", delivery.event_id.to_string())
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signer) = &proofs.signer {
            let signature = signer.sign(delivery.event_id, timestamp, &formatted.body);
            request = request.header("webhook-signature", signature);
        }
        match request.body(formatted.body).send().await {
            Ok(mut response) => {
                let attempt = judge(response.status(), response.headers(), now);
                let bytes = read(&mut response).await;
                let parts = secret_parts(url);
                let parts = Redaction::of(parts.iter().map(String::as_str));
                let redaction = proofs.redaction.and(&parts);
                Attempt {
                    answer: answer::beginning(&bytes, &redaction),
                    ..attempt
                }
            }
            Err(error) => Attempt::of(AttemptResult::Failed {
                reason: outbound::in_words(&error),
                retry_after: None,
            }),
        }
    }
}

/// What of a URL is kept out of what is told: a chat's webhook is a secret by its path, a
/// workflow's by a value of its query. A receiver may repeat all of it or a part.
fn secret_parts(url: &Url) -> Vec<String> {
    let query = url.query().unwrap_or_default();
    let written = query.split('&').filter_map(|pair| pair.split_once('='));
    let whole = [url.path(), query].map(str::to_owned);
    let segments = url.path_segments().into_iter().flatten();
    whole
        .into_iter()
        .chain(written.map(|(_, value)| value.to_owned()))
        .chain(url.query_pairs().map(|(_, value)| value.into_owned()))
        .chain(
            segments
                .filter(|segment| segment.len() >= SECRET_SEGMENT_MIN)
                .map(str::to_owned),
        )
        .collect()
}

/// Reads the answer, so that the connection can serve the next event: so much and so long.
/// It is delivered, or not, whatever becomes of the body.
async fn read(response: &mut reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < DRAINED_BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            bytes.extend_from_slice(&chunk);
        }
    };
    // What came in time is kept.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
    bytes
}

fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Attempt {
    let result = if status.is_success() {
        AttemptResult::Delivered
    } else if status == StatusCode::GONE {
        AttemptResult::ReceiverGone
    } else {
        let obeys = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ]
        .contains(&status);
        let hint = if status.is_redirection() {
            "; redirects are not followed: give the URL that it leads to"
        } else {
            ""
        };
        AttemptResult::Failed {
            reason: format!("the receiver answered {status}{hint}"),
            retry_after: retry_after::read(headers, now).filter(|_| obeys),
        }
    };
    Attempt {
        http_status: Some(status.as_u16()),
        ..Attempt::of(result)
    }
}
