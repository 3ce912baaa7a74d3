//! The time of one page of `GET /v1/watches`, by each filter.

use jobwatch::clock::SystemClock;

use crate::client::Connection;
use crate::daemon::Daemon;
use crate::print::{Beside, Goal, figure, quantile};
use crate::stub;

/// The most requests for one filter.
const REQUESTS: usize = 50;
/// The seconds after which no further request is made for a filter.
const ENOUGH: f64 = 3.0;

pub(crate) async fn measure(daemon: &Daemon, watches: u64) {
    let middle = watches / 2;
    let deploy = middle / 100;
    let job = stub::job_id(middle);
    for (name, filter) in [
        ("no filter", String::new()),
        ("label of 100 watches", format!("&label=deploy={deploy}")),
        ("label of all", "&label=team=platform".to_owned()),
        ("label of none", "&label=deploy=absent".to_owned()),
        ("state of all", "&state=watching".to_owned()),
        ("state of none", "&state=failed".to_owned()),
        (
            "state and label",
            format!("&state=watching&label=deploy={deploy}"),
        ),
        ("service", "&service=sdrs".to_owned()),
        ("job", format!("&job={job}")),
        (
            "since an hour, label",
            format!("&since=1h&label=deploy={deploy}"),
        ),
    ] {
        let times = times(daemon, &filter).await;
        let worst = Beside::Also("worst", quantile(&times, 1.0));
        let median = (quantile(&times, 0.5), "ms");
        figure(
            &format!("a page, {name}: median"),
            median,
            worst,
            Goal::AtMost(5.0),
        );
    }
}

/// Returns the milliseconds of each request.
async fn times(daemon: &Daemon, filter: &str) -> Vec<f64> {
    let mut connection = Connection::open(daemon.address).await;
    let path = format!("/v1/watches?limit=100{filter}");
    let all = SystemClock::shared();
    let mut times = Vec::new();
    while times.len() < REQUESTS && (times.is_empty() || all.uptime().as_secs_f64() < ENOUGH) {
        let clock = SystemClock::shared();
        connection.send("GET", &path, "").await;
        let (status, body) = connection.answer().await.expect("an answer");
        times.push(clock.uptime().as_secs_f64() * 1000.0);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    times
}
