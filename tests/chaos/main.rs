//! Three replicas as processes, on two `PostgreSQL` servers and through `PgBouncer`, while faults
//! strike all of them: no acknowledged watch is lost, each end is reported as it was, and no event twice.
//!
//! `cargo test --test chaos` takes about two minutes. `JOBWATCH_CHAOS_TIME` sets the time of the
//! faults, and `JOBWATCH_CHAOS_SEED` draws them as in an earlier run.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program of its own, which ends at the first thing that it did not expect, and reports"
)]

mod bouncer;
mod clients;
mod cloud;
mod faults;
mod owners;
mod postgres;
mod programs;
mod proxy;
mod receiver;
mod replica;
mod verdict;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jobwatch::clock::{SharedClock, SystemClock, machine_seeded_rng, parse_duration};
use parking_lot::Mutex;
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bouncer::Bouncer;
use crate::clients::Clients;
use crate::cloud::Cloud;
use crate::faults::{Kind, Stage};
use crate::owners::Owners;
use crate::postgres::Pair;
use crate::programs::Programs;
use crate::proxy::Proxy;
use crate::receiver::Receiver;
use crate::replica::{Replica, Surroundings};
use crate::verdict::Seen;

const REPLICAS: usize = 3;
/// The time of the faults in the short form.
const SHORT: Duration = Duration::from_secs(75);
/// The jobs that begin in ten seconds.
const JOBS_IN_TEN_SECONDS: u64 = 80;
/// The most jobs.
const JOBS_MAX: u64 = 6_000;
/// How long everything may take after the last fault: the longest lease is that of a delivery, one
/// minute.
const SETTLE_MAX: Duration = Duration::from_secs(100);

fn main() -> ExitCode {
    // As a runner that asks for the names of tests expects.
    if std::env::args().any(|it| it == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_strict = std::env::var_os("CI").is_some_and(|it| it == "true");
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(missing) => {
            println!("SKIPPED chaos: {missing}");
            return ExitCode::from(u8::from(is_strict));
        }
    };
    if programs.faketime.is_none() {
        println!("SKIPPED the fault Clock: faketime (package faketime)");
        if is_strict {
            return ExitCode::FAILURE;
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wrongs = runtime.block_on(run(&programs));
    for wrong in &wrongs {
        println!("WRONG: {wrong}");
    }
    ExitCode::from(u8::from(!wrongs.is_empty()))
}

/// Plays the whole test, and returns what is wrong.
async fn run(programs: &Programs) -> Vec<String> {
    let seed = std::env::var("JOBWATCH_CHAOS_SEED").map_or_else(
        |_| machine_seeded_rng().random_range(0..1_000_000),
        |text| text.parse().expect("JOBWATCH_CHAOS_SEED is a number"),
    );
    let time = std::env::var("JOBWATCH_CHAOS_TIME").map_or(SHORT, |text| {
        parse_duration(&text).expect("JOBWATCH_CHAOS_TIME is a duration, as 30m")
    });
    println!(
        "JOBWATCH_CHAOS_SEED={seed} JOBWATCH_CHAOS_TIME={}s",
        time.as_secs()
    );
    let clock = SystemClock::shared();
    let tracker = TaskTracker::new();
    let (cloud, receiver) = (Cloud::new(&clock), Receiver::new(&clock));
    let pair = Pair::start(&programs.postgres).await;
    let bouncers = pair.ports().map(Bouncer::start);
    let around = Surroundings {
        cloud: serve(cloud.router(), &tracker).await,
        hook: format!("{}/hook", serve(receiver.router(), &tracker).await),
        servers: [0, 0],
        faketime: programs.faketime.clone(),
    };
    let stage = stage(&clock, pair, &bouncers, around, &tracker).await;
    let owners = Owners::default();
    let stop = CancellationToken::new();
    let primary = stage.primary.subscribe();
    let observing = owners
        .clone()
        .observe(Arc::clone(&clock), primary, stop.clone());
    let observing = tracker.spawn(observing);
    let supervising = tracker.spawn(stage.clone().supervise());
    let clients = clients(&cloud, &stage).await;
    let settled = settled(&stage, &owners, &clock);
    if let Err(wrong) = settled.await {
        keep_logs(&stage).await;
        return vec![wrong];
    }
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Clock || programs.faketime.is_some())
        .collect();
    let count = JOBS_MAX.min(time.as_secs() * JOBS_IN_TEN_SECONDS / 10);
    let submitting = clients.clone().submit(count, time, seed);
    tokio::join!(stage.disturb(&kinds, time, seed), submitting);
    println!(
        "{:7.1} s  the last fault is over",
        clock.uptime().as_secs_f64()
    );
    let mut wrongs = std::mem::take(&mut *stage.wrongs.lock());
    wrongs.extend(quiet(&stage, &owners, &clock).await.err());
    println!("{:7.1} s  quiet", clock.uptime().as_secs_f64());
    stop.cancel();
    supervising.abort();
    let _ = observing.await;
    wrongs.extend(judge(&stage, &cloud, &receiver, &owners, &clients).await);
    wrongs
}

/// Starts the replicas. The last one reaches the servers through `PgBouncer`.
async fn stage(
    clock: &SharedClock,
    pair: Pair,
    bouncers: &[Bouncer; 2],
    mut around: Surroundings,
    tracker: &TaskTracker,
) -> Stage {
    let mut replicas = Vec::new();
    for number in 1..=REPLICAS {
        let proxy = Proxy::new(tracker);
        let [one, two] = if number == REPLICAS {
            bouncers.each_ref().map(|it| it.port)
        } else {
            pair.ports()
        };
        around.servers = [proxy.way(one).await, proxy.way(two).await];
        replicas.push(AsyncMutex::new(Replica::start(number, proxy, &around)));
    }
    Stage {
        clock: Arc::clone(clock),
        replicas: replicas.into(),
        primary: Arc::new(watch::Sender::new(pair.primary_port())),
        pair: Arc::new(AsyncMutex::new(pair)),
        faults: Arc::default(),
        wrongs: Arc::default(),
    }
}

async fn clients(cloud: &Cloud, stage: &Stage) -> Clients {
    let mut replicas = Vec::new();
    for replica in stage.replicas.iter() {
        replicas.push(replica.lock().await.api.clone());
    }
    Clients {
        cloud: cloud.clone(),
        replicas: replicas.into(),
        acknowledged: Arc::new(Mutex::default()),
    }
}

/// Serves on a free port; returns the URL.
async fn serve(router: Router, tracker: &TaskTracker) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = tracker.clone();
    tracker.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let socket = hyper_util::rt::TokioIo::new(socket);
            connections.spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                // A client that is killed ends its connection at any place.
                let _ = http.serve_connection(socket, service).await;
            });
        }
    });
    url
}

/// Waits until the running replicas own all shards.
async fn settled(stage: &Stage, owners: &Owners, clock: &SharedClock) -> Result<(), String> {
    let until = clock.uptime() + SETTLE_MAX;
    while clock.uptime() < until {
        let mut names = HashSet::new();
        for replica in stage.replicas.iter() {
            names.insert(replica.lock().await.name());
        }
        if owners.settled(&names) {
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err("the replicas do not share the shards".to_owned())
}

/// Waits until every watch has ended, every event is delivered, and the shards are shared again.
async fn quiet(stage: &Stage, owners: &Owners, clock: &SharedClock) -> Result<(), String> {
    let until = clock.uptime() + SETTLE_MAX;
    let mut open = None;
    while clock.uptime() < until && open != Some(0) {
        sleep(Duration::from_millis(500)).await;
        let client = stage.pair.lock().await.connect("jw").await;
        if let Ok(client) = client {
            open = verdict::open(&client).await.ok();
        }
    }
    if open != Some(0) {
        return Err(format!(
            "after {SETTLE_MAX:?} there are {open:?} open watches and deliveries"
        ));
    }
    settled(stage, owners, clock).await
}

async fn judge(
    stage: &Stage,
    cloud: &Cloud,
    receiver: &Receiver,
    owners: &Owners,
    clients: &Clients,
) -> Vec<String> {
    let mut log = String::new();
    for replica in stage.replicas.iter() {
        let replica = replica.lock().await;
        log.push_str(&replica.log());
        println!(
            "replica {} ended by itself {} times",
            replica.number, replica.own_ends
        );
    }
    let faults = stage.faults.lock().clone();
    let acknowledged = std::mem::take(&mut *clients.acknowledged.lock());
    let client = stage.pair.lock().await.connect("jw").await.unwrap();
    let seen = Seen {
        cloud,
        receiver,
        owners,
        acknowledged: &acknowledged,
        faults: &faults,
        log: &log,
    };
    let wrongs = verdict::judge(&client, &seen).await;
    if !wrongs.is_empty() {
        keep_logs(stage).await;
    }
    wrongs
}

/// Copies the logs to where they stay.
async fn keep_logs(stage: &Stage) {
    for replica in stage.replicas.iter() {
        let replica = replica.lock().await;
        let file = format!("jobwatch-chaos-{}.log", replica.number);
        let file = std::env::temp_dir().join(file);
        std::fs::write(&file, replica.log()).unwrap();
        println!("its log is in {}", file.display());
    }
}
