//! The limit of a poll: bare reqwest, as a process of its own on the core of the daemon.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jobwatch::outbound;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::task::LocalSet;

use crate::arguments::Plan;
use crate::settings::CONCURRENCY;
use crate::stub::{self, Stub};
use crate::{cpu, daemon};

/// The first argument of the process that makes the requests.
pub(crate) const COMMAND: &str = "make-requests";

/// The cost of requests with bare reqwest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// The CPU time of one, in microseconds.
    pub(crate) micros: f64,
    pub(crate) connections: u64,
}

/// Makes so many GETs as the daemon would, with bare reqwest.
pub(crate) fn cost(plan: &Plan, count: u64) -> Cost {
    let stub = Stub::serve(0);
    let program = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    command.arg(COMMAND).arg(stub.address.to_string());
    command.arg(count.to_string());
    let output = daemon::on_core(plan.cores.daemon, || command.output());
    let output = output.expect("this program");
    assert!(output.status.success(), "bare reqwest: {output:?}");
    let nanos = String::from_utf8_lossy(&output.stdout).trim().parse();
    Cost {
        micros: cpu::micros_each(Duration::from_nanos(nanos.expect("a number")), count),
        connections: stub.board.connections.load(Ordering::Relaxed),
    }
}

/// Makes the requests, and prints the nanoseconds of CPU time that they took.
pub(crate) fn make(arguments: &[String]) {
    let server: SocketAddr = arguments[0].parse().expect("an address");
    let count: u64 = arguments[1].parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let took = runtime.block_on(LocalSet::new().run_until(async {
        let client = outbound::client().no_proxy().build().expect("a client");
        // The first requests make the connections.
        all(&client, server, CONCURRENCY * 10).await;
        let before = cpu_time();
        all(&client, server, count).await;
        cpu_time().saturating_sub(before)
    }));
    crate::print::text(&took.as_nanos().to_string());
}

async fn all(client: &reqwest::Client, server: SocketAddr, count: u64) {
    let tasks: Vec<_> = (0..CONCURRENCY)
        .map(|first| {
            let client = client.clone();
            tokio::task::spawn_local(async move {
                let mut job = first;
                while job < count {
                    one(&client, server, job).await;
                    job += CONCURRENCY;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("requests that work");
    }
}

async fn one(client: &reqwest::Client, server: SocketAddr, job: u64) {
    let job_id = stub::job_id(job);
    let url = format!("http://{server}/v1/0123456789abcdef0123456789abcdef/jobs/{job_id}");
    let answer = client
        .get(url)
        .header("content-type", "application/json")
        .header("x-auth-token", "secret")
        .timeout(Duration::from_secs(30))
        .send()
        .await
        .expect("an answer");
    let body = answer.bytes().await.expect("a body");
    let value: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(value["status"], "RUNNING");
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("a time that has passed"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}
