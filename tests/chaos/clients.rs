//! The clients: each starts jobs and submits them to any replica, until one accepts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jobwatch::clock::seeded_rng;
use jobwatch::outbound;
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::cloud::Cloud;

/// How long a client waits for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// The watches that were acknowledged.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// The job of each, by the id of the watch.
    pub(crate) jobs: HashMap<String, String>,
    /// The requests that had to be made again.
    pub(crate) retries: usize,
}

/// What clients need.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) cloud: Cloud,
    pub(crate) replicas: Arc<[String]>,
    pub(crate) acknowledged: Arc<Mutex<Acknowledged>>,
}

impl Clients {
    /// Submits so many jobs, spread evenly over this time, and waits until all are acknowledged.
    pub(crate) async fn submit(self, count: u64, within: Duration, seed: u64) {
        let tracker = TaskTracker::new();
        let client = outbound::client().no_proxy().timeout(ANSWER_MAX);
        let client = client.build().unwrap();
        let mut rng = seeded_rng(seed);
        for number in 0..count {
            sleep(within.div_f64(f64::from(u32::try_from(count).unwrap()))).await;
            let (clients, client) = (self.clone(), client.clone());
            let mut own = seeded_rng(rng.random());
            tracker.spawn(async move { clients.submit_one(&client, number, &mut own).await });
        }
        tracker.close();
        tracker.wait().await;
    }

    async fn submit_one(&self, client: &reqwest::Client, number: u64, rng: &mut StdRng) {
        let job = format!("ff8080826b45d4a5016b5036{number:08x}");
        let runs = Duration::from_millis(rng.random_range(1_000..=20_000));
        self.cloud.start(&job, runs, rng.random_bool(0.8));
        let request = json!({ "service": "sdrs", "job_id": job }).to_string();
        loop {
            let replica = &self.replicas[rng.random_range(0..self.replicas.len())];
            let url = format!("http://{replica}/v1/watches");
            let sent = client.post(url).body(request.clone());
            if let Some(id) = accepted(sent).await {
                self.acknowledged.lock().jobs.insert(id, job);
                return;
            }
            self.acknowledged.lock().retries += 1;
            sleep(Duration::from_millis(rng.random_range(100..1000))).await;
        }
    }
}

/// Sends a request, and returns the id of the watch if it was acknowledged.
async fn accepted(request: reqwest::RequestBuilder) -> Option<String> {
    let request = request.header("content-type", "application/json");
    let answer = request.send().await.ok()?;
    let status = answer.status();
    assert!(
        status.is_success() || status.is_server_error(),
        "a submission was refused: {status}"
    );
    if !status.is_success() {
        return None;
    }
    let body: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
    body["id"].as_str().map(str::to_owned)
}
