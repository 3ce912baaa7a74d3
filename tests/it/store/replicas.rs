//! Several writers on one PostgreSQL: the owners of shards, and the order of the log.

use std::sync::Arc;
use std::time::Duration;

use jobwatch::store::shards::{SHARDS, Throttling};
use jobwatch::store::{Decide, Shards, SharedStore, Submitted, Transitioned};
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, Watch};
use tokio::task::JoinSet;

use crate::store::Database;
use crate::store::postgres::TestDatabase;
use crate::store::samples::{accepted, end, submission, transition, watch};

/// The time after which a lease has ended.
const AFTER_LEASE: u64 = 16;

/// Two replicas on one database; `None` if this machine has no PostgreSQL.
async fn two() -> Option<(TestDatabase, SharedStore, SharedStore)> {
    let database = TestDatabase::new().await?;
    let one = database.second_writer().await.unwrap();
    let two = database.second_writer().await.unwrap();
    Some((database, one, two))
}

async fn held(store: &SharedStore) -> (usize, usize, usize) {
    let holding = store.hold().await.unwrap();
    (holding.kept.len(), holding.new.len(), holding.surplus)
}

fn to_end(outcome: Outcome) -> Decide {
    Box::new(move |watch: &Watch| Some(end(watch, outcome)))
}

async fn ended_by(store: &SharedStore, watch: &Watch) -> Transitioned {
    let wanted = vec![(watch.id, to_end(Outcome::Succeeded))];
    store.transitions(wanted).await.pop().unwrap().unwrap()
}

#[tokio::test]
async fn replicas_share_the_shards() {
    let Some((_database, one, two)) = two().await else {
        return;
    };
    assert_eq!(held(&one).await, (0, 256, 0));
    assert_eq!(held(&two).await, (0, 0, 0), "all have an owner");
    let holding = one.hold().await.unwrap();
    assert_eq!((holding.kept, holding.surplus), (Shards::ALL, 128));
    let given: Shards = holding.kept.iter().take(holding.surplus).collect();
    one.hand_back(given).await.unwrap();
    let other = two.hold().await.unwrap();
    assert_eq!(other.new, given);
    assert_eq!(held(&one).await, (128, 0, 0));
    let replicas = one.replicas().await.unwrap();
    let each: Vec<(usize, bool)> = replicas
        .iter()
        .map(|it| (it.shards.len(), it.is_self))
        .collect();
    assert!(each == [(128, true), (128, false)] || each == [(128, false), (128, true)]);
    two.leave().await.unwrap();
    assert_eq!(held(&one).await, (128, 128, 0), "no lease had to end");
    assert_eq!(one.replicas().await.unwrap().len(), 1);
}

#[tokio::test]
async fn shards_of_a_dead_replica_are_taken_when_its_lease_ends() {
    let Some((database, one, two)) = two().await else {
        return;
    };
    assert_eq!(held(&one).await, (0, 256, 0));
    database.pass(14).await;
    assert_eq!(held(&two).await, (0, 0, 0));
    database.pass(2).await;
    assert_eq!(held(&two).await, (0, 256, 0));
    assert_eq!(held(&one).await, (0, 0, 0), "it was not dead");
    assert_eq!(held(&two).await, (256, 0, 128));
}

#[tokio::test]
async fn a_transition_of_a_former_owner_is_refused() {
    let Some((database, one, two)) = two().await else {
        return;
    };
    let watch = accepted(&one, watch(1)).await;
    one.hold().await.unwrap();
    database.pass(AFTER_LEASE).await;
    two.hold().await.unwrap();
    assert_eq!(ended_by(&one, &watch).await, Transitioned::Foreign);
    assert_eq!(one.events_of(watch.id, 9).await.unwrap().len(), 1);
    assert!(matches!(
        ended_by(&two, &watch).await,
        Transitioned::Applied(_)
    ));
    // It owns the shard again, but under another epoch than when it decided.
    database.pass(AFTER_LEASE).await;
    let again = one.hold().await.unwrap();
    assert_eq!(
        (again.kept.len(), again.new.len()),
        (0, usize::from(SHARDS))
    );
}

#[tokio::test]
async fn a_shard_is_not_taken_in_the_middle_of_a_transaction() {
    let Some((database, one, two)) = two().await else {
        return;
    };
    one.hold().await.unwrap();
    let client = database.client().await;
    // As a transaction of the owner does.
    client
        .batch_execute("BEGIN; SELECT 1 FROM shards WHERE id = 7 FOR SHARE")
        .await
        .unwrap();
    database.pass(AFTER_LEASE).await;
    let taken = two.hold().await.unwrap().new;
    assert_eq!(taken, Shards::ALL.without(&[7].into_iter().collect()));
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(two.hold().await.unwrap().new, [7].into_iter().collect());
}

#[tokio::test]
async fn one_of_two_replicas_accepts_a_job() {
    let Some((_database, one, two)) = two().await else {
        return;
    };
    for n in 1..=20 {
        let submit = async |store: &SharedStore, id: u8| {
            let watch = Watch {
                id: watch(id).id,
                ..watch(n)
            };
            store
                .submit(vec![submission(watch, &[])])
                .await
                .unwrap()
                .remove(0)
        };
        let (first, second) = tokio::join!(submit(&one, n), submit(&two, n + 100));
        let (accepted, existing) = match (&first, &second) {
            (Submitted::Accepted(accepted), Submitted::Existing(existing))
            | (Submitted::Existing(existing), Submitted::Accepted(accepted)) => {
                (accepted, existing)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(accepted.id, existing.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_the_log_misses_no_late_commit() {
    let Some((_database, one, two)) = two().await else {
        return;
    };
    let start = one.cursor().await.unwrap();
    let mut writing = JoinSet::new();
    for (writer, store) in [(0, &one), (1, &two)] {
        for n in 0..60 {
            let store = Arc::clone(store);
            writing.spawn(async move {
                let watch = accepted(&store, watch(n * 2 + writer)).await;
                let change = transition(&watch, EventKind::Changed, &[]);
                store.apply(change).await.unwrap();
            });
        }
    }
    let (mut after, mut seen) = (start, Vec::new());
    while seen.len() < 240 {
        let page = one.events_after(&after, 7).await.unwrap();
        seen.extend(page.events.iter().map(|event| event.id));
        after = page.next;
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
    let all = one
        .events_after(&one.first_cursor().await.unwrap(), 1000)
        .await
        .unwrap();
    let all: Vec<_> = all.events.iter().map(|event| event.id).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn a_request_for_a_poll_reaches_the_owner() {
    let Some((_database, one, two)) = two().await else {
        return;
    };
    let watch = accepted(&one, watch(1)).await;
    one.hold().await.unwrap();
    for _ in 0..2 {
        two.request_poll(watch.id).await.unwrap();
    }
    let other = Shards::default();
    assert!(two.take_poll_requests(other).await.unwrap().is_empty());
    assert_eq!(
        one.take_poll_requests(Shards::ALL).await.unwrap(),
        [watch.id]
    );
    assert!(
        one.take_poll_requests(Shards::ALL)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_throttling_reaches_the_other_replicas() {
    let Some((database, one, two)) = two().await else {
        return;
    };
    let throttling = |pause, number| Throttling {
        endpoint: "https://dcs.example.com".to_owned(),
        credential: "otc".to_owned(),
        pause: Duration::from_secs(pause),
        number,
    };
    let own = vec![throttling(20, 0)];
    assert!(one.exchange_throttlings(own).await.unwrap().is_empty());
    database.pass(5).await;
    let first = two.exchange_throttlings(Vec::new()).await.unwrap();
    assert_eq!(first, [throttling(15, first[0].number)]);
    one.exchange_throttlings(vec![throttling(30, 0)])
        .await
        .unwrap();
    let second = two.exchange_throttlings(Vec::new()).await.unwrap();
    assert_eq!(second, [throttling(30, second[0].number)]);
    assert!(second[0].number > first[0].number);
    database.pass(30).await;
    assert!(
        two.exchange_throttlings(Vec::new())
            .await
            .unwrap()
            .is_empty()
    );
}
