//! The part of a watch that polling needs, from a row of any SQL store. Values that many watches have
//! in common are parsed once for a page.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::store::cells::Cells;
use crate::store::{EntryPage, PageCursor, SqlError, row};
use crate::watch::entry::Entry;
use crate::watch::observation::{Child, Job, JobState};
use crate::watch::tracking::Tracking;
use crate::watch::{Expect, Labels, Outcome, Params, Watch, WatchId};

/// The columns of an entry, in the order in which a page reads them.
pub(crate) const COLUMNS: &str = "number, id, service, job_id, params, labels, since, expect, submitted_at, \
    deadline, finished_at, job, polls, problems, last_problem, run, has_progress, notes, stage, follow";

/// The SQL that lists watches without a verdict, and its indexes, list the outcomes that a verdict
/// may follow.
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

/// A page of entries while its rows are read.
pub(crate) struct Pages<'a> {
    limit: usize,
    services_with_labels: &'a BTreeSet<String>,
    page: EntryPage,
    known: Known,
    /// The number of the last watch, and the time of its end.
    last: (i64, i64),
}

impl<'a> Pages<'a> {
    /// Begins a page of at most `limit` watches.
    pub(crate) fn new(limit: usize, services_with_labels: &'a BTreeSet<String>) -> Self {
        Self {
            limit,
            services_with_labels,
            page: EntryPage::default(),
            known: Known::default(),
            last: (0, 0),
        }
    }

    /// Adds the watch of a row with [`COLUMNS`]. Returns false if the page is full; it then ends at
    /// `cursor`, of the number and the end of the last watch.
    pub(crate) fn add<'row>(
        &mut self,
        cells: &mut impl Cells<'row>,
        cursor: impl Fn(i64, i64) -> String,
    ) -> Result<bool, SqlError> {
        if self.page.entries.len() == self.limit {
            self.page.next = Some(PageCursor::new(cursor(self.last.0, self.last.1)));
            return Ok(false);
        }
        let (number, finished_at, entry) = read(cells, &mut self.known, self.services_with_labels)?;
        self.last = (number, finished_at.map_or(0, row::micros));
        self.page.entries.push((entry, finished_at));
        Ok(true)
    }

    /// Returns the page, with its entries.
    pub(crate) fn done(self) -> EntryPage {
        self.page
    }
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

/// Returns the number of the watch, its entry, and the time of its end.
fn read<'row>(
    cells: &mut impl Cells<'row>,
    known: &mut Known,
    services_with_labels: &BTreeSet<String>,
) -> Result<(i64, Option<Timestamp>, Entry), SqlError> {
    let number = cells.number()?;
    let id = WatchId(cells.uuid()?);
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
    watch.since = cells.time_or_null("since")?;
    watch.expect = cells.text_or_null()?.and_then(Expect::from_word);
    let submitted_at = cells.time("submitted_at")?;
    let deadline = cells.time("deadline")?;
    let finished_at = cells.time_or_null("finished_at")?;
    watch.job = cells.json::<Glimpse>("job")?.map(Job::from);
    watch.polls = cells.number()?;
    watch.problems = cells.number()?;
    watch.last_problem = cells.json("last_problem")?;
    watch.run = cells.string_or_null()?;
    watch.has_progress = cells.flag()?;
    watch.notes = cells.json("notes")?.unwrap_or_default();
    watch.stage = cells.json("stage")?;
    watch.follow = cells.string_or_null()?;
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
