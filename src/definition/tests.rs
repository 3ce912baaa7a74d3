//! The definition language as its users meet it: what it can say, and what it is told.

use http::HeaderMap;
use jiff::Timestamp;

use crate::definition::Definition;
use crate::definition::compile::compile;
use crate::definition::explain::{Explanation, explain};
use crate::definition::reading::{Answer, read};
use crate::watch::observation::{JobState, Observation, ProblemKind};

const HEAD: &str =
    "title = \"t\"\ndocs = \"d\"\n[request]\nmethod = \"GET\"\npath = \"/{job_id}\"\n";
const PLAIN: &str = "[job]\nid = \"$.id\"\nstatus = \"$.status\"\n[states]\nsucceeded = [\"OK\"]\nfailed = [\"KO\"]\n";

fn definition(rest: &str) -> Definition {
    compile("x", "x.toml", &format!("{HEAD}{rest}")).unwrap()
}

/// Everything that is told of a definition.
fn told(text: &str) -> Vec<String> {
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
    };
    read(definition, "j", &answer, Timestamp::UNIX_EPOCH)
}

#[track_caller]
fn state(definition: &Definition, http_status: u16, body: &str) -> JobState {
    match seen(definition, http_status, body) {
        Observation::Sighting(sighting) => sighting.job.state,
        Observation::Problem(problem) => panic!("no sighting but {problem:?}"),
    }
}

#[track_caller]
fn problem(definition: &Definition, http_status: u16, body: &str) -> ProblemKind {
    match seen(definition, http_status, body) {
        Observation::Problem(problem) => problem.kind,
        Observation::Sighting(sighting) => panic!("no problem but {sighting:?}"),
    }
}

#[test]
fn everything_that_is_wrong_is_told_with_its_line() {
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
    let told = told(text);
    for wanted in [
        "x.toml:4: request: `{tenant}` is not in `params`",
        "x.toml:3: params: `project_id` is never used",
        "x.toml:3: params: `job_id` is always there",
        "x.toml:4: request: `{job_id}` is used nowhere",
        "x.toml:8: job.status: `$.a[` is not JSONPath",
        "x.toml:10: states.succeeded: \"OK\" is listed already, as failed",
        "x.toml:13: rules.0.when: `$.a`: `is` is no condition",
        "x.toml:15: errors.0: needs `http`, `code` or `message`",
        "x.toml:17: errors.1: can never match",
        "x.toml:17: errors.1: 99 is no HTTP status",
        "x.toml:20: retry.0: \"soon\" has none of {seconds}",
        "x.toml:23: submit.text: \"id\" must hold {job_id}",
        "x.toml:25: poll.initial: \"5\" must be a number with a unit",
        "x.toml:26: poll.jitter: 2.0 must be a number from 0 to 1",
        "x.toml:27: poll.multiplier: \"fast\" must be a number from 1 to 100",
        "x.toml:28: poll.max: \"0s\" must be at least 1ms",
        "x.toml:29: poll.jiter: unknown setting `jiter`; did you mean `jitter`?",
    ] {
        assert!(
            told.iter().any(|error| error.starts_with(wanted)),
            "{wanted:?} is not in {told:#?}"
        );
    }
    assert_eq!(told.len(), 17, "{told:#?}");
}

#[test]
fn a_key_that_is_not_known_is_told_with_its_line() {
    let told = told(&format!("{HEAD}[job]\nstatsu = \"$.a\"\n"));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("x.toml:7: unknown field `statsu`"),
        "{told:?}"
    );
}

#[test]
fn a_selector_where_it_cannot_stand_is_refused() {
    for (rest, said) in [
        (
            PLAIN.replace("[job]", "[job]\nitem = \"@http\""),
            "job.item: `@http` cannot stand here",
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
            "job.status: `@status` is what this key defines",
        ),
        (
            PLAIN
                .replace("$.status", "@http")
                .replace("\"KO\"", "\"404\""),
            "states.failed: \"404\" is never looked at",
        ),
    ] {
        let told = told(&format!("{HEAD}{rest}"));
        assert!(
            told.len() == 1 && told[0].contains(said),
            "{said}: {told:?}"
        );
    }
}

#[test]
fn a_rule_without_sense_is_refused() {
    for (when, outcome, said) in [
        (r#"{ "$.p" = "" }"#, "failed", "can never match"),
        (r#"{ "@http" = 404 }"#, "failed", "can never match"),
        (
            r#"{ "$.error" = { exists = false } }"#,
            "succeeded",
            "on what is missing alone",
        ),
        ("{}", "running", "[states] never get their turn"),
    ] {
        let rule = format!("[[rules]]\nwhen = {when}\noutcome = \"{outcome}\"\n");
        let told = told(&format!("{HEAD}{PLAIN}{rule}"));
        assert!(
            told.len() == 1 && told[0].contains(said),
            "{when}: {told:?}"
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
fn a_number_with_a_fraction_compares_as_json_writes_it() {
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

#[test]
fn a_byte_order_mark_hides_nothing() {
    let body = "\u{feff}{\"id\":\"j\",\"status\":\"OK\"}";
    assert_eq!(state(&definition(PLAIN), 200, body), JobState::Succeeded);
}

#[test]
fn more_children_than_are_looked_at_keep_success_in_doubt() {
    let definition = definition(&PLAIN.replace("[states]", "children = \"$.parts[*]\"\n[states]"));
    let parts = |count: usize| vec![r#"{"status":"OK"}"#; count].join(",");
    let body = |count: usize| format!(r#"{{"id":"j","status":"OK","parts":[{}]}}"#, parts(count));
    assert_eq!(state(&definition, 200, &body(10_000)), JobState::Succeeded);
    assert_eq!(state(&definition, 200, &body(10_001)), JobState::Running);
}

#[test]
fn an_unlisted_status_of_a_child_is_loud() {
    let definition = definition(&PLAIN.replace("[states]", "children = \"$.parts[*]\"\n[states]"));
    let body = r#"{"id":"j","status":"OK","parts":[{"status":"WEIRD"}]}"#;
    let Observation::Sighting(sighting) = seen(&definition, 200, body) else {
        panic!("no sighting")
    };
    assert!(sighting.unknown_status);
    assert!(
        sighting.warnings[0].contains("WEIRD"),
        "{:?}",
        sighting.warnings
    );
}

#[test]
fn a_list_without_an_id_to_find_the_job_by_is_refused() {
    let text = PLAIN.replace("id = \"$.id\"", "item = \"$.list[*]\"");
    let told = told(&format!("{HEAD}{text}"));
    assert!(
        told.len() == 1 && told[0].contains("job.item: needs `job.id`"),
        "{told:?}"
    );
}

#[test]
fn a_time_of_zero_is_no_time() {
    let definition = definition(&PLAIN.replace("[job]", "[job]\nended_at = \"$.end\""));
    let Observation::Sighting(sighting) =
        seen(&definition, 200, r#"{"id":"j","status":"X","end":0}"#)
    else {
        panic!("no sighting")
    };
    assert_eq!((sighting.job.ended_at, sighting.warnings.len()), (None, 0));
}

#[test]
fn a_definition_without_a_verdict_is_refused() {
    for (rest, said) in [
        ("", "no verdict could be read"),
        ("[job]\nstatus = \"$.s\"\n", "lists nothing"),
        (
            "[job]\nstatus = \"$.s\"\n[states]\nsucceeded = [\"OK\"]\n",
            "nothing leads to `failed`",
        ),
    ] {
        let told = told(&format!("{HEAD}{rest}"));
        assert!(
            told.iter().any(|error| error.contains(said)),
            "{said}: {told:?}"
        );
    }
}

#[test]
fn a_rule_that_can_never_match_is_told() {
    let rules = "[[rules]]\nwhen = { \"$.done\" = true }\noutcome = \"succeeded\"\n[[rules]]\nwhen = { \"$.done\" = true, \"$.error\" = { exists = true } }\noutcome = \"failed\"\n";
    let told = told(&format!("{HEAD}{rules}"));
    assert_eq!(
        told,
        ["x.toml:9: rules.1: can never match: rules.0 holds whenever it would"]
    );
}

#[test]
fn rules_go_before_states_and_need_no_status() {
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
fn the_http_status_can_be_the_status_and_then_the_body_may_be_anything() {
    let definition = definition(
        "[job]\nstatus = \"@http\"\n[states]\nrunning = [\"202\"]\nsucceeded = [\"200\", \"204\"]\nfailed = [\"299\"]\n",
    );
    assert_eq!(state(&definition, 202, ""), JobState::Running);
    assert_eq!(state(&definition, 204, ""), JobState::Succeeded);
    assert_eq!(state(&definition, 200, "<html>"), JobState::Succeeded);
    assert_eq!(problem(&definition, 404, ""), ProblemKind::NotFound);
}

#[test]
fn the_element_of_a_list_is_found_by_its_id() {
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
fn children_have_their_own_selectors_and_children_of_their_own() {
    let definition = definition(
        "[job]\nstatus = \"$.phase\"\nchildren = \"$.parts[*]\"\n[child]\nstatus = \"$.state\"\nreason = \"$.why\"\nchildren = \"$.steps[*]\"\n[states]\nsucceeded = [\"OK\"]\nfailed = [\"KO\"]\n",
    );
    let body = r#"{"phase":"OK","parts":[{"state":"OK","steps":[{"state":"KO","why":"disk"}]},{"why":"no state"}]}"#;
    let Observation::Sighting(sighting) = seen(&definition, 200, body) else {
        panic!("no sighting")
    };
    assert_eq!(sighting.job.state, JobState::Partial);
    assert_eq!(sighting.job.children.len(), 3);
    assert_eq!(sighting.job.reason.as_deref(), Some("disk"));
}

#[test]
fn the_children_decide_as_the_definition_says() {
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
fn errors_are_told_apart_by_status_code_and_message() {
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
fn a_hint_counts_only_for_a_throttling() {
    let definition = definition(&format!("{PLAIN}[[retry]]\nheader = \"x-wait\"\n"));
    let mut headers = HeaderMap::new();
    headers.insert("x-wait", "7".parse().unwrap());
    let wait = |http_status, body: &str| {
        let answer = Answer {
            http_status,
            headers: &headers,
            body: body.as_bytes(),
        };
        read(&definition, "j", &answer, Timestamp::UNIX_EPOCH).retry_after()
    };
    assert_eq!(wait(429, "{}"), Some(std::time::Duration::from_secs(7)));
    assert_eq!(wait(500, "{}"), None);
    assert_eq!(wait(200, r#"{"id":"j","status":"BUSY"}"#), None);
}

#[test]
fn an_explanation_names_what_led_to_each_value() {
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
        };
        match explain(&definition, None, &answer, Timestamp::UNIX_EPOCH) {
            Explanation::Sighting(sighting) => *sighting,
            Explanation::Problem(problem) => panic!("no sighting but {problem:?}"),
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
    // Of a key that comes twice the last counts, as for every JSON reader we know of.
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
fn a_host_to_which_a_credential_may_not_go_is_refused() {
    for pattern in [
        "http://dcs.{region}.example.com",
        "https://dcs.{region}.example.com/",
        "https://dcs.{realm}.example.com",
        "https://user@dcs.example.com",
        "https://dcs.example.com?x",
        "dcs.example.com",
    ] {
        let text = format!("hosts = {{ otc = \"{pattern}\" }}\n{HEAD}{PLAIN}");
        let problems = told(&text);
        assert_eq!(problems.len(), 1, "{pattern}: {problems:?}");
        assert!(
            problems[0].starts_with("x.toml:1: hosts.otc: "),
            "{problems:?}"
        );
    }
    let text = format!("hosts = {{ otc = \"https://dcs.{{region}}.example.com\" }}\n{HEAD}{PLAIN}");
    assert!(told(&text).is_empty());
}
