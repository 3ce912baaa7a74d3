//! The answers of a resource, without a socket.

use serde_json::{Value, json};

use super::*;
use crate::simulator::faults::{Faults, RetryAfter, Throttle};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn run(name: &str, starts: i64, secs: u64, outcome: Ending) -> RunSpec {
    RunSpec {
        run: name.to_owned(),
        starts: SignedDuration::from_secs(starts),
        duration: Duration::from_secs(secs),
        outcome,
        message: None,
    }
}

/// A resource whose second run takes the place of the first.
fn two_runs() -> ResourceSpec {
    let runs = vec![
        run("a", -100, 50, Ending::Succeeded),
        run("b", 10, 20, Ending::Failed),
    ];
    ResourceSpec::new("web", runs)
}

/// One run from the creation on.
fn one_run(outcome: Ending) -> ResourceSpec {
    ResourceSpec::new("web", vec![run("a", 0, 10, outcome)])
}

/// A resource that was created at the epoch.
fn created(spec: ResourceSpec) -> Resource {
    spec.check().unwrap();
    Resource {
        id: spec.job_id.as_str().into(),
        spec,
        created: at(0),
        polls: 0,
    }
}

fn poll(resource: &mut Resource, secs: i64) -> Answer {
    let answer = resource.answer(None, at(secs));
    resource.polls += 1;
    answer
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn statuses(resource: &mut Resource, moments: &[i64]) -> Vec<String> {
    let shown = moments.iter().map(|secs| body(&poll(resource, *secs)));
    shown
        .map(|body| body["status"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn latest_run_that_has_started_is_shown() {
    let mut resource = created(two_runs());
    let table = [
        (0, "a", "succeeded", json!("1969-12-31T23:59:10Z")),
        (10, "b", "pending", json!(null)),
        (12, "b", "running", json!(null)),
        (30, "b", "failed", json!("1970-01-01T00:00:30Z")),
    ];
    for (secs, run, status, ended_at) in table {
        let seen = body(&poll(&mut resource, secs));
        let shown = (&seen["run"], &seen["status"], &seen["ended_at"]);
        assert_eq!(shown, (&json!(run), &json!(status), &ended_at), "{secs}");
    }
}

#[test]
fn resource_is_not_found_before_its_first_run() {
    let runs = vec![run("a", 5, 10, Ending::Succeeded)];
    let mut resource = created(ResourceSpec::new("web", runs));
    assert_eq!(
        [4, 5].map(|secs| poll(&mut resource, secs).status),
        [404, 200]
    );
}

#[test]
fn end_flickers_for_some_polls_while_the_run_goes_on() {
    let mut resource = created(ResourceSpec {
        flicker: Some(Flicker {
            after: 1,
            polls: 2,
            shows: Ending::Failed,
        }),
        ..one_run(Ending::Succeeded)
    });
    let seen = statuses(&mut resource, &[2, 3, 4, 5, 10]);
    assert_eq!(
        seen,
        ["running", "failed", "failed", "running", "succeeded"]
    );
}

#[test]
fn flicker_does_not_change_the_real_end() {
    let mut resource = created(ResourceSpec {
        flicker: Some(Flicker {
            after: 0,
            polls: 1,
            shows: Ending::Succeeded,
        }),
        ..one_run(Ending::Failed)
    });
    assert_eq!(statuses(&mut resource, &[10]), ["failed"]);
}

#[test]
fn resource_is_absent_for_a_time() {
    let mut resource = created(ResourceSpec {
        not_found: Some(Absence {
            from: Duration::from_secs(2),
            lasts: Duration::from_secs(3),
        }),
        ..one_run(Ending::Succeeded)
    });
    let seen = [1, 2, 4, 5].map(|secs| poll(&mut resource, secs).status);
    assert_eq!(seen, [200, 404, 404, 200]);
}

#[test]
fn only_a_failed_run_has_the_status_of_failures() {
    for status in [422, 500] {
        let mut resource = created(ResourceSpec {
            failure_status: Some(status),
            ..one_run(Ending::Failed)
        });
        assert_eq!(poll(&mut resource, 5).status, 200);
        let failed = poll(&mut resource, 10);
        assert_eq!(failed.status, status);
        assert_eq!(body(&failed)["message"], "the run failed");
    }
}

#[test]
fn odd_bytes_stand_before_the_members() {
    let mut resource = created(ResourceSpec {
        odd_bytes: true,
        ..one_run(Ending::Succeeded)
    });
    let answer = poll(&mut resource, 10);
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
    assert!(std::str::from_utf8(&answer.body).is_err());
    let mended = String::from_utf8_lossy(&answer.body)
        .replace('\u{1}', "")
        .replace("NaN", "null");
    let mended: Value = serde_json::from_str(&mended).unwrap();
    assert_eq!(mended["status"], "succeeded");
}

#[test]
fn xml_has_the_same_members_and_is_escaped() {
    let mut spec = one_run(Ending::Failed);
    spec.format = BodyFormat::Xml;
    spec.runs[0].message = Some("1 < 2 & 3".to_owned());
    let mut resource = created(spec);
    let seen = String::from_utf8(poll(&mut resource, 10).body).unwrap();
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource><id>web</id><run>a</run>\
        <status>failed</status><began_at>1970-01-01T00:00:00Z</began_at>\
        <ended_at>1970-01-01T00:00:10Z</ended_at><message>1 &lt; 2 &amp; 3</message></resource>\n";
    assert_eq!(seen, expected);
}

#[test]
fn each_answer_names_the_url_of_the_next_poll() {
    let mut resource = created(ResourceSpec {
        moving: true,
        ..one_run(Ending::Succeeded)
    });
    assert_eq!(resource.answer(Some(1), at(1)).status, 404, "not named yet");
    let first = poll(&mut resource, 1);
    assert_eq!(first.location.as_deref(), Some("/resources/web/steps/1"));
    let second = resource.answer(Some(1), at(1));
    assert_eq!(second.status, 200);
    assert_eq!(second.location.as_deref(), Some("/resources/web/steps/2"));
}

#[test]
fn resource_that_stays_has_no_steps() {
    let mut resource = created(one_run(Ending::Succeeded));
    assert_eq!(poll(&mut resource, 1).location, None);
    assert_eq!(resource.answer(Some(1), at(1)).status, 404);
}

#[test]
fn faults_of_jobs_apply_to_resources() {
    let mut resource = created(ResourceSpec {
        faults: Faults {
            server_errors: 1,
            throttle: Some(Throttle {
                polls: 1,
                retry_after: RetryAfter::Seconds(7),
            }),
            forbidden: 1,
            malformed: 1,
            torn: 1,
            unknown_status: Some("REBOOTING".to_owned()),
            slow: Duration::from_secs(2),
            ..Faults::default()
        },
        ..one_run(Ending::Succeeded)
    });
    let answers: Vec<Answer> = (0..6).map(|_| poll(&mut resource, 5)).collect();
    let seen: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [502, 429, 403, 200, 200, 200]);
    assert_eq!(answers[1].retry_after.as_deref(), Some("7"));
    assert!(answers[3].body.starts_with(b"<!DOCTYPE html>"));
    assert!(answers[4].is_torn);
    assert_eq!(body(&answers[5])["status"], "REBOOTING");
    assert!(answers.iter().all(|answer| answer.delay.as_secs() == 2));
}

#[test]
fn path_selects_a_resource_and_its_step() {
    let target = |id: &str, step| {
        Some(Target {
            id: id.to_owned(),
            step,
        })
    };
    let table = [
        ("/resources/web", target("web", None)),
        ("/resources/a%2Fb", target("a/b", None)),
        ("/resources/web/steps/7", target("web", Some(7))),
        ("/resources/web/steps/x", None),
        ("/resources/web/", None),
        ("/resources/", None),
        ("/v1/p/jobs/web", None),
    ];
    for (path, expected) in table {
        assert_eq!(Target::of(path), expected, "{path}");
    }
    assert_eq!(path_of("a/b", Some(7)), "/resources/a%2Fb/steps/7");
}

#[test]
fn full_request_is_read() {
    let read = ResourceSpec::from_json(
        br#"{"job_id":"web","runs":[{"run":"a","starts":"-100s","duration":"50s","outcome":"succeeded"},
            {"run":"b","starts":"10s","duration":"20s","outcome":"failed"}],
            "flicker":{"polls":1,"after":2},"not_found":{"from":"1s","for":"2s"},
            "failure_status":422,"format":"xml","moving":true,"faults":{"torn":1}}"#,
    );
    let expected = ResourceSpec {
        flicker: Some(Flicker {
            after: 2,
            polls: 1,
            shows: Ending::Succeeded,
        }),
        not_found: Some(Absence {
            from: Duration::from_secs(1),
            lasts: Duration::from_secs(2),
        }),
        failure_status: Some(422),
        format: BodyFormat::Xml,
        moving: true,
        faults: Faults {
            torn: 1,
            ..Faults::default()
        },
        ..two_runs()
    };
    assert_eq!(read, Ok(expected));
}

#[test]
fn refusals_name_the_key_and_the_allowed_values() {
    let run = r#""runs":[{"run":"a","duration":"1s","outcome":"succeeded"}]"#;
    let table = [
        (String::new(), "missing field `runs`"),
        (r#""runs":[]"#.to_owned(), "runs has 0 items: 1 to 100 are allowed"),
        (
            r#""runs":[{"run":"a","starts":"soon","duration":"1s","outcome":"failed"}]"#.to_owned(),
            "runs[0].starts: invalid value: string \"soon\", expected a number with a unit",
        ),
        (
            r#""runs":[{"run":"a","starts":"-9000h","duration":"1s","outcome":"failed"}]"#.to_owned(),
            "runs[0].starts = -32400000s: must be at most 31536000s away",
        ),
        (
            r#""runs":[{"run":"a","duration":"1s","outcome":"succeeded","message":"m"}]"#.to_owned(),
            "runs[0].message = \"m\": allowed only with outcome \"failed\"",
        ),
        (
            r#""runs":[{"run":"a","duration":"1s","outcome":"failed"},{"run":"b","duration":"1s","outcome":"failed"}]"#.to_owned(),
            "runs[1].starts = 0s: must be later than that of the run before it",
        ),
        (
            r#""runs":[{"run":"a","duration":"1s","outcome":"failed"},{"run":"a","starts":"1s","duration":"1s","outcome":"failed"}]"#.to_owned(),
            "runs[1].run = \"a\": each run needs a name of its own",
        ),
        (format!(r#"{run},"flicker":{{"polls":0}}"#), "flicker.polls = 0: must be at least 1"),
        (
            format!(r#"{run},"flicker":{{"polls":1,"shows":"never"}}"#),
            "flicker.shows = \"never\": must be one of succeeded, failed",
        ),
        (format!(r#"{run},"failure_status":404"#), "failure_status = 404: must be 422 or 500"),
        (format!(r#"{run},"failure_status":422"#), "failure_status = 422: allowed only if a run fails"),
        (
            format!(r#"{run},"odd_bytes":true,"format":"xml""#),
            "odd_bytes = true: allowed only with format \"json\"",
        ),
        (
            format!(r#"{run},"not_found":{{"from":"1s","for":"9000h"}}"#),
            "not_found.for = 32400000s: must be from 0s to 31536000s",
        ),
        (
            format!(r#"{run},"faults":{{"token_expires_after":"1s"}}"#),
            "faults.token_expires_after: a resource needs no token",
        ),
        (format!(r#"{run},"moves":true"#), "moves: unknown field `moves`, expected one of "),
    ];
    for (members, expected) in table {
        let comma = if members.is_empty() { "" } else { "," };
        let text = format!(r#"{{"job_id":"web"{comma}{members}}}"#);
        let message = ResourceSpec::from_json(text.as_bytes()).unwrap_err();
        assert!(message.contains(expected), "{text}: {message}");
    }
}
