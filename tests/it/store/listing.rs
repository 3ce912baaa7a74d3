//! Watches and events: lists, and the changes after a cursor.

use std::collections::BTreeSet;
use std::sync::Arc;

use jobwatch::store::delivery::DeliveryQuery;
use jobwatch::store::{Cursor, PageCursor, Query, Shards, SharedStore, StoreError};
use jobwatch::watch::{Outcome, State, Watch, WatchId};

use crate::store::Database;
use crate::store::samples::{accepted, at, change, end, submission, watch};

pub(crate) async fn pages_are_newest_first_and_have_no_gap(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..7 {
        accepted(&store, watch(n)).await;
    }
    let mut pages = Vec::new();
    let mut query = Query {
        limit: 3,
        ..Query::default()
    };
    loop {
        let page = store.watches(query.clone()).await.unwrap();
        let jobs: Vec<String> = page.watches.into_iter().map(|watch| watch.job_id).collect();
        pages.push(jobs.join(" "));
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["job-6 job-5 job-4", "job-3 job-2 job-1", "job-0"]);
}

pub(crate) async fn a_full_last_page_has_no_next_page(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..3 {
        accepted(&store, watch(n)).await;
    }
    let query = Query {
        limit: 3,
        ..Query::default()
    };
    let page = store.watches(query).await.unwrap();
    assert_eq!((page.watches.len(), page.next), (3, None));
}

pub(crate) async fn filters_are_combined(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..6 {
        let service = if n % 2 == 0 { "dcs" } else { "sdrs" };
        let watch = Watch {
            service: service.to_owned(),
            labels: [("a.b/c-d".to_owned(), (n / 3).to_string())].into(),
            ..watch(n)
        };
        let watch = accepted(&store, watch).await;
        if n < 4 {
            store.apply(end(&watch, Outcome::Failed)).await.unwrap();
        }
    }
    let anything = Query {
        limit: 100,
        ..Query::default()
    };
    let states = |states: &[State]| Query {
        states: states.to_vec(),
        ..anything.clone()
    };
    let label = |value: &str| Query {
        labels: vec![("a.b/c-d".to_owned(), value.to_owned())],
        ..anything.clone()
    };
    let sdrs = Query {
        service: Some("sdrs".to_owned()),
        ..anything.clone()
    };
    let job = Query {
        job_id: Some("job-3".to_owned()),
        ..sdrs.clone()
    };
    let listed = Query {
        ids: [1, 4, 100].map(|n| watch(n).id).to_vec(),
        ..anything.clone()
    };
    let [failed, lost] = [Outcome::Failed, Outcome::Lost].map(State::Final);
    let together = Query {
        states: vec![State::Watching, lost],
        service: Some("sdrs".to_owned()),
        ..label("1")
    };
    for (query, expected) in [
        (anything.clone(), "543210"),
        (states(&[State::Watching]), "54"),
        (states(&[failed]), "3210"),
        (states(&[State::Watching, failed]), "543210"),
        (states(&[lost]), ""),
        (sdrs, "531"),
        (job, "3"),
        (listed, "41"),
        (label("0"), "210"),
        (label("7"), ""),
        (together, "5"),
    ] {
        assert_eq!(numbers(&store, &query).await, expected, "{query:?}");
    }
}

/// The numbers of the jobs in a page.
async fn numbers(store: &SharedStore, query: &Query) -> String {
    let page = store.watches(query.clone()).await.unwrap();
    let jobs = page.watches.iter().map(|watch| watch.job_id.as_str());
    jobs.map(|job_id| job_id.trim_start_matches("job-"))
        .collect()
}

pub(crate) async fn a_watch_must_carry_every_label_of_a_filter(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..4 {
        let label = |name: &str, value: u8| (name.to_owned(), value.to_string());
        let labels = [label("a", n / 2), label("b", n % 2)].into();
        accepted(&store, Watch { labels, ..watch(n) }).await;
    }
    let query = |labels: &[(&str, &str)]| Query {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        limit: 10,
        ..Query::default()
    };
    assert_eq!(numbers(&store, &query(&[("b", "1")])).await, "31");
    let both = query(&[("b", "1"), ("a", "1")]);
    assert_eq!(numbers(&store, &both).await, "3");
    let contrary = query(&[("b", "1"), ("b", "0")]);
    assert_eq!(numbers(&store, &contrary).await, "");
}

pub(crate) async fn watches_are_listed_from_since_to_before_until(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..4 {
        let submitted_at = at(u64::from(n));
        let watch = Watch {
            submitted_at,
            ..watch(n)
        };
        accepted(&store, watch).await;
    }
    let since = Query {
        since: Some(at(1)),
        limit: 10,
        ..Query::default()
    };
    assert_eq!(numbers(&store, &since).await, "321");
    let between = Query {
        until: Some(at(3)),
        ..since
    };
    assert_eq!(numbers(&store, &between).await, "21");
}

pub(crate) async fn active_watches_are_listed_in_order_of_acceptance(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..6 {
        let watch = accepted(&store, watch(n)).await;
        if n % 2 == 0 {
            store.apply(end(&watch, Outcome::Succeeded)).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .watching(Shards::ALL, after, 2, &Arc::default())
            .await
            .unwrap();
        assert!(page.entries.len() <= 2);
        let jobs = page.entries.iter();
        seen.extend(jobs.map(|(entry, _)| entry.job_id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["job-1", "job-3", "job-5"]);
}

pub(crate) async fn the_latest_events_of_a_watch_are_listed_in_order(database: &impl Database) {
    let store = database.open().await.unwrap();
    let mut last = accepted(&store, watch(1)).await;
    accepted(&store, watch(2)).await;
    let mut bodies = vec![submission(watch(1), &[]).change.event.body];
    for _ in 0..4 {
        let next = change(&last);
        last = next.watch.clone();
        bodies.push(next.event.body.clone());
        store.apply(next).await.unwrap();
    }
    let all = store.events_of(last.id, 100).await.unwrap();
    let stored: Vec<_> = all.iter().map(|event| event.body.clone()).collect();
    assert_eq!(stored, bodies);
    assert_eq!(all[0].type_name, "dev.jobwatch.watch.accepted");
    assert_eq!(all[0].at, at(0));
    assert_eq!(store.events_of(last.id, 2).await.unwrap(), all[3..]);
}

pub(crate) async fn a_cursor_of_another_store_is_refused(database: &impl Database) {
    let store = database.open().await.unwrap();
    let before = Some(PageCursor::new("elsewhere"));
    let watches = Query {
        before: before.clone(),
        limit: 3,
        ..Query::default()
    };
    let deliveries = DeliveryQuery {
        before: before.clone(),
        limit: 3,
        ..DeliveryQuery::default()
    };
    let none = Arc::default();
    let refused = [
        store.watches(watches).await.map(drop),
        store.deliveries(deliveries).await.map(drop),
        store
            .watching(Shards::ALL, before.clone(), 3, &none)
            .await
            .map(drop),
        store
            .without_verdict(Shards::ALL, at(0), before, 3, &none)
            .await
            .map(drop),
        store
            .events_after(&Cursor::new("elsewhere"), 3)
            .await
            .map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(&refused, Err(StoreError::UnknownCursor(text)) if text == "elsewhere"),
            "{refused:?}"
        );
    }
}

/// The job ids of the watches accepted, and of those ended, after `since`: each once,
/// although a store may give a change again.
pub(super) async fn changes_since(
    store: &SharedStore,
    since: &Cursor,
    limit: usize,
) -> (BTreeSet<WatchId>, BTreeSet<WatchId>, Cursor) {
    let (mut accepted, mut ended) = (BTreeSet::new(), BTreeSet::new());
    let mut since = since.clone();
    loop {
        let changes = store.changes(&since, Shards::ALL, limit).await.unwrap();
        accepted.extend(changes.accepted);
        ended.extend(changes.ended);
        since = changes.next;
        if !changes.more {
            return (accepted, ended, since);
        }
    }
}

pub(crate) async fn changes_are_those_committed_after_the_cursor(database: &impl Database) {
    let store = database.open().await.unwrap();
    let old = accepted(&store, watch(1)).await;
    let cursor = store.cursor().await.unwrap();
    let (_, none, same) = changes_since(&store, &cursor, 10).await;
    assert!(none.is_empty());
    assert_eq!(same, cursor);
    let new = accepted(&store, watch(2)).await;
    let over_already = accepted(&store, watch(3)).await;
    store
        .apply(end(&over_already, Outcome::Unwatched))
        .await
        .unwrap();
    store.apply(end(&old, Outcome::Unwatched)).await.unwrap();
    let (accepted, ended, next) = changes_since(&store, &cursor, 10).await;
    assert!(accepted.is_superset(&[new.id, over_already.id].into()));
    assert!(accepted.is_subset(&[old.id, new.id, over_already.id].into()));
    assert_eq!(ended, [over_already.id, old.id].into());
    assert_eq!(next, store.cursor().await.unwrap());
}

pub(crate) async fn many_changes_are_read_in_pages(database: &impl Database) {
    let store = database.open().await.unwrap();
    let start = store.cursor().await.unwrap();
    let mut ids = BTreeSet::new();
    for n in 0..50 {
        ids.insert(accepted(&store, watch(n)).await.id);
    }
    let first = store.changes(&start, Shards::ALL, 2).await.unwrap();
    assert!(first.more && first.accepted.len() < 10);
    let (accepted, ..) = changes_since(&store, &start, 2).await;
    assert_eq!(accepted, ids);
}
