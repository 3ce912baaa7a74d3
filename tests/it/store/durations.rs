//! How long jobs took, learned from the ends of watches.

use std::time::Duration;

use jobwatch::store::{Applied, JobDurations, SharedStore};
use jobwatch::watch::observation::Job;
use jobwatch::watch::{Expect, Outcome, Watch};

use crate::store::Database;
use crate::store::samples::{accepted, at, end, watch};

/// Ends the nth watch of `service`: the job took `secs`, by the service.
async fn took(store: &SharedStore, n: u8, (service, job_type): (&str, &str), secs: u64) {
    let watch = accepted(
        store,
        Watch {
            service: service.to_owned(),
            ..watch(n)
        },
    )
    .await;
    let times = |job: &mut Job| {
        job.job_type = Some(job_type.to_owned());
        job.began_at = Some(at(10));
        job.ended_at = Some(at(10 + secs));
    };
    finish(store, &watch, Outcome::Succeeded, times).await;
}

async fn finish(
    store: &SharedStore,
    watch: &Watch,
    outcome: Outcome,
    change: impl FnOnce(&mut Job),
) {
    let mut end = end(watch, outcome);
    end.watch.stages.clear();
    change(end.watch.job.as_mut().unwrap());
    assert_eq!(store.apply(end).await.unwrap(), Applied::Applied);
}

fn short(of: &JobDurations) -> (&str, &str, usize, [u64; 3]) {
    let percentiles = [of.p10, of.p50, of.p90].map(|took| took.as_secs());
    (&of.service, &of.job_type, of.count, percentiles)
}

pub(crate) async fn durations_are_learned_by_service_and_type(database: &impl Database) {
    let store = database.open().await.unwrap();
    for n in 0..10 {
        took(&store, n, ("sdrs", "create"), 100 - u64::from(n)).await;
    }
    took(&store, 10, ("dcs", "restore"), 7).await;
    took(&store, 11, ("dcs", "backup"), 5).await;
    let all = store.durations(None).await.unwrap();
    assert_eq!(
        all.iter().map(short).collect::<Vec<_>>(),
        [
            ("dcs", "backup", 1, [5, 5, 5]),
            ("dcs", "restore", 1, [7, 7, 7]),
            ("sdrs", "create", 10, [91, 95, 99]),
        ]
    );
    assert_eq!(store.durations(Some("dcs")).await.unwrap(), all[..2]);
    assert!(store.durations(Some("sfs")).await.unwrap().is_empty());
    let usual = store.usual_duration("sdrs", "create").await.unwrap();
    assert_eq!(usual.as_ref(), Some(&all[2]));
    assert_eq!(store.usual_duration("dcs", "create").await.unwrap(), None);
}

pub(crate) async fn only_the_latest_durations_of_a_type_are_kept(database: &impl Database) {
    let store = database.open().await.unwrap();
    took(&store, 0, ("dcs", "other"), 1000).await;
    for n in 1..=80 {
        took(&store, n, ("dcs", "create"), u64::from(n)).await;
    }
    let usual = store
        .usual_duration("dcs", "create")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((usual.count, usual.p50), (64, Duration::from_secs(48)));
    let other = store.usual_duration("dcs", "other").await.unwrap().unwrap();
    assert_eq!(other.count, 1);
}

pub(crate) async fn only_a_verdict_shows_a_duration(database: &impl Database) {
    let store = database.open().await.unwrap();
    for (n, outcome) in (0..).zip(Outcome::ALL) {
        finish(&store, &accepted(&store, watch(n)).await, outcome, |_| {}).await;
    }
    let gone = Watch {
        expect: Some(Expect::Gone),
        ..watch(100)
    };
    let gone = accepted(&store, gone).await;
    finish(&store, &gone, Outcome::Succeeded, |_| {}).await;
    let all = store.durations(None).await.unwrap();
    assert_eq!(all.iter().map(|of| of.count).sum::<usize>(), 4);
}

pub(crate) async fn without_times_of_the_service_the_watch_counts(database: &impl Database) {
    let store = database.open().await.unwrap();
    for (n, began_at, ended_at) in [
        (1, None, Some(at(20))),
        (2, Some(at(20)), None),
        (3, Some(at(20)), Some(at(19))),
    ] {
        let watch = accepted(&store, watch(n)).await;
        let times = |job: &mut Job| {
            job.job_type = None;
            (job.began_at, job.ended_at) = (began_at, ended_at);
        };
        finish(&store, &watch, Outcome::Failed, times).await;
    }
    let staged = end(&accepted(&store, watch(4)).await, Outcome::Succeeded);
    store.apply(staged).await.unwrap();
    let future = Watch {
        submitted_at: at(31),
        ..watch(5)
    };
    let future = accepted(&store, future).await;
    finish(&store, &future, Outcome::Succeeded, |_| {}).await;
    let all = store.durations(None).await.unwrap();
    assert_eq!(
        all.iter().map(short).collect::<Vec<_>>(),
        [("dcs", "", 3, [30; 3]), ("dcs", "type", 1, [30; 3])]
    );
}
