//! Watches and events: listing, counting, and what is changes.

use jobwatch::store::Query;
use jobwatch::watch::{Outcome, State, Watch};

use crate::store::Database;
use crate::store::samples::{accepted, at, change, end, submission, watch};

pub(crate) async fn pages_are_newest_first_and_have_no_gap(database: &impl Database) {
    let store = database.open().unwrap();
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
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(pages, ["job-6 job-5 job-4", "job-3 job-2 job-1", "job-0"]);
}

pub(crate) async fn a_full_last_page_has_no_next_page(database: &impl Database) {
    let store = database.open().unwrap();
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
    let store = database.open().unwrap();
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
    let state = |state| Query {
        state: Some(state),
        ..anything.clone()
    };
    let label = |value: &str| Query {
        label: Some(("a.b/c-d".to_owned(), value.to_owned())),
        ..anything.clone()
    };
    let sdrs = Query {
        service: Some("sdrs".to_owned()),
        ..anything.clone()
    };
    let together = Query {
        state: Some(State::Watching),
        service: Some("sdrs".to_owned()),
        ..label("1")
    };
    for (query, expected) in [
        (anything.clone(), "543210"),
        (state(State::Watching), "54"),
        (state(State::Final(Outcome::Failed)), "3210"),
        (state(State::Final(Outcome::Lost)), ""),
        (sdrs, "531"),
        (label("0"), "210"),
        (label("7"), ""),
        (together, "5"),
    ] {
        let page = store.watches(query.clone()).await.unwrap();
        let numbers: String = page
            .watches
            .iter()
            .map(|watch| watch.job_id.trim_start_matches("job-"))
            .collect();
        assert_eq!(numbers, expected, "{query:?}");
    }
}

pub(crate) async fn active_watches_are_listed_in_order_of_acceptance(database: &impl Database) {
    let store = database.open().unwrap();
    for n in 0..6 {
        let watch = accepted(&store, watch(n)).await;
        if n % 2 == 0 {
            store.apply(end(&watch, Outcome::Succeeded)).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = store.watching(after, 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        seen.extend(page.into_iter().map(|(_, watch)| watch.job_id));
    }
    assert_eq!(seen, ["job-1", "job-3", "job-5"]);
}

pub(crate) async fn the_latest_events_of_a_watch_are_listed_in_order(database: &impl Database) {
    let store = database.open().unwrap();
    let mut last = accepted(&store, watch(1)).await;
    accepted(&store, watch(2)).await;
    for _ in 0..4 {
        let next = change(&last);
        last = next.watch.clone();
        store.apply(next).await.unwrap();
    }
    let all = store.events_of(last.id, 100).await.unwrap();
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by_key(|event| event.seq));
    assert_eq!(all[0].type_name, "dev.jobwatch.watch.accepted");
    assert_eq!(all[0].at, at(0));
    assert_eq!(all[0].body, submission(watch(1), &[]).event.body);
    assert_eq!(store.events_of(last.id, 2).await.unwrap(), all[3..]);
}

pub(crate) async fn changes_since_a_position_are_listed(database: &impl Database) {
    let store = database.open().unwrap();
    assert_eq!(store.position().await.unwrap(), 0);
    let old = accepted(&store, watch(1)).await;
    let position = store.position().await.unwrap();
    let nothing = store.changes(position, 10).await.unwrap();
    assert_eq!(
        (nothing.accepted.len(), nothing.ended.len(), nothing.more),
        (0, 0, false)
    );
    assert_eq!(nothing.position, position);
    let new = accepted(&store, watch(2)).await;
    let over_already = accepted(&store, watch(3)).await;
    store
        .apply(end(&over_already, Outcome::Unwatched))
        .await
        .unwrap();
    store.apply(end(&old, Outcome::Unwatched)).await.unwrap();
    let changes = store.changes(position, 10).await.unwrap();
    assert_eq!(changes.accepted, [new]);
    assert_eq!(changes.ended, [over_already.id, old.id]);
    assert_eq!(changes.position, store.position().await.unwrap());
    assert!(
        store
            .changes(changes.position, 10)
            .await
            .unwrap()
            .accepted
            .is_empty()
    );
}

pub(crate) async fn many_changes_are_read_in_pages(database: &impl Database) {
    let store = database.open().unwrap();
    for n in 0..5 {
        accepted(&store, watch(n)).await;
    }
    let mut jobs = Vec::new();
    let mut position = 0;
    loop {
        let changes = store.changes(position, 2).await.unwrap();
        assert!(changes.accepted.len() <= 2);
        position = changes.position;
        jobs.extend(changes.accepted.into_iter().map(|watch| watch.job_id));
        if !changes.more {
            break;
        }
    }
    assert_eq!(jobs, ["job-0", "job-1", "job-2", "job-3", "job-4"]);
}

pub(crate) async fn watches_are_counted_by_state(database: &impl Database) {
    let store = database.open().unwrap();
    for n in 0..5 {
        let watch = accepted(&store, watch(n)).await;
        if n < 2 {
            store.apply(end(&watch, Outcome::Lost)).await.unwrap();
        }
    }
    let mut counts = store.watch_counts().await.unwrap();
    counts.sort_by_key(|(_, count)| *count);
    assert_eq!(
        counts,
        [(State::Final(Outcome::Lost), 2), (State::Watching, 3)]
    );
}
