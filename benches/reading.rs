//! The cost of reading one answer, beside the bare JSON parse of the same bytes.
//!
//! A 400-byte SDRS body, and a 20 KB one with 50 children. *Bare* is
//! `serde_json::from_slice::<Value>`; *ours* is everything from the bytes to the
//! observation, including that parse. The two kinds alternate; the median of each is printed.
//!
//! Then the same body as strict JSON, as JSON with a fault and as XML, each without a
//! definition, and the bodies of 1 MiB that cost the readers most.
//!
//! `cargo bench --bench reading` prints time per read and the ratio.

use std::hint::black_box;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use jobwatch::definition::Definition;
use jobwatch::definition::body::{Format, parse};
use jobwatch::definition::catalog::Catalog;
use jobwatch::definition::reading::{Answer, Asked, read};
use jobwatch::watch::observation::Observation;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// The number of runs of each kind.
const RUNS: usize = 25;
/// The size of the bodies that cost most: the default of `max_body`.
const LARGEST: usize = 1024 * 1024;
const JOB_ID: &str = "ff8080826b45d4a5016b5036242c0025";

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let catalog = Catalog::built_in();
    let sdrs = catalog.get("sdrs").expect("a built-in definition");
    compare(sdrs, "one job", &small(), 20_000);
    compare(sdrs, "50 children", &large(), 1_000);
    compare_formats("one job", &small(), 20_000);
    compare_formats("50 children", &large(), 500);
    for (name, format, body) in worst() {
        measure_worst(name, format, &body);
    }
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

/// Compares the readers of bodies with the bare parse of the same facts.
fn compare_formats(name: &str, json: &[u8], reads: u32) {
    let root: Value = serde_json::from_slice(json).expect("JSON");
    let mut faulty = json.to_vec();
    faulty.splice(1..1, *b"\"not_a_number\":NaN,\"line\":\"a\nb\",");
    let mut xml = String::new();
    write_xml("job", &root, &mut xml);
    let read = |format, body: &[u8]| {
        let parsed = parse(format, &[], None, black_box(body)).expect("a body of this format");
        black_box(parsed).is_lenient
    };
    assert!(read(Format::Json, &faulty) && !read(Format::Json, json));
    let mut costs: [Vec<f64>; 4] = Default::default();
    for _ in 0..RUNS {
        costs[0].push(time_of(reads, || {
            black_box(serde_json::from_slice::<Value>(black_box(json)).expect("JSON"));
        }));
        for (costs, (format, body)) in costs[1..].iter_mut().zip([
            (Format::Json, json),
            (Format::Json, &faulty),
            (Format::Xml, xml.as_bytes()),
        ]) {
            costs.push(time_of(reads, || {
                read(format, body);
            }));
        }
    }
    let [bare, strict, lenient, xml] = costs.map(median);
    print(&format!(
        "{name:<12} bare parse {bare:8.2} µs   strict {strict:8.2} µs   lenient {lenient:8.2} µs   \
         XML {xml:8.2} µs   strict / bare {:5.2}",
        strict / bare
    ));
}

/// Writes `value` as an element, and its members as elements in it.
fn write_xml(name: &str, value: &Value, out: &mut String) {
    if let Value::Array(values) = value {
        for value in values {
            write_xml(name, value, out);
        }
        return;
    }
    out.extend(["<", name, ">"]);
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| write_xml(name, value, out)),
        Value::String(text) => out.push_str(text),
        value => out.push_str(&value.to_string()),
    }
    out.extend(["</", name, ">"]);
}

/// A body of 1 MiB: its name, its form, and its text.
type Body = (&'static str, Format, Vec<u8>);

/// Fills a body with as many repetitions of `piece` as 1 MiB has room for.
fn filled(before: &str, piece: &str, after: &str) -> Vec<u8> {
    let count = (LARGEST - before.len() - after.len()) / piece.len();
    format!("{before}{}{after}", piece.repeat(count)).into_bytes()
}

/// Fills a body with pieces that all differ.
fn numbered(before: &str, piece: fn(usize) -> String, after: &str) -> Vec<u8> {
    let mut body = before.to_owned();
    let mut n = 0;
    while body.len() < LARGEST {
        body.push_str(&piece(n));
        n += 1;
    }
    (body + after).into_bytes()
}

/// Bodies that cost the readers more than others of their size, some of them in vain.
fn worst() -> Vec<Body> {
    let json = [
        ("JSON: brackets", filled("", "[", "")),
        ("JSON: empty lists", filled("[", "[],", "[]]")),
        ("JSON: NaN", filled("[", "NaN,", "NaN]")),
        ("JSON: surrogates", filled("[\"", "\\ud800", "\"]")),
        ("JSON: bad escapes", filled("[\"", "\\x", "\"]")),
        ("JSON: control", filled("[\"", "\0", "\"]")),
        ("JSON: strings", filled("[\"\n\"", ",\"\"", "]")),
        (
            "JSON: long numbers",
            filled("[", "12345678901234567890,", "1]"),
        ),
        ("JSON: one number", filled("[", "9", "]")),
        (
            "JSON: members",
            numbered("{\"\n\":0", |n| format!(",\"{n}\":0"), "}"),
        ),
        ("JSON: half", filled("[\"\n\"", ",-1", "")),
    ];
    let xml = [
        ("XML: nested", filled("", "<a>", "")),
        ("XML: elements", filled("<a>", "<b/>", "</a>")),
        (
            "XML: names",
            numbered("<a>", |n| format!("<b{n}/>"), "</a>"),
        ),
        (
            "XML: attributes",
            numbered("<a", |n| format!(" b{n}=''"), "/>"),
        ),
        ("XML: references", filled("<a>", "&lt;", "</a>")),
        ("XML: in attribute", filled("<a b='", "&lt;", "'/>")),
        ("XML: ampersands", filled("<a>", "&", "</a>")),
        ("XML: comments", filled("<a>", "<!---->", "</a>")),
        ("XML: tags", filled("<a>", "<", "")),
    ];
    let json = json.map(|(name, body)| (name, Format::Json, body));
    let xml = xml.map(|(name, body)| (name, Format::Xml, body));
    json.into_iter().chain(xml).collect()
}

fn measure_worst(name: &str, format: Format, body: &[u8]) {
    let costs = (0..RUNS).map(|_| {
        time_of(1, || {
            let _ = black_box(parse(format, &[], None, black_box(body)));
        })
    });
    let is_read = if parse(format, &[], None, body).is_ok() {
        "read"
    } else {
        "refused"
    };
    let millis = median(costs.collect()) / 1000.0;
    print(&format!(
        "{name:<20} {:>8} bytes   {millis:8.2} ms   {is_read}",
        body.len()
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
