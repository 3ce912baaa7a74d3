//! Secrets of credentials stay in the program, although identity service and job API repeat
//! every request in their answers.
//!
//! The whole run is searched: the log at its most verbose level, the output of commands, the
//! API, metrics, events, and the database.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, put};
use http::StatusCode;
use http_body_util::BodyExt;
use jobwatch::outbound;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::harness::receiver::Receiver;
use crate::harness::serve;
use crate::program::process::{Daemon, Folder, PATIENCE, run, stderr, stdout};

/// The secrets in files, and those that identity services issue. The test looks for each.
const SECRETS: [(&str, &str); 15] = [
    ("password", "canary-of-the-password"),
    ("wrong", "canary-of-the-wrong-password"),
    ("totp", "MNQW4YLSPEWW6ZRNORUGKLLTMVSWI2I"),
    ("exchanged", "canary-of-the-token-to-exchange"),
    ("ak", "canary-of-the-access-key"),
    ("sk", "canary-of-the-secret-key"),
    ("security-token", "canary-of-the-security-token"),
    ("bearer", "canary-of-the-bearer-token"),
    ("basic", "canary-of-the-basic-password"),
    ("header", "canary-of-the-header"),
    ("token", "canary-of-the-token-in-a-file"),
    ("application", "canary-of-the-application-secret"),
    ("client", "canary-of-the-client-secret"),
    ("api-key", "canary-of-the-api-key"),
    ("app-key", "canary-of-the-app-key"),
];
const ISSUED: [&str; 6] = [
    "canary-of-an-issued-token",
    "canary-of-an-issued-access-key",
    "canary-of-an-issued-secret-key",
    "canary-of-an-issued-security-token",
    "canary-of-a-metadata-session",
    "canary-of-an-access-token",
];
/// The password in the URL of a proxy.
const PROXY_PASSWORD: &str = "canary-of-the-proxy-password";
/// "watcher" and a password in the form of HTTP Basic: the one of the credential `basic`, the
/// secret of the OAuth 2.0 client, and the password of the proxy.
const BASIC: [&str; 3] = [
    "d2F0Y2hlcjpjYW5hcnktb2YtdGhlLWJhc2ljLXBhc3N3b3Jk",
    "d2F0Y2hlcjpjYW5hcnktb2YtdGhlLWNsaWVudC1zZWNyZXQ=",
    "d2F0Y2hlcjpjYW5hcnktb2YtdGhlLXByb3h5LXBhc3N3b3Jk",
];

#[track_caller]
fn has_no_secret(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let kept = SECRETS.iter().map(|(_, secret)| *secret);
    for secret in kept.chain(ISSUED).chain(BASIC).chain([PROXY_PASSWORD]) {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {what}: {}", line.unwrap());
    }
    // A signature is 64 hex digits after its name.
    let signature = text.lines().find(|line| {
        let mut after = line.split("Signature=").skip(1);
        after.any(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()))
    });
    assert!(
        signature.is_none(),
        "a signature is in {what}: {}",
        signature.unwrap()
    );
}

/// The whole request in one line.
async fn echo(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let mut said = format!("{} {}", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let _ = write!(
            said,
            " {name}: {}",
            String::from_utf8_lossy(value.as_bytes())
        );
    }
    let body = body.collect().await.unwrap().to_bytes();
    said + " " + &String::from_utf8_lossy(&body)
}

/// Refuses wrong secrets, issues to others, and repeats the request in each answer.
async fn identity(request: Request) -> Response {
    let said = echo(request).await;
    if said.contains("wrong") || said.contains("/auth/projects") {
        let error = json!({"error": {"code": 401, "message": said}});
        return (StatusCode::UNAUTHORIZED, error.to_string()).into_response();
    }
    let token = json!({"access_token": ISSUED[5], "token": {
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "project": {"id": "p", "name": "eu-de_jobs", "domain": {"id": "d", "name": "D"}},
        "user": {"name": "watcher"},
    }});
    let headers = [("x-subject-token", ISSUED[0])];
    (StatusCode::CREATED, headers, token.to_string()).into_response()
}

fn temporary_key() -> String {
    json!({"credential": {
        "access": ISSUED[1], "secret": ISSUED[2], "securitytoken": ISSUED[3],
        "expires_at": "2099-01-01T00:00:00.000000Z",
    }})
    .to_string()
}

/// A job that fails on its third poll; before, the API answers with errors. Every answer
/// repeats the request.
async fn job(
    State(polls): State<std::sync::Arc<std::sync::Mutex<std::collections::BTreeMap<String, u32>>>>,
    Path((_, job_id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let said = echo(request).await;
    let poll = {
        let mut polls = polls.lock().unwrap();
        let poll = polls.entry(job_id.clone()).or_default();
        *poll += 1;
        *poll
    };
    let refusal = json!({"error_code": "DCS.0001", "error_msg": said});
    match poll {
        1 => (StatusCode::BAD_REQUEST, refusal.to_string()).into_response(),
        2 => (StatusCode::INTERNAL_SERVER_ERROR, said).into_response(),
        _ => json!({
            "job_id": job_id, "job_type": "echo", "status": "FAIL", "fail_reason": said,
        })
        .to_string()
        .into_response(),
    }
}

fn stand_in() -> Router {
    Router::new()
        .route("/v2/{project}/jobs/{job_id}", get(job))
        .with_state(std::sync::Arc::default())
        .route("/v3/{*rest}", any(identity))
        .route(
            "/v3.0/OS-CREDENTIAL/securitytokens",
            any(|| async { temporary_key() }),
        )
        .route(
            "/openstack/latest/securitykey",
            get(|| async { temporary_key() }),
        )
        .route("/meta-data/latest/api/token", put(|| async { ISSUED[4] }))
}

/// One credential of each kind, by name.
fn credentials(stand_in: &str) -> Vec<(&'static str, String)> {
    let at = format!("auth_url = \"{stand_in}/v3\"");
    let login = format!(
        "kind = \"keystone\"\n{at}\nusername = \"watcher\"\ndomain = \"D\"\nproject = \"eu-de_jobs\""
    );
    let agency =
        format!("kind = \"agency\"\n{at}\nagency_name = \"a\"\ndomain = \"D\"\nproject_id = \"p\"");
    let file = |key: &str, name: &str| format!("{key}_file = \"{{folder}}/{name}\"");
    let application = "kind = \"keystone\"\napplication_id = \"i\"";
    let exchanged = "kind = \"keystone-token\"\nproject_id = \"p\"";
    let key = [
        "kind = \"aksk\"\nproject_id = \"p\"".to_owned(),
        file("access_key", "ak"),
        file("secret_key", "sk"),
        file("security_token", "security-token"),
    ]
    .join("\n");
    let basic = "kind = \"basic\"\nusername = \"watcher\"";
    let header = "kind = \"header\"\nheader = \"PRIVATE-TOKEN\"";
    let client =
        format!("kind = \"oauth2\"\nclient_id = \"watcher\"\ntoken_url = \"{stand_in}/v3/token\"");
    let client_secret = file("client_secret", "client");
    let headers = "kind = \"headers\"\nheaders = { X-Api-Key = { file = \"{folder}/api-key\" }, \
                   X-App-Key = { file = \"{folder}/app-key\" } }";
    let (password, wrong) = (file("password", "password"), file("password", "wrong"));
    let totp = file("totp", "totp");
    let secret = file("application_secret", "application");
    let server = format!("kind = \"metadata\"\nurl = \"{stand_in}\"\nproject_id = \"p\"");
    vec![
        ("keystone", format!("{login}\n{password}\n{totp}")),
        ("wrong", format!("{login}\n{wrong}")),
        ("application", format!("{application}\n{at}\n{secret}")),
        (
            "exchanged",
            format!("{exchanged}\n{at}\n{}", file("token", "exchanged")),
        ),
        ("aksk", format!("{key}\n{at}")),
        ("agency-token", format!("{agency}\nsource = \"keystone\"")),
        ("agency-key", format!("{agency}\nsource = \"aksk\"")),
        ("metadata", server),
        (
            "file",
            format!("kind = \"token\"\n{}", file("token", "token")),
        ),
        (
            "bearer",
            format!("kind = \"bearer\"\n{}", file("token", "bearer")),
        ),
        ("basic", format!("{basic}\n{}", file("password", "basic"))),
        ("header", format!("{header}\n{}", file("value", "header"))),
        ("oauth2", format!("{client}\n{client_secret}")),
        (
            "oauth2-body",
            format!("{client}\n{client_secret}\nauth = \"body\""),
        ),
        (
            "oauth2-wrong",
            format!("{client}?wrong\n{client_secret}").replace("\"?wrong", "?wrong\""),
        ),
        ("headers", headers.to_owned()),
    ]
}

/// A service for each of them, and the most verbose log.
fn configure(folder: &Folder, stand_in: &str, receiver: &Receiver) -> (String, Vec<&'static str>) {
    for (name, secret) in SECRETS {
        folder.write(name, secret);
    }
    let credentials = credentials(stand_in);
    let mut more = format!(
        "[sinks.hook]\nkind = \"webhook\"\nurl = \"{}\"\n",
        receiver.url()
    );
    for (name, credential) in &credentials {
        let _ = write!(
            more,
            "[credentials.{name}]\n{credential}\n\
             [services.{name}]\ndefinition = \"dcs\"\nurl = \"{stand_in}\"\ncredential = \"{name}\"\n\
             params = {{ project_id = \"p\" }}\nrate = 1000.0\nburst = 1000\n\
             poll = {{ first = \"10ms\", initial = \"50ms\", max = \"100ms\" }}\n"
        );
    }
    let proxy = stand_in.replace("://", &format!("://watcher:{PROXY_PASSWORD}@"));
    let _ = write!(
        more,
        "[services.proxied]\ndefinition = \"dcs\"\nurl = \"http://jobs.corp.example\"\n\
         credential = \"header\"\nproxy = \"{proxy}\"\nparams = {{ project_id = \"p\" }}\n\
         rate = 1000.0\nburst = 1000\n\
         poll = {{ first = \"10ms\", initial = \"50ms\", max = \"100ms\" }}\n"
    );
    let config = folder.configure(stand_in, &more);
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace("{folder}", &folder.path().display().to_string())
        .replace("[log]\n", "[log]\nfilter = \"trace\"\n");
    folder.write("jobwatch.toml", &text);
    folder.write("token", SECRETS[10].1);
    let names = credentials.into_iter().map(|(name, _)| name);
    (config, names.chain(["proxied"]).collect())
}

async fn page(url: &str) -> Vec<u8> {
    let client = outbound::client().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    response.bytes().await.unwrap().to_vec()
}

/// Watches a job on each service until all jobs that can end have ended.
async fn watch_all(daemon: &Daemon, services: &[&str], receiver: &Receiver) {
    for service in services {
        let submitted = daemon.ask(&["submit", service, &format!("job-{service}")]);
        assert!(submitted.status.success(), "{}", stderr(&submitted));
    }
    // Two credentials are refused.
    let can_end = services.len() - 2;
    let ended = async {
        loop {
            let news = receiver.news();
            let events = receiver.received();
            let failed = events.iter().filter(|it| it.kind() == "job.failed");
            if failed.count() >= can_end {
                return;
            }
            news.await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, ended).await;
    assert!(
        in_time.is_ok(),
        "not every watch ended: {:?}",
        receiver.received()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credential_secrets_stay_in_the_program() {
    let tracker = TaskTracker::new();
    let receiver = Receiver::start(&tracker).await;
    let stand_in = serve(stand_in(), &tracker).await;
    let folder = Folder::new();
    let (config, services) = configure(&folder, &stand_in, &receiver);

    let mut said = Vec::new();
    for arguments in [
        vec!["check", "--config", &config],
        vec!["check", "--json", "--config", &config],
        vec!["credentials", "--config", &config],
        vec!["credentials", "--json", "--config", &config],
        vec!["probe", "aksk", "probed", "--config", &config],
        vec![
            "probe", "keystone", "probed", "--human", "--config", &config,
        ],
        vec!["probe", "wrong", "probed", "--config", &config],
        vec!["probe", "oauth2-wrong", "probed", "--config", &config],
        vec!["probe", "proxied", "probed", "--config", &config],
    ] {
        let output = run(&arguments);
        assert_ne!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        said.push(output);
    }
    let errors = stderr(&said[2]);
    assert!(
        errors.contains("[REDACTED]"),
        "no secret was repeated: {errors}"
    );

    let mut daemon = Daemon::start(&config);
    watch_all(&daemon, &services, &receiver).await;
    said.push(daemon.ask(&["list"]));
    let list = daemon.ask(&["list", "--json"]);
    let watches: Value = serde_json::from_str(&stdout(&list)).unwrap();
    for watch in watches["watches"].as_array().unwrap() {
        said.push(daemon.ask(&["show", watch["id"].as_str().unwrap(), "--json"]));
    }
    said.push(list);
    has_no_secret("metrics", &page(&format!("{}/metrics", daemon.url)).await);
    has_no_secret(
        "the API",
        &page(&format!("{}/v1/watches", daemon.url)).await,
    );
    assert_eq!(daemon.process.terminate().code(), Some(0));

    let printed = daemon.process.printed.join("\n");
    assert!(printed.contains("[REDACTED]"), "no secret was repeated");
    assert!(
        printed.contains("\"level\":\"TRACE\""),
        "the log was to be thorough"
    );
    has_no_secret("the log", printed.as_bytes());
    for output in said {
        has_no_secret("the output of a command", &output.stdout);
        has_no_secret("the errors of a command", &output.stderr);
    }
    for file in ["jobwatch.db", "jobwatch.db-wal"] {
        if let Ok(stored) = std::fs::read(folder.path().join(file)) {
            has_no_secret(file, &stored);
        }
    }
    for event in receiver.received() {
        has_no_secret("an event", &event.bytes);
    }
}
