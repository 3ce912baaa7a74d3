//! The suite over PostgreSQL, on a real server, and the tests of several writers on it.

use std::sync::Arc;
use std::time::Duration;

use jobwatch::clock::{Clock, SteppedClock};
use jobwatch::store::postgres::PostgresStore;
use jobwatch::store::postgres::server::Server;
use jobwatch::store::{Maintenance, ShardStore, SharedStore, StoreError};
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::harness::postgres::{Cluster, cluster};
use crate::store::Database;
use crate::store::samples::at;

/// A database of its own, in which time stands still.
pub(crate) struct TestDatabase {
    cluster: &'static Cluster,
    name: String,
    clock: SteppedClock,
}

/// The time of the store follows a table in place of the clock of the server.
const STEPPED_TIME: &str = "CREATE TABLE test_time (micros bigint NOT NULL);
    INSERT INTO test_time VALUES (0);
    CREATE OR REPLACE FUNCTION store_time() RETURNS bigint LANGUAGE sql VOLATILE
        AS 'SELECT micros FROM test_time';";

impl TestDatabase {
    /// Makes a database; `None` if this machine has no PostgreSQL.
    pub(crate) async fn new() -> Option<Self> {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let cluster = cluster()?;
        let template = TEMPLATE
            .get_or_init(async || {
                let name = cluster.database("template0").await;
                let server = Server::parse(&cluster.url(&name)).unwrap();
                let clock = Arc::new(SteppedClock::at(at(0)));
                let store = PostgresStore::open(&server, clock).await.unwrap();
                store.close().await;
                drop(store);
                let client = cluster.connect(&name).await;
                client.batch_execute(STEPPED_TIME).await.unwrap();
                name
            })
            .await;
        Some(Self {
            cluster,
            name: cluster.database(template).await,
            clock: SteppedClock::at(at(0)),
        })
    }

    pub(crate) fn server(&self) -> Server {
        Server::parse(&self.cluster.url(&self.name)).unwrap()
    }

    pub(crate) async fn opened(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(&self.server(), Arc::new(self.clock.clone())).await
    }

    pub(crate) async fn client(&self) -> Client {
        self.cluster.connect(&self.name).await
    }

    async fn execute(&self, sql: &str) {
        let client = self.client().await;
        client.batch_execute(sql).await.unwrap();
    }
}

impl Database for TestDatabase {
    async fn open(&self) -> Result<SharedStore, StoreError> {
        // The clock of the server may be another one after the store was closed.
        let now = self.clock.now().as_microsecond();
        self.execute(&format!("UPDATE test_time SET micros = {now}"))
            .await;
        let store = self.opened().await?;
        store.hold().await?;
        Ok(Arc::new(store))
    }

    fn clock(&self) -> &SteppedClock {
        &self.clock
    }

    async fn second_writer(&self) -> Option<SharedStore> {
        Some(Arc::new(self.opened().await.unwrap()))
    }

    async fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        let micros = secs * 1_000_000;
        self.execute(&format!("UPDATE test_time SET micros = micros + {micros}"))
            .await;
    }
}

crate::store::whole_suite!(TestDatabase::new().await);

crate::store::suite! {
    TestDatabase::new().await;
    retention:
        an_old_watch_goes_with_everything_about_it
        a_pending_delivery_keeps_its_watch
        a_late_result_keeps_its_watch
        many_old_watches_go_in_small_steps
        a_watch_with_many_events_goes_in_several_steps
        a_pruned_job_can_be_submitted_again
        spared_jobs_and_watches_of_the_future_stay
        a_group_goes_as_a_whole
        an_open_group_loses_its_old_watches
        the_log_begins_after_the_last_pruned_event;
}
