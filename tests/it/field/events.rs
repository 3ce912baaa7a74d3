//! The events of a case, from its file sink, and the order of their types.

use std::path::Path;

use serde_json::Value;

use super::value::dig;

/// The types that end a watch.
const ENDS: &[&str] = &[
    "succeeded",
    "failed",
    "partial",
    "cancelled",
    "timed_out",
    "lost",
    "unknown",
    "unwatched",
];

/// Reads the file of the sink: in the order of the events' times, without repeated deliveries.
pub(super) fn read(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines: Vec<&str> = Vec::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let mut events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    events.sort_by_key(|event| dig(event, "time").to_string());
    events
}

/// The type without its prefix, such as `job.failed`.
pub(super) fn type_of(event: &Value) -> &str {
    let name = dig(event, "type").as_str().unwrap_or_default();
    name.strip_prefix("dev.jobwatch.").unwrap_or(name)
}

/// The outcome that an event tells.
pub(super) fn end_of(event: &Value) -> Option<&str> {
    let last = type_of(event).strip_prefix("job.")?;
    ENDS.contains(&last).then_some(last)
}

pub(super) fn is_about(event: &Value, watch_id: &str) -> bool {
    dig(event, "data.watch_id") == watch_id
}

/// Whether event types follow the patterns: `TYPE`, `TYPE+` once or more, `TYPE*` any number.
pub(super) fn follow(types: &[&str], patterns: &[&str]) -> bool {
    let Some((pattern, rest)) = patterns.split_first() else {
        return types.is_empty();
    };
    let name = pattern.trim_end_matches(['*', '+']);
    let is_first = types.first() == Some(&name);
    let skips = pattern.ends_with('*') && follow(types, rest);
    let repeats = pattern.ends_with(['*', '+']) && is_first && {
        let more = format!("{name}*");
        let patterns: Vec<&str> = [more.as_str()]
            .into_iter()
            .chain(rest.iter().copied())
            .collect();
        follow(&types[1..], &patterns)
    };
    let once = !pattern.ends_with('*') && is_first && follow(&types[1..], rest);
    skips || repeats || once
}
