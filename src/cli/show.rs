//! `jobwatch show`: shows one watch and its transitions.

use std::collections::BTreeMap;

use clap::Args;
use http::Method;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::{Client, DaemonArgs};
use crate::cli::output::{Paint, Table, or_dash, plain, say, say_json, time};
use crate::watch::evidence::Evidence;
use crate::watch::note::Note;
use crate::watch::observation::ProblemNote;
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
    let status = evidence.http_status.map(|status| status.to_string());
    let status = status.unwrap_or_else(|| "there was no answer".to_owned());
    let lenient = "yes: the body is not valid";
    let last_sighting = evidence.last_sighting.as_ref().map(|job| {
        let reason = job.reason.as_deref().unwrap_or_default();
        let status = job.status.as_deref().unwrap_or(job.state.as_str());
        plain(&format!("{status} {reason}"))
    });
    let rows = [
        ("observed", Some(time(evidence.observed_at))),
        ("http status", Some(status)),
        ("selector", evidence.selector.as_deref().map(plain)),
        ("rule", evidence.rule.as_deref().map(plain)),
        ("lenient", evidence.lenient.then(|| lenient.to_owned())),
        ("last sighting", last_sighting),
    ];
    let mut parts = vec![rows_table(Paint::for_stdout(), rows)];
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

/// A name and its value; a row without a value is not shown.
type Row = (&'static str, Option<String>);

fn facts(watch: &WatchView) -> String {
    let paint = Paint::for_stdout();
    let rows = [
        job_rows(watch, paint),
        end_rows(watch),
        poll_rows(watch),
        given_rows(watch),
    ];
    rows_table(paint, rows.into_iter().flatten())
}

fn rows_table(paint: Paint, rows: impl IntoIterator<Item = Row>) -> String {
    let mut table = Table::default();
    for (name, value) in rows {
        if let Some(value) = value {
            table.row(vec![paint.dim(name), value]);
        }
    }
    table.render()
}

/// The job and its status.
fn job_rows(watch: &WatchView, paint: Paint) -> Vec<Row> {
    let stale = "yes: the status is that of an earlier run";
    vec![
        ("id", Some(watch.id.clone())),
        ("service", Some(watch.service.clone())),
        ("job", Some(plain(&watch.job_id))),
        ("type", watch.job_type.as_deref().map(plain)),
        ("state", Some(paint.state(&watch.state))),
        ("status", watch.status.as_deref().map(plain)),
        ("stale", watch.stale.then(|| stale.to_owned())),
        ("run", watch.run.as_deref().map(plain)),
        ("unknown status", watch.unknown_status.as_deref().map(plain)),
        ("progress", watch.progress.as_deref().map(plain)),
    ]
}

/// The end of the job, and the times.
fn end_rows(watch: &WatchView) -> Vec<Row> {
    let confirmed = watch.confirmations.filter(|count| *count > 1);
    vec![
        ("code", watch.code.as_deref().map(plain)),
        ("reason", watch.reason.as_deref().map(plain)),
        (
            "confirmed by",
            confirmed.map(|count| format!("{count} polls")),
        ),
        ("submitted", Some(time(watch.submitted_at))),
        ("since", watch.since.map(time)),
        ("began", watch.began_at.map(time)),
        ("ended", watch.ended_at.map(time)),
        ("finished", watch.finished_at.map(time)),
        ("deadline", Some(time(watch.deadline))),
    ]
}

fn poll_rows(watch: &WatchView) -> Vec<Row> {
    let polls = format!("{}, {} with a problem", watch.polls, watch.problems);
    let notes: Vec<&str> = watch.notes.iter().map(Note::as_str).collect();
    vec![
        ("next poll", watch.next_poll_at.map(time)),
        ("polls", Some(polls)),
        ("last problem", watch.last_problem.as_ref().map(problem)),
        ("notes", (!notes.is_empty()).then(|| notes.join(", "))),
    ]
}

fn problem(problem: &ProblemNote) -> String {
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
}

/// The rest: mostly as the submitter gave it.
fn given_rows(watch: &WatchView) -> Vec<Row> {
    let resources = watch.resources.as_ref();
    let resources = resources.filter(|value| **value != serde_json::json!({}));
    let expect = watch.expect.map(|expect| expect.as_str().to_owned());
    vec![
        ("expect", expect),
        ("callback", watch.callback_host.as_deref().map(plain)),
        ("labels", pairs(&watch.labels)),
        ("params", pairs(&watch.params)),
        (
            "resources",
            resources.map(|value| plain(&value.to_string())),
        ),
    ]
}

fn pairs(map: &BTreeMap<String, String>) -> Option<String> {
    let each: Vec<String> = map
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!each.is_empty()).then(|| plain(&each.join(" ")))
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
