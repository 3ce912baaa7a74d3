//! Proxies of the environment: events do not go through them.

use tokio_util::task::TaskTracker;

use crate::harness::receiver::Receiver;
use crate::program::process::{Folder, PATIENCE, Process, Simulator};

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_ignore_the_proxies_of_the_environment() {
    let tracker = TaskTracker::new();
    let (receiver, proxy) = (
        Receiver::start(&tracker).await,
        Receiver::start(&tracker).await,
    );
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let hook = receiver.url();
    let more = format!(
        "[sinks.hook]\nkind = \"webhook\"\nurl = \"{hook}\"\n\
         [[watches]]\nservice = \"dcs\"\njob_id = \"1\"\n"
    );
    let config = folder.configure(&simulator.url, &more);
    let url = proxy.url().trim_end_matches("/hook");
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    let environment = names.map(|name| (name, url));
    let _daemon = Process::start_with(&["run", "--config", &config], &environment);
    let arrived = tokio::time::timeout(PATIENCE, receiver.first())
        .await
        .unwrap();
    assert_eq!(arrived.kind(), "watch.accepted");
    assert!(proxy.received().is_empty());
}
