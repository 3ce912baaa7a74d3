//! Watches: accepting and changing them, and what commits together.

use jobwatch::store::{Applied, SharedStore, StoreError, Submitted};
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;
use crate::store::samples::{accepted, at, change, end, submission, transition, watch};

async fn stored(store: &SharedStore, watch: &Watch) -> Watch {
    store.watch(watch.id).await.unwrap().unwrap()
}

async fn types(store: &SharedStore, id: WatchId) -> Vec<String> {
    let events = store.events_of(id, 100).await.unwrap();
    events.into_iter().map(|event| event.type_name).collect()
}

pub(crate) async fn a_watch_is_read_as_it_was_stored(database: &impl Database) {
    let store = database.open().unwrap();
    let watch = accepted(&store, watch(1)).await;
    assert_eq!(stored(&store, &watch).await, watch);
    let next = transition(&watch, EventKind::Changed, &[]);
    assert_eq!(store.apply(next.clone()).await.unwrap(), Applied::Applied);
    assert_eq!(stored(&store, &watch).await, next.watch);
    assert_eq!(store.watch(WatchId(Uuid::max())).await.unwrap(), None);
}

pub(crate) async fn the_same_job_again_gives_the_watch_there_is(database: &impl Database) {
    let store = database.open().unwrap();
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
    assert_eq!(store.delivery_counts().await.unwrap().pending, 0);
}

pub(crate) async fn service_params_and_job_id_together_make_a_watch(database: &impl Database) {
    let store = database.open().unwrap();
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
    assert_eq!(store.watching(0, 10).await.unwrap().len(), 3);
}

pub(crate) async fn submissions_are_answered_in_their_order(database: &impl Database) {
    let store = database.open().unwrap();
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
    let store = database.open().unwrap();
    let mut bad = submission(watch(2), &[]);
    bad.event.id = submission(watch(1), &[]).event.id;
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
    assert!(store.watching(0, 10).await.unwrap().is_empty());
    assert_eq!(store.position().await.unwrap(), 0);
    assert_eq!(store.delivery_counts().await.unwrap().pending, 0);
    accepted(&store, watch(1)).await;
}

pub(crate) async fn a_final_watch_is_never_changed(database: &impl Database) {
    let store = database.open().unwrap();
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
    let store = database.open().unwrap();
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

pub(crate) async fn a_transition_of_no_watch_is_refused(database: &impl Database) {
    let store = database.open().unwrap();
    assert_eq!(
        store.apply(change(&watch(1))).await.unwrap(),
        Applied::Refused
    );
    assert_eq!(store.position().await.unwrap(), 0);
}

pub(crate) async fn of_many_transitions_at_once_one_is_applied(database: &impl Database) {
    let store = database.open().unwrap();
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

pub(crate) async fn a_transition_its_event_and_its_deliveries_commit_together(
    database: &impl Database,
) {
    let store = database.open().unwrap();
    let watch = accepted(&store, watch(1)).await;
    let mut told_before = transition(
        &watch,
        EventKind::Finished(Outcome::Succeeded),
        &["hook", "log"],
    );
    let good = told_before.clone();
    told_before.event.id = submission(watch.clone(), &[]).event.id;
    let refused = store.apply(told_before).await;
    assert!(
        matches!(refused, Err(StoreError::Failed { .. })),
        "{refused:?}"
    );
    assert_eq!(stored(&store, &watch).await, watch);
    assert_eq!(types(&store, watch.id).await.len(), 1);
    assert_eq!(store.delivery_counts().await.unwrap().pending, 0);
    assert_eq!(store.apply(good).await.unwrap(), Applied::Applied);
    assert_eq!(store.delivery_counts().await.unwrap().pending, 2);
}

pub(crate) async fn a_delivery_that_cannot_be_owed_undoes_the_transition(database: &impl Database) {
    let store = database.open().unwrap();
    let watch = accepted(&store, watch(1)).await;
    let mut twice = end(&watch, Outcome::Succeeded);
    twice.owed = vec!["hook".to_owned(), "hook".to_owned()];
    assert!(store.apply(twice).await.is_err());
    assert_eq!(stored(&store, &watch).await, watch);
    assert_eq!(types(&store, watch.id).await.len(), 1);
    assert_eq!(store.delivery_counts().await.unwrap().pending, 0);
}

pub(crate) async fn what_was_stored_is_there_after_it_is_opened_again(database: &impl Database) {
    let store = database.open().unwrap();
    let watch = accepted(&store, watch(1)).await;
    let next = change(&watch);
    store.apply(next.clone()).await.unwrap();
    let events = store.events_of(watch.id, 10).await.unwrap();
    store.close().await;
    drop(store);
    let store = database.open().unwrap();
    assert_eq!(stored(&store, &watch).await, next.watch);
    assert_eq!(store.events_of(watch.id, 10).await.unwrap(), events);
    let again = store.submit(vec![submission(watch, &[])]).await.unwrap();
    assert_eq!(again, [Submitted::Existing(next.watch)]);
}

pub(crate) async fn an_event_is_appended_once_and_changes_nothing_about_its_watch(
    database: &impl Database,
) {
    let store = database.open().unwrap();
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
    assert_eq!(store.delivery_counts().await.unwrap().pending, 1);
}

pub(crate) async fn what_ended_without_a_verdict_is_found_until_one_came_late(
    database: &impl Database,
) {
    let store = database.open().unwrap();
    let mut ends = Vec::new();
    for (n, outcome) in (1..).zip(Outcome::ALL) {
        let ended = end(&accepted(&store, watch(n)).await, outcome);
        store.apply(ended.clone()).await.unwrap();
        ends.push(ended.watch);
    }
    accepted(&store, watch(100)).await;
    let found = async |secs| {
        let mut all = Vec::new();
        let mut after = 0;
        while let [(number, watch)] = &store.without_verdict(at(secs), after, 1).await.unwrap()[..]
        {
            after = *number;
            all.push(watch.state.outcome().unwrap());
        }
        all
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

pub(crate) async fn a_closed_store_says_so(database: &impl Database) {
    let store = database.open().unwrap();
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
