//! `jobwatch show`: shows one watch and its transitions.

use clap::Args;
use http::Method;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::output::{Paint, Table, or_dash, plain, say, say_json, time};
use crate::watch::evidence::Evidence;
use crate::watch::note::Note;
use crate::watch::stage::Stage;

/// Shows one watch and its transitions.
#[derive(Args)]
pub(super) struct Show {
    /// The id of the watch
    watch_id: String,
    /// Show the answer that proved the outcome
    #[arg(long)]
    evidence: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Show {
    pub(super) async fn execute(self) -> Exit {
        match self.show().await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        }
    }

    async fn show(&self) -> Result<(), Exit> {
        let path = path_of(&self.watch_id);
        let client = self.daemon.client()?;
        if self.evidence {
            return self
                .show_evidence(&client, &format!("{path}/evidence"))
                .await;
        }
        let watch = client
            .ask::<WatchView>(Method::GET, &path, None)
            .await?
            .body;
        if self.json {
            say_json(&watch);
        } else {
            say(&in_words(&watch));
        }
        Ok(())
    }
}

impl Show {
    async fn show_evidence(&self, client: &Client, path: &str) -> Result<(), Exit> {
        let answer = client.ask::<Evidence>(Method::GET, path, None).await?;
        if self.json {
            say_json(&answer.body);
        } else {
            say(&evidence_in_words(&answer.body));
        }
        Ok(())
    }
}

fn evidence_in_words(evidence: &Evidence) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::default();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row(vec![paint.dim(name), value]);
        }
    };
    let status = evidence.http_status;
    let no_answer = || "there was no answer".to_owned();
    row("observed", Some(time(evidence.observed_at)));
    row(
        "http status",
        Some(status.map_or_else(no_answer, |it| it.to_string())),
    );
    row("selector", evidence.selector.as_deref().map(plain));
    row("rule", evidence.rule.as_deref().map(plain));
    row(
        "lenient",
        evidence
            .lenient
            .then(|| "yes: the body is not valid".to_owned()),
    );
    if let Some(job) = &evidence.last_sighting {
        let reason = job.reason.as_deref().unwrap_or_default();
        let status = job.status.as_deref().unwrap_or(job.state.as_str());
        row("last sighting", Some(plain(&format!("{status} {reason}"))));
    }
    let mut parts = vec![table.render()];
    if let Some(body) = &evidence.body {
        let lines: Vec<String> = body.lines().map(plain).collect();
        parts.push(lines.join("\n"));
    }
    if evidence.truncated {
        parts.push("(the body goes on)".to_owned());
    }
    parts.join("\n\n")
}

/// Returns the path of one watch. The id is escaped, so that none leads to another path.
pub(super) fn path_of(watch_id: &str) -> String {
    let id: String = form_urlencoded::byte_serialize(watch_id.as_bytes()).collect();
    format!("/v1/watches/{id}")
}

fn in_words(watch: &WatchView) -> String {
    let mut parts = vec![facts(watch)];
    if let Some(stage) = &watch.stage {
        parts.push(stages(watch, stage));
    }
    if !watch.children.is_empty() {
        parts.push(children(watch));
    }
    if let Some(transitions) = &watch.transitions {
        let mut table = Table::with_header(&["AT", "EVENT", "STATUS"]);
        for transition in transitions {
            let event = transition.type_name.trim_start_matches("dev.jobwatch.");
            table.row(vec![
                time(transition.at),
                event.to_owned(),
                or_dash(transition.status.as_deref()),
            ]);
        }
        parts.push(table.render());
    }
    parts.join("\n\n")
}

fn facts(watch: &WatchView) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::default();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row(vec![paint.dim(name), value]);
        }
    };
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        let each: Vec<String> = map
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!each.is_empty()).then(|| plain(&each.join(" ")))
    };
    row("id", Some(watch.id.clone()));
    row("service", Some(watch.service.clone()));
    row("job", Some(plain(&watch.job_id)));
    row("type", watch.job_type.as_deref().map(plain));
    row("state", Some(paint.state(&watch.state)));
    row("status", watch.status.as_deref().map(plain));
    row(
        "stale",
        watch
            .stale
            .then(|| "yes: the status is that of an earlier run".to_owned()),
    );
    row("run", watch.run.as_deref().map(plain));
    row(
        "expect",
        watch.expect.map(|expect| expect.as_str().to_owned()),
    );
    row(
        "confirmed by",
        watch
            .confirmations
            .filter(|count| *count > 1)
            .map(|count| format!("{count} polls")),
    );
    row("unknown status", watch.unknown_status.as_deref().map(plain));
    row("progress", watch.progress.as_deref().map(plain));
    row("code", watch.code.as_deref().map(plain));
    row("reason", watch.reason.as_deref().map(plain));
    row("submitted", Some(time(watch.submitted_at)));
    row("began", watch.began_at.map(time));
    row("ended", watch.ended_at.map(time));
    row("finished", watch.finished_at.map(time));
    row("deadline", Some(time(watch.deadline)));
    row("next poll", watch.next_poll_at.map(time));
    row(
        "polls",
        Some(format!(
            "{}, {} with a problem",
            watch.polls, watch.problems
        )),
    );
    row(
        "last problem",
        watch.last_problem.as_ref().map(|problem| {
            let code = problem
                .code
                .as_deref()
                .map_or_else(String::new, |code| format!(" {code}"));
            plain(&format!(
                "{}{code}: {} (at {})",
                problem.kind,
                problem.message,
                time(problem.at)
            ))
        }),
    );
    let notes: Vec<&str> = watch.notes.iter().map(Note::as_str).collect();
    row("notes", (!notes.is_empty()).then(|| notes.join(", ")));
    row("callback", watch.callback_host.as_deref().map(plain));
    row("labels", pairs(&watch.labels));
    row("params", pairs(&watch.params));
    let resources = watch
        .resources
        .as_ref()
        .filter(|value| **value != serde_json::json!({}));
    row(
        "resources",
        resources.map(|value| plain(&value.to_string())),
    );
    table.render()
}

/// Shows the jobs that handed over to each other, and the present one.
fn stages(watch: &WatchView, present: &Stage) -> String {
    let mut table = Table::with_header(&["STAGE", "DEFINITION", "JOB", "STATUS", "ENDED"]);
    for (number, stage) in watch.stages.iter().enumerate() {
        table.row(vec![
            number.to_string(),
            stage.definition.clone(),
            plain(&stage.job_id),
            or_dash(stage.status.as_deref()),
            time(stage.ended_at),
        ]);
    }
    table.row(vec![
        present.index.to_string(),
        present.definition.clone(),
        plain(&present.job_id),
        or_dash(watch.status.as_deref()),
        watch.ended_at.map_or_else(|| "-".to_owned(), time),
    ]);
    table.render()
}

fn children(watch: &WatchView) -> String {
    let mut table = Table::with_header(&["CHILD", "TYPE", "STATUS", "CODE", "REASON"]);
    for child in &watch.children {
        table.row(vec![
            or_dash(child.job_id.as_deref()),
            or_dash(child.job_type.as_deref()),
            or_dash(child.status.as_deref()),
            or_dash(child.code.as_deref()),
            or_dash(child.reason.as_deref()),
        ]);
    }
    table.render()
}
