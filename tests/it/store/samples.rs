//! Watches, submissions and transitions to store.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::clock::later;
use jobwatch::store::delivery::{DeliveryQuery, DeliveryState};
use jobwatch::store::{PAGE_MAX, Shards, SharedStore, Submission, Submitted};
use jobwatch::watch::change::Change;
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::entry::Entry;
use jobwatch::watch::event::{Event, EventKind, Instance};
use jobwatch::watch::evidence::Evidence;
use jobwatch::watch::note::Note;
use jobwatch::watch::observation::{Job, JobState, ProblemKind, ProblemNote};
use jobwatch::watch::stage::{EndedStage, Stage};
use jobwatch::watch::{Cause, Outcome, State, Watch, WatchId};
use serde_json::json;
use uuid::Uuid;

/// `secs` after the begin of every test.
pub(crate) fn at(secs: u64) -> Timestamp {
    let start: Timestamp = "2026-11-22T10:00:00.123456Z".parse().unwrap();
    later(start, Duration::from_secs(secs))
}

/// The nth watch; each has a job of its own.
pub(crate) fn watch(n: u8) -> Watch {
    let id = WatchId(Uuid::from_u128(u128::from(n) + 1));
    let job_id = format!("job-{n}");
    Watch {
        params: [("project_id".to_owned(), "p".to_owned())].into(),
        labels: [("deploy".to_owned(), n.to_string())].into(),
        ..Watch::new(id, ("dcs", "dcs"), &job_id, at(0), at(3600))
    }
}

fn event(watch: &Watch, kind: EventKind, secs: u64) -> Event {
    Event::of(watch, kind, &Instance("test".to_owned()), at(secs))
}

/// The submission of an operation, with deliveries to these sinks.
pub(crate) fn submission(watch: Watch, sinks: &[&str]) -> Submission {
    Submission {
        change: Change {
            event: event(&watch, EventKind::Accepted, 0),
            owed: sinks.iter().copied().map(Owed::to).collect(),
            watch,
            evidence: None,
        },
        accepts_ended: true,
        group_size: None,
    }
}

/// The submission of a watch of this group.
pub(crate) fn grouped(n: u8, group: &str, group_size: Option<u32>) -> Submission {
    let watch = Watch {
        group: Some(group.to_owned()),
        ..watch(n)
    };
    Submission {
        group_size,
        ..submission(watch, &[])
    }
}

/// An event that is about no watch.
pub(crate) fn event_without_watch(n: u8) -> Event {
    Event {
        id: Uuid::from_u128(u128::from(n) << 64),
        kind: EventKind::Changed,
        at: at(90),
        body: format!("{{\"n\":{n}}}"),
    }
}

/// The submission of a watch of a resource, or of one that is watched once more.
pub(crate) fn submission_again(watch: Watch) -> Submission {
    Submission {
        accepts_ended: false,
        ..submission(watch, &[])
    }
}

/// Evidence with every optional field set.
pub(crate) fn evidence(watch: &Watch) -> Evidence {
    Evidence {
        selector: Some("$.status".to_owned()),
        rule: Some("states.failed: \"FAIL\"".to_owned()),
        lenient: true,
        last_sighting: watch.job.clone(),
        ..Evidence::of(at(29), 200, "a “body”\u{0}".as_bytes(), true)
    }
}

/// The watch after one more transition, with every optional field set.
pub(crate) fn transition(before: &Watch, kind: EventKind, sinks: &[&str]) -> Change {
    let mut watch = before.clone();
    watch.revision += 1;
    watch.polls = 7;
    watch.problems = 2;
    watch.last_problem = Some(ProblemNote {
        kind: ProblemKind::ServerError,
        http_status: Some(502),
        code: Some("E.1".to_owned()),
        message: "a “bad” gateway\n".to_owned(),
        at: at(20),
    });
    watch.unknown_status = Some("REBOOTING".to_owned());
    watch.run = Some("run-1".to_owned());
    watch.has_progress = true;
    watch.confirmations = 2;
    watch.notes = [Note::Stale, Note::Replaced].into_iter().collect();
    watch.stage = Some(Stage {
        index: 1,
        definition: "build".to_owned(),
        job_id: "811".to_owned(),
        params: [("job".to_owned(), "nightly".to_owned())].into(),
    });
    watch.stages = vec![EndedStage {
        definition: "queue".to_owned(),
        job_id: "25".to_owned(),
        state: "succeeded".to_owned(),
        status: None,
        ended_at: at(15),
    }];
    watch.follow = Some("https://dcs.example/next?t=9".to_owned());
    watch.cause = Some(Cause {
        code: Some("C".to_owned()),
        reason: "the cause".to_owned(),
    });
    watch.job = Some(Job {
        state: JobState::Running,
        job_type: Some("type".to_owned()),
        status: Some("REBOOTING".to_owned()),
        code: None,
        reason: Some("\u{0}reason\u{1f600}".to_owned()),
        began_at: Some(at(10)),
        ended_at: None,
        progress: Some("60%".to_owned()),
        resources: Some(json!({"id": [1, null, "x"]})),
        children: Vec::new(),
    });
    if let EventKind::Finished(outcome) = kind {
        watch.state = State::Final(outcome);
        watch.finished_at = Some(at(30));
    }
    let evidence = watch.finished_at.map(|_| evidence(&watch));
    Change {
        event: event(&watch, kind, 30),
        owed: sinks.iter().copied().map(Owed::to).collect(),
        watch,
        evidence,
    }
}

/// A change that does not end the watch.
pub(crate) fn change(before: &Watch) -> Change {
    transition(before, EventKind::Changed, &[])
}

/// The end of a watch.
pub(crate) fn end(before: &Watch, outcome: Outcome) -> Change {
    transition(before, EventKind::Finished(outcome), &[])
}

/// Stores one watch without deliveries.
pub(crate) async fn accepted(store: &SharedStore, watch: Watch) -> Watch {
    let answers = store.submit(vec![submission(watch, &[])]).await.unwrap();
    let [Submitted::Accepted(watch)] = answers.as_slice() else {
        panic!("not accepted: {answers:?}");
    };
    watch.clone()
}

/// How many deliveries are in this state.
pub(crate) async fn deliveries_in(store: &SharedStore, state: DeliveryState) -> usize {
    let query = DeliveryQuery {
        states: vec![state],
        limit: PAGE_MAX,
        ..DeliveryQuery::default()
    };
    let page = store.deliveries(query).await.unwrap();
    assert_eq!(page.next, None, "more than a page");
    page.deliveries.len()
}

/// The entries of the watches that go on, at most ten.
pub(crate) async fn watching(store: &SharedStore) -> Vec<Entry> {
    let page = store
        .watching(Shards::ALL, None, 10, &Arc::default())
        .await
        .unwrap();
    page.entries.into_iter().map(|(entry, _)| entry).collect()
}
