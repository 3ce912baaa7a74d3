//! Very many watches on one credential whose token is revoked.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobwatch::watch::request::WatchRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::credentials::cloud::{Cloud, KEYSTONE};
use crate::harness::{App, Setup};

const WATCHES: usize = 10_000;
/// The token that is revoked.
const REVOKED: &str = "token-1-of-the-stand-in";

/// A job API that refuses one token. It speaks just enough HTTP, because a real server would
/// take most of the time of this test.
#[derive(Clone, Default)]
struct Jobs {
    seen: Arc<Mutex<BTreeSet<String>>>,
    refused: Arc<Mutex<usize>>,
}

impl Jobs {
    async fn start(&self, tracker: &TaskTracker) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (jobs, connections) = (self.clone(), tracker.clone());
        tracker.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(jobs.clone().serve(stream));
            }
        });
        url
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while stream.read_buf(&mut buffer).await.unwrap_or_default() > 0 {
            // A poll has no body, and no request comes before the last one is answered.
            if !buffer.ends_with(b"\r\n\r\n") {
                continue;
            }
            let answer = self.answer(std::str::from_utf8(&buffer).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
            buffer.clear();
        }
    }

    fn answer(&self, request: &str) -> String {
        let path = request.split(' ').nth(1).unwrap();
        let job_id = path.rsplit('/').next().unwrap();
        let (status, body) = if request.contains(REVOKED) {
            *self.refused.lock().unwrap() += 1;
            ("401 Unauthorized", "{}".to_owned())
        } else {
            self.seen.lock().unwrap().insert(job_id.to_owned());
            let body = format!(r#"{{"job_id":"{job_id}","status":"RUNNING"}}"#);
            ("200 OK", body)
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
    }
}

/// Submits all at once, so that they share the syncs of the database.
async fn submit_all(app: &App) {
    let mut submissions = JoinSet::new();
    for number in 0..WATCHES {
        let actions = Arc::clone(&app.program.actions);
        let request = WatchRequest {
            service: "jobs".to_owned(),
            job_id: format!("job-{number}"),
            ..WatchRequest::default()
        };
        submissions.spawn(async move { actions.submit(&request).await.unwrap() });
    }
    submissions.join_all().await;
    app.program.poller.run_once().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_refused_watches_log_in_once() {
    let cloud = Cloud::start();
    let jobs = Jobs::default();
    let tracker = TaskTracker::new();
    let url = jobs.start(&tracker).await;
    let setup = Setup {
        // No event is delivered.
        hook: "services = [\"dcs\"]".to_owned(),
        more: cloud.filled(&format!(
            "{KEYSTONE}{}{}",
            Cloud::service("jobs", &url),
            Cloud::service("first", &cloud.jobs.url)
        )),
        clock: cloud.clock.clone(),
        ..Setup::default()
    };
    let app = setup.start().await;
    // A poll of another service causes the first token to be issued.
    let first = app.submit("first", "job-0").await;
    app.next_poll(first).await;
    assert_eq!((cloud.logins(), cloud.jobs.count()), (1, 1));
    assert_eq!(cloud.jobs.last().header("x-auth-token"), Some(REVOKED));

    submit_all(&app).await;
    app.clock.advance(Duration::from_secs(1));
    let polls = app.program.poller.run_once().await.unwrap();
    assert_eq!(polls, WATCHES as u64 + 1);
    assert_eq!(cloud.logins(), 2, "one more, for all of them");
    assert_eq!(jobs.seen.lock().unwrap().len(), WATCHES);
    // Only the polls in flight with the revoked token were refused.
    let refused = *jobs.refused.lock().unwrap();
    assert!((1..=64).contains(&refused), "{refused} refusals");
}
