//! Groups of watches, and their one event.

use jobwatch::store::delivery::DeliveryState;
use jobwatch::store::{Applied, Query, Shards, SharedStore, StoredGroup, Submission, Submitted};
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::{Outcome, Watch, WatchId};

use crate::store::Database;
use crate::store::samples::{
    accepted, at, change, deliveries_in, end, event_without_watch, grouped, submission, watch,
};

/// The size, the number of members and the number of those that have not ended.
async fn counts(store: &SharedStore, name: &str) -> (Option<u32>, u32, u32) {
    let group = store.group(name).await.unwrap().unwrap();
    (group.size, group.members, group.open)
}

async fn is_closed(store: &SharedStore, name: &str) -> bool {
    let group = store.group(name).await.unwrap().unwrap();
    group.closed_at.is_some()
}

async fn submit(store: &SharedStore, submission: Submission) -> Submitted {
    let answers = store.submit(vec![submission]).await.unwrap();
    answers.into_iter().next().unwrap()
}

async fn end_all(store: &SharedStore, watches: &[Watch]) {
    for watch in watches {
        let end = end(watch, Outcome::Failed);
        assert_eq!(store.apply(end).await.unwrap(), Applied::Applied);
    }
}

/// The watches of these submissions, which are all accepted.
async fn members(store: &SharedStore, batch: Vec<Submission>) -> Vec<Watch> {
    let answers = store.submit(batch).await.unwrap();
    let watch = |answer| match answer {
        Submitted::Accepted(watch) => watch,
        other => panic!("not accepted: {other:?}"),
    };
    answers.into_iter().map(watch).collect()
}

async fn due(store: &SharedStore) -> Vec<String> {
    let due = store.due_groups(10).await.unwrap();
    due.into_iter().map(|group| group.name).collect()
}

pub(crate) async fn a_group_counts_its_watches(database: &impl Database) {
    let store = database.open().await.unwrap();
    assert_eq!(store.group("g").await.unwrap(), None);
    let batch = [1, 2].map(|n| grouped(n, "g", None)).to_vec();
    let watches = members(&store, batch).await;
    assert_eq!(watches[0].group.as_deref(), Some("g"));
    assert_eq!(
        store.watch(watch(1).id).await.unwrap().as_ref(),
        Some(&watches[0])
    );
    accepted(&store, watch(3)).await;
    let again = submit(&store, grouped(1, "g", None)).await;
    assert!(matches!(again, Submitted::Existing(_)), "{again:?}");
    let other = submit(&store, grouped(3, "g", None)).await;
    assert_eq!(other, Submitted::Existing(watch(3)), "it is in no group");
    assert_eq!(counts(&store, "g").await, (None, 2, 2));
    let changed = change(&watches[0]);
    store.apply(changed.clone()).await.unwrap();
    assert_eq!(counts(&store, "g").await, (None, 2, 2));
    end_all(&store, std::slice::from_ref(&changed.watch)).await;
    let late = end(&changed.watch, Outcome::Lost);
    assert_eq!(store.apply(late).await.unwrap(), Applied::Refused);
    assert_eq!(counts(&store, "g").await, (None, 2, 1));
    let listed = Query {
        group: Some("g".to_owned()),
        limit: 10,
        ..Query::default()
    };
    let page = store.watches(listed).await.unwrap();
    let ids: Vec<WatchId> = page.watches.iter().map(|watch| watch.id).collect();
    assert_eq!(ids, [watch(2).id, watch(1).id]);
}

pub(crate) async fn a_group_closes_when_it_has_its_size(database: &impl Database) {
    let store = database.open().await.unwrap();
    submit(&store, grouped(1, "g", None)).await;
    submit(&store, grouped(2, "g", Some(3))).await;
    assert_eq!(counts(&store, "g").await, (Some(3), 2, 2));
    assert!(!is_closed(&store, "g").await);
    let batch = vec![
        grouped(6, "g", Some(9)),
        grouped(3, "g", Some(3)),
        grouped(4, "g", None),
        grouped(1, "g", None),
        grouped(5, "h", Some(1)),
    ];
    let answers = store.submit(batch).await.unwrap();
    assert_eq!(answers[0], Submitted::GroupHasSize(3));
    assert!(matches!(answers[1], Submitted::Accepted(_)), "{answers:?}");
    assert_eq!(answers[2], Submitted::GroupClosed);
    assert!(matches!(answers[3], Submitted::Existing(_)), "{answers:?}");
    assert!(matches!(answers[4], Submitted::Accepted(_)), "{answers:?}");
    assert_eq!(counts(&store, "g").await, (Some(3), 3, 3), "the first size");
    assert!(is_closed(&store, "g").await && is_closed(&store, "h").await);
    assert_eq!(store.watch(watch(4).id).await.unwrap(), None);
    assert!(store.events_of(watch(4).id, 10).await.unwrap().is_empty());
}

pub(crate) async fn a_size_that_is_reached_already_closes_a_group(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 1..=3 {
        submit(&store, grouped(n, "g", None)).await;
    }
    submit(&store, grouped(4, "g", Some(2))).await;
    assert_eq!(counts(&store, "g").await, (Some(2), 4, 4));
    assert!(is_closed(&store, "g").await);
}

pub(crate) async fn a_closed_group_takes_no_more_watches(database: &impl Database) {
    let store = database.open().await.unwrap();
    assert_eq!(store.close_group("g", at(40)).await.unwrap(), None);
    submit(&store, grouped(1, "g", None)).await;
    let closed = StoredGroup {
        name: "g".to_owned(),
        size: None,
        members: 1,
        open: 1,
        closed_at: Some(at(40)),
        finished_at: None,
    };
    for at in [at(40), at(50)] {
        let group = store.close_group("g", at).await.unwrap();
        assert_eq!(group, Some(closed.clone()), "once");
    }
    let late = submit(&store, grouped(2, "g", None)).await;
    assert_eq!(late, Submitted::GroupClosed);
    let again = submit(&store, grouped(1, "g", None)).await;
    assert!(matches!(again, Submitted::Existing(_)), "{again:?}");
    assert_eq!(store.group("g").await.unwrap(), Some(closed));
}

pub(crate) async fn a_group_is_due_when_closed_and_all_have_ended(database: &impl Database) {
    let store = database.open().await.unwrap();
    let sized = [1, 2].map(|n| grouped(n, "sized", Some(2))).to_vec();
    let sized = members(&store, sized).await;
    let open = members(&store, vec![grouped(3, "open", None)]).await;
    end_all(&store, &[&sized[..1], &open].concat()).await;
    assert!(due(&store).await.is_empty());
    end_all(&store, &sized[1..]).await;
    assert_eq!(due(&store).await, ["sized"]);
    store.close_group("open", at(60)).await.unwrap();
    assert_eq!(
        due(&store).await,
        ["sized", "open"],
        "by the time of closing"
    );
    assert_eq!(store.due_groups(1).await.unwrap().len(), 1);
}

pub(crate) async fn a_group_finishes_once_with_one_event(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watches = members(&store, vec![grouped(1, "g", Some(1))]).await;
    let finish = async |n| {
        let owed = vec![Owed::to("hook"), Owed::to("log")];
        let event = event_without_watch(n);
        store.finish_group("g", at(90), event, owed).await.unwrap()
    };
    assert_eq!(finish(1).await, Applied::Refused, "a watch goes on");
    end_all(&store, &watches).await;
    let before = store.cursor().await.unwrap();
    assert_eq!(finish(2).await, Applied::Applied);
    assert_eq!(finish(3).await, Applied::Refused);
    assert!(due(&store).await.is_empty());
    let group = store.group("g").await.unwrap().unwrap();
    assert_eq!(group.finished_at, Some(at(90)));
    let page = store.events_after(&before, 10).await.unwrap();
    let about: Vec<_> = page.events.iter().map(|event| event.watch_id).collect();
    assert_eq!(about, [None]);
    assert_eq!(page.events[0].body, event_without_watch(2).body);
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 2);
    assert!(
        store
            .changes(&before, Shards::ALL, 10)
            .await
            .unwrap()
            .ended
            .is_empty()
    );
}

pub(crate) async fn a_batch_that_fails_counts_in_no_group(database: &impl Database) {
    let store = database.open().await.unwrap();
    let mut bad = submission(watch(2), &[]);
    bad.change.watch.id = watch(1).id;
    bad.change.event.id = submission(watch(1), &[]).change.event.id;
    store
        .submit(vec![grouped(1, "g", Some(1)), bad])
        .await
        .unwrap_err();
    assert_eq!(store.group("g").await.unwrap(), None);
}
