//! The log of events, read from a position.

use jobwatch::store::{Cursor, SharedStore, StoreError};
use jobwatch::watch::Outcome;

use crate::store::Database;
use crate::store::samples::{accepted, change, end, submission, watch};

/// The bodies of all events after a position, read in pages, and the last position.
async fn bodies(store: &SharedStore, after: Cursor, limit: usize) -> (Vec<String>, Cursor) {
    let (mut bodies, mut after) = (Vec::new(), after);
    loop {
        let page = store.events_after(&after, limit).await.unwrap();
        assert!(page.events.len() <= limit);
        bodies.extend(page.events.into_iter().map(|event| event.body));
        after = page.next;
        if !page.more {
            return (bodies, after);
        }
    }
}

pub(crate) async fn events_are_read_in_order_from_a_position(database: &impl Database) {
    let store = database.open().await.unwrap();
    let none = store.first_cursor().await.unwrap();
    assert_eq!(none, store.cursor().await.unwrap());
    assert_eq!(bodies(&store, none, 3).await.0, [""; 0]);
    let one = accepted(&store, watch(1)).await;
    accepted(&store, watch(2)).await;
    let (next, last) = (change(&one), end(&change(&one).watch, Outcome::Failed));
    for change in [next.clone(), last.clone()] {
        store.apply(change).await.unwrap();
    }
    let expected = [
        submission(watch(1), &[]).change.event,
        submission(watch(2), &[]).change.event,
        next.event,
        last.event,
    ];
    let first = store.first_cursor().await.unwrap();
    let page = store.events_after(&first, 10).await.unwrap();
    for (logged, event) in page.events.iter().zip(&expected) {
        assert_eq!((logged.id, logged.at), (event.id, event.at));
        assert_eq!(logged.type_name, event.kind.type_name());
    }
    let about: Vec<_> = page.events.iter().map(|event| event.watch_id).collect();
    assert_eq!(about, [1, 2, 1, 1].map(|n| Some(watch(n).id)));
    let expected = expected.map(|event| event.body);
    for limit in [1, 3, 4, 10] {
        let (read, end) = bodies(&store, first.clone(), limit).await;
        assert_eq!(read, expected, "{limit}");
        assert_eq!(end, store.cursor().await.unwrap());
    }
    for (n, logged) in page.events.iter().enumerate() {
        let (rest, _) = bodies(&store, logged.cursor.clone(), 10).await;
        assert_eq!(rest, expected[n + 1..], "after event {n}");
    }
}

pub(crate) async fn events_after_the_end_of_the_log_are_none(database: &impl Database) {
    let store = database.open().await.unwrap();
    accepted(&store, watch(1)).await;
    let end = store.cursor().await.unwrap();
    let page = store.events_after(&end, 10).await.unwrap();
    assert_eq!((page.events.len(), page.more), (0, false));
    assert_eq!(page.next, end);
    for elsewhere in ["99", "-1", "x"] {
        let page = store.events_after(&Cursor::new(elsewhere), 10).await;
        assert!(
            matches!(page, Err(StoreError::UnknownCursor(_))),
            "{elsewhere}"
        );
    }
    accepted(&store, watch(2)).await;
    assert_eq!(bodies(&store, page.next, 10).await.0.len(), 1);
}
