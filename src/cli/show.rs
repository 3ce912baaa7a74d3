//! `jobwatch show`: shows one watch and its transitions.

use clap::Args;
use http::Method;

use crate::api::view::WatchView;
use crate::cli::Exit;
use crate::cli::client::DaemonArgs;
use crate::cli::output::{Paint, Table, or_dash, plain, say, say_json, time};

/// Shows one watch and its transitions.
#[derive(Args)]
pub(super) struct Show {
    /// The id of the watch
    watch_id: String,
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

/// Returns the path of one watch. The id is escaped, so that none leads to another path.
pub(super) fn path_of(watch_id: &str) -> String {
    let id: String = form_urlencoded::byte_serialize(watch_id.as_bytes()).collect();
    format!("/v1/watches/{id}")
}

fn in_words(watch: &WatchView) -> String {
    let mut parts = vec![facts(watch)];
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
