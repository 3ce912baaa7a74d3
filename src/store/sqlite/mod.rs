//! The embedded store: `SQLite` through rusqlite, one writer thread, a few readers.
//!
//! All writes go through one thread that commits whatever waits in one transaction, so
//! that a hundred waiting writes cost one sync ([`writer`]). `synchronous=FULL` in WAL
//! mode: what was acknowledged survives a power cut. One process owns the file; a lock
//! beside it keeps a second one out ([`file_lock`]).

mod attempts;
mod changes;
mod damage;
mod deliveries;
mod file_lock;
pub mod maintenance;
mod migration;
mod readers;
mod watches;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use crate::store::delivery::{
    DeliveryPage, DeliveryQuery, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use crate::store::sqlite::damage::{Damage, in_words};
use crate::store::sqlite::file_lock::FileLock;
use crate::store::sqlite::readers::Readers;
use crate::store::sqlite::writer::Writer;
use crate::store::{
    Applied, AttemptRecord, Changes, Delivery, DeliveryCounts, Page, Query, Store, StoreError,
    StoredEvent, Submitted,
};
use crate::watch::change::Change;
use crate::watch::{State, Watch, WatchId};

/// How long a lock of somebody else is waited for. Short: what waits behind it is told
/// that the store has failed, and is tried again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many readers there are.
const READERS: usize = 4;

/// The embedded store. See the module.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    damage: Arc<Damage>,
    /// Given up last.
    _lock: FileLock,
}

impl SqliteStore {
    /// Opens the database at `path`, made or migrated as needed.
    ///
    /// # Errors
    /// Says what is wrong: the folder is missing or not writable, another process has the
    /// file, it was written by a newer version or another program, or it is no database.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = FileLock::take(path)?;
        let fail = |error: rusqlite::Error| open_error(path, &in_words(&error));
        let mut connection = Connection::open(lock.path()).map_err(fail)?;
        // Before anything is written: it may belong to somebody else.
        migration::check(&connection).map_err(|reason| open_error(path, &reason))?;
        prepare(&connection).map_err(fail)?;
        migration::run(&mut connection).map_err(|reason| open_error(path, &reason))?;
        // Nobody else is here, so what was claimed belongs to a process that is gone.
        connection
            .execute(
                "UPDATE deliveries SET lease_until = 0 WHERE lease_until > 0",
                [],
            )
            .map_err(fail)?;
        let readers = (0..READERS)
            .map(|_| reader(lock.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        let damage = Arc::new(Damage::default());
        let begun = lock
            .presence()
            .and_then(|presence| Writer::start(connection, presence, Arc::clone(&damage)));
        Ok(Self {
            writer: begun.map_err(|error| open_error(path, &error.to_string()))?,
            readers: Readers::new(readers, Arc::clone(&damage)),
            damage,
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

fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// An error of one operation, on its way to [`StoreError::Failed`].
type SqlError = Box<dyn std::error::Error + Send + Sync>;

#[async_trait]
impl Store for SqliteStore {
    async fn submit(&self, submissions: Vec<Change>) -> Result<Vec<Submitted>, StoreError> {
        let damage = Arc::clone(&self.damage);
        self.writer
            .run("accept watches", move |db| {
                damage.refuse()?;
                watches::submit(db, &submissions)
            })
            .await
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        self.writer
            .run("commit a transition", move |db| watches::apply(db, &change))
            .await
    }

    async fn append(&self, change: Change) -> Result<Applied, StoreError> {
        self.writer
            .run("append an event", move |db| watches::append(db, &change))
            .await
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        self.readers
            .run("read a watch", move |db| watches::one(db, id))
            .await
    }

    async fn watches(&self, query: Query) -> Result<Page, StoreError> {
        self.readers
            .run("list watches", move |db| watches::page(db, &query))
            .await
    }

    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers
            .run("read the events of a watch", move |db| {
                changes::events_of(db, id, limit)
            })
            .await
    }

    async fn position(&self) -> Result<i64, StoreError> {
        self.readers
            .run("read the log of events", changes::position)
            .await
    }

    async fn watching(&self, after: i64, limit: usize) -> Result<Vec<(i64, Watch)>, StoreError> {
        self.readers
            .run("load watches", move |db| {
                watches::watching(db, after, limit)
            })
            .await
    }

    async fn without_verdict(
        &self,
        since: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Watch)>, StoreError> {
        self.readers
            .run("load watches without a verdict", move |db| {
                watches::without_verdict(db, since, after, limit)
            })
            .await
    }

    async fn changes(&self, position: i64, limit: usize) -> Result<Changes, StoreError> {
        self.readers
            .run("read the log of events", move |db| {
                changes::since(db, position, limit)
            })
            .await
    }

    async fn claim_deliveries(
        &self,
        sink: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sink = sink.to_owned();
        self.writer
            .run("claim deliveries", move |db| {
                deliveries::claim(db, &sink, now, lease_until, limit)
            })
            .await
    }

    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        self.writer
            .run("record delivery attempts", move |db| {
                deliveries::settle(db, &records)
            })
            .await
    }

    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Timestamp>, StoreError> {
        let sink = sink.to_owned();
        self.readers
            .run("read what is owed", move |db| {
                deliveries::next_due(db, &sink)
            })
            .await
    }

    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError> {
        self.readers
            .run("read what is owed", deliveries::backlog)
            .await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        self.readers
            .run("list deliveries", move |db| attempts::page(db, &query))
            .await
    }

    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError> {
        self.readers
            .run("read a delivery", move |db| {
                let found = attempts::one(db, id)?;
                found
                    .map(|delivery| Ok((delivery, attempts::of(db, id)?)))
                    .transpose()
            })
            .await
    }

    async fn redrive(&self, id: i64, force: bool, now: Timestamp) -> Result<Redriven, StoreError> {
        self.writer
            .run("drive a delivery again", move |db| {
                attempts::redrive(db, id, force, now)
            })
            .await
    }

    async fn redrive_dead(
        &self,
        sink: &str,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sink = sink.to_owned();
        self.writer
            .run("drive dead letters again", move |db| {
                attempts::redrive_dead(db, &sink, since, now)
            })
            .await
    }

    async fn watch_counts(&self) -> Result<Vec<(State, u64)>, StoreError> {
        self.readers.run("count watches", watches::counts).await
    }

    async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError> {
        self.readers
            .run("count deliveries", deliveries::counts)
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let was_damaged = self.damage.refuse().is_err();
        if was_damaged {
            let damage = Arc::clone(&self.damage);
            let look = move |db: &Connection| {
                damage.look_again(|| maintenance::is_sound(db));
                Ok(())
            };
            self.readers.run("look for damage", look).await?;
        }
        let damage = Arc::clone(&self.damage);
        self.writer
            .run("commit", move |db| {
                damage.refuse()?;
                if was_damaged {
                    maintenance::forget_pages(db)?;
                }
                // It must reach the disk: a write that changes nothing would not.
                db.execute(
                    "INSERT INTO replicas (id, seen_at, version) VALUES (x'00', 0, '')
                     ON CONFLICT (id) DO UPDATE SET seen_at = seen_at + 1",
                    [],
                )?;
                Ok(())
            })
            .await
    }

    async fn close(&self) {
        // The last connection to go leaves everything in one file: that of the writer.
        self.readers.close();
        self.writer.close().await;
    }
}
