//! The reading table, row by row: each kind of answer and its meaning.

use http::HeaderMap;
use jobwatch::definition::compile::compile;
use jobwatch::definition::reading;
use jobwatch::definition::reading::{Answer, Asked};
use jobwatch::watch::observation::{JobState, ProblemKind};

use crate::readings::{problem, read, sighting};

const DEFINITIONS: [&str; 3] = ["dcs", "sfs-turbo", "sdrs"];

#[test]
fn an_answer_that_does_not_describe_the_job_is_unreadable() {
    let deep = "[".repeat(100_000);
    let deep_member = format!(
        r#"{{"status":"SUCCESS","x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let table: [(&str, u16, &[u8]); 15] = [
        (
            "html",
            200,
            b"<!DOCTYPE html><html><body>SUCCESS</body></html>",
        ),
        ("nothing", 200, b""),
        ("no content", 204, b""),
        ("accepted without a status", 202, br#"{"job_id":"j"}"#),
        (
            "another job",
            200,
            br#"{"job_id":"other","status":"SUCCESS"}"#,
        ),
        ("an empty status", 200, br#"{"job_id":"j","status":""}"#),
        ("a null status", 200, br#"{"job_id":"j","status":null}"#),
        (
            "a status that is not a scalar",
            200,
            br#"{"job_id":"j","status":{"a":1}}"#,
        ),
        ("a list", 200, b"[]"),
        ("a word", 200, br#""SUCCESS""#),
        ("half of it", 200, br#"{"job_id":"j","status":"SUCC"#),
        (
            "more after it",
            200,
            br#"{"job_id":"j","status":"SUCCESS"} and more"#,
        ),
        ("brackets without end", 200, deep.as_bytes()),
        ("brackets in a member", 200, deep_member.as_bytes()),
        ("bytes instead of text", 200, b"\xff\xfe\xff\xfe"),
    ];
    for definition in DEFINITIONS {
        for (what, http_status, body) in table {
            let met = problem(read(definition, http_status, "j", body));
            assert_eq!(met.kind, ProblemKind::Unreadable, "{definition}: {what}");
            assert!(
                !met.message.is_empty() && met.message.len() < 1000,
                "{what}"
            );
            assert_eq!(met.http_status, Some(http_status));
        }
    }
}

#[test]
fn an_answer_without_an_id_is_about_the_polled_job() {
    for (definition, word) in [
        ("dcs", "SUCCESS"),
        ("sfs-turbo", "success"),
        ("sdrs", "SUCCESS"),
    ] {
        let body = format!(r#"{{"status":"{word}"}}"#);
        let seen = sighting(read(definition, 200, "j", body.as_bytes()));
        assert_eq!(seen.job.state, JobState::Succeeded);
    }
}

#[test]
fn every_other_http_status_is_a_problem_with_any_body() {
    use ProblemKind::{Forbidden, Misconfigured, NotFound, ServerError, Throttled, Unauthorized};
    let table = [
        (Misconfigured, &[300, 301, 302, 303, 304, 307, 308][..]),
        (
            Misconfigured,
            &[400, 402, 405, 406, 409, 410, 413, 418, 422, 451, 499],
        ),
        (Unauthorized, &[401]),
        (Forbidden, &[403]),
        (NotFound, &[404]),
        (ServerError, &[408, 500, 501, 502, 503, 504, 511, 599]),
        (Throttled, &[429]),
        (Misconfigured, &[100, 199, 600, 999]),
    ];
    // The body would be a verdict, but the HTTP status is an error.
    let bodies: [&[u8]; 4] = [
        br#"{"job_id":"j","status":"FAIL","fail_reason":"x"}"#,
        br#"{"job_id":"j","status":"success"}"#,
        b"<html>",
        b"",
    ];
    for definition in DEFINITIONS {
        for (kind, statuses) in table {
            for http_status in statuses {
                for body in bodies {
                    let met = problem(read(definition, *http_status, "j", body));
                    // A page is from a gateway, which says nothing about the job.
                    let is_page = *http_status == 404 && body.starts_with(b"<html>");
                    let kind = if is_page {
                        ProblemKind::Misconfigured
                    } else {
                        kind
                    };
                    assert_eq!(met.kind, kind, "{definition} {http_status}");
                    assert_eq!(met.http_status, Some(*http_status));
                }
            }
        }
    }
}

#[test]
fn a_mapped_code_with_http_200_is_a_problem() {
    let text = r#"
        title = "t"
        docs = "d"
        [request]
        method = "GET"
        path = "/{job_id}"
        [job]
        status = "$.status"
        [states]
        succeeded = ["SUCCESS"]
        failed = ["FAIL"]
        [error_body]
        code = "$.error.code"
        message = "$.error.message"
        [[errors]]
        code = "Common.0024"
        kind = "throttled"
    "#;
    let definition = compile("ecs", "ecs.toml", text).unwrap();
    let headers = HeaderMap::new();
    let answer = |body: &'static [u8]| Answer {
        http_status: 202,
        headers: &headers,
        body,
        is_cut: false,
    };
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let limited = br#"{"error":{"code":"Common.0024","message":"Flow limit exceeded"}}"#;
    let met = problem(reading::read(
        &definition,
        &Asked::job("j"),
        &answer(limited),
        now,
    ));
    assert_eq!(met.kind, ProblemKind::Throttled);
    assert_eq!(met.message, "Flow limit exceeded");
    let other = br#"{"error":{"code":"Common.0025","message":"?"}}"#;
    let met = problem(reading::read(
        &definition,
        &Asked::job("j"),
        &answer(other),
        now,
    ));
    assert_eq!(met.kind, ProblemKind::Unreadable);
}

#[test]
fn page_in_html_is_quoted_and_changes_no_kind() {
    let page =
        b"<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>";
    for definition in DEFINITIONS {
        for (http_status, kind, message) in [
            (502, ProblemKind::ServerError, "502 Bad Gateway"),
            (404, ProblemKind::Misconfigured, "502 Bad Gateway"),
            (429, ProblemKind::Throttled, "502 Bad Gateway"),
            (302, ProblemKind::Misconfigured, "502 Bad Gateway"),
            (
                200,
                ProblemKind::Unreadable,
                "the answer is HTML: 502 Bad Gateway",
            ),
        ] {
            let met = problem(read(definition, http_status, "j", page));
            assert_eq!(met.kind, kind, "{definition} {http_status}");
            assert_eq!(met.message, message, "{definition} {http_status}");
        }
        let silent = problem(read(definition, 502, "j", b"<html>"));
        assert_eq!(silent.message, "HTTP 502 without a message");
    }
}

/// A page is for people: the rules of a definition for the message of an error do not
/// apply to it.
#[test]
fn page_in_html_matches_no_rule_and_gives_no_hint() {
    let text = r#"
        title = "t"
        docs = "d"
        [request]
        method = "GET"
        path = "/{job_id}"
        [job]
        status = "$.status"
        [states]
        succeeded = ["SUCCESS"]
        failed = ["FAIL"]
        [[errors]]
        message = "*maintenance*"
        kind = "not_found"
        [[retry]]
        message = "again in {seconds} s"
    "#;
    let definition = compile("x", "x.toml", text).unwrap();
    let answer = Answer {
        http_status: 429,
        headers: &HeaderMap::new(),
        body: b"<title>maintenance, again in 30 s</title>",
        is_cut: false,
    };
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let met = problem(reading::read(&definition, &Asked::job("j"), &answer, now));
    assert_eq!(met.kind, ProblemKind::Throttled);
    assert_eq!(met.retry_after, None);
    assert_eq!(met.message, "maintenance, again in 30 s");
}

#[test]
fn retry_after_is_read_with_every_status() {
    let definitions = jobwatch::definition::catalog::Catalog::built_in();
    let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "30".parse().unwrap())]);
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    for (http_status, body) in [
        (200, &br#"{"status":"RUNNING"}"#[..]),
        (200, b"<html>"),
        (429, b""),
        (503, b""),
    ] {
        let answer = Answer {
            http_status,
            headers: &headers,
            body,
            is_cut: false,
        };
        let observation = reading::read(
            definitions.get("dcs").unwrap(),
            &Asked::job("j"),
            &answer,
            now,
        );
        assert_eq!(
            observation.retry_after().unwrap().as_secs(),
            30,
            "{http_status}"
        );
    }
}
