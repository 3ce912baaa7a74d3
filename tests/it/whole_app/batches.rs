//! Requests for several jobs, and the further requests of a poll: each one spends the budget.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jobwatch::watch::Outcome;
use parking_lot::Mutex;

use crate::harness::{App, serve};

const SECOND: Duration = Duration::from_secs(1);

/// The paths and queries of all requests.
type Requests = Arc<Mutex<Vec<String>>>;

/// A service with one definition, and the requests that it got.
struct Stand {
    app: App,
    requests: Requests,
}

impl Stand {
    /// Starts a service `jobs` that answers with `answer`, whose definition has these lines after
    /// its head, at one request a second.
    async fn start(lines: &str, settings: &str, answer: fn(&str) -> Response) -> Self {
        let app = App::start().await;
        let requests = Requests::default();
        let log = Arc::clone(&requests);
        let router = Router::new().fallback(move |uri: Uri| async move {
            log.lock().push(uri.to_string());
            answer(&uri.to_string())
        });
        let url = serve(router, &app.tracker).await;
        let folder = app.database().with_file_name("definitions");
        std::fs::create_dir(&folder).unwrap();
        let definition = format!(
            "title = \"t\"\ndocs = \"d\"\n{lines}\n[job]\nid = \"$.id\"\nstatus = \"$.status\"\n\
             [states]\nrunning = [\"RUNNING\"]\nsucceeded = [\"SUCCESS\"]\nfailed = [\"FAIL\"]\n"
        );
        std::fs::write(folder.join("mine.toml"), definition).unwrap();
        let service = format!(
            "\n[services.jobs]\ndefinition = \"mine\"\nurl = \"{url}\"\ncredential = \"none\"\n\
             rate = 1.0\nburst = 1\n{settings}\n"
        );
        let head = format!("services_dir = \"{}\"\n", folder.display());
        let app = app.restart_with(|all| head + &all + &service).await;
        Self { app, requests }
    }

    fn count(&self) -> usize {
        self.requests.lock().len()
    }

    fn count_of(&self, path: &str) -> usize {
        let requests = self.requests.lock();
        requests.iter().filter(|it| it.starts_with(path)).count()
    }

    /// Advances by a second, and returns the number of requests in it.
    async fn second(&self) -> usize {
        let before = self.count();
        self.app.clock.advance(SECOND);
        self.app.program.poller.run_once().await.unwrap();
        self.count() - before
    }

    async fn seconds(&self, seconds: usize) -> Vec<usize> {
        let mut counts = Vec::new();
        for _ in 0..seconds {
            counts.push(self.second().await);
        }
        counts
    }
}

const ALONE: &str = "[request]\nmethod = \"GET\"\npath = \"/jobs/{job_id}\"\n";
const OFTEN: &str = "poll = { first = \"1s\", initial = \"1s\", max = \"1s\", jitter = 0.0 }";
const LIST: &str = "[request]\nmethod = \"GET\"\npath = \"/list\"\n\
    [batch]\nitems = \"$.jobs[*]\"\npage = { param = \"page\", first = 1 }\nalone = false\n";

fn json(text: &str) -> Response {
    text.to_owned().into_response()
}

/// A list of eight pages, with one job on each.
fn list(path: &str) -> Response {
    let page: usize = path.split("page=").last().unwrap().parse().unwrap();
    match page {
        1..=8 => json(&format!(
            r#"{{"jobs":[{{"id":"job-{page}","status":"SUCCESS"}}]}}"#
        )),
        _ => json(r#"{"jobs":[]}"#),
    }
}

#[tokio::test]
async fn redirects_spend_the_budget() {
    let answer = |path: &str| match path.strip_prefix("/jobs/") {
        Some(job_id) => {
            let location = (header::LOCATION, format!("/moved/{job_id}"));
            (StatusCode::TEMPORARY_REDIRECT, [location]).into_response()
        }
        None => json(&format!(r#"{{"id":"{}","status":"RUNNING"}}"#, &path[7..])),
    };
    let stand = Stand::start(ALONE, OFTEN, answer).await;
    for n in 0..5 {
        stand.app.submit("jobs", &format!("job-{n}")).await;
    }
    let counts = stand.seconds(20).await;
    assert!(counts.iter().sum::<usize>() <= 21, "{counts:?}");
    assert!(stand.count_of("/moved") >= 9);
}

#[tokio::test]
async fn pages_of_a_list_wait_for_the_budget() {
    let stand = Stand::start(LIST, OFTEN, list).await;
    let last = stand.app.submit("jobs", "job-8").await;
    let third = stand.app.submit("jobs", "job-3").await;
    let counts = stand.seconds(9).await;
    assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
    assert_eq!(stand.app.outcome(third).await, Some(Outcome::Succeeded));
    assert_eq!(stand.app.outcome(last).await, Some(Outcome::Succeeded));
    assert_eq!(stand.app.watch(last).await.problems, 0);
    assert_eq!(stand.count_of("/list?page=1"), 1);
}

#[tokio::test]
async fn pages_of_a_late_poll_spend_the_budget() {
    let settings = "poll = { first = \"1s\", initial = \"1s\", max = \"1s\", jitter = 0.0, deadline = \"2s\", after_watch = \"10m\" }";
    let stand = Stand::start(LIST, settings, list).await;
    let id = stand.app.submit("jobs", "nothing").await;
    stand.seconds(30).await;
    assert!(stand.app.outcome(id).await.is_some());
    let counts = stand.seconds(600).await;
    assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
    assert!(counts.iter().sum::<usize>() >= 9, "a late poll was made");
}

#[tokio::test]
async fn a_batch_that_fails_is_not_sent_again_for_a_minute() {
    let batch = format!(
        "{ALONE}[batch]\npath = \"/batch\"\nquery = {{ ids = \"{{job_ids}}\" }}\nitems = \"$.jobs[*]\"\n"
    );
    let answer = |path: &str| match path.strip_prefix("/jobs/") {
        Some(job_id) => json(&format!(r#"{{"id":"{job_id}","status":"RUNNING"}}"#)),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let stand = Stand::start(&batch, OFTEN, answer).await;
    for n in 0..3 {
        stand.app.submit("jobs", &format!("job-{n}")).await;
    }
    stand.seconds(55).await;
    assert_eq!(stand.count_of("/batch"), 1);
    assert!(stand.count_of("/jobs") > 40);
    stand.seconds(20).await;
    assert_eq!(stand.count_of("/batch"), 2);
}
