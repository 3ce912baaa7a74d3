//! The CPU time of a poll that shows nothing new, when as many are made as one core can make.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::arguments::Plan;
use crate::daemon::Daemon;
use crate::print::{Beside, Goal, figure, quantile};
use crate::settings::{self, CONCURRENCY, NO_SINK, SATURATED};
use crate::stub::Stub;
use crate::{client, cpu, print, requests, waiting};

/// One round of the daemon.
struct Round {
    micros: f64,
    a_second: f64,
    connections: u64,
}

pub(crate) async fn measure(plan: &Plan) {
    let Plan { polls, rounds, .. } = plan;
    print::text(&format!(
        "polls: {polls} jobs, {CONCURRENCY} at once, median of {rounds} rounds"
    ));
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..*rounds {
        ours.push(round(plan).await);
        bare.push(requests::cost(plan, plan.polls * 30));
    }
    let median = |of: fn(&Round) -> f64| quantile(&ours.iter().map(of).collect::<Vec<_>>(), 0.5);
    let micros: Vec<f64> = bare.iter().map(|it| it.micros).collect();
    figure(
        "CPU of a poll",
        (median(|it| it.micros), "µs"),
        Beside::Limit("bare reqwest", quantile(&micros, 0.5)),
        Goal::Ratio(1.25),
    );
    figure(
        "polls",
        (median(|it| it.a_second), "/s"),
        Beside::Nothing,
        Goal::None,
    );
    let most = ours.iter().map(|it| it.connections).max().unwrap_or(0);
    let beside = bare.iter().map(|it| it.connections).max().unwrap_or(0);
    print::text(&format!(
        "  connections accepted: {most} (bare reqwest {beside})"
    ));
    assert!(
        most <= 2 * CONCURRENCY,
        "connections are not kept: {most} for {CONCURRENCY} polls at once"
    );
}

async fn round(plan: &Plan) -> Round {
    let stub = Stub::serve(plan.polls);
    let settings = settings::service(stub.address, SATURATED) + NO_SINK;
    let daemon = Daemon::start(plan.cores.daemon, &settings).await;
    client::submit(daemon.address, &settings::requests(0..plan.polls)).await;
    let polls = || stub.board.polls.load(Ordering::Relaxed);
    waiting::until("all jobs are polled", || polls() > 5 * plan.polls).await;
    let (made, from, used) = (polls(), stub.board.now(), cpu::of(&daemon));
    sleep(Duration::from_secs(plan.seconds)).await;
    let used = cpu::of(&daemon).saturating_sub(used);
    let (made, took) = (polls() - made, stub.board.now().saturating_sub(from));
    Round {
        micros: cpu::micros_each(used, made),
        a_second: cpu::a_second(made, took),
        connections: stub.board.connections.load(Ordering::Relaxed),
    }
}
