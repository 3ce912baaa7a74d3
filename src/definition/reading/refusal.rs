//! The answers that do not show the job: errors of the service, its gateways and proxies.

use std::time::Duration;

use serde_json::Value;

use crate::definition::Definition;
use crate::definition::answer::{Answer, Asked};
use crate::definition::reading::Reading;
use crate::definition::reading::tree::{self, Tree};
use crate::definition::selector::View;
use crate::outbound::html;
use crate::watch::observation::{Problem, ProblemKind, bounded};

/// The codes with which the API gateway says that it has no such route. Their 404 is about
/// the path or endpoint, not about the job (terraform-provider-opentelekomcloud issue 1705).
const ROUTE_CODES: [&str; 2] = ["APIGW.0101", "APIG.0101"];

impl Reading<'_> {
    /// Returns the problem that the answer is if it does not show the job.
    pub(super) fn refusal(&self, tree: &Tree) -> Problem {
        if let Some(root) = tree.root() {
            return self.refusal_in(root);
        }
        let root = tree::error_root(self.definition, self.answer);
        self.refusal_in(root.as_ref().unwrap_or(&Value::Null))
    }

    /// Returns that problem for an answer with this tree.
    pub(super) fn refusal_in(&self, root: &Value) -> Problem {
        mapped(self.definition, self.answer, root).unwrap_or_else(|| {
            let error = ErrorAnswer::of(self.definition, self.answer, root);
            // The page of a proxy or a gateway says nothing about the job.
            if self.answer.http_status == 404 && html::is_page(self.answer.body) {
                return Problem {
                    is_page: true,
                    ..error.into_problem(ProblemKind::Misconfigured)
                };
            }
            let kind = default_kind(self.answer.http_status, error.code.as_deref());
            if kind == ProblemKind::NotFound && html::words(self.answer.body).is_some() {
                // A gateway may have answered in the place of the service.
                return Problem {
                    is_page: true,
                    ..error.into_problem(ProblemKind::Misconfigured)
                };
            }
            error.into_problem(kind)
        })
    }

    /// Quotes an HTML page in the message, so that a person can recognise the gateway or the
    /// login page that answered. Comes last, so that `[[errors]]` and hints do not read the
    /// quotation.
    pub(super) fn quote_page(&self, problem: &mut Problem) {
        let Some(words) = html::words(self.answer.body) else {
            return;
        };
        problem.message = if self.answer.is_success() {
            format!("the answer is HTML: {words}")
        } else {
            words
        };
    }

    /// Returns the `retry_after` of the definition's own places. Only for a throttling, because
    /// some services send such headers with every answer.
    pub(super) fn hinted_wait(&self, problem: &Problem) -> Option<Duration> {
        if problem.kind != ProblemKind::Throttled {
            return None;
        }
        let mut hints = self.definition.hints.iter();
        hints.find_map(|hint| hint.read(self.answer.headers, &problem.message, self.now))
    }
}

/// Returns the problem of an answer that an entry of `[[errors]]` matches.
pub(super) fn mapped(
    definition: &Definition,
    answer: &Answer<'_>,
    root: &Value,
) -> Option<Problem> {
    if definition.errors.is_empty() {
        return None;
    }
    let http_status = answer.http_status;
    let error = ErrorAnswer::of(definition, answer, root);
    let (code, message) = (error.code.as_deref(), error.message.as_deref());
    let mut rules = definition.errors.iter();
    let rule = rules.find(|rule| rule.matches(http_status, code, message))?;
    Some(error.into_problem(rule.kind))
}

/// The code and the message of an error answer.
struct ErrorAnswer {
    http_status: u16,
    code: Option<String>,
    message: Option<String>,
}

impl ErrorAnswer {
    fn of(definition: &Definition, answer: &Answer<'_>, root: &Value) -> Self {
        let view = View {
            root,
            answer,
            asked: &Asked::any(),
            status: None,
        };
        Self {
            http_status: answer.http_status,
            code: definition.error_body.code.first_text(view),
            message: definition.error_body.message.first_text(view),
        }
    }

    fn into_problem(self, kind: ProblemKind) -> Problem {
        let http_status = self.http_status;
        let message = self.message;
        let message = message.unwrap_or_else(|| format!("HTTP {http_status} without a message"));
        Problem {
            http_status: Some(http_status),
            code: self.code.map(bounded),
            ..Problem::new(kind, bounded(message))
        }
    }
}

fn default_kind(http_status: u16, code: Option<&str>) -> ProblemKind {
    match http_status {
        429 => ProblemKind::Throttled,
        401 => ProblemKind::Unauthorized,
        403 => ProblemKind::Forbidden,
        404 if code.is_some_and(|code| ROUTE_CODES.contains(&code)) => ProblemKind::Misconfigured,
        404 => ProblemKind::NotFound,
        408 | 500..=599 => ProblemKind::ServerError,
        _ => ProblemKind::Misconfigured,
    }
}
