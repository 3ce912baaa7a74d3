//! The simulator over a real socket, and its `/_sim/` pages.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::clock::SteppedClock;

struct Running {
    simulator: SimulatorHandle,
    clock: SteppedClock,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    fn start(options: SimulatorOptions) -> Self {
        let clock = SteppedClock::at(Timestamp::UNIX_EPOCH);
        let tracker = TaskTracker::new();
        let stop = CancellationToken::new();
        let addr = (Ipv4Addr::LOCALHOST, 0).into();
        let simulator = Simulator::bind_with(addr, Arc::new(clock.clone()), options)
            .unwrap()
            .spawn(&tracker, stop.clone());
        Self {
            simulator,
            clock,
            tracker,
            stop,
        }
    }

    /// Sends one request on its own connection and reads until that is closed.
    async fn raw(&self, method: &str, path: &str, token: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(self.simulator.local_addr())
            .await
            .unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-auth-token: {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.raw(method, path, "t", body).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn stopped(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn spec(service: Service) -> JobSpec {
    JobSpec::new(service, Duration::from_secs(10), Ending::Succeeded)
}

#[tokio::test]
async fn a_job_created_over_http_runs_with_the_clock() {
    let running = Running::start(SimulatorOptions::default());
    for (service, word) in [
        ("dcs", "SUCCESS"),
        ("sfs-turbo", "success"),
        ("sdrs", "SUCCESS"),
    ] {
        let body = json!({"service": service, "duration": "10s", "outcome": "succeeded"});
        let (status, created) = running.send("POST", "/_sim/jobs", &body.to_string()).await;
        assert_eq!((status, &created["service"]), (201, &json!(service)));
        let path = created["path"].as_str().unwrap();
        let (status, seen) = running.send("GET", path, "").await;
        assert_eq!((status, &seen["job_id"]), (200, &created["job_id"]));
        running.clock.advance(Duration::from_secs(10));
        let (_, seen) = running.send("GET", path, "").await;
        assert_eq!(seen["status"], word);
    }
    running.stopped().await;
}

#[tokio::test]
async fn a_truncated_answer_has_half_its_body() {
    let running = Running::start(SimulatorOptions::default());
    let mut spec = spec(Service::Sdrs);
    spec.faults.torn = 1;
    let path = running.simulator.create(spec).unwrap().path;
    let torn = running.raw("GET", &path, "t", "").await;
    let (head, half) = torn.split_once("\r\n\r\n").unwrap();
    let whole = running.raw("GET", &path, "t", "").await;
    let (_, whole) = whole.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", whole.len())),
        "{head}"
    );
    assert_eq!(half, &whole[..whole.len() / 2]);
    running.stopped().await;
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let running = Running::start(SimulatorOptions::default());
    let path = running.simulator.create(spec(Service::Dcs)).unwrap().path;
    let mut socket = TcpStream::connect(running.simulator.local_addr())
        .await
        .unwrap();
    for _ in 0..3 {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-auth-token: t\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0);
        }
        assert!(seen.starts_with(b"HTTP/1.1 200"));
    }
    running.stopped().await;
}

#[tokio::test]
async fn the_gateway_answers_unknown_paths() {
    let running = Running::start(SimulatorOptions::default());
    for (method, path) in [
        ("GET", "/v1/p/jobs/a/"),
        ("GET", "/"),
        ("POST", "/v2/p/jobs/a"),
    ] {
        let answer = running.raw(method, path, "t", "").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error_code"], "APIGW.0101");
        let id = body["request_id"].as_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
    }
    running.stopped().await;
}

#[tokio::test]
async fn tokens_may_be_restricted() {
    let running = Running::start(SimulatorOptions {
        accept_tokens: Some(vec!["good".into()]),
        ..SimulatorOptions::default()
    });
    let path = running.simulator.create(spec(Service::Dcs)).unwrap().path;
    let table = [
        ("good", "200", "job_id"),
        ("bad", "401", "111401001"),
        ("", "401", "APIGW.0301"),
    ];
    for (token, status, part) in table {
        let answer = running.raw("GET", &path, token, "").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains(part), "{answer}");
    }
    running.stopped().await;
}

#[tokio::test]
async fn the_first_token_expires() {
    let running = Running::start(SimulatorOptions::default());
    let mut spec = spec(Service::Sdrs);
    spec.faults.token_expires_after = Some(Duration::from_secs(3));
    let path = running.simulator.create(spec).unwrap().path;
    for (token, step, status) in [("a", 0, 200), ("a", 3, 401), ("b", 0, 200), ("b", 9, 200)] {
        running.clock.advance(Duration::from_secs(step));
        let answer = running.raw("GET", &path, token, "").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{token} {answer}"
        );
    }
    running.stopped().await;
}

#[tokio::test]
async fn polls_are_counted_and_a_job_can_be_forgotten() {
    let running = Running::start(SimulatorOptions::default());
    let created = running.simulator.create(spec(Service::SfsTurbo)).unwrap();
    running.send("GET", &created.path, "").await;
    running.clock.advance(Duration::from_millis(1500));
    running.raw("GET", &created.path, "", "").await;

    let page = format!("/_sim/jobs/{}", created.job_id);
    let (status, view) = running.send("GET", &page, "").await;
    assert_eq!((status, &view["polls"]), (200, &json!(2)));
    let expected = json!([
        {"at": "1970-01-01T00:00:00Z", "http": 200, "torn": false},
        {"at": "1970-01-01T00:00:01.5Z", "http": 401, "torn": false},
    ]);
    assert_eq!(view["recent_polls"], expected);
    let (_, list) = running.send("GET", "/_sim/jobs", "").await;
    assert_eq!(list, json!({"total": 1, "jobs": [view]}));

    assert_eq!(running.send("DELETE", &page, "").await.0, 204);
    assert_eq!(running.send("DELETE", &page, "").await.0, 404);
    let (status, gone) = running.send("GET", &created.path, "").await;
    assert_eq!((status, &gone["errCode"]), (404, &json!("SFS.TURBO.0019")));
    running.stopped().await;
}

#[tokio::test]
async fn refusals_of_the_control_pages_say_why() {
    let running = Running::start(SimulatorOptions {
        max_jobs: 1,
        ..SimulatorOptions::default()
    });
    let job = |id: &str| {
        json!({"service": "dcs", "job_id": id, "duration": "1s", "outcome": "never"}).to_string()
    };
    let table = [
        (
            "POST",
            "/_sim/jobs",
            r#"{"service":"x"}"#.to_owned(),
            400,
            "expected one of `dcs`",
        ),
        (
            "POST",
            "/_sim/jobs",
            "x".repeat(1024 * 1024 + 1),
            413,
            "larger than",
        ),
        ("PUT", "/_sim/jobs", String::new(), 405, "GET /_sim/"),
        ("GET", "/_sim/nothing", String::new(), 404, "GET /_sim/"),
        ("GET", "/_sim/jobs/none", String::new(), 404, "no such job"),
        ("POST", "/_sim/jobs", job("a"), 201, ""),
        ("POST", "/_sim/jobs", job("b"), 507, "which is the limit"),
    ];
    for (method, path, body, expected, part) in table {
        let (status, answer) = running.send(method, path, &body).await;
        assert_eq!(status, expected, "{answer}");
        let message = answer["error"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{message}");
    }
    running.stopped().await;
}

#[tokio::test]
async fn a_job_id_is_used_once() {
    let running = Running::start(SimulatorOptions::default());
    let named = JobSpec {
        job_id: Some("a b".into()),
        ..spec(Service::Dcs)
    };
    let created = running.simulator.create(named.clone()).unwrap();
    assert_eq!(
        running.simulator.create(named).unwrap_err(),
        r#"job_id = "a b": this job exists already"#
    );
    assert_eq!(
        running.send("GET", &created.path, "").await.1["job_id"],
        "a b"
    );
    let view = running.simulator.job("a b").unwrap();
    assert_eq!((view.polls, running.simulator.jobs().len()), (1, 1));
    running.stopped().await;
}

#[tokio::test]
async fn the_help_is_plain_text() {
    let running = Running::start(SimulatorOptions::default());
    for path in ["/_sim", "/_sim/"] {
        let answer = running.raw("GET", path, "", "").await;
        assert!(answer.contains("content-type: text/plain"), "{answer}");
        assert!(answer.contains("POST   /_sim/jobs"));
    }
    running.stopped().await;
}

#[tokio::test]
async fn resource_is_created_polled_and_forgotten_over_http() {
    let running = Running::start(SimulatorOptions::default());
    let spec = json!({
        "job_id": "web", "moving": true,
        "runs": [{"run": "a", "duration": "10s", "outcome": "succeeded"}],
    });
    let spec = spec.to_string();
    let (status, created) = running.send("POST", "/_sim/resources", &spec).await;
    assert_eq!((status, &created["path"]), (201, &json!("/resources/web")));
    assert_eq!(running.send("POST", "/_sim/resources", &spec).await.0, 409);
    let first = running.raw("GET", "/resources/web", "", "").await;
    assert!(
        first.contains("location: /resources/web/steps/1\r\n"),
        "{first}"
    );
    running.clock.advance(Duration::from_secs(10));
    let (status, seen) = running.send("GET", "/resources/web/steps/1", "").await;
    assert_eq!((status, &seen["status"]), (200, &json!("succeeded")));

    let (_, view) = running.send("GET", "/_sim/resources/web", "").await;
    let expected = json!([
        {"at": "1970-01-01T00:00:00Z", "http": 200, "path": "/resources/web"},
        {"at": "1970-01-01T00:00:10Z", "http": 200, "path": "/resources/web/steps/1"},
    ]);
    assert_eq!(
        (&view["polls"], &view["recent_polls"]),
        (&json!(2), &expected)
    );
    let (_, list) = running.send("GET", "/_sim/resources", "").await;
    assert_eq!(list, json!({ "resources": [view] }));

    assert_eq!(
        running.send("DELETE", "/_sim/resources/web", "").await.0,
        204
    );
    for path in ["/_sim/resources/web", "/resources/web"] {
        assert_eq!(running.send("GET", path, "").await.0, 404, "{path}");
    }
    assert_eq!(running.send("PUT", "/_sim/resources/web", "").await.0, 405);
    running.stopped().await;
}

#[tokio::test]
async fn definitions_of_resources_are_served() {
    let running = Running::start(SimulatorOptions::default());
    for (file, part) in [
        ("resource", "$.status"),
        ("resource-xml", "$.resource.status"),
    ] {
        let answer = running
            .raw("GET", &format!("/_sim/{file}.toml"), "", "")
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains(&format!("status   = \"{part}\"")),
            "{answer}"
        );
    }
    running.stopped().await;
}
