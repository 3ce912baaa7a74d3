//! Webhooks: the request, its signature, and the stored part of the answer.

use std::path::Path;

use jobwatch::outbound::secret::Secret;
use jobwatch::sink::body_format::BodyFormat;
use jobwatch::sink::kinds::webhook::Webhook;
use jobwatch::sink::post::DeliveryOptions;
use jobwatch::sink::signature::Signer;
use jobwatch::sink::{ANSWER_BYTES_MAX, AttemptResult, Sink};
use secrecy::SecretString;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::harness::WEBHOOK_SECRET;
use crate::harness::receiver::{Receiver, Reply};
use crate::sinks::{failed, failure, now, refusal};

/// An Ed25519 private key from the tests of the Svix server.
const PRIVATE_KEY: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// More than is stored of an answer, and more than is read.
static LARGE: [u8; 100_000] = [b'x'; 100_000];

fn secret(folder: &Path, name: &str, content: &str) -> Secret {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    Secret::File(file)
}

fn webhook(url: &str, options: &DeliveryOptions) -> Webhook {
    Webhook::new(url.parse().unwrap(), options).unwrap()
}

fn proves(key: &str, arrived: &crate::harness::receiver::Received) -> bool {
    let signer = Signer::new(&[SecretString::from(key)]).unwrap();
    signer.verifies(
        arrived.id(),
        arrived.header("webhook-timestamp"),
        &arrived.bytes,
        arrived.header("webhook-signature"),
    )
}

#[tokio::test]
async fn binary_mode_signs_the_data_it_sends() {
    let receiver = Receiver::start(&TaskTracker::new()).await;
    let options = DeliveryOptions {
        format: BodyFormat::Binary,
        keys: vec![Secret::Text(WEBHOOK_SECRET.into())],
        ..DeliveryOptions::plain()
    };
    let delivery = failed();
    let attempt = webhook(receiver.url(), &options)
        .deliver(&delivery, now())
        .await;
    assert_eq!(attempt.result, AttemptResult::Delivered);
    let arrived = receiver.first().await;
    let event: Value = serde_json::from_str(&delivery.body).unwrap();
    assert_eq!(arrived.body, event["data"]);
    assert_eq!(arrived.header("content-type"), "application/json");
    for (name, header) in [
        ("id", "ce-id"),
        ("type", "ce-type"),
        ("subject", "ce-subject"),
    ] {
        assert_eq!(arrived.header(header), event[name].as_str().unwrap());
    }
    assert_eq!(arrived.header("ce-specversion"), "1.0");
    assert_eq!(arrived.id(), arrived.header("ce-id"));
    assert!(arrived.is_genuine());
}

#[tokio::test]
async fn keys_and_headers_are_read_again_when_their_files_change() {
    let receiver = Receiver::start(&TaskTracker::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &str| secret(folder.path(), name, content);
    let options = DeliveryOptions {
        keys: vec![put("key", WEBHOOK_SECRET), put("old", PRIVATE_KEY)],
        headers: vec![(
            http::header::AUTHORIZATION,
            put("authorization", "Bearer first\n"),
        )],
        ..DeliveryOptions::plain()
    };
    let sink = webhook(receiver.url(), &options);
    sink.deliver(&failed(), now()).await;
    put("authorization", "Bearer the-second");
    put("key", OTHER_SECRET);
    sink.deliver(&failed(), now()).await;
    // A half-written file: the previous keys stay in use.
    put("key", "whsec_");
    sink.deliver(&failed(), now()).await;
    let arrived = receiver.received();
    let authorizations = arrived.iter().map(|one| one.header("authorization"));
    assert_eq!(
        authorizations.collect::<Vec<_>>(),
        ["Bearer first", "Bearer the-second", "Bearer the-second"]
    );
    for (n, key) in [WEBHOOK_SECRET, OTHER_SECRET, OTHER_SECRET]
        .iter()
        .enumerate()
    {
        assert!(proves(key, &arrived[n]), "the shared secret of attempt {n}");
        assert!(proves(PRIVATE_KEY, &arrived[n]), "the key pair");
    }
    assert!(!proves(WEBHOOK_SECRET, &arrived[1]));
}

#[tokio::test]
async fn the_start_of_an_answer_is_kept_without_secrets() {
    let receiver = Receiver::start(&TaskTracker::new()).await;
    let options = DeliveryOptions {
        headers: vec![(
            http::HeaderName::from_static("x-api-key"),
            Secret::Text("canary-of-the-header".into()),
        )],
        ..DeliveryOptions::plain()
    };
    let url = receiver.url().replace("/hook", "/canary-of-the-path");
    let sink = webhook(&url, &options);
    receiver.answers([
        Reply::Body(
            400,
            b"key canary-of-the-header\r\n\x1b[2Jat /canary-of-the-path \xff",
        ),
        Reply::Body(500, &LARGE),
        Reply::Body(204, b""),
        Reply::Body(
            403,
            b"token canary-of-the-bearer, sig=canary/of the+query, canary%2Fof%20the%2Bquery, canary-of-the-segment",
        ),
    ]);
    let attempt = sink.deliver(&failed(), now()).await;
    assert_eq!(attempt.http_status, Some(400));
    let kept = attempt.answer.unwrap();
    assert_eq!(kept, "key [REDACTED]   [2Jat [REDACTED] \u{fffd}");
    let kept = sink.deliver(&failed(), now()).await.answer.unwrap();
    assert_eq!(kept.len(), ANSWER_BYTES_MAX);
    let attempt = sink.deliver(&failed(), now()).await;
    assert_eq!(
        (attempt.result, attempt.answer),
        (AttemptResult::Delivered, None)
    );
    let options = DeliveryOptions {
        headers: vec![(
            http::header::AUTHORIZATION,
            Secret::Text("Bearer canary-of-the-bearer".into()),
        )],
        ..DeliveryOptions::plain()
    };
    let secret = "/services/canary-of-the-segment?v=1&sig=canary%2Fof%20the%2Bquery";
    let url = receiver.url().replace("/hook", secret);
    let kept = webhook(&url, &options).deliver(&failed(), now()).await;
    assert_eq!(
        kept.answer.unwrap(),
        "token [REDACTED], sig=[REDACTED], [REDACTED], [REDACTED]"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    let other = Receiver::start(&tracker).await;
    receiver.answers([Reply::Elsewhere(other.url().to_owned().leak())]);
    let reason = failure(
        &webhook(receiver.url(), &DeliveryOptions::plain()),
        &failed(),
    )
    .await;
    assert!(reason.contains("307"), "{reason}");
    assert!(reason.contains("redirects are not followed"), "{reason}");
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn deny_private_refuses_private_addresses() {
    let receiver = Receiver::start(&TaskTracker::new()).await;
    let options = DeliveryOptions {
        only_public: true,
        ..DeliveryOptions::plain()
    };
    let literal = webhook(receiver.url(), &options);
    let reason = refusal(&literal, &failed()).await;
    assert!(
        reason.contains("127.0.0.1, which is not a public address"),
        "{reason}"
    );
    let name = receiver.url().replace("127.0.0.1", "localhost");
    let reason = failure(&webhook(&name, &options), &failed()).await;
    assert!(reason.contains("localhost leads to"), "{reason}");
    assert!(receiver.received().is_empty());
    webhook(receiver.url(), &DeliveryOptions::plain())
        .deliver(&failed(), now())
        .await;
    assert_eq!(receiver.received().len(), 1, "else an internal URL is fine");
}
