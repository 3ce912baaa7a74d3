//! The answer that proved an outcome, for people.

use crate::cli::age::Times;
use crate::cli::paint::Paint;
use crate::cli::show::facts::facts_table;
use crate::cli::table::plain;
use crate::watch::evidence::Evidence;

pub(super) fn in_words(evidence: &Evidence, times: Times) -> String {
    let status = evidence.http_status.map(|status| status.to_string());
    let status = status.unwrap_or_else(|| "there was no answer".to_owned());
    let lenient = "yes: the body is not valid";
    let last_sighting = evidence.last_sighting.as_ref().map(|job| {
        let reason = job.reason.as_deref().unwrap_or_default();
        let status = job.status.as_deref().unwrap_or(job.state.as_str());
        plain(&format!("{status} {reason}"))
    });
    let rows = [
        ("observed", Some(times.show(evidence.observed_at))),
        ("http status", Some(status)),
        ("selector", evidence.selector.as_deref().map(plain)),
        ("rule", evidence.rule.as_deref().map(plain)),
        ("lenient", evidence.lenient.then(|| lenient.to_owned())),
        ("last sighting", last_sighting),
    ];
    let mut parts = vec![facts_table(Paint::for_stdout(), rows).render()];
    if let Some(body) = &evidence.body {
        let lines: Vec<String> = body.lines().map(plain).collect();
        parts.push(lines.join("\n"));
    }
    if evidence.truncated {
        parts.push("(the body goes on)".to_owned());
    }
    parts.join("\n\n")
}
