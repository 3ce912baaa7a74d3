//! The embedded store: `SQLite` through rusqlite, one writer thread, a few readers.
//!
//! One thread commits all waiting writes in one transaction, so that a hundred waiting writes
//! cost one sync ([`writer`]). With `synchronous=FULL` in WAL mode, a call that succeeded
//! survives a power cut. One process owns the file; a lock beside it keeps a second one out
//! ([`file_lock`]).

mod attempts;
mod blindness;
mod cells;
mod changes;
mod conditions;
mod connection;
pub mod copy;
mod damage;
mod deliveries;
mod durations;
mod events;
mod file_lock;
mod groups;
mod health;
mod leases;
mod lists;
mod loads;
pub mod maintenance;
mod migration;
pub mod prune;
#[cfg(test)]
mod query_plan;
mod readers;
mod retention;
mod space;
mod walk;
mod watches;
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use crate::clock::SharedClock;
use crate::store::delivery::{
    DeliveryPage, DeliveryQuery, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use crate::store::sqlite::connection::{prepare, reader};
use crate::store::sqlite::damage::{Damage, in_words};
use crate::store::sqlite::events::Read;
use crate::store::sqlite::file_lock::FileLock;
use crate::store::sqlite::health::{Health, TEST_WRITE, TestWrite};
use crate::store::sqlite::leases::Leases;
use crate::store::sqlite::readers::Readers;
use crate::store::sqlite::writer::Writer;
use crate::store::time::StoreTime;
use crate::store::{
    Applied, AttemptRecord, Changes, Claimed, Cursor, Decide, EntryPage, EventPage, Maintenance,
    Outbox, Page, PageCursor, Query, ShardStore, Shards, SqlError, StoreError, StoredEvent,
    Submission, Submitted, Transitioned, WatchStore, row,
};
use crate::watch::change::Change;
use crate::watch::evidence::Evidence;
use crate::watch::reference::Reference;
use crate::watch::{Watch, WatchId};

/// The number of connections that only read.
const READERS: usize = 4;

/// The size of the test write after a write has failed, in bytes: as much as the largest
/// submission.
const TEST_BYTES: usize = 64 * 1024;

/// The embedded store; the module describes it.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    damage: Arc<Damage>,
    health: Arc<Health>,
    leases: Arc<Leases>,
    time: StoreTime,
    /// The last field, so that the lock is released after the connections are closed.
    _lock: FileLock,
}

impl SqliteStore {
    /// Opens the database at `path`; creates or migrates it if needed. Retries and leases follow
    /// the uptime of `clock`.
    ///
    /// # Errors
    /// The folder is missing or not writable, another process has the file open, a newer
    /// version or another program wrote it, or it is not a database.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, StoreError> {
        let lock = FileLock::take(path)?;
        let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
        let mut connection = Connection::open(lock.path()).map_err(fail)?;
        // Checked before the first write, because it may belong to another program.
        migration::check(&connection).map_err(|reason| open_error(path, &reason))?;
        prepare(&connection).map_err(fail)?;
        migration::run(&mut connection).map_err(|reason| open_error(path, &reason))?;
        let time = StoreTime::starting(clock);
        deliveries::begin(&connection, time.now()).map_err(fail)?;
        let readers = (0..READERS)
            .map(|_| reader(lock.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        let damage = Arc::new(Damage::default());
        let health = Arc::new(Health::default());
        let begun = lock.presence().and_then(|presence| {
            Writer::start(
                connection,
                presence,
                Arc::clone(&damage),
                Arc::clone(&health),
            )
        });
        Ok(Self {
            writer: begun.map_err(|error| open_error(path, &error.to_string()))?,
            readers: Readers::new(readers, Arc::clone(&damage)),
            damage,
            health,
            leases: Arc::default(),
            time,
            _lock: lock,
        })
    }
}

fn open_error(path: &Path, reason: &str) -> StoreError {
    StoreError::Open {
        url: format!("sqlite://{}", path.display()),
        reason: reason.to_owned(),
    }
}

/// Returns the number in the cursor of a page.
fn number(cursor: Option<&PageCursor>) -> Result<Option<i64>, StoreError> {
    cursor
        .map(|cursor| row::number(cursor.content()))
        .transpose()
}

/// Returns the position in the cursor of a page of ends: a time and a number.
fn ended(cursor: &PageCursor) -> Result<loads::Ended, StoreError> {
    let text = cursor.content();
    let unknown = || StoreError::UnknownCursor(text.to_owned());
    let (finished_at, number) = text.split_once('.').ok_or_else(unknown)?;
    Ok((
        finished_at.parse().map_err(|_| unknown())?,
        row::number(number).map_err(|_| unknown())?,
    ))
}

#[async_trait]
impl WatchStore for SqliteStore {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>, StoreError> {
        let damage = Arc::clone(&self.damage);
        let time = self.time.clone();
        let submissions = Arc::new(submissions);
        let lent = Arc::clone(&submissions);
        let answers = self
            .writer
            .run("accept watches", move |db| {
                damage.refuse()?;
                watches::submit(db, &lent, time.now())
            })
            .await?;
        let submissions = Arc::unwrap_or_clone(submissions);
        Ok(watches::submitted(submissions, answers))
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        let time = self.time.clone();
        self.writer
            .run("commit a transition", move |db| {
                watches::apply(db, &change, time.now())
            })
            .await
    }

    async fn transition(&self, id: WatchId, decide: Decide) -> Result<Transitioned, StoreError> {
        let mut answers = self.each_alone(Arc::new([(id, decide)])).await;
        answers.pop().unwrap_or(Err(StoreError::Closed))
    }

    async fn transitions(
        &self,
        wanted: Vec<(WatchId, Decide)>,
    ) -> Vec<Result<Transitioned, StoreError>> {
        let wanted: Arc<[_]> = wanted.into();
        let (time, lent) = (self.time.clone(), Arc::clone(&wanted));
        let together = self
            .writer
            .run("commit transitions", move |db| {
                watches::transitions(db, &lent, time.now())
            })
            .await;
        match together {
            Ok(done) => done.into_iter().map(Ok).collect(),
            // Perhaps one of them fails, and the others succeed without it.
            Err(_) => self.each_alone(wanted).await,
        }
    }

    async fn append(&self, change: Change) -> Result<Applied, StoreError> {
        let time = self.time.clone();
        self.writer
            .run("append an event", move |db| {
                watches::append(db, &change, time.now())
            })
            .await
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        self.readers
            .run("read a watch", move |db| watches::one(db, id))
            .await
    }

    async fn watches_by_id(&self, ids: Vec<WatchId>) -> Result<Vec<Watch>, StoreError> {
        self.readers
            .run("read watches", move |db| lists::by_id(db, &ids))
            .await
    }

    async fn find(&self, reference: &Reference, limit: usize) -> Result<Vec<Watch>, StoreError> {
        let reference = reference.clone();
        self.readers
            .run("find watches", move |db| lists::find(db, &reference, limit))
            .await
    }

    async fn evidence(&self, id: WatchId) -> Result<Option<Evidence>, StoreError> {
        self.readers
            .run("read the evidence of a watch", move |db| {
                watches::evidence(db, id)
            })
            .await
    }

    async fn watches(&self, query: Query) -> Result<Page, StoreError> {
        let before = number(query.before.as_ref())?;
        self.readers
            .run("list watches", move |db| lists::page(db, &query, before))
            .await
    }

    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers
            .run("read the events of a watch", move |db| {
                events::of_watch(db, id, limit)
            })
            .await
    }

    async fn watching(
        &self,
        _: Shards,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let after = number(after.as_ref())?;
        let services_with_labels = Arc::clone(services_with_labels);
        self.readers
            .run("load watches", move |db| {
                loads::watching(db, after, limit, &services_with_labels)
            })
            .await
    }

    async fn without_verdict(
        &self,
        _: Shards,
        since: Timestamp,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let after = after.as_ref().map(ended).transpose()?;
        let services_with_labels = Arc::clone(services_with_labels);
        self.readers
            .run("load watches without a verdict", move |db| {
                loads::without_verdict(db, since, after, limit, &services_with_labels)
            })
            .await
    }

    async fn cursor(&self) -> Result<Cursor, StoreError> {
        self.readers
            .run("read the log of events", events::last_cursor)
            .await
    }

    async fn first_cursor(&self) -> Result<Cursor, StoreError> {
        self.readers
            .run("read the log of events", events::first_cursor)
            .await
    }

    async fn events_after(&self, after: &Cursor, limit: usize) -> Result<EventPage, StoreError> {
        let seq = row::number(after.content())?;
        let page = self.readers.run("read the log of events", move |db| {
            events::after(db, seq, limit)
        });
        let place = after.to_string();
        match page.await? {
            Read::Page(page) => Ok(page),
            Read::Beyond => Err(StoreError::UnknownCursor(place)),
            Read::Pruned => Err(StoreError::PrunedCursor(place)),
        }
    }

    async fn changes(
        &self,
        since: &Cursor,
        _: Shards,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let seq = row::number(since.content())?;
        self.readers
            .run("read the log of events", move |db| {
                changes::since(db, seq, limit)
            })
            .await
    }
}

/// One process owns the file, and so all shards.
impl ShardStore for SqliteStore {}

#[async_trait]
impl Outbox for SqliteStore {
    async fn claim_deliveries(
        &self,
        sink: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let sink = sink.to_owned();
        let (time, leases) = (self.time.clone(), Arc::clone(&self.leases));
        self.readers
            .run("claim deliveries", move |db| {
                deliveries::claim(db, &leases, &sink, time.now(), lease, limit)
            })
            .await
    }

    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        let time = self.time.clone();
        let records = Arc::new(records);
        let settled = Arc::clone(&records);
        self.writer
            .run("record delivery attempts", move |db| {
                deliveries::settle(db, &records, time.now())
            })
            .await?;
        self.leases.release(&settled).await;
        Ok(())
    }

    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Duration>, StoreError> {
        let sink = sink.to_owned();
        let (time, leases) = (self.time.clone(), Arc::clone(&self.leases));
        self.readers
            .run("read when deliveries are due", move |db| {
                deliveries::next_due(db, &leases, &sink, time.now())
            })
            .await
    }

    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError> {
        self.readers
            .run("count deliveries", deliveries::backlog)
            .await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        let before = number(query.before.as_ref())?;
        let time = self.time.clone();
        self.readers
            .run("list deliveries", move |db| {
                attempts::page(db, &query, before, &time)
            })
            .await
    }

    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError> {
        let time = self.time.clone();
        self.readers
            .run("read a delivery", move |db| {
                let found = attempts::one(db, id, &time)?;
                found
                    .map(|delivery| Ok((delivery, attempts::of(db, id)?)))
                    .transpose()
            })
            .await
    }

    async fn redrive(&self, id: i64, force: bool) -> Result<Redriven, StoreError> {
        let time = self.time.clone();
        self.writer
            .run("redrive a delivery", move |db| {
                attempts::redrive(db, id, force, &time)
            })
            .await
    }

    async fn redrive_dead(&self, sink: &str, since: Option<Timestamp>) -> Result<u64, StoreError> {
        let sink = sink.to_owned();
        let time = self.time.clone();
        self.writer
            .run("redrive dead letters", move |db| {
                attempts::redrive_dead(db, &sink, since, time.now())
            })
            .await
    }
}

#[async_trait]
impl Maintenance for SqliteStore {
    async fn check(&self) -> Result<(), StoreError> {
        let was_damaged = self.damage.refuse().is_err();
        if was_damaged {
            let damage = Arc::clone(&self.damage);
            let check = move |db: &Connection| {
                damage.check_again(|| maintenance::is_sound(db));
                Ok(())
            };
            self.readers.run("check for damage", check).await?;
        }
        if !was_damaged && self.health.is_confirmed(self.time.now()) {
            return Ok(());
        }
        self.write_test(self.health.next_test(), was_damaged).await
    }

    async fn close(&self) {
        self.health.invalidate();
        // The connection that closes last merges the write-ahead log into the file. Readers close
        // first, so that it is the writer.
        self.readers.close();
        self.writer.close().await;
    }
}

impl SqliteStore {
    /// Makes transitions, each in a write of its own. One that fails does not stop the others.
    async fn each_alone(
        &self,
        wanted: Arc<[(WatchId, Decide)]>,
    ) -> Vec<Result<Transitioned, StoreError>> {
        let mut writes = Vec::with_capacity(wanted.len());
        for n in 0..wanted.len() {
            let (time, lent) = (self.time.clone(), Arc::clone(&wanted));
            let work = move |db: &Connection| {
                let done = watches::transitions(db, &lent[n..=n], time.now())?;
                done.into_iter().next().ok_or_else(|| "no answer".into())
            };
            // They share a transaction, because none waits for the one before.
            writes.push(self.writer.begin("commit a transition", work).await);
        }
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(write.answer().await);
        }
        answers
    }

    async fn write_test(&self, test: TestWrite, was_damaged: bool) -> Result<(), StoreError> {
        let damage = Arc::clone(&self.damage);
        let size = if test.needs_room { TEST_BYTES } else { 0 };
        self.writer
            .run(TEST_WRITE, move |db| {
                damage.refuse()?;
                if was_damaged {
                    maintenance::forget_pages(db)?;
                }
                Ok(maintenance::write_test_row(db, size)?)
            })
            .await?;
        if test.needs_room {
            let shrink = |db: &Connection| Ok(maintenance::write_test_row(db, 0)?);
            self.writer.run(TEST_WRITE, shrink).await?;
        }
        self.health.confirm(test, self.time.now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SteppedClock;

    #[tokio::test]
    async fn a_disk_with_room_for_small_writes_is_not_ready() {
        let folder = tempfile::tempdir().unwrap();
        let clock = SteppedClock::at(Timestamp::UNIX_EPOCH);
        let clock: SharedClock = Arc::new(clock);
        let store = SqliteStore::open(&folder.path().join("jobwatch.db"), clock).unwrap();
        store.check().await.unwrap();
        let limit_pages = async |count: u32| {
            let limit =
                move |db: &Connection| Ok(db.pragma_update(None, "max_page_count", count)?);
            store.writer.run("limit the file", limit).await.unwrap();
        };
        // The file must not grow by a page.
        limit_pages(1).await;
        let large = |db: &Connection| Ok(maintenance::write_test_row(db, 10 * TEST_BYTES)?);
        store.writer.run("write much", large).await.unwrap_err();
        let small = |db: &Connection| Ok(maintenance::write_test_row(db, 0)?);
        store.writer.run("write little", small).await.unwrap();
        let error = anyhow::Error::from(store.check().await.unwrap_err());
        assert!(format!("{error:#}").contains("make room"), "{error:#}");
        limit_pages(1_000_000).await;
        store.check().await.unwrap();
    }
}
