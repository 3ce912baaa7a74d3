//! Two writers on one database at the same time, where a kind of store allows that.

use std::time::Duration;

use jobwatch::store::Applied;
use jobwatch::watch::Outcome;

use crate::store::Database;
use crate::store::listing::changes_since;
use crate::store::samples::{accepted, end, submission, watch};

const LEASE: Duration = Duration::from_mins(1);

pub(crate) async fn changes_of_another_writer_are_read(database: &impl Database) {
    let store = database.open().await.unwrap();
    let Some(other) = database.second_writer().await else {
        return;
    };
    let old = accepted(&store, watch(1)).await;
    let cursor = store.cursor().await.unwrap();
    let new = accepted(&other, watch(2)).await;
    other.apply(end(&old, Outcome::Unwatched)).await.unwrap();
    let own = accepted(&store, watch(3)).await;
    let (accepted, ended, next) = changes_since(&store, &cursor, 10).await;
    assert!(accepted.is_superset(&[new.id, own.id].into()));
    assert_eq!(ended, [old.id].into());
    let (_, ended, _) = changes_since(&other, &next, 10).await;
    assert!(ended.is_subset(&[old.id].into()), "again at most");
}

pub(crate) async fn one_of_two_writers_applies_a_transition(database: &impl Database) {
    let store = database.open().await.unwrap();
    let Some(other) = database.second_writer().await else {
        return;
    };
    let watch = accepted(&store, watch(1)).await;
    let (one, two) = tokio::join!(
        store.apply(end(&watch, Outcome::Succeeded)),
        other.apply(end(&watch, Outcome::Unwatched))
    );
    let applied = [one, two].map(|result| result.unwrap() == Applied::Applied);
    assert_eq!(applied.iter().filter(|applied| **applied).count(), 1);
    assert_eq!(store.events_of(watch.id, 10).await.unwrap().len(), 2);
}

pub(crate) async fn a_claim_of_another_writer_is_respected(database: &impl Database) {
    let store = database.open().await.unwrap();
    let Some(other) = database.second_writer().await else {
        return;
    };
    let change = submission(watch(1), &["hook"]);
    store.submit(vec![change]).await.unwrap();
    let claimed = other.claim_deliveries("hook", LEASE, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let free = async || store.claim_deliveries("hook", LEASE, 10).await.unwrap();
    assert!(free().await.is_empty());
    database.pass(60).await;
    assert_eq!(free().await, claimed);
}
