//! Submissions in bulk over HTTP, beside bare `SQLite`.

use std::time::Duration;

use jobwatch::clock::SystemClock;
use tokio::task::JoinSet;

use crate::cloud::Cloud;
use crate::daemon::Daemon;
use crate::{bare, client, lines, print, start};

/// The number of submissions of one run.
const SUBMISSIONS: usize = 200_000;
/// The rows in a transaction of bare `SQLite`, as many as in a batch of the daemon.
const BATCH: usize = 1_000;

pub(crate) async fn measure() {
    for streams in [1, 64] {
        let daemon = start(&Cloud::default()).await;
        let took = submit(&daemon, streams).await;
        let figure = format!("{:.0}/s", rate(took));
        let name = format!("bulk submissions, {streams} streams");
        print(&name, &figure, "goal 50000/s");
        if streams == 1 {
            let tables = [("watches", ""), ("events", "")];
            let (bare, _) = bare::insert_again(&daemon.store(), &tables, SUBMISSIONS, BATCH);
            let figure = format!("{:.0}/s", rate(bare));
            let ratio = format!("ratio {:.2}", took.as_secs_f64() / bare.as_secs_f64());
            print("the same rows into bare SQLite", &figure, &ratio);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn rate(took: Duration) -> f64 {
    SUBMISSIONS as f64 / took.as_secs_f64()
}

async fn submit(daemon: &Daemon, streams: usize) -> Duration {
    let jobs: Vec<String> = (0..SUBMISSIONS).map(|n| format!("job-{n}")).collect();
    let lines = lines(&jobs);
    let clock = SystemClock::shared();
    let started = clock.uptime();
    let mut all = JoinSet::new();
    for part in lines.chunks(SUBMISSIONS / streams) {
        let (part, address) = (part.to_vec(), daemon.address);
        all.spawn(async move { client::submit(address, &part).await.len() });
    }
    let counts = all.join_all().await;
    let took = clock.uptime().saturating_sub(started);
    assert_eq!(counts.into_iter().sum::<usize>(), SUBMISSIONS);
    took
}
