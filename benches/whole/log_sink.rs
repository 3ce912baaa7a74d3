//! Events through the log sink, as fast as submissions in bulk cause them.

use std::time::Duration;

use crate::arguments::Plan;
use crate::daemon::Daemon;
use crate::log_lines::LogLines;
use crate::print::{Beside, Goal, figure};
use crate::settings::{self, ALL_IN_LOG, NO_POLLS, NO_SINK};
use crate::stub::Stub;
use crate::{client, cpu, print, waiting};

/// The most submissions in one request.
const IN_A_REQUEST: usize = 50_000;

/// The submissions in bulk with one kind of settings.
struct Run {
    /// The time until the last submission was acknowledged.
    submitted: Duration,
    /// The time until the last line was in the log.
    logged: Duration,
    cpu: Duration,
}

pub(crate) async fn measure(plan: &Plan) {
    let count = plan.log;
    print::text(&format!("log: {count} submissions in bulk, a line each"));
    let without = run(plan, NO_SINK, 0).await;
    let with = run(plan, ALL_IN_LOG, count).await;
    figure(
        "events through the log sink",
        (cpu::a_second(count, with.logged), "/s"),
        Beside::Limit("arrive", cpu::a_second(count, with.submitted)),
        Goal::AtLeast(20_000.0),
    );
    figure(
        "submissions without the sink",
        (cpu::a_second(count, without.submitted), "/s"),
        Beside::Nothing,
        Goal::None,
    );
    let behind = with.logged.saturating_sub(with.submitted);
    figure(
        "the last line after the last submission",
        (behind.as_secs_f64() * 1000.0, "ms"),
        Beside::Nothing,
        Goal::AtMost(1000.0),
    );
    let more = with.cpu.saturating_sub(without.cpu);
    let each = cpu::micros_each(more, count);
    figure(
        "CPU of an event through the log sink",
        (each, "µs"),
        Beside::Nothing,
        Goal::AtMost(50.0),
    );
}

async fn run(plan: &Plan, sink: &str, lines: u64) -> Run {
    let stub = Stub::serve(0);
    let settings = settings::service(stub.address, NO_POLLS) + sink;
    let daemon = Daemon::start(plan.cores.daemon, &settings).await;
    let mut log = LogLines::of(&daemon);
    let requests = settings::requests(0..plan.log);
    let used = cpu::of(&daemon);
    let from = stub.board.now();
    for part in requests.chunks(IN_A_REQUEST) {
        client::submit(daemon.address, part).await;
    }
    let submitted = stub.board.now().saturating_sub(from);
    waiting::until("all events are in the log", || log.count() >= lines).await;
    let logged = stub.board.now().saturating_sub(from);
    waiting::until_settled().await;
    assert_eq!(log.count(), lines, "a line for each event");
    Run {
        submitted,
        logged,
        cpu: cpu::of(&daemon).saturating_sub(used),
    }
}
