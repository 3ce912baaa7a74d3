//! Certificates: the receiver's is always checked, and ours is sent on request.

use std::path::{Path, PathBuf};

use jobwatch::sink::kinds::webhook::Webhook;
use jobwatch::sink::post::DeliveryOptions;
use jobwatch::sink::tls::Tls;
use jobwatch::sink::{AttemptResult, Sink};
use tokio_util::task::TaskTracker;

use crate::harness::receiver::Receiver;
use crate::harness::tls::{Authority, Identity, server};
use crate::sinks::{failed, failure, now};

fn put(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    file
}

fn client(folder: &Path, identity: &Identity) -> (PathBuf, PathBuf) {
    (
        put(folder, "client.pem", &identity.certificate_pem()),
        put(folder, "client-key.pem", &identity.key_pem()),
    )
}

fn webhook(receiver: &Receiver, tls: Tls) -> Webhook {
    let options = DeliveryOptions {
        tls,
        ..DeliveryOptions::plain()
    };
    Webhook::new(receiver.url().parse().unwrap(), &options).unwrap()
}

#[tokio::test]
async fn only_the_ca_of_the_sink_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, another) = (Authority::new(), Authority::new());
    let config = server(&ours.identity("localhost"), None);
    let receiver = Receiver::start_tls(&TaskTracker::new(), config).await;
    let trusting = |authority: &Authority| Tls {
        ca: Some(put(folder.path(), "ca.pem", &authority.pem())),
        client: None,
    };
    let reason = failure(&webhook(&receiver, trusting(&another)), &failed()).await;
    assert!(reason.contains("certificate"), "{reason}");
    let sink = webhook(&receiver, Tls::default());
    let reason = failure(&sink, &failed()).await;
    assert!(reason.contains("certificate"), "by the system's: {reason}");
    assert!(reason.contains("in ca_file"), "{reason}");
    assert!(receiver.received().is_empty());
    let sink = webhook(&receiver, trusting(&ours));
    assert_eq!(
        sink.deliver(&failed(), now()).await.result,
        AttemptResult::Delivered
    );
}

#[tokio::test]
async fn a_certificate_with_another_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let config = server(&authority.identity("hooks.example.com"), None);
    let receiver = Receiver::start_tls(&TaskTracker::new(), config).await;
    let tls = Tls {
        ca: Some(put(folder.path(), "ca.pem", &authority.pem())),
        client: None,
    };
    let reason = failure(&webhook(&receiver, tls), &failed()).await;
    assert!(reason.contains("certificate"), "{reason}");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn client_certificate_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (clients, others) = (Authority::new(), Authority::new());
    let config = server(&authority.identity("localhost"), Some(&clients));
    let receiver = Receiver::start_tls(&TaskTracker::new(), config).await;
    let ca = || Some(put(folder.path(), "ca.pem", &authority.pem()));
    let without = webhook(
        &receiver,
        Tls {
            ca: ca(),
            client: None,
        },
    );
    failure(&without, &failed()).await;
    let wrong = Some(client(folder.path(), &others.identity("jobwatch")));
    let sink = webhook(
        &receiver,
        Tls {
            ca: ca(),
            client: wrong,
        },
    );
    failure(&sink, &failed()).await;
    assert!(receiver.received().is_empty());
    client(folder.path(), &clients.identity("jobwatch.example.com"));
    assert_eq!(
        sink.deliver(&failed(), now()).await.result,
        AttemptResult::Delivered
    );
}
