//! Small samples that hold the runner itself to its words: each of its checks can fail.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use toml::Table;

use super::case::Case;
use super::events::follow;
use super::filler::Filler;
use super::play::{Verdict, play};
use super::value::{Wanted, dig};

/// A complete case without its last lines.
const SMALL: &str = r#"
title  = "A job that has failed"
source = "own"
kind   = "status"
play   = [{ submit = { service = "farm", job_id = "7" }, as = "one" }]

[config.services.farm]
definition = "render"

[stub]
"GET /v1/jobs/7" = [{ json = '{"status": "FAILED", "error_message": "no paint"}' }]
"#;

fn holds(rule: &str, value: &Value) -> bool {
    let mut table: Table = format!("it = {rule}").parse().unwrap();
    let wanted = Wanted::try_from(table.remove("it").unwrap()).unwrap();
    wanted.holds(value)
}

fn case(more: &str) -> Case {
    let mut case = Case::parse(&format!("{SMALL}{more}")).unwrap();
    case.definitions = vec![super::home().join("definitions/render.toml")];
    case
}

#[track_caller]
fn refusal(more: &str) -> String {
    match Case::parse(&format!("{SMALL}{more}")) {
        Ok(_) => panic!("accepted: {more}"),
        Err(message) => message,
    }
}

#[test]
fn a_value_holds_only_where_each_rule_does() {
    for (rule, good, bad) in [
        ("7", json!(7), json!(8)),
        ("\"a\"", json!("a"), json!("ab")),
        ("{ has = \"b\" }", json!("abc"), json!("ac")),
        ("{ has = '\"b\"' }", json!(["a", "b"]), json!(["a"])),
        ("{ lacks = \"b\" }", json!("ac"), json!("abc")),
        ("{ min = 2 }", json!(2), json!(1)),
        ("{ max = 2 }", json!(2), json!("2")),
        ("{ items = 2 }", json!([1, 2]), json!([1])),
        ("{ exists = true }", json!(0), Value::Null),
        ("{ exists = false }", Value::Null, json!(0)),
        ("{ any = [\"a\", 2] }", json!(2), json!("b")),
        (
            "{ time = \"1970-01-01T00:00:01Z\" }",
            json!("1970-01-01T00:00:01.000Z"),
            json!("1970-01-01T00:00:02Z"),
        ),
        ("{ min = 1, max = 2 }", json!(1.5), json!(3)),
    ] {
        assert!(holds(rule, &good), "{rule} for {good}");
        assert!(!holds(rule, &bad), "{rule} for {bad}");
    }
}

#[test]
fn a_member_is_found_by_its_path() {
    let value = json!({"a": {"b": 1}, "c": null});
    assert_eq!(dig(&value, "a.b"), 1);
    assert!(dig(&value, "a.b.c").is_null() && dig(&value, "c").is_null());
}

#[test]
fn event_types_follow_their_patterns() {
    let (a, b) = ("job.changed", "job.failed");
    for (types, patterns, follows) in [
        (vec![a, b], vec![a, b], true),
        (vec![b, a], vec![a, b], false),
        (vec![b], vec!["job.changed*", b], true),
        (vec![a, a, b], vec!["job.changed*", b], true),
        (vec![b], vec!["job.changed+", b], false),
        (vec![a, a, b], vec!["job.changed+", b], true),
        (vec![a, b, b], vec!["job.changed+", b], false),
        (vec![a], vec![], false),
    ] {
        assert_eq!(follow(&types, &patterns), follows, "{types:?} {patterns:?}");
    }
}

#[test]
fn placeholders_are_filled_and_other_braces_stay() {
    let began: Timestamp = "2024-01-25T18:15:25.5Z".parse().unwrap();
    let filler = Filler::new(began, "http://a", "http://b", Path::new("/f"));
    for (text, filled) in [
        ("{STUB}/{OTHER}{DIR}", "http://a/http://b/f"),
        ("{T}", "2024-01-25T18:15:25.500Z"),
        (
            "{T-2h} {T+3s}",
            "2024-01-25T16:15:25.500Z 2024-01-25T18:15:28.500Z",
        ),
        ("{DATE+1d}", "Fri, 26 Jan 2024 18:15:25 GMT"),
        ("{EPOCH-1s}", "1706206524"),
        ("{PAD 3}", "xxx"),
        (
            "{\"a\":{\"b\":\"{T}\"}}",
            "{\"a\":{\"b\":\"2024-01-25T18:15:25.500Z\"}}",
        ),
        ("{job_id} {T2h} {Ts} {", "{job_id} {T2h} {Ts} {"),
    ] {
        assert_eq!(filler.fill(text), filled);
    }
}

#[test]
fn an_unknown_key_of_a_case_is_refused() {
    let end = "[watches.one]\noutcome = \"failed\"\n";
    assert!(refusal(&format!("{end}resaon = \"x\"")).contains("resaon"));
    assert!(refusal(&format!("{end}view.polls = {{ least = 1 }}")).contains("least"));
    assert!(refusal(&format!("{end}[logs]\nhas = []")).contains("logs"));
    assert!(refusal(&format!("{end}[requests.x]\nhit = [1]")).contains("hit"));
    assert!(refusal(&format!("{end}polls = [1, 2, 3]")).contains("[least, most]"));
    assert!(refusal("").contains("nothing is expected"));
    let bare = "title = \"t\"\nsource = \"own\"\nkind = \"time\"\nrefused = []\n";
    for (line, word) in [
        ("play = [{ wait = \"a\", http = 200 }]", "http"),
        ("play = [{ wait = \"a\", stop = \"a\" }]", "one of submit"),
        ("stub = { \"GET /\" = [{ json = \"{\" }] }", "json"),
        ("stub = { \"GET /\" = [{ hits = 1 }] }", "the last"),
        ("stub = { \"GET /\" = [{}, {}] }", "the last"),
        ("stub = { \"GET /\" = [{ hex = \"abc\" }] }", "hex"),
        (
            "stub = { \"GET /\" = [{ text = \"a\", hex = \"ab\" }] }",
            "one of json",
        ),
    ] {
        let message = Case::parse(&format!("{bare}{line}")).err().unwrap();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_case_is_right_only_as_it_expects() {
    let runtime = Runtime::new().unwrap();
    let one = "[watches.one]\noutcome = \"failed\"\nreason = \"paint\"\nevents = [\"watch.accepted\", \"job.failed\"]\n";
    let right = format!(
        "{one}polls = [1, 1]\ntook = [0, 9]\nview.problems = 0\n[requests.\"GET /v1/jobs/7\"]\nhits = [1, 1]\n[log]\nlacks = [\"no such word\"]\n"
    );
    let right = play(&case(&right), &runtime);
    assert_eq!(right.verdict, Verdict::Right, "{}", right.line);
    let wrong = format!(
        "{one}polls = [2]\ntook = [9]\ncode = \"x\"\nview.problems = 1\nevent.type = \"x\"\nsome_event = {{ type = \"x\" }}\n[watches.two]\noutcome = \"failed\"\n[requests.\"GET /v1/jobs/7\"]\nhits = [2]\ngaps = [[1, 0]]\nbody = \"x\"\nheaders.host = \"x\"\n[log]\nhas = [\"no such word\"]\nlacks = [\"ready\"]\n"
    );
    let wrong = play(
        &case(&wrong.replace("\"failed\"\nreason", "\"lost\"\nreason")),
        &runtime,
    );
    assert_eq!(wrong.verdict, Verdict::Wrong);
    for part in [
        "outcome of one: lost /",
        "polls of one: at least 2 /",
        "seconds that one took: at least 9 /",
        "code of one: \"x\" /",
        "problems of one: 1 /",
        "type of the last event of one: \"x\" /",
        "some event of one: type \"x\" /",
        "watch two: a watch /",
        "requests GET /v1/jobs/7: at least 2 / 1",
        "seconds after request 1 of GET /v1/jobs/7: at least 0 /",
        "body of GET /v1/jobs/7: x /",
        "host of GET /v1/jobs/7: \"x\" /",
        "the log: `no such word` in it /",
        "the log: no `ready` in it /",
    ] {
        assert!(wrong.line.contains(part), "no {part:?} in {}", wrong.line);
    }
}

#[test]
fn a_refused_definition_is_right_only_as_expected() {
    let runtime = Runtime::new().unwrap();
    let with = |text: &str| text.replace("\"render\"", "\"no-such-definition\"");
    let verdict = |more: &str| {
        let case = Case::parse(&with(&format!("{SMALL}{more}"))).unwrap();
        play(&case, &runtime).verdict
    };
    assert_eq!(
        verdict("[watches.one]\noutcome = \"failed\""),
        Verdict::Refused
    );
    let expecting = |words: &str| {
        let text = with(SMALL).replace("play", &format!("refused = [\"{words}\"]\nplay"));
        play(&Case::parse(&text).unwrap(), &runtime).verdict
    };
    assert_eq!(expecting("no-such-definition"), Verdict::Right);
    assert_eq!(expecting("another word"), Verdict::Wrong);
    let accepted = SMALL.replace("play", "refused = []\nplay");
    let mut accepted = Case::parse(&accepted).unwrap();
    accepted.definitions = case("[watches.one]\noutcome = \"failed\"").definitions;
    assert_eq!(play(&accepted, &runtime).verdict, Verdict::Wrong);
}
