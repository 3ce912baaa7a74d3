//! HTTP statuses beside 2xx: claimed ones may speak of the job, others never do.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{HEAD, PLAIN, definition, diagnostics, problem, seen, state};
use crate::definition::compile::compile;
use crate::watch::observation::{JobState, Observation, ProblemKind};

const BY_HTTP: &str = "[job]\nstatus = \"@http\"\ncode = \"$.issue[*].code\"\n[answer]\nstatuses = [303, 404, 410, 500]\n[states]\nrunning = [\"202\"]\nsucceeded = [\"200\", \"303\"]\nfailed = [\"410\"]\n[[rules]]\nwhen = { \"@http\" = 500, \"$.issue[0].code\" = \"processing\" }\noutcome = \"failed\"\n";

#[test]
fn claimed_status_shows_the_job_with_any_body() {
    let definition = definition(BY_HTTP);
    for body in [
        "",
        "<html><body>gone</body></html>",
        "{\"half\":",
        "{\"a\":1}",
    ] {
        assert_eq!(state(&definition, 303, body), JobState::Succeeded, "{body}");
        assert_eq!(state(&definition, 410, body), JobState::Failed, "{body}");
    }
}

#[test]
fn claimed_status_without_a_match_means_its_problem() {
    let definition = definition(BY_HTTP);
    let transient = r#"{"issue":[{"code":"transient"}],"message":"the database restarts"}"#;
    let processing = r#"{"issue":[{"code":"processing"}]}"#;
    assert_eq!(state(&definition, 500, processing), JobState::Failed);
    assert_eq!(
        problem(&definition, 500, transient),
        ProblemKind::ServerError
    );
    assert_eq!(
        problem(&definition, 500, "<html>"),
        ProblemKind::ServerError
    );
    assert_eq!(problem(&definition, 500, ""), ProblemKind::ServerError);
    assert_eq!(problem(&definition, 404, transient), ProblemKind::NotFound);
    let Observation::Problem(problem) = seen(&definition, 500, transient) else {
        panic!("not a problem")
    };
    assert_eq!(problem.message, "the database restarts");
}

#[test]
fn page_with_a_claimed_404_is_that_of_a_proxy() {
    let definition = definition(&format!(
        "{BY_HTTP}[[rules]]\nwhen = {{ \"@http\" = 404 }}\noutcome = \"succeeded\"\n"
    ));
    let page = "<!doctype html><title>404 Not Found</title>";
    let Observation::Problem(met) = seen(&definition, 404, page) else {
        panic!("not a problem")
    };
    assert_eq!((met.kind, met.is_page), (ProblemKind::Misconfigured, true));
    assert_eq!(state(&definition, 404, "{}"), JobState::Succeeded);
    assert_eq!(state(&definition, 404, ""), JobState::Succeeded);
}

#[test]
fn page_with_404_is_not_about_the_job_unless_errors_say_so() {
    let page = "<!doctype html><title>404 Not Found</title>";
    let Observation::Problem(met) = seen(&definition(PLAIN), 404, page) else {
        panic!("not a problem")
    };
    assert_eq!((met.kind, met.is_page), (ProblemKind::Misconfigured, true));
    assert_eq!(
        problem(&definition(PLAIN), 404, "{}"),
        ProblemKind::NotFound
    );
    let mapped = definition(&format!(
        "{PLAIN}[[errors]]\nhttp = 404\nkind = \"not_found\"\n"
    ));
    assert_eq!(problem(&mapped, 404, page), ProblemKind::NotFound);
}

#[test]
fn unlisted_status_of_a_claimed_answer_is_a_problem() {
    let definition = definition(&format!("[answer]\nstatuses = [409]\n{PLAIN}"));
    let body = |status: &str| format!(r#"{{"id":"j","status":"{status}"}}"#);
    assert_eq!(state(&definition, 409, &body("KO")), JobState::Failed);
    assert_eq!(
        problem(&definition, 409, &body("?")),
        ProblemKind::Misconfigured
    );
    assert_eq!(problem(&definition, 409, "{}"), ProblemKind::Misconfigured);
    let other = r#"{"id":"other","status":"KO"}"#;
    assert_eq!(problem(&definition, 409, other), ProblemKind::Misconfigured);
    assert_eq!(
        problem(&definition, 410, &body("KO")),
        ProblemKind::Misconfigured
    );
}

#[test]
fn rule_about_the_head_decides_without_a_body() {
    let definition = definition(&format!(
        "[answer]\nstatuses = [410]\n{PLAIN}[[rules]]\nwhen = {{ \"$.status\" = \"KO\" }}\noutcome = \"failed\"\n[[rules]]\nwhen = {{ \"@http\" = 410 }}\noutcome = \"cancelled\"\n"
    ));
    for body in ["", "<html>", "{\"id\":", r#"{"id":"j"}"#] {
        assert_eq!(state(&definition, 410, body), JobState::Cancelled, "{body}");
    }
    assert_eq!(problem(&definition, 200, ""), ProblemKind::Unreadable);
}

/// The first rule may hold for a body that cannot be read, so the second must not decide.
#[test]
fn rule_about_the_same_head_and_a_body_comes_first() {
    let definition = definition(
        "[[rules]]\nwhen = { \"@http\" = 200, \"$.error\" = { exists = true } }\noutcome = \"failed\"\n[[rules]]\nwhen = { \"@http\" = 200 }\noutcome = \"succeeded\"\n",
    );
    assert_eq!(state(&definition, 200, r#"{"error":1}"#), JobState::Failed);
    assert_eq!(state(&definition, 200, "{}"), JobState::Succeeded);
    assert_eq!(state(&definition, 200, ""), JobState::Succeeded);
    assert_eq!(
        problem(&definition, 200, "{\"error\":"),
        ProblemKind::Unreadable
    );
}

#[test]
fn list_without_the_job_keeps_the_meaning_of_a_claimed_status() {
    let definition = definition(&format!(
        "[answer]\nstatuses = [404, 410]\n{}[[rules]]\nwhen = {{ \"@http\" = 410 }}\noutcome = \"failed\"\n",
        PLAIN.replace("[job]", "[job]\nitem = \"$.jobs[*]\"")
    ));
    assert_eq!(
        problem(&definition, 404, "{\"message\":\"no\"}"),
        ProblemKind::NotFound
    );
    assert_eq!(
        state(&definition, 410, "{\"message\":\"gone\"}"),
        JobState::Failed
    );
    let list = r#"{"jobs":[{"id":"j","status":"OK"}]}"#;
    assert_eq!(state(&definition, 404, list), JobState::Succeeded);
}

#[test]
fn rule_about_the_head_and_a_body_comes_before_the_status() {
    let rule = "[[rules]]\nwhen = { \"@http\" = 200, \"$.error\" = { exists = true } }\noutcome = \"failed\"\n";
    let definition = definition(&format!("{BY_HTTP}{rule}"));
    assert_eq!(state(&definition, 200, "{}"), JobState::Succeeded);
    assert_eq!(state(&definition, 200, ""), JobState::Succeeded);
    assert_eq!(
        problem(&definition, 200, "{\"error\":"),
        ProblemKind::Unreadable
    );
    assert_eq!(state(&definition, 202, "{\"error\":"), JobState::Running);
}

#[test]
fn unlisted_status_without_a_body_may_be_an_error() {
    let definition = definition(&format!(
        "{BY_HTTP}[[errors]]\nhttp = 204\nkind = \"not_found\"\n"
    ));
    assert_eq!(problem(&definition, 204, ""), ProblemKind::NotFound);
    assert_eq!(state(&definition, 206, ""), JobState::Running);
}

#[test]
fn status_that_cannot_be_claimed_is_refused() {
    for (statuses, said) in [
        ("[401]", "about the credential"),
        ("[404, 429]", "number of requests"),
        ("[200]", "always read"),
        ("[600]", "allowed are 300 to 599"),
    ] {
        let errors = diagnostics(&format!("{HEAD}[answer]\nstatuses = {statuses}\n{PLAIN}"));
        assert!(errors.len() == 1 && errors[0].contains(said), "{errors:?}");
    }
}

#[test]
fn checks_know_the_claimed_statuses() {
    let text = |statuses: &str| {
        format!(
            "{HEAD}[answer]\nstatuses = {statuses}\n[job]\nstatus = \"@http\"\n[states]\nsucceeded = [\"200\"]\nfailed = [\"410\"]\n[[rules]]\nwhen = {{ \"@http\" = 500 }}\noutcome = \"failed\"\n"
        )
    };
    assert_eq!(diagnostics(&text("[410, 500]")), Vec::<String>::new());
    let errors = diagnostics(&text("[]"));
    assert!(
        errors
            .iter()
            .any(|error| error.contains("\"410\" never matches")),
        "{errors:?}"
    );
}

const STATUSES: [u16; 12] = [200, 202, 204, 301, 303, 400, 401, 404, 409, 410, 429, 500];

fn any_body() -> impl Strategy<Value = String> {
    prop_oneof![
        select(
            &[
                "",
                "{}",
                "[]",
                "null",
                "<html>",
                "<job/>",
                "OK",
                "KO",
                "{\"status\":\"KO"
            ][..]
        )
        .prop_map(str::to_owned),
        (
            select(&["j", "i"][..]),
            select(&["OK", "KO", "BUSY", ""][..])
        )
            .prop_map(|(id, status)| format!(r#"{{"id":"{id}","status":"{status}","code":7}}"#)),
        (select(&["j", "i"][..]), select(&["OK", "KO"][..])).prop_map(|(id, status)| format!(
            r#"{{"jobs":[{{"id":"{id}","status":"{status}"}}],"id":"{id}"}}"#
        )),
        any::<String>(),
    ]
}

proptest! {
    /// Invariant 1, for any claims, rules and bodies.
    #[test]
    fn unclaimed_status_never_shows_the_job(
        claimed in subsequence(&[301_u16, 303, 400, 404, 409, 410, 500][..], 0..7),
        http_status in select(&STATUSES[..]),
        body in any_body(),
        format in select(&["json", "xml", "text"][..]),
        of_head in select(&[200_u16, 202, 204][..]),
    ) {
        let status = if format == "text" { "@text" } else { "$.status" };
        let text = format!(
            "{HEAD}[answer]\nformat = \"{format}\"\nstatuses = {claimed:?}\n[job]\nstatus = \"{status}\"\n[states]\nsucceeded = [\"OK*\"]\nfailed = [\"*\"]\n[[rules]]\nwhen = {{ \"@http\" = {of_head} }}\noutcome = \"succeeded\"\n"
        );
        let definition = compile("x", "x.toml", &text).unwrap();
        let is_claimed = (200..300).contains(&http_status) || claimed.contains(&http_status);
        match seen(&definition, http_status, &body) {
            Observation::Sighting(_) => prop_assert!(is_claimed),
            Observation::Problem(problem) => prop_assert_eq!(problem.http_status, Some(http_status)),
        }
    }
}
