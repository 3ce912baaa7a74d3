//! Deliveries: who is owed what, who is at it, and what came of it.

use std::collections::BTreeSet;

use jobwatch::store::AttemptRecord;
use jobwatch::store::Delivery;
use jobwatch::store::DeliveryCounts;
use jobwatch::store::Settlement;
use jobwatch::store::SharedStore;

use crate::store::Database;
use crate::store::samples::at;
use crate::store::samples::submission;
use crate::store::samples::watch;

async fn owing(database: &impl Database, watches: u8, sinks: &[&str]) -> SharedStore {
    let store = database.open().unwrap();
    let batch = (0..watches).map(|n| submission(watch(n), sinks)).collect();
    store.submit(batch).await.unwrap();
    store
}

/// What is due for `hook` at `secs`, taken for a minute.
async fn claim(store: &SharedStore, secs: u64) -> Vec<Delivery> {
    let claimed = store
        .claim_deliveries("hook", at(secs), at(secs + 60), 100)
        .await;
    claimed.unwrap()
}

fn record(delivery: &Delivery, settlement: Settlement) -> AttemptRecord {
    let failed = settlement != Settlement::Delivered;
    AttemptRecord {
        delivery: delivery.id,
        settlement,
        at: at(5),
        http_status: Some(if failed { 503 } else { 204 }),
        error: failed.then(|| "busy".to_owned()),
    }
}

pub(crate) async fn each_sink_is_owed_its_own_delivery(database: &impl Database) {
    let store = owing(database, 1, &["hook", "log"]).await;
    let hook = claim(&store, 0).await;
    let log = store
        .claim_deliveries("log", at(0), at(60), 100)
        .await
        .unwrap();
    assert_eq!((hook.len(), log.len()), (1, 1));
    assert_ne!(hook[0].id, log[0].id);
    assert_eq!(hook[0].event_id, log[0].event_id);
    let event = submission(watch(0), &[]).event;
    assert_eq!((hook[0].event_id, &hook[0].body), (event.id, &event.body));
    assert_eq!(hook[0].type_name, event.kind.type_name());
    assert_eq!(hook[0].attempts, 0);
    assert!(
        store
            .claim_deliveries("other", at(0), at(60), 100)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn what_is_claimed_is_nobody_elses_until_its_lease_ends(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let first = claim(&store, 0).await;
    assert_eq!(first.len(), 1);
    assert!(claim(&store, 59).await.is_empty());
    assert_eq!(store.next_delivery_due("hook").await.unwrap(), Some(at(60)));
    assert_eq!(claim(&store, 60).await, first);
}

pub(crate) async fn no_more_is_claimed_than_asked_for(database: &impl Database) {
    let store = owing(database, 5, &["hook"]).await;
    let mut ids = BTreeSet::new();
    for expected in [2, 2, 1, 0] {
        let some = store
            .claim_deliveries("hook", at(0), at(60), 2)
            .await
            .unwrap();
        assert_eq!(some.len(), expected);
        ids.extend(some.iter().map(|delivery| delivery.id));
    }
    assert_eq!(ids.len(), 5);
}

pub(crate) async fn nothing_is_claimed_before_it_is_due(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Again(at(30)))])
        .await
        .unwrap();
    assert_eq!(store.next_delivery_due("hook").await.unwrap(), Some(at(30)));
    assert!(claim(&store, 29).await.is_empty());
    let again = claim(&store, 30).await;
    assert_eq!((again[0].id, again[0].attempts), (claimed[0].id, 1));
    assert_eq!(again[0].event_id, claimed[0].event_id);
}

pub(crate) async fn what_is_settled_is_not_claimed_again(database: &impl Database) {
    let store = owing(database, 3, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    let records = vec![
        record(&claimed[0], Settlement::Delivered),
        record(&claimed[1], Settlement::Dead),
        record(&claimed[2], Settlement::Again(at(10))),
    ];
    store.settle(records).await.unwrap();
    let counts = DeliveryCounts {
        pending: 1,
        delivered: 1,
        dead: 1,
    };
    assert_eq!(store.delivery_counts().await.unwrap(), counts);
    let left = claim(&store, 100_000).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, claimed[2].id);
}

pub(crate) async fn a_late_record_does_not_undo_what_is_settled(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Delivered)])
        .await
        .unwrap();
    for late in [Settlement::Dead, Settlement::Again(at(10))] {
        store.settle(vec![record(&claimed[0], late)]).await.unwrap();
    }
    assert_eq!(store.delivery_counts().await.unwrap().delivered, 1);
    assert_eq!(store.next_delivery_due("hook").await.unwrap(), None);
}

pub(crate) async fn what_is_owed_is_owed_after_it_is_opened_again(database: &impl Database) {
    let store = owing(database, 3, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Delivered)])
        .await
        .unwrap();
    store
        .settle(vec![record(&claimed[1], Settlement::Again(at(90)))])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = database.open().unwrap();
    let later = claim(&store, 100).await;
    let attempts: BTreeSet<_> = later.iter().map(|one| (one.id, one.attempts)).collect();
    assert_eq!(attempts, [(claimed[1].id, 1), (claimed[2].id, 0)].into());
    assert_eq!(store.delivery_counts().await.unwrap().delivered, 1);
}
