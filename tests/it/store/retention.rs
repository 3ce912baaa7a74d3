//! What ended long ago goes, and what does not stays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jobwatch::store::delivery::{DeliveryQuery, DeliveryState};
use jobwatch::store::{
    Applied, AttemptRecord, Cursor, Expiry, PAGE_MAX, Pruned, Query, Settlement, SharedStore,
    StoreError, Submission, Submitted,
};
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;
use crate::store::samples::{
    accepted, at, end, event_without_watch, grouped, submission, transition, watch,
};

pub(crate) const DAY: u64 = 86_400;

/// Everything that ended before these seconds is old.
pub(crate) fn before(secs: u64) -> Expiry {
    Expiry {
        before: at(secs),
        now: at(100 * DAY),
        spared: Arc::default(),
    }
}

/// Prunes step by step to the end.
pub(crate) async fn prune(store: &SharedStore, expiry: &Expiry) -> Pruned {
    let (mut pruned, mut cursor) = (Pruned::default(), None);
    loop {
        let step = store.prune(expiry, cursor).await.unwrap();
        pruned += step.pruned;
        cursor = step.next;
        if cursor.is_none() {
            return pruned;
        }
    }
}

async fn ids(store: &SharedStore) -> Vec<u128> {
    let query = Query {
        limit: PAGE_MAX,
        ..Query::default()
    };
    let page = store.watches(query).await.unwrap();
    page.watches
        .iter()
        .map(|it| it.id.0.as_u128() - 1)
        .collect()
}

/// The nth watch, submitted and ended after these seconds.
pub(crate) async fn ended(store: &SharedStore, n: u8, secs: u64, sinks: &[&str]) -> Watch {
    let watch = Watch {
        submitted_at: at(secs.saturating_sub(60)),
        ..watch(n)
    };
    let watch = accepted(store, watch).await;
    finish(store, &watch, secs, sinks).await
}

async fn finish(store: &SharedStore, watch: &Watch, secs: u64, sinks: &[&str]) -> Watch {
    let mut end = end(watch, Outcome::Succeeded);
    end.watch.finished_at = Some(at(secs));
    end.event.at = at(secs);
    end.owed = sinks.iter().copied().map(Owed::to).collect();
    let ended = end.watch.clone();
    assert_eq!(store.apply(end).await.unwrap(), Applied::Applied);
    ended
}

/// Settles every delivery to `sink` at this time.
async fn settle(store: &SharedStore, sink: &str, settlement: Settlement, when: Timestamp) {
    let claimed = store.claim_deliveries(sink, Duration::from_secs(1), 100);
    let records = claimed.await.unwrap().into_iter().map(|one| AttemptRecord {
        delivery: one.id,
        schedule_attempt: one.schedule_attempts + 1,
        settlement,
        at: when,
        took: Duration::from_millis(5),
        http_status: Some(500),
        error: Some("no".to_owned()),
        answer: None,
    });
    store.settle(records.collect()).await.unwrap();
}

pub(crate) async fn an_old_watch_goes_with_everything_about_it(database: &impl Database) {
    let store = database.open().await.unwrap();
    let old = ended(&store, 1, DAY, &["a", "b"]).await;
    ended(&store, 2, 3 * DAY, &[]).await;
    accepted(&store, watch(3)).await;
    settle(&store, "a", Settlement::Delivered, at(DAY)).await;
    settle(&store, "b", Settlement::Dead, at(DAY)).await;
    assert_eq!(prune(&store, &before(DAY)).await, Pruned::default());
    let pruned = prune(&store, &before(2 * DAY)).await;
    let expected = Pruned {
        watches: 1,
        events: 2,
        deliveries: 2,
        // The delivery to `a` tells of its attempt itself.
        attempts: 1,
        evidence: 1,
        groups: 0,
    };
    assert_eq!(pruned, expected);
    assert_eq!(ids(&store).await, [3, 2], "one is young, one goes on");
    assert!(store.watch(old.id).await.unwrap().is_none());
    assert!(store.evidence(old.id).await.unwrap().is_none());
    assert!(store.events_of(old.id, 9).await.unwrap().is_empty());
    let rest = store.deliveries(DeliveryQuery {
        limit: 9,
        ..DeliveryQuery::default()
    });
    assert!(rest.await.unwrap().deliveries.is_empty());
    assert_eq!(prune(&store, &before(2 * DAY)).await, Pruned::default());
    let usual = store.usual_duration("dcs", "type").await.unwrap();
    assert_eq!(usual.unwrap().count, 2, "durations stay");
}

pub(crate) async fn a_pending_delivery_keeps_its_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    ended(&store, 1, DAY, &["a"]).await;
    assert_eq!(prune(&store, &before(9 * DAY)).await.watches, 0);
    settle(&store, "a", Settlement::Dead, at(8 * DAY)).await;
    let early = prune(&store, &before(8 * DAY)).await;
    assert_eq!(early.watches, 0, "a dead letter is kept as long as a watch");
    let dead = store.deliveries(DeliveryQuery {
        states: vec![DeliveryState::Dead],
        limit: 9,
        ..DeliveryQuery::default()
    });
    let dead = dead.await.unwrap().deliveries[0].id;
    store.redrive(dead, false).await.unwrap();
    assert_eq!(prune(&store, &before(9 * DAY)).await.watches, 0);
    settle(&store, "a", Settlement::Delivered, at(8 * DAY)).await;
    assert_eq!(prune(&store, &before(9 * DAY)).await.watches, 1);
}

pub(crate) async fn a_late_result_keeps_its_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    let watch = ended(&store, 1, DAY, &[]).await;
    let late = || {
        let mut late = transition(&watch, EventKind::LateResult, &[]);
        late.event.at = at(5 * DAY);
        late
    };
    assert_eq!(store.append(late()).await.unwrap(), Applied::Applied);
    assert_eq!(prune(&store, &before(4 * DAY)).await.watches, 0);
    assert_eq!(prune(&store, &before(6 * DAY)).await.watches, 1);
    let again = store.append(late()).await.unwrap();
    assert_eq!(again, Applied::Refused, "its watch is gone");
    assert!(store.events_of(watch.id, 9).await.unwrap().is_empty());
}

pub(crate) async fn many_old_watches_go_in_small_steps(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 1..=200 {
        ended(&store, n, DAY, &["a"]).await;
        settle(&store, "a", Settlement::RetryAfter(Duration::ZERO), at(DAY)).await;
        settle(&store, "a", Settlement::Delivered, at(DAY)).await;
    }
    let (mut pruned, mut steps, mut cursor) = (Pruned::default(), 0, None);
    loop {
        let step = store.prune(&before(2 * DAY), cursor).await.unwrap();
        assert!(step.pruned.rows() < 110, "{:?}", step.pruned);
        pruned += step.pruned;
        steps += 1;
        cursor = step.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        (pruned.watches, pruned.events, pruned.attempts),
        (200, 400, 400)
    );
    assert!(steps >= 14, "{steps}");
    assert!(ids(&store).await.is_empty());
}

pub(crate) async fn a_watch_with_many_events_goes_in_several_steps(database: &impl Database) {
    let store = database.open().await.unwrap();
    let mut watch = accepted(&store, watch(1)).await;
    for n in 1000..1500 {
        let mut change = transition(&watch, EventKind::Changed, &[]);
        change.event.id = Uuid::from_u128(n);
        watch = change.watch.clone();
        store.apply(change).await.unwrap();
    }
    finish(&store, &watch, DAY, &[]).await;
    let step = store.prune(&before(2 * DAY), None).await.unwrap();
    assert_eq!((step.pruned.watches, step.pruned.events), (0, 100));
    let rest = prune(&store, &before(2 * DAY)).await;
    assert_eq!((rest.watches, rest.events), (1, 402));
}

pub(crate) async fn a_pruned_job_can_be_submitted_again(database: &impl Database) {
    let store = database.open().await.unwrap();
    let old = ended(&store, 1, DAY, &[]).await;
    let submit = async |n: u128| {
        let again = Watch {
            id: WatchId(Uuid::from_u128(n)),
            ..watch(1)
        };
        let answers = store.submit(vec![submission(again, &[])]).await.unwrap();
        answers.into_iter().next().unwrap()
    };
    assert_eq!(submit(900).await, Submitted::Existing(old));
    prune(&store, &before(2 * DAY)).await;
    assert!(matches!(submit(901).await, Submitted::Accepted(_)));
}

pub(crate) async fn spared_jobs_and_watches_of_the_future_stay(database: &impl Database) {
    let store = database.open().await.unwrap();
    // It was submitted while the wall clock was years ahead, and must not hide those behind it.
    let ahead = Watch {
        submitted_at: at(5000 * DAY),
        ..watch(1)
    };
    let ahead = accepted(&store, ahead).await;
    finish(&store, &ahead, 5000 * DAY, &[]).await;
    ended(&store, 2, DAY, &[]).await;
    ended(&store, 3, DAY, &[]).await;
    let expiry = Expiry {
        spared: Arc::new(BTreeSet::from([("dcs".to_owned(), "job-2".to_owned())])),
        ..before(2 * DAY)
    };
    assert_eq!(prune(&store, &expiry).await.watches, 1);
    assert_eq!(ids(&store).await, [2, 1]);
}

async fn submit(store: &SharedStore, submission: Submission) -> Watch {
    let answers = store.submit(vec![submission]).await.unwrap();
    match answers.into_iter().next() {
        Some(Submitted::Accepted(watch)) => watch,
        other => panic!("not accepted: {other:?}"),
    }
}

pub(crate) async fn a_group_goes_as_a_whole(database: &impl Database) {
    let store = database.open().await.unwrap();
    let mut members = Vec::new();
    for n in [1, 2] {
        members.push(submit(&store, grouped(n, "g", Some(2))).await);
    }
    finish(&store, &members[0], DAY, &[]).await;
    let early = prune(&store, &before(2 * DAY)).await;
    assert_eq!(early.watches, 0, "the event of the group needs it");
    finish(&store, &members[1], 3 * DAY, &[]).await;
    let (event, owed) = (event_without_watch(1), vec![Owed::to("a")]);
    let done = store.finish_group("g", at(3 * DAY), event, owed).await;
    assert_eq!(done.unwrap(), Applied::Applied);
    assert_eq!(prune(&store, &before(3 * DAY)).await.watches, 0);
    let pruned = prune(&store, &before(4 * DAY)).await;
    assert_eq!((pruned.watches, pruned.groups), (2, 1));
    assert!(store.group("g").await.unwrap().is_none());
    assert_eq!(
        pruned.events, 4,
        "the event of the group is still to be delivered"
    );
    settle(&store, "a", Settlement::Delivered, at(3 * DAY)).await;
    let pruned = prune(&store, &before(4 * DAY)).await;
    assert_eq!((pruned.events, pruned.deliveries), (1, 1));
    submit(&store, grouped(5, "g", None)).await;
}

pub(crate) async fn an_open_group_loses_its_old_watches(database: &impl Database) {
    let store = database.open().await.unwrap();
    let one = submit(&store, grouped(1, "g", None)).await;
    submit(&store, grouped(2, "g", None)).await;
    finish(&store, &one, DAY, &[]).await;
    let pruned = prune(&store, &before(2 * DAY)).await;
    assert_eq!((pruned.watches, pruned.groups), (1, 0));
    let group = store.group("g").await.unwrap().unwrap();
    assert_eq!((group.members, group.open), (2, 1));
    // A group that was never filled, and whose watches have all ended.
    let alone = submit(&store, grouped(3, "h", Some(9))).await;
    finish(&store, &alone, DAY, &[]).await;
    let pruned = prune(&store, &before(2 * DAY)).await;
    assert_eq!((pruned.watches, pruned.groups), (1, 1));
}

pub(crate) async fn the_log_begins_after_the_last_pruned_event(database: &impl Database) {
    let store = database.open().await.unwrap();
    let start = store.first_cursor().await.unwrap();
    let goes_on = accepted(&store, watch(1)).await;
    ended(&store, 2, DAY, &[]).await;
    let between = store.cursor().await.unwrap();
    prune(&store, &before(2 * DAY)).await;
    assert_eq!(store.cursor().await.unwrap(), between, "nothing is new");
    assert_eq!(store.first_cursor().await.unwrap(), between);
    assert_eq!(store.events_of(goes_on.id, 9).await.unwrap().len(), 1);
    for old in [start, Cursor::new("2")] {
        let read = store.events_after(&old, 10).await;
        assert!(
            matches!(&read, Err(StoreError::PrunedCursor(text)) if *text == old.to_string()),
            "{read:?}"
        );
    }
    let next = submission(watch(3), &[]).change;
    accepted(&store, watch(3)).await;
    let page = store.events_after(&between, 10).await.unwrap();
    assert_eq!((page.events.len(), page.more), (1, false));
    assert_eq!(page.events[0].id, next.event.id);
    drop(store);
    let store = database.open().await.unwrap();
    assert_eq!(store.first_cursor().await.unwrap(), between);
}
