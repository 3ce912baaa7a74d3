//! Proxies: events do not go through those of the environment, and those of services are shown
//! without their password.

use tokio_util::task::TaskTracker;

use crate::harness::receiver::Receiver;
use crate::program::process::{Folder, PATIENCE, Process, Simulator, run, stderr, stdout};

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

#[test]
fn check_shows_proxies_and_credentials_without_secrets() {
    let folder = Folder::new();
    folder.write("client", "canary-of-the-client");
    let service = |name: &str, more: &str| {
        format!(
            "[services.{name}]\ndefinition = \"dcs\"\nurl = \"https://{name}.example.com\"\n\
             credential = \"sso\"\nparams = {{ project_id = \"p\" }}\n{more}\n"
        )
    };
    let more = [
        "[credentials.sso]\nkind = \"oauth2\"\ntoken_url = \"https://sso.example.com/t?key=canary\"\n\
         client_id = \"watcher\"\nclient_secret_file = \"{folder}/client\"\nscope = \"jobs.read\"\n"
            .to_owned(),
        service("far", "proxy = \"http://user:canary@proxy.example.com:3128\""),
        service("near", "proxy = \"none\""),
        service("usual", ""),
    ];
    let config = folder.configure("http://127.0.0.1:1", &more.concat());
    let text = run(&["check", "--config", &config]);
    assert!(text.status.success(), "{}", stderr(&text));
    let text = stdout(&text);
    for shown in [
        "https://far.example.com (through http://proxy.example.com:3128)",
        "https://near.example.com (no proxy)",
        "https://usual.example.com ",
        "https://sso.example.com/t, client watcher, scope jobs.read",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let json = stdout(&run(&["check", "--json", "--config", &config]));
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (name, proxy) in [
        ("far", "http://proxy.example.com:3128"),
        ("near", "none"),
        ("usual", "environment"),
    ] {
        assert_eq!(shown["services"][name]["proxy"], proxy);
    }
    assert!(!text.contains("canary") && !json.contains("canary"));
}
