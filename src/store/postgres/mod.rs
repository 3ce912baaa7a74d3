//! The store on a PostgreSQL server, for several replicas of the daemon.
//!
//! The database decides between the replicas: row locks and revisions between transitions, leases
//! between couriers, one lock gives the log its order. Waiting writes of one process share a
//! transaction ([`batches`]), and each column of their rows is one array ([`rows`]), so that a
//! hundred of them cost as many exchanges with the server as one. Time is that of the server.

mod attempts;
mod batches;
mod blindness;
mod cells;
mod conditions;
mod connections;
pub mod copy;
mod deliveries;
mod durations;
mod events;
mod groups;
pub mod inspection;
mod lists;
mod loads;
pub mod maintenance;
mod migration;
mod prune;
pub mod prune_command;
mod rows;
pub mod server;
mod shards;
mod submit;
pub mod tls;
mod transitions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_postgres::types::Type;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::store::delivery::{
    DeliveryPage, DeliveryQuery, Redriven, SinkBacklog, StoredAttempt, StoredDelivery,
};
use crate::store::postgres::batches::{Batches, Call, make_each};
use crate::store::postgres::connections::Connections;
use crate::store::postgres::events::Read;
use crate::store::postgres::server::Server;
use crate::store::postgres::shards::Membership;
use crate::store::{
    Applied, AttemptRecord, Changes, Claimed, Cursor, Decide, EntryPage, EventPage, Maintenance,
    Outbox, Page, PageCursor, Query, Shards, SqlError, StoreError, StoredEvent, Submission,
    Submitted, Transitioned, WatchStore, row,
};
use crate::watch::change::Change;
use crate::watch::evidence::Evidence;
use crate::watch::reference::Reference;
use crate::watch::{Watch, WatchId};

/// How long a successful test write counts.
const CONFIRMED_FOR: Duration = Duration::from_secs(1);

/// The store on a server; the module describes it.
pub struct PostgresStore {
    connections: Arc<Connections>,
    submissions: Batches<Submissions>,
    transitions: Batches<Transition>,
    settlements: Batches<Settlements>,
    /// The tasks of these batches.
    tasks: TaskTracker,
    membership: Arc<Membership>,
    clock: SharedClock,
    /// The uptime of the last test write, if no call has failed since.
    confirmed_at: Mutex<Option<Duration>>,
    is_closed: AtomicBool,
}

struct Submissions(Vec<Submission>);

#[async_trait]
impl Call for Submissions {
    type Answer = Vec<Submitted>;

    async fn make(on: &Connections, calls: &[Self]) -> Result<Vec<Vec<Submitted>>, SqlError> {
        let all: Vec<&Submission> = calls.iter().flat_map(|call| &call.0).collect();
        let mut answers = submit::submit(on, &all).await?.into_iter();
        let each = calls
            .iter()
            .map(|call| answers.by_ref().take(call.0.len()).collect());
        Ok(each.collect())
    }
}

/// A decision on a watch; with an owner, only while it owns the shard of the watch.
struct Transition {
    id: WatchId,
    decide: Decide,
    owner: Option<Arc<Membership>>,
}

#[async_trait]
impl Call for Transition {
    type Answer = Result<Transitioned, String>;

    async fn make(on: &Connections, calls: &[Self]) -> Result<Vec<Self::Answer>, SqlError> {
        let decisions: Vec<_> = calls.iter().map(|call| (call.id, &call.decide)).collect();
        let owner = calls.iter().find_map(|call| call.owner.as_deref());
        transitions::transitions(on, &decisions, owner).await
    }
}

struct Settlements(Vec<AttemptRecord>);

#[async_trait]
impl Call for Settlements {
    type Answer = ();

    async fn make(on: &Connections, calls: &[Self]) -> Result<Vec<()>, SqlError> {
        let records: Vec<&AttemptRecord> = calls.iter().flat_map(|call| &call.0).collect();
        deliveries::settle(on, &records).await?;
        Ok(vec![(); calls.len()])
    }
}

impl PostgresStore {
    /// Connects to the server, and creates or migrates the schema if needed. `clock` only says how
    /// times of the server read on the wall clock.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the connection, or the database belongs to another
    /// program or a newer version.
    pub async fn open(server: &Server, clock: SharedClock) -> Result<Self, StoreError> {
        let fail = |error: SqlError| StoreError::Open {
            url: server.shown(),
            reason: error.to_string(),
        };
        let connections = Arc::new(Connections::new(server.pool().map_err(fail)?));
        migration::run(&connections).await.map_err(fail)?;
        deliveries::begin(&connections).await.map_err(fail)?;
        let tasks = TaskTracker::new();
        Ok(Self {
            submissions: Batches::start(&connections, &tasks),
            transitions: Batches::start(&connections, &tasks),
            settlements: Batches::start(&connections, &tasks),
            tasks,
            connections,
            membership: Arc::new(Membership::new(server.replica.clone())),
            clock,
            confirmed_at: Mutex::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Runs a call, unless the store is closed.
    async fn run<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, SqlError>>,
    ) -> Result<T, StoreError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let done = work.await;
        if done.is_err() {
            *self.confirmed_at.lock() = None;
        }
        done.map_err(|source| StoreError::Failed { doing, source })
    }
}

const TRANSITION: &str = "commit a transition";

fn failed_transition(source: SqlError) -> StoreError {
    StoreError::Failed {
        doing: TRANSITION,
        source,
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
impl WatchStore for PostgresStore {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>, StoreError> {
        self.submissions
            .call("accept watches", Submissions(submissions))
            .await
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        let applying = transitions::apply(&self.connections, &change);
        self.run("commit a transition", applying).await
    }

    async fn transition(&self, id: WatchId, decide: Decide) -> Result<Transitioned, StoreError> {
        let owner = None;
        let wanted = Transition { id, decide, owner };
        let done = self.transitions.call(TRANSITION, wanted).await?;
        done.map_err(|reason| failed_transition(reason.into()))
    }

    async fn transitions(
        &self,
        wanted: Vec<(WatchId, Decide)>,
    ) -> Vec<Result<Transitioned, StoreError>> {
        let wanted = wanted.into_iter().map(|(id, decide)| Transition {
            id,
            decide,
            owner: Some(Arc::clone(&self.membership)),
        });
        let wanted: Vec<Transition> = wanted.collect();
        let answers = make_each(&self.connections, &wanted).await;
        let answers = answers.into_iter().map(|answer| match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(reason)) => Err(failed_transition(reason.into())),
            Err(source) => Err(failed_transition(source)),
        });
        answers.collect()
    }

    async fn append(&self, change: Change) -> Result<Applied, StoreError> {
        let appending = transitions::append(&self.connections, &change);
        self.run("append an event", appending).await
    }

    async fn watch(&self, id: WatchId) -> Result<Option<Watch>, StoreError> {
        let reading = async {
            let watches = lists::by_id(&self.connections, &[id]).await?;
            Ok(watches.into_iter().next())
        };
        self.run("read a watch", reading).await
    }

    async fn watches_by_id(&self, ids: Vec<WatchId>) -> Result<Vec<Watch>, StoreError> {
        let reading = lists::by_id(&self.connections, &ids);
        self.run("read watches", reading).await
    }

    async fn find(&self, reference: &Reference, limit: usize) -> Result<Vec<Watch>, StoreError> {
        let finding = lists::find(&self.connections, reference, limit);
        self.run("find watches", finding).await
    }

    async fn evidence(&self, id: WatchId) -> Result<Option<Evidence>, StoreError> {
        let sql = "SELECT evidence FROM evidence JOIN watches ON number = watch WHERE id = $1";
        let reading = async {
            let rows = self.connections.read(sql, &[(&id.0, Type::UUID)]).await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(row::from_json("evidence", row.try_get(0)?)?))
        };
        self.run("read the evidence of a watch", reading).await
    }

    async fn watches(&self, query: Query) -> Result<Page, StoreError> {
        let before = number(query.before.as_ref())?;
        let listing = lists::page(&self.connections, &query, before);
        self.run("list watches", listing).await
    }

    async fn events_of(&self, id: WatchId, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let reading = events::of_watch(&self.connections, id, limit);
        self.run("read the events of a watch", reading).await
    }

    async fn watching(
        &self,
        shards: Shards,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let after = number(after.as_ref())?;
        let loading = loads::watching(
            &self.connections,
            shards,
            after,
            limit,
            services_with_labels,
        );
        self.run("load watches", loading).await
    }

    async fn without_verdict(
        &self,
        shards: Shards,
        since: Timestamp,
        after: Option<PageCursor>,
        limit: usize,
        services_with_labels: &Arc<BTreeSet<String>>,
    ) -> Result<EntryPage, StoreError> {
        let after = after.as_ref().map(ended).transpose()?;
        let from = (since, after);
        let of = services_with_labels;
        let loading = loads::without_verdict(&self.connections, shards, from, limit, of);
        self.run("load watches without a verdict", loading).await
    }

    async fn cursor(&self) -> Result<Cursor, StoreError> {
        let reading = events::last_cursor(&self.connections);
        self.run("read the log of events", reading).await
    }

    async fn first_cursor(&self) -> Result<Cursor, StoreError> {
        let reading = events::first_cursor(&self.connections);
        self.run("read the log of events", reading).await
    }

    async fn events_after(&self, after: &Cursor, limit: usize) -> Result<EventPage, StoreError> {
        let seq = row::number(after.content())?;
        let reading = events::after(&self.connections, seq, limit);
        let place = after.to_string();
        match self.run("read the log of events", reading).await? {
            Read::Page(page) => Ok(page),
            Read::Beyond => Err(StoreError::UnknownCursor(place)),
            Read::Pruned => Err(StoreError::PrunedCursor(place)),
        }
    }

    async fn changes(
        &self,
        since: &Cursor,
        shards: Shards,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let seq = row::number(since.content())?;
        let reading = events::changes(&self.connections, seq, shards, limit);
        self.run("read changes", reading).await
    }
}

#[async_trait]
impl Outbox for PostgresStore {
    async fn claim_deliveries(
        &self,
        sink: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let claiming = deliveries::claim(&self.connections, sink, lease, limit);
        self.run("claim deliveries", claiming).await
    }

    async fn settle(&self, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
        self.settlements
            .call("record attempts", Settlements(records))
            .await
    }

    async fn next_delivery_due(&self, sink: &str) -> Result<Option<Duration>, StoreError> {
        let reading = deliveries::next_due(&self.connections, sink);
        self.run("look for due deliveries", reading).await
    }

    async fn backlog(&self) -> Result<Vec<SinkBacklog>, StoreError> {
        let counting = deliveries::backlog(&self.connections);
        self.run("count deliveries", counting).await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        let before = number(query.before.as_ref())?;
        let listing = attempts::page(&self.connections, &query, before, self.clock.now());
        self.run("list deliveries", listing).await
    }

    async fn delivery(
        &self,
        id: i64,
    ) -> Result<Option<(StoredDelivery, Vec<StoredAttempt>)>, StoreError> {
        let reading = async {
            let now = self.clock.now();
            let Some(delivery) = attempts::one(&self.connections, id, now).await? else {
                return Ok(None);
            };
            let attempts = attempts::of(&self.connections, id).await?;
            Ok(Some((delivery, attempts)))
        };
        self.run("read a delivery", reading).await
    }

    async fn redrive(&self, id: i64, force: bool) -> Result<Redriven, StoreError> {
        let redriving = attempts::redrive(&self.connections, id, force, self.clock.now());
        self.run("redrive a delivery", redriving).await
    }

    async fn redrive_dead(&self, sink: &str, since: Option<Timestamp>) -> Result<u64, StoreError> {
        let redriving = attempts::redrive_dead(&self.connections, sink, since);
        self.run("redrive deliveries", redriving).await
    }
}

#[async_trait]
impl Maintenance for PostgresStore {
    async fn check(&self) -> Result<(), StoreError> {
        let now = self.clock.uptime();
        let confirmed_at = *self.confirmed_at.lock();
        if confirmed_at.is_some_and(|at| now.saturating_sub(at) < CONFIRMED_FOR) {
            return Ok(());
        }
        let writing = async {
            let transaction = self.connections.begin().await?;
            // It changes a row, so the commit has to reach the disk.
            let sql = "UPDATE log_start SET seq = seq WHERE id = 1";
            transaction.execute(sql, &[]).await?;
            transaction.commit().await
        };
        self.run("write a test row", writing).await?;
        *self.confirmed_at.lock() = Some(now);
        Ok(())
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        *self.confirmed_at.lock() = None;
        self.submissions.close().await;
        self.transitions.close().await;
        self.settlements.close().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.connections.close();
    }
}
