//! The language of definitions as authors use it: its possibilities, and its diagnostics.

use http::HeaderMap;
use jiff::Timestamp;

use crate::definition::Definition;
use crate::definition::compile::compile;
use crate::definition::explain::{Explanation, explain};
use crate::definition::reading::{Answer, Asked, read};
use crate::watch::observation::{JobState, Observation, ProblemKind};

mod answers;
mod claims;

const HEAD: &str =
    "title = \"t\"\ndocs = \"d\"\n[request]\nmethod = \"GET\"\npath = \"/{job_id}\"\n";
const PLAIN: &str = "[job]\nid = \"$.id\"\nstatus = \"$.status\"\n[states]\nsucceeded = [\"OK\"]\nfailed = [\"KO\"]\n";

fn definition(rest: &str) -> Definition {
    compile("x", "x.toml", &format!("{HEAD}{rest}")).unwrap()
}

/// Returns the diagnostics of a definition.
fn diagnostics(text: &str) -> Vec<String> {
    match compile("x", "x.toml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn seen(definition: &Definition, http_status: u16, body: &str) -> Observation {
    let headers = HeaderMap::new();
    let answer = Answer {
        http_status,
        headers: &headers,
        body: body.as_bytes(),
        is_cut: false,
    };
    read(definition, &Asked::job("j"), &answer, Timestamp::UNIX_EPOCH)
}

#[track_caller]
fn state(definition: &Definition, http_status: u16, body: &str) -> JobState {
    match seen(definition, http_status, body) {
        Observation::Sighting(sighting) => sighting.job.state,
        Observation::Problem(problem) => panic!("not a sighting: {problem:?}"),
    }
}

#[track_caller]
fn problem(definition: &Definition, http_status: u16, body: &str) -> ProblemKind {
    match seen(definition, http_status, body) {
        Observation::Problem(problem) => problem.kind,
        Observation::Sighting(sighting) => panic!("not a problem: {sighting:?}"),
    }
}

#[test]
fn all_errors_are_reported_with_their_lines() {
    let text = r#"title = "t"
docs = "d"
params = ["project_id", "job_id"]
[request]
method = "GET"
path = "/{tenant}/x"
[job]
status = ["$.a[", "$.b"]
[states]
succeeded = ["OK"]
failed = ["KO", "OK"]
[[rules]]
when = { "$.a" = { is = 1 } }
outcome = "failed"
[[errors]]
kind = "throttled"
[[errors]]
http = 99
kind = "throttled"
[[retry]]
message = "soon"
[submit]
text = "id"
[poll]
initial = "5"
jitter = 2.0
multiplier = "fast"
max = "0s"
jiter = 0.1
"#;
    let diagnostics = diagnostics(text);
    for wanted in [
        "x.toml:4: request: `{tenant}` is not listed in `params`",
        "x.toml:3: params: `project_id` is never used",
        "x.toml:3: params: must not list `job_id`",
        "x.toml:4: request: must contain `{job_id}`",
        "x.toml:8: job.status: `$.a[` is not JSONPath",
        "x.toml:10: states.succeeded: \"OK\" is listed already, as failed",
        "x.toml:13: rules.0.when: `$.a`: unknown condition `is`",
        "x.toml:15: errors.0: needs `http`, `code` or `message`",
        "x.toml:17: errors.1: can never match",
        "x.toml:17: errors.1: 99 is not an HTTP status",
        "x.toml:20: retry.0: \"soon\" must contain {seconds}",
        "x.toml:23: submit.text: \"id\" must contain {job_id}",
        "x.toml:25: poll.initial: \"5\" must be a number with a unit",
        "x.toml:26: poll.jitter: 2.0 must be a number from 0 to 1",
        "x.toml:27: poll.multiplier: \"fast\" must be a number from 1 to 100",
        "x.toml:28: poll.max: \"0s\" must be at least 1ms",
        "x.toml:29: poll.jiter: unknown setting `jiter`; did you mean `jitter`?",
    ] {
        assert!(
            diagnostics.iter().any(|error| error.starts_with(wanted)),
            "{wanted:?} is not in {diagnostics:#?}"
        );
    }
    assert_eq!(diagnostics.len(), 17, "{diagnostics:#?}");
}

#[test]
fn unknown_key_is_reported_with_its_line() {
    let diagnostics = diagnostics(&format!("{HEAD}[job]\nstatsu = \"$.a\"\n"));
    assert_eq!(diagnostics.len(), 1);
    assert!(
        diagnostics[0].starts_with("x.toml:7: unknown setting `statsu`; did you mean `status`?"),
        "{diagnostics:?}"
    );
}

#[test]
fn value_of_a_wrong_type_is_reported_with_its_key() {
    for (rest, said) in [
        ("[verdict]\nsettle = 30\n", "verdict.settle: "),
        ("[verdict]\nconfirm = \"2\"\n", "verdict.confirm: "),
        ("[answer]\nstatuses = [\"500\"]\n", "answer.statuses[0]: "),
        (
            "[pace]\nafter = 5\n",
            "pace.after: must be a selector in quotes, a table",
        ),
        (
            "[pace]\nafter = { at = \"$.n\", unit = \"hours\" }\n",
            "unit seconds, milliseconds, minutes or epoch",
        ),
    ] {
        let diagnostics = diagnostics(&format!("{HEAD}{rest}"));
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        let is_named = diagnostics[0].starts_with("x.toml:7: ");
        assert!(is_named && diagnostics[0].contains(said), "{diagnostics:?}");
    }
}

#[test]
fn selector_in_a_wrong_place_is_refused() {
    for (rest, said) in [
        (
            PLAIN.replace("[job]", "[job]\nitem = \"@http\""),
            "job.item: `@http` is not allowed here",
        ),
        (
            PLAIN.replace(
                "[job]",
                "[job]\nbegan_at = { in = \"$.a\", find = \"$.b\" }",
            ),
            "job.began_at: `{ in, find }`",
        ),
        (
            PLAIN.replace("$.status", "@status"),
            "job.status: must not use `@status`",
        ),
        (
            PLAIN
                .replace("$.status", "@http")
                .replace("\"KO\"", "\"404\""),
            "states.failed: \"404\" never matches",
        ),
    ] {
        let diagnostics = diagnostics(&format!("{HEAD}{rest}"));
        assert!(
            diagnostics.len() == 1 && diagnostics[0].contains(said),
            "{said}: {diagnostics:?}"
        );
    }
}

#[test]
fn useless_rule_is_refused() {
    for (when, outcome, said) in [
        (r#"{ "$.p" = "" }"#, "failed", "can never match"),
        (r#"{ "@http" = 404 }"#, "failed", "can never match"),
        (
            r#"{ "$.error" = { exists = false } }"#,
            "succeeded",
            "if values are missing",
        ),
        ("{}", "running", "[states] are never reached"),
    ] {
        let rule = format!("[[rules]]\nwhen = {when}\noutcome = \"{outcome}\"\n");
        let diagnostics = diagnostics(&format!("{HEAD}{PLAIN}{rule}"));
        assert!(
            diagnostics.len() == 1 && diagnostics[0].contains(said),
            "{when}: {diagnostics:?}"
        );
    }
}

#[test]
fn case_is_ignored_in_rules_as_in_states() {
    let text = PLAIN.replace("[states]", "[states]\nignore_case = true")
        + "[[rules]]\nwhen = { \"@status\" = \"done_Badly\" }\noutcome = \"failed\"\n";
    let definition = definition(&text);
    let body = r#"{"id":"j","status":"DONE_BADLY"}"#;
    assert_eq!(state(&definition, 200, body), JobState::Failed);
}

#[test]
fn number_with_a_fraction_compares_as_json_writes_it() {
    let text = format!("{PLAIN}[[rules]]\nwhen = {{ \"$.p\" = 1.0 }}\noutcome = \"failed\"\n");
    assert_eq!(
        state(
            &definition(&text),
            200,
            r#"{"id":"j","status":"OK","p":1.0}"#
        ),
        JobState::Failed
    );
}

/// Two lists of 20,000 numbers would cost 400 million comparisons.
#[test]
fn two_long_lists_compare_by_their_first_values() {
    let definition = definition(&format!(
        "{PLAIN}[[rules]]\nwhen = {{ \"$.done[*]\" = {{ equals = \"$.total[*]\" }} }}\noutcome = \"partial\"\n"
    ));
    let body = |same_at: usize| {
        let list = |from: usize| -> Vec<String> {
            let number = |at| if at == same_at { 0 } else { from + at };
            (0..20_000).map(|at| number(at).to_string()).collect()
        };
        let (done, total) = (list(1).join(","), list(30_000).join(","));
        format!(r#"{{"id":"j","status":"OK","done":[{done}],"total":[{total}]}}"#)
    };
    assert_eq!(state(&definition, 200, &body(999)), JobState::Partial);
    assert_eq!(state(&definition, 200, &body(1000)), JobState::Succeeded);
}

#[test]
fn byte_order_mark_is_ignored() {
    let body = "\u{feff}{\"id\":\"j\",\"status\":\"OK\"}";
    assert_eq!(state(&definition(PLAIN), 200, body), JobState::Succeeded);
}

#[test]
fn too_many_children_keep_a_job_running() {
    let definition = definition(&PLAIN.replace("[states]", "children = \"$.parts[*]\"\n[states]"));
    let parts = |count: usize| vec![r#"{"status":"OK"}"#; count].join(",");
    let body = |count: usize| format!(r#"{{"id":"j","status":"OK","parts":[{}]}}"#, parts(count));
    assert_eq!(state(&definition, 200, &body(10_000)), JobState::Succeeded);
    assert_eq!(state(&definition, 200, &body(10_001)), JobState::Running);
}

#[test]
fn unlisted_status_of_a_child_gives_a_warning() {
    let definition = definition(&PLAIN.replace("[states]", "children = \"$.parts[*]\"\n[states]"));
    let body = r#"{"id":"j","status":"OK","parts":[{"status":"WEIRD"}]}"#;
    let Observation::Sighting(sighting) = seen(&definition, 200, body) else {
        panic!("not a sighting")
    };
    assert!(sighting.unknown_status);
    assert!(
        sighting.warnings[0].contains("WEIRD"),
        "{:?}",
        sighting.warnings
    );
}

#[test]
fn list_without_an_id_for_the_job_is_refused() {
    let text = PLAIN.replace("id = \"$.id\"", "item = \"$.list[*]\"");
    let diagnostics = diagnostics(&format!("{HEAD}{text}"));
    assert!(
        diagnostics.len() == 1 && diagnostics[0].contains("job.item: needs `job.id`"),
        "{diagnostics:?}"
    );
}

#[test]
fn time_of_zero_counts_as_absent() {
    let definition = definition(&PLAIN.replace("[job]", "[job]\nended_at = \"$.end\""));
    let Observation::Sighting(sighting) =
        seen(&definition, 200, r#"{"id":"j","status":"X","end":0}"#)
    else {
        panic!("not a sighting")
    };
    assert_eq!((sighting.job.ended_at, sighting.warnings.len()), (None, 0));
}

#[test]
fn definition_without_a_verdict_is_refused() {
    for (rest, said) in [
        ("", "there is never a verdict"),
        ("[job]\nstatus = \"$.s\"\n", "lists no status"),
        (
            "[job]\nstatus = \"$.s\"\n[states]\nrunning = [\"OK\"]\n",
            "no status and no rule ends the job",
        ),
    ] {
        let diagnostics = diagnostics(&format!("{HEAD}{rest}"));
        assert!(
            diagnostics.iter().any(|error| error.contains(said)),
            "{said}: {diagnostics:?}"
        );
    }
}

#[test]
fn definition_without_a_failure_gives_a_warning() {
    let head = format!("{HEAD}[job]\nstatus = \"$.s\"\n[states]\n");
    for (text, warned) in [
        (format!("{head}succeeded = [\"OK\"]\n"), vec!["`failed`"]),
        (format!("{head}failed = [\"KO\"]\n"), vec!["`succeeded`"]),
        (
            format!("not_found_means = \"succeeded\"\n{head}running = [\"X\"]\n"),
            vec!["`failed`"],
        ),
        (format!("{HEAD}{PLAIN}"), Vec::new()),
    ] {
        let warnings = compile("x", "x.toml", &text).unwrap().warnings;
        assert_eq!(warnings.len(), warned.len(), "{warnings:?}");
        for (warning, word) in warnings.iter().zip(warned) {
            assert!(
                !warning.is_error() && warning.message.contains(word),
                "{warning}"
            );
        }
    }
}

#[test]
fn rule_that_can_never_match_is_reported() {
    let rules = "[[rules]]\nwhen = { \"$.done\" = true }\noutcome = \"succeeded\"\n[[rules]]\nwhen = { \"$.done\" = true, \"$.error\" = { exists = true } }\noutcome = \"failed\"\n";
    let diagnostics = diagnostics(&format!("{HEAD}{rules}"));
    assert_eq!(
        diagnostics,
        ["x.toml:9: rules.1: can never match, because rules.0 matches first"]
    );
}

#[test]
fn rules_come_before_states_and_need_no_status() {
    let definition = definition(
        "[job]\nreason = \"$.error.message\"\n\
         [[rules]]\nwhen = { \"$.done\" = true, \"$.error.code\" = 1 }\noutcome = \"cancelled\"\n\
         [[rules]]\nwhen = { \"$.done\" = true, \"$.error\" = { exists = true } }\noutcome = \"failed\"\n\
         [[rules]]\nwhen = { \"$.done\" = true }\noutcome = \"succeeded\"\n\
         [[rules]]\nwhen = {}\noutcome = \"running\"\n",
    );
    assert_eq!(state(&definition, 200, "{}"), JobState::Running);
    assert_eq!(
        state(&definition, 200, r#"{"done":true}"#),
        JobState::Succeeded
    );
    assert_eq!(
        state(&definition, 200, r#"{"done":true,"error":{"code":8}}"#),
        JobState::Failed
    );
    assert_eq!(
        state(&definition, 200, r#"{"done":true,"error":{"code":1}}"#),
        JobState::Cancelled
    );
}

#[test]
fn http_status_as_status_needs_no_json_body() {
    let definition = definition(
        "[job]\nstatus = \"@http\"\n[states]\nrunning = [\"202\"]\nsucceeded = [\"200\", \"204\"]\nfailed = [\"299\"]\n",
    );
    assert_eq!(state(&definition, 202, ""), JobState::Running);
    assert_eq!(state(&definition, 204, ""), JobState::Succeeded);
    assert_eq!(state(&definition, 200, "<html>"), JobState::Succeeded);
    assert_eq!(problem(&definition, 404, ""), ProblemKind::NotFound);
}

#[test]
fn element_of_a_list_is_found_by_its_id() {
    let definition = definition(&PLAIN.replace("[job]", "[job]\nitem = \"$.tasks[*]\""));
    let list = r#"{"tasks":[{"id":"i","status":"KO"},{"id":"j","status":"OK"}]}"#;
    assert_eq!(state(&definition, 200, list), JobState::Succeeded);
    let others = r#"{"tasks":[{"id":"i","status":"KO"}]}"#;
    assert_eq!(problem(&definition, 200, others), ProblemKind::NotFound);
    assert_eq!(
        problem(&definition, 200, r#"{"tasks":[]}"#),
        ProblemKind::NotFound
    );
    assert_eq!(problem(&definition, 200, "{}"), ProblemKind::Unreadable);
}

#[test]
fn children_have_their_own_selectors_and_children() {
    let definition = definition(
        "[job]\nstatus = \"$.phase\"\nchildren = \"$.parts[*]\"\n[child]\nstatus = \"$.state\"\nreason = \"$.why\"\nchildren = \"$.steps[*]\"\n[states]\nsucceeded = [\"OK\"]\nfailed = [\"KO\"]\n",
    );
    let body = r#"{"phase":"OK","parts":[{"state":"OK","steps":[{"state":"KO","why":"disk"}]},{"why":"no state"}]}"#;
    let Observation::Sighting(sighting) = seen(&definition, 200, body) else {
        panic!("not a sighting")
    };
    assert_eq!(sighting.job.state, JobState::Partial);
    assert_eq!(sighting.job.children.len(), 3);
    assert_eq!(sighting.job.reason.as_deref(), Some("disk"));
}

#[test]
fn children_verdict_decides_on_the_job() {
    let body =
        |child: &str| format!(r#"{{"id":"j","status":"OK","parts":[{{"status":"{child}"}}]}}"#);
    for (verdict, child, expected) in [
        ("parent's", "KO", JobState::Succeeded),
        ("partial", "KO", JobState::Partial),
        ("partial", "BUSY", JobState::Succeeded),
        ("all", "KO", JobState::Failed),
        ("all", "BUSY", JobState::Running),
        ("all", "OK", JobState::Succeeded),
    ] {
        let text = format!("children_verdict = \"{verdict}\"\n{HEAD}{PLAIN}")
            .replace("[states]", "children = \"$.parts[*]\"\n[states]");
        let definition = compile("x", "x.toml", &text).unwrap();
        assert_eq!(
            state(&definition, 200, &body(child)),
            expected,
            "{verdict} {child}"
        );
    }
}

#[test]
fn errors_are_distinguished_by_status_code_and_message() {
    let definition = definition(&format!(
        "{PLAIN}[[errors]]\nhttp = [400, 403]\nmessage = \"*not found*\"\nkind = \"not_found\"\n[[errors]]\ncode = \"Limit.*\"\nkind = \"throttled\"\n"
    ));
    let body = |code: &str, message: &str| {
        format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#)
    };
    assert_eq!(
        problem(&definition, 400, &body("X", "job not found here")),
        ProblemKind::NotFound
    );
    assert_eq!(
        problem(&definition, 403, &body("X", "denied")),
        ProblemKind::Forbidden
    );
    assert_eq!(
        problem(&definition, 200, &body("Limit.7", "slow")),
        ProblemKind::Throttled
    );
    assert_eq!(
        problem(&definition, 500, &body("X", "not found")),
        ProblemKind::ServerError
    );
}

#[test]
fn retry_hint_counts_only_for_a_throttling() {
    let definition = definition(&format!("{PLAIN}[[retry]]\nheader = \"x-wait\"\n"));
    let mut headers = HeaderMap::new();
    headers.insert("x-wait", "7".parse().unwrap());
    let wait = |http_status, body: &str| {
        let answer = Answer {
            http_status,
            headers: &headers,
            body: body.as_bytes(),
            is_cut: false,
        };
        read(
            &definition,
            &Asked::job("j"),
            &answer,
            Timestamp::UNIX_EPOCH,
        )
        .retry_after()
    };
    assert_eq!(wait(429, "{}"), Some(std::time::Duration::from_secs(7)));
    assert_eq!(wait(500, "{}"), None);
    assert_eq!(wait(200, r#"{"id":"j","status":"BUSY"}"#), None);
}

#[test]
fn explanation_names_the_origin_of_each_value() {
    let definition = definition(&PLAIN.replace(
        "[states]",
        "reason = [\"$.why\", { in = \"$.note\", find = \"$.message\" }]\n[states]",
    ));
    let headers = HeaderMap::new();
    let explained = |body: &str| {
        let answer = Answer {
            http_status: 200,
            headers: &headers,
            body: body.as_bytes(),
            is_cut: false,
        };
        match explain(&definition, &Asked::any(), &answer, Timestamp::UNIX_EPOCH) {
            Explanation::Sighting(sighting) => *sighting,
            Explanation::Problem(problem) => panic!("not a sighting: {problem:?}"),
        }
    };
    let failed = explained(r#"{"id":"z","status":"KO","note":"{\"message\":\"quota\"}"}"#);
    assert_eq!(failed.reason.as_deref(), Some("quota"));
    assert_eq!(failed.rule, "states.failed: \"KO\"");
    let reason = failed
        .selectors
        .iter()
        .find(|origin| origin.field == "reason")
        .unwrap();
    assert_eq!(reason.selector, "$.note as JSON: $.message");
    let odd = explained(r#"{"id":"z","status":"ODD"}"#);
    assert!(odd.unknown_status && odd.rule.starts_with("none"));
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let definition = definition(&format!("{PLAIN}[job2]\n").replace("[job2]\n", ""));
    for body in [
        &b"\xff\xfe\x00"[..],
        b"",
        b"null",
        b"[]",
        b"\"OK\"",
        b"{\"id\":\"j\",\"status\":1e999}",
        b"{\"id\":\"j\",\"status\":NaN}",
        b"{\"id\":\"j\",\"status\":\"OK\",\"status\":\"KO\"}",
        b"{\"id\":\"j\",\"status\":99999999999999999999999999}",
        b"{\"id\":{\"a\":1},\"status\":[\"OK\"]}",
    ] {
        seen(&definition, 200, &String::from_utf8_lossy(body));
    }
    let deep = "[".repeat(100_000);
    assert_eq!(problem(&definition, 200, &deep), ProblemKind::Unreadable);
    // If a key comes twice, the last one counts, as for every JSON reader we know of.
    assert_eq!(
        state(
            &definition,
            200,
            r#"{"id":"j","status":"OK","status":"KO"}"#
        ),
        JobState::Failed
    );
}

#[test]
fn host_that_may_not_get_a_credential_is_refused() {
    for pattern in [
        "http://dcs.{region}.example.com",
        "https://dcs.{region}.example.com/",
        "https://dcs.{realm}.example.com",
        "https://user@dcs.example.com",
        "https://dcs.example.com?x",
        "dcs.example.com",
    ] {
        let text = format!("hosts = {{ otc = \"{pattern}\" }}\n{HEAD}{PLAIN}");
        let diagnostics = diagnostics(&text);
        assert_eq!(diagnostics.len(), 1, "{pattern}: {diagnostics:?}");
        assert!(
            diagnostics[0].starts_with("x.toml:1: hosts.otc: "),
            "{diagnostics:?}"
        );
    }
    let text = format!("hosts = {{ otc = \"https://dcs.{{region}}.example.com\" }}\n{HEAD}{PLAIN}");
    assert!(diagnostics(&text).is_empty());
}
