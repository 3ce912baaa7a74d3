//! Checks a database on a server, whether daemons run or not: the indexes, and what rows say about
//! each other. It sees one moment.

use tokio_postgres::types::Type;

use crate::store::inspection::{FINDINGS_MAX, Inspection, TABLES, Users};
use crate::store::postgres::connections::{Connections, Transaction, Value};
use crate::store::postgres::copy::{NUMBERED, replicas_in};
use crate::store::postgres::migration::{self, Found};
use crate::store::postgres::server::Server;
use crate::store::{SqlError, StoreError};
use crate::watch::Outcome;

/// The most findings of one rule, so that the others are seen too.
const FINDINGS_OF_RULE: usize = 10;

/// The rules beyond the schema: each row breaks one, and is a finding. `$1` has the states of a watch
/// that has ended.
const RULES: [&str; 9] = [
    "SELECT format('the index %s is not valid: REINDEX INDEX %s', i.indexrelid::regclass,
            i.indexrelid::regclass)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE NOT i.indisvalid AND c.relnamespace =
            (SELECT relnamespace FROM pg_class WHERE oid = 'watches'::regclass)",
    "SELECT format('the watch %s has an unknown state: %s', id, state) FROM watches
        WHERE state <> 'watching' AND state <> ALL ($1)",
    "SELECT format('the watch %s has ended (%s), and has no time of its end', id, state)
        FROM watches WHERE state = ANY ($1) AND finished_at IS NULL",
    "SELECT format('the watch %s goes on, and has a time of its end', id)
        FROM watches WHERE state = 'watching' AND finished_at IS NOT NULL",
    "SELECT format('the watch %s is in the shard %s, and its key in another', id, shard)
        FROM watches WHERE octet_length(key) <> 32 OR get_byte(key, 0) <> shard",
    "SELECT format('the group %s counts %s watches that go on, and has %s', g.name, g.open,
            count(w.number))
        FROM groups g LEFT JOIN watches w ON w.group_name = g.name AND w.state = 'watching'
        GROUP BY g.name, g.open HAVING g.open <> count(w.number)",
    "SELECT format('the watch %s is of the group %s, which is missing', id, group_name)
        FROM watches WHERE group_name IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM groups WHERE name = group_name)",
    "SELECT format('the event %s is about a watch that is missing', seq) FROM events e
        WHERE watch_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM watches w WHERE w.id = e.watch_id)",
    "SELECT format('the delivery %s is %s, which does not go with the time of its end', id, state)
        FROM deliveries WHERE state NOT IN ('pending', 'delivered', 'dead')
            OR (state = 'pending') = (settled_at IS NOT NULL)",
];

/// Checks a whole database; changes nothing.
///
/// # Errors
/// The server cannot be reached, or refuses a read.
pub async fn inspect(server: &Server) -> Result<Inspection, StoreError> {
    let inspected = async {
        let connections = Connections::new(server.pool()?);
        let mode = "ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let transaction = connections.begin_long(mode).await?;
        let inspection = inspection(&transaction).await?;
        // After a finding the transaction may be over already.
        drop(transaction);
        Ok(inspection)
    };
    inspected.await.map_err(|error: SqlError| StoreError::Open {
        url: server.shown(),
        reason: error.to_string(),
    })
}

async fn inspection(transaction: &Transaction) -> Result<Inspection, SqlError> {
    let sql = "SELECT pg_database_size(current_database())";
    let rows = transaction.query(sql, &[]).await?;
    let bytes: i64 = rows.first().ok_or("the server gave no row")?.try_get(0)?;
    let found = migration::found(transaction).await?;
    let schema = match found {
        Found::Version(version) => version,
        Found::Empty | Found::Foreign => 0,
    };
    let mut inspection = Inspection {
        is_ours: found != Found::Foreign,
        schema: u32::try_from(schema)?,
        newest: u32::try_from(migration::newest())?,
        users: Users::Replicas(Vec::new()),
        bytes: u64::try_from(bytes)?,
        findings: Vec::new(),
        rows: Vec::new(),
        watches: Vec::new(),
        deliveries: Vec::new(),
    };
    if matches!(found, Found::Version(_))
        && let Err(error) = read(transaction, &mut inspection).await
    {
        let finding = format!("the database cannot be read to its end: {error}");
        inspection.findings.push(finding);
    }
    Ok(inspection)
}

async fn read(transaction: &Transaction, inspection: &mut Inspection) -> Result<(), SqlError> {
    inspection.users = Users::Replicas(replicas_in(transaction).await?);
    for table in TABLES {
        let sql = format!("SELECT '{table}', count(*) FROM {table}");
        inspection.rows.extend(counts(transaction, &sql).await?);
    }
    inspection.watches = by_state(transaction, "watches").await?;
    inspection.deliveries = by_state(transaction, "deliveries").await?;
    // The rules are those of this schema.
    if inspection.schema == inspection.newest {
        let ends = Outcome::ALL.map(Outcome::as_str);
        for rule in RULES {
            let values: &[Value<'_>] = if rule.contains("$1") {
                &[(&&ends[..], Type::TEXT_ARRAY)]
            } else {
                &[]
            };
            find(transaction, rule, values, &mut inspection.findings).await?;
        }
        for (table, column) in NUMBERED {
            let sequence = format!("pg_get_serial_sequence('{table}', '{column}')");
            let rule = format!(
                "SELECT format('the next number of {table} is not after its last one, %s: SELECT setval(%L, %s)',
                    last, {sequence}, last)
                 FROM (SELECT max({column}) AS last FROM {table}) given
                 WHERE last > coalesce(pg_sequence_last_value({sequence}::regclass), 0)"
            );
            find(transaction, &rule, &[], &mut inspection.findings).await?;
        }
    }
    Ok(())
}

async fn find(
    transaction: &Transaction,
    rule: &str,
    values: &[Value<'_>],
    findings: &mut Vec<String>,
) -> Result<(), SqlError> {
    let room = FINDINGS_MAX.saturating_sub(findings.len());
    let room = room.min(FINDINGS_OF_RULE);
    let sql = format!("{rule} LIMIT {room}");
    for row in transaction.query(&sql, values).await? {
        findings.push(row.try_get(0)?);
    }
    Ok(())
}

async fn by_state(transaction: &Transaction, table: &str) -> Result<Vec<(String, u64)>, SqlError> {
    let sql = format!("SELECT state, count(*) FROM {table} GROUP BY state");
    let mut states = counts(transaction, &sql).await?;
    states.sort();
    Ok(states)
}

async fn counts(transaction: &Transaction, sql: &str) -> Result<Vec<(String, u64)>, SqlError> {
    let rows = transaction.query(sql, &[]).await?;
    let counts = rows.iter().map(|row| {
        let count: i64 = row.try_get(1)?;
        Ok((row.try_get(0)?, u64::try_from(count)?))
    });
    counts.collect()
}
