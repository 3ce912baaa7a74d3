//! Brings the schema up to date step by step. The table `schema_version` has the version.

use crate::store::SqlError;
use crate::store::postgres::connections::{Connections, Transaction};

/// One step: the SQL that it runs, and the version that the database has afterwards.
struct Step {
    version: i64,
    sql: &'static str,
}

/// Every step, in the order of the versions. A released step never changes.
const STEPS: &[Step] = &[Step {
    version: 1,
    sql: include_str!("../migrations/postgres/0001_first.sql"),
}];

/// The number of the lock that one replica holds while it brings the schema up to date.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7526473921)";

/// Returns the version of a database after every step.
pub(super) fn newest() -> i64 {
    STEPS.last().map_or(0, |step| step.version)
}

/// Runs the steps that are newer than the version of the database, in one transaction. Replicas that
/// start together do it one after the other.
///
/// # Errors
/// The database belongs to another program, was written by a newer version, or a step failed.
pub(super) async fn run(connections: &Connections) -> Result<(), SqlError> {
    let transaction = connections.begin().await?;
    // A step may take long.
    transaction
        .run("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
        .await?;
    transaction.query(LOCK, &[]).await?;
    let version = known_version(&transaction).await?;
    if version == 0 {
        transaction.run(VERSION_TABLE).await?;
    }
    let steps = STEPS.iter().filter(|step| step.version > version);
    for step in steps {
        if version > 0 {
            tracing::info!(from = version, to = step.version, "upgrading the database");
        }
        let done = transaction.run(step.sql).await;
        done.map_err(|error| format!("migration {} failed: {error}", step.version))?;
    }
    if version < newest() {
        let note = format!("UPDATE schema_version SET version = {}", newest());
        transaction.run(&note).await?;
        return transaction.commit().await;
    }
    transaction.roll_back().await
}

/// The table with the version, which is empty before the first step.
const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL);
    INSERT INTO schema_version VALUES (0)";

/// Checks that this program may work with a database, and returns the version of its schema; 0 for
/// an empty one. Changes nothing.
///
/// # Errors
/// The database belongs to another program, or was written by a newer version.
pub(super) async fn check(connections: &Connections) -> Result<i64, SqlError> {
    let transaction = connections.begin().await?;
    let version = known_version(&transaction).await?;
    transaction.roll_back().await?;
    Ok(version)
}

/// Checks that the schema of a database is that of this program, without a migration: daemons of
/// another version may use it.
///
/// # Errors
/// It is empty or older, or [`check`] fails.
pub(super) async fn require_newest(connections: &Connections) -> Result<(), SqlError> {
    let newest = newest();
    match check(connections).await? {
        0 => Err("it is empty; jobwatch has not used it yet".into()),
        version if version < newest => Err(format!(
            "its schema is version {version}; `jobwatch run` migrates it to {newest}"
        )
        .into()),
        _ => Ok(()),
    }
}

async fn known_version(transaction: &Transaction) -> Result<i64, SqlError> {
    let newest = newest();
    match found(transaction).await? {
        Found::Version(version) if version > newest => Err(format!(
            "its schema is version {version}, and this jobwatch knows versions up to {newest}; run the newer jobwatch that wrote it"
        )
        .into()),
        Found::Version(version) => Ok(version),
        Found::Empty => Ok(0),
        Found::Foreign => Err("the database belongs to another program; store.url must name a database of jobwatch, or an empty one".into()),
    }
}

/// The contents of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Empty,
    /// A schema of jobwatch of this version.
    Version(i64),
    /// The tables of another program.
    Foreign,
}

pub(super) async fn found(transaction: &Transaction) -> Result<Found, SqlError> {
    let rows = transaction
        .query(
            "SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('watches') IS NOT NULL
                OR to_regclass('events') IS NOT NULL OR to_regclass('deliveries') IS NOT NULL",
            &[],
        )
        .await?;
    let row = rows.first().ok_or("the server gave no row")?;
    let (is_ours, is_used): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if is_ours {
        let sql = "SELECT version FROM schema_version";
        let rows = transaction.query(sql, &[]).await?;
        let row = rows.first().ok_or("the table schema_version has no row")?;
        return Ok(Found::Version(row.try_get(0)?));
    }
    Ok(if is_used {
        Found::Foreign
    } else {
        Found::Empty
    })
}
