//! Lists and searches of watches in PostgreSQL.
//!
//! A list reads the watches in windows of numbers, from the newest: however few of them match, one
//! query reads no more than a window has. Windows grow while they show little.

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::store::key;
use crate::store::postgres::cells::RowCells;
use crate::store::postgres::conditions::Conditions;
use crate::store::postgres::connections::Connections;
use crate::store::watch_row::{self, COLUMNS};
use crate::store::{PAGE_MAX, Page, PageCursor, Query, SqlError, row};
use crate::watch::reference::Reference;
use crate::watch::{Watch, WatchId};

/// The watches of the first window, and how many times more each further one has.
const WINDOW: i64 = 20_000;
const GROWTH: i64 = 4;
/// The most windows of one page.
const WINDOWS_MAX: usize = 4;

pub(super) async fn page(
    connections: &Connections,
    query: &Query,
    before: Option<i64>,
) -> Result<Page, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let newest = newest(connections).await?;
    let mut before = before.unwrap_or(i64::MAX).min(newest + 1);
    let mut page = Page::default();
    let mut window = WINDOW;
    for _ in 0..WINDOWS_MAX {
        if before <= 1 {
            return Ok(page);
        }
        let after = (before - window).max(1);
        let left = limit - page.watches.len();
        let found = window_of(connections, query, (after, before), left).await?;
        for (number, watch) in found {
            if page.watches.len() == limit {
                page.next = Some(PageCursor::new(before.to_string()));
                return Ok(page);
            }
            before = number;
            page.watches.push(watch);
        }
        before = after;
        window *= GROWTH;
    }
    page.next = (before > 1).then(|| PageCursor::new(before.to_string()));
    Ok(page)
}

async fn newest(connections: &Connections) -> Result<i64, SqlError> {
    let sql = "SELECT coalesce(max(number), 0) FROM watches";
    let rows = connections.read(sql, &[]).await?;
    Ok(rows.first().ok_or("the server gave no row")?.try_get(0)?)
}

/// Returns the matching watches of a window, newest first: one more than `limit` if there are so
/// many.
async fn window_of(
    connections: &Connections,
    query: &Query,
    (after, before): (i64, i64),
    limit: usize,
) -> Result<Vec<(i64, Watch)>, SqlError> {
    let mut conditions = Conditions::default();
    for (sql, bound) in [("number >=", after), ("number <", before)] {
        let place = conditions.place(bound, Type::INT8);
        conditions.add(format!("{sql} {place}"));
    }
    conditions.one_of("state", query.states.iter().map(|state| state.as_str()));
    conditions.equal("service", query.service.as_ref());
    conditions.equal("job_id", query.job_id.as_ref());
    conditions.equal("group_name", query.group.as_ref());
    conditions.labels("watches.number", &query.labels);
    if !query.ids.is_empty() {
        let ids: Vec<Uuid> = query.ids.iter().map(|id| id.0).collect();
        let place = conditions.place(ids, Type::UUID_ARRAY);
        conditions.add(format!("id = ANY ({place})"));
    }
    for (sql, time) in [
        ("submitted_at >=", query.since),
        ("submitted_at <", query.until),
    ] {
        if let Some(time) = time {
            let place = conditions.place(row::micros(time), Type::INT8);
            conditions.add(format!("{sql} {place}"));
        }
    }
    let more = conditions.place(i64::try_from(limit + 1)?, Type::INT8);
    let sql = format!(
        "SELECT {COLUMNS} FROM watches WHERE {} ORDER BY number DESC LIMIT {more}",
        conditions.sql()
    );
    let rows = connections.read(&sql, &conditions.values()).await?;
    rows.iter()
        .map(|row| watch_row::read(&mut RowCells::of(row)))
        .collect()
}

pub(super) async fn by_id(
    connections: &Connections,
    ids: &[WatchId],
) -> Result<Vec<Watch>, SqlError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let sql = format!("SELECT {COLUMNS} FROM watches WHERE id = ANY ($1)");
    let rows = connections.read(&sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    let watches = rows
        .iter()
        .map(|row| Ok(watch_row::read(&mut RowCells::of(row))?.1));
    watches.collect()
}

pub(super) async fn find(
    connections: &Connections,
    reference: &Reference,
    limit: usize,
) -> Result<Vec<Watch>, SqlError> {
    let mut found: Vec<(i64, Watch)> = Vec::new();
    for reading in reference.readings() {
        if let Reference::Id(id) = reading {
            let watches = by_id(connections, &[*id]).await?;
            if !watches.is_empty() {
                return Ok(watches);
            }
        }
        found.extend(newest_of_each_job(connections, reading, limit).await?);
    }
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    let mut keys = std::collections::HashSet::new();
    found.retain(|(_, watch)| keys.insert(key::of(watch)));
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, watch)| watch).collect())
}

/// Returns the newest watch of each job that one reading names, of at most `limit` jobs, with its
/// number.
async fn newest_of_each_job(
    connections: &Connections,
    reading: &Reference,
    limit: usize,
) -> Result<Vec<(i64, Watch)>, SqlError> {
    let mut conditions = Conditions::default();
    match reading {
        Reference::Id(_) | Reference::Either(_) => return Ok(Vec::new()),
        Reference::Prefix { low, high, .. } => {
            let (low, high) = (
                conditions.place(*low, Type::UUID),
                conditions.place(*high, Type::UUID),
            );
            conditions.add(format!("id BETWEEN {low} AND {high}"));
        }
        Reference::Job { service, job_id } => {
            conditions.equal("job_id", Some(job_id));
            conditions.equal("service", service.as_ref());
        }
    }
    let most = conditions.place(i64::try_from(limit)?, Type::INT8);
    let sql = format!(
        "SELECT {COLUMNS} FROM watches WHERE number IN (
             SELECT max(number) AS newest FROM watches WHERE {} GROUP BY key
             ORDER BY newest DESC LIMIT {most})",
        conditions.sql()
    );
    let rows = connections.read(&sql, &conditions.values()).await?;
    rows.iter()
        .map(|row| watch_row::read(&mut RowCells::of(row)))
        .collect()
}
