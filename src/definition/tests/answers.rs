//! The form of answers: text, XML, large bodies, lists, ids, pace, runs and the next job.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use super::{HEAD, PLAIN, definition, diagnostics, problem, state};
use crate::definition::Definition;
use crate::definition::batch::NextPage;
use crate::definition::explain::{Explanation, explain};
use crate::definition::reading::list::{Page, read_batch};
use crate::definition::reading::{Answer, Asked, read};
use crate::watch::observation::{JobState, NextJob, Observation, Problem, ProblemKind, Sighting};

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    let all = all.iter().map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, value.parse().unwrap())
    });
    all.collect()
}

fn observed(definition: &Definition, http_status: u16, of: &HeaderMap, body: &str) -> Observation {
    let answer = Answer {
        http_status,
        headers: of,
        body: body.as_bytes(),
        is_cut: false,
    };
    read(definition, &Asked::job("j"), &answer, now())
}

#[track_caller]
fn sighting(definition: &Definition, of: &HeaderMap, body: &str) -> Sighting {
    match observed(definition, 200, of, body) {
        Observation::Sighting(sighting) => sighting,
        Observation::Problem(problem) => panic!("not a sighting: {problem:?}"),
    }
}

fn cut(definition: &Definition, http_status: u16, body: &str) -> Observation {
    let answer = Answer {
        http_status,
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        is_cut: true,
    };
    read(definition, &Asked::job("j"), &answer, now())
}

#[test]
fn one_plain_word_is_a_status() {
    let definition = definition(
        "[answer]\nformat = \"text\"\n[job]\nstatus = \"@text\"\n[states]\nrunning = [\"EXECUTING\"]\nsucceeded = [\"COMPLETED\"]\nfailed = [\"ERROR*\"]\n",
    );
    assert_eq!(state(&definition, 200, " COMPLETED\n"), JobState::Succeeded);
    assert_eq!(state(&definition, 200, "ERROR: disk"), JobState::Failed);
    assert_eq!(state(&definition, 200, "other"), JobState::Running);
    assert_eq!(problem(&definition, 200, ""), ProblemKind::Unreadable);
    let page = "<html><title>Log in</title></html>";
    assert_eq!(problem(&definition, 200, page), ProblemKind::Unreadable);
    let errors = diagnostics(&format!("{HEAD}[answer]\nformat = \"text\"\n{PLAIN}"));
    assert!(
        errors.iter().all(|error| error.contains("has only @text")),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn xml_answers_and_errors_are_read() {
    let definition = definition(
        "[answer]\nformat = \"xml\"\nlists = [\"task\"]\n[job]\nitem = \"$.tasks.task[*]\"\nid = \"$.id\"\nstatus = \"$.state\"\n[states]\nsucceeded = [\"OK\"]\nfailed = [\"KO\"]\n[error_body]\ncode = [\"$.Error.Code\", \"$.code\"]\nmessage = [\"$.Error.Message\", \"$.message\"]\n",
    );
    let one = "<tasks><task><id>j</id><state>OK</state></task></tasks>";
    assert_eq!(state(&definition, 200, one), JobState::Succeeded);
    let of_xml = headers(&[("content-type", "application/xml")]);
    let none = HeaderMap::new();
    for (of, body) in [
        (
            &of_xml,
            "<Error><Code>SlowDown</Code><Message>wait</Message></Error>",
        ),
        (&none, r#"{"code":"SlowDown","message":"wait"}"#),
    ] {
        let Observation::Problem(problem) = observed(&definition, 503, of, body) else {
            panic!("not a problem: {body}")
        };
        assert_eq!(problem.code.as_deref(), Some("SlowDown"), "{body}");
        assert_eq!(problem.message, "wait", "{body}");
    }
}

#[test]
fn beginning_of_a_large_body_shows_only_a_job_that_goes_on() {
    let text = PLAIN.replace("[states]", "[states]\nrunning = [\"BUSY\"]");
    let of_body = definition(&text);
    let shows = |status: &str| {
        cut(
            &of_body,
            200,
            &format!(r#"{{"id":"j","status":"{status}","data":["x"#),
        )
    };
    let Observation::Sighting(busy) = shows("BUSY") else {
        panic!("not a sighting")
    };
    assert_eq!(busy.job.state, JobState::Running);
    for status in ["OK", "KO", "?"] {
        let Observation::Problem(problem) = shows(status) else {
            panic!("{status} is a sighting")
        };
        assert_eq!(problem.kind, ProblemKind::Unreadable);
        assert!(
            problem
                .message
                .starts_with("the body is larger than max_body, ")
        );
    }
    let of_head = definition(
        "[job]\nstatus = \"@http\"\n[states]\nrunning = [\"202\"]\nsucceeded = [\"200\"]\nfailed = [\"299\"]\n",
    );
    assert!(matches!(
        cut(&of_head, 200, "{\"a\":["),
        Observation::Sighting(_)
    ));
}

/// A success by the HTTP status alone is not believed of a body that may be about another job.
#[test]
fn end_by_the_head_of_a_large_body_needs_the_job_id() {
    let definition = definition(
        "[job]\nid = \"$.id\"\nstatus = \"@http\"\n[states]\nrunning = [\"202\"]\nsucceeded = [\"200\"]\nfailed = [\"299\"]\n",
    );
    let read = |http_status: u16, body: &str| match cut(&definition, http_status, body) {
        Observation::Sighting(sighting) => Ok(sighting.job.state),
        Observation::Problem(problem) => Err(problem.message),
    };
    assert_eq!(read(200, r#"{"id":"j","a":["#), Ok(JobState::Succeeded));
    let another = Err("the answer is about another job: k".to_owned());
    assert_eq!(read(200, r#"{"id":"k","a":["#), another);
    assert_eq!(read(202, r#"{"id":"k","a":["#), another);
    let too_large = Err("the body is larger than max_body, 9 bytes".to_owned());
    assert_eq!(read(200, r#"{"a":[1,2"#), too_large);
    assert_eq!(read(202, r#"{"a":[1,2"#), Ok(JobState::Running));
}

#[test]
fn large_error_keeps_the_meaning_of_its_status() {
    let Observation::Problem(problem) = cut(&definition(PLAIN), 503, "<html><p>x") else {
        panic!("not a problem")
    };
    assert_eq!(problem.kind, ProblemKind::ServerError);
}

#[test]
fn ids_keep_their_digits_and_uuids_their_meaning() {
    let definition = definition(PLAIN);
    let read_for = |job_id: &str, id: &str| {
        let body = format!(r#"{{"id":{id},"status":"OK"}}"#);
        let answer = Answer {
            http_status: 200,
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            is_cut: false,
        };
        let observation = read(&definition, &Asked::job(job_id), &answer, now());
        matches!(observation, Observation::Sighting(_))
    };
    assert!(read_for("12345678901234567891", "12345678901234567891"));
    assert!(!read_for("12345678901234567891", "12345678901234567892"));
    let uuid = "9f1c2e7a-0b3d-4e5f-8a6b-7c8d9e0f1a2b";
    assert!(read_for(uuid, &format!("\"{}\"", uuid.to_uppercase())));
    assert!(!read_for("Job", "\"job\""));
}

#[test]
fn children_that_go_on_hold_back_a_failure() {
    let text = format!(
        "children_verdict = \"all\"\n{HEAD}{}",
        PLAIN.replace(
            "[states]",
            "children = \"$.parts[*]\"\n[states]\nrunning = [\"BUSY\"]"
        )
    );
    let definition = crate::definition::compile::compile("x", "x.toml", &text).unwrap();
    let body = |last: &str| {
        format!(r#"{{"id":"j","status":"OK","parts":[{{"status":"KO"}},{{"status":"{last}"}}]}}"#)
    };
    assert_eq!(state(&definition, 200, &body("BUSY")), JobState::Running);
    assert_eq!(state(&definition, 200, &body("OK")), JobState::Failed);
}

#[test]
fn child_without_a_status_does_not_hold_its_parent() {
    let text = format!(
        "children_verdict = \"all\"\n{HEAD}{}",
        PLAIN.replace("[states]", "children = \"$.parts[*]\"\n[states]")
    );
    let definition = crate::definition::compile::compile("x", "x.toml", &text).unwrap();
    let body = r#"{"id":"j","status":"OK","parts":[{"status":"OK"},{"name":"a"}]}"#;
    let seen = sighting(&definition, &HeaderMap::new(), body);
    assert_eq!(seen.job.state, JobState::Succeeded);
    assert!(seen.warnings[0].contains("a child has no status"));
}

#[test]
fn pace_is_read_from_every_answer() {
    let definition = definition(&format!(
        "{PLAIN}[pace]\nafter = [\"@header:x-wait\", {{ at = \"$.nextPollMs\", unit = \"milliseconds\" }}, {{ at = \"$.at\", unit = \"epoch\" }}]\n"
    ));
    let none = HeaderMap::new();
    let busy = |rest: &str| format!(r#"{{"id":"j","status":"BUSY"{rest}}}"#);
    for (http_status, of, body, expected) in [
        (200, headers(&[("x-wait", "2")]), busy(""), Some(2000)),
        (500, headers(&[("x-wait", "2")]), String::new(), Some(2000)),
        (
            404,
            headers(&[("x-wait", "0.0001")]),
            "{}".to_owned(),
            Some(1),
        ),
        (
            200,
            headers(&[("x-wait", "Sun, 22 Nov 2026 10:00:30 GMT")]),
            busy(""),
            Some(30_000),
        ),
        (
            200,
            headers(&[("x-wait", "-2")]),
            busy(r#","nextPollMs":250.5"#),
            Some(251),
        ),
        (200, none.clone(), busy(r#","at":1795341640"#), Some(40_000)),
        (200, none, busy(r#","nextPollMs":"soon""#), None),
    ] {
        let pace = observed(&definition, http_status, &of, &body);
        let pace = pace.asked_wait().pace;
        assert_eq!(pace, expected.map(Duration::from_millis), "{of:?} {body}");
    }
    let huge = "9".repeat(40);
    let pace = observed(&definition, 200, &headers(&[("x-wait", &huge)]), &busy(""));
    assert!(pace.asked_wait().pace.unwrap() > Duration::from_hours(24 * 365));
}

#[test]
fn run_needs_every_selector_and_since_is_by_our_clock() {
    let definition = definition(&format!(
        "{PLAIN}[verdict]\nrun = [\"$.uid\", \"$.attempt\"]\nsince = \"$.began\"\nsettle = \"30s\"\nconfirm = 2\n"
    ));
    assert_eq!(definition.poll.settle, Some(Duration::from_secs(30)));
    assert_eq!(definition.poll.confirm, Some(2));
    let body = r#"{"id":"j","status":"BUSY","uid":"u","attempt":2,"began":"2026-11-22T09:00:00Z"}"#;
    for (date, began) in [
        ("Sun, 22 Nov 2026 10:00:01 GMT", "2026-11-22T09:00:00Z"),
        ("Sun, 22 Nov 2026 09:00:00 GMT", "2026-11-22T10:00:00Z"),
        ("soon", "2026-11-22T09:00:00Z"),
        // The answer took thirty seconds, and the clock is right.
        ("Sun, 22 Nov 2026 10:00:30 GMT", "2026-11-22T09:00:00Z"),
        ("Sun, 22 Nov 2026 11:00:00 GMT", "2026-11-22T08:00:00Z"),
    ] {
        let seen = sighting(&definition, &headers(&[("date", date)]), body);
        assert_eq!(seen.run.as_deref(), Some("u/2"));
        assert_eq!(seen.run_at, Some(began.parse().unwrap()), "{date}");
    }
    let seen = sighting(
        &definition,
        &HeaderMap::new(),
        r#"{"id":"j","status":"BUSY","uid":"u"}"#,
    );
    assert_eq!((seen.run, seen.run_at), (None, None));
}

#[test]
fn next_job_follows_only_a_success() {
    let definition = definition(&format!(
        "{PLAIN}[next]\nfollow = [\"@header:location\", \"$.link\"]\njob_id = \"$.build.number\"\ndefinition = \"build\"\nparams = {{ job = \"$.task\" }}\n"
    ));
    let body = |status: &str| {
        format!(
            r#"{{"id":"j","status":"{status}","link":"/b","task":"nightly","build":{{"number":7}}}}"#
        )
    };
    let none = HeaderMap::new();
    let busy = sighting(&definition, &none, &body("BUSY"));
    assert_eq!((busy.follow.as_deref(), busy.next), (Some("/b"), None));
    let done = sighting(
        &definition,
        &headers(&[("location", "https://h/c")]),
        &body("OK"),
    );
    assert_eq!(done.follow.as_deref(), Some("https://h/c"));
    let next = NextJob {
        job_id: "7".to_owned(),
        definition: Some("build".to_owned()),
        params: [("job".to_owned(), "nightly".to_owned())].into(),
    };
    assert_eq!(done.next, Some(next));
    assert_eq!(
        sighting(&definition, &none, r#"{"id":"j","status":"OK"}"#).next,
        None
    );
    let errors = diagnostics(&format!("{HEAD}{PLAIN}[next]\ndefinition = \"build\"\n"));
    assert!(
        errors.len() == 1 && errors[0].contains("needs `job_id`"),
        "{errors:?}"
    );
}

#[test]
fn selectors_beside_the_job_start_at_the_item() {
    let definition = definition(&format!(
        "{}[verdict]\nrun = \"$.run\"\n[pace]\nafter = \"$.wait\"\n[next]\nfollow = \"$.link\"\n[[rules]]\nwhen = {{ \"$.flag\" = true }}\noutcome = \"held\"\n",
        PLAIN.replace("[job]", "[job]\nitem = \"$.jobs[*]\"")
    ));
    let body = r#"{"wait":9,"link":"/all","flag":true,"run":"x","jobs":[{"id":"j","status":"BUSY","run":"r","link":"/j"}]}"#;
    let seen = sighting(&definition, &HeaderMap::new(), body);
    assert_eq!(seen.job.state, JobState::Running);
    assert_eq!(seen.run.as_deref(), Some("r"));
    assert_eq!(seen.follow.as_deref(), Some("/j"));
    assert_eq!(seen.pace, Some(Duration::from_secs(9)));
}

#[test]
fn lenient_reading_gives_a_warning() {
    let body = "{\"id\":\"j\",\"status\":\"OK\",\"ratio\":NaN}";
    let seen = sighting(&definition(PLAIN), &HeaderMap::new(), body);
    assert_eq!(seen.job.state, JobState::Succeeded);
    assert!(seen.proof.is_lenient);
    assert!(
        seen.warnings
            .iter()
            .any(|warning| warning.contains("lenient"))
    );
}

#[test]
fn proof_names_the_entry_that_decided() {
    let definition = definition(&format!(
        "{PLAIN}[[rules]]\nwhen = {{ \"$.done\" = true, \"@http\" = 200 }}\noutcome = \"failed\"\n"
    ));
    let proof = |body: &str| {
        let proof = sighting(&definition, &HeaderMap::new(), body).proof;
        (proof.selector.to_string(), proof.rule.to_string())
    };
    let by_state = proof(r#"{"id":"j","status":"KO"}"#);
    assert_eq!(
        by_state,
        ("$.status".into(), "states.failed: \"KO\"".into())
    );
    let by_rule = proof(r#"{"id":"j","status":"KO","done":true}"#);
    assert_eq!(by_rule.1, "rules: number 1");
    assert!(
        by_rule.0.contains("$.done") && by_rule.0.contains("@http"),
        "{by_rule:?}"
    );
    let unlisted = proof(r#"{"id":"j","status":"?"}"#);
    assert_eq!(unlisted.1, "none: the status is not listed");
}

const BATCH: &str = "[batch]\nmax = 3\npath = \"/jobs\"\nquery = { ids = \"{job_ids}\" }\nitems = \"$.jobs[*]\"\npage = { at = \"$.next\" }\n";

fn page(definition: &Definition, asked: &[&str], body: &str) -> Result<Page, Problem> {
    let asked: Vec<Asked<'_>> = asked.iter().map(|id| Asked::job(id)).collect();
    let answer = Answer {
        http_status: 200,
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        is_cut: false,
    };
    let batch = definition.batch.as_ref().unwrap();
    read_batch(definition, batch, &asked, &answer, 0, now())
}

fn states(page: &Page) -> Vec<Option<JobState>> {
    let state = |observation: &Option<Observation>| match observation.as_ref()? {
        Observation::Sighting(sighting) => Some(sighting.job.state),
        Observation::Problem(problem) => panic!("a problem: {problem:?}"),
    };
    page.observations.iter().map(state).collect()
}

#[test]
fn batch_asks_for_several_jobs_and_reads_each() {
    let definition = definition(&format!("{PLAIN}{BATCH}"));
    let batch = definition.batch.as_ref().unwrap();
    assert_eq!((batch.max, batch.alone, batch.is_list()), (3, true, false));
    let request = batch.render(&["a", "b/c"], |_| None).unwrap();
    assert_eq!(request.path_and_query, "/jobs?ids=a,b%2Fc");
    assert!(!batch.takes("a,b"));
    let body = r#"{"next":"/jobs?page=2","jobs":[{"id":"b","status":"KO"},{"id":"a","status":"OK"},{"id":"z","status":"OK"}]}"#;
    let page = page(&definition, &["a", "b", "c"], body).unwrap();
    assert_eq!(
        states(&page),
        [Some(JobState::Succeeded), Some(JobState::Failed), None]
    );
    assert_eq!(page.next, Some(NextPage::Link("/jobs?page=2".into())));
}

#[test]
fn batch_without_its_list_is_a_problem_of_all() {
    let definition = definition(&format!("{PLAIN}{BATCH}"));
    let problem = page(&definition, &["a"], "{}").unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Unreadable);
    let empty = page(&definition, &["a"], r#"{"jobs":[]}"#).unwrap();
    assert_eq!(states(&empty), [None]);
}

#[test]
fn batch_may_have_a_body_with_an_array() {
    let definition = definition(&format!(
        "{PLAIN}[batch]\nmethod = \"POST\"\npath = \"/query\"\nbody = '{{\"ids\":{{job_ids:json}}}}'\nitems = \"$.jobs[*]\"\npage = {{ param = \"page\", first = 0 }}\n"
    ));
    let batch = definition.batch.as_ref().unwrap();
    let request = batch.render(&["a,b", "c\""], |_| None).unwrap();
    assert_eq!(request.body.as_deref(), Some(r#"{"ids":["a,b","c\""]}"#));
    assert_eq!(request.path_and_query, "/query?page=0");
    assert!(batch.takes("a,b"));
    let first = page(
        &definition,
        &["a"],
        r#"{"jobs":[{"id":"x","status":"OK"}]}"#,
    )
    .unwrap();
    assert_eq!(first.next, Some(NextPage::Named("1".into())));
    let request = batch.render_page(&["a"], Some("1"), |_| None).unwrap();
    assert_eq!(request.path_and_query, "/query?page=1");
    assert_eq!(
        page(&definition, &["a"], r#"{"jobs":[]}"#).unwrap().next,
        None
    );
}

#[test]
fn mark_of_the_next_page_is_given_back() {
    let definition = definition(&format!(
        "{PLAIN}[batch]\npath = \"/jobs\"\nquery = {{ limit = \"2\" }}\nitems = \"$.jobs[*]\"\npage = {{ at = \"$.next\", param = \"marker\" }}\n"
    ));
    let batch = definition.batch.as_ref().unwrap();
    let first = batch.render(&["a"], |_| None).unwrap();
    assert_eq!(first.path_and_query, "/jobs?limit=2");
    for (body, next) in [
        (r#"{"jobs":[],"next":"b/c="}"#, Some("b/c=")),
        (r#"{"jobs":[],"next":""}"#, None),
        (r#"{"jobs":[]}"#, None),
    ] {
        let page = page(&definition, &["a"], body).unwrap();
        let next = next.map(|mark| NextPage::Named(mark.to_owned()));
        assert_eq!(page.next, next, "{body}");
    }
    let second = batch.render_page(&["a"], Some("b/c="), |_| None).unwrap();
    assert_eq!(second.path_and_query, "/jobs?limit=2&marker=b%2Fc%3D");
}

#[test]
fn request_for_a_list_is_a_batch_of_all() {
    let text = format!(
        "{HEAD}{}",
        PLAIN.replace("[job]", "[job]\nitem = \"$.jobs[*]\"")
    );
    let text = text.replace("/{job_id}", "/jobs");
    let definition = crate::definition::compile::compile("x", "x.toml", &text).unwrap();
    let batch = definition.batch.as_ref().unwrap();
    assert_eq!((batch.alone, batch.is_list()), (false, true));
    let errors = diagnostics(&text.replace("item = \"$.jobs[*]\"\n", ""));
    assert!(
        errors
            .iter()
            .any(|error| error.contains("must contain `{job_id}`")),
        "{errors:?}"
    );
}

#[test]
fn batch_that_cannot_work_is_refused() {
    for (batch, said) in [
        (
            "[batch]\nitems = \"$.jobs[*]\"\n",
            "must not use `{job_id}`",
        ),
        ("[batch]\npath = \"/jobs\"\n", "needs `items`"),
        (
            "[batch]\npath = \"/jobs\"\nitems = \"@text\"\n",
            "must be JSONPath",
        ),
        (
            "[batch]\npath = \"/jobs\"\nitems = \"$.j[*]\"\nmax = 0\n",
            "must be from 1 to",
        ),
        (
            "[batch]\npath = \"/jobs\"\nitems = \"$.j[*]\"\npage = { at = \"$.n\", first = 1 }\n",
            "is { at",
        ),
        (
            "[batch]\npath = \"/jobs/{+job_ids}\"\nitems = \"$.j[*]\"\n",
            "batch.path: must not use `{+job_ids}`",
        ),
        (
            "[batch]\npath = \"/jobs\"\nquery = { page = \"1\" }\nitems = \"$.j[*]\"\npage = { param = \"page\" }\n",
            "batch.page: sends `page`, which the query has too",
        ),
        (
            "[batch]\npath = \"/{tenant}/jobs\"\nitems = \"$.j[*]\"\n",
            ": batch: `{tenant}` is not listed in `params`",
        ),
        (
            "[batch]\nmx = 5\n",
            "unknown setting `mx`; did you mean `max`? (known here: max, method,",
        ),
        (
            "[batch]\nmax = \"5\"\n",
            "batch.max: invalid type: string \"5\", must be a whole number",
        ),
    ] {
        let errors = diagnostics(&format!("{HEAD}{PLAIN}{batch}"));
        assert!(
            errors.iter().any(|error| error.contains(said)),
            "{said}: {errors:?}"
        );
    }
}

#[test]
fn batch_whose_items_are_one_element_gets_a_warning() {
    let with = |items: &str| {
        let batch = format!("[batch]\npath = \"/jobs\"\nitems = \"{items}\"\n");
        definition(&format!("{PLAIN}{batch}")).warnings
    };
    assert!(with("$.jobs[*]").is_empty());
    let warnings = with("$.jobs");
    assert!(warnings[0].message.contains("write `$.jobs[*]`"));
}

#[test]
fn explanation_reads_one_job_of_a_batch() {
    let definition = definition(&format!("{PLAIN}{BATCH}"));
    let answer = Answer {
        http_status: 200,
        headers: &HeaderMap::new(),
        body: br#"{"jobs":[{"id":"a","status":"OK"},{"id":"b","status":"KO"}]}"#,
        is_cut: false,
    };
    let explained = |job_id| explain(&definition, &Asked::job(job_id), &answer, now());
    let Explanation::Sighting(shown) = explained("b") else {
        panic!("not a sighting")
    };
    assert_eq!(
        (shown.state, shown.selectors[0].field),
        ("failed", "status")
    );
    let Explanation::Problem(problem) = explained("c") else {
        panic!("a sighting")
    };
    assert_eq!(problem.problem, "not_found");
}

#[test]
fn answer_settings_are_checked() {
    let of = |answer: &str| format!("{HEAD}[answer]\n{answer}\n{PLAIN}");
    let definition = definition(&format!(
        "[answer]\nmax_body = \"4MiB\"\nzone = \"Europe/Berlin\"\n{}",
        PLAIN.replace("[job]", "[job]\nbegan_at = \"$.began\"")
    ));
    assert_eq!(definition.answer.max_body, Some(4 << 20));
    let body = r#"{"id":"j","status":"BUSY","began":"2026-11-22 11:00:00"}"#;
    let seen = sighting(&definition, &HeaderMap::new(), body);
    assert_eq!(seen.job.began_at, Some(now()));
    for (answer, said) in [
        ("max_body = \"4 MiBs\"", "with a unit"),
        ("max_body = 7", "must be from 1KiB to 1GiB"),
        ("zone = \"Mars\"", "Europe/Berlin"),
        ("format = \"yaml\"", "unknown variant"),
    ] {
        let errors = diagnostics(&of(answer));
        assert!(
            errors.len() == 1 && errors[0].contains(said),
            "{said}: {errors:?}"
        );
    }
}

#[test]
fn param_of_a_condition_counts_as_used() {
    let text = format!(
        "params = [\"zone\"]\n{HEAD}{PLAIN}[[rules]]\nwhen = {{ \"$.zone\" = {{ not = \"{{param.zone}}\" }}, \"$.id\" = {{ exists = true }} }}\noutcome = \"pending\"\n"
    );
    assert_eq!(diagnostics(&text), Vec::<String>::new());
    let errors = diagnostics(&text.replace("params = [\"zone\"]\n", ""));
    assert!(
        errors.len() == 1 && errors[0].contains("`{zone}` is not listed"),
        "{errors:?}"
    );
}

#[test]
fn settings_of_the_verdict_are_refused_in_poll() {
    let errors = diagnostics(&format!(
        "{HEAD}{PLAIN}[poll]\nsettle = \"1s\"\ngone_after = \"1m\"\n"
    ));
    assert!(
        errors.len() == 1 && errors[0].contains("write it in [verdict]"),
        "{errors:?}"
    );
    let errors = diagnostics(&format!(
        "{HEAD}{PLAIN}[verdict]\nconfirm = 0\nsettle = \"-1s\"\n"
    ));
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn same_patterns_are_refused_with_both_lines() {
    let errors = diagnostics(&format!(
        "{HEAD}[job]\nstatus = \"$.s\"\n[states]\nsucceeded = [\n  \"OK\",\n  \"a**\",\n]\nfailed = [\"a*\"]\n"
    ));
    assert_eq!(
        errors,
        [
            "x.toml:11: states.succeeded: \"a**\" can never decide: \"a*\", listed as failed (line 13), matches the same"
        ]
    );
}
