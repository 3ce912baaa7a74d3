//! The start, the memory and the lists of a daemon with many stored watches.

use std::path::Path;
use std::time::Duration;

use jobwatch::clock::SystemClock;
use rusqlite::Connection as Sqlite;
use rustix::process::Signal;

use crate::arguments::Plan;
use crate::daemon::Daemon;
use crate::print::{Beside, Goal, figure};
use crate::settings::{self, NO_POLLS, NO_SINK};
use crate::stub::Stub;
use crate::{client, cpu, lists, print, waiting};

/// The watches of the daemon whose memory is subtracted.
const FEW: u64 = 10;
/// The most submissions in one request.
const IN_A_REQUEST: u64 = 50_000;
/// The goals at some numbers of watches: the seconds until the daemon is ready, and MiB of memory.
const GOALS: [(u64, f64, f64); 2] = [(100_000, 0.5, 50.0), (1_000_000, 3.0, 300.0)];

pub(crate) async fn measure(plan: &Plan) {
    let (few, _) = with(plan, FEW).await;
    let base = few.memory();
    drop(few);
    print::text(&format!(
        "stored: {FEW} watches take {:.1} MiB",
        mebibytes(base)
    ));
    for &count in &plan.stored {
        print::text(&format!("stored: {count} watches"));
        let (daemon, ready) = with(plan, count).await;
        let scanned = scan(&daemon.store());
        let goals = GOALS.iter().find(|(watches, ..)| count == *watches);
        let goal =
            |of: fn(&(u64, f64, f64)) -> f64| goals.map_or(Goal::None, |it| Goal::AtMost(of(it)));
        figure(
            "ready after",
            (ready.as_secs_f64(), "s"),
            Beside::Limit("scan by bare SQLite", scanned.as_secs_f64()),
            goal(|it| it.1),
        );
        let memory = daemon.memory();
        figure(
            "resident memory",
            (mebibytes(memory), "MiB"),
            Beside::Nothing,
            goal(|it| it.2),
        );
        let each = cpu::float(memory.saturating_sub(base)) / cpu::float(count);
        figure(
            "of each watch",
            (each, "bytes"),
            Beside::Nothing,
            goal(|_| 256.0),
        );
        lists::measure(&daemon, count).await;
    }
}

fn mebibytes(bytes: u64) -> f64 {
    cpu::float(bytes) / 1_048_576.0
}

/// Returns a daemon that was started with so many stored watches, and how long that took.
async fn with(plan: &Plan, count: u64) -> (Daemon, Duration) {
    let stub = Stub::serve(0);
    let settings = settings::service(stub.address, NO_POLLS) + NO_SINK;
    let mut daemon = Daemon::start(plan.cores.daemon, &settings).await;
    let mut first = 0;
    while first < count {
        let end = count.min(first + IN_A_REQUEST);
        client::submit(daemon.address, &settings::requests(first..end)).await;
        first = end;
    }
    let ready = daemon.restart(Signal::TERM).await;
    waiting::until_settled().await;
    (daemon, ready)
}

/// Reads every column of every watch with bare `SQLite`, and returns how long that takes.
fn scan(store: &Path) -> Duration {
    let db = Sqlite::open(store).expect("the store");
    let clock = SystemClock::shared();
    let mut select = db.prepare("SELECT * FROM watches").expect("a table");
    let columns = select.column_count();
    let mut rows = select.query([]).expect("rows");
    let mut bytes = 0;
    while let Some(row) = rows.next().expect("a row") {
        for column in 0..columns {
            let value = row.get_ref(column).expect("a value");
            bytes += value
                .as_bytes_or_null()
                .ok()
                .flatten()
                .map_or(8, <[u8]>::len);
        }
    }
    assert!(bytes > 0, "no watches are stored");
    clock.uptime()
}
