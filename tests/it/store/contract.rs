//! Watches: acceptance, changes, and atomic commits.

use std::sync::Arc;

use jobwatch::store::delivery::DeliveryState;
use jobwatch::store::{
    Applied, Decide, Shards, SharedStore, StoreError, Submission, Submitted, Transitioned,
};
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Expect, Outcome, State, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;
use crate::store::samples::{
    accepted, at, change, deliveries_in, end, submission, submission_again, transition, watch,
    watching,
};

async fn stored(store: &SharedStore, watch: &Watch) -> Watch {
    store.watch(watch.id).await.unwrap().unwrap()
}

async fn types(store: &SharedStore, id: WatchId) -> Vec<String> {
    let events = store.events_of(id, 100).await.unwrap();
    events.into_iter().map(|event| event.type_name).collect()
}

pub(crate) async fn a_watch_is_read_as_it_was_stored(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    assert_eq!(stored(&store, &watch).await, watch);
    let next = transition(&watch, EventKind::Changed, &[]);
    assert_eq!(store.apply(next.clone()).await.unwrap(), Applied::Applied);
    assert_eq!(stored(&store, &watch).await, next.watch);
    assert_eq!(store.watch(WatchId(Uuid::max())).await.unwrap(), None);
}

pub(crate) async fn submitting_a_job_again_returns_its_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    let first = accepted(&store, watch(1)).await;
    let again = Watch {
        id: watch(2).id,
        labels: watch(2).labels,
        ..watch(1)
    };
    let answers = store
        .submit(vec![submission(again, &["hook"])])
        .await
        .unwrap();
    assert_eq!(answers, [Submitted::Existing(first.clone())]);
    assert_eq!(
        types(&store, first.id).await,
        ["dev.jobwatch.watch.accepted"]
    );
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
}

pub(crate) async fn service_params_and_job_id_identify_a_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    let one = watch(1);
    let other_service = Watch {
        id: watch(2).id,
        service: "sdrs".to_owned(),
        ..one.clone()
    };
    let other_params = Watch {
        id: watch(3).id,
        params: [("project_id".to_owned(), "q".to_owned())].into(),
        ..one.clone()
    };
    for watch in [one, other_service, other_params] {
        accepted(&store, watch).await;
    }
    assert_eq!(watching(&store).await.len(), 3);
}

async fn ended(store: &SharedStore, watch: &Watch, outcome: Outcome) -> Watch {
    let end = end(watch, outcome);
    assert_eq!(store.apply(end.clone()).await.unwrap(), Applied::Applied);
    end.watch
}

async fn answer(store: &SharedStore, submission: Submission) -> Submitted {
    let answers = store.submit(vec![submission]).await.unwrap();
    answers.into_iter().next().unwrap()
}

/// The watch of the first job under another id.
fn once_more(n: u8) -> Watch {
    Watch {
        id: watch(n).id,
        ..watch(1)
    }
}

fn of_run(n: u8, run: &str) -> Watch {
    Watch {
        named_run: Some(run.to_owned()),
        run: Some(run.to_owned()),
        ..once_more(n)
    }
}

pub(crate) async fn an_operation_with_a_verdict_is_not_watched_again(database: &impl Database) {
    let store = database.open().await.unwrap();
    let first = accepted(&store, watch(1)).await;
    let first = ended(&store, &first, Outcome::Failed).await;
    let same = answer(&store, submission(once_more(2), &[])).await;
    assert_eq!(same, Submitted::Existing(first));
    let second = answer(&store, submission_again(once_more(3))).await;
    let Submitted::Accepted(second) = second else {
        panic!("not accepted: {second:?}");
    };
    let second = ended(&store, &second, Outcome::Succeeded).await;
    let newest = answer(&store, submission(once_more(4), &[])).await;
    assert_eq!(newest, Submitted::Existing(second));
    let deletion = Watch {
        expect: Some(Expect::Gone),
        ..once_more(5)
    };
    let other_end = answer(&store, submission(deletion.clone(), &[])).await;
    assert_eq!(other_end, Submitted::Accepted(deletion));
}

pub(crate) async fn a_resource_is_watched_again_after_its_end(database: &impl Database) {
    let store = database.open().await.unwrap();
    let first = accepted(&store, watch(1)).await;
    let meanwhile = answer(&store, submission_again(once_more(2))).await;
    assert_eq!(meanwhile, Submitted::Existing(first.clone()));
    ended(&store, &first, Outcome::Succeeded).await;
    let anew = answer(&store, submission_again(once_more(3))).await;
    assert_eq!(anew, Submitted::Accepted(once_more(3)));
}

pub(crate) async fn a_watch_without_a_verdict_can_be_watched_again(database: &impl Database) {
    let store = database.open().await.unwrap();
    let mut last = accepted(&store, watch(1)).await;
    let without = Outcome::ALL.into_iter().filter(|it| !it.is_verdict());
    for (n, outcome) in (2..).zip(without) {
        ended(&store, &last, outcome).await;
        let anew = answer(&store, submission(once_more(n), &[])).await;
        assert_eq!(anew, Submitted::Accepted(once_more(n)), "{outcome}");
        last = once_more(n);
    }
}

pub(crate) async fn submissions_of_other_runs_are_other_watches(database: &impl Database) {
    let store = database.open().await.unwrap();
    let a = accepted(&store, of_run(1, "a")).await;
    let b = accepted(&store, of_run(2, "b")).await;
    for (n, watch) in [(3, &a), (4, &b)] {
        let run = watch.run.as_deref().unwrap();
        let same = answer(&store, submission(of_run(n, run), &[])).await;
        assert_eq!(same, Submitted::Existing(watch.clone()));
    }
    let any = answer(&store, submission(once_more(5), &[])).await;
    assert_eq!(any, Submitted::Existing(b.clone()), "the newest");
    let b = ended(&store, &b, Outcome::Failed).await;
    let same = answer(&store, submission(of_run(6, "b"), &[])).await;
    assert_eq!(same, Submitted::Existing(b));
    let c = answer(&store, submission(of_run(7, "c"), &[])).await;
    assert!(matches!(c, Submitted::Accepted(_)), "{c:?}");
}

pub(crate) async fn a_learned_run_is_the_same_watch_as_a_named_one(database: &impl Database) {
    let store = database.open().await.unwrap();
    let first = accepted(&store, watch(1)).await;
    let learned = change(&first);
    assert_eq!(learned.watch.run.as_deref(), Some("run-1"));
    store.apply(learned.clone()).await.unwrap();
    let same = answer(&store, submission(of_run(2, "run-1"), &[])).await;
    assert_eq!(same, Submitted::Existing(learned.watch));
    let other = answer(&store, submission(of_run(3, "run-2"), &[])).await;
    assert!(matches!(other, Submitted::Accepted(_)), "{other:?}");
}

pub(crate) async fn evidence_is_kept_with_the_end(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let before = change(&watch);
    store.apply(before.clone()).await.unwrap();
    assert_eq!(store.evidence(watch.id).await.unwrap(), None);
    let end = end(&before.watch, Outcome::Failed);
    let late = transition(&before.watch, EventKind::Finished(Outcome::Lost), &[]);
    store.apply(end.clone()).await.unwrap();
    assert_eq!(store.apply(late).await.unwrap(), Applied::Refused);
    store.close().await;
    drop(store);
    let store = database.open().await.unwrap();
    assert_eq!(store.evidence(watch.id).await.unwrap(), end.evidence);
}

pub(crate) async fn submissions_are_answered_in_order(database: &impl Database) {
    let store = database.open().await.unwrap();
    accepted(&store, watch(2)).await;
    let batch = [1, 2, 3, 1].map(|n| submission(watch(n), &[])).to_vec();
    let answers = store.submit(batch).await.unwrap();
    assert_eq!(
        answers,
        [
            Submitted::Accepted(watch(1)),
            Submitted::Existing(watch(2)),
            Submitted::Accepted(watch(3)),
            Submitted::Existing(watch(1)),
        ]
    );
}

pub(crate) async fn a_batch_is_stored_whole_or_not_at_all(database: &impl Database) {
    let store = database.open().await.unwrap();
    let before = store.cursor().await.unwrap();
    let mut bad = submission(watch(2), &[]);
    bad.change.event.id = submission(watch(1), &[]).change.event.id;
    bad.change.watch.id = watch(1).id;
    let batch = vec![
        submission(watch(1), &["hook"]),
        bad,
        submission(watch(3), &[]),
    ];
    let refused = store.submit(batch).await;
    assert!(
        matches!(refused, Err(StoreError::Failed { .. })),
        "{refused:?}"
    );
    assert!(watching(&store).await.is_empty());
    assert_eq!(store.cursor().await.unwrap(), before);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
    accepted(&store, watch(1)).await;
}

pub(crate) async fn a_final_watch_is_never_changed(database: &impl Database) {
    let store = database.open().await.unwrap();
    for (n, outcome) in (1..).zip(Outcome::ALL) {
        let watch = accepted(&store, watch(n)).await;
        let ended = end(&watch, outcome);
        assert_eq!(store.apply(ended.clone()).await.unwrap(), Applied::Applied);
        for late in [
            change(&ended.watch),
            end(&ended.watch, Outcome::Failed),
            end(&watch, Outcome::Failed),
        ] {
            assert_eq!(store.apply(late).await.unwrap(), Applied::Refused);
        }
        assert_eq!(stored(&store, &watch).await, ended.watch);
        assert_eq!(types(&store, watch.id).await.len(), 2);
    }
}

pub(crate) async fn a_transition_from_an_old_revision_is_refused(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let first = change(&watch);
    store.apply(first.clone()).await.unwrap();
    let old = end(&watch, Outcome::Lost);
    let mut ahead = change(&first.watch);
    ahead.watch.revision += 1;
    for wrong in [old, ahead] {
        assert_eq!(store.apply(wrong).await.unwrap(), Applied::Refused);
    }
    assert_eq!(stored(&store, &watch).await, first.watch);
    assert_eq!(types(&store, watch.id).await.len(), 2);
}

pub(crate) async fn a_transition_of_an_unknown_watch_is_refused(database: &impl Database) {
    let store = database.open().await.unwrap();
    let before = store.cursor().await.unwrap();
    assert_eq!(
        store.apply(change(&watch(1))).await.unwrap(),
        Applied::Refused
    );
    assert_eq!(store.cursor().await.unwrap(), before);
}

pub(crate) async fn one_of_many_concurrent_transitions_is_applied(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let apply = |outcome| store.apply(end(&watch, outcome));
    let (one, two, three) = tokio::join!(
        apply(Outcome::Succeeded),
        apply(Outcome::Unwatched),
        apply(Outcome::TimedOut)
    );
    let answers = [one, two, three].map(Result::unwrap);
    let applied = answers.iter().filter(|answer| **answer == Applied::Applied);
    assert_eq!(applied.count(), 1);
    assert_eq!(types(&store, watch.id).await.len(), 2);
}

pub(crate) async fn transition_event_and_deliveries_commit_together(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let mut told_before = transition(
        &watch,
        EventKind::Finished(Outcome::Succeeded),
        &["hook", "log"],
    );
    let good = told_before.clone();
    told_before.event.id = submission(watch.clone(), &[]).change.event.id;
    let refused = store.apply(told_before).await;
    assert!(
        matches!(refused, Err(StoreError::Failed { .. })),
        "{refused:?}"
    );
    assert_eq!(stored(&store, &watch).await, watch);
    assert_eq!(types(&store, watch.id).await.len(), 1);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
    assert_eq!(store.apply(good).await.unwrap(), Applied::Applied);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 2);
}

pub(crate) async fn a_change_is_decided_on_the_stored_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let decide =
        |watch: &Watch| (watch.state == State::Watching).then(|| end(watch, Outcome::Lost));
    let transition = async |id| store.transition(id, Box::new(decide)).await.unwrap();
    let after = end(&watch, Outcome::Lost).watch;
    assert_eq!(
        transition(watch.id).await,
        Transitioned::Applied(after.clone())
    );
    assert_eq!(
        transition(watch.id).await,
        Transitioned::Unchanged(after.clone())
    );
    assert_eq!(stored(&store, &watch).await, after);
    let other = WatchId(Uuid::from_u128(99));
    assert_eq!(transition(other).await, Transitioned::Missing);
}

pub(crate) async fn many_transitions_are_answered_in_order(database: &impl Database) {
    let store = database.open().await.unwrap();
    let first = accepted(&store, watch(1)).await;
    let second = accepted(&store, watch(2)).await;
    let goes_on = accepted(&store, watch(3)).await;
    let end_it = |watch: &Watch| {
        let goes_on = watch.state == State::Watching;
        goes_on.then(|| end(watch, Outcome::Lost))
    };
    let missing = WatchId(Uuid::from_u128(99));
    let wanted: Vec<(WatchId, Decide)> = vec![
        (first.id, Box::new(end_it)),
        (missing, Box::new(end_it)),
        (goes_on.id, Box::new(|_| None)),
        (second.id, Box::new(end_it)),
        (first.id, Box::new(end_it)),
    ];
    let answers = store.transitions(wanted).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let first = end(&first, Outcome::Lost).watch;
    let second = end(&second, Outcome::Lost).watch;
    let expected = [
        Transitioned::Applied(first.clone()),
        Transitioned::Missing,
        Transitioned::Unchanged(goes_on),
        Transitioned::Applied(second.clone()),
        Transitioned::Unchanged(first.clone()),
    ];
    assert_eq!(answers, expected);
    assert_eq!(stored(&store, &first).await, first);
    assert_eq!(types(&store, first.id).await.len(), 2);
    assert!(store.transitions(Vec::new()).await.is_empty());
}

/// Also one that panics, and one whose event is stored already.
pub(crate) async fn a_transition_that_fails_stops_no_other(database: &impl Database) {
    let store = database.open().await.unwrap();
    let mut watches = Vec::new();
    for n in 1..=4 {
        watches.push(accepted(&store, watch(n)).await);
    }
    let end_it = |watch: &Watch| Some(end(watch, Outcome::Succeeded));
    let known = submission(watches[1].clone(), &[]).change.event.id;
    let with_a_known_event = move |watch: &Watch| {
        let mut change = end(watch, Outcome::Succeeded);
        change.event.id = known;
        Some(change)
    };
    let wanted: Vec<(WatchId, Decide)> = vec![
        (watches[0].id, Box::new(end_it)),
        (watches[1].id, Box::new(with_a_known_event)),
        (watches[2].id, Box::new(|_| panic!("a defect"))),
        (watches[3].id, Box::new(end_it)),
    ];
    let answers = store.transitions(wanted).await;
    for (watch, (answer, succeeds)) in watches
        .into_iter()
        .zip(answers.into_iter().zip([true, false, false, true]))
    {
        let after = if succeeds {
            let after = end(&watch, Outcome::Succeeded).watch;
            assert_eq!(answer.unwrap(), Transitioned::Applied(after.clone()));
            after
        } else {
            assert!(matches!(answer, Err(StoreError::Failed { .. })));
            watch
        };
        assert_eq!(stored(&store, &after).await, after);
    }
}

pub(crate) async fn watches_and_events_survive_a_reopen(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let next = change(&watch);
    store.apply(next.clone()).await.unwrap();
    let events = store.events_of(watch.id, 10).await.unwrap();
    store.close().await;
    drop(store);
    let store = database.open().await.unwrap();
    assert_eq!(stored(&store, &watch).await, next.watch);
    assert_eq!(store.events_of(watch.id, 10).await.unwrap(), events);
    let again = store.submit(vec![submission(watch, &[])]).await.unwrap();
    assert_eq!(again, [Submitted::Existing(next.watch)]);
}

pub(crate) async fn an_appended_event_is_stored_once_and_keeps_the_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    let ended = end(&watch, Outcome::TimedOut);
    store.apply(ended.clone()).await.unwrap();
    let late = transition(&ended.watch, EventKind::LateResult, &["hook"]);
    let append = async || store.append(late.clone()).await.unwrap();
    assert_eq!(append().await, Applied::Applied);
    assert_eq!(append().await, Applied::Refused);
    assert_eq!(stored(&store, &watch).await, ended.watch);
    assert_eq!(
        types(&store, watch.id).await.last().unwrap(),
        "dev.jobwatch.job.late_result"
    );
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 1);
}

pub(crate) async fn ends_without_a_verdict_are_listed_until_a_late_result(
    database: &impl Database,
) {
    let store = database.open().await.unwrap();
    let mut ends = Vec::new();
    for (n, outcome) in (1..).zip(Outcome::ALL) {
        let ended = end(&accepted(&store, watch(n)).await, outcome);
        store.apply(ended.clone()).await.unwrap();
        ends.push(ended.watch);
    }
    accepted(&store, watch(100)).await;
    let found = async |secs| {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let none = Arc::default();
            let page = store
                .without_verdict(Shards::ALL, at(secs), after, 1, &none)
                .await;
            let page = page.unwrap();
            assert!(page.entries.len() <= 1);
            for (entry, finished_at) in page.entries {
                let watch = store.watch(entry.id).await.unwrap().unwrap();
                assert_eq!(watch.finished_at, finished_at);
                all.push(watch.state.outcome().unwrap());
            }
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    };
    assert_eq!(found(30).await, [Outcome::TimedOut, Outcome::Lost]);
    assert!(found(31).await.is_empty(), "they ended before");
    let lost = ends
        .iter()
        .find(|watch| watch.state.outcome() == Some(Outcome::Lost));
    let lost = lost.unwrap();
    let late = transition(lost, EventKind::LateResult, &[]);
    store.append(late).await.unwrap();
    assert_eq!(found(30).await, [Outcome::TimedOut]);
}

pub(crate) async fn a_closed_store_reports_that_it_is_closed(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = accepted(&store, watch(1)).await;
    store.check().await.unwrap();
    store.close().await;
    store.close().await;
    let closed = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Closed));
    assert!(closed(store.check().await));
    assert!(closed(store.apply(change(&watch)).await.map(drop)));
    assert!(closed(store.submit(Vec::new()).await.map(drop)));
    assert!(closed(store.watch(watch.id).await.map(drop)));
}
