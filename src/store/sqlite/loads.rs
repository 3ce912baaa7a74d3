//! Loads from `SQLite` the part of each watch that polling needs, and no other column. Values
//! that many watches have in common are parsed once for a page.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row, Rows, params};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::store::sqlite::SqlError;
use crate::store::sqlite::cells::Cells;
use crate::store::{EntryPage, PageCursor, row};
use crate::watch::entry::Entry;
use crate::watch::event::EventKind;
use crate::watch::observation::{Child, Job, JobState};
use crate::watch::tracking::Tracking;
use crate::watch::{Expect, Labels, Outcome, Params, Watch, WatchId};

/// The columns of an entry, in the order in which [`entry`] reads them.
const COLUMNS: &str = "number, id, service, job_id, params, labels, since, expect, submitted_at, \
    deadline, finished_at, job, polls, problems, last_problem, run, has_progress, notes, stage, follow";

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
    let mut page = EntryPage::default();
    let mut known = Known::default();
    let mut last = (0, 0);
    while let Some(row) = rows.next()? {
        if page.entries.len() == limit {
            page.next = Some(PageCursor::new(cursor(last.0, last.1)));
            break;
        }
        let (number, finished_at, entry) = entry(row, &mut known, services_with_labels)?;
        last = (number, finished_at.unwrap_or_default());
        let finished_at = finished_at.map(|micros| row::timestamp("finished_at", micros));
        page.entries.push((entry, finished_at.transpose()?));
    }
    Ok(page)
}

/// The values of a page that several watches have.
#[derive(Default)]
struct Known {
    services: ByText<str>,
    params: ByText<Params>,
    labels: ByText<Labels>,
}

/// Values by the text that they were read from.
struct ByText<T: ?Sized>(HashMap<Box<str>, Arc<T>>);

impl<T: ?Sized> Default for ByText<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: ?Sized> ByText<T> {
    fn of(
        &mut self,
        text: &str,
        read: impl FnOnce() -> Result<Arc<T>, SqlError>,
    ) -> Result<Arc<T>, SqlError> {
        if let Some(known) = self.0.get(text) {
            return Ok(Arc::clone(known));
        }
        let value = read()?;
        self.0.insert(text.into(), Arc::clone(&value));
        Ok(value)
    }
}

/// The part of a stored job that an entry depends on.
#[derive(Deserialize)]
struct Glimpse {
    state: JobState,
    status: Option<String>,
    children: Vec<Child>,
}

impl From<Glimpse> for Job {
    fn from(seen: Glimpse) -> Self {
        Self {
            state: seen.state,
            job_type: None,
            status: seen.status,
            code: None,
            reason: None,
            began_at: None,
            ended_at: None,
            progress: None,
            resources: None,
            children: seen.children,
        }
    }
}

/// Returns the number of the watch, the time of its end, and its entry.
fn entry(
    row: &Row<'_>,
    known: &mut Known,
    services_with_labels: &BTreeSet<String>,
) -> Result<(i64, Option<i64>, Entry), SqlError> {
    let mut cells = Cells::from(row, 0);
    let number = cells.next()?;
    let id = WatchId(cells.next::<Uuid>()?);
    let service = cells.text()?;
    let service = known.services.of(service, || Ok(service.into()))?;
    let job_id = cells.text()?;
    let params = cells.text()?;
    let params = known.params.of(params, || json("params", params))?;
    let labels = cells.text()?;
    let labels = services_with_labels.contains(&*service).then_some(labels);
    // A watch without its texts, for the rules by which tracking resumes; it allocates nothing.
    let epoch = Timestamp::UNIX_EPOCH;
    let mut watch = Watch::new(id, ("", ""), "", epoch, epoch);
    watch.since = cells.time("since")?;
    let expect: Option<String> = cells.next()?;
    watch.expect = expect.and_then(|word| Expect::from_word(&word));
    let submitted_at = row::timestamp("submitted_at", cells.next()?)?;
    let deadline = row::timestamp("deadline", cells.next()?)?;
    let finished_at = cells.next()?;
    watch.job = cells.json::<Glimpse>("job")?.map(Job::from);
    watch.polls = cells.next()?;
    watch.problems = cells.next()?;
    watch.last_problem = cells.json("last_problem")?;
    watch.run = cells.next()?;
    watch.has_progress = cells.next()?;
    watch.notes = cells.json("notes")?.unwrap_or_default();
    watch.stage = cells.json("stage")?;
    watch.follow = cells.next()?;
    let mut tracking = Tracking::resume(&watch);
    if let Some(labels) = labels {
        tracking.keep_labels(known.labels.of(labels, || json("labels", labels))?);
    }
    let times = (submitted_at, deadline);
    let entry = Entry::new(id, service, job_id, params, times, tracking);
    Ok((number, finished_at, entry))
}

fn json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<Arc<T>, SqlError> {
    Ok(Arc::new(row::from_json(column, text)?))
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
