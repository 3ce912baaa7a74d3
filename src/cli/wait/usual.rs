//! The usual durations of jobs, as the daemon has learned them.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::api::view::WatchView;
use crate::cli::client::{Call, Client};

/// Fewer jobs say little about the next.
const COUNT_LEAST: u64 = 3;

/// The usual duration of jobs of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usual {
    /// Half of the jobs took at most this long.
    pub(super) median: Duration,
}

/// The usual durations by service and type of job.
#[derive(Default)]
pub(super) struct Usuals(HashMap<(String, String), Usual>);

#[derive(Deserialize)]
struct Answer {
    durations: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    service: String,
    job_type: Option<String>,
    count: u64,
    p50_s: f64,
}

impl Usuals {
    pub(super) fn of(&self, watch: &WatchView) -> Option<Usual> {
        let job_type = watch.job_type.clone().unwrap_or_default();
        self.0.get(&(watch.service.clone(), job_type)).copied()
    }
}

/// Asks the daemon. A daemon that does not answer this has nothing to say; the wait goes on.
pub(super) async fn learn(client: &Client) -> Usuals {
    let answer = client.try_ask::<Answer>(Call::get("/v1/durations")).await;
    let rows = answer.map_or_else(|_| Vec::new(), |answer| answer.body.durations);
    let usual = rows.into_iter().filter(|row| row.count >= COUNT_LEAST);
    let usual = usual.filter_map(|row| {
        let median = Duration::try_from_secs_f64(row.p50_s).ok()?;
        Some((
            (row.service, row.job_type.unwrap_or_default()),
            Usual { median },
        ))
    });
    Usuals(usual.collect())
}
