//! Counts or deletes what has expired in a database on a server, for `jobwatch db prune`. Daemons may
//! run meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::store::postgres::connections::{Connections, Transaction};
use crate::store::postgres::migration;
use crate::store::postgres::prune::{Bounds, EVENT_WITHOUT_WATCH_HAS_EXPIRED, Look, step};
use crate::store::postgres::server::Server;
use crate::store::{Expiry, Pruned, SqlError, StoreError, row};

/// The bounds of a look that only counts: the server judges all of its watches before it answers.
const COUNTED: Bounds = Bounds {
    looks: 5_000,
    found: 5_000,
};

/// The pause before a step is tried again, because a replica deletes rows just now.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is tried.
const TRIES: u32 = 200;

/// Counts the rows that [`prune`] would delete.
///
/// # Errors
/// The server cannot be reached, or the schema is not that of this program.
pub async fn count(server: &Server, expiry: &Expiry) -> Result<Pruned, StoreError> {
    let connections = connect(server).await?;
    let counted = async {
        let mode = "ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let transaction = connections.begin_long(mode).await?;
        let counted = count_in(&transaction, expiry).await?;
        transaction.roll_back().await?;
        Ok(counted)
    };
    counted.await.map_err(failed("count the expired rows"))
}

/// The result of a pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub pruned: Pruned,
    /// The size of the database before, in bytes.
    pub bytes_before: u64,
    /// The size of the database now: the server has not cleaned up yet.
    pub bytes: u64,
}

/// Deletes what has expired, in small steps.
///
/// # Errors
/// The server cannot be reached, the schema is not that of this program, or a step failed. The
/// watches that were deleted before are gone.
pub async fn prune(server: &Server, expiry: &Expiry) -> Result<Report, StoreError> {
    let connections = connect(server).await?;
    let pruned = async {
        Ok(Report {
            bytes_before: bytes(&connections).await?,
            pruned: delete_all(&connections, expiry).await?,
            bytes: bytes(&connections).await?,
        })
    };
    pruned.await.map_err(failed("prune the database"))
}

async fn bytes(connections: &Connections) -> Result<u64, SqlError> {
    let sql = "SELECT pg_database_size(current_database())";
    let rows = connections.read(sql, &[]).await?;
    at(rows.first().ok_or("the server gave no row")?, 0)
}

async fn connect(server: &Server) -> Result<Connections, StoreError> {
    let connected = async {
        let connections = Connections::new(server.pool()?);
        migration::require_newest(&connections).await?;
        Ok(connections)
    };
    connected.await.map_err(|error: SqlError| StoreError::Open {
        url: server.shown(),
        reason: error.to_string(),
    })
}

fn failed(doing: &'static str) -> impl Fn(SqlError) -> StoreError {
    move |source| StoreError::Failed { doing, source }
}

async fn delete_all(connections: &Connections, expiry: &Expiry) -> Result<Pruned, SqlError> {
    let (mut pruned, mut next, mut tries) = (Pruned::default(), Some(0), 0);
    while let Some(after) = next {
        if let Some(done) = step(connections, expiry, after).await? {
            pruned += done.pruned;
            (next, tries) = (done.next, 0);
            continue;
        }
        tries += 1;
        if tries == TRIES {
            return Err("a replica deletes old watches at the same time; try again later".into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(pruned)
}

async fn count_in(transaction: &Transaction, expiry: &Expiry) -> Result<Pruned, SqlError> {
    let mut counted = Pruned::default();
    let mut groups = BTreeMap::<String, i64>::new();
    let mut next = Some(0);
    while let Some(after) = next {
        let look = Look::new(expiry, after, COUNTED);
        let rows = transaction.query(&Look::sql(), &look.values()).await?;
        let found = look.found(&rows)?;
        counted += of_watches(transaction, &found.expired).await?;
        let sql = "SELECT group_name, count(*) FROM watches
            WHERE number = ANY ($1) AND group_name IS NOT NULL GROUP BY group_name";
        let numbers = [(&found.expired as _, Type::INT8_ARRAY)];
        for row in transaction.query(sql, &numbers).await? {
            *groups.entry(row.try_get(0)?).or_default() += row.try_get::<_, i64>(1)?;
        }
        next = found.last;
    }
    counted.groups = whole_groups(transaction, groups).await?;
    counted += events_without_watch(transaction, expiry).await?;
    Ok(counted)
}

async fn of_watches(transaction: &Transaction, numbers: &[i64]) -> Result<Pruned, SqlError> {
    let sql = "WITH gone AS MATERIALIZED (SELECT seq FROM events
             WHERE watch_id IN (SELECT id FROM watches WHERE number = ANY ($1))),
         owed AS MATERIALIZED (SELECT id FROM deliveries WHERE event IN (SELECT seq FROM gone))
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM owed),
             (SELECT count(*) FROM attempts WHERE delivery IN (SELECT id FROM owed)),
             (SELECT count(*) FROM evidence WHERE watch = ANY ($1))";
    let rows = transaction
        .query(sql, &[(&numbers, Type::INT8_ARRAY)])
        .await?;
    let row = rows.first().ok_or("the server gave no row")?;
    Ok(Pruned {
        watches: u64::try_from(numbers.len())?,
        evidence: at(row, 3)?,
        ..of_events(row)?
    })
}

/// Counts the groups that go with so many of their watches: they have no others, and nothing left
/// to do.
async fn whole_groups(
    transaction: &Transaction,
    groups: BTreeMap<String, i64>,
) -> Result<u64, SqlError> {
    let (names, gone): (Vec<String>, Vec<i64>) = groups.into_iter().unzip();
    let sql =
        "SELECT count(*) FROM unnest($1, $2) AS gone (name, watches) JOIN groups g USING (name)
         WHERE (g.closed_at IS NULL OR g.finished_at IS NOT NULL)
            AND gone.watches = (SELECT count(*) FROM watches w WHERE w.group_name = g.name)";
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&gone as _, Type::INT8_ARRAY),
    ];
    let rows = transaction.query(sql, &values).await?;
    at(rows.first().ok_or("the server gave no row")?, 0)
}

async fn events_without_watch(
    transaction: &Transaction,
    expiry: &Expiry,
) -> Result<Pruned, SqlError> {
    let sql = format!(
        "WITH gone AS MATERIALIZED (
             SELECT e.seq FROM events e WHERE {EVENT_WITHOUT_WATCH_HAS_EXPIRED}),
         owed AS MATERIALIZED (SELECT id FROM deliveries WHERE event IN (SELECT seq FROM gone))
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM owed),
             (SELECT count(*) FROM attempts WHERE delivery IN (SELECT id FROM owed))"
    );
    let before = row::micros(expiry.before);
    let rows = transaction.query(&sql, &[(&before, Type::INT8)]).await?;
    of_events(rows.first().ok_or("the server gave no row")?)
}

/// Reads the numbers of events, deliveries and attempts.
fn of_events(row: &Row) -> Result<Pruned, SqlError> {
    Ok(Pruned {
        events: at(row, 0)?,
        deliveries: at(row, 1)?,
        attempts: at(row, 2)?,
        ..Pruned::default()
    })
}

fn at(row: &Row, index: usize) -> Result<u64, SqlError> {
    Ok(u64::try_from(row.try_get::<_, i64>(index)?)?)
}
