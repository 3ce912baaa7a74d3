//! Callbacks: the URL of a watch is checked again before each delivery.

use jobwatch::outbound::egress::Hosts;
use jobwatch::outbound::secret::Secret;
use jobwatch::sink::callback::Callback;
use jobwatch::sink::post::DeliveryOptions;
use jobwatch::sink::tls::Tls;
use jobwatch::sink::{AttemptResult, Sink};
use jobwatch::watch::delivery::{Delivery, Target};
use tokio_util::task::TaskTracker;

use crate::harness::WEBHOOK_SECRET;
use crate::harness::receiver::{Receiver, Reply};
use crate::harness::tls::{Authority, server};
use crate::sinks::{failed, failure, now, refusal};

fn to(url: &str) -> Delivery {
    Delivery {
        target: Some(Target(url.to_owned())),
        ..failed()
    }
}

fn callback(host: &str, options: &DeliveryOptions) -> Callback {
    let hosts = Hosts::parse(&[host.to_owned()]).unwrap();
    Callback::new(hosts, options).unwrap()
}

#[tokio::test]
async fn a_listed_host_gets_signed_events_and_its_410_counts_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let config = server(&authority.identity("localhost"), None);
    let receiver = Receiver::start_tls(&TaskTracker::new(), config).await;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    // The program connects to public addresses only; a test has none.
    let options = DeliveryOptions {
        keys: vec![Secret::Text(WEBHOOK_SECRET.into())],
        tls: Tls {
            ca: Some(ca),
            client: None,
        },
        ..DeliveryOptions::plain()
    };
    let sink = callback("localhost", &options);
    let delivery = to(receiver.url());
    assert_eq!(
        sink.deliver(&delivery, now()).await.result,
        AttemptResult::Delivered
    );
    assert!(receiver.first().await.is_genuine());
    receiver.answers([Reply::Status(410)]);
    assert!(refusal(&sink, &delivery).await.contains("410"));
}

#[tokio::test]
async fn a_url_no_longer_allowed_gets_nothing() {
    let sink = callback("hooks.example.com", &DeliveryOptions::plain());
    for (url, said) in [
        ("https://other.example.com/hunter2", "does not list"),
        ("http://hooks.example.com/hunter2", "https://"),
        ("https://127.1/hunter2", "not a public address"),
        ("nonsense hunter2", "must be a URL"),
    ] {
        let reason = refusal(&sink, &to(url)).await;
        assert!(
            reason.contains(said) && !reason.contains("hunter2"),
            "{reason}"
        );
    }
    assert!(refusal(&sink, &failed()).await.contains("no callback_url"));
}

#[tokio::test]
async fn a_listed_name_with_a_private_address_is_not_connected() {
    let authority = Authority::new();
    let config = server(&authority.identity("localhost"), None);
    let receiver = Receiver::start_tls(&TaskTracker::new(), config).await;
    let options = DeliveryOptions {
        only_public: true,
        ..DeliveryOptions::plain()
    };
    let sink = callback("localhost", &options);
    let reason = failure(&sink, &to(receiver.url())).await;
    assert!(reason.contains("localhost leads to"), "{reason}");
    assert!(receiver.received().is_empty());
}
