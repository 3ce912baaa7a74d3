//! The cost of an end, with its event and one delivery: all jobs end at once while they are
//! polled as fast as possible, and the polls themselves are subtracted.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::arguments::Plan;
use crate::daemon::Daemon;
use crate::log_lines::LogLines;
use crate::print::{Beside, Goal, figure};
use crate::settings::{self, ENDS_IN_LOG, SATURATED};
use crate::stub::Stub;
use crate::{bare, client, cpu, print, waiting};

/// The completions in one transaction of bare `SQLite`, as many as the polls at the same time.
const AT_ONCE: usize = 64;
/// The rows that an end stores: the watch, one event and one delivery.
const ROWS: [(&str, &str); 3] = [
    ("watches", ""),
    ("events", "WHERE type LIKE '%job.succeeded'"),
    ("deliveries", ""),
];

/// The sinks that are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Webhook,
    Log,
}

/// The cost of the ends.
struct Ends {
    /// The CPU time of one poll before the ends, in microseconds.
    poll: f64,
    /// The CPU time of one end without its poll, in microseconds.
    end: f64,
    /// The ends that were stored and delivered in a second.
    a_second: f64,
}

pub(crate) async fn measure(plan: &Plan) {
    print::text(&format!(
        "transitions: {} jobs end at once, each with an event and a delivery",
        plan.transitions
    ));
    for (kind, name) in [(Kind::Webhook, "signed webhook"), (Kind::Log, "log line")] {
        let stub = Stub::serve(plan.transitions);
        let sink = match kind {
            Kind::Webhook => settings::webhook(stub.address),
            Kind::Log => ENDS_IN_LOG.to_owned(),
        };
        let settings = settings::service(stub.address, SATURATED) + &sink;
        let daemon = Daemon::start(plan.cores.daemon, &settings).await;
        client::submit(daemon.address, &settings::requests(0..plan.transitions)).await;
        let ends = end_all(plan, &stub, &daemon, kind).await;
        report(plan, &daemon, name, &ends);
    }
}

async fn end_all(plan: &Plan, stub: &Stub, daemon: &Daemon, kind: Kind) -> Ends {
    let count = plan.transitions;
    let board = &stub.board;
    let polls = || board.polls.load(Ordering::Relaxed);
    let mut lines = LogLines::of(daemon);
    let mut delivered = || match kind {
        Kind::Webhook => board.webhooks.load(Ordering::Relaxed),
        Kind::Log => lines.count(),
    };
    waiting::until("all jobs are polled", || polls() > 2 * count).await;
    let (made, used) = (polls(), cpu::of(daemon));
    sleep(Duration::from_secs(plan.seconds)).await;
    let used = cpu::of(daemon).saturating_sub(used);
    let poll = cpu::micros_each(used, polls() - made);

    let (made, used, from) = (polls(), cpu::of(daemon), board.now());
    for job in 0..count {
        board.end(job, from);
    }
    waiting::until("all ends are delivered", || delivered() >= count).await;
    let took = board.now().saturating_sub(from);
    waiting::until_settled().await;
    assert_eq!(delivered(), count, "a delivery for each job");
    let used = cpu::of(daemon).saturating_sub(used);
    let made = polls() - made;
    Ends {
        poll,
        end: cpu::micros_each(used, count) - poll * cpu::float(made) / cpu::float(count),
        a_second: cpu::a_second(count, took),
    }
}

fn report(plan: &Plan, daemon: &Daemon, name: &str, ends: &Ends) {
    let count = plan.transitions;
    let jobs = usize::try_from(count).expect("a small number");
    let (wall, rows) = bare::insert_again(&daemon.store(), &ROWS, jobs, AT_ONCE);
    figure(
        &format!("CPU of an end, {name}"),
        (ends.end, "µs"),
        Beside::Limit("its rows, bare SQLite", cpu::micros_each(rows, count)),
        Goal::AtMost(60.0),
    );
    figure(
        &format!("CPU of a poll before, {name}"),
        (ends.poll, "µs"),
        Beside::Nothing,
        Goal::None,
    );
    figure(
        &format!("durable and delivered, {name}"),
        (ends.a_second, "/s"),
        Beside::Limit("bare SQLite", cpu::a_second(count, wall)),
        Goal::AtLeast(15_000.0),
    );
}
