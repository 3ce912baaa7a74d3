//! Loads from `SQLite` the part of each watch that polling needs, and no other column.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, Rows, params};

use crate::store::entry_row::{COLUMNS, Pages};
use crate::store::sqlite::SqlError;
use crate::store::sqlite::cells::RowCells;
use crate::store::{EntryPage, row};
use crate::watch::event::EventKind;

pub(super) fn watching(
    db: &Connection,
    after: Option<i64>,
    limit: usize,
    services_with_labels: &BTreeSet<String>,
) -> Result<EntryPage, SqlError> {
    let mut statement = db.prepare_cached(&watching_sql())?;
    let rows = statement.query(params![after.unwrap_or(0), i64::try_from(limit + 1)?])?;
    page_of(rows, limit, services_with_labels, |number, _| {
        number.to_string()
    })
}

fn watching_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM watches WHERE state = 'watching' AND number > ?1 ORDER BY number LIMIT ?2"
    )
}

/// The position of a page of watches without a verdict: the last end, and the number of its watch.
pub(super) type Ended = (i64, i64);

pub(super) fn without_verdict(
    db: &Connection,
    since: Timestamp,
    after: Option<Ended>,
    limit: usize,
    services_with_labels: &BTreeSet<String>,
) -> Result<EntryPage, SqlError> {
    let (finished_at, number) = after.unwrap_or((row::micros(since), 0));
    let mut statement = db.prepare_cached(&without_verdict_sql())?;
    let rows = statement.query(params![
        finished_at,
        number,
        EventKind::LateResult.type_name(),
        i64::try_from(limit + 1)?
    ])?;
    page_of(rows, limit, services_with_labels, |number, finished_at| {
        format!("{finished_at}.{number}")
    })
}

/// Returns the SQL of [`without_verdict`]. The condition on the state must match that of the index
/// word for word, and the order is that of the index: nothing is sorted.
fn without_verdict_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM watches w INDEXED BY watches_without_verdict
         WHERE state IN ('timed_out', 'lost') AND (finished_at, number) > (?1, ?2)
            AND NOT EXISTS (SELECT 1 FROM events e WHERE e.watch_id = w.id AND e.type = ?3)
         ORDER BY finished_at, number LIMIT ?4"
    )
}

/// Reads a page from the rows of a query for one row more than `limit`. `cursor` makes the position
/// from the number and the end of the last watch.
fn page_of(
    mut rows: Rows<'_>,
    limit: usize,
    services_with_labels: &BTreeSet<String>,
    cursor: impl Fn(i64, i64) -> String,
) -> Result<EntryPage, SqlError> {
    let mut pages = Pages::new(limit, services_with_labels);
    while let Some(row) = rows.next()?
        && pages.add(&mut RowCells::of(row), &cursor)?
    {}
    Ok(pages.done())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::query_plan::plan_of;

    #[test]
    fn entries_are_read_in_order_from_an_index() {
        for (sql, index) in [
            (
                watching_sql(),
                "SEARCH watches USING INDEX watches_state (state=? AND rowid>?)",
            ),
            (
                without_verdict_sql(),
                "SEARCH w USING INDEX watches_without_verdict (finished_at>?)",
            ),
        ] {
            let plan = plan_of(&sql);
            assert_eq!(plan[0], index, "{plan:?}");
            assert!(
                !plan.iter().any(|step| step.contains("TEMP B-TREE")),
                "{plan:?}"
            );
        }
    }
}
