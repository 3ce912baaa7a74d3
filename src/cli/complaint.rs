//! Errors of commands, on standard error: lines for people, or with `--json` one problem
//! document (RFC 9457) when the command ends.
//!
//! The form is set once, from the parsed command line ([`as_json`]). Every command reports
//! its errors by [`complain`] or one of its siblings, and needs no code of its own for JSON.

use std::io::Write as _;

use clap::error::{ContextKind, ContextValue};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cli::Exit;
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The most errors that one document lists.
const ERRORS_MAX: usize = 1000;

/// An error as a problem document; also the form in which the daemon refuses a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Problem {
    #[serde(rename = "type", default = "blank")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) detail: String,
    #[serde(default)]
    pub(super) errors: Vec<Fault>,
    /// All other members, which are passed on as they are.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// The fault of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fault {
    /// The option, the key of the settings, or the path in the request; empty for the whole.
    pub(super) field: String,
    pub(super) message: String,
    /// All other members, as the file and line of a setting.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// The form in which errors are printed.
enum Form {
    People,
    /// The errors so far, for one document at the end.
    Json(Vec<Problem>),
}

static FORM: Mutex<Form> = Mutex::new(Form::People);

fn blank() -> String {
    "about:blank".to_owned()
}

impl Fault {
    pub(super) fn of(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            more: Map::new(),
        }
    }
}

impl From<&Diagnostic> for Fault {
    fn from(diagnostic: &Diagnostic) -> Self {
        let mut more = Map::new();
        more.insert("origin".to_owned(), json!(diagnostic.origin));
        more.insert("line".to_owned(), json!(diagnostic.line));
        Self {
            more,
            ..Self::of(&diagnostic.key, &diagnostic.message)
        }
    }
}

impl Problem {
    /// Makes a problem with a text alone; its title follows from the exit code.
    pub(super) fn of(detail: &str) -> Self {
        Self {
            kind: blank(),
            title: String::new(),
            detail: detail.to_owned(),
            errors: Vec::new(),
            more: Map::new(),
        }
    }

    pub(super) fn for_people(&self) -> String {
        if self.errors.is_empty() {
            let parts = [self.title.as_str(), self.detail.as_str()];
            let parts: Vec<&str> = parts.into_iter().filter(|it| !it.is_empty()).collect();
            return format!("{}{}", parts.join(": "), self.matches());
        }
        let faults = self.errors.iter();
        let faults = faults.map(|fault| format!("\n  {}: {}", fault.field, fault.message));
        format!("{}:{}", self.title, faults.collect::<String>())
    }
}

/// A watch that a reference may mean.
#[derive(Deserialize)]
struct Match {
    id: String,
    service: String,
    job_id: String,
    state: String,
}

impl Problem {
    /// Lists the watches that an ambiguous reference may mean, one a line.
    fn matches(&self) -> String {
        let matches = self.more.get("matches").cloned().unwrap_or_default();
        let matches: Vec<Match> = serde_json::from_value(matches).unwrap_or_default();
        let lines = matches
            .iter()
            .map(|it| format!("\n  {}  {}/{}  {}", it.id, it.service, it.job_id, it.state));
        lines.collect()
    }
}

/// Makes errors JSON from now on.
pub(super) fn as_json() {
    *FORM.lock() = Form::Json(Vec::new());
}

/// True if errors are printed as JSON.
pub(super) fn is_json() -> bool {
    matches!(*FORM.lock(), Form::Json(_))
}

/// Reports an error, which the user of the command can read.
pub(super) fn complain(text: &str) {
    complain_of(text, || Problem::of(text));
}

/// Reports an error of the arguments or the configuration, and returns its exit code.
pub(super) fn complain_of_usage(text: &str) -> Exit {
    complain(text);
    Exit::Usage
}

/// Reports an error that has the form of a problem document, as the daemon sends it.
pub(super) fn complain_problem(problem: &Problem) {
    complain_of(&problem.for_people(), || problem.clone());
}

/// Reports everything that is wrong in the settings.
pub(super) fn complain_settings(diagnostics: &Diagnostics) {
    let text = diagnostics.to_string();
    complain_of(&text, || {
        let title = text.lines().next().unwrap_or_default();
        Problem {
            title: "wrong settings".to_owned(),
            errors: diagnostics.0.iter().map(Fault::from).collect(),
            ..Problem::of(title)
        }
    });
}

/// Reports wrong arguments, as clap found them.
pub(super) fn complain_usage(error: &clap::Error) {
    if !is_json() {
        // If standard error is closed, only the exit code is left.
        let _ = error.print();
        return;
    }
    let text = error.render().to_string();
    let detail = text.split("\n\nUsage:").next().unwrap_or(&text);
    let detail = detail.split("\n\nFor more").next().unwrap_or(detail).trim();
    let detail = detail.strip_prefix("error: ").unwrap_or(detail);
    let mut problem = Problem::of(detail);
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) {
        problem.errors = vec![Fault::of(argument, detail)];
    }
    complain_of(detail, || problem);
}

/// Says something that is not an error, beside the output: "3 more; see --limit".
pub(super) fn note(text: &str) {
    let text = if is_json() {
        json!({ "note": text }).to_string()
    } else {
        format!("jobwatch: {text}")
    };
    print(&text);
}

/// Prints the text for people, or keeps the problem for the document at the end.
fn complain_of(text: &str, problem: impl FnOnce() -> Problem) {
    if let Form::Json(problems) = &mut *FORM.lock() {
        if problems.len() < ERRORS_MAX {
            problems.push(problem());
        }
        return;
    }
    // The daemon repeats texts of other people, which must not control the terminal.
    let text = text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
    print(&format!("jobwatch: {text}"));
}

/// Prints the errors of the command, if they are to be JSON, and there are any.
pub(super) fn finish(exit: Exit) {
    let Form::Json(problems) = std::mem::replace(&mut *FORM.lock(), Form::People) else {
        return;
    };
    if let Some(document) = document(problems, exit) {
        print(&document.to_string());
    }
}

/// Composes one document: the first problem, with all others among its errors.
fn document(problems: Vec<Problem>, exit: Exit) -> Option<Value> {
    let mut problems = problems.into_iter();
    let mut whole = problems.next()?;
    if whole.title.is_empty() {
        title_of(exit).clone_into(&mut whole.title);
    }
    for other in problems {
        if other.errors.is_empty() {
            whole.errors.push(Fault::of("", other.for_people()));
        }
        whole.errors.extend(other.errors);
    }
    whole.errors.truncate(ERRORS_MAX);
    whole.more.insert("exit_code".to_owned(), json!(exit as u8));
    Some(json!(whole))
}

fn title_of(exit: Exit) -> &'static str {
    match exit {
        Exit::Usage => "wrong usage or configuration",
        Exit::Unreachable => "the daemon cannot be reached",
        Exit::Interrupted => "interrupted",
        Exit::TimedOut => "timed out",
        _ => "the command failed",
    }
}

fn print(text: &str) {
    // If standard error is closed, only the exit code is left.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_make_one_document() {
        let refused = Problem {
            title: "unknown sink".to_owned(),
            errors: vec![Fault::of("sinks", "is not configured")],
            ..Problem::of("the sink is unknown")
        };
        let problems = vec![Problem::of("cannot read a"), refused, Problem::of("no b")];
        let wanted = json!({
            "type": "about:blank", "title": "wrong usage or configuration",
            "detail": "cannot read a", "exit_code": 2,
            "errors": [{"field": "sinks", "message": "is not configured"}, {"field": "", "message": "no b"}],
        });
        assert_eq!(document(problems, Exit::Usage), Some(wanted));
        assert_eq!(document(Vec::new(), Exit::Failed), None);
    }

    #[test]
    fn a_problem_of_the_daemon_keeps_all_its_members() {
        let sent = json!({
            "type": "urn:jobwatch:problem:ambiguous-reference", "title": "ambiguous reference",
            "status": 409, "detail": "two jobs", "matches": [{"id": "1"}],
        });
        let problem: Problem = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(problem.for_people(), "ambiguous reference: two jobs");
        let mut wanted = sent;
        wanted["errors"] = json!([]);
        wanted["exit_code"] = json!(1);
        assert_eq!(document(vec![problem], Exit::Failed), Some(wanted));
    }

    #[test]
    fn the_matches_of_a_reference_are_lines_for_people() {
        let watch = json!({"id": "1", "service": "dcs", "job_id": "j", "state": "watching"});
        let mut problem = Problem::of("two jobs");
        problem.more.insert("matches".to_owned(), json!([watch]));
        assert_eq!(problem.for_people(), "two jobs\n  1  dcs/j  watching");
    }

    #[test]
    fn faults_are_lines_for_people() {
        let problem = Problem {
            title: "wrong request".to_owned(),
            errors: vec![Fault::of("job_id", "is empty"), Fault::of("", "too long")],
            ..Problem::of("two faults")
        };
        assert_eq!(
            problem.for_people(),
            "wrong request:\n  job_id: is empty\n  : too long"
        );
    }
}
