//! The blind periods of services.

use jobwatch::store::blindness::BLIND_PERIODS_KEPT;
use jobwatch::store::delivery::DeliveryState;
use jobwatch::watch::blindness::{BlindPeriod, Reported};
use jobwatch::watch::delivery::Owed;
use jobwatch::watch::observation::{ProblemKind, ProblemNote};

use crate::store::Database;
use crate::store::samples::{at, deliveries_in, event_without_watch};

fn period(service: &str, since: u64) -> BlindPeriod {
    BlindPeriod {
        service: service.to_owned(),
        since: at(since),
        until: None,
        cause: ProblemNote {
            kind: ProblemKind::Unauthorized,
            http_status: Some(401),
            code: None,
            message: "wrong token".to_owned(),
            at: at(since),
        },
        reported: Reported::Alone,
    }
}

pub(crate) async fn a_blind_period_is_saved_with_its_event(database: &impl Database) {
    let store = database.open().await.unwrap();
    let before = store.cursor().await.unwrap();
    let periods = vec![period("dcs", 10), period("sdrs", 20)];
    for _ in 0..2 {
        let owed = vec![Owed::to("hook"), Owed::to("log")];
        let event = Some((event_without_watch(1), owed));
        store
            .save_blind_periods(periods.clone(), event)
            .await
            .unwrap();
    }
    assert_eq!(store.blind_periods().await.unwrap(), periods);
    let page = store.events_after(&before, 10).await.unwrap();
    let about: Vec<_> = page.events.iter().map(|event| event.watch_id).collect();
    assert_eq!(about, [None], "the second is the same event");
    assert_eq!(deliveries_in(&store, DeliveryState::Pending).await, 2);
    store.close().await;
    drop(store);
    let store = database.open().await.unwrap();
    assert_eq!(store.blind_periods().await.unwrap(), periods);
}

pub(crate) async fn a_blind_period_that_ends_is_the_same_period(database: &impl Database) {
    let store = database.open().await.unwrap();
    let ended = BlindPeriod {
        until: Some(at(50)),
        reported: Reported::Offline,
        ..period("dcs", 10)
    };
    for periods in [
        vec![period("dcs", 10)],
        vec![ended.clone(), period("dcs", 60)],
    ] {
        store.save_blind_periods(periods, None).await.unwrap();
    }
    let stored = store.blind_periods().await.unwrap();
    assert_eq!(stored, [ended, period("dcs", 60)]);
}

pub(crate) async fn the_oldest_blind_periods_are_forgotten(database: &impl Database) {
    let store = database.open().await.unwrap();
    let kept = u64::try_from(BLIND_PERIODS_KEPT).unwrap();
    let ended = |service: &str, n| BlindPeriod {
        until: Some(at(n + 1)),
        ..period(service, n)
    };
    let mut periods: Vec<BlindPeriod> = (0..kept + 3).map(|n| ended("dcs", n)).collect();
    periods.push(ended("sdrs", 1));
    store.save_blind_periods(periods, None).await.unwrap();
    let stored = store.blind_periods().await.unwrap();
    assert_eq!(stored.len(), BLIND_PERIODS_KEPT + 1);
    assert_eq!(stored[0].since, at(3));
}
