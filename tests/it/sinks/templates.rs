//! The templates of `config/templates`, against the documentation of their services.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jobwatch::sink::template::Template;
use jobwatch::watch::delivery::Delivery;
use jobwatch::watch::event::Instance;
use jobwatch::watch::group::GroupEnd;
use jobwatch::watch::{Outcome, State, Watch, WatchId};
use secrecy::SecretString;
use serde_json::Value;

use crate::sinks::delivery;

/// A text that tries to break out of a JSON string and of the markup of a chat.
const NASTY: &str = "no \"capacity\"\n<!channel> & \\ {{ x }} \u{1b}";

fn rendered(name: &str, outcome: Outcome, reason: &str) -> Value {
    of(name, &delivery(outcome, reason))
}

fn of(name: &str, delivery: &Delivery) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/templates");
    let template = Template::read(&folder.join(name), "application/json").unwrap();
    let event = serde_json::from_str(&delivery.body).unwrap();
    let key = SecretString::from("0123456789abcdef0123456789abcdef");
    let secrets = BTreeMap::from([("routing_key".to_owned(), key)]);
    let body = template.render(&event, &secrets).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// All texts of a value, at any depth.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(elements) => elements.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// docs.slack.dev: a message has `text` or `blocks`; a section has a `text` or up to ten
/// `fields`; a text object has a `type` and 1 to 3,000 characters, 2,000 in a field; `&`,
/// `<` and `>` are written as entities in `mrkdwn`.
#[test]
fn slack_message_keeps_the_block_limits() {
    for reason in [NASTY, "", &"<".repeat(5000)] {
        let body = rendered("slack.json.j2", Outcome::Failed, reason);
        assert!(body["text"].as_str().unwrap().contains("dcs job failed"));
        let blocks = body["blocks"].as_array().unwrap();
        for block in blocks {
            assert_eq!(block["type"], "section");
            let fields = block["fields"].as_array().cloned().unwrap_or_default();
            assert!(fields.len() <= 10);
            let own = block.get("text").cloned();
            for (object, limit) in own
                .iter()
                .map(|text| (text, 3000))
                .chain(fields.iter().map(|field| (field, 2000)))
            {
                assert!(["mrkdwn", "plain_text"].contains(&object["type"].as_str().unwrap()));
                let length = object["text"].as_str().unwrap().chars().count();
                assert!((1..=limit).contains(&length), "{length}");
            }
        }
        let words = blocks[0]["text"]["text"].as_str().unwrap();
        assert!(!words.contains(['<', '>']), "{words}");
    }
    let body = rendered("slack.json.j2", Outcome::Failed, NASTY);
    let words = body["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(
        words.contains("&lt;!channel&gt; &amp; \\ {{ x }}"),
        "{words}"
    );
}

/// learn.microsoft.com: a `message` whose attachment is an Adaptive Card with a `body` of
/// elements.
#[test]
fn teams_message_has_an_adaptive_card() {
    for reason in [NASTY, ""] {
        let body = rendered("teams.json.j2", Outcome::Failed, reason);
        assert_eq!(body["type"], "message");
        let attachment = &body["attachments"][0];
        assert_eq!(
            attachment["contentType"],
            "application/vnd.microsoft.card.adaptive"
        );
        let card = &attachment["content"];
        assert_eq!(
            (&card["type"], &card["version"]),
            (&"AdaptiveCard".into(), &"1.4".into())
        );
        let elements = card["body"].as_array().unwrap();
        let kinds = elements.iter().map(|one| one["type"].as_str().unwrap());
        assert!(
            kinds
                .clone()
                .all(|kind| ["TextBlock", "FactSet"].contains(&kind))
        );
        assert!(reason.is_empty() || texts(card).contains(&reason));
    }
}

/// A late result names the verdict, and does not trigger a second alarm.
#[test]
fn a_late_verdict_is_not_a_second_alarm() {
    let mut delivery = delivery(Outcome::TimedOut, "");
    let mut late = |verdict: &str| {
        let mut event: Value = serde_json::from_str(&delivery.body).unwrap();
        event["data"]["verdict"] = verdict.into();
        delivery.body = event.to_string();
        ["pagerduty.json.j2", "slack.json.j2", "teams.json.j2"].map(|name| of(name, &delivery))
    };
    let [alert, chat, card] = late("succeeded");
    assert_eq!(alert["event_action"], "resolve");
    let words = "dcs job timed_out, later succeeded";
    assert!(chat["text"].as_str().unwrap().starts_with(words), "{chat}");
    assert!(
        texts(&chat)
            .iter()
            .any(|text| text.contains(":white_check_mark:"))
    );
    assert!(texts(&card).contains(&words) && texts(&card).contains(&"Good"));
    let [alert, chat, _] = late("failed");
    assert_eq!(alert["event_action"], "trigger");
    assert_eq!(alert["payload"]["severity"], "error");
    assert!(texts(&chat).iter().any(|text| text.contains(":warning:")));
}

/// The end of a group has no job; its outcomes are the reason.
#[test]
fn templates_write_the_end_of_a_group() {
    let at = Timestamp::UNIX_EPOCH;
    let mut end = GroupEnd::default();
    for outcome in [Outcome::Succeeded, Outcome::Failed] {
        let id = WatchId::new(at, [0; 10]);
        let watch = Watch {
            state: State::Final(outcome),
            ..Watch::new(id, ("dcs", "dcs"), "ff80", at, at)
        };
        assert!(end.add(&watch));
    }
    let event = end.event("nightly", None, &Instance("test".to_owned()), at);
    let delivery = Delivery {
        type_name: event.kind.type_name().to_owned(),
        body: event.body,
        ..delivery(Outcome::Failed, "")
    };
    let alert = of("pagerduty.json.j2", &delivery);
    assert_eq!(alert["event_action"], "trigger");
    assert_eq!(alert["dedup_key"], "jobwatch/group/nightly");
    let words = "group nightly: failed (1 failed, 1 succeeded)";
    assert_eq!(alert["payload"]["summary"], words);
    let chat = of("slack.json.j2", &delivery);
    assert_eq!(chat["text"], "group failed: nightly");
    assert!(texts(&chat).contains(&"group: nightly"), "{chat}");
    let card = of("teams.json.j2", &delivery);
    assert!(texts(&card).contains(&"group failed"), "{card}");
    assert!(texts(&card).contains(&"1 failed, 1 succeeded"), "{card}");
}

/// The job id and the status are untrusted texts, too.
#[test]
fn texts_are_escaped_in_slack() {
    let mut delivery = delivery(Outcome::Failed, NASTY);
    let mut event: Value = serde_json::from_str(&delivery.body).unwrap();
    event["subject"] = "<!channel>".into();
    event["data"]["outcome"] = Value::Null;
    event["data"]["status"] = format!("<!here>{}", "x".repeat(5000)).into();
    delivery.body = event.to_string();
    let body = of("slack.json.j2", &delivery);
    for text in [&body["text"], &body["blocks"][0]["text"]["text"]] {
        let text = text.as_str().unwrap();
        assert!(
            !text.contains('<') && text.contains("&lt;!here&gt;"),
            "{text}"
        );
    }
    let fields = body["blocks"][1]["fields"].as_array().unwrap();
    let lengths = fields
        .iter()
        .map(|field| field["text"].as_str().unwrap().len());
    assert!(lengths.max() <= Some(2000));
}

/// developer.pagerduty.com, Events API v2: `routing_key` has 32 characters, `event_action`
/// is trigger, acknowledge or resolve, `dedup_key` has at most 255 characters, `summary`
/// 1,024; `source`, `severity` and `summary` are required.
#[test]
fn pagerduty_triggers_on_failure_and_resolves_on_success() {
    let long = "x".repeat(5000);
    let mut keys = Vec::new();
    for (outcome, action, severity) in [
        (Outcome::Failed, "trigger", "error"),
        (Outcome::TimedOut, "trigger", "warning"),
        (Outcome::Succeeded, "resolve", "info"),
    ] {
        for reason in [NASTY, "", &long] {
            let body = rendered("pagerduty.json.j2", outcome, reason);
            assert_eq!(body["routing_key"], "0123456789abcdef0123456789abcdef");
            assert_eq!(body["event_action"], action);
            let payload = &body["payload"];
            assert_eq!(payload["severity"], severity);
            assert_eq!(payload["source"], "/jobwatch/test/dcs");
            let summary = payload["summary"].as_str().unwrap();
            assert!((1..=1024).contains(&summary.chars().count()));
            assert_eq!(payload["custom_details"]["reason"], reason);
            keys.push(body["dedup_key"].as_str().unwrap().to_owned());
        }
    }
    keys.dedup();
    assert_eq!(keys.len(), 1, "one watch is one alert");
    assert!(keys[0].len() <= 255);
}
