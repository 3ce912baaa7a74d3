//! Watches: acceptance, changes, and atomic commits.

use jobwatch::store::delivery::DeliveryState;
use jobwatch::store::{Applied, SharedStore, StoreError, Submitted};
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;
use crate::store::samples::{
    accepted, at, change, deliveries_in, end, submission, transition, watch,
};

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

pub(crate) async fn submitting_a_job_again_returns_its_watch(database: &impl Database) {
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
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
}

pub(crate) async fn service_params_and_job_id_identify_a_watch(database: &impl Database) {
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
    assert_eq!(store.watching(None, 10).await.unwrap().watches.len(), 3);
}

pub(crate) async fn submissions_are_answered_in_order(database: &impl Database) {
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
    let before = store.cursor().await.unwrap();
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
    assert!(store.watching(None, 10).await.unwrap().watches.is_empty());
    assert_eq!(store.cursor().await.unwrap(), before);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
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

pub(crate) async fn a_transition_of_an_unknown_watch_is_refused(database: &impl Database) {
    let store = database.open().unwrap();
    let before = store.cursor().await.unwrap();
    assert_eq!(
        store.apply(change(&watch(1))).await.unwrap(),
        Applied::Refused
    );
    assert_eq!(store.cursor().await.unwrap(), before);
}

pub(crate) async fn one_of_many_concurrent_transitions_is_applied(database: &impl Database) {
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

pub(crate) async fn transition_event_and_deliveries_commit_together(database: &impl Database) {
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
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
    assert_eq!(store.apply(good).await.unwrap(), Applied::Applied);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 2);
}

pub(crate) async fn an_invalid_delivery_rolls_back_its_transition(database: &impl Database) {
    let store = database.open().unwrap();
    let watch = accepted(&store, watch(1)).await;
    let mut twice = end(&watch, Outcome::Succeeded);
    twice.owed = vec![Owed::to("hook"), Owed::to("hook")];
    assert!(store.apply(twice).await.is_err());
    assert_eq!(stored(&store, &watch).await, watch);
    assert_eq!(types(&store, watch.id).await.len(), 1);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 0);
}

pub(crate) async fn watches_and_events_survive_a_reopen(database: &impl Database) {
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

pub(crate) async fn an_appended_event_is_stored_once_and_keeps_the_watch(database: &impl Database) {
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
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 1);
}

pub(crate) async fn ends_without_a_verdict_are_listed_until_a_late_result(
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
        let mut after = None;
        loop {
            let page = store.without_verdict(at(secs), after, 1).await.unwrap();
            assert!(page.watches.len() <= 1);
            let outcomes = page.watches.iter().map(|watch| watch.state.outcome());
            all.extend(outcomes.map(Option::unwrap));
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
