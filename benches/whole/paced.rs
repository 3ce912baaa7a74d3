//! Ten thousand jobs, polled every 2 s, which end one by one: a signed webhook each, durable.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::Plan;
use crate::board::{Board, Delays};
use crate::daemon::Daemon;
use crate::print::{Beside, Goal, figure, mean, quantile};
use crate::stub::Stub;
use crate::{bare, client, cpu, print, requests, settings, waiting};

/// The time between two polls of a job, over which the submissions are spread too.
const INTERVAL: Duration = Duration::from_secs(2);
/// The number of submissions in bulk.
const BATCHES: u32 = 50;
/// The settings of these polls.
const POLL: &str = "first = \"2s\", initial = \"2s\", max = \"2s\", jitter = 0.0";
/// The rows that the daemon stores for each job: the ends of watches are updates there.
const ROWS: [(&str, &str); 3] = [("watches", ""), ("events", ""), ("deliveries", "")];

pub(crate) async fn measure(plan: &Plan) {
    let Plan { paced, spread, .. } = plan;
    print::text(&format!(
        "paced: {paced} jobs, polled every 2 s, ends spread over {spread} s, a webhook each"
    ));
    let stub = Stub::serve(*paced);
    let settings = settings::service(stub.address, POLL) + &settings::webhook(stub.address);
    let daemon = Daemon::start(plan.cores.daemon, &settings).await;
    let used = cpu::of(&daemon);
    plan_ends(&stub.board, plan);
    submit(&daemon, *paced).await;
    let webhooks = || stub.board.webhooks.load(Ordering::Relaxed);
    waiting::until("all webhooks came", || webhooks() >= *paced).await;
    waiting::until_settled().await;
    let used = cpu::of(&daemon).saturating_sub(used);
    assert_eq!(webhooks(), *paced, "a webhook for each job");
    assert_eq!(stub.board.unsigned.load(Ordering::Relaxed), 0, "signed");

    report_cpu(plan, &daemon, &stub.board, used);
    report_delays(&stub.board.delays());
}

/// Plans the ends in an order that has nothing to do with that of the polls.
fn plan_ends(board: &Board, plan: &Plan) {
    let first = board.now() + 3 * INTERVAL;
    let spread = Duration::from_secs(plan.spread);
    for job in 0..plan.paced {
        let place = u32::try_from(job * 7_919 % plan.paced).expect("fewer jobs than that");
        let places = u32::try_from(plan.paced).expect("fewer jobs than that");
        board.end(job, first + spread / places * place);
    }
}

/// Submits the watches evenly over one interval, so that their polls are spread evenly.
async fn submit(daemon: &Daemon, jobs: u64) {
    let mut ticks = interval(INTERVAL / BATCHES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let batches = u64::from(BATCHES);
    for batch in 0..batches {
        ticks.tick().await;
        let jobs = batch * jobs / batches..(batch + 1) * jobs / batches;
        client::submit(daemon.address, &settings::requests(jobs)).await;
    }
}

/// Reports the CPU time beside that of the same requests and rows.
fn report_cpu(plan: &Plan, daemon: &Daemon, board: &Board, used: Duration) {
    let polls = board.polls.load(Ordering::Relaxed);
    let requests = polls + plan.paced;
    let request = requests::cost(plan, requests);
    let jobs = usize::try_from(plan.paced).expect("a small number");
    let (_, rows) = bare::insert_again(&daemon.store(), &ROWS, jobs, 1);
    let bare = cpu::seconds(request.micros, requests) + rows.as_secs_f64();
    let goal = cpu::seconds(500.0, plan.paced);
    figure(
        "CPU in all",
        (used.as_secs_f64(), "s"),
        Beside::Limit("same requests and rows, bare", bare),
        Goal::AtMost(goal),
    );
    let connections = board.connections.load(Ordering::Relaxed);
    print::text(&format!(
        "  {polls} polls, {} webhooks, over {connections} connections",
        plan.paced
    ));
}

fn report_delays(delays: &[Delays]) {
    let of = |figure: fn(&Delays) -> f64| delays.iter().map(figure).collect::<Vec<_>>();
    let interval = INTERVAL.as_secs_f64() * 1000.0;
    let lag = mean(&of(|it| it.lag));
    // The mean of ten thousand ends in no order is exact to 6 ms; the intervals are exact.
    figure(
        "from the end to the poll that saw it, mean",
        (lag, "ms"),
        Beside::Limit("ideal", interval / 2.0),
        Goal::None,
    );
    let late: Vec<f64> = of(|it| it.interval)
        .iter()
        .map(|it| it - interval)
        .collect();
    let webhook = of(|it| it.webhook);
    for (name, values) in [
        ("that poll beyond 2 s after the one before", &late),
        ("from that poll to the webhook", &webhook),
    ] {
        let p99 = Beside::Also("p99", quantile(values, 0.99));
        let median = (quantile(values, 0.5), "ms");
        figure(&format!("{name}, median"), median, p99, Goal::AtMost(5.0));
    }
}
