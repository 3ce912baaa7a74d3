//! Sends one event by HTTP POST and interprets the answer.

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
use crate::sink::{ATTEMPT_MAX, Attempt, AttemptResult, answer, reach, reloading};
use crate::watch::delivery::Delivery;

/// The time limit of one attempt; Standard Webhooks recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for the body of an answer.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The length in bytes from which a part of a path counts as a secret. Shorter parts are words
/// that an answer may contain by chance.
const SECRET_SEGMENT_MIN: usize = 16;
const _: () = assert!(
    TIMEOUT.as_millis() + DRAIN_TIMEOUT.as_millis() <= ATTEMPT_MAX.as_millis(),
    "an attempt ends within its limit"
);
/// The largest body that is read so that the connection can be reused. With a larger one the
/// connection is closed.
const DRAINED_BYTES_MAX: usize = 64 * 1024;

/// The options for posting events, independent of the URL.
#[derive(Clone)]
pub struct DeliveryOptions {
    /// The form of the body.
    pub format: BodyFormat,
    /// The signing keys, each as `whsec_…` or `whsk_…`.
    pub keys: Vec<Secret>,
    /// Headers that each carry a secret.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Secrets that a template may use, by name.
    pub values: BTreeMap<String, Secret>,
    pub tls: Tls,
    /// True if only public addresses may be connected to.
    pub only_public: bool,
}

/// Posts events with one set of options.
pub struct Sender {
    format: BodyFormat,
    only_public: bool,
    client: Reloading<reqwest::Client>,
    secrets: Reloading<RequestSecrets>,
}

/// The secrets of a request, and their redaction from its answer.
#[derive(Clone)]
struct RequestSecrets {
    signer: Option<Signer>,
    headers: HeaderMap,
    values: BTreeMap<String, SecretString>,
    redaction: Redaction,
}

impl DeliveryOptions {
    /// Returns options without secrets: structured, unsigned, to any address.
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

    /// Describes the options in a few words.
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

    fn request_secrets(&self) -> Result<RequestSecrets, String> {
        let read = |secret: &Secret| secret.read().map_err(|error| error.to_string());
        let keys: Vec<SecretString> = self.keys.iter().map(read).collect::<Result<_, _>>()?;
        let mut headers = HeaderMap::new();
        let mut shown = Vec::new();
        for (name, secret) in &self.headers {
            let text = read(secret)?;
            let mut value = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
                format!(
                    "{}: the value is not allowed in a header ({name})",
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
        Ok(RequestSecrets {
            signer: (!keys.is_empty())
                .then(|| Signer::new(&keys))
                .transpose()
                .map_err(|error| format!("the signing key {error}"))?,
            headers,
            values,
            redaction,
        })
    }

    /// Connects to the receiver as a delivery does, and sends nothing.
    ///
    /// # Errors
    /// Says why it cannot be reached.
    pub async fn reach(&self, url: &Url) -> Result<(), String> {
        if self.only_public {
            egress::check_literal(url)?;
        }
        reach::connect(self.builder()?, url).await
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let client = self.builder()?.build();
        client.map_err(|error| format!("cannot set up TLS: {}", outbound::innermost(&error)))
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder, String> {
        let client = outbound::client()
            .http1_only()
            // The proxy of the environment is not used: it would connect to addresses that
            // jobwatch has not checked.
            .no_proxy()
            // The answer is not decompressed: only its first bytes are kept.
            .no_gzip()
            .timeout(TIMEOUT);
        let client = if self.only_public {
            client.dns_resolver(egress::PublicOnly::of_the_system())
        } else {
            client
        };
        self.tls.equip(client)
    }
}

impl Sender {
    /// Makes a sender with these options.
    ///
    /// # Errors
    /// A file cannot be used, or TLS cannot be set up.
    pub fn new(options: &DeliveryOptions) -> Result<Self, String> {
        let (for_client, for_secrets) = (options.clone(), options.clone());
        Ok(Self {
            format: options.format.clone(),
            only_public: options.only_public,
            client: Reloading::new(reloading::files(options.tls.files()), move || {
                for_client.client()
            })?,
            secrets: Reloading::new(options.secrets(), move || for_secrets.request_secrets())?,
        })
    }

    pub async fn post(&self, url: &Url, delivery: &Delivery, now: Timestamp) -> Attempt {
        // The resolver never sees an address that is written in the URL itself.
        if self.only_public
            && let Err(reason) = egress::check_literal(url)
        {
            return Attempt::of(AttemptResult::Never { reason });
        }
        let secrets = self.secrets.now();
        let formatted = match self.format.of(&delivery.body, &secrets.values) {
            Ok(formatted) => formatted,
            Err(reason) => return Attempt::of(AttemptResult::Never { reason }),
        };
        // The time of the attempt, not of the event: receivers refuse old timestamps.
        let timestamp = timestamp_of(now);
        let mut request = self
            .client
            .now()
            .post(url.clone())
            .headers(secrets.headers)
            .headers(formatted.headers)
            .header("webhook-id", delivery.event_id.to_string())
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signer) = &secrets.signer {
            let signature = signer.sign(delivery.event_id, timestamp, &formatted.body);
            request = request.header("webhook-signature", signature);
        }
        match request.body(formatted.body).send().await {
            Ok(mut response) => {
                let attempt = judge(response.status(), response.headers(), now);
                let bytes = read(&mut response).await;
                let parts = secret_parts(url);
                let parts = Redaction::of(parts.iter().map(String::as_str));
                let redaction = secrets.redaction.and(&parts);
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

/// Returns the parts of a URL that are removed from answers. The path of a chat's webhook is
/// a secret, and so is a value in the query of a workflow's. A receiver may repeat all of it
/// or a part.
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

/// Reads the body of the answer within limits of size and time, so that the connection can
/// serve the next event. The status alone decides whether the event is delivered.
async fn read(response: &mut reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() < DRAINED_BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            bytes.extend_from_slice(&chunk);
        }
    };
    // After a timeout, the bytes read so far are kept.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
    bytes
}

fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Attempt {
    let result = if status.is_success() {
        AttemptResult::Delivered
    } else if status == StatusCode::GONE {
        AttemptResult::ReceiverGone
    } else {
        let may_delay = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ]
        .contains(&status);
        let advice = if status.is_redirection() {
            "; redirects are not followed: configure the final URL"
        } else {
            ""
        };
        AttemptResult::Failed {
            reason: format!("the receiver answered {status}{advice}"),
            retry_after: retry_after::read(headers, now).filter(|_| may_delay),
        }
    };
    Attempt {
        http_status: Some(status.as_u16()),
        ..Attempt::of(result)
    }
}
