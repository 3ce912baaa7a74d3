//! What is said in the end: how it went, an event as the receiver got it, and how to go on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cli::demo::progress::Progress;
use crate::cli::demo::receiver::Event;
use crate::cli::output::{Paint, Table};
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
        "the configuration you have just seen at work",
    ),
    ("jobwatch check --config jobwatch.toml", "is yours right?"),
    ("jobwatch run --config jobwatch.toml", "watch"),
    ("jobwatch submit sdrs JOB_ID", "have a job watched"),
];

/// Outcomes, polls, problems, deliveries and time.
pub(super) fn numbers(progress: &Progress, elapsed: Duration, paint: Paint) -> String {
    let (polls, problems) = progress.polls();
    let inbox = &progress.inbox;
    let mut table = Table::default();
    let mut row = |name: &str, value: String| table.row(vec![paint.dim(name), value]);
    row("outcomes", outcomes(progress, paint));
    row(
        "polls",
        format!("{polls}, of which {problems} met a problem"),
    );
    row("problems", listed(&progress.problems));
    row(
        "events",
        format!(
            "{} received with a signature that holds",
            inbox.events.len()
        ),
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

/// The event that tells most: of a job that failed with a code and a reason.
pub(super) fn sample(progress: &Progress) -> Option<String> {
    let type_name = EventKind::Finished(Outcome::Failed).type_name();
    let read = |event: &Event| serde_json::from_str::<Value>(&event.body).ok();
    let events = progress.inbox.events.iter();
    let failed = events.filter_map(|event| Some((event, read(event)?)));
    let (event, _) = failed
        .filter(|(_, body)| body["type"] == type_name)
        .max_by_key(|(_, body)| body["data"]["code"].is_string())?;
    Some(spread(&event.body))
}

/// How to go on with the real cloud.
pub(super) fn next_steps(paint: Paint) -> String {
    let mut table = Table::default();
    for (command, what) in NEXT {
        table.row(vec![format!("  {command}"), paint.dim(what)]);
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

/// JSON over several lines, its members in the order in which they came.
fn spread(json: &str) -> String {
    let (mut spread, mut depth) = (String::new(), 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_text {
            spread.push(if c.is_control() { '\u{fffd}' } else { c });
            in_text = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            continue;
        }
        let new_line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match c {
            '{' | '[' if chars.peek().is_some_and(|next| matches!(next, '}' | ']')) => {
                spread.push(c);
                spread.extend(chars.next());
            }
            '{' | '[' => {
                depth += 1;
                spread.push(c);
                spread.push_str(&new_line(depth));
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                spread.push_str(&new_line(depth));
                spread.push(c);
            }
            ',' => {
                spread.push(c);
                spread.push_str(&new_line(depth));
            }
            ':' => spread.push_str(": "),
            c if c.is_whitespace() => {}
            c => {
                in_text = c == '"';
                spread.push(c);
            }
        }
    }
    spread
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
    use crate::cli::demo::stage::write;
    use crate::settings;
    use crate::tree::source::Sources;

    #[test]
    fn the_numbers_are_those_of_the_run() {
        let mut progress = begun();
        let watches = vec![watch("w0", "succeeded"), watch("w1", "failed")];
        progress.look(watches, inbox(&["w0", "w1"]));
        progress.problems.insert("throttled", 2);
        let text = numbers(&progress, Duration::from_millis(13_370), Paint::none());
        assert!(text.contains("outcomes    1 succeeded, 1 failed"), "{text}");
        assert!(text.contains("problems    2 throttled\n"), "{text}");
        assert!(text.contains("2 received with"), "{text}");
        assert!(text.contains("13.4 s"), "{text}");
        assert!(sample(&progress).unwrap().contains("job.failed"));
    }

    #[test]
    fn an_event_is_spread_over_lines_in_its_own_order() {
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
        assert_eq!(spread(event), lines.join("\n"));
    }

    #[test]
    fn the_configuration_for_the_real_cloud_is_right() {
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
