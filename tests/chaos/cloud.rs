//! The cloud: jobs that run for some seconds, and a record of who asked for them when. A replica
//! shows a token of its own, so the record tells the replicas apart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use jobwatch::clock::SharedClock;
use parking_lot::Mutex;
use serde_json::json;

/// One job. Times are since the start of the test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) ends_at: Duration,
    pub(crate) succeeds: bool,
}

/// One request about a job.
#[derive(Debug, Clone)]
pub(crate) struct Poll {
    pub(crate) at: Duration,
    pub(crate) job: String,
    /// The token, which is the name of the process that asked.
    pub(crate) by: String,
}

/// The jobs and the record. Clones share them.
#[derive(Clone)]
pub(crate) struct Cloud {
    clock: SharedClock,
    jobs: Arc<Mutex<HashMap<String, Job>>>,
    polls: Arc<Mutex<Vec<Poll>>>,
}

impl Cloud {
    pub(crate) fn new(clock: &SharedClock) -> Self {
        Self {
            clock: Arc::clone(clock),
            jobs: Arc::default(),
            polls: Arc::default(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/{project}/jobs/{job}", get(poll))
            .with_state(self.clone())
    }

    /// Starts a job that runs for so long.
    pub(crate) fn start(&self, id: &str, runs: Duration, succeeds: bool) {
        let ends_at = self.clock.uptime() + runs;
        let job = Job { ends_at, succeeds };
        self.jobs.lock().insert(id.to_owned(), job);
    }

    pub(crate) fn jobs(&self) -> HashMap<String, Job> {
        self.jobs.lock().clone()
    }

    pub(crate) fn polls(&self) -> Vec<Poll> {
        self.polls.lock().clone()
    }
}

async fn poll(
    State(cloud): State<Cloud>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let token = headers.get("x-auth-token");
    let by = token.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let at = cloud.clock.uptime();
    let Some(job) = cloud.jobs.lock().get(&id).copied() else {
        return (StatusCode::NOT_FOUND, Json(json!({}))).into_response();
    };
    cloud.polls.lock().push(Poll {
        at,
        job: id.clone(),
        by: by.to_owned(),
    });
    let status = match (job.ends_at <= at, job.succeeds) {
        (false, _) => "RUNNING",
        (true, true) => "SUCCESS",
        (true, false) => "FAIL",
    };
    let answer = json!({
        "status": status, "entities": {}, "job_id": id, "job_type": "createProtectionGroupNoCG",
        "begin_time": "", "end_time": "", "error_code": null, "fail_reason": null,
    });
    Json(answer).into_response()
}
