//! The summary at the end: the numbers, an event as the receiver got it, and the next steps.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::demo::progress::Progress;
use crate::cli::demo::receiver::Event;
use crate::cli::output::{Paint, Table, plain};
use crate::watch::event::EventKind;
use crate::watch::{Outcome, State};

/// The same configuration for the real cloud.
const REAL: &str = r#"[credentials.cloud]
kind = "token"
token_file = "/etc/jobwatch/secrets/otc-token"

[services.sdrs]
definition = "sdrs"
url = "https://sdrs.eu-de.otc.t-systems.com"
credential = "cloud"
params = { project_id = "0123456789abcdef0123456789abcdef" }

[sinks.receiver]
kind = "webhook"
url = "https://hooks.example.com/jobwatch"
secret_file = "/etc/jobwatch/secrets/webhook"
events = ["finished"]
"#;

const NEXT: [(&str, &str); 4] = [
    (
        "jobwatch demo --print-config",
        "the configuration of this demo",
    ),
    (
        "jobwatch check --config jobwatch.toml",
        "check your configuration",
    ),
    ("jobwatch run --config jobwatch.toml", "start the daemon"),
    ("jobwatch submit sdrs JOB_ID", "watch a job"),
];

/// Returns a table of outcomes, polls, problems, deliveries and time.
pub(super) fn numbers(progress: &Progress, elapsed: Duration, paint: Paint) -> String {
    let (polls, problems) = progress.polls();
    let inbox = &progress.inbox;
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(vec![paint.dim(name), value]);
    row("outcomes", outcomes(progress, paint));
    row(
        "polls",
        format!("{polls}, {problems} of them with a problem"),
    );
    row("problems", listed(&progress.problems));
    row(
        "events",
        format!("{} received with a valid signature", inbox.events.len()),
    );
    row(
        "deliveries",
        format!(
            "{} retried after a 503, {} received twice, {} refused",
            inbox.retried(),
            inbox.repeated,
            inbox.refused.len()
        ),
    );
    row("elapsed", format!("{:.1} s", elapsed.as_secs_f64()));
    table.render()
}

/// Returns the same numbers as [`numbers`] for a program.
pub(super) fn as_json(progress: &Progress, elapsed: Duration, differences: &[String]) -> Value {
    let (polls, poll_problems) = progress.polls();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &progress.rows {
        *outcomes.entry(row.state()).or_default() += 1;
    }
    let inbox = &progress.inbox;
    json!({"summary": {
        "as_expected": differences.is_empty(),
        "differences": differences,
        "outcomes": outcomes,
        "polls": polls,
        "polls_with_a_problem": poll_problems,
        "problems": progress.problems,
        "events": inbox.events.len(),
        "deliveries_retried": inbox.retried(),
        "deliveries_repeated": inbox.repeated,
        "deliveries_refused": inbox.refused.len(),
        "elapsed_ms": elapsed.as_millis(),
    }})
}

/// Returns the event of a failed job, preferably one with a code and a reason.
pub(super) fn sample(progress: &Progress) -> Option<String> {
    let type_name = EventKind::Finished(Outcome::Failed).type_name();
    let read = |event: &Event| serde_json::from_str::<Value>(&event.body).ok();
    let events = progress.inbox.events.iter();
    let failed = events.filter_map(|event| Some((event, read(event)?)));
    let (event, _) = failed
        .filter(|(_, body)| body["type"] == type_name)
        .max_by_key(|(_, body)| body["data"]["code"].is_string())?;
    pretty(&event.body)
}

/// Returns a configuration and the commands for the real cloud.
pub(super) fn next_steps(paint: Paint) -> String {
    let mut table = Table::default();
    for (command, purpose) in NEXT {
        table.row(vec![format!("  {command}"), paint.dim(purpose)]);
    }
    let real: Vec<String> = REAL.lines().map(indented).collect();
    format!(
        "{}\n\n{}\n\n{}",
        paint.bold("Point the same configuration at the real cloud:"),
        real.join("\n"),
        table.render()
    )
}

fn outcomes(progress: &Progress, paint: Paint) -> String {
    let count = |state: &str| {
        progress
            .rows
            .iter()
            .filter(|row| row.state() == state)
            .count()
    };
    let counts = State::words().map(|state| (count(state), state));
    let words = counts
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {}", paint.state(state)));
    words.collect::<Vec<_>>().join(", ")
}

fn listed(problems: &BTreeMap<&'static str, u32>) -> String {
    let met = problems.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> = met.map(|(kind, count)| format!("{count} {kind}")).collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(", ")
}

/// JSON whose members keep their order, which a `Value` does not do.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Ordered {
    Object(IndexMap<String, Ordered>),
    List(Vec<Ordered>),
    Scalar(Value),
}

/// Returns JSON over several lines, its members in the order in which they came.
fn pretty(json: &str) -> Option<String> {
    let value: Ordered = serde_json::from_str(json).ok()?;
    let text = serde_json::to_string_pretty(&value).ok()?;
    // JSON does not escape the control characters beyond ASCII.
    Some(text.lines().map(plain).collect::<Vec<_>>().join("\n"))
}

fn indented(line: &str) -> String {
    if line.is_empty() {
        String::new()
    } else {
        format!("  {line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::progress::tests::{begun, inbox, watch};
    use crate::cli::demo::setup::write;
    use crate::settings;
    use crate::tree::source::Sources;

    #[test]
    fn the_numbers_are_those_of_the_run() {
        let mut progress = begun();
        let watches = vec![watch("w0", "succeeded"), watch("w1", "failed")];
        progress.update(watches, inbox(&["w0", "w1"]));
        progress.problems.insert("throttled", 2);
        let text = numbers(&progress, Duration::from_millis(13_370), Paint::none());
        assert!(text.contains("outcomes    1 succeeded, 1 failed"), "{text}");
        assert!(text.contains("problems    2 throttled\n"), "{text}");
        assert!(text.contains("2 received with"), "{text}");
        assert!(text.contains("13.4 s"), "{text}");
        assert!(sample(&progress).unwrap().contains("job.failed"));
    }

    #[test]
    fn an_event_is_printed_over_lines_in_its_own_order() {
        let event = r#"{"b":"x, {\"y\": \\","a":{"n":[1,2],"e":{}}}"#;
        let lines = [
            "{",
            r#"  "b": "x, {\"y\": \\","#,
            r#"  "a": {"#,
            r#"    "n": ["#,
            "      1,",
            "      2",
            "    ],",
            r#"    "e": {}"#,
            "  }",
            "}",
        ];
        assert_eq!(pretty(event).unwrap(), lines.join("\n"));
    }

    #[test]
    fn the_configuration_for_the_real_cloud_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().display().to_string();
        let real = REAL.replace("/etc/jobwatch/secrets", &secrets);
        let secret = format!("whsec_{}", "a".repeat(32));
        for (name, text) in [
            ("otc-token", "t"),
            ("webhook", &secret),
            ("jobwatch.toml", &real),
        ] {
            write(folder.path(), name, text).unwrap();
        }
        let sources = Sources {
            files: vec![folder.path().join("jobwatch.toml")],
            ..Sources::default()
        };
        let loaded = settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert!(loaded.settings.services.contains_key("sdrs"));
    }
}
