//! Accepts, changes and reads single watches in `SQLite`.

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::store::key;
use crate::store::sqlite::cells::RowCells;
use crate::store::sqlite::events::Log;
use crate::store::sqlite::walk::{self, NOTE_SUBMISSION};
use crate::store::sqlite::{SqlError, durations, events, groups};
use crate::store::watch_row::{self, COLUMNS};
use crate::store::{Applied, Decide, Submission, Submitted, Transitioned, row};
use crate::watch::change::Change;
use crate::watch::evidence::Evidence;
use crate::watch::{Expect, Outcome, State, Watch, WatchId};

/// Stores the new watches among these. Returns the answers to the others in their places.
pub(super) fn submit(
    db: &Connection,
    submissions: &[Submission],
    now: Timestamp,
) -> Result<Vec<Option<Submitted>>, SqlError> {
    let mut submit = Submit {
        db,
        same_job: db.prepare_cached("SELECT 1 FROM watches WHERE job_id = ?1")?,
        insert: Insert {
            db,
            watch: db.prepare_cached(INSERT)?,
            label: db.prepare_cached(INSERT_LABEL)?,
            span: db.prepare_cached(NOTE_SUBMISSION)?,
        },
        log: Log::on(db)?,
    };
    submissions
        .iter()
        .map(|submission| submit.one(submission, now))
        .collect()
}

/// Returns the answer to each submission; `None` among `answers` stands for a new watch.
pub(super) fn submitted(
    submissions: Vec<Submission>,
    answers: Vec<Option<Submitted>>,
) -> Vec<Submitted> {
    let pairs = submissions.into_iter().zip(answers);
    pairs
        .map(|(submission, answer)| answer.unwrap_or(Submitted::Accepted(submission.change.watch)))
        .collect()
}

/// The statements of a submission; prepared once for many.
struct Submit<'db> {
    db: &'db Connection,
    same_job: CachedStatement<'db>,
    insert: Insert<'db>,
    log: Log<'db>,
}

/// The statements that store a watch, with its entries for lists.
struct Insert<'db> {
    db: &'db Connection,
    watch: CachedStatement<'db>,
    label: CachedStatement<'db>,
    span: CachedStatement<'db>,
}

impl Submit<'_> {
    fn one(
        &mut self,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<Option<Submitted>, SqlError> {
        let Change {
            watch, event, owed, ..
        } = &submission.change;
        let key = key::of(watch);
        if let Some(existing) = self.existing(submission, &key)? {
            return Ok(Some(Submitted::Existing(existing)));
        }
        if let Some(group) = &watch.group
            && let Some(refused) =
                groups::join(self.db, group, submission.group_size, watch.submitted_at)?
        {
            return Ok(Some(refused));
        }
        self.insert.one(watch, &key)?;
        self.log.add(Some(watch.id), event, owed, now)?;
        Ok(None)
    }

    fn existing(
        &mut self,
        submission: &Submission,
        key: &[u8; 32],
    ) -> Result<Option<Watch>, SqlError> {
        let wanted = &submission.change.watch;
        // Most jobs are new.
        if !self.same_job.exists([&wanted.job_id])? {
            return Ok(None);
        }
        let same = watched(self.db, key, wanted)?;
        if same.is_none() && submission.accepts_ended {
            return ended(self.db, key, wanted);
        }
        Ok(same)
    }
}

/// Returns the newest watch of the same job, and of the same run if `wanted` names one, among those
/// that go on.
fn watched(db: &Connection, key: &[u8; 32], wanted: &Watch) -> Result<Option<Watch>, SqlError> {
    let found = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM watches WHERE job_id = ?1 AND key = ?2 AND state = 'watching'
             AND (?3 IS NULL OR named_run = ?3 OR run = ?3) ORDER BY number DESC LIMIT 1"
        ))?
        .query_row(params![wanted.job_id, key, wanted.named_run], |row| {
            Ok(watch_of(row))
        })
        .optional()?;
    found.transpose()
}

/// Does the same as [`watched`] among those that have ended with a verdict on the same end: the
/// creation of a thing says nothing about its deletion.
fn ended(db: &Connection, key: &[u8; 32], wanted: &Watch) -> Result<Option<Watch>, SqlError> {
    let expect = wanted.expect.map(Expect::as_str);
    let found = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM watches WHERE number = (
                SELECT max(number) FROM watches WHERE job_id = ?1 AND key = ?2
                AND state IN ('succeeded', 'failed', 'partial', 'cancelled') AND expect IS ?4
                AND (?3 IS NULL OR named_run = ?3 OR run = ?3))"
        ))?
        .query_row(
            params![wanted.job_id, key, wanted.named_run, expect],
            |row| Ok(watch_of(row)),
        )
        .optional()?;
    found.transpose()
}

/// The SQL of [`ended`] lists the outcomes that the service gives.
const _: () = {
    let (mut at, mut listed) = (0, 0);
    while at < Outcome::ALL.len() {
        listed += Outcome::ALL[at].is_verdict() as usize;
        at += 1;
    }
    assert!(listed == 4, "list the outcome in the SQL");
};

const INSERT: &str = "INSERT INTO watches (id, key, shard, service, definition, job_id, params,
        labels, sinks, callback_url, group_name, named_run, since, expect, submitted_at, deadline,
        state, polls, problems, run, revision)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// The SQL that adds a label to the index of labels.
const INSERT_LABEL: &str = "INSERT INTO watch_labels (label, number) VALUES (?1, ?2)";

impl Insert<'_> {
    fn one(&mut self, watch: &Watch, key: &[u8; 32]) -> Result<(), SqlError> {
        insert(&mut self.watch, watch, key)?;
        let number = self.db.last_insert_rowid();
        for (name, value) in &watch.labels {
            self.label
                .execute(params![walk::label(name, value), number])?;
        }
        self.span
            .execute([number, row::micros(watch.submitted_at)])?;
        Ok(())
    }
}

fn insert(
    statement: &mut CachedStatement<'_>,
    watch: &Watch,
    key: &[u8; 32],
) -> Result<(), SqlError> {
    statement.execute(params![
        watch.id.0,
        key,
        key[0],
        watch.service,
        watch.definition,
        watch.job_id,
        row::json(&watch.params),
        row::json(&watch.labels),
        row::json(&watch.sinks),
        watch.callback_url.as_ref().map(|url| &url.0),
        watch.group,
        watch.named_run.as_deref().unwrap_or_default(),
        watch.since.map(row::micros),
        watch.expect.map(Expect::as_str),
        row::micros(watch.submitted_at),
        row::micros(watch.deadline),
        watch.state.as_str(),
        watch.polls,
        watch.problems,
        watch.run,
        watch.revision,
    ])?;
    Ok(())
}

pub(super) fn apply(db: &Connection, change: &Change, now: Timestamp) -> Result<Applied, SqlError> {
    let number = db
        .prepare_cached("SELECT number FROM watches WHERE id = ?1")?
        .query_row([change.watch.id.0], |row| row.get(0))
        .optional()?;
    number.map_or(Ok(Applied::Refused), |number| {
        Changing::on(db)?.apply(number, change, now)
    })
}

/// Changes watches in their order, each as its `decide` says. No other writer changes one in
/// between.
pub(super) fn transitions(
    db: &Connection,
    wanted: &[(WatchId, Decide)],
    now: Timestamp,
) -> Result<Vec<Transitioned>, SqlError> {
    let mut read = read(db)?;
    let mut changing = Changing::on(db)?;
    let mut one = |id, decide: &Decide| {
        let Some((number, watch)) = numbered(&mut read, id)? else {
            return Ok(Transitioned::Missing);
        };
        let Some(change) = decide(&watch) else {
            return Ok(Transitioned::Unchanged(watch));
        };
        match changing.apply(number, &change, now)? {
            Applied::Applied => Ok(Transitioned::Applied(change.watch)),
            Applied::Refused => Err("the change does not follow the watch".into()),
        }
    };
    wanted.iter().map(|(id, decide)| one(*id, decide)).collect()
}

/// The statements of a change; prepared once for many.
struct Changing<'db> {
    db: &'db Connection,
    update: CachedStatement<'db>,
    evidence: CachedStatement<'db>,
    log: Log<'db>,
}

impl<'db> Changing<'db> {
    fn on(db: &'db Connection) -> Result<Self, SqlError> {
        Ok(Self {
            db,
            update: db.prepare_cached(UPDATE)?,
            evidence: db
                .prepare_cached("INSERT INTO evidence (watch, evidence) VALUES (?1, ?2)")?,
            log: Log::on(db)?,
        })
    }

    /// Applies a change to the watch with this number, unless it is not the next one.
    fn apply(&mut self, number: i64, change: &Change, now: Timestamp) -> Result<Applied, SqlError> {
        let Change {
            watch,
            event,
            owed,
            evidence,
        } = change;
        if !update(&mut self.update, number, watch)? {
            return Ok(Applied::Refused);
        }
        self.log.add(Some(watch.id), event, owed, now)?;
        if let Some(evidence) = evidence {
            let values = params![number, row::json(evidence)];
            self.evidence.execute(values)?;
        }
        if watch.state != State::Watching {
            if let Some(group) = &watch.group {
                groups::end_one(self.db, group)?;
            }
            durations::keep(self.db, watch)?;
        }
        Ok(Applied::Applied)
    }
}

/// The SQL of [`update`]. The parameters are in order: `SQLite` would look for each name among all
/// names.
const UPDATE: &str = "UPDATE watches SET state = ?1, job = ?2, finished_at = ?3, polls = ?4,
        problems = ?5, last_problem = ?6, unknown_status = ?7, run = ?8, has_progress = ?9,
        confirmations = ?10, notes = ?11, stage = ?12, stages = ?13, follow = ?14,
        cause = ?15, revision = ?16
    WHERE number = ?17 AND state = 'watching' AND revision = ?16 - 1";

/// Stores the changing part of a watch. Returns false if another change came before.
fn update(
    statement: &mut CachedStatement<'_>,
    number: i64,
    watch: &Watch,
) -> Result<bool, SqlError> {
    let changed = statement.execute(params![
        watch.state.as_str(),
        watch.job.as_ref().map(row::json),
        watch.finished_at.map(row::micros),
        watch.polls,
        watch.problems,
        watch.last_problem.as_ref().map(row::json),
        watch.unknown_status,
        watch.run,
        watch.has_progress,
        watch.confirmations,
        (!watch.notes.is_empty()).then(|| row::json(&watch.notes)),
        watch.stage.as_ref().map(row::json),
        (!watch.stages.is_empty()).then(|| row::json(&watch.stages)),
        watch.follow,
        watch.cause.as_ref().map(row::json),
        watch.revision,
        number,
    ])?;
    Ok(changed == 1)
}

pub(super) fn append(
    db: &Connection,
    change: &Change,
    now: Timestamp,
) -> Result<Applied, SqlError> {
    let id = change.watch.id;
    // It may have been deleted since it was read.
    let is_stored = db
        .prepare_cached("SELECT 1 FROM watches WHERE id = ?1")?
        .exists([id.0])?;
    if !is_stored || events::is_known(db, id, &change.event)? {
        return Ok(Applied::Refused);
    }
    let Change { event, owed, .. } = change;
    Log::on(db)?.add(Some(id), event, owed, now)?;
    Ok(Applied::Applied)
}

pub(super) fn one(db: &Connection, id: WatchId) -> Result<Option<Watch>, SqlError> {
    let found = numbered(&mut read(db)?, id)?;
    Ok(found.map(|(_, watch)| watch))
}

/// Prepares the statement of [`numbered`].
fn read(db: &Connection) -> Result<CachedStatement<'_>, SqlError> {
    Ok(db.prepare_cached(&format!("SELECT {COLUMNS} FROM watches WHERE id = ?1"))?)
}

/// Returns a watch with its number.
fn numbered(
    statement: &mut CachedStatement<'_>,
    id: WatchId,
) -> Result<Option<(i64, Watch)>, SqlError> {
    let mut rows = statement.query([id.0])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(watch_row::read(&mut RowCells::of(row))?))
}

pub(super) fn evidence(db: &Connection, id: WatchId) -> Result<Option<Evidence>, SqlError> {
    let found: Option<String> = db
        .prepare_cached(
            "SELECT evidence FROM evidence WHERE watch = (SELECT number FROM watches WHERE id = ?1)",
        )?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    let read = found.map(|text| row::from_json("evidence", &text));
    Ok(read.transpose()?)
}

/// Reads the watch of a row with [`COLUMNS`].
pub(super) fn watch_of(row: &Row<'_>) -> Result<Watch, SqlError> {
    Ok(watch_row::read(&mut RowCells::of(row))?.1)
}
