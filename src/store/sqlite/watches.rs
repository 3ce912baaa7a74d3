//! Accepts, changes and reads watches in `SQLite`.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Rows, named_params, params};
use uuid::Uuid;

use crate::store::sqlite::SqlError;
use crate::store::{Applied, PAGE_MAX, Page, PageCursor, Query, Submitted, row};
use crate::watch::change::Change;
use crate::watch::event::EventKind;
use crate::watch::{CallbackUrl, Outcome, State, Watch, WatchId};

const COLUMNS: &str = "number, id, service, definition, job_id, params, labels, sinks, \
    callback_url, submitted_at, deadline, state, job, finished_at, polls, problems, last_problem, \
    unknown_status, revision";

pub(super) fn submit(
    db: &Connection,
    submissions: &[Change],
    now: Timestamp,
) -> Result<Vec<Submitted>, SqlError> {
    submissions
        .iter()
        .map(|submission| submit_one(db, submission, now))
        .collect()
}

fn submit_one(db: &Connection, submission: &Change, now: Timestamp) -> Result<Submitted, SqlError> {
    let key = row::key(&submission.watch);
    if let Some(existing) = by_key(db, &key)? {
        return Ok(Submitted::Existing(existing));
    }
    insert(db, &submission.watch, &key)?;
    log_event(db, submission, now)?;
    Ok(Submitted::Accepted(submission.watch.clone()))
}

fn insert(db: &Connection, watch: &Watch, key: &[u8; 32]) -> Result<(), SqlError> {
    db.prepare_cached(
        "INSERT INTO watches (id, key, shard, service, definition, job_id, params, labels, sinks,
            callback_url, submitted_at, deadline, state, job, finished_at, polls, problems, last_problem,
            unknown_status, revision)
         VALUES (:id, :key, :shard, :service, :definition, :job_id, :params, :labels, :sinks,
            :callback_url, :submitted_at, :deadline, :state, :job, :finished_at, :polls, :problems, :last_problem,
            :unknown_status, :revision)",
    )?
    .execute(named_params! {
        ":id": watch.id.0,
        ":key": key,
        ":shard": key[0],
        ":service": watch.service,
        ":definition": watch.definition,
        ":job_id": watch.job_id,
        ":params": row::json(&watch.params),
        ":labels": row::json(&watch.labels),
        ":sinks": row::json(&watch.sinks),
        ":callback_url": watch.callback_url.as_ref().map(|url| &url.0),
        ":submitted_at": row::micros(watch.submitted_at),
        ":deadline": row::micros(watch.deadline),
        ":state": watch.state.as_str(),
        ":job": watch.job.as_ref().map(row::json),
        ":finished_at": watch.finished_at.map(row::micros),
        ":polls": watch.polls,
        ":problems": watch.problems,
        ":last_problem": watch.last_problem.as_ref().map(row::json),
        ":unknown_status": watch.unknown_status,
        ":revision": watch.revision,
    })?;
    Ok(())
}

/// Stores the event of a change and the deliveries owed for it, in the same transaction. They
/// are due at `now`.
fn log_event(db: &Connection, change: &Change, now: Timestamp) -> Result<(), SqlError> {
    let event = &change.event;
    db.prepare_cached(
        "INSERT INTO events (id, watch_id, type, at, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        event.id,
        change.watch.id.0,
        event.kind.type_name(),
        row::micros(event.at),
        event.body
    ])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO deliveries (event_id, sink, target, state, due_at)
         VALUES (?1, ?2, ?3, 'pending', ?4)",
    )?;
    for owed in &change.owed {
        let target = owed.target.as_ref().map(|target| &target.0);
        insert.execute(params![event.id, owed.sink, target, row::micros(now)])?;
    }
    Ok(())
}

pub(super) fn apply(db: &Connection, change: &Change, now: Timestamp) -> Result<Applied, SqlError> {
    let watch = &change.watch;
    let changed = db
        .prepare_cached(
            "UPDATE watches SET state = :state, job = :job, finished_at = :finished_at,
                polls = :polls, problems = :problems, last_problem = :last_problem,
                unknown_status = :unknown_status, revision = :revision
             WHERE id = :id AND state = 'watching' AND revision = :revision - 1",
        )?
        .execute(named_params! {
            ":id": watch.id.0,
            ":state": watch.state.as_str(),
            ":job": watch.job.as_ref().map(row::json),
            ":finished_at": watch.finished_at.map(row::micros),
            ":polls": watch.polls,
            ":problems": watch.problems,
            ":last_problem": watch.last_problem.as_ref().map(row::json),
            ":unknown_status": watch.unknown_status,
            ":revision": watch.revision,
        })?;
    if changed == 0 {
        return Ok(Applied::Refused);
    }
    log_event(db, change, now)?;
    Ok(Applied::Applied)
}

pub(super) fn append(
    db: &Connection,
    change: &Change,
    now: Timestamp,
) -> Result<Applied, SqlError> {
    let is_known = db
        .prepare_cached("SELECT 1 FROM events WHERE id = ?1")?
        .exists([change.event.id])?;
    if is_known {
        return Ok(Applied::Refused);
    }
    log_event(db, change, now)?;
    Ok(Applied::Applied)
}

fn by_key(db: &Connection, key: &[u8; 32]) -> Result<Option<Watch>, SqlError> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE key = ?1"))?
        .query_row([key], |row| Ok(watch_of(row)))
        .optional()?;
    found.transpose()
}

pub(super) fn one(db: &Connection, id: WatchId) -> Result<Option<Watch>, SqlError> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE id = ?1"))?
        .query_row([id.0], |row| Ok(watch_of(row)))
        .optional()?;
    found.transpose()
}

pub(super) fn page(db: &Connection, query: &Query, before: Option<i64>) -> Result<Page, SqlError> {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let mut statement = db.prepare_cached(&page_sql(query))?;
    let label = query.label.as_ref();
    let rows = statement.query(named_params! {
        ":state": query.state.map(State::as_str),
        ":service": query.service,
        ":label": label.map(|(name, _)| format!("$.\"{name}\"")),
        ":value": label.map(|(_, value)| value),
        ":before": before.unwrap_or(i64::MAX),
        ":limit": i64::try_from(limit + 1)?,
    })?;
    page_of(rows, limit)
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
        last = row.get("number")?;
        page.watches.push(watch_of(row)?);
    }
    Ok(page)
}

/// Returns SQL with only the conditions that the query sets, so that `SQLite` can use an
/// index; it names every parameter, because an unused one cannot be bound.
fn page_sql(query: &Query) -> String {
    let condition = |wanted: bool, yes: &str, no: &str| if wanted { yes } else { no }.to_owned();
    [
        format!("SELECT {COLUMNS} FROM watches WHERE number < :before"),
        condition(query.state.is_some(), "state = :state", ":state IS NULL"),
        condition(
            query.service.is_some(),
            "service = :service",
            ":service IS NULL",
        ),
        condition(
            query.label.is_some(),
            "json_extract(labels, :label) = :value",
            ":label IS NULL AND :value IS NULL",
        ),
    ]
    .join(" AND ")
        + " ORDER BY number DESC LIMIT :limit"
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

/// Reads a watch from a row with [`COLUMNS`].
pub(super) fn watch_of(row: &Row<'_>) -> Result<Watch, SqlError> {
    let text = |column| row.get::<_, String>(column);
    let optional = |column| row.get::<_, Option<String>>(column);
    let job = optional("job")?;
    let last_problem = optional("last_problem")?;
    let finished_at: Option<i64> = row.get("finished_at")?;
    Ok(Watch {
        id: WatchId(row.get::<_, Uuid>("id")?),
        service: text("service")?,
        definition: text("definition")?,
        job_id: text("job_id")?,
        params: row::from_json("params", &text("params")?)?,
        labels: row::from_json("labels", &text("labels")?)?,
        sinks: row::from_json("sinks", &text("sinks")?)?,
        callback_url: optional("callback_url")?.map(CallbackUrl),
        submitted_at: row::timestamp("submitted_at", row.get("submitted_at")?)?,
        deadline: row::timestamp("deadline", row.get("deadline")?)?,
        state: text("state")?.parse()?,
        job: job.map(|text| row::from_json("job", &text)).transpose()?,
        finished_at: finished_at
            .map(|micros| row::timestamp("finished_at", micros))
            .transpose()?,
        polls: row.get("polls")?,
        problems: row.get("problems")?,
        last_problem: last_problem
            .map(|text| row::from_json("last_problem", &text))
            .transpose()?,
        unknown_status: optional("unknown_status")?,
        revision: row.get("revision")?,
    })
}
