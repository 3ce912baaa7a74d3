//! Lists and searches of watches in `SQLite`.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Rows, params, params_from_iter};

use crate::store::sqlite::SqlError;
use crate::store::sqlite::conditions::Conditions;
use crate::store::sqlite::watches::{COLUMNS, one, watch_of};
use crate::store::{PAGE_MAX, Page, PageCursor, Query, row};
use crate::watch::event::EventKind;
use crate::watch::reference::Reference;
use crate::watch::{Outcome, Watch, WatchId};

/// The condition that the id is one of those in a JSON array.
const IS_LISTED: &str = "id IN (SELECT unhex(value) FROM json_each(?))";

pub(super) fn page(db: &Connection, query: &Query, before: Option<i64>) -> Result<Page, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let mut conditions = conditions(query);
    conditions.add("number < ?", [before.unwrap_or(i64::MAX).into()]);
    let mut statement = db.prepare_cached(&page_sql(&conditions))?;
    conditions.values.push(i64::try_from(limit + 1)?.into());
    page_of(statement.query(params_from_iter(conditions.values))?, limit)
}

/// Returns the SQL of a page. Only numbers are sorted, where no index gives them in their order.
fn page_sql(conditions: &Conditions) -> String {
    format!(
        "SELECT {COLUMNS} FROM watches WHERE number IN (
             SELECT number FROM watches WHERE {} ORDER BY number DESC LIMIT ?
         ) ORDER BY number DESC",
        conditions.sql()
    )
}

/// Returns the conditions of a query. One column may have its index: that of the first condition,
/// which selects the fewest watches as a rule. A `+` keeps `SQLite` from those of the others.
fn conditions(query: &Query) -> Conditions {
    let mut is_indexed = false;
    let mut column = |name: &str, is_set: bool| {
        let others = if is_indexed { "+" } else { "" };
        is_indexed |= is_set;
        format!("{others}{name}")
    };
    let mut conditions = Conditions::default();
    if !query.ids.is_empty() {
        column("id", true);
        conditions.add(IS_LISTED, [json_of(&query.ids)]);
    }
    let job_id = column("job_id", query.job_id.is_some());
    conditions.equal(&job_id, query.job_id.clone());
    let group = column("group_name", query.group.is_some());
    conditions.equal(&group, query.group.clone());
    let state = column("state", !query.states.is_empty());
    conditions.one_of(&state, query.states.iter().map(|state| state.as_str()));
    let service = column("service", query.service.is_some());
    conditions.equal(&service, query.service.clone());
    if let Some(since) = query.since {
        conditions.add("submitted_at >= ?", [row::micros(since).into()]);
    }
    if let Some(until) = query.until {
        conditions.add("submitted_at < ?", [row::micros(until).into()]);
    }
    conditions.members("labels", &query.labels);
    conditions
}

/// Returns ids as a JSON array of hexadecimal digits.
fn json_of(ids: &[WatchId]) -> Value {
    let ids: Vec<_> = ids.iter().map(|id| id.0.as_simple().to_string()).collect();
    row::json(&ids).into()
}

pub(super) fn by_id(db: &Connection, ids: &[WatchId]) -> Result<Vec<Watch>, SqlError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE {IS_LISTED}"))?;
    let mut rows = statement.query([json_of(ids)])?;
    let mut watches = Vec::new();
    while let Some(row) = rows.next()? {
        watches.push(watch_of(row)?);
    }
    Ok(watches)
}

pub(super) fn find(
    db: &Connection,
    reference: &Reference,
    limit: usize,
) -> Result<Vec<Watch>, SqlError> {
    let mut found = Vec::new();
    for reading in reference.readings() {
        if let Reference::Id(id) = reading
            && let Some(watch) = one(db, *id)?
        {
            return Ok(vec![watch]);
        }
        found.extend(newest_of_each_job(db, reading, limit)?);
    }
    let mut newest: HashMap<[u8; 32], i64> = HashMap::new();
    for (key, number) in found {
        let known = newest.entry(key).or_insert(number);
        *known = number.max(*known);
    }
    let mut numbers: Vec<i64> = newest.into_values().collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    numbers.truncate(limit);
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE number = ?1"))?;
    let mut watches = Vec::new();
    for number in numbers {
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            watches.push(watch_of(row)?);
        }
    }
    Ok(watches)
}

/// Returns the number of the newest watch of each job that one reading names, of at most `limit`
/// jobs, by the key of the job.
fn newest_of_each_job(
    db: &Connection,
    reading: &Reference,
    limit: usize,
) -> Result<HashMap<[u8; 32], i64>, SqlError> {
    let mut conditions = Conditions::default();
    let order = match reading {
        Reference::Id(_) | Reference::Either(_) => return Ok(HashMap::new()),
        Reference::Prefix { low, high, .. } => {
            // Ids sort by the time of submission: the newest come first without sorting.
            let bounds = [low, high].map(|id| id.as_bytes().to_vec().into());
            conditions.add("id BETWEEN ? AND ?", bounds);
            "id"
        }
        Reference::Job { service, job_id } => {
            conditions.equal("job_id", Some(job_id.clone()));
            conditions.equal("+service", service.clone());
            "number"
        }
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT key, number FROM watches WHERE {} ORDER BY {order} DESC",
        conditions.sql()
    ))?;
    let mut rows = statement.query(params_from_iter(conditions.values))?;
    let mut newest: HashMap<[u8; 32], i64> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (key, number) = (row.get(0)?, row.get(1)?);
        if newest.len() == limit && !newest.contains_key(&key) {
            break;
        }
        let known = newest.entry(key).or_insert(number);
        *known = number.max(*known);
    }
    Ok(newest)
}

/// Reads a page from the rows of a query for one row more than `limit`.
fn page_of(mut rows: Rows<'_>, limit: usize) -> Result<Page, SqlError> {
    let mut page = Page::default();
    let mut last: i64 = 0;
    while let Some(row) = rows.next()? {
        if page.watches.len() == limit {
            page.next = Some(PageCursor::new(last.to_string()));
            break;
        }
        last = row.get(0)?;
        page.watches.push(watch_of(row)?);
    }
    Ok(page)
}

pub(super) fn watching(
    db: &Connection,
    after: Option<i64>,
    limit: usize,
) -> Result<Page, SqlError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM watches WHERE state = 'watching' AND number > ?1 ORDER BY number LIMIT ?2"
    ))?;
    let rows = statement.query(params![after.unwrap_or(0), i64::try_from(limit + 1)?])?;
    page_of(rows, limit)
}

/// The SQL of [`without_verdict`] and its index list the outcomes that a verdict may follow.
const _: () = {
    let (mut at, mut listed) = (0, 0);
    while at < Outcome::ALL.len() {
        listed += Outcome::ALL[at].may_come_late() as usize;
        at += 1;
    }
    assert!(
        listed == 2,
        "list the outcome in the SQL, and in an index by a migration"
    );
};

pub(super) fn without_verdict(
    db: &Connection,
    since: Timestamp,
    after: Option<i64>,
    limit: usize,
) -> Result<Page, SqlError> {
    // The condition on the state must match that of the index word for word.
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM watches w
         WHERE state IN ('timed_out', 'lost') AND finished_at >= ?1 AND number > ?2
            AND NOT EXISTS (SELECT 1 FROM events e WHERE e.watch_id = w.id AND e.type = ?3)
         ORDER BY number LIMIT ?4"
    ))?;
    let rows = statement.query(params![
        row::micros(since),
        after.unwrap_or(0),
        EventKind::LateResult.type_name(),
        i64::try_from(limit + 1)?
    ])?;
    page_of(rows, limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migration;
    use crate::watch::State;

    /// Returns the plan of the part of a query that selects the watches.
    fn plan(query: &Query) -> String {
        let mut db = Connection::open_in_memory().unwrap();
        migration::run(&mut db).unwrap();
        let mut conditions = conditions(query);
        conditions.add("number < ?", [i64::MAX.into()]);
        let sql = format!("EXPLAIN QUERY PLAN {}", page_sql(&conditions));
        conditions.values.push(10.into());
        let mut statement = db.prepare(&sql).unwrap();
        let steps = statement
            .query_map(params_from_iter(conditions.values), |row| {
                row.get::<_, String>("detail")
            })
            .unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        steps[2..].join("; ")
    }

    #[test]
    fn each_filter_reads_only_an_index() {
        let text = || Some("x".to_owned());
        let all = Query {
            ids: vec![WatchId(uuid::Uuid::nil())],
            job_id: text(),
            group: text(),
            states: vec![State::Watching, State::Final(Outcome::Failed)],
            service: text(),
            since: Some(Timestamp::UNIX_EPOCH),
            labels: vec![("a".to_owned(), "b".to_owned())],
            ..Query::default()
        };
        let without_ids = Query {
            ids: Vec::new(),
            ..all.clone()
        };
        let without_job = Query {
            job_id: None,
            ..without_ids.clone()
        };
        let without_group = Query {
            group: None,
            ..without_job.clone()
        };
        let of_service = Query {
            states: Vec::new(),
            ..without_group.clone()
        };
        for (query, index) in [
            (all, "sqlite_autoindex_watches_1 (id=?"),
            (without_ids, "watches_by_job (job_id=?"),
            (without_job, "watches_group (group_name=?"),
            (without_group, "watches_state (state=?"),
            (of_service, "watches_service (service=?"),
            (Query::default(), "PRIMARY KEY (rowid<?"),
        ] {
            let plan = plan(&query);
            assert!(plan.contains(index), "{index}: {plan}");
            assert!(!plan.contains("SCAN watches"), "{plan}");
        }
    }

    #[test]
    fn active_watches_are_read_in_order_from_an_index() {
        let mut db = Connection::open_in_memory().unwrap();
        migration::run(&mut db).unwrap();
        let mut statement = db
            .prepare(
                "EXPLAIN QUERY PLAN SELECT * FROM watches WHERE state = 'watching' AND number > 5
                 ORDER BY number LIMIT 5",
            )
            .unwrap();
        let plan: Vec<String> = statement
            .query_map([], |row| row.get("detail"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let index = "SEARCH watches USING INDEX watches_state (state=? AND rowid>?)";
        assert_eq!(plan, [index]);
    }
}
