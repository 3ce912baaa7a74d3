//! The changes of a watch in words, as `wait` and the demo report them.

use crate::api::view::WatchView;
use crate::watch::observation::ProblemNote;

/// Describes the most important change from `before` to `after`.
pub(super) fn change(before: &WatchView, after: &WatchView) -> Option<String> {
    if before.state != after.state {
        return Some(ending(before, after));
    }
    if after.problems > before.problems {
        return after.last_problem.as_ref().map(problem);
    }
    if after.unknown_status.is_some() && before.unknown_status != after.unknown_status {
        let status = after.unknown_status.as_deref().unwrap_or_default();
        return Some(format!("unknown status {status}: counts as running"));
    }
    match (&before.status, &after.status) {
        (Some(old), Some(new)) if old != new => Some(format!("{old} → {new}")),
        (None, Some(new)) => Some(format!("seen as {new}")),
        _ => None,
    }
}

fn ending(before: &WatchView, after: &WatchView) -> String {
    let states = format!("{} → {}", before.state, after.state);
    match reason(after) {
        Some(reason) => format!("{states} ({reason})"),
        None => states,
    }
}

/// Returns the code and the reason that the service gave; the code once, if the reason has it.
pub(super) fn reason(watch: &WatchView) -> Option<String> {
    let reason = watch.reason.as_deref();
    let is_new = |code: &&str| !reason.is_some_and(|reason| reason.contains(*code));
    let given = [watch.code.as_deref().filter(is_new), reason];
    let given: Vec<&str> = given.into_iter().flatten().collect();
    (!given.is_empty()).then(|| given.join(": "))
}

/// Describes a failed poll: its kind, the status and the code, and the message.
pub(super) fn problem(note: &ProblemNote) -> String {
    let status = note.http_status.map(|status| status.to_string());
    let details: Vec<&str> = [status.as_deref(), note.code.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let message = if details.is_empty() {
        note.message.clone()
    } else {
        format!("{}, {}", details.join(" "), note.message)
    };
    format!("{}: {message}", note.kind)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A watch as the API shows it.
    pub(crate) fn watch(id: &str, state: &str) -> WatchView {
        let at = "2026-01-01T00:00:00Z";
        serde_json::from_value(json!({
            "id": id, "service": "dcs", "job_id": "j", "job_type": null, "state": state,
            "status": null, "code": null, "reason": null, "submitted_at": at, "began_at": null,
            "ended_at": null, "finished_at": null, "deadline": at, "next_poll_at": null,
            "polls": 0, "problems": 0, "last_problem": null, "unknown_status": null,
            "progress": null, "children": [], "resources": null, "labels": {}, "params": {},
        }))
        .unwrap()
    }

    #[test]
    fn the_most_important_change_is_reported() {
        let watching = watch("w", "watching");
        let running = WatchView {
            status: Some("RUNNING".into()),
            ..watching.clone()
        };
        let odd = WatchView {
            unknown_status: Some("SYNCING".into()),
            status: Some("SYNCING".into()),
            ..running.clone()
        };
        let failed = WatchView {
            status: Some("FAIL".into()),
            reason: Some("no disk".into()),
            ..watch("w", "failed")
        };
        assert_eq!(change(&watching, &running).unwrap(), "seen as RUNNING");
        assert_eq!(change(&running, &running), None);
        assert_eq!(
            change(&running, &odd).unwrap(),
            "unknown status SYNCING: counts as running"
        );
        assert_eq!(
            change(&odd, &failed).unwrap(),
            "watching → failed (no disk)"
        );
    }
}
