//! Answers of the services, and how each is read.
//!
//! `fixtures/` has recorded and documented bodies with their sources; its manifest has the
//! expected reading of each. No body of a failed or running job was found in public, so
//! those in [`built`] are made from the field tables of the API references.

mod built;
mod table;

use std::path::Path;

use http::HeaderMap;
use jiff::Timestamp;
use jobwatch::definition::catalog::Catalog;
use jobwatch::definition::reading;
use jobwatch::definition::reading::{Answer, Asked};
use jobwatch::watch::Outcome;
use jobwatch::watch::observation::{Observation, Problem, Sighting};
use serde::Deserialize;
use serde_json::Value;

/// One row of the manifest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    file: String,
    definition: String,
    http: u16,
    source: String,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Expected {
    Sighting { state: String },
    Problem { problem: String, message: String },
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures"))
}

fn fixtures() -> Vec<Fixture> {
    let manifest = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
    serde_json::from_str(&manifest).unwrap()
}

fn body(fixture: &Fixture) -> Vec<u8> {
    std::fs::read(folder().join(&fixture.file)).unwrap()
}

/// Reads a body as an answer about `job_id`.
pub(crate) fn read(definition: &str, http_status: u16, job_id: &str, body: &[u8]) -> Observation {
    let catalog = Catalog::built_in();
    let headers = HeaderMap::new();
    let answer = Answer {
        http_status,
        headers: &headers,
        body,
        is_cut: false,
    };
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let asked = Asked::job(job_id);
    reading::read(catalog.get(definition).unwrap(), &asked, &answer, now)
}

#[track_caller]
pub(crate) fn sighting(observation: Observation) -> Sighting {
    match observation {
        Observation::Sighting(sighting) => sighting,
        Observation::Problem(problem) => panic!("no sighting: {problem:?}"),
    }
}

#[track_caller]
pub(crate) fn problem(observation: Observation) -> Problem {
    match observation {
        Observation::Problem(problem) => problem,
        Observation::Sighting(sighting) => panic!("no problem: {sighting:?}"),
    }
}

/// The recorded answer in `file`, about its own job.
fn recorded(file: &str) -> Sighting {
    let all = fixtures();
    let fixture = all.iter().find(|fixture| fixture.file == file).unwrap();
    let body = body(fixture);
    let parsed: Value = serde_json::from_slice(&body).unwrap();
    let job_id = parsed["job_id"].as_str().unwrap();
    sighting(read(&fixture.definition, fixture.http, job_id, &body))
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn every_recorded_answer_matches_its_manifest_row() {
    for fixture in fixtures() {
        let body = body(&fixture);
        let parsed: Value = serde_json::from_slice(&body).unwrap();
        let job_id = parsed["job_id"].as_str().unwrap_or("any");
        let observation = read(&fixture.definition, fixture.http, job_id, &body);
        match &fixture.expect {
            Expected::Sighting { state } => {
                let seen = sighting(observation);
                assert_eq!(seen.job.state.as_str(), state, "{}", fixture.file);
                assert!(!seen.unknown_status, "{}", fixture.file);
                assert!(seen.warnings.is_empty(), "{:?}", seen.warnings);
                assert_eq!((seen.job.code, seen.job.reason), (None, None));
            }
            Expected::Problem {
                problem: kind,
                message,
            } => {
                let met = problem(observation);
                assert_eq!(met.kind.as_str(), kind, "{}", fixture.file);
                assert_eq!(&met.message, message, "{}", fixture.file);
                assert_eq!(met.http_status, Some(fixture.http));
                assert!(met.code.is_some(), "{}", fixture.file);
            }
        }
    }
}

#[test]
fn every_fixture_is_in_the_manifest_and_has_a_source() {
    // The test of the catalog reads the fixtures of other definitions.
    let others = std::fs::read_to_string(folder().join("others.json")).unwrap();
    let others: Vec<Value> = serde_json::from_str(&others).unwrap();
    let others = others
        .iter()
        .map(|row| row["file"].as_str().unwrap().to_owned());
    let mine = fixtures().into_iter().map(|fixture| fixture.file);
    let mut listed: Vec<String> = mine.chain(others).collect();
    listed.sort();
    let mut present = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for file in std::fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                present.push(file.strip_prefix(folder()).unwrap().display().to_string());
            }
        }
    }
    present.sort();
    assert_eq!(listed, present);
    assert!(fixtures().iter().all(|fixture| !fixture.source.is_empty()));
}

#[test]
fn times_in_epoch_milliseconds_are_read() {
    let job = recorded("dcs/success.json").job;
    assert_eq!(job.began_at, Some(time("2023-05-15T22:59:05.379Z")));
    assert_eq!(job.ended_at, Some(time("2023-05-15T22:59:08.248Z")));
    assert_eq!(job.job_type.as_deref(), Some("masterStandbySwapJob"));
}

#[test]
fn times_without_a_zone_are_utc() {
    let job = recorded("sfs-turbo/success.json").job;
    assert_eq!(job.began_at, Some(time("2023-07-26T09:33:58Z")));
    assert_eq!(job.ended_at, Some(time("2023-07-26T09:33:58Z")));
    assert_eq!(job.status.as_deref(), Some("success"));
}

#[test]
fn children_have_outcomes_and_are_not_listed_as_resources() {
    let job = recorded("sdrs/success_with_sub_jobs.json").job;
    assert_eq!(job.began_at, Some(time("2019-06-13T09:40:53.930Z")));
    assert_eq!(job.ended_at, Some(time("2019-06-13T09:41:01.946Z")));
    let ids: Vec<_> = job
        .children
        .iter()
        .map(|child| child.job_id.as_deref().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "ff8080826b45d4a5016b50362868002a",
            "ff8080826b45d4a5016b50362870002b"
        ]
    );
    for child in &job.children {
        assert_eq!(child.outcome.map(Outcome::as_str), Some("succeeded"));
    }
    assert_eq!(job.resources, Some(serde_json::json!({})));
}

#[test]
fn resources_are_kept_as_the_service_wrote_them() {
    let job = recorded("sdrs/success_protection_group.json").job;
    assert!(job.resources.unwrap()["server_group_id"].is_string());
    assert!(job.children.is_empty());
}
