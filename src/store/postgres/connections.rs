//! The connections to a PostgreSQL server: a pool, and transactions on its connections.
//!
//! No statement is prepared on the server and nothing is set for a session, so that PgBouncer in
//! transaction mode may give each transaction another connection.

use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::store::SqlError;

/// A value for a statement, with its type: the server is not asked for it.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// The longest time that one statement may take, with its way to the server and back.
const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// Begins a transaction. A server ends it if its client goes silent, because others may wait for
/// its locks. A commit reaches the disk, also where the server has another default.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '10s'; \
    SET LOCAL lock_timeout = '8s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'; \
    SET LOCAL synchronous_commit = on";

/// The longest time that one statement of a command may take: it may read a whole table.
const LONG_STATEMENT_MAX: Duration = Duration::from_hours(6);

/// The settings of such a transaction.
const LONG: &str = "SET LOCAL statement_timeout = 0; \
    SET LOCAL lock_timeout = '8s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5min'; \
    SET LOCAL synchronous_commit = on";

/// The connections that are open, or can be.
pub(super) struct Connections(Pool);

impl Connections {
    pub(super) fn new(pool: Pool) -> Self {
        Self(pool)
    }

    /// Closes all connections that are not in use, and the others after their use.
    pub(super) fn close(&self) {
        self.0.close();
    }

    async fn get(&self) -> Result<Object, SqlError> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => in_words(&error).into(),
            PoolError::Timeout(_) => "no connection to the database was free in time".into(),
            other => other.into(),
        })
    }

    /// Runs one statement that reads.
    pub(super) async fn read(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, SqlError> {
        let reading = Transaction::on(self.get().await?, STATEMENT_MAX);
        let rows = reading.query(sql, values).await?;
        reading.give_back();
        Ok(rows)
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Transaction, SqlError> {
        let transaction = Transaction::on(self.get().await?, STATEMENT_MAX);
        transaction.run(BEGIN).await?;
        Ok(transaction)
    }

    /// Begins a transaction of a command that reads or writes whole tables. `mode` says how it sees
    /// other transactions; it sees nothing before its first read.
    pub(super) async fn begin_long(&self, mode: &str) -> Result<Transaction, SqlError> {
        let transaction = Transaction::on(self.get().await?, LONG_STATEMENT_MAX);
        transaction.run(&format!("BEGIN {mode}; {LONG}")).await?;
        Ok(transaction)
    }
}

/// A transaction. One that is dropped before its end takes its connection with it, so the server
/// undoes it.
pub(super) struct Transaction {
    client: Option<Object>,
    /// The longest time that one statement may take.
    statement_max: Duration,
}

impl Transaction {
    fn on(client: Object, statement_max: Duration) -> Self {
        Self {
            client: Some(client),
            statement_max,
        }
    }

    fn client(&self) -> Result<&Object, SqlError> {
        self.client
            .as_ref()
            .ok_or_else(|| "the transaction has ended".into())
    }

    /// Runs a statement without values.
    pub(super) async fn run(&self, sql: &str) -> Result<(), SqlError> {
        within(self.statement_max, self.client()?.batch_execute(sql)).await
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, SqlError> {
        within(self.statement_max, self.client()?.query_typed(sql, values)).await
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(super) async fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, SqlError> {
        within(
            self.statement_max,
            self.client()?.execute_typed(sql, values),
        )
        .await
    }

    /// Commits. After an error it may have been committed or not.
    pub(super) async fn commit(self) -> Result<(), SqlError> {
        self.run("COMMIT").await?;
        self.give_back();
        Ok(())
    }

    pub(super) async fn roll_back(self) -> Result<(), SqlError> {
        self.run("ROLLBACK").await?;
        self.give_back();
        Ok(())
    }

    /// Gives the connection back to the pool, after the transaction has ended.
    pub(super) fn give_back(mut self) {
        drop(self.client.take());
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

async fn within<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SqlError> {
    match tokio::time::timeout(longest, answer).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err("the database gave no answer in time".into()),
    }
}

/// A transaction was undone because of another one, and may succeed if it runs again.
#[derive(Debug, thiserror::Error)]
#[error("another transaction came between: {0}")]
pub(super) struct CameBetween(pub(super) String);

/// The server refused a statement; it may accept others.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

fn failed(error: &tokio_postgres::Error) -> SqlError {
    let words = in_words(error);
    let came_between = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    if error.code().is_some_and(|code| came_between.contains(code)) {
        return Box::new(CameBetween(words));
    }
    if error.code().is_some_and(|code| !is_of_connection(code)) {
        return Box::new(Refused(words));
    }
    words.into()
}

/// Says in words what went wrong; the error itself says little.
pub(super) fn in_words(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else {
        return chain(error);
    };
    let mut words = error.message().to_owned();
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        words.push_str("; ");
        words.push_str(more);
    }
    words
}

/// Returns the messages of an error and of its causes.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause.
        if !words.contains(&next) {
            words.push_str(": ");
            words.push_str(&next);
        }
        cause = error.source();
    }
    words
}

/// True if the server can serve no statement of this connection: it stops, or takes no writes.
fn is_of_connection(code: &SqlState) -> bool {
    let classes = ["08", "53", "57", "58", "25"];
    classes.iter().any(|class| code.code().starts_with(class))
}
