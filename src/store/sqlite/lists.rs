//! Lists and searches of watches in `SQLite`.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params_from_iter};

use crate::store::sqlite::SqlError;
use crate::store::sqlite::conditions::Conditions;
use crate::store::sqlite::walk::{self, Step, Walk};
use crate::store::sqlite::watches::{one, watch_of};
use crate::store::watch_row::COLUMNS;
use crate::store::{PAGE_MAX, Page, PageCursor, Query, row};
use crate::watch::reference::Reference;
use crate::watch::{Watch, WatchId};

/// The condition that the id is one of those in a JSON array.
const IS_LISTED: &str = "id IN (SELECT unhex(value) FROM json_each(?))";

pub(super) fn page(db: &Connection, query: &Query, before: Option<i64>) -> Result<Page, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    // All statements see the same watches.
    let reading = db.unchecked_transaction()?;
    let mut rows =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE number = ?1"))?;
    let mut walk = Walk::of(db, query)?;
    let mut page = Page::default();
    let (mut at, mut last) = (before.unwrap_or(i64::MAX) - 1, 0);
    // The position before this number.
    let goes_on = loop {
        let number = match walk.next(at)? {
            Step::Found(number) => number,
            Step::End => break None,
            Step::Paused(_) if page.watches.len() == limit => break Some(last),
            Step::Paused(at) => break Some(at + 1),
        };
        walk.steps += walk::SEARCH;
        at = number - 1;
        let Some(watch) = matching(&mut rows, number, query)? else {
            continue;
        };
        if page.watches.len() == limit {
            break Some(last);
        }
        last = number;
        page.watches.push(watch);
    };
    page.next = goes_on.map(|before| PageCursor::new(before.to_string()));
    reading.finish()?;
    Ok(page)
}

/// Returns the watch of a number that a walk has found, if it matches entirely.
fn matching(
    rows: &mut Statement<'_>,
    number: i64,
    query: &Query,
) -> Result<Option<Watch>, SqlError> {
    let mut rows = rows.query([number])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let submitted_at: i64 = row.get("submitted_at")?;
    let is_before = |time: Timestamp| submitted_at < row::micros(time);
    if query.since.is_some_and(is_before) || !query.until.is_none_or(is_before) {
        return Ok(None);
    }
    let watch = watch_of(row)?;
    let carries = |(name, value): &(String, String)| watch.labels.get(name) == Some(value);
    let matches = query.labels.iter().all(carries);
    Ok(matches.then_some(watch))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migration;
    use crate::watch::{Outcome, State};

    /// Makes a database with `count` watches. The even ones are of the service `a`, the odd ones of
    /// `b`; a tenth has the label `tenth=yes`, and all have `half` with their half; three failed.
    fn database(count: u32) -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        migration::run(&mut db).unwrap();
        db.execute_batch(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             INSERT INTO watches (id, key, shard, service, definition, job_id, params, labels,
                sinks, submitted_at, deadline, state, polls, problems, revision)
             SELECT unhex(format('%032x', n)), x'00', 0, iif(n % 2, 'b', 'a'), 'd', 'job-' || n,
                '{{}}', json_object('half', iif(n % 2, 'odd', 'even'),
                    'tenth', iif(n % 10, 'no', 'yes')),
                '[]', n * 1000000, 0, iif(n < 4, 'failed', 'watching'), 0, 0, 0 FROM n;
             INSERT INTO watch_labels SELECT each.key || '=' || each.value, number
                FROM watches, json_each(labels) AS each;
             INSERT INTO submission_spans SELECT number >> 9, min(submitted_at), max(submitted_at)
                FROM watches GROUP BY 1;"
        ))
        .unwrap();
        db
    }

    /// Returns the numbers of all matching watches, and the number of pages.
    fn all(db: &Connection, query: &Query) -> (Vec<i64>, usize) {
        let (mut found, mut pages, mut before) = (Vec::new(), 0, None);
        loop {
            let page = page(db, query, before).unwrap();
            let jobs = page
                .watches
                .iter()
                .map(|watch| watch.job_id[4..].parse::<i64>());
            found.extend(jobs.map(Result::unwrap));
            pages += 1;
            let Some(next) = page.next else {
                return (found, pages);
            };
            before = Some(next.content().parse().unwrap());
        }
    }

    fn labels(labels: &[(&str, &str)]) -> Query {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Query {
            labels: labels.iter().map(owned).collect(),
            limit: 1000,
            ..Query::default()
        }
    }

    fn of_service(name: &str, query: Query) -> Query {
        Query {
            service: Some(name.to_owned()),
            ..query
        }
    }

    #[test]
    fn a_rare_part_of_a_query_is_found_among_many() {
        let db = database(50_000);
        let failed = vec![State::Final(Outcome::Failed)];
        let query = Query {
            states: failed,
            ..of_service("b", labels(&[("half", "odd")]))
        };
        assert_eq!(all(&db, &query), (vec![3, 1], 1));
    }

    #[test]
    fn parts_without_a_common_watch_end_a_page_early() {
        let db = database(100_000);
        let (found, pages) = all(&db, &of_service("a", labels(&[("half", "odd")])));
        assert!(found.is_empty());
        assert!((2..20).contains(&pages), "{pages}");
        let (found, pages) = all(&db, &of_service("a", labels(&[("tenth", "yes")])));
        let expected: Vec<i64> = (1..=10_000).rev().map(|n| n * 10).collect();
        assert_eq!(found, expected);
        assert!(pages < 40, "{pages}");
    }

    #[test]
    fn a_deleted_watch_leaves_no_label() {
        let db = database(10);
        db.execute("DELETE FROM watches WHERE number < 9", [])
            .unwrap();
        let query = "SELECT group_concat(label || number, ' ') FROM watch_labels";
        let left: String = db.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(left, "half=even10 half=odd9 tenth=no9 tenth=yes10");
    }

    #[test]
    fn times_in_no_order_are_found_by_their_spans() {
        let db = database(10_000);
        // The clock was set back at the watch 5000, so that its times repeat those before it.
        db.execute_batch(
            "UPDATE watches SET submitted_at = submitted_at - 1000000000 WHERE number >= 5000;
             DELETE FROM submission_spans;
             INSERT INTO submission_spans SELECT number >> 9, min(submitted_at), max(submitted_at)
                FROM watches GROUP BY 1;",
        )
        .unwrap();
        let at = |secs| Some(Timestamp::from_second(secs).unwrap());
        let query = Query {
            since: at(4500),
            until: at(4503),
            ..labels(&[])
        };
        assert_eq!(
            all(&db, &query),
            (vec![5502, 5501, 5500, 4502, 4501, 4500], 1)
        );
        let newest = Query {
            until: None,
            since: at(9_000),
            ..query.clone()
        };
        assert_eq!(all(&db, &newest).0, [10_000]);
        let oldest = Query {
            since: None,
            until: at(3),
            ..query
        };
        assert_eq!(all(&db, &oldest).0, [2, 1]);
    }
}
