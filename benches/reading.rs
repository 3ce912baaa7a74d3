//! The cost of reading one answer, beside the bare JSON parse of the same bytes.
//!
//! A 400-byte SDRS body, and a 20 KB one with 50 children. *Bare* is
//! `serde_json::from_slice::<Value>`; *ours* is everything from the bytes to the
//! observation, including that parse. The two kinds alternate; the median of each is printed.
//!
//! `cargo bench --bench reading` prints time per read and the ratio.

use std::hint::black_box;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use jobwatch::definition::Definition;
use jobwatch::definition::catalog::Catalog;
use jobwatch::definition::reading::{Answer, Asked, read};
use jobwatch::watch::observation::Observation;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// The number of runs of each kind.
const RUNS: usize = 25;
const JOB_ID: &str = "ff8080826b45d4a5016b5036242c0025";

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let catalog = Catalog::built_in();
    let sdrs = catalog.get("sdrs").expect("a built-in definition");
    compare(sdrs, "one job", &small(), 20_000);
    compare(sdrs, "50 children", &large(), 1_000);
}

/// A job without children, of 400 bytes.
fn small() -> Vec<u8> {
    let body = |filling: usize| {
        json!({
            "job_id": JOB_ID,
            "job_type": "createProtectionGroupNoCG",
            "begin_time": "2019-06-13T09:40:53.930Z",
            "end_time": "2019-06-13T09:41:01.946Z",
            "status": "SUCCESS",
            "error_code": null,
            "fail_reason": null,
            "entities": {
                "server_group_id": "a59d008e-4bad-4bf3-9b17-6cc25e7da483",
                "note": "x".repeat(filling),
            },
        })
        .to_string()
    };
    let filling = 400 - body(0).len();
    body(filling).into_bytes()
}

/// A parent with 50 children, some 20 KB.
fn large() -> Vec<u8> {
    let children: Vec<Value> = (0..50)
        .map(|n| {
            json!({
                "job_id": format!("ff8080826b45d4a5016b50362868{n:04x}"),
                "job_type": "stopProtectionGroupRepNoCG",
                "begin_time": "2019-06-13T09:40:55.015Z",
                "end_time": "2019-06-13T09:40:58.951Z",
                "status": "SUCCESS",
                "error_code": null,
                "fail_reason": null,
                "entities": {
                    "server_group_id": "1fd6903c-48f9-4772-8974-112dfbd74427",
                    "note": "x".repeat(120),
                },
            })
        })
        .collect();
    json!({
        "job_id": JOB_ID,
        "job_type": "stopProtectionGroupNoCG",
        "begin_time": "2019-06-13T09:40:53.930Z",
        "end_time": "2019-06-13T09:41:01.946Z",
        "status": "SUCCESS",
        "error_code": null,
        "fail_reason": null,
        "entities": { "sub_jobs": children },
    })
    .to_string()
    .into_bytes()
}

fn compare(definition: &Definition, name: &str, body: &[u8], reads: u32) {
    let headers = HeaderMap::new();
    let answer = Answer {
        http_status: 200,
        headers: &headers,
        body,
        is_cut: false,
    };
    let observe = || {
        read(
            definition,
            &Asked::job(JOB_ID),
            &answer,
            Timestamp::UNIX_EPOCH,
        )
    };
    assert!(
        matches!(observe(), Observation::Sighting(_)),
        "the body is read as a job"
    );
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        bare.push(time_of(reads, || {
            black_box(serde_json::from_slice::<Value>(black_box(body)).expect("JSON"));
        }));
        ours.push(time_of(reads, || {
            black_box(observe());
        }));
    }
    let (bare, ours) = (median(bare), median(ours));
    print(&format!(
        "{name:<12} {:>6} bytes   bare parse {bare:8.2} µs   read {ours:8.2} µs   ratio {:5.2}",
        body.len(),
        ours / bare
    ));
}

/// Returns the CPU time of one call, in microseconds.
fn time_of(reads: u32, call: impl Fn()) -> f64 {
    let before = cpu_time();
    (0..reads).for_each(|_| call());
    cpu_time().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(reads)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("a time that has passed"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
