//! `jobwatch explain`: shows how a definition reads a recorded answer, and why.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::complaint::complain_of_usage;
use crate::cli::output::{Paint, Table, complain, or_dash, plain, say, say_json};
use crate::cli::pair::{job_id, pair};
use crate::cli::{ConfigArgs, Exit};
use crate::clock::SystemClock;
use crate::definition::Definition;
use crate::definition::catalog::load_file;
use crate::definition::explain::{Explanation, SightingExplained, explain};
use crate::definition::reading::{Answer, Asked};
use crate::suggest;

/// The largest recorded answer, in bytes.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads a recorded answer with a definition, and prints the reading as JSON.
#[derive(Args)]
pub(super) struct Explain {
    /// The name of a definition, or a definition file (*.toml)
    definition: String,
    /// The HTTP status of the answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(100..600))]
    http_status: u16,
    /// A header of the answer; may be repeated
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The id of the job [default: any job in the answer]
    #[arg(long, value_name = "ID", value_parser = job_id)]
    job_id: Option<String>,
    /// A param of the watch, for conditions that name it; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// A label of the watch, for conditions that name it; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The run that the watch is about, for conditions that name it
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Print JSON, also for errors; the result is JSON without it as well
    #[arg(long, conflicts_with = "human")]
    json: bool,
    /// Print a table for people instead of JSON
    #[arg(long)]
    human: bool,
    /// A file with the body of the answer, or - for standard input
    #[arg(default_value = "-")]
    body: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "must be NAME:VALUE".to_owned())?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| format!("invalid header name `{name}`"))?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| format!("invalid header value `{value}`"))?;
    Ok((name, value))
}

impl Explain {
    pub(super) fn execute(self) -> Exit {
        self.explain().map_or_else(|exit| exit, |()| Exit::Done)
    }

    fn explain(self) -> Result<(), Exit> {
        let definition = find(&self.definition, &self.config)?;
        let body = read_body(&self.body).map_err(|message| complain_of_usage(&message))?;
        let headers: HeaderMap = self.headers.into_iter().collect();
        let answer = Answer {
            http_status: self.http_status,
            headers: &headers,
            body: &body,
            is_cut: false,
        };
        let now = SystemClock::shared().now();
        let asked = Asked {
            job_id: self.job_id.as_deref(),
            params: &self.params.into_iter().collect(),
            labels: &self.labels.into_iter().collect(),
            run: self.run.as_deref(),
        };
        let explanation = explain(&definition, &asked, &answer, now);
        if self.human {
            say(&in_words(&explanation));
        } else {
            say_json(&explanation);
        }
        Ok(())
    }
}

/// Finds a definition by its name, or reads the file if `name` ends in `.toml`.
pub(super) fn find(name: &str, config: &ConfigArgs) -> Result<Arc<Definition>, Exit> {
    let path = Path::new(name);
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return load_file(path).map(Arc::new).map_err(|errors| {
            for error in &errors {
                complain(&error.to_string());
            }
            Exit::Usage
        });
    }
    let catalog = config.load_without_secrets()?.settings.catalog;
    catalog.get(name).cloned().ok_or_else(|| {
        let suggestion = suggest::did_you_mean(name, catalog.names());
        complain_of_usage(&format!("unknown definition `{name}` (`jobwatch services --definitions` lists them; a file must end in .toml){suggestion}"))
    })
}

/// Reads a file, or standard input for `-`; at most 64 MiB.
pub(super) fn read_body(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut body = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(BODY_BYTES_MAX + 1)
            .read_to_end(&mut body)
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)
    };
    read.map_err(unreadable)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(format!("{} is larger than 64 MiB", path.display()));
    }
    Ok(body)
}

/// Composes the table of `--human`: each value with the selector that found it.
pub(super) fn in_words(explanation: &Explanation) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::default();
    let mut row = |name: &str, value: String, from: &str| {
        table.row(vec![paint.dim(name), value, paint.dim(from)]);
    };
    match explanation {
        Explanation::Problem(problem) => {
            row("problem", paint.bold(problem.problem), "");
            row("code", or_dash(problem.code.as_deref()), "");
            row("message", plain(&problem.message), "");
            row("retry after", or_dash(problem.retry_after.as_deref()), "");
            if let Some(pace) = &problem.pace {
                row("pace", pace.clone(), "");
            }
        }
        Explanation::Sighting(sighting) => {
            row("state", paint.state(sighting.state), &sighting.rule);
            for (field, value) in fields(sighting) {
                row(field, or_dash(value.as_deref()), origin(sighting, field));
            }
            for (field, value) in beside(sighting) {
                row(field, plain(&value), origin(sighting, field));
            }
            for child in &sighting.children {
                let reason = child
                    .reason
                    .as_deref()
                    .map_or_else(String::new, |r| format!(" {r}"));
                let status = or_dash(child.status.as_deref());
                row(
                    "child",
                    format!("{status}{}", plain(&reason)),
                    child.job_id.as_deref().unwrap_or(""),
                );
            }
            for warning in &sighting.warnings {
                row("warning", plain(warning), "");
            }
        }
    }
    table.render()
}

/// Returns the selector that found the value of this field.
fn origin<'a>(sighting: &'a SightingExplained, field: &str) -> &'a str {
    let mut origins = sighting.selectors.iter();
    let origin = origins.find(|origin| origin.field == field);
    origin.map_or("", |origin| origin.selector.as_str())
}

/// Returns the facts beside the job that the answer has.
fn beside(sighting: &SightingExplained) -> Vec<(&'static str, String)> {
    let next = sighting.next.as_ref().map(|next| {
        let definition = next.definition.as_deref();
        let by = definition.map_or_else(String::new, |name| format!(" ({name})"));
        format!("{}{by}", next.job_id)
    });
    [
        ("run", sighting.run.clone()),
        ("run_at", sighting.run_at.map(|at| at.to_string())),
        ("pace", sighting.pace.clone()),
        ("follow", sighting.follow.clone()),
        ("next", next),
    ]
    .into_iter()
    .filter_map(|(field, value)| Some((field, value?)))
    .collect()
}

fn fields(sighting: &SightingExplained) -> [(&'static str, Option<String>); 7] {
    [
        ("status", sighting.status.clone()),
        ("type", sighting.job_type.clone()),
        ("began_at", sighting.began_at.map(|at| at.to_string())),
        ("ended_at", sighting.ended_at.map(|at| at.to_string())),
        ("code", sighting.code.clone()),
        ("reason", sighting.reason.clone()),
        ("progress", sighting.progress.clone()),
    ]
}
