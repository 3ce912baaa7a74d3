//! A job API that accepts the tokens that Keystone accepts, and caches no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use jobwatch::outbound;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::identity::Keystone;
use super::{PATIENCE, RUNTIME};

/// The job API. The id of a job begins with its group; each test has its own group.
pub(super) struct JobApi {
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    project_id: String,
    checks: mpsc::UnboundedSender<Check>,
    state: Mutex<Record>,
    changed: Condvar,
}

/// The tokens to validate, each with the channel for the result.
type Check = (String, oneshot::Sender<bool>);

#[derive(Default)]
struct Record {
    polls: Vec<Poll>,
    /// The groups whose jobs have ended.
    finished: BTreeSet<String>,
}

/// An answered request.
#[derive(Clone)]
pub(super) struct Poll {
    job_id: String,
    pub(super) token: String,
    pub(super) is_accepted: bool,
}

/// The number of accepted tokens.
pub(super) fn tokens(polls: &[Poll]) -> usize {
    let accepted = polls.iter().filter(|poll| poll.is_accepted);
    let tokens: BTreeSet<_> = accepted.map(|poll| &poll.token).collect();
    tokens.len()
}

impl JobApi {
    pub(super) fn start(listener: TcpListener, url: String, keystone: &Keystone) -> Self {
        let (checks, asked) = mpsc::unbounded_channel();
        let tokens_url = format!("{}/auth/tokens?nocatalog", keystone.auth_url("jobs"));
        RUNTIME.spawn(judge(asked, tokens_url));
        let shared = Arc::new(Shared {
            project_id: keystone.info("project_id").to_owned(),
            checks,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let router = Router::new()
            .route("/v2/{project_id}/jobs/{job_id}", get(show))
            .with_state(Arc::clone(&shared));
        RUNTIME.spawn(async { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Makes the jobs of the group succeed.
    pub(super) fn finish(&self, group: &str) {
        let mut record = self.shared.state.lock().unwrap();
        record.finished.insert(group.to_owned());
    }

    /// The polls of a group so far.
    pub(super) fn polls(&self, group: &str) -> Vec<Poll> {
        self.shared.state.lock().unwrap().of(group)
    }

    /// Waits until the polls of a group meet a condition.
    #[track_caller]
    pub(super) fn wait(&self, group: &str, is_so: impl Fn(&[Poll]) -> bool) {
        let record = self.shared.state.lock().unwrap();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(record, PATIENCE, |record| !is_so(&record.of(group)));
        let (record, timeout) = waited.unwrap();
        let polls = record.of(group);
        let accepted = polls.iter().filter(|poll| poll.is_accepted).count();
        let asked = polls.len();
        drop(record);
        assert!(!timeout.timed_out(), "{accepted} of {asked} were accepted");
    }
}

impl Record {
    fn of(&self, group: &str) -> Vec<Poll> {
        let is_of = |poll: &&Poll| group_of(&poll.job_id) == group;
        self.polls.iter().filter(is_of).cloned().collect()
    }
}

fn group_of(job_id: &str) -> &str {
    job_id.split('.').next().unwrap_or_default()
}

async fn show(
    State(shared): State<Arc<Shared>>,
    Path((project_id, job_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let token = headers.get("x-auth-token");
    let token = token.map_or("", |it| it.to_str().unwrap()).to_owned();
    let (sender, verdict) = oneshot::channel();
    shared.checks.send((token.clone(), sender)).unwrap();
    let is_accepted = verdict.await.unwrap();
    let is_finished = {
        let mut record = shared.state.lock().unwrap();
        record.polls.push(Poll {
            job_id: job_id.clone(),
            token,
            is_accepted,
        });
        record.finished.contains(group_of(&job_id))
    };
    shared.changed.notify_all();
    let (status, body) = if !is_accepted {
        let error = json!({ "message": "Invalid token.", "code": "111401001" });
        (StatusCode::UNAUTHORIZED, json!({ "error": error }))
    } else if project_id != shared.project_id {
        let error = json!({ "error_code": "111404001", "error_msg": "no such project" });
        (StatusCode::NOT_FOUND, error)
    } else {
        let status = if is_finished { "SUCCESS" } else { "RUNNING" };
        let job = json!({ "job_id": job_id, "job_type": "createInstance", "status": status });
        (StatusCode::OK, job)
    };
    (status, Json(body))
}

/// Validates tokens at Keystone. One request serves all polls that wait when it is sent,
/// because it takes 20 ms of a core; it never serves a later poll.
async fn judge(mut asked: mpsc::UnboundedReceiver<Check>, tokens_url: String) {
    let client = outbound::client().no_proxy().build().unwrap();
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, usize::MAX).await > 0 {
        let mut verdicts = BTreeMap::new();
        for (token, verdict) in waiting.drain(..) {
            if !verdicts.contains_key(&token) {
                let request = client
                    .get(&tokens_url)
                    .header("x-auth-token", &token)
                    .header("x-subject-token", &token)
                    .timeout(PATIENCE);
                let status = request.send().await.unwrap().status();
                verdicts.insert(token.clone(), status.is_success());
            }
            // The poll may have been given up.
            let _ = verdict.send(verdicts[&token]);
        }
    }
}
