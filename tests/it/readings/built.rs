//! Bodies built from the field tables of the API references, definition by definition.
//!
//! None of these was recorded: the references show successful jobs only.

use jobwatch::watch::Outcome;
use jobwatch::watch::observation::{JobState, ProblemKind};
use serde_json::{Value, json};

use crate::readings::{problem, read, sighting};

/// Reads `body` after adding the id of the polled job to it.
fn seen(definition: &str, mut body: Value) -> jobwatch::watch::observation::Sighting {
    body["job_id"] = json!("j-1");
    sighting(read(definition, 200, "j-1", body.to_string().as_bytes()))
}

#[test]
fn each_documented_status_is_known() {
    use JobState::{Failed, Pending, Running, Succeeded};
    let upper = [
        ("INIT", Pending),
        ("RUNNING", Running),
        ("SUCCESS", Succeeded),
        ("FAIL", Failed),
    ];
    let lower = [
        ("waiting", Pending),
        ("running", Running),
        ("success", Succeeded),
        ("failed", Failed),
    ];
    for (definition, words) in [("dcs", upper), ("sdrs", upper), ("sfs-turbo", lower)] {
        for (word, state) in words {
            let seen = seen(definition, json!({"status": word}));
            assert_eq!(seen.job.state, state, "{definition}: {word}");
            assert_eq!(seen.job.status.as_deref(), Some(word));
            assert!(!seen.unknown_status);
        }
    }
}

#[test]
fn a_status_in_the_wrong_case_is_unknown_and_counts_as_running() {
    for (definition, word) in [
        ("dcs", "success"),
        ("sfs-turbo", "FAILED"),
        ("sdrs", "Fail"),
        ("dcs", "REBOOTING"),
    ] {
        let seen = seen(definition, json!({"status": word}));
        assert!(seen.unknown_status, "{definition}: {word}");
        assert_eq!(seen.job.state, JobState::Running);
        assert_eq!(seen.job.status.as_deref(), Some(word));
    }
}

#[test]
fn missing_null_and_empty_fields_are_equal() {
    for absent in [
        json!({}),
        json!({"error_code": null, "fail_reason": null, "end_time": null}),
        json!({"error_code": "", "fail_reason": "", "end_time": "", "job_type": ""}),
    ] {
        for (definition, status) in [
            ("dcs", "RUNNING"),
            ("sdrs", "RUNNING"),
            ("sfs-turbo", "running"),
        ] {
            let mut body = absent.clone();
            body["status"] = json!(status);
            let seen = seen(definition, body);
            let job = seen.job;
            assert!(seen.warnings.is_empty(), "{:?}", seen.warnings);
            assert_eq!(
                (job.code, job.reason, job.job_type, job.ended_at),
                (None, None, None, None)
            );
        }
    }
}

#[test]
fn a_failed_dcs_job_has_a_reason_and_no_code() {
    let body = json!({"job_type": "masterStandbySwapJob", "status": "FAIL", "begin_time": "1684191545379",
        "end_time": "1684191548248", "fail_reason": "the node did not answer", "error_code": "ignored"});
    let job = seen("dcs", body).job;
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.reason.as_deref(), Some("the node did not answer"));
    assert_eq!(job.code, None, "the reference has no such field");
}

#[test]
fn a_failed_sfs_turbo_job_has_code_and_reason() {
    let body = json!({"job_type": "create_share", "status": "failed", "begin_time": "2023-07-26 09:33:58",
        "end_time": "2023-07-26 09:34:00", "error_code": "SFS.TURBO.0005", "fail_reason": "Internal server error"});
    let job = seen("sfs-turbo", body).job;
    assert_eq!(
        (job.state, job.code.as_deref()),
        (JobState::Failed, Some("SFS.TURBO.0005"))
    );
    assert_eq!(job.reason.as_deref(), Some("Internal server error"));
    assert_eq!(job.ended_at.unwrap().to_string(), "2023-07-26T09:34:00Z");
}

#[test]
fn failed_sdrs_job_without_a_reason_takes_its_childs() {
    let child = |id: &str, status: &str, code: Option<&str>, reason: Option<&str>| json!({"job_id": id, "status": status, "error_code": code, "fail_reason": reason, "entities": {}});
    let children = json!([
        child("c-1", "SUCCESS", None, None),
        child("c-2", "FAIL", Some("SDRS.1"), Some("first")),
        child("c-3", "FAIL", Some("SDRS.2"), Some("second")),
    ]);
    let body =
        json!({"status": "FAIL", "fail_reason": null, "entities": {"sub_jobs": children.clone()}});
    let silent = seen("sdrs", body).job;
    assert_eq!(
        (silent.code.as_deref(), silent.reason.as_deref()),
        (Some("SDRS.1"), Some("first"))
    );
    let body = json!({"status": "FAIL", "error_code": "SDRS.0", "fail_reason": "own", "entities": {"sub_jobs": children}});
    let own = seen("sdrs", body).job;
    assert_eq!(
        (own.code.as_deref(), own.reason.as_deref()),
        (Some("SDRS.0"), Some("own"))
    );
}

#[test]
fn children_change_the_verdict_of_a_success_only() {
    let parts = |definition: &str, parent: &str, status: &str| {
        let children = json!([{"job_id": "c", "status": status, "fail_reason": "why"}]);
        let body = match definition {
            "sdrs" => json!({"status": parent, "entities": {"sub_jobs": children}}),
            _ => json!({"status": parent, "sub_jobs": children}),
        };
        seen(definition, body).job
    };
    for (definition, [running, succeeded, failed]) in [
        ("sdrs", ["RUNNING", "SUCCESS", "FAIL"]),
        ("sfs-turbo", ["running", "success", "failed"]),
    ] {
        assert_eq!(
            parts(definition, succeeded, failed).state,
            JobState::Partial
        );
        assert_eq!(
            parts(definition, succeeded, succeeded).state,
            JobState::Succeeded
        );
        assert_eq!(
            parts(definition, succeeded, running).state,
            JobState::Succeeded
        );
        let early = parts(definition, running, failed);
        assert_eq!((early.state, early.reason), (JobState::Running, None));
        assert_eq!(early.children[0].outcome, Some(Outcome::Failed));
        assert_eq!(parts(definition, failed, succeeded).state, JobState::Failed);
    }
}

#[test]
fn nested_children_are_counted() {
    let grandchild = json!({"job_id": "g", "status": "FAIL", "fail_reason": "deep"});
    let child = json!({"job_id": "c", "status": "SUCCESS", "entities": {"sub_jobs": [grandchild]}});
    let job = seen(
        "sdrs",
        json!({"status": "SUCCESS", "entities": {"sub_jobs": [child]}}),
    )
    .job;
    assert_eq!(job.state, JobState::Partial);
    assert_eq!(job.reason.as_deref(), Some("deep"));
    assert_eq!(job.children.len(), 2);
}

#[test]
fn the_verdict_counts_children_beyond_the_limit() {
    let mut children = vec![json!({"job_id": "good", "status": "SUCCESS"}); 5000];
    children.push(json!({"job_id": "bad", "status": "FAIL", "fail_reason": "the last"}));
    let job = seen(
        "sdrs",
        json!({"status": "SUCCESS", "entities": {"sub_jobs": children}}),
    )
    .job;
    assert_eq!(job.state, JobState::Partial);
    assert_eq!(job.reason.as_deref(), Some("the last"));
    assert_eq!(job.children.len(), 200);
}

#[test]
fn an_unreadable_time_hides_no_verdict() {
    let body =
        json!({"status": "SUCCESS", "begin_time": "yesterday", "end_time": {"not": "a time"}});
    let seen = seen("dcs", body);
    assert_eq!(seen.job.state, JobState::Succeeded);
    assert_eq!((seen.job.began_at, seen.job.ended_at), (None, None));
    assert_eq!(seen.warnings.len(), 2);
}

#[test]
fn long_texts_are_cut() {
    let body = json!({"status": "FAIL", "fail_reason": "é".repeat(10_000)});
    let reason = seen("dcs", body).job.reason.unwrap();
    assert_eq!(reason.len(), 4096);
}

#[test]
fn mapped_error_codes_win_over_the_http_status() {
    use ProblemKind::{Forbidden, Misconfigured, NotFound, ServerError};
    let table = [
        ("dcs", 400, "error_code", "DCS.4133", NotFound),
        ("dcs", 400, "error_code", "DCS.4070", Misconfigured),
        ("dcs", 404, "error_code", "DCS.1", NotFound),
        ("dcs", 404, "error_code", "111404001", Misconfigured),
        ("dcs", 500, "error_code", "DCS.4133", ServerError),
        ("sfs-turbo", 403, "errCode", "SFS.TURBO.9000", NotFound),
        ("sfs-turbo", 403, "errCode", "SFS.TURBO.1", Forbidden),
        ("sfs-turbo", 404, "errCode", "SFS.TURBO.0019", NotFound),
        ("sdrs", 404, "code", "SDRS.0408", NotFound),
        ("sdrs", 404, "error_code", "APIGW.0101", Misconfigured),
        ("sdrs", 404, "error_code", "APIG.0101", Misconfigured),
    ];
    for (definition, http_status, member, code, kind) in table {
        let body = json!({ member: code }).to_string();
        let met = problem(read(definition, http_status, "j", body.as_bytes()));
        assert_eq!(met.kind, kind, "{definition} {http_status} {code}");
        assert_eq!(met.code.as_deref(), Some(code));
    }
}
