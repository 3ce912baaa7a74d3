//! Loads from PostgreSQL the part of each watch that polling needs.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::store::entry_row::{COLUMNS, Pages};
use crate::store::postgres::cells::RowCells;
use crate::store::postgres::connections::Connections;
use crate::store::{EntryPage, Shards, SqlError, row};
use crate::watch::event::EventKind;

pub(super) async fn watching(
    connections: &Connections,
    shards: Shards,
    after: Option<i64>,
    limit: usize,
    services_with_labels: &BTreeSet<String>,
) -> Result<EntryPage, SqlError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM watches WHERE state = 'watching' AND number > $1 AND shard = ANY ($3)
         ORDER BY number LIMIT $2"
    );
    let (after, more) = (after.unwrap_or(0), i64::try_from(limit + 1)?);
    let values = [
        (&after as _, Type::INT8),
        (&more as _, Type::INT8),
        (&ids(shards) as _, Type::INT2_ARRAY),
    ];
    let rows = connections.read(&sql, &values).await?;
    page_of(&rows, limit, services_with_labels, |number, _| {
        number.to_string()
    })
}

/// The position of a page of watches without a verdict: the last end, and the number of its watch.
pub(super) type Ended = (i64, i64);

pub(super) async fn without_verdict(
    connections: &Connections,
    shards: Shards,
    (since, after): (Timestamp, Option<Ended>),
    limit: usize,
    services_with_labels: &BTreeSet<String>,
) -> Result<EntryPage, SqlError> {
    let (finished_at, number) = after.unwrap_or((row::micros(since), 0));
    let sql = format!(
        "SELECT {COLUMNS} FROM watches w
         WHERE state IN ('timed_out', 'lost') AND (finished_at, number) > ($1, $2)
            AND shard = ANY ($5)
            AND NOT EXISTS (SELECT 1 FROM events e WHERE e.watch_id = w.id AND e.type = $3)
         ORDER BY finished_at, number LIMIT $4"
    );
    let more = i64::try_from(limit + 1)?;
    let values = [
        (&finished_at as _, Type::INT8),
        (&number as _, Type::INT8),
        (&EventKind::LateResult.type_name() as _, Type::TEXT),
        (&more as _, Type::INT8),
        (&ids(shards) as _, Type::INT2_ARRAY),
    ];
    let rows = connections.read(&sql, &values).await?;
    page_of(&rows, limit, services_with_labels, |number, finished_at| {
        format!("{finished_at}.{number}")
    })
}

/// Reads a page from the rows of a query for one row more than `limit`.
fn page_of(
    rows: &[Row],
    limit: usize,
    services_with_labels: &BTreeSet<String>,
    cursor: impl Fn(i64, i64) -> String,
) -> Result<EntryPage, SqlError> {
    let mut pages = Pages::new(limit, services_with_labels);
    for row in rows {
        if !pages.add(&mut RowCells::of(row), &cursor)? {
            break;
        }
    }
    Ok(pages.done())
}

fn ids(shards: Shards) -> Vec<i16> {
    shards.iter().map(i16::from).collect()
}
