//! Watches: found by references, and read by id.

use jobwatch::store::SharedStore;
use jobwatch::watch::reference::Reference;
use jobwatch::watch::{Outcome, Watch, WatchId};
use uuid::Uuid;

use crate::store::Database;
use crate::store::samples::{accepted, end, submission, submission_again, watch};

/// The ids, in the order of the answer.
async fn found(store: &SharedStore, text: &str, limit: usize) -> Vec<WatchId> {
    let reference = Reference::parse(text).unwrap();
    let watches = store.find(&reference, limit).await.unwrap();
    watches.into_iter().map(|watch| watch.id).collect()
}

fn id(high: u128, n: u128) -> WatchId {
    WatchId(Uuid::from_u128((high << 96) | n))
}

fn named(id: WatchId, service: &str, job_id: &str) -> Watch {
    Watch {
        id,
        service: service.to_owned(),
        job_id: job_id.to_owned(),
        ..watch(0)
    }
}

pub(crate) async fn a_watch_is_found_by_its_id_and_a_prefix(database: &impl Database) {
    let store = database.open().await.unwrap();
    let ids = [id(0x019a_c0de, 1), id(0x019a_c0de, 2), id(0x019a_c1de, 3)];
    for (id, job_id) in ids.into_iter().zip(["a", "b", "c"]) {
        accepted(&store, named(id, "dcs", job_id)).await;
    }
    for id in ids {
        let text = id.to_string();
        assert_eq!(found(&store, &text, 10).await, [id]);
        assert_eq!(found(&store, &text.replace('-', ""), 10).await, [id]);
        assert_eq!(
            found(&store, &text[..35], 10).await.len(),
            1 + usize::from(id != ids[2])
        );
    }
    assert_eq!(found(&store, "019ac0", 10).await, [ids[1], ids[0]]);
    assert_eq!(found(&store, "019ac0de-0", 1).await, [ids[1]]);
    assert_eq!(found(&store, "019ac1", 10).await, [ids[2]]);
    assert_eq!(found(&store, "019ac2", 10).await, []);
    assert_eq!(found(&store, &id(0x019a_c0de, 4).to_string(), 10).await, []);
}

pub(crate) async fn a_watch_is_found_by_its_job(database: &impl Database) {
    let store = database.open().await.unwrap();
    let ids = [id(1, 1), id(1, 2), id(1, 3)];
    accepted(&store, named(ids[0], "dcs", "jobs/17")).await;
    accepted(&store, named(ids[1], "sdrs", "jobs/17")).await;
    accepted(&store, named(ids[2], "jobs", "17")).await;
    assert_eq!(found(&store, "dcs/jobs/17", 10).await, [ids[0]]);
    assert_eq!(found(&store, "sdrs/jobs/17", 10).await, [ids[1]]);
    assert_eq!(found(&store, "17", 10).await, [ids[2]]);
    assert_eq!(found(&store, "jobs/17", 10).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(found(&store, "jobs/17", 2).await, [ids[2], ids[1]]);
    assert_eq!(found(&store, "sfs/17", 10).await, []);
}

pub(crate) async fn the_newest_watch_of_a_job_is_found(database: &impl Database) {
    let store = database.open().await.unwrap();
    // The ids are against the order of acceptance: the clock was set back.
    let ids = [id(0x019a_c0de, 9), id(0x019a_c0de, 8), id(0x019a_c0de, 7)];
    for id in ids {
        let again = submission_again(named(id, "dcs", "job-1"));
        let answers = store.submit(vec![again]).await.unwrap();
        let watch = answers[0].watch().unwrap();
        store.apply(end(watch, Outcome::Succeeded)).await.unwrap();
    }
    let other = Watch {
        params: [("project_id".to_owned(), "q".to_owned())].into(),
        ..named(id(0x019b_0000, 1), "dcs", "job-1")
    };
    let other = accepted(&store, other).await.id;
    assert_eq!(found(&store, "job-1", 10).await, [other, ids[2]]);
    assert_eq!(found(&store, "019ac0", 10).await, [ids[2]]);
    let oldest = ids[0].to_string();
    assert_eq!(found(&store, &oldest, 10).await, [ids[0]], "by its id");
}

pub(crate) async fn a_job_id_may_look_like_the_id_of_a_watch(database: &impl Database) {
    let store = database.open().await.unwrap();
    let job_id = "019ac0de00000000000000000000abcd";
    let of_job = accepted(&store, named(id(1, 1), "dcs", job_id)).await.id;
    assert_eq!(found(&store, job_id, 10).await, [of_job]);
    let short = accepted(&store, named(id(1, 2), "dcs", "019ac0")).await.id;
    assert_eq!(found(&store, "019ac0", 10).await, [short]);
    let by_prefix = accepted(&store, named(id(0x019a_c0de, 0xabcd), "dcs", "c"))
        .await
        .id;
    assert_eq!(found(&store, "019ac0", 10).await, [by_prefix, short]);
    assert_eq!(found(&store, job_id, 10).await, [by_prefix], "a whole id");
}

pub(crate) async fn many_watches_are_read_by_their_ids(database: &impl Database) {
    let store = database.open().await.unwrap();
    let many = (0..200).map(|n| submission(watch(n), &[]));
    store.submit(many.collect()).await.unwrap();
    let mut ids: Vec<WatchId> = (50..150).map(|n| watch(n).id).collect();
    ids.extend([watch(50).id, WatchId(Uuid::max())]);
    let mut read = store.watches_by_id(ids).await.unwrap();
    read.sort_by_key(|watch| watch.id);
    assert_eq!(read, (50..150).map(watch).collect::<Vec<_>>());
    assert!(store.watches_by_id(Vec::new()).await.unwrap().is_empty());
}
