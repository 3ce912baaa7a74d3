//! Deliveries: who is owed what, who is at it, and what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use jobwatch::clock::later;
use jobwatch::store::delivery::{
    DeliveryQuery, DeliveryState, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use jobwatch::store::{AttemptRecord, Delivery, DeliveryCounts, Settlement, SharedStore};

use crate::store::Database;
use crate::store::samples::{at, submission, watch};

/// How long each attempt takes.
const TOOK: Duration = Duration::from_millis(123);

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
        number: delivery.attempts + 1,
        settlement,
        at: at(5),
        took: TOOK,
        http_status: Some(if failed { 503 } else { 204 }),
        error: failed.then(|| "busy".to_owned()),
        answer: failed.then(|| "come back\u{1f600}".to_owned()),
    }
}

/// Gives up what is due for `hook` at `secs`, in one attempt.
async fn give_up(store: &SharedStore, secs: u64) -> Vec<Delivery> {
    let claimed = claim(store, secs).await;
    let dead = claimed.iter().map(|one| AttemptRecord {
        at: at(secs),
        ..record(one, Settlement::Dead)
    });
    store.settle(dead.collect()).await.unwrap();
    claimed
}

async fn one(store: &SharedStore, id: i64) -> (StoredDelivery, Vec<StoredAttempt>) {
    store.delivery(id).await.unwrap().unwrap()
}

pub(crate) async fn each_attempt_is_kept_with_its_result(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    let id = claimed[0].id;
    let again = record(&claimed[0], Settlement::RetryAt(at(10)));
    let done = AttemptRecord {
        at: at(10),
        ..record(&claimed[0], Settlement::Delivered)
    };
    store.settle(vec![again]).await.unwrap();
    let (delivery, _) = one(&store, id).await;
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert_eq!(delivery.due_at, Some(at(10)));
    assert_eq!(delivery.last_status, Some(503));
    assert_eq!(delivery.last_error.as_deref(), Some("busy"));
    store.settle(vec![done]).await.unwrap();
    let (delivery, attempts) = one(&store, id).await;
    assert_eq!((delivery.attempts, delivery.due_at), (2, None));
    assert_eq!(delivery.settled_at, Some(later(at(10), TOOK)));
    assert_eq!(delivery.watch_id, Some(watch(0).id));
    let failed = StoredAttempt {
        number: 1,
        at: at(5),
        took: TOOK,
        http_status: Some(503),
        error: Some("busy".to_owned()),
        answer: Some("come back\u{1f600}".to_owned()),
    };
    let well = StoredAttempt {
        number: 2,
        at: at(10),
        took: TOOK,
        http_status: Some(204),
        error: None,
        answer: None,
    };
    assert_eq!(attempts, [failed, well]);
    assert_eq!(store.delivery(id + 1).await.unwrap(), None);
}

pub(crate) async fn only_the_latest_attempts_are_kept(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    for number in 1..=30 {
        let again = AttemptRecord {
            number,
            ..record(&claimed[0], Settlement::RetryAt(at(1)))
        };
        store.settle(vec![again]).await.unwrap();
    }
    let (delivery, attempts) = one(&store, claimed[0].id).await;
    assert_eq!(delivery.attempts, 30);
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (11..=30).collect::<Vec<_>>());
}

pub(crate) async fn a_redriven_letter_has_a_new_schedule_and_its_history(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let first = claim(&store, 0).await;
    for number in 1..=9 {
        let again = AttemptRecord {
            number,
            ..record(&first[0], Settlement::RetryAt(at(1)))
        };
        store.settle(vec![again]).await.unwrap();
    }
    give_up(&store, 1).await;
    assert!(claim(&store, 1000).await.is_empty());
    let redriven = store.redrive(first[0].id, false, at(2000)).await.unwrap();
    let Redriven::Owed(delivery) = redriven else {
        panic!("{redriven:?}");
    };
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert_eq!(
        (delivery.due_at, delivery.settled_at),
        (Some(at(2000)), None)
    );
    assert_eq!(delivery.attempts, 10);
    assert!(claim(&store, 1999).await.is_empty());
    let again = claim(&store, 2000).await;
    assert_eq!((again[0].id, again[0].attempts), (first[0].id, 0));
    assert_eq!(again[0].event_id, first[0].event_id);
    store
        .settle(vec![record(&again[0], Settlement::Delivered)])
        .await
        .unwrap();
    assert_eq!(one(&store, first[0].id).await.1.len(), 11);
}

pub(crate) async fn an_attempt_recorded_twice_counts_once(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    let again = record(&claimed[0], Settlement::RetryAt(at(10)));
    store.settle(vec![again.clone()]).await.unwrap();
    store.settle(vec![again]).await.unwrap();
    let (delivery, attempts) = one(&store, claimed[0].id).await;
    assert_eq!((delivery.attempts, attempts.len()), (1, 1));
    // An end counts, whoever tells it: somebody else may have made the attempt before.
    let late = record(&claimed[0], Settlement::Delivered);
    store.settle(vec![late]).await.unwrap();
    assert_eq!(
        one(&store, claimed[0].id).await.0.state,
        DeliveryState::Delivered
    );
}

pub(crate) async fn a_gone_receiver_uses_no_attempt_of_the_schedule(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    for secs in 0..3 {
        let claimed = claim(&store, secs).await;
        assert_eq!((claimed.len(), claimed[0].attempts), (1, 0));
        let gone = AttemptRecord {
            at: at(secs),
            ..record(&claimed[0], Settlement::ReceiverGone)
        };
        store.settle(vec![gone.clone()]).await.unwrap();
        store.settle(vec![gone]).await.unwrap();
    }
    let claimed = claim(&store, 3).await;
    let again = record(&claimed[0], Settlement::RetryAt(at(10)));
    store.settle(vec![again]).await.unwrap();
    assert_eq!(claim(&store, 10).await[0].attempts, 1);
    let (delivery, attempts) = one(&store, claimed[0].id).await;
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert_eq!((delivery.attempts, attempts.len()), (4, 4));
}

pub(crate) async fn only_force_redrives_a_delivery_that_is_not_dead(database: &impl Database) {
    let store = owing(database, 2, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    let records = vec![
        record(&claimed[0], Settlement::Delivered),
        record(&claimed[1], Settlement::RetryAt(at(3600))),
    ];
    store.settle(records).await.unwrap();
    for delivery in &claimed {
        let before = one(&store, delivery.id).await.0;
        let refused = store.redrive(delivery.id, false, at(10)).await.unwrap();
        assert_eq!(refused, Redriven::NotDead(before.clone()));
        assert_eq!(one(&store, delivery.id).await.0, before);
        let forced = store.redrive(delivery.id, true, at(10)).await.unwrap();
        assert!(matches!(forced, Redriven::Owed(_)), "{forced:?}");
    }
    let again = claim(&store, 10).await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|delivery| delivery.attempts == 0));
    // While somebody is at it, it is nobody else's, whatever the force.
    store.redrive(again[0].id, true, at(11)).await.unwrap();
    assert!(claim(&store, 11).await.is_empty());
    assert_eq!(
        store.redrive(99, true, at(12)).await.unwrap(),
        Redriven::Missing
    );
}

pub(crate) async fn dead_letters_of_a_sink_are_redriven_since_a_time(database: &impl Database) {
    let store = owing(database, 3, &["hook", "other"]).await;
    let early = store
        .claim_deliveries("hook", at(0), at(60), 1)
        .await
        .unwrap();
    let early = record(&early[0], Settlement::Dead);
    store.settle(vec![early]).await.unwrap();
    give_up(&store, 100).await;
    let others = store
        .claim_deliveries("other", at(0), at(60), 10)
        .await
        .unwrap();
    let others = others.iter().map(|one| record(one, Settlement::Dead));
    store.settle(others.collect()).await.unwrap();
    let backlog = |pending, dead| {
        ["hook", "other"].map(|sink| SinkBacklog {
            sink: sink.to_owned(),
            pending: if sink == "hook" { pending } else { 0 },
            dead: if sink == "hook" { dead } else { 3 },
        })
    };
    assert_eq!(store.backlog().await.unwrap(), backlog(0, 3));
    let redrive = async |since| store.redrive_dead("hook", since, at(200)).await.unwrap();
    assert_eq!(redrive(Some(at(101))).await, 0);
    assert_eq!(redrive(Some(at(50))).await, 2);
    assert_eq!(store.backlog().await.unwrap(), backlog(2, 1));
    assert_eq!(redrive(None).await, 1);
    assert_eq!(redrive(None).await, 0);
    assert_eq!(claim(&store, 200).await.len(), 3);
}

pub(crate) async fn deliveries_are_listed_newest_first_by_state_and_sink(database: &impl Database) {
    let store = owing(database, 5, &["hook", "other"]).await;
    let dead = give_up(&store, 0).await;
    let list = async |state, sink: Option<&str>, before, limit| {
        let query = DeliveryQuery {
            state,
            sink: sink.map(str::to_owned),
            before,
            limit,
        };
        store.deliveries(query).await.unwrap()
    };
    let all = list(None, None, None, 100).await;
    assert_eq!((all.deliveries.len(), all.next), (10, None));
    assert!(all.deliveries.is_sorted_by(|one, next| one.id > next.id));
    let dead_only = Some(DeliveryState::Dead);
    let first = list(dead_only, None, None, 3).await;
    let second = list(dead_only, None, first.next, 3).await;
    assert_eq!((first.deliveries.len(), second.deliveries.len()), (3, 2));
    assert_eq!(second.next, None);
    let listed: BTreeSet<i64> = [first.deliveries, second.deliveries]
        .concat()
        .iter()
        .map(|delivery| delivery.id)
        .collect();
    assert_eq!(listed, dead.iter().map(|delivery| delivery.id).collect());
    assert!(
        list(dead_only, Some("other"), None, 10)
            .await
            .deliveries
            .is_empty()
    );
    let others = list(Some(DeliveryState::Pending), Some("other"), None, 10).await;
    assert_eq!(others.deliveries.len(), 5);
    assert_eq!(
        others.deliveries[0].type_name,
        "dev.jobwatch.watch.accepted"
    );
}

pub(crate) async fn each_sink_has_its_own_delivery(database: &impl Database) {
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

pub(crate) async fn a_claim_is_exclusive_until_its_lease_ends(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let first = claim(&store, 0).await;
    assert_eq!(first.len(), 1);
    assert!(claim(&store, 59).await.is_empty());
    assert_eq!(store.next_delivery_due("hook").await.unwrap(), Some(at(60)));
    assert_eq!(claim(&store, 60).await, first);
}

pub(crate) async fn a_claim_takes_at_most_the_requested_number(database: &impl Database) {
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

pub(crate) async fn a_delivery_is_not_claimed_before_it_is_due(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    store
        .settle(vec![record(&claimed[0], Settlement::RetryAt(at(30)))])
        .await
        .unwrap();
    assert_eq!(store.next_delivery_due("hook").await.unwrap(), Some(at(30)));
    assert!(claim(&store, 29).await.is_empty());
    let again = claim(&store, 30).await;
    assert_eq!((again[0].id, again[0].attempts), (claimed[0].id, 1));
    assert_eq!(again[0].event_id, claimed[0].event_id);
}

pub(crate) async fn a_settled_delivery_is_not_claimed_again(database: &impl Database) {
    let store = owing(database, 3, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    let records = vec![
        record(&claimed[0], Settlement::Delivered),
        record(&claimed[1], Settlement::Dead),
        record(&claimed[2], Settlement::RetryAt(at(10))),
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

pub(crate) async fn a_late_record_does_not_undo_a_settlement(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Delivered)])
        .await
        .unwrap();
    for late in [Settlement::Dead, Settlement::RetryAt(at(10))] {
        store.settle(vec![record(&claimed[0], late)]).await.unwrap();
    }
    assert_eq!(store.delivery_counts().await.unwrap().delivered, 1);
    assert_eq!(store.next_delivery_due("hook").await.unwrap(), None);
}

pub(crate) async fn pending_deliveries_survive_a_reopen(database: &impl Database) {
    let store = owing(database, 3, &["hook"]).await;
    let claimed = claim(&store, 0).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Delivered)])
        .await
        .unwrap();
    store
        .settle(vec![record(&claimed[1], Settlement::RetryAt(at(90)))])
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
