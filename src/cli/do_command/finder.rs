//! Finds the job in the output of the command that created it.

use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use crate::cli::do_command::child::KEPT_MAX;
use crate::cli::response::Response;
use crate::cli::submit::created_job;
use crate::cli::submit::created_job::NoJob;
use crate::definition::Definition;
use crate::definition::created_job::CreatedJob;
use crate::watch::creating_answer::CreatingAnswer;
use crate::watch::request::is_job_id;

/// The beginnings of a line with which an answer may begin, after other words of a script.
const BEGINNINGS: [&[u8]; 4] = [b"HTTP/", b"{", b"[", b"<"];
const HEAD: &[u8] = b"HTTP/";

/// The way to find the job.
pub(super) enum Finder {
    /// The first group of a pattern, or its whole match.
    Pattern(Regex),
    /// The `[submit]` of a definition; true if the output must have a head.
    Definition(Arc<Definition>, bool),
    /// The daemon, which alone has the definition.
    Daemon(bool),
}

/// The job, or the answer in which the daemon finds it.
#[derive(Debug)]
pub(super) enum Found {
    Job(CreatedJob),
    /// The member `response` of a submission.
    Response(CreatingAnswer),
}

/// Returns a job that the daemon has to name.
pub(super) fn unnamed() -> CreatedJob {
    CreatedJob {
        job_id: String::new(),
        run: None,
        since: None,
    }
}

impl Finder {
    /// Finds the job in the output.
    pub(super) fn find(&self, output: &[u8]) -> Result<Found, NoJob> {
        let found = match self {
            Self::Pattern(pattern) => by_pattern(pattern, output).map(Found::Job),
            Self::Definition(definition, with_head) => {
                by_definition(definition, *with_head, output).map(Found::Job)
            }
            Self::Daemon(with_head) => response(*with_head, output).map(Found::Response),
        };
        found.map_err(|reason| match reason {
            NoJob::Unnamed(reason) if output.len() >= KEPT_MAX => NoJob::Unnamed(format!(
                "{reason} (only the first 1 MiB of the output is searched)"
            )),
            reason => reason,
        })
    }
}

fn by_pattern(pattern: &Regex, output: &[u8]) -> Result<CreatedJob, NoJob> {
    let text = String::from_utf8_lossy(output);
    let captures = pattern.captures(&text);
    let id = captures.and_then(|captures| captures.get(1).or_else(|| captures.get(0)));
    let id = id.map(|id| id.as_str()).unwrap_or_default();
    if !is_job_id(id) {
        return Err(NoJob::Unnamed(format!("--id-from {pattern} finds none")));
    }
    Ok(CreatedJob {
        job_id: id.to_owned(),
        ..unnamed()
    })
}

fn by_definition(
    definition: &Definition,
    with_head: bool,
    output: &[u8],
) -> Result<CreatedJob, NoJob> {
    let mut first = None;
    for part in parts(output, with_head)? {
        match created_job::read(definition, part) {
            Err(NoJob::Unnamed(reason)) => drop(first.get_or_insert(NoJob::Unnamed(reason))),
            decided => return decided,
        }
    }
    Err(first.unwrap_or_else(|| NoJob::Unnamed("it is empty".to_owned())))
}

/// Returns the output, and its rest from each line on that may begin an answer.
fn parts(output: &[u8], with_head: bool) -> Result<Vec<&[u8]>, NoJob> {
    let starts = std::iter::once(0).chain(
        output
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1),
    );
    let rests = starts.map(|at| &output[at..]);
    if with_head {
        let mut with_head = rests.filter(|rest| rest.starts_with(HEAD));
        return with_head.next().map(|rest| vec![rest]).ok_or_else(|| {
            NoJob::Unnamed("it has no head (a line HTTP/…); give curl its option -i too".to_owned())
        });
    }
    let begins = |rest: &&[u8]| BEGINNINGS.iter().any(|it| rest.starts_with(it));
    let later = rests.skip(1).filter(begins).take(1);
    Ok(std::iter::once(output).chain(later).collect())
}

fn response(with_head: bool, output: &[u8]) -> Result<CreatingAnswer, NoJob> {
    let part = *parts(output, with_head)?.last().unwrap_or(&output);
    let response = Response::read(part).map_err(NoJob::Unnamed)?;
    if response.http_status >= 400 {
        return Err(NoJob::Refused(response.http_status));
    }
    let headers = response.headers.iter();
    let headers = headers
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    Ok(CreatingAnswer {
        status: response.http_status,
        headers: headers.collect(),
        body: Value::String(String::from_utf8_lossy(&response.body).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(pattern: &str, output: &str) -> Option<String> {
        let found = by_pattern(&Regex::new(pattern).unwrap(), output.as_bytes());
        found.ok().map(|job| job.job_id)
    }

    #[test]
    fn a_pattern_gives_its_first_group_or_the_match() {
        assert_eq!(pattern(r"job_id=(\S+)", "a job_id=x7 b"), Some("x7".into()));
        assert_eq!(pattern(r"x\d", "a x7 b"), Some("x7".into()));
        assert_eq!(pattern(r"id=(\d*)", "id="), None);
        assert_eq!(pattern("nothing", "x"), None);
    }

    #[test]
    fn an_answer_may_follow_other_words_of_a_script() {
        let output = b"creating\nHTTP/1.1 202 Accepted\r\n\r\n{}\n";
        let parts_of = |with_head| parts(output, with_head).unwrap();
        assert_eq!(parts_of(true), [&output[9..]]);
        assert_eq!(parts_of(false), [&output[..], &output[9..]]);
        assert!(parts(b"{}", true).is_err());
    }

    #[test]
    fn the_daemon_gets_head_and_body() {
        let output = b"HTTP/1.1 202 Accepted\r\nLocation: /x\r\n\r\n{\"a\":1}";
        let response = response(true, output).unwrap();
        assert_eq!(response.status, 202);
        assert_eq!(response.headers["location"], "/x");
        assert_eq!(response.body, "{\"a\":1}");
        let refused = super::response(true, b"HTTP/1.1 409 Conflict\r\n\r\n{}");
        assert_eq!(refused, Err(NoJob::Refused(409)));
    }
}
