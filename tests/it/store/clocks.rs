//! Retries and claims while the wall clock is set.

use std::time::Duration;

use jiff::SignedDuration;
use jobwatch::clock::{Clock, later};
use jobwatch::store::Settlement;

use crate::store::Database;
use crate::store::deliveries::{claim, next_due, one, owing, record, retry_in};
use crate::store::samples::{submission, watch};

const HOUR: Duration = Duration::from_hours(1);

/// Sets the wall clock alone.
fn set_wall(database: &impl Database, by: SignedDuration) {
    let clock = database.clock();
    clock.set_wall(clock.now().checked_add(by).unwrap());
}

pub(crate) async fn setting_the_wall_clock_moves_no_retry(database: &impl Database) {
    let store = database.open().await.unwrap();
    for (n, hours) in [(1, -1), (2, 1)] {
        let change = submission(watch(n), &["hook"]);
        store.submit(vec![change]).await.unwrap();
        let claimed = claim(&store).await;
        store
            .settle(vec![record(&claimed[0], retry_in(5))])
            .await
            .unwrap();
        set_wall(database, SignedDuration::from_hours(hours));
        assert_eq!(next_due(&store).await, Some(5), "{hours} h");
        let shown = one(&store, claimed[0].id).await.0.due_at;
        let due_at = later(database.clock().now(), Duration::from_secs(5));
        assert_eq!(shown, Some(due_at), "shown as the wall clock will read");
        database.pass(4).await;
        assert!(claim(&store).await.is_empty(), "{hours} h");
        database.pass(1).await;
        let again = claim(&store).await;
        assert_eq!(again.len(), 1, "{hours} h");
        // A delivery stored after the clock was set is due at once.
        let other = submission(watch(n + 10), &["hook"]);
        store.submit(vec![other]).await.unwrap();
        let new = claim(&store).await;
        assert_eq!(new.len(), 1, "{hours} h");
        let done = [again, new].concat();
        let done = done.iter().map(|one| record(one, Settlement::Delivered));
        store.settle(done.collect()).await.unwrap();
        store.redrive(claimed[0].id, true).await.unwrap();
        let redriven = claim(&store).await;
        assert_eq!(redriven.len(), 1, "{hours} h");
        store
            .settle(vec![record(&redriven[0], Settlement::Delivered)])
            .await
            .unwrap();
    }
}

pub(crate) async fn setting_the_wall_clock_moves_no_lease(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let first = claim(&store).await;
    set_wall(database, SignedDuration::from_hours(1));
    assert!(claim(&store).await.is_empty(), "the attempt is under way");
    set_wall(database, SignedDuration::from_hours(-2));
    database.pass(60).await;
    assert_eq!(claim(&store).await, first);
}

pub(crate) async fn a_retry_scheduled_by_another_clock_is_due(database: &impl Database) {
    let store = owing(database, 1, &["hook"]).await;
    let claimed = claim(&store).await;
    store
        .settle(vec![record(&claimed[0], Settlement::RetryAfter(HOUR))])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    // A year, as when a machine starts with a clock that its battery no longer keeps.
    set_wall(database, SignedDuration::from_hours(-24 * 365));
    let store = database.open().await.unwrap();
    let due = store.next_delivery_due("hook").await.unwrap().unwrap();
    assert_eq!(due, Duration::ZERO);
}
