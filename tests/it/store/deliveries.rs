//! Deliveries: to which sink, under which claim, and how they are settled.

use std::collections::BTreeSet;
use std::time::Duration;

use jobwatch::clock::{Clock, later};
use jobwatch::store::delivery::{
    DeliveryQuery, DeliveryState, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use jobwatch::store::{AttemptRecord, Claimed, Settlement, SharedStore};
use jobwatch::watch::delivery::{Owed, Target};
use jobwatch::watch::event::EventKind;
use jobwatch::watch::{Outcome, Watch};

use crate::store::Database;
use crate::store::samples::{at, deliveries_in, submission, transition, watch};

/// The duration of each attempt.
const TOOK: Duration = Duration::from_millis(123);
/// How long each claim lasts.
const LEASE: Duration = Duration::from_mins(1);

pub(super) async fn owing(database: &impl Database, watches: u8, sinks: &[&str]) -> SharedStore {
    let store = database.open().await.unwrap();
    let batch = (0..watches).map(|n| submission(watch(n), sinks)).collect();
    store.submit(batch).await.unwrap();
    store
}

/// Claims all deliveries to `hook` that are due now.
pub(super) async fn claim(store: &SharedStore) -> Vec<Claimed> {
    claim_some(store, "hook", 100).await
}

async fn claim_some(store: &SharedStore, sink: &str, limit: usize) -> Vec<Claimed> {
    store.claim_deliveries(sink, LEASE, limit).await.unwrap()
}

pub(super) fn retry_in(secs: u64) -> Settlement {
    Settlement::RetryAfter(Duration::from_secs(secs))
}

pub(super) fn record(claimed: &Claimed, settlement: Settlement) -> AttemptRecord {
    let failed = settlement != Settlement::Delivered;
    AttemptRecord {
        delivery: claimed.id,
        schedule_attempt: claimed.schedule_attempts + 1,
        settlement,
        at: at(5),
        took: TOOK,
        http_status: Some(if failed { 503 } else { 204 }),
        error: failed.then(|| "busy".to_owned()),
        answer: failed.then(|| "come back\u{1f600}".to_owned()),
    }
}

/// Gives up the deliveries to `hook` that are due now, each in one attempt.
async fn give_up(database: &impl Database, store: &SharedStore) -> Vec<Claimed> {
    let claimed = claim(store).await;
    let now = database.clock().now();
    let dead = claimed.iter().map(|one| AttemptRecord {
        at: now,
        ..record(one, Settlement::Dead)
    });
    store.settle(dead.collect()).await.unwrap();
    claimed
}

pub(super) async fn one(store: &SharedStore, id: i64) -> (StoredDelivery, Vec<StoredAttempt>) {
    store.delivery(id).await.unwrap().unwrap()
}

pub(crate) async fn each_attempt_is_kept_with_its_result(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store).await;
    let id = claimed[0].id;
    let again = record(&claimed[0], retry_in(10));
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
    assert_eq!((delivery.attempts_total, delivery.due_at), (2, None));
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
    let claimed = claim(&store).await;
    for number in 1..=30 {
        let again = AttemptRecord {
            schedule_attempt: number,
            ..record(&claimed[0], retry_in(1))
        };
        store.settle(vec![again]).await.unwrap();
    }
    let (delivery, attempts) = one(&store, claimed[0].id).await;
    assert_eq!(delivery.attempts_total, 30);
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (11..=30).collect::<Vec<_>>());
}

pub(crate) async fn a_redriven_letter_has_a_new_schedule_and_its_history(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let first = claim(&store).await;
    for number in 1..=9 {
        let again = AttemptRecord {
            schedule_attempt: number,
            ..record(&first[0], retry_in(1))
        };
        store.settle(vec![again]).await.unwrap();
    }
    database.pass(1).await;
    give_up(database, &store).await;
    database.pass(1999).await;
    assert!(claim(&store).await.is_empty());
    let redriven = store.redrive(first[0].id, false).await.unwrap();
    let Redriven::Owed(delivery) = redriven else {
        panic!("{redriven:?}");
    };
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert_eq!(
        (delivery.due_at, delivery.settled_at),
        (Some(at(2000)), None)
    );
    assert_eq!(delivery.attempts_total, 10);
    let again = claim(&store).await;
    assert_eq!((again[0].id, again[0].schedule_attempts), (first[0].id, 0));
    assert_eq!(again[0].delivery, first[0].delivery);
    store
        .settle(vec![record(&again[0], Settlement::Delivered)])
        .await
        .unwrap();
    assert_eq!(one(&store, first[0].id).await.1.len(), 11);
}

pub(crate) async fn an_attempt_recorded_twice_counts_once(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store).await;
    let again = record(&claimed[0], retry_in(10));
    store.settle(vec![again.clone()]).await.unwrap();
    database.pass(1).await;
    store.settle(vec![again]).await.unwrap();
    let (delivery, attempts) = one(&store, claimed[0].id).await;
    assert_eq!((delivery.attempts_total, attempts.len()), (1, 1));
    assert_eq!(delivery.due_at, Some(at(10)));
    // An end always counts: the attempt recorded before may be that of another process.
    let late = record(&claimed[0], Settlement::Delivered);
    store.settle(vec![late]).await.unwrap();
    assert_eq!(
        one(&store, claimed[0].id).await.0.state,
        DeliveryState::Delivered
    );
}

pub(crate) async fn a_gone_receiver_uses_no_attempt_of_the_schedule(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    for _ in 0..3 {
        let claimed = claim(&store).await;
        assert_eq!((claimed.len(), claimed[0].schedule_attempts), (1, 0));
        let gone = AttemptRecord {
            at: database.clock().now(),
            ..record(&claimed[0], Settlement::ReceiverGone)
        };
        store.settle(vec![gone.clone()]).await.unwrap();
        store.settle(vec![gone]).await.unwrap();
        database.pass(1).await;
    }
    let claimed = claim(&store).await;
    let again = record(&claimed[0], retry_in(10));
    store.settle(vec![again]).await.unwrap();
    database.pass(10).await;
    assert_eq!(claim(&store).await[0].schedule_attempts, 1);
    let (delivery, attempts) = one(&store, claimed[0].id).await;
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert_eq!((delivery.attempts_total, attempts.len()), (4, 4));
}

pub(crate) async fn only_force_redrives_a_delivery_that_is_not_dead(database: &impl Database) {
    let store = owing(database, 2, &["hook"]).await;
    let claimed = claim(&store).await;
    let records = vec![
        record(&claimed[0], Settlement::Delivered),
        record(&claimed[1], retry_in(3600)),
    ];
    store.settle(records).await.unwrap();
    for delivery in &claimed {
        let before = one(&store, delivery.id).await.0;
        let refused = store.redrive(delivery.id, false).await.unwrap();
        assert_eq!(refused, Redriven::NotDead(before.clone()));
        assert_eq!(one(&store, delivery.id).await.0, before);
        let forced = store.redrive(delivery.id, true).await.unwrap();
        assert!(matches!(forced, Redriven::Owed(_)), "{forced:?}");
    }
    let again = claim(&store).await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|claimed| claimed.schedule_attempts == 0));
    let (_, before) = one(&store, claimed[0].id).await;
    assert_eq!(
        (before.len(), before[0].at, before[0].took),
        (1, at(5), TOOK)
    );
    // A claim holds, also against force.
    store.redrive(again[0].id, true).await.unwrap();
    assert!(claim(&store).await.is_empty());
    assert_eq!(store.redrive(99, true).await.unwrap(), Redriven::Missing);
}

pub(crate) async fn dead_letters_of_a_sink_are_redriven_since_a_time(database: &impl Database) {
    let store = owing(database, 3, &["hook", "other"]).await;
    let early = claim_some(&store, "hook", 1).await;
    let early = record(&early[0], Settlement::Dead);
    store.settle(vec![early]).await.unwrap();
    database.pass(100).await;
    give_up(database, &store).await;
    let others = claim_some(&store, "other", 10).await;
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
    let redrive = async |since| store.redrive_dead("hook", since).await.unwrap();
    assert_eq!(redrive(Some(at(101))).await, 0);
    assert_eq!(redrive(Some(at(50))).await, 2);
    assert_eq!(store.backlog().await.unwrap(), backlog(2, 1));
    assert_eq!(redrive(None).await, 1);
    assert_eq!(redrive(None).await, 0);
    assert_eq!(claim(&store).await.len(), 3);
}

pub(crate) async fn deliveries_are_listed_newest_first_by_state_and_sink(database: &impl Database) {
    let store = owing(database, 5, &["hook", "other"]).await;
    let dead = give_up(database, &store).await;
    let list = async |state, sink: Option<&str>, before, limit| {
        let query = DeliveryQuery {
            states: Option::into_iter(state).collect(),
            sink: sink.map(str::to_owned),
            before,
            limit,
            ..DeliveryQuery::default()
        };
        store.deliveries(query).await.unwrap()
    };
    let all = list(None, None, None, 100).await;
    assert_eq!((all.deliveries.len(), all.next), (10, None));
    assert!(all.deliveries.is_sorted_by(|one, next| one.id > next.id));
    let dead_only = Some(DeliveryState::Dead);
    let first = list(dead_only, None, None, 3).await;
    let second = list(dead_only, None, first.next.clone(), 3).await;
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
    let hook = claim(&store).await;
    let log = claim_some(&store, "log", 100).await;
    assert_eq!((hook.len(), log.len()), (1, 1));
    assert_ne!(hook[0].id, log[0].id);
    assert_eq!(hook[0].delivery, log[0].delivery);
    let event = submission(watch(0), &[]).change.event;
    let sent = &hook[0].delivery;
    assert_eq!((sent.event_id, &sent.body), (event.id, &event.body));
    assert_eq!(sent.type_name, event.kind.type_name());
    assert_eq!(sent.target, None);
    assert_eq!(hook[0].schedule_attempts, 0);
    assert!(claim_some(&store, "other", 100).await.is_empty());
}

pub(crate) async fn a_claim_is_exclusive_until_its_lease_ends(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let first = claim(&store).await;
    assert_eq!(first.len(), 1);
    database.pass(59).await;
    assert!(claim(&store).await.is_empty());
    assert_eq!(next_due(&store).await, Some(1));
    database.pass(1).await;
    assert_eq!(next_due(&store).await, Some(0));
    assert_eq!(claim(&store).await, first);
}

pub(crate) async fn a_claim_takes_at_most_the_requested_number(database: &impl Database) {
    let store = owing(database, 5, &["hook"]).await;
    let mut ids = BTreeSet::new();
    for expected in [2, 2, 1, 0] {
        let some = claim_some(&store, "hook", 2).await;
        assert_eq!(some.len(), expected);
        ids.extend(some.iter().map(|delivery| delivery.id));
    }
    assert_eq!(ids.len(), 5);
}

pub(crate) async fn a_delivery_is_not_claimed_before_it_is_due(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store).await;
    store
        .settle(vec![record(&claimed[0], retry_in(30))])
        .await
        .unwrap();
    assert_eq!(next_due(&store).await, Some(30));
    database.pass(29).await;
    assert!(claim(&store).await.is_empty());
    database.pass(1).await;
    let again = claim(&store).await;
    assert_eq!(
        (again[0].id, again[0].schedule_attempts),
        (claimed[0].id, 1)
    );
    assert_eq!(again[0].delivery, claimed[0].delivery);
}

/// In how many seconds the next delivery to `hook` is due.
pub(super) async fn next_due(store: &SharedStore) -> Option<u64> {
    let due = store.next_delivery_due("hook").await.unwrap();
    due.map(|after| after.as_secs())
}

pub(crate) async fn a_delivery_keeps_its_target(database: &impl Database) {
    let store = database.open().await.unwrap();
    let target = Some(Target("https://hooks.example.com/hunter2".to_owned()));
    let mut change = submission(watch(1), &["other"]);
    change.change.owed.push(Owed {
        sink: "hook".to_owned(),
        target: target.clone(),
    });
    store.submit(vec![change]).await.unwrap();
    let claimed = claim(&store).await;
    assert_eq!(claimed[0].delivery.target, target);
    assert!(!format!("{claimed:?}").contains("hunter2"));
    let other = claim_some(&store, "other", 1).await;
    assert_eq!(other[0].delivery.target, None);
    store
        .settle(vec![record(&claimed[0], Settlement::Dead)])
        .await
        .unwrap();
    store.redrive(claimed[0].id, false).await.unwrap();
    store.close().await;
    drop(store);
    let store = database.open().await.unwrap();
    assert_eq!(claim(&store).await[0].delivery.target, target);
}

pub(crate) async fn a_settled_delivery_is_not_claimed_again(database: &impl Database) {
    let store = owing(database, 3, &["hook"]).await;
    let claimed = claim(&store).await;
    let records = vec![
        record(&claimed[0], Settlement::Delivered),
        record(&claimed[1], Settlement::Dead),
        record(&claimed[2], retry_in(10)),
    ];
    store.settle(records).await.unwrap();
    for state in DeliveryState::ALL {
        assert_eq!(deliveries_in(&store, state).await, 1, "{state}");
    }
    database.pass(100_000).await;
    let left = claim(&store).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, claimed[2].id);
}

pub(crate) async fn a_late_record_does_not_undo_a_settlement(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Delivered)])
        .await
        .unwrap();
    for late in [Settlement::Dead, retry_in(10)] {
        store.settle(vec![record(&claimed[0], late)]).await.unwrap();
    }
    assert_eq!(deliveries_in(&store, DeliveryState::Delivered).await, 1);
    assert_eq!(next_due(&store).await, None);
}

pub(crate) async fn pending_deliveries_survive_a_reopen(database: &impl Database) {
    let store = owing(database, 3, &["hook"]).await;
    let claimed = claim(&store).await;
    store
        .settle(vec![record(&claimed[0], Settlement::Delivered)])
        .await
        .unwrap();
    store
        .settle(vec![record(&claimed[1], retry_in(90))])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let store = database.open().await.unwrap();
    database.pass(100).await;
    let later = claim(&store).await;
    let attempts = later.iter().map(|one| (one.id, one.schedule_attempts));
    let attempts: BTreeSet<_> = attempts.collect();
    assert_eq!(attempts, [(claimed[1].id, 1), (claimed[2].id, 0)].into());
    assert_eq!(deliveries_in(&store, DeliveryState::Delivered).await, 1);
}

pub(crate) async fn deliveries_are_listed_by_their_watch_and_time(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..4 {
        let watch = Watch {
            service: ["dcs", "sdrs"][usize::from(n % 2)].to_owned(),
            ..watch(n)
        };
        let watch = owing_watch(&store, watch).await;
        if n == 0 {
            let ended = transition(&watch, EventKind::Finished(Outcome::Failed), &["hook"]);
            store.apply(ended).await.unwrap();
        }
    }
    let list = async |query: DeliveryQuery| {
        let query = DeliveryQuery { limit: 10, ..query };
        let page = store.deliveries(query).await.unwrap();
        let watch_ids = page.deliveries.iter().map(|delivery| delivery.watch_id);
        let number = |n: &u8| watch_ids.clone().any(|id| id == Some(watch(*n).id));
        let watches: Vec<u8> = (0..4).filter(number).collect();
        (page.deliveries.len(), watches)
    };
    let anything = DeliveryQuery::default;
    let of_watch = DeliveryQuery {
        watch: Some(watch(0).id),
        ..anything()
    };
    let of_job = DeliveryQuery {
        job_id: Some("job-1".to_owned()),
        ..anything()
    };
    let of_service = DeliveryQuery {
        service: Some("sdrs".to_owned()),
        ..anything()
    };
    let labelled = DeliveryQuery {
        labels: vec![("deploy".to_owned(), "2".to_owned())],
        ..anything()
    };
    let since = DeliveryQuery {
        since: Some(at(30)),
        ..anything()
    };
    let until = DeliveryQuery {
        until: Some(at(30)),
        ..anything()
    };
    let together = DeliveryQuery {
        states: vec![DeliveryState::Pending, DeliveryState::Dead],
        service: Some("dcs".to_owned()),
        sink: Some("hook".to_owned()),
        until: Some(at(30)),
        ..of_watch.clone()
    };
    let contrary = DeliveryQuery {
        watch: Some(watch(0).id),
        ..of_job.clone()
    };
    assert_eq!(list(anything()).await, (5, vec![0, 1, 2, 3]));
    assert_eq!(list(of_watch).await, (2, vec![0]));
    assert_eq!(list(of_job).await, (1, vec![1]));
    assert_eq!(list(of_service).await, (2, vec![1, 3]));
    assert_eq!(list(labelled).await, (1, vec![2]));
    assert_eq!(list(since).await, (1, vec![0]));
    assert_eq!(list(until).await, (4, vec![0, 1, 2, 3]));
    assert_eq!(list(together).await, (1, vec![0]));
    assert_eq!(list(contrary).await, (0, vec![]));
}

/// Stores a watch with a delivery to the sink `hook`.
async fn owing_watch(store: &SharedStore, watch: Watch) -> Watch {
    let submitted = vec![submission(watch.clone(), &["hook"])];
    store.submit(submitted).await.unwrap();
    watch
}
